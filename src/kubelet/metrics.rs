//! What the pod side counts, under kubelet's names: `/metrics` and `/metrics/probes` of the node's API. The Service
//! proxy's own numbers stay on its port, as kube-proxy's.
//!
//! Every family has the name, kind, labels and buckets of upstream's. Those of upstream's that are not here:
//! - `go_*`, `workqueue_*`, `apiserver_*`, `aggregator_*`, `registered_metrics_total` and their like tell of Go's
//!   runtime and of libraries we do not have. A panel of goroutines stays empty rather than show something else.
//! - `rest_client_rate_limiter_duration_seconds`, `rest_client_transport_*`, `rest_client_exec_plugin_*`: there is no
//!   client-side rate limit, no cache of transports, no credential plugin.
//! - `kubelet_evented_pleg_*`, `kubelet_pleg_discard_events`, `kubelet_pleg_pod_relist_duration_seconds`: events and
//!   relists are one mechanism here; what is dropped is found by the next relist.
//! - `kubelet_imagemanager_inmemory_*`: what is known of pulls is read from the disk, there is no cache to fill.
//! - `kubelet_working_pods`, `kubelet_orphan*`, `kubelet_restarted_pods_total`, `reconstruct_volume_operations_*`,
//!   `force_cleaned_*`: they count repairs of state that kubelet keeps twice; ours is in one place.
//! - `kubelet_cpu_manager_*`, `kubelet_memory_manager_*`, `kubelet_topology_manager_*`, `dra_*`,
//!   `kubelet_first_network_pod_start_sli_duration_seconds`, `kubernetes_feature_enabled`: what they count does not
//!   happen here.

mod health;
mod images;
mod now;
mod resizes;
mod startup;
mod starts;
mod work;

pub use images::{Check, Wish};
pub use now::{Now, render};

use crate::api;
use crate::cri;
use crate::kubelet::observed::Observed;
use crate::model::PodUid;
use crate::model::pod::Pod;
use crate::telemetry::Metrics;
use crate::telemetry::text::classic;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use starts::Starts;
use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Names and values of labels, alphabetically.
type Labels = Vec<(&'static str, Cow<'static, str>)>;
type Counters = Family<Labels, Counter>;
type Gauges = Family<Labels, Gauge>;
type Durations = Family<Labels, Histogram, Buckets>;

/// Bounds of a histogram's buckets, seconds.
#[derive(Clone, Copy, Debug)]
enum Buckets {
    /// Prometheus' own.
    Default,
    /// Calls to the runtime: 5 ms to 12 minutes.
    Runtime,
    /// Starts of Pods: half a second to an hour.
    Start,
    /// Requests to the API server.
    Api,
    /// Work on volumes: a tenth of a second to ten minutes.
    Storage,
    /// Status updates of Pods: 10 ms to a minute.
    Status,
    /// Downloads of images: a second to an hour.
    Pull,
    /// Resizes of Pods, in milliseconds: 10 ms to ten minutes.
    Resize,
}

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        match self {
            Self::Default => Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]),
            Self::Runtime => Histogram::new(exponential_buckets(0.005, 2.5, 14)),
            Self::Start => Histogram::new(START.iter().copied()),
            Self::Storage => Histogram::new([
                0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 25.0, 50.0, 120.0, 300.0, 600.0,
            ]),
            Self::Status => Histogram::new([0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0]),
            Self::Pull => Histogram::new(PULL.iter().copied()),
            Self::Resize => Histogram::new(RESIZE.iter().copied()),
            Self::Api => Histogram::new([0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0]),
        }
    }
}

#[rustfmt::skip]
const START: [f64; 25] = [
    0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 20.0, 30.0, 45.0, 60.0, 120.0, 180.0, 240.0, 300.0, 360.0, 480.0,
    600.0, 900.0, 1200.0, 1800.0, 2700.0, 3600.0,
];

#[rustfmt::skip]
const RESIZE: [f64; 14] = [
    10.0, 50.0, 100.0, 500.0, 1e3, 2e3, 5e3, 10e3, 20e3, 30e3, 60e3, 120e3, 300e3, 600e3,
];

#[rustfmt::skip]
const PULL: [f64; 18] = [
    1.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 180.0, 240.0, 300.0, 360.0, 480.0, 600.0, 900.0, 1200.0, 1800.0, 2700.0,
    3600.0,
];

