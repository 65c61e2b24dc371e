//! PURE. The table of everything the node's API serves: path pattern, verbs, and what a caller needs for it.

use http::Method;
use std::borrow::Cow;
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
    MetricsSlis,
    Healthz,
    Configz,
    Statusz,
    Flagz,
    Checkpoint,
    NodeLogs,
    Profile,
    Verbosity,
}

/// One row: a path pattern with `{name}` for a segment, and `{name...}` for all that follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// As `/containerLogs/{namespace}/{pod}/{container}`.
    pub pattern: &'static str,
    /// HTTP methods it answers; all of them when empty.
    pub methods: &'static [Method],
    /// Who answers.
    pub endpoint: Endpoint,
    /// Subresources of `nodes`, finest first, any one of which lets a caller in (KEP-2862).
    pub resources: &'static [&'static str],
}

const GET: &[Method] = &[Method::GET];
const POST: &[Method] = &[Method::POST];
const GET_POST: &[Method] = &[Method::GET, Method::POST];
/// What upstream registers as a plain handler answers whatever the method is.
const ANY: &[Method] = &[];

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
    row("/healthz", ANY, Endpoint::Healthz, &["healthz", "proxy"]),
    row("/healthz/ping", ANY, Endpoint::Healthz, &["healthz", "proxy"]),
    row("/healthz/log", ANY, Endpoint::Healthz, &["healthz", "proxy"]),
    row("/healthz/syncloop", ANY, Endpoint::Healthz, &["healthz", "proxy"]),
    row("/pods", GET, Endpoint::Pods, &["pods", "proxy"]),
    row("/runningpods/", GET, Endpoint::RunningPods, &["pods", "proxy"]),
    row("/stats/summary", GET_POST, Endpoint::Summary, &["stats"]),
    row("/metrics", ANY, Endpoint::Metrics, &["metrics"]),
    row("/metrics/cadvisor", ANY, Endpoint::MetricsCadvisor, &["metrics"]),
    row("/metrics/resource", ANY, Endpoint::MetricsResource, &["metrics"]),
    row("/metrics/probes", ANY, Endpoint::MetricsProbes, &["metrics"]),
    row("/metrics/slis", ANY, Endpoint::MetricsSlis, &["metrics"]),
    row("/configz", ANY, Endpoint::Configz, &["configz", "proxy"]),
    row("/statusz", ANY, Endpoint::Statusz, &["statusz"]),
    row("/flagz", ANY, Endpoint::Flagz, &["configz"]),
    row(
        "/checkpoint/{namespace}/{pod}/{container}",
        POST,
        Endpoint::Checkpoint,
        &["checkpoint"],
    ),
    row("/logs/", GET, Endpoint::NodeLogs, &["log"]),
    row("/logs/{path...}", GET, Endpoint::NodeLogs, &["log"]),
    row("/debug/pprof/{name}", GET, Endpoint::Profile, &["proxy"]),
    row("/debug/flags/v", ANY, Endpoint::Verbosity, &["proxy"]),
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

/// What there is for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// This row.
    Found(Found),
    /// Rows for other methods: those, as the `Allow` header has them.
    WrongMethod(String),
    /// No such path.
    Nothing,
    /// Switched off.
    Disabled,
}

/// Looks a request up. A path is compared segment by segment, each decoded by itself, so that an encoded slash never
/// becomes a separator; segments that could mean something else to a file system (empty, `.`, `..`, with a slash or a
/// control character) match nothing. A slash at the end changes nothing, but for the paths that upstream registers as
/// plain handlers (those that take any method).
pub fn find(method: &Method, path: &str) -> Lookup {
    let Some(parts) = segments(path) else {
        return Lookup::Nothing;
    };
    let mut allowed = Vec::new();
    for route in ROUTES {
        let Some(segments) = matches(route, &parts) else {
            continue;
        };
        if route.methods.is_empty() || route.methods.contains(method) {
            return Lookup::Found(Found { route, segments });
        }
        allowed.extend(route.methods.iter().map(Method::as_str));
    }
    if allowed.is_empty() {
        return Lookup::Nothing;
    }
    Lookup::WrongMethod(allowed.join(", "))
}

/// The decoded segments of a path; a last one that is empty stands for a slash at the end.
fn segments(path: &str) -> Option<Vec<Cow<'_, str>>> {
    let raw: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    let (last, others) = raw.split_last()?;
    let mut parts = Vec::with_capacity(raw.len());
    for segment in others {
        parts.push(decode(segment)?);
    }
    parts.push(if last.is_empty() {
        Cow::Borrowed("")
    } else {
        decode(last)?
    });
    Some(parts)
}

