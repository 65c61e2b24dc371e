//! PURE. `/metrics/cadvisor`: the machine, every cgroup of Pods, their networks and disks, under cAdvisor's names.
//!
//! Left out of what upstream shows, since no dashboard of kubernetes-mixin or kube-prometheus reads it and it is dear or
//! empty: `container_file_descriptors` and `container_sockets` (a walk over every process's descriptors),
//! `container_ulimits_soft`, `container_tasks_state`, `container_cpu_load_*` and `container_health_state` (constants,
//! unless cAdvisor's load reader runs), `machine_nvm_*`, `machine_cpu_{books,drawers}`. A container's
//! `container_fs_usage_bytes` is missing upstream too with containerd: it is in `/stats/summary`.

use super::resource::{float, millis, unsigned};
use super::snapshot::{ContainerUse, PodUse, Snapshot, Used};
use crate::model::machine::Machine;
use crate::model::usage::{BlockDevice, CgroupUse, Interface};
use crate::telemetry::text::{Family, Kind, render};

/// Bytes in what the kernel calls a sector.
const SECTOR: f64 = 512.0;

/// How a family takes its value of a cgroup; `None` for none.
type Take = fn(&CgroupUse) -> Option<f64>;

/// A family with one sample for each cgroup.
struct Row {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    /// Limits have no time.
    timed: bool,
    take: Take,
}

const fn counter(name: &'static str, help: &'static str, take: Take) -> Row {
    Row {
        name,
        kind: Kind::Counter,
        help,
        timed: true,
        take,
    }
}

const fn gauge(name: &'static str, help: &'static str, take: Take) -> Row {
    Row {
        name,
        kind: Kind::Gauge,
        help,
        timed: true,
        take,
    }
}

const fn limit(name: &'static str, help: &'static str, take: Take) -> Row {
    Row {
        name,
        kind: Kind::Gauge,
        help,
        timed: false,
        take,
    }
}

fn nanos(value: u64) -> f64 {
    unsigned(value) / 1e9
}

fn micros(value: u64) -> f64 {
    unsigned(value) / 1e6
}

/// Throttling is counted where there is a quota.
fn throttled(usage: &CgroupUse, value: u64) -> Option<f64> {
    usage.limits.cpu_quota.map(|_| unsigned(value))
}

fn or_zero(value: Option<u64>) -> Option<f64> {
    Some(unsigned(value.unwrap_or(0)))
}

