//! What became of resizes of Pods in place.

use super::{Buckets, Counters, Durations, KubeletMetrics, Labels, durations, one};
use crate::kubelet::resize::Request;
use prometheus_client::registry::Registry;
use std::time::Duration;

pub(super) struct Resizes {
    requested: Counters,
    took: Durations,
    infeasible: Counters,
    accepted: Counters,
}

impl Default for Resizes {
    fn default() -> Self {
        Self {
            requested: Counters::default(),
            took: durations(Buckets::Resize),
            infeasible: Counters::default(),
            accepted: Counters::default(),
        }
    }
}

impl Resizes {
    #[rustfmt::skip]
    pub(super) fn register(&self, all: &mut Registry) {
        all.register("kubelet_container_requested_resizes", "[ALPHA] Number of requested resizes, counted at the container level. Different resources on the same container are counted separately. The 'requirement' label refers to 'memory' or 'limits'; the 'operation' label can be one of 'add', 'remove', 'increase' or 'decrease'.", self.requested.clone());
        all.register("kubelet_pod_resize_duration_milliseconds", "[ALPHA] Duration in milliseconds to actuate a pod resize", self.took.clone());
        all.register("kubelet_pod_infeasible_resizes", "[ALPHA] Number of infeasible resizes for pods.", self.infeasible.clone());
        all.register("kubelet_pod_deferred_accepted_resizes", "[ALPHA] Cumulative number of resizes that were accepted after being deferred.", self.accepted.clone());
    }
}

impl KubeletMetrics {
    /// A container's requests or limits were changed in its spec.
    pub fn resize_requested(&self, request: &Request) {
        let labels: Labels = vec![
            ("operation", request.operation.into()),
            ("requirement", request.requirement.into()),
            ("resource", request.resource.into()),
        ];
        self.0.resizes.requested.get_or_create(&labels).inc();
    }

    /// A Pod has what it was granted, or could not be given it, `took` after it was granted.
    pub fn resized(&self, well: bool, took: Duration) {
        let labels = one("success", if well { "true" } else { "false" });
        let family = self.0.resizes.took.get_or_create(&labels);
        family.observe(took.as_secs_f64() * 1000.0);
    }

    /// What a Pod asks for can never be, for this reason.
    pub fn resize_infeasible(&self, why: &'static str) {
        let labels = one("reason_detail", why);
        self.0.resizes.infeasible.get_or_create(&labels).inc();
    }

    /// A resize that had to wait was granted when this happened.
    pub fn resize_accepted(&self, trigger: &'static str) {
        let labels = one("retry_trigger", trigger);
        self.0.resizes.accepted.get_or_create(&labels).inc();
    }
}
