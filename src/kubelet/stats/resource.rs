//! PURE. `/metrics/resource`: what metrics-server reads.

use super::snapshot::{Snapshot, Used};
use crate::telemetry::text::{Family, Kind, render};

/// The families, in upstream's order: by name.
struct Resource {
    container: [Family; 5],
    node: [Family; 3],
    pod: [Family; 3],
}

/// All of it as text; `None` when nothing could be collected.
pub fn resource(snapshot: Option<&Snapshot>) -> String {
    let mut all = families();
    if let Some(snapshot) = snapshot {
        all.node(&snapshot.root);
        for pod in &snapshot.pods {
            let of_pod = render(&[("namespace", &pod.namespace), ("pod", &pod.name)]);
            if let Some(used) = &pod.used {
                all.pod(&of_pod, used);
            }
            for container in &pod.containers {
                let labels = [
                    ("container", &*container.name),
                    ("namespace", &pod.namespace),
                    ("pod", &pod.name),
                ];
                all.container(&render(&labels), container.created, &container.used);
            }
        }
    }
    let mut error = Family::new(
        "resource_scrape_error",
        Kind::Gauge,
        "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise",
    );
    error.add(&[], if snapshot.is_none() { 1.0 } else { 0.0 }, None);
    let mut text = String::new();
    all.container
        .iter()
        .chain(&all.node)
        .chain(&all.pod)
        .for_each(|f| f.write(&mut text));
    error.write(&mut text);
    text
}

fn families() -> Resource {
    let counter = |name, help| Family::new(name, Kind::Counter, help);
    let gauge = |name, help| Family::new(name, Kind::Gauge, help);
    Resource {
        container: [
            counter(
                "container_cpu_usage_seconds_total",
                "[STABLE] Cumulative cpu time consumed by the container in core-seconds",
            ),
            gauge(
                "container_memory_working_set_bytes",
                "[STABLE] Current working set of the container in bytes",
            ),
            gauge(
                "container_start_time_seconds",
                "[STABLE] Start time of the container since unix epoch in seconds",
            ),
            gauge(
                "container_swap_limit_bytes",
                "[ALPHA] Current amount of the container swap limit in bytes. Reported only on non-windows systems",
            ),
            gauge(
                "container_swap_usage_bytes",
                "[ALPHA] Current amount of the container swap usage in bytes. Reported only on non-windows systems",
            ),
        ],
        node: [
            counter(
                "node_cpu_usage_seconds_total",
                "[STABLE] Cumulative cpu time consumed by the node in core-seconds",
            ),
            gauge(
                "node_memory_working_set_bytes",
                "[STABLE] Current working set of the node in bytes",
            ),
            gauge(
                "node_swap_usage_bytes",
                "[ALPHA] Current swap usage of the node in bytes. Reported only on non-windows systems",
            ),
        ],
        pod: [
            counter(
                "pod_cpu_usage_seconds_total",
                "[STABLE] Cumulative cpu time consumed by the pod in core-seconds",
            ),
            gauge(
                "pod_memory_working_set_bytes",
                "[STABLE] Current working set of the pod in bytes",
            ),
            gauge(
                "pod_swap_usage_bytes",
                "[ALPHA] Current amount of the pod swap usage in bytes. Reported only on non-windows systems",
            ),
        ],
    }
}

impl Resource {
    fn container(&mut self, labels: &str, created: i64, used: &Used) {
        let [cpu, memory, start, swap_limit, swap] = &mut self.container;
        three([cpu, memory, swap], labels, used);
        start.add_rendered(labels, float(created) / 1e9, None);
        if let Some(limit) = used.usage.limits.swap {
            swap_limit.add_rendered(labels, unsigned(limit), Some(millis(used)));
        }
    }

    fn node(&mut self, used: &Used) {
        three(self.node.each_mut(), "", used);
    }

    fn pod(&mut self, labels: &str, used: &Used) {
        three(self.pod.each_mut(), labels, used);
    }
}

/// CPU time, working set and swap.
fn three([cpu, memory, swap]: [&mut Family; 3], labels: &str, used: &Used) {
    let at = Some(millis(used));
    if let Some(total) = used.usage.cpu.total {
        cpu.add_rendered(labels, unsigned(total) / 1e9, at);
    }
    if used.usage.memory.usage.is_some() {
        memory.add_rendered(labels, unsigned(used.usage.memory.working_set()), at);
    }
    swap.add_rendered(labels, unsigned(used.usage.memory.swap), at);
}

/// When a cgroup was read, Unix milliseconds.
pub(super) fn millis(used: &Used) -> i64 {
    used.usage.read_at / 1_000_000
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the text format has floating-point numbers only"
)]
pub(super) fn unsigned(value: u64) -> f64 {
    value as f64
}

#[expect(clippy::cast_precision_loss, reason = "as above")]
pub(super) fn float(value: i64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests;
