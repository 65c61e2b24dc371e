//! Who gets what from the node's API: every route with every kind of caller, tokens and their rights, tricks with paths,
//! and clients that mean no good.
//!
//! The tables hold for upstream's kubelet as well; where rustlet answers otherwise on purpose, a row says so and why.

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, bail, ensure};
use rustlet::kubelet::server::route::ROUTES;
use rustlet_lab::certs::Authority;
use rustlet_lab::kube::{Seen, eventually};
use serde_json::{Value, json};

use crate::caller::{Caller, subject};
use crate::support::{Case, LIMIT, Lab};

/// Codes for: no credentials, a certificate of another CA, a user without rights, the node's own certificate, and an
/// administrator; all but the last are turned away before anything is looked up.
const fn closed(admin: u16) -> [u16; 5] {
    [401, 401, 403, 403, admin]
}

/// Every route and each of its methods. The Pods in the paths do not exist, so that an administrator gets as far as the
/// endpoint's own refusal.
const EXPECTED: &[(&str, &str, [u16; 5])] = &[
    ("GET", "/healthz", closed(200)),
    ("GET", "/healthz/ping", closed(200)),
    ("GET", "/healthz/log", closed(200)),
    ("GET", "/healthz/syncloop", closed(200)),
    ("GET", "/pods", closed(200)),
    ("GET", "/runningpods/", closed(200)),
    ("GET", "/stats/summary", closed(200)),
    ("POST", "/stats/summary", closed(200)),
    ("GET", "/metrics", closed(200)),
    ("GET", "/metrics/cadvisor", closed(200)),
    ("GET", "/metrics/resource", closed(200)),
    ("GET", "/metrics/probes", closed(200)),
    ("GET", "/metrics/slis", closed(200)),
    ("GET", "/configz", closed(200)),
    ("GET", "/statusz", closed(200)),
    ("GET", "/flagz", closed(200)),
    ("POST", "/checkpoint/{namespace}/{pod}/{container}", closed(404)),
    ("GET", "/logs/", closed(200)),
    ("GET", "/logs/{path...}", closed(404)),
    ("GET", "/debug/pprof/{name}", closed(404)),
    ("GET", "/debug/flags/v", closed(406)),
    ("GET", "/containerLogs/{namespace}/{pod}/{container}", closed(404)),
    ("POST", "/run/{namespace}/{pod}/{container}", closed(404)),
    ("POST", "/run/{namespace}/{pod}/{uid}/{container}", closed(404)),
    ("GET", "/exec/{namespace}/{pod}/{container}", closed(400)),
    ("POST", "/exec/{namespace}/{pod}/{container}", closed(400)),
    ("GET", "/exec/{namespace}/{pod}/{uid}/{container}", closed(400)),
    ("POST", "/exec/{namespace}/{pod}/{uid}/{container}", closed(400)),
    ("GET", "/attach/{namespace}/{pod}/{container}", closed(400)),
    ("POST", "/attach/{namespace}/{pod}/{container}", closed(400)),
    ("GET", "/attach/{namespace}/{pod}/{uid}/{container}", closed(400)),
    ("POST", "/attach/{namespace}/{pod}/{uid}/{container}", closed(400)),
    ("GET", "/portForward/{namespace}/{pod}", closed(404)),
    ("POST", "/portForward/{namespace}/{pod}", closed(404)),
    ("GET", "/portForward/{namespace}/{pod}/{uid}", closed(404)),
    ("POST", "/portForward/{namespace}/{pod}/{uid}", closed(404)),
];

