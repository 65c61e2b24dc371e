//! Metrics that are true at the moment somebody asks: Pods and containers by state, volumes, and the process.

use crate::model::usage::{FsUse, TreeUse};
use crate::sys::usage::ProcessUse;
use crate::telemetry::text::{Family, Kind};
use std::collections::BTreeMap;

/// What is now.
#[derive(Clone, Debug, Default)]
pub struct Now {
    /// Our Node's name.
    pub node: String,
    /// Pods the API server wants here.
    pub desired: u64,
    /// Those of them that have not ended.
    pub active: u64,
    /// Static Pods, and those of them that have not ended.
    pub statics: (u64, u64),
    /// Mirrors of static Pods.
    pub mirrors: u64,
    /// Ephemeral containers in the specs of those Pods.
    pub ephemeral: u64,
    /// Pods that ask for resources they were not granted, by upstream's reason.
    pub resizes_pending: BTreeMap<&'static str, u64>,
    /// Pods that were granted resources they do not have yet.
    pub resizes_in_progress: u64,
    /// Pods with a ready sandbox; `None` when the runtime does not answer.
    pub running: Option<u64>,
    /// Containers by state, in kubelet's words.
    pub containers: BTreeMap<&'static str, u64>,
    /// 1 or 2.
    pub cgroup_version: u64,
    /// Volumes of claims: namespace, claim, and how full they are.
    pub volumes: Vec<(String, String, FsUse, TreeUse)>,
    /// Logs: container, namespace, Pod, UID, bytes.
    pub logs: Vec<([String; 4], u64)>,
    /// This process.
    pub process: ProcessUse,
}

fn unsigned(value: u64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "the text format has floating-point numbers only"
    )]
    let value = value as f64;
    value
}

/// PURE. All of it as text.
pub fn render(now: &Now) -> String {
    let mut text = String::new();
    pods(now, &mut text);
    volumes(now, &mut text);
    process(&now.process, &mut text);
    build_info(&mut text);
    text
}

fn gauge(name: &'static str, help: &'static str, samples: &[(&[(&str, &str)], f64)], text: &mut String) {
    let mut family = Family::new(name, Kind::Gauge, help);
    for (labels, value) in samples {
        family.add(labels, *value, None);
    }
    family.write(text);
}

#[rustfmt::skip]
fn pods(now: &Now, text: &mut String) {
    gauge("kubelet_active_pods", "[ALPHA] The number of pods the kubelet considers active and which are being considered when admitting new pods. static is true if the pod is not from the apiserver.",
        &[(&[("static", "")], unsigned(now.active)), (&[("static", "true")], unsigned(now.statics.1))], text);
    gauge("kubelet_desired_pods", "[ALPHA] The number of pods the kubelet is being instructed to run. static is true if the pod is not from the apiserver.",
        &[(&[("static", "")], unsigned(now.desired)), (&[("static", "true")], unsigned(now.statics.0))], text);
    gauge("kubelet_mirror_pods", "[ALPHA] The number of mirror pods the kubelet will try to create (one per admitted static pod)",
        &[(&[], unsigned(now.mirrors))], text);
    gauge("kubelet_managed_ephemeral_containers", "[ALPHA] Current number of ephemeral containers in pods managed by this kubelet.", &[(&[], unsigned(now.ephemeral))], text);
    gauge("kubelet_pod_in_progress_resizes", "[ALPHA] Number of in-progress resizes for pods.", &[(&[], unsigned(now.resizes_in_progress))], text);
    let mut pending = Family::new("kubelet_pod_pending_resizes", Kind::Gauge, "[ALPHA] Number of pending resizes for pods.");
    for (reason, count) in &now.resizes_pending {
        pending.add(&[("reason", reason)], unsigned(*count), None);
    }
    pending.write(text);
    gauge("kubelet_cgroup_version", "[ALPHA] cgroup version on the hosts.", &[(&[], unsigned(now.cgroup_version))], text);
    gauge("kubelet_node_name", "[ALPHA] The node's name. The count is always 1.", &[(&[("node", &now.node)], 1.0)], text);
    if let Some(running) = now.running {
        gauge("kubelet_running_pods", "[ALPHA] Number of pods that have a running pod sandbox", &[(&[], unsigned(running))], text);
    }
    let mut containers = Family::new("kubelet_running_containers", Kind::Gauge, "[ALPHA] Number of containers currently running");
    for (state, count) in &now.containers {
        containers.add(&[("container_state", state)], unsigned(*count), None);
    }
    containers.write(text);
}