/// One segment; `None` when it can be no name.
fn decode(segment: &str) -> Option<Cow<'_, str>> {
    let text = percent_encoding::percent_decode_str(segment).decode_utf8().ok()?;
    // The decoder leaves a percent sign without its two digits as it is; in a path that is no encoding at all.
    let whole = segment.match_indices('%').all(|(at, _)| {
        let digits = segment.as_bytes().get(at + 1..at + 3);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    let name = !text.is_empty() && text != "." && text != "..";
    let plain = !text.contains(|c: char| c == '/' || c.is_control());
    (whole && name && plain).then_some(text)
}

/// The segments a pattern names, when the path is one of its.
fn matches(route: &Route, parts: &[Cow<'_, str>]) -> Option<BTreeMap<&'static str, String>> {
    let mut wanted = route.pattern.trim_matches('/').split('/');
    let open_ended = route.pattern.ends_with("...}");
    let parts = match parts {
        [others @ .., last] if last.is_empty() && !route.methods.is_empty() && !open_ended => others,
        all => all,
    };
    let mut named = BTreeMap::new();
    for (at, part) in parts.iter().enumerate() {
        let want = wanted.next()?;
        match want.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some(name) => match name.strip_suffix("...") {
                Some(name) => {
                    named.insert(name, parts[at..].join("/"));
                    return Some(named);
                }
                None => drop(named.insert(name, part.clone().into_owned())),
            },
            None if want == &**part => {}
            None => return None,
        }
    }
    wanted.next().is_none().then_some(named)
}

/// What is said of a path while `enableDebuggingHandlers` is off, when it is one of those.
pub fn disabled(path: &str) -> Option<Lookup> {
    let parts = segments(path)?;
    let first = parts.first()?;
    let disabled = [
        "run",
        "exec",
        "attach",
        "portForward",
        "containerLogs",
        "runningpods",
        "logs",
    ];
    let gone = ["configz", "statusz", "flagz", "checkpoint", "debug"];
    let profiles = **first == *"debug" && parts.get(1).is_some_and(|part| **part == *"pprof");
    if profiles || disabled.contains(&&**first) {
        Some(Lookup::Disabled)
    } else if gone.contains(&&**first) {
        Some(Lookup::Nothing)
    } else {
        None
    }
}

/// What a caller needs for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// API verb; empty for methods that have none.
    pub verb: &'static str,
    /// Any one of these subresources of the node, asked for in this order.
    pub subresources: &'static [&'static str],
}

/// What is needed by the path's beginning, whether or not there is such a path; everything else is `proxy`.
const NEEDS: &[(&str, &[&str])] = &[
    ("/pods", &["pods", "proxy"]),
    ("/healthz", &["healthz", "proxy"]),
    ("/configz", &["configz", "proxy"]),
    ("/runningpods", &["pods", "proxy"]),
    ("/stats", &["stats"]),
    ("/metrics", &["metrics"]),
    ("/logs", &["log"]),
    ("/checkpoint", &["checkpoint"]),
    ("/statusz", &["statusz"]),
    ("/flagz", &["configz"]),
];

/// Paths that run something in a container or open a way into it: `create`, whatever the method. Upstream goes by the
/// method, so that `get` on `nodes/proxy` is enough to execute commands through a WebSocket, which begins with a GET.
const CREATE: &[&str] = &["/exec", "/attach", "/portForward", "/run"];

/// What a caller needs for this request, which may not exist.
pub fn need(method: &Method, path: &str) -> Need {
    let first = segments(path).and_then(|parts| parts.into_iter().next());
    let first = first.unwrap_or_default();
    let begins = |root: &str| root.strip_prefix('/') == Some(&*first);
    let subresources = NEEDS
        .iter()
        .find(|(root, _)| begins(root))
        .map_or(&["proxy"] as &[_], |(_, subresources)| subresources);
    let verb = if CREATE.iter().any(|root| begins(root)) {
        "create"
    } else {
        match *method {
            Method::GET | Method::HEAD => "get",
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE => "delete",
            _ => "",
        }
    };
    Need { verb, subresources }
}

impl Need {
    /// Upstream's words for a refusal.
    pub fn forbidden(&self, user: &str) -> String {
        let (verb, subresources) = (self.verb, self.subresources.join(" "));
        format!("Forbidden (user={user}, verb={verb}, resource=nodes, subresource(s)=[{subresources}])\n")
    }

    /// Upstream's words when the API server could not be asked.
    pub fn unclear(&self, user: &str, subresource: &str) -> String {
        let verb = self.verb;
        format!("Authorization error (user={user}, verb={verb}, resource=nodes, subresource={subresource})")
    }
}

#[cfg(test)]
mod tests;