fn durations(buckets: Buckets) -> Durations {
    Family::new_with_constructor(buckets)
}

fn one(name: &'static str, value: impl Into<Cow<'static, str>>) -> Labels {
    vec![(name, value.into())]
}

/// Everything that is counted. Cheap to clone; clones count together.
#[derive(Clone)]
pub struct KubeletMetrics(Arc<Inner>);

struct Inner {
    registry: Metrics,
    probe_registry: Metrics,
    health: health::Health,
    startup: startup::Startup,
    work: work::Work,
    images: images::Images,
    resizes: resizes::Resizes,
    runtime: Counters,
    runtime_errors: Counters,
    runtime_took: Durations,
    providers_took: Durations,
    provider_errors: Counters,
    sandbox_took: Durations,
    sandbox_errors: Counters,
    requests: Counters,
    requests_took: Durations,
    inflight: Gauges,
    api: Counters,
    api_took: Durations,
    pods_started: Counter,
    pods_failed: Counter,
    users_started: Counter,
    users_failed: Counter,
    containers_started: Counters,
    containers_failed: Counters,
    worker_took: Durations,
    worker_start: Histogram,
    pod_start: Histogram,
    pod_start_sli: Histogram,
    pod_start_total: Histogram,
    relist_took: Histogram,
    relist_interval: Histogram,
    relist_seen: Gauge<f64, AtomicU64>,
    cgroups_took: Durations,
    evictions: Counters,
    eviction_stats_age: Durations,
    images_removed: Counters,
    websockets: Counters,
    probes: Counters,
    probes_took: Durations,
    /// Protects how far the start of each Pod is.
    starts: Mutex<Starts>,
}

impl fmt::Debug for KubeletMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KubeletMetrics").finish_non_exhaustive()
    }
}

impl Default for KubeletMetrics {
    fn default() -> Self {
        let histogram = |buckets: Buckets| buckets.new_metric();
        let inner = Inner {
            registry: Metrics::new(),
            probe_registry: Metrics::new(),
            health: health::Health::default(),
            startup: startup::Startup::default(),
            work: work::Work::default(),
            images: images::Images::default(),
            resizes: resizes::Resizes::default(),
            runtime: Family::default(),
            runtime_errors: Family::default(),
            runtime_took: durations(Buckets::Runtime),
            providers_took: durations(Buckets::Default),
            provider_errors: Family::default(),
            sandbox_took: durations(Buckets::Default),
            sandbox_errors: Family::default(),
            requests: Family::default(),
            requests_took: durations(Buckets::Default),
            inflight: Family::default(),
            api: Family::default(),
            api_took: durations(Buckets::Api),
            pods_started: Counter::default(),
            pods_failed: Counter::default(),
            users_started: Counter::default(),
            users_failed: Counter::default(),
            containers_started: Family::default(),
            containers_failed: Family::default(),
            worker_took: durations(Buckets::Default),
            worker_start: histogram(Buckets::Default),
            pod_start: histogram(Buckets::Start),
            pod_start_sli: histogram(Buckets::Start),
            pod_start_total: histogram(Buckets::Start),
            relist_took: histogram(Buckets::Default),
            relist_interval: histogram(Buckets::Default),
            relist_seen: Gauge::default(),
            cgroups_took: durations(Buckets::Default),
            evictions: Family::default(),
            eviction_stats_age: durations(Buckets::Default),
            images_removed: Family::default(),
            websockets: Family::default(),
            probes: Family::default(),
            probes_took: durations(Buckets::Default),
            starts: Mutex::default(),
        };
        inner.registry.register(|registry| inner.register(registry));
        inner
            .probe_registry
            .register(|registry| inner.register_probes(registry));
        inner.registry.register(|registry| {
            inner.startup.register(registry);
            inner.work.register(registry);
            inner.images.register(registry);
            inner.resizes.register(registry);
        });
        Self(Arc::new(inner))
    }
}