#[rustfmt::skip]
const ROWS: &[Row] = &[
    counter("container_cpu_cfs_burst_periods_total", "Number of periods when burst occurs.", |u| throttled(u, u.cpu.burst_periods)),
    counter("container_cpu_cfs_burst_seconds_total", "Total time duration the container has been bursted.", |u| throttled(u, u.cpu.burst).map(|n| n / 1e9)),
    counter("container_cpu_cfs_periods_total", "Number of elapsed enforcement period intervals.", |u| throttled(u, u.cpu.periods)),
    counter("container_cpu_cfs_throttled_periods_total", "Number of throttled period intervals.", |u| throttled(u, u.cpu.throttled_periods)),
    counter("container_cpu_cfs_throttled_seconds_total", "Total time duration the container has been throttled.", |u| throttled(u, u.cpu.throttled).map(|n| n / 1e9)),
    counter("container_cpu_system_seconds_total", "Cumulative system cpu time consumed in seconds.", |u| u.cpu.total.map(|_| nanos(u.cpu.system))),
    counter("container_cpu_user_seconds_total", "Cumulative user cpu time consumed in seconds.", |u| u.cpu.total.map(|_| nanos(u.cpu.user))),
    gauge("container_memory_cache", "Number of bytes of page cache memory.", |u| Some(unsigned(u.memory.cache))),
    counter("container_memory_failcnt", "Number of memory usage hits limits", |u| Some(unsigned(u.memory.failures))),
    gauge("container_memory_kernel_usage", "Size of kernel memory allocated in bytes.", |u| Some(unsigned(u.memory.kernel))),
    gauge("container_memory_mapped_file", "Size of memory mapped files in bytes.", |u| Some(unsigned(u.memory.mapped_file))),
    gauge("container_memory_max_usage_bytes", "Maximum memory usage recorded in bytes", |u| Some(unsigned(u.memory.max_usage))),
    gauge("container_memory_rss", "Size of RSS in bytes.", |u| Some(unsigned(u.memory.rss))),
    gauge("container_memory_swap", "Container swap usage in bytes.", |u| Some(unsigned(u.memory.swap))),
    gauge("container_memory_total_active_file_bytes", "Current total active file in bytes.", |u| Some(unsigned(u.memory.active_file))),
    gauge("container_memory_total_inactive_file_bytes", "Current total inactive file in bytes.", |u| Some(unsigned(u.memory.inactive_file))),
    gauge("container_memory_usage_bytes", "Current memory usage in bytes, including all memory regardless of when it was accessed", |u| u.memory.usage.map(unsigned)),
    gauge("container_memory_working_set_bytes", "Current working set in bytes.", |u| u.memory.usage.map(|_| unsigned(u.memory.working_set()))),
    counter("container_oom_events_total", "Count of out of memory events observed for the container", |u| Some(unsigned(u.memory.oom_kills))),
    counter("container_pressure_cpu_stalled_seconds_total", "Total time duration no tasks in the container could make progress due to CPU congestion.", |u| u.pressure.map(|p| micros(p.cpu.full.total))),
    counter("container_pressure_cpu_waiting_seconds_total", "Total time duration tasks in the container have waited due to CPU congestion.", |u| u.pressure.map(|p| micros(p.cpu.some.total))),
    counter("container_pressure_io_stalled_seconds_total", "Total time duration no tasks in the container could make progress due to IO congestion.", |u| u.pressure.map(|p| micros(p.io.full.total))),
    counter("container_pressure_io_waiting_seconds_total", "Total time duration tasks in the container have waited due to IO congestion.", |u| u.pressure.map(|p| micros(p.io.some.total))),
    counter("container_pressure_memory_stalled_seconds_total", "Total time duration no tasks in the container could make progress due to memory congestion.", |u| u.pressure.map(|p| micros(p.memory.full.total))),
    counter("container_pressure_memory_waiting_seconds_total", "Total time duration tasks in the container have waited due to memory congestion.", |u| u.pressure.map(|p| micros(p.memory.some.total))),
    gauge("container_processes", "Number of processes running inside the container.", |u| Some(unsigned(u.processes))),
    limit("container_spec_cpu_period", "CPU period of the container.", |u| Some(unsigned(u.limits.cpu_period)).filter(|n| *n > 0.0)),
    limit("container_spec_cpu_quota", "CPU quota of the container.", |u| u.limits.cpu_quota.map(unsigned)),
    limit("container_spec_cpu_shares", "CPU share of the container.", |u| Some(unsigned(u.limits.cpu_shares))),
    limit("container_spec_memory_limit_bytes", "Memory limit for the container.", |u| or_zero(u.limits.memory)),
    limit("container_spec_memory_reservation_limit_bytes", "Memory reservation limit for the container.", |u| or_zero(u.limits.memory_reservation)),
    limit("container_spec_memory_swap_limit_bytes", "Memory swap limit for the container.", |u| or_zero(u.limits.swap)),
    gauge("container_threads", "Number of threads running inside the container", |u| u.threads.map(unsigned)),
    gauge("container_threads_max", "Maximum number of threads allowed inside the container, infinity if value is zero", |u| or_zero(u.limits.pids)),
];

/// A block device's counter: index in [`BlockDevice::counters`] and what it is divided by.
type DiskRow = (&'static str, Kind, &'static str, usize, f64);

#[rustfmt::skip]
const DISK_ROWS: &[DiskRow] = &[
    ("container_fs_io_current", Kind::Gauge, "Number of I/Os currently in progress", 8, 1.0),
    ("container_fs_io_time_seconds_total", Kind::Counter, "Cumulative count of seconds spent doing I/Os", 9, 1e3),
    ("container_fs_io_time_weighted_seconds_total", Kind::Counter, "Cumulative weighted I/O time in seconds", 10, 1e3),
    ("container_fs_read_seconds_total", Kind::Counter, "Cumulative count of seconds spent reading", 3, 1e3),
    ("container_fs_reads_merged_total", Kind::Counter, "Cumulative count of reads merged", 1, 1.0),
    ("container_fs_sector_reads_total", Kind::Counter, "Cumulative count of sector reads completed", 2, 1.0),
    ("container_fs_sector_writes_total", Kind::Counter, "Cumulative count of sector writes completed", 6, 1.0),
    ("container_fs_write_seconds_total", Kind::Counter, "Cumulative count of seconds spent writing", 7, 1e3),
    ("container_fs_writes_merged_total", Kind::Counter, "Cumulative count of writes merged", 5, 1.0),
];

