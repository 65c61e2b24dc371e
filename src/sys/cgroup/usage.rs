//! Reads what a cgroup has used, from the files of v1 and v2.
//!
//! A file that is missing leaves its fields empty: kernels differ in what they count, and a cgroup may go while it is
//! read. Only a cgroup that is not there at all is `None`.

use super::{Cgroups, Hierarchy};
use crate::model::usage::{CgroupUse, CpuUse, DeviceIo, MemoryUse, Pressure, Pressures, Stall};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// v1 has no limit when it shows this much or more (pages, rounded down from 2^63).
const NO_LIMIT: u64 = 1 << 62;
/// Scheduler ticks a second, the unit of `cpuacct.stat`.
const TICK_NANOS: u64 = 10_000_000;

impl Cgroups {
    /// Counters and limits of a cgroup; `/` is the machine's own. `None` when it does not exist.
    pub fn usage(&self, cgroup: &str) -> Option<CgroupUse> {
        let mut found = None::<CgroupUse>;
        for hierarchy in self.used() {
            let dir = if cgroup == "/" {
                hierarchy.root.clone()
            } else {
                hierarchy.path(cgroup).ok()?
            };
            let Ok(meta) = fs::metadata(&dir) else {
                continue;
            };
            let all = found.get_or_insert_with(|| CgroupUse {
                read_at: now_nanos(),
                created: f64::MAX,
                ..CgroupUse::default()
            });
            #[expect(clippy::cast_precision_loss, reason = "seconds with a fraction")]
            let made = meta.mtime() as f64 + meta.mtime_nsec() as f64 / 1e9;
            all.created = all.created.min(made);
            if hierarchy.v2 {
                read_v2(&dir, all);
            } else {
                read_v1(hierarchy, &dir, all);
            }
        }
        found
    }
}

fn now_nanos() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

fn text(dir: &Path, file: &str) -> String {
    fs::read_to_string(dir.join(file)).unwrap_or_default()
}

/// A file that holds one number; `max` and what is missing are none.
fn number(dir: &Path, file: &str) -> Option<u64> {
    text(dir, file).trim().parse().ok()
}

/// As [`number`], where v1 shows "no limit" as a huge number.
fn limit(dir: &Path, file: &str) -> Option<u64> {
    number(dir, file).filter(|n| *n < NO_LIMIT)
}

/// A field of a file of `name value` lines; 0 when it is not there.
fn field(text: &str, name: &str) -> u64 {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
        .unwrap_or(0)
}

fn processes(dir: &Path, all: &mut CgroupUse) {
    let list = text(dir, "cgroup.procs");
    all.processes = u64::try_from(list.lines().count()).unwrap_or(0);
    all.first_pid = list.lines().next().and_then(|line| line.parse().ok());
}

fn read_v1(hierarchy: &Hierarchy, dir: &Path, all: &mut CgroupUse) {
    if hierarchy.has("cpuacct") {
        all.cpu.total = number(dir, "cpuacct.usage");
        let stat = text(dir, "cpuacct.stat");
        all.cpu.user = field(&stat, "user").saturating_mul(TICK_NANOS);
        all.cpu.system = field(&stat, "system").saturating_mul(TICK_NANOS);
        processes(dir, all);
    }
    if hierarchy.has("cpu") {
        let stat = text(dir, "cpu.stat");
        all.cpu.periods = field(&stat, "nr_periods");
        all.cpu.throttled_periods = field(&stat, "nr_throttled");
        all.cpu.throttled = field(&stat, "throttled_time");
        all.cpu.burst_periods = field(&stat, "nr_bursts");
        all.cpu.burst = field(&stat, "burst_time");
        all.limits.cpu_shares = number(dir, "cpu.shares").unwrap_or(0);
        all.limits.cpu_period = number(dir, "cpu.cfs_period_us").unwrap_or(0);
        // "-1" is no number of ours, and no limit.
        all.limits.cpu_quota = number(dir, "cpu.cfs_quota_us");
    }
    if hierarchy.has("memory") {
        memory_v1(dir, all);
    }
    if hierarchy.has("pids") {
        all.threads = number(dir, "pids.current");
        all.limits.pids = number(dir, "pids.max");
    }
    if hierarchy.has("blkio") {
        let (ops, bytes) = (
            text(dir, "blkio.throttle.io_serviced_recursive"),
            text(dir, "blkio.throttle.io_service_bytes_recursive"),
        );
        all.io = io_v1(&ops, &bytes);
    }
}