impl Inner {
    #[rustfmt::skip]
    fn register(&self, all: &mut Registry) {
        all.register("kubelet_cgroup_manager_duration_seconds", "[ALPHA] Duration in seconds for cgroup manager operations. Broken down by method.", self.cgroups_took.clone());
        all.register("kubelet_credential_provider_plugin_duration", "[ALPHA] Duration of execution in seconds for credential provider plugin", self.providers_took.clone());
        all.register("kubelet_credential_provider_plugin_errors", "[ALPHA] Number of errors from credential provider plugin", self.provider_errors.clone());
        all.register("kubelet_eviction_stats_age_seconds", "[ALPHA] Time between when stats are collected, and when pod is evicted based on those stats by eviction signal", self.eviction_stats_age.clone());
        all.register("kubelet_evictions", "[ALPHA] Cumulative number of pod evictions by eviction signal", self.evictions.clone());
        all.register("kubelet_http_inflight_requests", "[ALPHA] Number of the inflight http requests", self.inflight.clone());
        all.register("kubelet_http_requests_duration_seconds", "[ALPHA] Duration in seconds to serve http requests", self.requests_took.clone());
        all.register("kubelet_http_requests", "[ALPHA] Number of the http requests received since the server started", self.requests.clone());
        all.register("kubelet_image_garbage_collected", "[ALPHA] Total number of images garbage collected by the kubelet, whether through disk usage or image age.", self.images_removed.clone());
        all.register("kubelet_pleg_last_seen_seconds", "[ALPHA] Timestamp in seconds when PLEG was last seen active.", self.relist_seen.clone());
        all.register("kubelet_pleg_relist_duration_seconds", "[ALPHA] Duration in seconds for relisting pods in PLEG.", self.relist_took.clone());
        all.register("kubelet_pleg_relist_interval_seconds", "[ALPHA] Interval in seconds between relisting in PLEG.", self.relist_interval.clone());
        all.register("kubelet_pod_start_duration_seconds", "[ALPHA] Duration in seconds from kubelet seeing a pod for the first time to the pod starting to run", self.pod_start.clone());
        all.register("kubelet_pod_start_sli_duration_seconds", "[ALPHA] Duration in seconds to start a pod, excluding time to pull images and run init containers, measured from pod creation timestamp to when all its containers are reported as started and observed via watch", self.pod_start_sli.clone());
        all.register("kubelet_pod_start_total_duration_seconds", "[ALPHA] Duration in seconds to start a pod since creation, including time to pull images and run init containers, measured from pod creation timestamp to when all its containers are reported as started and observed via watch", self.pod_start_total.clone());
        all.register("kubelet_pod_worker_duration_seconds", "[ALPHA] Duration in seconds to sync a single pod. Broken down by operation type: create, update, or sync", self.worker_took.clone());
        all.register("kubelet_pod_worker_start_duration_seconds", "[ALPHA] Duration in seconds from kubelet seeing a pod to starting a worker.", self.worker_start.clone());
        all.register("kubelet_run_podsandbox_duration_seconds", "[ALPHA] Duration in seconds of the run_podsandbox operations. Broken down by RuntimeClass.Handler.", self.sandbox_took.clone());
        all.register("kubelet_run_podsandbox_errors", "[ALPHA] Cumulative number of the run_podsandbox operation errors by RuntimeClass.Handler.", self.sandbox_errors.clone());
        all.register("kubelet_runtime_operations_duration_seconds", "[ALPHA] Duration in seconds of runtime operations. Broken down by operation type.", self.runtime_took.clone());
        all.register("kubelet_runtime_operations_errors", "[ALPHA] Cumulative number of runtime operation errors by operation type.", self.runtime_errors.clone());
        all.register("kubelet_runtime_operations", "[ALPHA] Cumulative number of runtime operations by operation type.", self.runtime.clone());
        all.register("kubelet_started_containers_errors", "[ALPHA] Cumulative number of errors when starting containers", self.containers_failed.clone());
        all.register("kubelet_started_containers", "[ALPHA] Cumulative number of containers started", self.containers_started.clone());
        all.register("kubelet_started_pods_errors", "[ALPHA] Cumulative number of errors when starting pods", self.pods_failed.clone());
        all.register("kubelet_started_pods", "[ALPHA] Cumulative number of pods started", self.pods_started.clone());
        all.register("kubelet_started_user_namespaced_pods_errors", "[ALPHA] Cumulative number of errors when starting pods with user namespaces. This metric will only be collected on Linux.", self.users_failed.clone());
        all.register("kubelet_started_user_namespaced_pods", "[ALPHA] Cumulative number of pods with user namespaces started. This metric will only be collected on Linux.", self.users_started.clone());
        all.register("kubelet_websocket_streaming_requests", "[ALPHA] Total number of WebSocket streaming requests (exec/attach/portforward) received by the kubelet.", self.websockets.clone());
        all.register("rest_client_request_duration_seconds", "[ALPHA] Request latency in seconds. Broken down by verb, and host.", self.api_took.clone());
        all.register("rest_client_requests", "[ALPHA] Number of HTTP requests, partitioned by status code, method, and host.", self.api.clone());
    }