/// Targets that are no plain path: codes for nobody and for an administrator, of upstream and of rustlet. They differ
/// on purpose: rustlet says nothing to strangers (upstream's mux answers unknown roots and redirects before it asks who
/// is there), cleans no path but calls it unknown, and takes no encoded slash for a separator.
const TRICKS: &[(&str, &str, [u16; 2], [u16; 2])] = &[
    ("GET", "/", [404, 404], [401, 404]),
    ("GET", "/nope", [404, 404], [401, 404]),
    ("GET", "/podsx", [404, 404], [401, 404]),
    ("GET", "/pods/", [401, 200], [401, 200]),
    ("GET", "/pods/x", [401, 404], [401, 404]),
    ("GET", "/%70ods", [401, 200], [401, 200]),
    ("GET", "/healthz/", [404, 404], [401, 404]),
    ("GET", "//pods", [307, 307], [401, 404]),
    ("GET", "/./pods", [307, 307], [401, 404]),
    ("GET", "/nope/../pods", [307, 307], [401, 404]),
    ("GET", "/healthz/../pods", [307, 307], [401, 404]),
    ("GET", "/pods%2f", [404, 404], [401, 404]),
    ("GET", "/pods%00", [404, 404], [401, 404]),
    ("GET", "/pods%zz", [400, 400], [401, 404]),
    ("GET", "/containerLogs/a/b", [401, 404], [401, 404]),
    ("GET", "/containerLogs/a/b/c/d", [401, 404], [401, 404]),
    ("GET", "/containerLogs/..%2f..%2fetc/b/c", [401, 404], [401, 404]),
    (
        "GET",
        "/containerLogs/%2e%2e/%2e%2e/%2e%2e",
        [401, 404],
        [401, 404],
    ),
    ("GET", "/exec/a/%2e%2e/c", [401, 400], [401, 404]),
    ("GET", "/exec/a%2fb/c", [401, 400], [401, 404]),
    ("GET", "/exec/a//c", [307, 307], [401, 404]),
    ("PUT", "/pods", [401, 405], [401, 405]),
    ("FOO", "/pods", [401, 405], [401, 405]),
    ("HEAD", "/healthz", [401, 200], [401, 200]),
    ("DELETE", "/exec/a/b/c", [401, 405], [401, 405]),
    ("GET", "/logs/", [401, 200], [401, 200]),
    ("GET", "/logs", [307, 307], [401, 301]),
    ("GET", "/logs/..%2f..%2fetc%2fpasswd", [401, 404], [401, 404]),
    ("GET", "/logs/%2e%2e/%2e%2e/etc/passwd", [401, 404], [401, 404]),
    ("POST", "/logs/x", [401, 405], [401, 405]),
    // rustlet is no Go program: it has no such profile.
    ("GET", "/debug/pprof/heap", [401, 200], [401, 501]),
    ("GET", "/debug/pprof/", [401, 404], [401, 404]),
    ("PUT", "/debug/flags/v", [401, 400], [401, 400]),
];

