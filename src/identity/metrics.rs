//! What upstream's kubelet counts about its certificates, under its names.

use crate::telemetry::Metrics;
use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// No certificate.
const NONE: i64 = i64::MAX;
const DAY: f64 = 86400.0;

/// Counts; cheap to clone.
#[derive(Clone, Debug)]
pub struct IdentityMetrics {
    /// End of the client certificate.
    pub client_ttl: Ttl,
    /// Failed attempts to renew it.
    pub client_errors: Errors,
    /// End of the serving certificate, when the cluster signs it.
    pub server_ttl: Ttl,
    /// Failed attempts to renew it.
    pub server_errors: Errors,
    /// Seconds since the issue of serving certificates that were replaced.
    pub server_rotation: Histogram,
}

/// When a certificate ends.
#[derive(Clone, Debug)]
pub struct Ttl(Arc<AtomicI64>);

/// A number of failures.
#[derive(Clone, Debug, Default)]
pub struct Errors(Arc<AtomicU64>);

impl Ttl {
    /// From now on the certificate that ends then is in use; `None`: none is.
    pub fn set(&self, not_after: Option<Timestamp>) {
        self.0
            .store(not_after.map_or(NONE, Timestamp::as_second), Ordering::Relaxed);
    }

    /// Seconds left; negative when it has expired, infinite when there is none.
    fn left(&self, now: Timestamp) -> f64 {
        match self.0.load(Ordering::Relaxed) {
            NONE => f64::INFINITY,
            end => (end as f64) - (now.as_second() as f64),
        }
    }
}

impl Errors {
    /// One more.
    pub fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Default for IdentityMetrics {
    fn default() -> Self {
        let none = || Ttl(Arc::new(AtomicI64::new(NONE)));
        let buckets = [
            60.0,
            3600.0,
            4.0 * 3600.0,
            DAY,
            7.0 * DAY,
            30.0 * DAY,
            90.0 * DAY,
            180.0 * DAY,
            360.0 * DAY,
            1440.0 * DAY,
        ];
        Self {
            client_ttl: none(),
            client_errors: Errors::default(),
            server_ttl: none(),
            server_errors: Errors::default(),
            server_rotation: Histogram::new(buckets),
        }
    }
}

impl IdentityMetrics {
    /// Shows them. Those of the serving certificate exist upstream only when the cluster signs it (`server_csr`).
    pub fn register(&self, metrics: &Metrics, server_csr: bool) {
        metrics.register(|registry| {
            registry.register_collector(Box::new(Shown {
                metrics: self.clone(),
                server_csr,
            }));
            if server_csr {
                registry.register(
                    "kubelet_certificate_manager_server_rotation_seconds",
                    "Histogram of the number of seconds the previous certificate lived before being rotated",
                    self.server_rotation.clone(),
                );
            }
        });
    }
}

/// Computes at each look: time passes without anybody setting anything. Counters too are written by hand, since the
/// library would append `_total` to names that upstream has without it.
struct Shown {
    metrics: IdentityMetrics,
    server_csr: bool,
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("certificates")
    }
}

impl Collector for Shown {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let now = Timestamp::now();
        let mut show = |name: &str, help: &str, value: f64| {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(metric)
        };
        let errors = |errors: &Errors| errors.0.load(Ordering::Relaxed) as f64;
        let of = &self.metrics;
        show(
            "kubelet_certificate_manager_client_ttl_seconds",
            "Seconds until the client certificate expires; negative if it has, +Inf if there is none",
            of.client_ttl.left(now),
        )?;
        show(
            "kubelet_certificate_manager_client_expiration_renew_errors",
            "Counter of certificate renewal errors",
            errors(&of.client_errors),
        )?;
        if !self.server_csr {
            return Ok(());
        }
        show(
            "kubelet_certificate_manager_server_ttl_seconds",
            "Seconds until the serving certificate expires; negative if it has, +Inf if there is none",
            of.server_ttl.left(now),
        )?;
        show(
            "kubelet_server_expiration_renew_errors",
            "Counter of certificate renewal errors",
            errors(&of.server_errors),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_upstreams() {
        let metrics = Metrics::new();
        let identity = IdentityMetrics::default();
        identity.register(&metrics, true);
        let text = metrics.encode();
        assert!(
            text.contains("\nkubelet_certificate_manager_client_ttl_seconds inf\n"),
            "{text}"
        );
        identity.client_ttl.set(Some(Timestamp::from_second(0).unwrap()));
        identity.client_errors.count();
        identity.server_rotation.observe(61.0);
        let text = metrics.encode();
        for line in [
            "\nkubelet_certificate_manager_client_ttl_seconds -",
            "\nkubelet_certificate_manager_client_expiration_renew_errors 1",
            "\nkubelet_certificate_manager_server_ttl_seconds inf",
            "\nkubelet_certificate_manager_server_rotation_seconds_bucket{le=\"60.0\"} 0",
            "\nkubelet_certificate_manager_server_rotation_seconds_bucket{le=\"3600.0\"} 1",
            "\nkubelet_server_expiration_renew_errors 0",
        ] {
            assert!(text.contains(line), "no {line:?} in {text}");
        }
    }
}