    fn register_probes(&self, all: &mut Registry) {
        all.register(
            "prober_probe_duration_seconds",
            "[ALPHA] Duration in seconds for a probe response.",
            self.probes_took.clone(),
        );
        all.register(
            "prober_probe",
            "[BETA] Cumulative number of a liveness, readiness or startup probe for a container by result.",
            self.probes.clone(),
        );
    }
}

/// A request to the node's API, as its metrics name it.
#[derive(Clone, Debug)]
pub struct RequestLabels {
    labels: Labels,
}

impl RequestLabels {
    /// `pattern` is that of the route, so that a client cannot choose freely.
    pub fn new(method: &http::Method, pattern: &'static str) -> Self {
        let method = if *method == http::Method::POST {
            "POST"
        } else {
            "GET"
        };
        let path = pattern.trim_start_matches('/');
        let path = if path.starts_with("metrics/") {
            path
        } else {
            path.split('/').next().unwrap_or_default()
        };
        let running = if matches!(path, "exec" | "attach" | "portForward") {
            "true"
        } else {
            "false"
        };
        Self {
            labels: vec![
                ("long_running", running.into()),
                ("method", method.into()),
                ("path", path.into()),
                ("server_type", "readwrite".into()),
            ],
        }
    }
}

/// A request under way; counted down when dropped.
#[derive(Debug)]
pub struct InFlight {
    gauge: Gauge,
    took: Durations,
    labels: Labels,
    begin: tokio::time::Instant,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.gauge.dec();
        self.took
            .get_or_create(&self.labels)
            .observe(self.begin.elapsed().as_secs_f64());
    }
}

/// A container's probe, as its metrics name it.
#[derive(Clone, Copy, Debug)]
pub struct ProbeOf<'a> {
    /// Container.
    pub container: &'a str,
    /// Namespace of the Pod.
    pub namespace: &'a str,
    /// Pod.
    pub pod: &'a str,
    /// `Readiness`, `Liveness` or `Startup`.
    pub kind: &'static str,
}

const RESULTS: [&str; 2] = ["successful", "failed"];

impl ProbeOf<'_> {
    fn took(&self) -> Labels {
        vec![
            ("container", self.container.to_owned().into()),
            ("namespace", self.namespace.to_owned().into()),
            ("pod", self.pod.to_owned().into()),
            ("probe_type", self.kind.into()),
        ]
    }

    fn result(&self, uid: &PodUid, result: &'static str) -> Labels {
        vec![
            ("container", self.container.to_owned().into()),
            ("namespace", self.namespace.to_owned().into()),
            ("pod", self.pod.to_owned().into()),
            ("pod_uid", uid.to_string().into()),
            ("probe_type", self.kind.into()),
            ("result", result.into()),
        ]
    }
}

impl KubeletMetrics {
    /// What was counted, in the classic text format.
    pub fn counted(&self) -> String {
        classic(&self.0.registry.encode())
    }

    /// `/metrics/probes`.
    pub fn probes(&self) -> String {
        classic(&self.0.probe_registry.encode())
    }

    /// For [`cri::grpc::GrpcCri::observed`].
    pub fn of_runtime(&self) -> cri::Observe {
        let metrics = self.clone();
        Arc::new(move |call, took, failed| metrics.runtime_call(call, took, failed))
    }

    /// For [`api::Client::observe`].
    pub fn of_api(&self) -> api::Observe {
        let metrics = self.clone();
        Arc::new(move |verb, host, code, took| metrics.api_call(verb, host, code, took))
    }

    /// A WebSocket that is translated for the runtime: `exec`, `attach` or `portforward`.
    pub fn websocket(&self, subresource: &'static str) {
        let labels = one("subresource", subresource);
        self.0.websockets.get_or_create(&labels).inc();
    }

