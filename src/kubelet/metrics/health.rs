//! `/metrics/slis` (KEP-3466): how the checks of `/healthz` came out.

use super::{Counters, Gauges, KubeletMetrics, Labels};
use crate::telemetry::Metrics;
use crate::telemetry::text::classic;
use prometheus_client::metrics::family::Family;

pub(super) struct Health {
    registry: Metrics,
    checks: Gauges,
    made: Counters,
}

impl Default for Health {
    fn default() -> Self {
        let health = Self {
            registry: Metrics::new(),
            checks: Family::default(),
            made: Family::default(),
        };
        health.registry.register(|all| {
            all.register(
                "kubernetes_healthcheck",
                "[STABLE] This metric records the result of a single healthcheck.",
                health.checks.clone(),
            );
            all.register(
                "kubernetes_healthchecks",
                "[STABLE] This metric records the results of all healthcheck.",
                health.made.clone(),
            );
        });
        health
    }
}

impl KubeletMetrics {
    /// `/metrics/slis`.
    pub fn slis(&self) -> String {
        classic(&self.0.health.registry.encode())
    }

    /// Forgets what `/metrics/slis` has counted.
    pub fn reset_slis(&self) {
        self.0.health.checks.clear();
        self.0.health.made.clear();
    }

    /// A check of `/healthz` was made.
    pub fn health_checked(&self, name: &'static str, well: bool) {
        let health = &self.0.health;
        let mut labels: Labels = vec![("name", name.into()), ("type", "healthz".into())];
        health.checks.get_or_create(&labels).set(i64::from(well));
        let status = if well { "success" } else { "error" };
        labels.insert(1, ("status", status.into()));
        health.made.get_or_create(&labels).inc();
    }
}
