//! PURE. The table of everything the node's API serves: path pattern, verbs, and what a caller needs for it.

use http::Method;
use std::collections::BTreeMap;

/// What is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the table says what each one is")]
pub enum Endpoint {
    ContainerLogs,
    Exec,
    Attach,
    PortForward,
    Run,
    Pods,
    RunningPods,
    Summary,
    Metrics,
    MetricsCadvisor,
    MetricsResource,
    MetricsProbes,
    Healthz,
    Configz,
    Statusz,
    Flagz,
    Checkpoint,
}

/// One row: a path pattern with `{name}` for a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// As `/containerLogs/{namespace}/{pod}/{container}`.
    pub pattern: &'static str,
    /// HTTP methods it answers.
    pub methods: &'static [Method],
    /// Who answers.
    pub endpoint: Endpoint,
    /// Subresources of `nodes`, finest first, any one of which lets a caller in (KEP-2862).
    pub resources: &'static [&'static str],
}

const GET: &[Method] = &[Method::GET];
const POST: &[Method] = &[Method::POST];
const GET_POST: &[Method] = &[Method::GET, Method::POST];

const fn row(
    pattern: &'static str,
    methods: &'static [Method],
    endpoint: Endpoint,
    resources: &'static [&'static str],
) -> Route {
    Route {
        pattern,
        methods,
        endpoint,
        resources,
    }
}

/// All routes. Whatever is not here is 404 to those who may ask, and 401 or 403 to everybody else.
pub const ROUTES: &[Route] = &[
    row("/healthz", GET, Endpoint::Healthz, &["healthz", "proxy"]),
    row("/healthz/ping", GET, Endpoint::Healthz, &["healthz", "proxy"]),
    row("/healthz/log", GET, Endpoint::Healthz, &["healthz", "proxy"]),
    row("/healthz/syncloop", GET, Endpoint::Healthz, &["healthz", "proxy"]),
    row("/pods", GET, Endpoint::Pods, &["pods", "proxy"]),
    row("/pods/", GET, Endpoint::Pods, &["pods", "proxy"]),
    row("/runningpods/", GET, Endpoint::RunningPods, &["pods", "proxy"]),
    row("/stats/summary", GET_POST, Endpoint::Summary, &["stats"]),
    row("/metrics", GET, Endpoint::Metrics, &["metrics"]),
    row("/metrics/cadvisor", GET, Endpoint::MetricsCadvisor, &["metrics"]),
    row("/metrics/resource", GET, Endpoint::MetricsResource, &["metrics"]),
    row("/metrics/probes", GET, Endpoint::MetricsProbes, &["metrics"]),
    row("/configz", GET, Endpoint::Configz, &["configz", "proxy"]),
    row("/statusz", GET, Endpoint::Statusz, &["statusz", "proxy"]),
    row("/flagz", GET, Endpoint::Flagz, &["flagz", "proxy"]),
    row(
        "/checkpoint/{namespace}/{pod}/{container}",
        POST,
        Endpoint::Checkpoint,
        &["checkpoint"],
    ),
    row(
        "/containerLogs/{namespace}/{pod}/{container}",
        GET,
        Endpoint::ContainerLogs,
        &["proxy"],
    ),
    row(
        "/run/{namespace}/{pod}/{container}",
        POST,
        Endpoint::Run,
        &["proxy"],
    ),
    row(
        "/run/{namespace}/{pod}/{uid}/{container}",
        POST,
        Endpoint::Run,
        &["proxy"],
    ),
    row(
        "/exec/{namespace}/{pod}/{container}",
        GET_POST,
        Endpoint::Exec,
        &["proxy"],
    ),
    row(
        "/exec/{namespace}/{pod}/{uid}/{container}",
        GET_POST,
        Endpoint::Exec,
        &["proxy"],
    ),
    row(
        "/attach/{namespace}/{pod}/{container}",
        GET_POST,
        Endpoint::Attach,
        &["proxy"],
    ),
    row(
        "/attach/{namespace}/{pod}/{uid}/{container}",
        GET_POST,
        Endpoint::Attach,
        &["proxy"],
    ),
    row(
        "/portForward/{namespace}/{pod}",
        GET_POST,
        Endpoint::PortForward,
        &["proxy"],
    ),
    row(
        "/portForward/{namespace}/{pod}/{uid}",
        GET_POST,
        Endpoint::PortForward,
        &["proxy"],
    ),
];

/// A request's row, with the segments its pattern names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The row.
    pub route: &'static Route,
    /// Values by name, percent-decoded.
    pub segments: BTreeMap<&'static str, String>,
}

impl Found {
    /// A named segment; empty when the pattern has none of this name.
    pub fn segment(&self, name: &str) -> &str {
        self.segments.get(name).map_or("", String::as_str)
    }
}