#[rustfmt::skip]
const FS_ROWS: [(&str, &str); 4] = [
    ("container_fs_inodes_free", "Number of available Inodes"),
    ("container_fs_inodes_total", "Number of Inodes"),
    ("container_fs_limit_bytes", "Number of bytes that can be consumed by the container on this filesystem."),
    ("container_fs_usage_bytes", "Number of bytes that are consumed by the container on this filesystem."),
];

/// Reads and writes, in operations and bytes.
#[rustfmt::skip]
const IO_ROWS: [(&str, &str); 4] = [
    ("container_fs_reads_total", "Cumulative count of reads completed"),
    ("container_fs_writes_total", "Cumulative count of writes completed"),
    ("container_fs_reads_bytes_total", "Cumulative count of bytes read"),
    ("container_fs_writes_bytes_total", "Cumulative count of bytes written"),
];

#[rustfmt::skip]
const NETWORK_ROWS: [(&str, &str); 8] = [
    ("container_network_receive_bytes_total", "Cumulative count of bytes received"),
    ("container_network_receive_errors_total", "Cumulative count of errors encountered while receiving"),
    ("container_network_receive_packets_dropped_total", "Cumulative count of packets dropped while receiving"),
    ("container_network_receive_packets_total", "Cumulative count of packets received"),
    ("container_network_transmit_bytes_total", "Cumulative count of bytes transmitted"),
    ("container_network_transmit_errors_total", "Cumulative count of errors encountered while transmitting"),
    ("container_network_transmit_packets_dropped_total", "Cumulative count of packets dropped while transmitting"),
    ("container_network_transmit_packets_total", "Cumulative count of packets transmitted"),
];

/// Who a cgroup belongs to.
#[derive(Clone, Copy)]
struct Owner<'a> {
    container: &'a str,
    image: &'a str,
    name: &'a str,
    namespace: &'a str,
    pod: &'a str,
}

const NOBODY: Owner<'static> = Owner {
    container: "",
    image: "",
    name: "",
    namespace: "",
    pod: "",
};

impl<'a> Owner<'a> {
    fn pod(pod: &'a PodUse) -> Self {
        Self {
            namespace: &pod.namespace,
            pod: &pod.name,
            ..NOBODY
        }
    }

    fn container(pod: &'a PodUse, container: &'a ContainerUse) -> Self {
        Self {
            container: &container.name,
            image: &container.image,
            name: &container.id,
            namespace: &pod.namespace,
            pod: &pod.name,
        }
    }

    /// Labels in alphabetical order, with more of them where they belong.
    fn labels(&self, id: &str, more: &[(&str, &str)]) -> String {
        let mut all = vec![
            ("container", self.container),
            ("id", id),
            ("image", self.image),
            ("name", self.name),
            ("namespace", self.namespace),
            ("pod", self.pod),
        ];
        all.extend_from_slice(more);
        all.sort_unstable();
        render(&all)
    }
}

/// The whole answer. Without a snapshot (nothing could be collected) there are the machine's facts and the error.
pub fn cadvisor(machine: &Machine, snapshot: Option<&Snapshot>, now: i64) -> String {
    let mut text = String::new();
    version(machine).write(&mut text);
    if let Some(snapshot) = snapshot {
        containers(snapshot, now, &mut text);
    }
    let mut error = Family::new(
        "container_scrape_error",
        Kind::Gauge,
        "1 if there was an error while getting container metrics, 0 otherwise",
    );
    error.add(&[], if snapshot.is_none() { 1.0 } else { 0.0 }, None);
    error.write(&mut text);
    machine_facts(machine, &mut text);
    text
}

fn version(machine: &Machine) -> Family {
    let mut version = Family::new(
        "cadvisor_version_info",
        Kind::Gauge,
        "A metric with a constant '1' value labeled by kernel version, OS version, docker version, cadvisor version & cadvisor revision.",
    );
    let labels = [
        ("cadvisorRevision", ""),
        ("cadvisorVersion", ""),
        ("dockerVersion", ""),
        ("kernelVersion", &*machine.kernel),
        ("osVersion", &*machine.os_image),
    ];
    version.add(&labels, 1.0, None);
    version
}

