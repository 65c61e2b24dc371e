//! What was done for Pods besides starting them: volumes, images, status, ends of containers, refusals.

use super::{Buckets, Counters, Durations, Gauges, KubeletMetrics, Labels, durations, one};
use crate::kubelet::shutdown::record::Record;
use crate::model::PodUid;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, PodStatus};
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Whose view of volumes is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum State {
    /// What Pods want.
    Desired,
    /// What is set up.
    Actual,
}

pub(super) struct Work {
    storage_took: Durations,
    volumes: Gauges,
    pull_took: Durations,
    status_took: Histogram,
    containers: Histogram,
    ended: Counters,
    refused: Counters,
    preempted: Counters,
    shutdown_start: Gauge,
    shutdown_end: Gauge,
    /// Protects which volumes each Pod wants, and has, by plugin.
    of_pods: Mutex<HashMap<(State, PodUid), Vec<&'static str>>>,
}

impl Default for Work {
    fn default() -> Self {
        Self {
            storage_took: durations(Buckets::Storage),
            volumes: Family::default(),
            pull_took: durations(Buckets::Pull),
            status_took: Buckets::Status.new_metric(),
            containers: Histogram::new(exponential_buckets(1.0, 2.0, 5)),
            ended: Family::default(),
            refused: Family::default(),
            preempted: Family::default(),
            shutdown_start: Gauge::default(),
            shutdown_end: Gauge::default(),
            of_pods: Mutex::default(),
        }
    }
}

impl Work {
    #[rustfmt::skip]
    pub(super) fn register(&self, all: &mut Registry) {
        all.register("kubelet_admission_rejections", "[ALPHA] Cumulative number pod admission rejections by the Kubelet.", self.refused.clone());
        all.register("kubelet_containers_per_pod_count", "[ALPHA] The number of containers per pod.", self.containers.clone());
        all.register("kubelet_graceful_shutdown_end_time_seconds", "[ALPHA] Last graceful shutdown end time since unix epoch in seconds", self.shutdown_end.clone());
        all.register("kubelet_graceful_shutdown_start_time_seconds", "[ALPHA] Last graceful shutdown start time since unix epoch in seconds", self.shutdown_start.clone());
        all.register("kubelet_image_pull_duration_seconds", "[ALPHA] Duration in seconds to pull an image.", self.pull_took.clone());
        all.register("kubelet_pod_status_sync_duration_seconds", "[ALPHA] Duration in seconds to sync a pod status update. Measures time from detection of a change to pod status until the API is successfully updated for that pod, even if multiple intevening changes to pod status occur.", self.status_took.clone());
        all.register("kubelet_preemptions", "[ALPHA] Cumulative number of pod preemptions by preemption resource", self.preempted.clone());
        all.register("kubelet_terminated_containers", "[ALPHA] Cumulative number of container terminations.", self.ended.clone());
        all.register("storage_operation_duration_seconds", "[ALPHA] Storage operation duration", self.storage_took.clone());
        all.register("volume_manager_total_volumes", "[ALPHA] Number of volumes in Volume Manager", self.volumes.clone());
    }

    fn count_volumes(&self, state: State, uid: &PodUid, plugins: Option<Vec<&'static str>>) {
        let gauge = |plugin: &'static str| {
            let name = match state {
                State::Desired => "desired_state_of_world",
                State::Actual => "actual_state_of_world",
            };
            let labels: Labels = vec![("plugin_name", plugin.into()), ("state", name.into())];
            self.volumes.get_or_create_owned(&labels)
        };
        let mut of_pods = self.of_pods.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (state, uid.clone());
        for plugin in of_pods.remove(&key).unwrap_or_default() {
            gauge(plugin).dec();
        }
        if let Some(plugins) = plugins {
            for plugin in &plugins {
                gauge(plugin).inc();
            }
            of_pods.insert(key, plugins);
        }
    }
}

impl KubeletMetrics {
    /// One volume was set up, or brought up to date, or was not; `plugin` as in `kubernetes.io/configmap`.
    pub fn volume_mounted(&self, plugin: &'static str, well: bool, took: Duration) {
        let status = if well { "success" } else { "fail-unknown" };
        let labels: Labels = vec![
            ("migrated", "false".into()),
            ("operation_name", "volume_mount".into()),
            ("status", status.into()),
            ("volume_plugin", plugin.into()),
        ];
        let family = self.0.work.storage_took.get_or_create(&labels);
        family.observe(took.as_secs_f64());
    }