fn memory_v1(dir: &Path, all: &mut CgroupUse) {
    let stat = text(dir, "memory.stat");
    let oom = text(dir, "memory.oom_control");
    all.memory = MemoryUse {
        usage: number(dir, "memory.usage_in_bytes"),
        max_usage: number(dir, "memory.max_usage_in_bytes").unwrap_or(0),
        failures: number(dir, "memory.failcnt").unwrap_or(0),
        cache: field(&stat, "total_cache"),
        rss: field(&stat, "total_rss"),
        swap: field(&stat, "total_swap"),
        mapped_file: field(&stat, "total_mapped_file"),
        active_file: field(&stat, "total_active_file"),
        inactive_file: field(&stat, "total_inactive_file"),
        kernel: number(dir, "memory.kmem.usage_in_bytes").unwrap_or(0),
        faults: (field(&stat, "pgfault"), field(&stat, "total_pgfault")),
        major_faults: (field(&stat, "pgmajfault"), field(&stat, "total_pgmajfault")),
        oom_kills: field(&oom, "oom_kill"),
    };
    all.limits.memory = limit(dir, "memory.limit_in_bytes");
    all.limits.memory_reservation = limit(dir, "memory.soft_limit_in_bytes");
    all.limits.swap = limit(dir, "memory.memsw.limit_in_bytes");
}

/// Lines are `8:0 Read 12`.
fn io_v1(ops: &str, bytes: &str) -> Vec<DeviceIo> {
    let mut devices: Vec<DeviceIo> = Vec::new();
    for (text, is_bytes) in [(ops, false), (bytes, true)] {
        for line in text.lines() {
            let mut words = line.split(' ');
            let (Some(device), Some(kind), Some(Ok(value))) =
                (words.next(), words.next(), words.next().map(str::parse::<u64>))
            else {
                continue;
            };
            let Some(at) = device_at(&mut devices, device) else {
                continue;
            };
            match (kind, is_bytes) {
                ("Read", false) => devices[at].reads = value,
                ("Write", false) => devices[at].writes = value,
                ("Read", true) => devices[at].read_bytes = value,
                ("Write", true) => devices[at].write_bytes = value,
                _ => {}
            }
        }
    }
    devices
}

/// Index of a device, added when it is new.
fn device_at(devices: &mut Vec<DeviceIo>, name: &str) -> Option<usize> {
    let (major, minor) = name.split_once(':')?;
    let (major, minor) = (major.parse().ok()?, minor.parse().ok()?);
    let at = devices
        .iter()
        .position(|device| (device.major, device.minor) == (major, minor));
    Some(at.unwrap_or_else(|| {
        devices.push(DeviceIo {
            major,
            minor,
            ..DeviceIo::default()
        });
        devices.len() - 1
    }))
}

fn read_v2(dir: &Path, all: &mut CgroupUse) {
    cpu_v2(dir, all);
    memory_v2(dir, all);
    all.io = io_v2(&text(dir, "io.stat"));
    processes(dir, all);
    all.threads = number(dir, "pids.current");
    all.limits.pids = number(dir, "pids.max");
    all.pressure = pressures(dir);
}

fn cpu_v2(dir: &Path, all: &mut CgroupUse) {
    let stat = text(dir, "cpu.stat");
    let nanos = |name: &str| field(&stat, name).saturating_mul(1000);
    all.cpu = CpuUse {
        total: (!stat.is_empty()).then(|| nanos("usage_usec")),
        user: nanos("user_usec"),
        system: nanos("system_usec"),
        periods: field(&stat, "nr_periods"),
        throttled_periods: field(&stat, "nr_throttled"),
        throttled: nanos("throttled_usec"),
        burst_periods: field(&stat, "nr_bursts"),
        burst: nanos("burst_usec"),
    };
    let max = text(dir, "cpu.max");
    let mut max = max.split_whitespace();
    all.limits.cpu_quota = max.next().and_then(|quota| quota.parse().ok());
    all.limits.cpu_period = max
        .next()
        .and_then(|period| period.parse().ok())
        .unwrap_or(100_000);
    all.limits.cpu_shares = number(dir, "cpu.weight").map_or(1024, cpu_shares);
}