    fn runtime_call(&self, call: &'static str, took: Duration, failed: bool) {
        let inner = &self.0;
        let labels = one("operation_type", operation(call));
        inner.runtime.get_or_create(&labels).inc();
        inner
            .runtime_took
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
        if failed {
            inner.runtime_errors.get_or_create(&labels).inc();
        }
    }

    /// A credential provider was run.
    pub fn credential_provider(&self, name: &str, took: Duration, well: bool) {
        let labels = one("plugin_name", name.to_owned());
        let (all, failed) = (&self.0.providers_took, &self.0.provider_errors);
        all.get_or_create(&labels).observe(took.as_secs_f64());
        if !well {
            failed.get_or_create(&labels).inc();
        }
    }

    /// The runtime was asked for a sandbox with this handler.
    pub fn sandbox_run(&self, handler: &str, took: Duration, well: bool) {
        let labels = one("runtime_handler", handler.to_owned());
        let (all, failed) = (&self.0.sandbox_took, &self.0.sandbox_errors);
        all.get_or_create(&labels).observe(took.as_secs_f64());
        if !well {
            failed.get_or_create(&labels).inc();
        }
    }

    fn api_call(&self, verb: &'static str, host: &str, code: Option<u16>, took: Duration) {
        let host = || Cow::from(host.to_owned());
        let code = code.map_or(Cow::from("<error>"), |code| code.to_string().into());
        let labels = vec![("code", code), ("host", host()), ("method", verb.into())];
        self.0.api.get_or_create(&labels).inc();
        let labels = vec![("host", host()), ("verb", verb.into())];
        self.0.api_took.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// Counts a request that begins.
    pub fn request(&self, request: RequestLabels) -> InFlight {
        let labels = request.labels;
        self.0.requests.get_or_create(&labels).inc();
        let gauge = self.0.inflight.get_or_create_owned(&labels);
        gauge.inc();
        InFlight {
            gauge,
            took: self.0.requests_took.clone(),
            labels,
            begin: tokio::time::Instant::now(),
        }
    }

    /// A sandbox was made for a Pod, or was not.
    pub fn pod_started(&self, pod: &Pod, well: bool) {
        (if well {
            &self.0.pods_started
        } else {
            &self.0.pods_failed
        })
        .inc();
        if !well {
            self.0.pods_started.inc();
        }
        if pod.spec.host_users == Some(false) {
            self.0.users_started.inc();
            if well {
                self.starts().own_users(&pod.metadata.uid);
            } else {
                self.0.users_failed.inc();
            }
        }
    }

    /// A container start was tried; `Err` is the waiting reason it left.
    pub fn container_started(&self, pod: &Pod, name: &str, outcome: Result<(), &'static str>) {
        let kind = container_type(pod, name);
        self.0
            .containers_started
            .get_or_create(&one("container_type", kind))
            .inc();
        if let Err(code) = outcome {
            let labels = vec![("code", code.into()), ("container_type", kind.into())];
            self.0.containers_failed.get_or_create(&labels).inc();
            if self.starts().failed(&pod.metadata.uid) {
                self.0.users_failed.inc();
            }
        }
    }

    /// A pass of a Pod's worker; `kind` is `create`, `sync`, `terminating` or `terminated`.
    pub fn worked(&self, kind: &'static str, took: Duration) {
        let labels = one("operation_type", kind);
        self.0
            .worker_took
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
    }

    /// A call to the cgroups: `create` or `destroy`.
    pub fn cgroups(&self, kind: &'static str, took: Duration) {
        let labels = one("operation_type", kind);
        self.0
            .cgroups_took
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
    }

    /// A Pod was evicted because of this signal.
    pub fn evicted(&self, signal: &'static str) {
        self.0
            .evictions
            .get_or_create(&one("eviction_signal", signal))
            .inc();
    }

    /// How old the numbers were that a Pod was evicted by.
    pub fn eviction_stats_age(&self, signal: &'static str, age: Duration) {
        self.0
            .eviction_stats_age
            .get_or_create(&one("eviction_signal", signal))
            .observe(age.as_secs_f64());
    }

    /// An unused image was removed, for `space` or `age`.
    pub fn image_removed(&self, reason: &'static str) {
        self.0.images_removed.get_or_create(&one("reason", reason)).inc();
    }

    /// A relist came through; `interval` since the one before it.
    pub fn relisted(&self, took: Duration, interval: Option<Duration>) {
        self.0.relist_took.observe(took.as_secs_f64());
        if let Some(interval) = interval {
            self.0.relist_interval.observe(interval.as_secs_f64());
        }
        let now = jiff::Timestamp::now().as_duration().as_secs_f64();
        self.0.relist_seen.set(now.floor());
    }

    /// A probe was run. How long it took is only told of successes, as upstream does; one that could not be made is not
    /// counted at all.
    pub fn probed(&self, uid: &PodUid, of: &ProbeOf<'_>, success: bool, took: Duration) {
        let result = if success { RESULTS[0] } else { RESULTS[1] };
        self.starts().probed(uid, of.took(), of.result(uid, result));
        self.0.probes.get_or_create(&of.result(uid, result)).inc();
        if success {
            let all = self.0.probes_took.get_or_create(&of.took());
            all.observe(took.as_secs_f64());
        }
    }

    fn starts(&self) -> std::sync::MutexGuard<'_, Starts> {
        self.0.starts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A change of this Pod arrived.
    pub fn seen(&self, uid: &PodUid) {
        self.starts().seen(uid, tokio::time::Instant::now());
    }

    /// Its worker starts.
    pub fn worker_started(&self, uid: &PodUid) {
        if let Some(took) = self.starts().worker(uid, tokio::time::Instant::now()) {
            self.0.worker_start.observe(took.as_secs_f64());
        }
    }

    /// An image was pulled for it, which ended now.
    pub fn pulled(&self, uid: &PodUid, took: Duration) {
        self.starts().pulled(uid, tokio::time::Instant::now(), took);
    }

    /// All its containers have started; `age` since its creation. Counts once.
    pub fn running(&self, uid: &PodUid, age: Duration, init: Duration) {
        if let Some(start) = self.starts().running(uid, tokio::time::Instant::now()) {
            self.0.pod_start.observe(start.since_seen.as_secs_f64());
            self.0.pod_start_total.observe(age.as_secs_f64());
            let sli = age.saturating_sub(start.pulling).saturating_sub(init);
            self.0.pod_start_sli.observe(sli.as_secs_f64());
        }
    }

    /// The Pod is no longer here: what counted its probes goes, so that there are never more than Pods have probes.
    pub fn gone(&self, uid: &PodUid) {
        let (took, results) = self.starts().gone(uid);
        for labels in &took {
            self.0.probes_took.remove(labels);
        }
        for labels in &results {
            self.0.probes.remove(labels);
        }
    }

    /// For others who count for the node: the certificates.
    pub fn register<T>(&self, register: impl FnOnce(&mut Registry) -> T) -> T {
        self.0.registry.register(register)
    }
}

/// PURE. `container`, `init_container` or `ephemeral_container`.
fn container_type(pod: &Pod, name: &str) -> &'static str {
    if pod.spec.init_containers.iter().any(|c| *c.name == *name) {
        "init_container"
    } else if pod.spec.containers.iter().any(|c| *c.name == *name) {
        "container"
    } else {
        "ephemeral_container"
    }
}