/// Calls back for every cgroup with its owner.
fn each(snapshot: &Snapshot, mut tell: impl FnMut(&Used, Owner<'_>)) {
    tell(&snapshot.root, NOBODY);
    let groups = snapshot
        .groups
        .iter()
        .chain(snapshot.system.iter().map(|(_, used)| used));
    groups.for_each(|used| tell(used, NOBODY));
    for pod in &snapshot.pods {
        if let Some(used) = &pod.used {
            tell(used, Owner::pod(pod));
        }
        for container in pod.sandbox.iter().chain(&pod.containers) {
            tell(&container.used, Owner::container(pod, container));
        }
    }
}

fn containers(snapshot: &Snapshot, now: i64, text: &mut String) {
    let mut rows: Vec<Family> = ROWS
        .iter()
        .map(|row| Family::new(row.name, row.kind, row.help))
        .collect();
    let mut others = Others::new();
    each(snapshot, |used, owner| {
        let (labels, at) = (owner.labels(&used.id, &[]), millis(used));
        for (row, family) in ROWS.iter().zip(&mut rows) {
            if let Some(value) = (row.take)(&used.usage) {
                family.add_rendered(&labels, value, row.timed.then_some(at));
            }
        }
        others.cgroup(used, owner, &labels, now);
        others.io(used, owner, &snapshot.machine.devices);
    });
    others.machine_disks(snapshot);
    others.networks(snapshot);
    rows.iter()
        .chain(others.all())
        .for_each(|family| family.write(text));
}

/// Families with labels of their own.
struct Others {
    cpu: Family,
    faults: Family,
    seen: Family,
    started: Family,
    fs: [Family; 4],
    io: [Family; 4],
    disk: Vec<Family>,
    network: [Family; 8],
}

impl Others {
    fn new() -> Self {
        let counters = |(name, help)| Family::new(name, Kind::Counter, help);
        Self {
            cpu: Family::new(
                "container_cpu_usage_seconds_total",
                Kind::Counter,
                "Cumulative cpu time consumed in seconds.",
            ),
            faults: Family::new(
                "container_memory_failures_total",
                Kind::Counter,
                "Cumulative count of memory allocation failures.",
            ),
            seen: Family::new(
                "container_last_seen",
                Kind::Gauge,
                "Last time a container was seen by the exporter",
            ),
            started: Family::new(
                "container_start_time_seconds",
                Kind::Gauge,
                "Start time of the container since unix epoch in seconds.",
            ),
            fs: FS_ROWS.map(|(name, help)| Family::new(name, Kind::Gauge, help)),
            io: IO_ROWS.map(counters),
            disk: DISK_ROWS
                .iter()
                .map(|(name, kind, help, ..)| Family::new(name, *kind, help))
                .collect(),
            network: NETWORK_ROWS.map(counters),
        }
    }

    fn all(&self) -> impl Iterator<Item = &Family> {
        let own = [&self.cpu, &self.faults, &self.seen, &self.started].into_iter();
        own.chain(&self.fs)
            .chain(&self.io)
            .chain(&self.disk)
            .chain(&self.network)
    }

    fn cgroup(&mut self, used: &Used, owner: Owner<'_>, labels: &str, now: i64) {
        let at = Some(millis(used));
        if let Some(total) = used.usage.cpu.total {
            self.cpu
                .add_rendered(&owner.labels(&used.id, &[("cpu", "total")]), nanos(total), at);
        }
        let memory = &used.usage.memory;
        for (kind, (own, all)) in [("pgfault", memory.faults), ("pgmajfault", memory.major_faults)] {
            for (scope, value) in [("container", own), ("hierarchy", all)] {
                let labels = owner.labels(&used.id, &[("failure_type", kind), ("scope", scope)]);
                self.faults.add_rendered(&labels, unsigned(value), at);
            }
        }
        self.seen
            .add_rendered(labels, float(now / 1_000_000_000), Some(now / 1_000_000));
        self.started
            .add_rendered(labels, used.usage.created.floor(), None);
    }

    fn io(&mut self, used: &Used, owner: Owner<'_>, devices: &[BlockDevice]) {
        for io in &used.usage.io {
            let Some(device) = devices.iter().find(|d| d.number == (io.major, io.minor)) else {
                continue;
            };
            let device = format!("/dev/{}", device.name);
            let labels = owner.labels(&used.id, &[("device", &device)]);
            let values = [io.reads, io.writes, io.read_bytes, io.write_bytes];
            for (family, value) in self.io.iter_mut().zip(values) {
                family.add_rendered(&labels, unsigned(value), Some(millis(used)));
            }
        }
    }

    /// The node's own file systems belong to the root cgroup.
    fn machine_disks(&mut self, snapshot: &Snapshot) {
        let root = &snapshot.root;
        let at = Some(millis(root));
        for (number, fs) in &snapshot.machine.file_systems {
            let Some(device) = snapshot.machine.devices.iter().find(|d| d.number == *number) else {
                continue;
            };
            let name = format!("/dev/{}", device.name);
            let labels = NOBODY.labels(&root.id, &[("device", &name)]);
            let values = [fs.inodes_free, fs.inodes, fs.capacity, fs.used];
            for (family, value) in self.fs.iter_mut().zip(values) {
                family.add_rendered(&labels, unsigned(value), at);
            }
            for (family, (.., index, divisor)) in self.disk.iter_mut().zip(DISK_ROWS) {
                family.add_rendered(&labels, unsigned(device.counters[*index]) / divisor, at);
            }
            if root.usage.io.iter().any(|io| (io.major, io.minor) == *number) {
                continue;
            }
            // The root cgroup does not count on v1; the device does.
            let [reads, _, sectors_read, _, writes, _, sectors_written, ..] = device.counters.map(unsigned);
            let values = [reads, writes, sectors_read * SECTOR, sectors_written * SECTOR];
            for (family, value) in self.io.iter_mut().zip(values) {
                family.add_rendered(&labels, value, at);
            }
        }
    }

    /// A Pod's network is told of its sandbox.
    fn networks(&mut self, snapshot: &Snapshot) {
        self.network(&snapshot.root, NOBODY, &snapshot.machine.interfaces);
        for pod in &snapshot.pods {
            match (&pod.sandbox, &pod.used) {
                (Some(sandbox), _) => {
                    self.network(&sandbox.used, Owner::container(pod, sandbox), &pod.interfaces);
                }
                (None, Some(used)) => self.network(used, Owner::pod(pod), &pod.interfaces),
                (None, None) => {}
            }
        }
    }

    fn network(&mut self, used: &Used, owner: Owner<'_>, interfaces: &[Interface]) {
        for i in interfaces {
            let labels = owner.labels(&used.id, &[("interface", &i.name)]);
            let of = |t: &crate::model::usage::Traffic| [t.bytes, t.errors, t.dropped, t.packets];
            let values = of(&i.rx).into_iter().chain(of(&i.tx));
            for (family, value) in self.network.iter_mut().zip(values) {
                family.add_rendered(&labels, unsigned(value), Some(millis(used)));
            }
        }
    }
}

fn machine_facts(machine: &Machine, text: &mut String) {
    let labels = render(&[
        ("boot_id", &machine.boot_id),
        ("machine_id", &machine.machine_id),
        ("system_uuid", &machine.system_uuid),
    ]);
    let mut tell = |name, help, value: u64| {
        let mut family = Family::new(name, Kind::Gauge, help);
        family.add_rendered(&labels, unsigned(value), None);
        family.write(text);
    };
    tell("machine_cpu_cores", "Number of logical CPU cores.", machine.cpus);
    if machine.cpu_cores > 0 {
        tell(
            "machine_cpu_physical_cores",
            "Number of physical CPU cores.",
            machine.cpu_cores,
        );
        tell(
            "machine_cpu_sockets",
            "Number of CPU sockets.",
            machine.cpu_sockets,
        );
    }
    tell(
        "machine_memory_bytes",
        "Amount of memory installed on the machine.",
        machine.memory_bytes,
    );
    tell(
        "machine_swap_bytes",
        "Amount of swap memory available on the machine.",
        machine.swap_bytes,
    );
    let mut error = Family::new(
        "machine_scrape_error",
        Kind::Gauge,
        "1 if there was an error while getting machine metrics, 0 otherwise.",
    );
    error.add(&[], 0.0, None);
    error.write(text);
}

#[cfg(test)]
mod tests;