/// `cpu.weight` → `cpu.shares`: the largest share that is written as this weight (100 → 1024).
fn cpu_shares(weight: u64) -> u64 {
    let (mut low, mut high) = (2_u64, 262_144_u64);
    while low < high {
        let middle = u64::midpoint(low, high) + 1;
        if super::cpu_weight(middle.min(high)) <= weight {
            low = middle.min(high);
        } else {
            high = middle - 1;
        }
    }
    low
}

fn memory_v2(dir: &Path, all: &mut CgroupUse) {
    let stat = text(dir, "memory.stat");
    let events = text(dir, "memory.events");
    let (faults, major) = (field(&stat, "pgfault"), field(&stat, "pgmajfault"));
    all.memory = MemoryUse {
        usage: number(dir, "memory.current"),
        max_usage: number(dir, "memory.peak").unwrap_or(0),
        failures: field(&events, "max"),
        cache: field(&stat, "file"),
        rss: field(&stat, "anon"),
        swap: number(dir, "memory.swap.current").unwrap_or(0),
        mapped_file: field(&stat, "file_mapped"),
        active_file: field(&stat, "active_file"),
        inactive_file: field(&stat, "inactive_file"),
        kernel: field(&stat, "kernel"),
        faults: (faults, faults),
        major_faults: (major, major),
        oom_kills: field(&events, "oom_kill"),
    };
    all.limits.memory = limit(dir, "memory.max");
    all.limits.memory_reservation = number(dir, "memory.low").filter(|n| *n > 0);
    all.limits.swap = limit(dir, "memory.swap.max");
}

/// Lines are `8:0 rbytes=1 wbytes=2 rios=3 wios=4 …`.
fn io_v2(stat: &str) -> Vec<DeviceIo> {
    let mut devices = Vec::new();
    for line in stat.lines() {
        let mut words = line.split(' ');
        let Some(at) = words.next().and_then(|name| device_at(&mut devices, name)) else {
            continue;
        };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let value = value.parse().unwrap_or(0);
            match key {
                "rbytes" => devices[at].read_bytes = value,
                "wbytes" => devices[at].write_bytes = value,
                "rios" => devices[at].reads = value,
                "wios" => devices[at].writes = value,
                _ => {}
            }
        }
    }
    devices
}

fn pressures(dir: &Path) -> Option<Pressures> {
    let of = |file: &str| pressure(&fs::read_to_string(dir.join(file)).ok()?);
    Some(Pressures {
        cpu: of("cpu.pressure")?,
        memory: of("memory.pressure")?,
        io: of("io.pressure")?,
    })
}

/// Lines are `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`.
pub(crate) fn pressure(text: &str) -> Option<Pressure> {
    let mut all = Pressure::default();
    for line in text.lines() {
        let (kind, rest) = line.split_once(' ')?;
        let mut stall = Stall::default();
        for (key, value) in rest.split(' ').filter_map(|word| word.split_once('=')) {
            match key {
                "avg10" => stall.averages[0] = value.parse().ok()?,
                "avg60" => stall.averages[1] = value.parse().ok()?,
                "avg300" => stall.averages[2] = value.parse().ok()?,
                "total" => stall.total = value.parse().ok()?,
                _ => {}
            }
        }
        match kind {
            "some" => all.some = stall,
            "full" => all.full = stall,
            _ => {}
        }
    }
    Some(all)
}

/// The cgroup of a process of ours as `/proc/<pid>/cgroup` tells: v2's line, else that of the CPU hierarchy.
pub fn own(proc_cgroup: &str) -> Option<String> {
    let of = |wanted: &dyn Fn(&str) -> bool| {
        proc_cgroup.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':');
            let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
            wanted(controllers).then(|| path.to_owned())
        })
    };
    of(&|c| c.split(',').any(|c| c == "cpu")).or_else(|| of(&str::is_empty))
}

impl Cgroups {
    /// Names of the cgroups directly below one, in the first hierarchy that carries controllers.
    pub fn below(&self, cgroup: &str) -> Vec<String> {
        let path = self.used().next().and_then(|h| h.path(cgroup).ok());
        let children = path.and_then(|path| super::directories(&path).ok());
        children
            .unwrap_or_default()
            .iter()
            .filter_map(|child| Some(child.file_name()?.to_str()?.to_owned()))
            .collect()
    }
}

#[cfg(test)]
mod tests;