#[rustfmt::skip]
const VOLUME_ROWS: [(&str, &str); 6] = [
    ("kubelet_volume_stats_available_bytes", "[ALPHA] Number of available bytes in the volume"),
    ("kubelet_volume_stats_capacity_bytes", "[ALPHA] Capacity in bytes of the volume"),
    ("kubelet_volume_stats_inodes", "[ALPHA] Maximum number of inodes in the volume"),
    ("kubelet_volume_stats_inodes_free", "[ALPHA] Number of free inodes in the volume"),
    ("kubelet_volume_stats_inodes_used", "[ALPHA] Number of used inodes in the volume"),
    ("kubelet_volume_stats_used_bytes", "[ALPHA] Number of used bytes in the volume"),
];

fn volumes(now: &Now, text: &mut String) {
    let mut families = VOLUME_ROWS.map(|(name, help)| Family::new(name, Kind::Gauge, help));
    for (namespace, claim, fs, used) in &now.volumes {
        let labels = [
            ("namespace", namespace.as_str()),
            ("persistentvolumeclaim", claim),
        ];
        let values = [
            fs.available,
            fs.capacity,
            fs.inodes,
            fs.inodes_free,
            used.inodes,
            used.bytes,
        ];
        for (family, value) in families.iter_mut().zip(values) {
            family.add(&labels, unsigned(value), None);
        }
    }
    families.iter().for_each(|family| family.write(text));
    let mut logs = Family::new(
        "kubelet_container_log_filesystem_used_bytes",
        Kind::Gauge,
        "[ALPHA] Bytes used by the container's logs on the filesystem.",
    );
    for ([container, namespace, pod, uid], bytes) in &now.logs {
        let labels = [
            ("container", container.as_str()),
            ("namespace", namespace),
            ("pod", pod),
            ("uid", uid),
        ];
        logs.add(&labels, unsigned(*bytes), None);
    }
    logs.write(text);
}

fn process(process: &ProcessUse, text: &mut String) {
    let counters = [
        (
            "process_cpu_seconds_total",
            "Total user and system CPU time spent in seconds.",
            process.cpu_seconds,
        ),
        (
            "process_network_receive_bytes_total",
            "Number of bytes received by the process over the network.",
            unsigned(process.received_bytes),
        ),
        (
            "process_network_transmit_bytes_total",
            "Number of bytes sent by the process over the network.",
            unsigned(process.sent_bytes),
        ),
    ];
    for (name, help, value) in counters {
        let mut family = Family::new(name, Kind::Counter, help);
        family.add(&[], value, None);
        family.write(text);
    }
    let rows = [
        (
            "process_max_fds",
            "Maximum number of open file descriptors.",
            unsigned(process.max_fds),
        ),
        (
            "process_open_fds",
            "Number of open file descriptors.",
            unsigned(process.open_fds),
        ),
        (
            "process_resident_memory_bytes",
            "Resident memory size in bytes.",
            unsigned(process.resident_bytes),
        ),
        (
            "process_start_time_seconds",
            "Start time of the process since unix epoch in seconds.",
            process.started,
        ),
        (
            "process_virtual_memory_bytes",
            "Virtual memory size in bytes.",
            unsigned(process.virtual_bytes),
        ),
        (
            "process_virtual_memory_max_bytes",
            "Maximum amount of virtual memory available in bytes.",
            unsigned(process.virtual_max_bytes),
        ),
    ];
    for (name, help, value) in rows {
        gauge(name, help, &[(&[], value)], text);
    }
}

/// The version of Kubernetes whose kubelet this is a stand-in for, and who made it.
fn build_info(text: &mut String) {
    let version = crate::kubelet::node::status::KUBELET_VERSION;
    let mut numbers = version.trim_start_matches('v').split('.');
    let (major, minor) = (numbers.next().unwrap_or("1"), numbers.next().unwrap_or_default());
    let platform = match std::env::consts::ARCH {
        "x86_64" => "linux/amd64",
        "aarch64" => "linux/arm64",
        _ => "linux",
    };
    let labels = [
        ("build_date", ""),
        ("compiler", "rustc"),
        ("git_commit", ""),
        ("git_tree_state", ""),
        ("git_version", version),
        ("go_version", ""),
        ("major", major),
        ("minor", minor),
        ("platform", platform),
    ];
    gauge(
        "kubernetes_build_info",
        "[BETA] A metric with a constant '1' value labeled by major, minor, git version, git commit, git tree state, \
         build date, Go version, and compiler from which Kubernetes was built, and platform on which it is running.",
        &[(&labels, 1.0)],
        text,
    );
}