    /// These volumes of a Pod are to be set up, by plugin.
    pub fn volumes_wanted(&self, uid: &PodUid, plugins: Vec<&'static str>) {
        self.0.work.count_volumes(State::Desired, uid, Some(plugins));
    }

    /// These volumes of a Pod are set up now, by plugin.
    pub fn volumes_set_up(&self, uid: &PodUid, plugins: Vec<&'static str>) {
        self.0.work.count_volumes(State::Actual, uid, Some(plugins));
    }

    /// The Pod has no volumes any more.
    pub fn volumes_removed(&self, uid: &PodUid) {
        self.0.work.count_volumes(State::Desired, uid, None);
        self.0.work.count_volumes(State::Actual, uid, None);
    }

    /// When the last shutdown of the machine began and ended, whole seconds; 0 for what is not known.
    pub fn shutdown(&self, record: Record) {
        let seconds = |time: Option<Timestamp>| time.map_or(0, Timestamp::as_second);
        self.0.work.shutdown_start.set(seconds(record.start));
        self.0.work.shutdown_end.set(seconds(record.end));
    }

    /// An image of this many bytes (0: nobody knows) was downloaded.
    pub fn image_pulled(&self, bytes: u64, took: Duration) {
        let labels = one("image_size_in_bytes", size(bytes));
        let family = self.0.work.pull_took.get_or_create(&labels);
        family.observe(took.as_secs_f64());
    }

    /// The API server has a Pod's status, `took` after it changed.
    pub fn status_told(&self, took: Duration) {
        self.0.work.status_took.observe(took.as_secs_f64());
    }

    /// A worker has begun with a Pod of this many containers.
    pub fn pod_begun(&self, containers: usize) {
        let containers = u32::try_from(containers).unwrap_or(u32::MAX);
        self.0.work.containers.observe(f64::from(containers));
    }

    /// A Pod was refused for this reason.
    pub fn pod_refused(&self, reason: &'static str) {
        self.0.work.refused.get_or_create(&one("reason", reason)).inc();
    }

    /// A Pod has to go because a critical one lacks this resource.
    pub fn pod_preempted(&self, resource: &str) {
        let labels: Labels = vec![("preemption_signal", resource.to_owned().into())];
        self.0.work.preempted.get_or_create(&labels).inc();
    }

    /// Counts containers that have ended since the status before.
    pub fn containers_ended(&self, before: &PodStatus, now: &PodStatus) {
        for (kind, code, reason) in ended(before, now) {
            let labels: Labels = vec![
                ("container_type", kind.into()),
                ("exit_code", code.to_string().into()),
                ("reason", reason.into()),
            ];
            self.0.work.ended.get_or_create(&labels).inc();
        }
    }
}

/// PURE. Containers that have ended since the status before: type, exit code, reason.
fn ended(before: &PodStatus, now: &PodStatus) -> Vec<(&'static str, i32, String)> {
    let kinds = [
        (
            "init_container",
            &before.init_container_statuses,
            &now.init_container_statuses,
        ),
        ("container", &before.container_statuses, &now.container_statuses),
        (
            "ephemeral_container",
            &before.ephemeral_container_statuses,
            &now.ephemeral_container_statuses,
        ),
    ];
    let mut found = Vec::new();
    for (kind, before, now) in kinds {
        for new in now.iter().flatten() {
            let end = |status: &ContainerStatus| status.state.as_ref().and_then(|s| s.terminated.clone());
            let mut old = before.iter().flatten().filter(|old| old.name == new.name);
            let Some(end) = end(new).filter(|_| !old.any(|old| end(old).is_some())) else {
                continue;
            };
            found.push((kind, end.exit_code, end.reason.unwrap_or_default()));
        }
    }
    found
}

/// PURE. kubelet's label for an image's size.
fn size(bytes: u64) -> &'static str {
    const MB: u64 = 1 << 20;
    const GB: u64 = 1 << 30;
    const SIZES: [(u64, &str); 12] = [
        (100 * GB, "GT100GB"),
        (60 * GB, "60GB-100GB"),
        (40 * GB, "40GB-60GB"),
        (30 * GB, "30GB-40GB"),
        (20 * GB, "20GB-30GB"),
        (10 * GB, "10GB-20GB"),
        (5 * GB, "5GB-10GB"),
        (GB, "1GB-5GB"),
        (500 * MB, "500MB-1GB"),
        (100 * MB, "100MB-500MB"),
        (10 * MB, "10MB-100MB"),
        (0, "0-10MB"),
    ];
    let found = SIZES.iter().find(|(least, _)| bytes > *least);
    found.map_or("N/A", |(_, label)| label)
}

#[cfg(test)]
mod tests;