/// Every route × every caller; a route without a row is a failure, and so is a row without a route.
pub(crate) fn every_route(lab: &Lab) -> Result<()> {
    for route in ROUTES {
        let methods: Vec<&str> = route.methods.iter().map(http::Method::as_str).collect();
        for method in if methods.is_empty() { vec!["GET"] } else { methods } {
            let row = |row: &&(&str, &str, [u16; 5])| row.0 == method && row.1 == route.pattern;
            let rows = EXPECTED.iter().filter(row).count();
            ensure!(
                rows == 1,
                "{method} {} has {rows} rows in EXPECTED",
                route.pattern
            );
        }
    }
    let node = lab.node_name(0);
    let stranger =
        Authority::new("another-ca")?.issue(&subject("kubernetes-admin", Some("system:masters")))?;
    let callers = [
        ("nobody", Caller::new(lab, None)?),
        ("wrong CA", Caller::new(lab, Some(&stranger))?),
        ("no rights", Caller::known(lab, "node-security-nobody", None)?),
        (
            "the node",
            Caller::known(lab, &format!("system:node:{node}"), Some("system:nodes"))?,
        ),
        ("admin", Caller::admin(lab)?),
    ];
    let mut wrong = Vec::new();
    for (method, pattern, codes) in EXPECTED {
        ensure!(
            ROUTES.iter().any(|route| route.pattern == *pattern),
            "{pattern} is no route"
        );
        let path = pattern.replace(['{', '}'], "");
        for ((name, caller), expected) in callers.iter().zip(codes) {
            let code = caller.ask(method, &path, "")?;
            if code != *expected {
                wrong.push(format!("{method} {path} as {name}: {code}, not {expected}"));
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Tricks with the request target.
pub(crate) fn path_tricks(lab: &Lab) -> Result<()> {
    let (nobody, admin) = (Caller::new(lab, None)?, Caller::admin(lab)?);
    let long = format!("/containerLogs/a/b/{}", "c".repeat(20_000));
    let longer = format!("/{}", "a".repeat(70_000));
    let mut wrong = Vec::new();
    let more = [
        ("GET", &*long, [401, 404], [401, 404]),
        // hyper takes no longer target.
        ("GET", &*longer, [404, 404], [414, 414]),
    ];
    for (method, target, upstream, ours) in TRICKS.iter().copied().chain(more) {
        let expected = if lab.upstream { upstream } else { ours };
        let codes = [nobody.ask(method, target, "")?, admin.ask(method, target, "")?];
        if codes != expected {
            wrong.push(format!("{method} {target:.60}: {codes:?}, not {expected:?}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Service account tokens: each right opens its own paths and no others.
pub(crate) fn tokens(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "node-security")?;
    // Name, resources, verbs.
    let roles: &[(&str, &[&str], &[&str])] = &[
        ("none", &[], &[]),
        ("proxy-get", &["nodes/proxy"], &["get"]),
        ("proxy-all", &["nodes/proxy"], &["*"]),
        ("metrics", &["nodes/metrics", "nodes/stats"], &["get"]),
        ("healthz", &["nodes/healthz"], &["get"]),
        ("pods", &["nodes/pods"], &["get"]),
        ("configz", &["nodes/configz"], &["get"]),
    ];
    // Path, then the accounts that may GET it (upstream, and rustlet where it differs).
    let paths: &[(&str, &[&str])] = &[
        ("/healthz", &["proxy-get", "proxy-all", "healthz"]),
        ("/pods", &["proxy-get", "proxy-all", "pods"]),
        ("/runningpods/", &["proxy-get", "proxy-all", "pods"]),
        ("/configz", &["proxy-get", "proxy-all", "configz"]),
        ("/flagz", &["configz"]),
        ("/metrics", &["metrics"]),
        ("/metrics/cadvisor", &["metrics"]),
        ("/stats/summary", &["metrics"]),
        ("/statusz", &[]),
        ("/containerLogs/a/b/c", &["proxy-get", "proxy-all"]),
        // A WebSocket begins with a GET: to upstream `get` is enough to run a command, to rustlet it is not.
        (
            "/exec/a/b/c",
            if lab.upstream {
                &["proxy-get", "proxy-all"]
            } else {
                &["proxy-all"]
            },
        ),
        (
            "/portForward/a/b",
            if lab.upstream {
                &["proxy-get", "proxy-all"]
            } else {
                &["proxy-all"]
            },
        ),
    ];
    let mut wrong = Vec::new();
    for (name, resources, verbs) in roles {
        let token = account(&case, name, resources, verbs)?;
        let caller = Caller::with_token(lab, &token)?;
        for (path, allowed) in paths {
            let may = allowed.contains(name);
            let fits = |code: u16| {
                if may {
                    !matches!(code, 401 | 403 | 500)
                } else {
                    code == 403
                }
            };
            // RBAC's own watch may be behind; a refusal is remembered for half a minute.
            let seen = eventually(&format!("{path} as {name}: may {may}"), LIMIT, || {
                let code = caller.get(path)?;
                Ok(if fits(code) {
                    Seen::Yes(())
                } else {
                    Seen::No(code.to_string())
                })
            });
            wrong.extend(seen.err().map(|error| error.to_string()));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    for garbage in ["garbage", "a.b.c", "%00", "Bearer", &"x".repeat(60_000)] {
        let code = Caller::with_token(lab, garbage)?.get("/healthz")?;
        ensure!(code == 401, "a token {garbage:.20}…: {code}");
    }
    // An account that is gone takes its token with it. Nobody has shown this one here before: nothing is remembered.
    let token = account(&case, "gone", &["nodes/healthz"], &["get"])?;
    lab.kube.delete(&case.path("serviceaccounts", "gone"))?;
    let caller = Caller::with_token(lab, &token)?;
    eventually("the token of a deleted account is refused", LIMIT, || {
        let code = caller.get("/healthz")?;
        Ok(if code == 401 {
            Seen::Yes(())
        } else {
            Seen::No(code.to_string())
        })
    })
}

/// Makes a service account with these rights on all nodes; returns a token of it.
pub(crate) fn account(case: &Case<'_>, name: &str, resources: &[&str], verbs: &[&str]) -> Result<String> {
    case.create("serviceaccounts", &json!({"metadata": {"name": name}}))?;
    let role = format!("node-security-{name}");
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    for kind in ["clusterroles", "clusterrolebindings"] {
        case.lab.kube.delete(&format!("{rbac}/{kind}/{role}"))?;
    }
    if !resources.is_empty() {
        let rules = json!([{"apiGroups": [""], "resources": resources, "verbs": verbs}]);
        let object = json!({"metadata": {"name": role}, "rules": rules});
        case.lab.kube.create(&format!("{rbac}/clusterroles"), &object)?;
        let binding = json!({
            "metadata": {"name": role},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": case.ns}],
        });
        case.lab
            .kube
            .create(&format!("{rbac}/clusterrolebindings"), &binding)?;
    }
    token(case, name, None)
}

/// A token of a service account, bound to an object when one is given.
pub(crate) fn token(case: &Case<'_>, account: &str, bound: Option<Value>) -> Result<String> {
    let path = format!("{}/token", case.path("serviceaccounts", account));
    let mut spec = json!({"expirationSeconds": 3600});
    if let Some(bound) = bound {
        spec["boundObjectRef"] = bound;
    }
    let made = case.lab.kube.create(&path, &json!({"spec": spec}))?;
    let token = made["status"]["token"].as_str();
    Ok(token.context("no token")?.to_owned())
}

/// Connections that come to nothing do not keep anybody out, and are closed.
pub(crate) fn slow_clients(lab: &Lab) -> Result<()> {
    let admin = Caller::admin(lab)?;
    let nobody = Caller::new(lab, None)?;
    let silent: Vec<TcpStream> = (0..150).map(|_| nobody.tcp()).collect::<Result<_>>()?;
    let mut half = Vec::new();
    for _ in 0..30 {
        let mut stream = nobody.connect()?;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: no")?;
        half.push(stream);
    }
    for _ in 0..5 {
        let code = admin.get("/healthz")?;
        ensure!(
            code == 200,
            "beside {} half-open connections: {code}",
            silent.len() + half.len()
        );
    }
    if lab.upstream {
        // Its limit is hours.
        return Ok(());
    }
    for stream in &silent {
        until_closed(stream)?;
    }
    half.iter().try_for_each(|stream| until_closed(stream.get_ref()))
}

/// Waits until the server has closed a connection.
fn until_closed(mut stream: &TcpStream) -> Result<()> {
    stream.set_read_timeout(Some(LIMIT))?;
    let mut bytes = [0; 4096];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Ok(()),
            Err(error) => bail!("a connection that does nothing is still open: {error}"),
        }
    }
}

/// What is too large is refused, and the next request is served.
pub(crate) fn too_large(lab: &Lab) -> Result<()> {
    let (nobody, admin) = (Caller::new(lab, None)?, Caller::admin(lab)?);
    let header = |bytes: usize| format!("X-Long: {}\r\n", "x".repeat(bytes));
    for caller in [&nobody, &admin] {
        // The answer may be lost when the server closes on what it has not read.
        let code = caller.ask("GET", "/healthz", &header(3 << 20)).unwrap_or(431);
        ensure!(code == 431, "3 MiB of headers: {code}");
    }
    if !lab.upstream {
        // Upstream's limits are 1 MiB for headers, and none for their number and for bodies.
        let many = "X: y\r\n".repeat(200);
        let cases = [
            ("GET", header(300_000), 431),
            ("GET", many, 431),
            ("POST", "Content-Length: 10000000\r\n".to_owned(), 413),
            ("POST", "Content-Length: 99999999999999999999\r\n".to_owned(), 400),
        ];
        for (method, headers, expected) in cases {
            let code = admin.ask(method, "/stats/summary", &headers)?;
            ensure!(
                code == expected,
                "{method} with {headers:.30}…: {code}, not {expected}"
            );
        }
    }
    ensure!(admin.get("/healthz")? == 200, "the next request is served");
    Ok(())
}