/// PURE. How long init containers ran, once every container of the Pod has been started.
pub fn started(pod: &Pod, observed: &Observed) -> Option<Duration> {
    let all = pod
        .spec
        .containers
        .iter()
        .all(|c| observed.latest(&c.name).is_some_and(|c| c.started.is_some()));
    if !all || pod.spec.containers.is_empty() {
        return None;
    }
    let init = pod.spec.init_containers.iter().filter(|c| !c.is_sidecar());
    let times = init
        .filter_map(|c| observed.latest(&c.name))
        .filter_map(|c| Some((c.started?, c.finished?)));
    let times: Vec<_> = times.collect();
    let (first, last) = (times.iter().map(|t| t.0).min(), times.iter().map(|t| t.1).max());
    let took = first.zip(last).map(|(first, last)| last.duration_since(first));
    Some(
        took.and_then(|took| Duration::try_from(took).ok())
            .unwrap_or_default(),
    )
}

/// PURE. kubelet's name of a CRI call: `RunPodSandbox` → `run_podsandbox`.
fn operation(call: &str) -> String {
    match call {
        "UpdateContainerResources" => return "update_container".to_owned(),
        "GetContainerEvents" => return "get_container_events".to_owned(),
        _ => {}
    }
    let mut name = String::new();
    for c in call.replace("PodSandbox", "Podsandbox").chars() {
        if c.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}

#[cfg(test)]
mod tests;
