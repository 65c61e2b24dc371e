//! What the proxy counts, under kube-proxy's names.

use crate::model::net::IpFamily;
use crate::model::tables::Table;
use crate::telemetry::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets, linear_buckets};
use std::sync::atomic::AtomicU64;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByFamily {
    ip_family: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByTable {
    table: &'static str,
    ip_family: &'static str,
}

type Durations = Family<ByFamily, Histogram, fn() -> Histogram>;

/// Counters of the proxy. Cheap to clone; counting works whether or not they are registered.
#[derive(Clone, Debug)]
pub struct ProxyMetrics {
    sync: Durations,
    full: Durations,
    partial: Durations,
    programming: Durations,
    last_sync: Family<ByFamily, Gauge<f64, AtomicU64>>,
    restore_failures: Family<ByFamily, Counter>,
    rules: Family<ByTable, Gauge>,
    deleted_flows: Family<ByFamily, Counter>,
    service_changes: Counter,
    endpoint_changes: Counter,
    problems: Gauge,
}

/// 1 ms to 16 s.
fn sync_buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 15))
}

/// 0.25 s to 5 minutes.
fn programming_buckets() -> Histogram {
    let first = linear_buckets(0.25, 0.25, 2).chain(linear_buckets(1.0, 1.0, 59));
    Histogram::new(
        first
            .chain(linear_buckets(60.0, 5.0, 12))
            .chain(linear_buckets(120.0, 30.0, 7)),
    )
}

impl Default for ProxyMetrics {
    fn default() -> Self {
        let durations = || Durations::new_with_constructor(sync_buckets as fn() -> Histogram);
        Self {
            sync: durations(),
            full: durations(),
            partial: durations(),
            programming: Durations::new_with_constructor(programming_buckets as fn() -> Histogram),
            last_sync: Family::default(),
            restore_failures: Family::default(),
            rules: Family::default(),
            deleted_flows: Family::default(),
            service_changes: Counter::default(),
            endpoint_changes: Counter::default(),
            problems: Gauge::default(),
        }
    }
}

fn label(family: IpFamily) -> &'static str {
    match family {
        IpFamily::V4 => "IPv4",
        IpFamily::V6 => "IPv6",
    }
}

fn by_family(family: IpFamily) -> ByFamily {
    ByFamily {
        ip_family: label(family),
    }
}

impl ProxyMetrics {
    /// Shows them at `/metrics`.
    pub fn register(&self, metrics: &Metrics) {
        metrics.register(|registry| {
            let all = registry.sub_registry_with_prefix("kubeproxy");
            all.register(
                "sync_proxy_rules_duration_seconds",
                "Duration of a sync",
                self.sync.clone(),
            );
            all.register(
                "sync_full_proxy_rules_duration_seconds",
                "Duration of a full sync",
                self.full.clone(),
            );
            let name = "sync_partial_proxy_rules_duration_seconds";
            all.register(name, "Duration of a sync of what changed", self.partial.clone());
            let name = "network_programming_duration_seconds";
            all.register(
                name,
                "From the change of endpoints to its rules",
                self.programming.clone(),
            );
            let name = "sync_proxy_rules_last_timestamp_seconds";
            all.register(
                name,
                "Unix time of the last successful sync",
                self.last_sync.clone(),
            );
            let name = "sync_proxy_rules_iptables_restore_failures";
            all.register(
                name,
                "Transactions that were refused",
                self.restore_failures.clone(),
            );
            all.register(
                "sync_proxy_rules_iptables_total",
                "Rules in the kernel",
                self.rules.clone(),
            );
            let name = "conntrack_reconciler_deleted_entries";
            all.register(name, "Stale UDP entries deleted", self.deleted_flows.clone());
            let name = "sync_proxy_rules_service_changes";
            all.register(name, "Changes of Services seen", self.service_changes.clone());
            let name = "sync_proxy_rules_endpoint_changes";
            all.register(
                name,
                "Changes of EndpointSlices seen",
                self.endpoint_changes.clone(),
            );
            let name = "rustlet_problems";
            all.register(
                name,
                "Parts of objects that cannot be programmed",
                self.problems.clone(),
            );
        });
    }

    /// A successful sync.
    pub(super) fn synced(&self, family: IpFamily, full: bool, seconds: f64) {
        let key = by_family(family);
        self.sync.get_or_create(&key).observe(seconds);
        (if full { &self.full } else { &self.partial })
            .get_or_create(&key)
            .observe(seconds);
        let now = jiff::Timestamp::now().as_duration().as_secs_f64();
        self.last_sync.get_or_create(&key).set(now);
    }

    /// A refused transaction.
    pub(super) fn failed(&self, family: IpFamily) {
        self.restore_failures.get_or_create(&by_family(family)).inc();
    }

    /// Rules the kernel holds now.
    pub(super) fn rules(&self, family: IpFamily, table: Table, count: usize) {
        let key = ByTable {
            table: table.as_str(),
            ip_family: label(family),
        };
        self.rules
            .get_or_create(&key)
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// A change of endpoints is programmed this long after it happened.
    pub(super) fn programmed(&self, seconds: f64) {
        self.programming
            .get_or_create(&by_family(IpFamily::V4))
            .observe(seconds.max(0.0));
    }

    /// Deleted connection entries.
    pub(super) fn flows_deleted(&self, family: IpFamily, count: usize) {
        self.deleted_flows
            .get_or_create(&by_family(family))
            .inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// A change of Services arrived.
    pub(super) fn service_change(&self) {
        self.service_changes.inc();
    }

    /// A change of EndpointSlices arrived.
    pub(super) fn endpoint_change(&self) {
        self.endpoint_changes.inc();
    }

    /// Parts of objects that are left out now.
    pub(super) fn problems(&self, count: usize) {
        self.problems.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}
