use super::*;
use proptest::prelude::*;

/// A pattern, and the values of its segments by name.
type Row = (&'static str, Vec<(&'static str, String)>);

fn found(method: &str, path: &str) -> Result<Row, Lookup> {
    match find(&Method::from_bytes(method.as_bytes()).unwrap(), path) {
        Lookup::Found(found) => Ok((found.route.pattern, found.segments.into_iter().collect())),
        other => Err(other),
    }
}

#[test]
fn every_row_is_found_by_its_own_path() {
    for route in ROUTES {
        let method = route.methods.first().unwrap_or(&Method::GET);
        let path = route.pattern.replace(['{', '}'], "");
        let Lookup::Found(found) = find(method, &path) else {
            panic!("{path} is not found")
        };
        assert_eq!(found.route.pattern, route.pattern);
        assert_eq!(need(method, &path).subresources, route.resources, "{path}");
        let refused = find(&Method::TRACE, &path);
        if route.methods.is_empty() {
            assert!(matches!(refused, Lookup::Found(_)), "{path}");
        } else {
            assert!(matches!(refused, Lookup::WrongMethod(_)), "{path}");
        }
    }
}

#[test]
fn segments_are_named_and_decoded() {
    let (pattern, segments) = found("GET", "/containerLogs/ns/%70od/c").unwrap();
    assert_eq!(pattern, "/containerLogs/{namespace}/{pod}/{container}");
    assert_eq!(
        segments,
        [
            ("container", "c".into()),
            ("namespace", "ns".into()),
            ("pod", "pod".into())
        ]
    );
    let (pattern, segments) = found("POST", "/exec/ns/p/u-1/c/").unwrap();
    assert_eq!(pattern, "/exec/{namespace}/{pod}/{uid}/{container}");
    assert_eq!(segments[3], ("uid", "u-1".into()));
    for (path, rest) in [
        ("/logs/a", "a"),
        ("/logs/a%20b/c.log", "a b/c.log"),
        ("/logs/pods/", "pods/"),
    ] {
        let (pattern, segments) = found("GET", path).unwrap();
        assert_eq!(
            (pattern, &*segments),
            ("/logs/{path...}", &[("path", rest.to_owned())][..])
        );
    }
}

#[test]
fn slashes_at_the_end_as_upstream_has_them() {
    for path in [
        "/pods",
        "/pods/",
        "/runningpods",
        "/runningpods/",
        "/stats/summary/",
        "/logs",
        "/logs/",
        "/%70ods",
    ] {
        assert!(found("GET", path).is_ok(), "{path}");
    }
    for path in [
        "/healthz/",
        "/configz/",
        "/flagz/",
        "/metrics/",
        "/healthz/ping/",
        "/pods//",
        "/pods/x",
        "/podsx",
    ] {
        assert_eq!(found("GET", path), Err(Lookup::Nothing), "{path}");
    }
}

#[test]
fn nothing_is_matched_by_accident() {
    let paths = [
        "",
        "/",
        "//",
        "*",
        "pods",
        "//pods",
        "/./pods",
        "/a/../pods",
        "/pods/..",
        "/pods%2f",
        "/pods%00",
        "/pods%",
        "/pods%zz",
        "/pods%2",
        "/pods%ff",
        "/exec",
        "/exec/",
        "/exec/a",
        "/exec/a/b",
        "/exec/a//c",
        "/exec/a/b/c/d/e",
        "/exec/a/b%2fc/d",
        "/exec/a%2fb/c",
        "/exec/a/../c",
        "/exec/a/%2e%2e/c",
        "/exec/a/%2E./c",
        "/exec/a/./c",
        "/exec/a/b%00/c",
        "/exec/a/b%0a/c",
        "/exec/a/b/%5c..%2f",
        "/Exec/a/b/c",
        "/containerLogs/..%2f..%2fetc/p/c",
        "/logs/../etc/passwd",
        "/logs/%2e%2e/etc/passwd",
        "/logs/a%2f..%2f..%2fetc",
        "/logs/a//b",
        "/debug",
        "/debug/pprof/a/b",
        "/debug/flags/v/",
        "/nope",
    ];
    for path in paths {
        assert_eq!(found("GET", path), Err(Lookup::Nothing), "{path}");
    }
}

#[test]
fn methods() {
    let wrong = |allowed: &str| Err(Lookup::WrongMethod(allowed.to_owned()));
    for method in ["POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "FOO"] {
        assert_eq!(found(method, "/pods"), wrong("GET"), "{method}");
        assert!(found(method, "/healthz").is_ok(), "{method}");
    }
    assert_eq!(found("GET", "/run/a/b/c"), wrong("POST"));
    assert_eq!(found("GET", "/checkpoint/a/b/c"), wrong("POST"));
    assert_eq!(found("PUT", "/exec/a/b/c"), wrong("GET, POST"));
    assert_eq!(found("POST", "/containerLogs/a/b/c"), wrong("GET"));
}

#[test]
fn what_is_needed() {
    let cases: &[(&str, &str, &str, &[&str])] = &[
        ("GET", "/pods", "get", &["pods", "proxy"]),
        ("GET", "/pods/x/y", "get", &["pods", "proxy"]),
        ("GET", "/podsx", "get", &["proxy"]),
        ("GET", "/runningpods/", "get", &["pods", "proxy"]),
        ("HEAD", "/healthz/ping", "get", &["healthz", "proxy"]),
        ("POST", "/healthz", "create", &["healthz", "proxy"]),
        ("GET", "/configz", "get", &["configz", "proxy"]),
        ("GET", "/flagz", "get", &["configz"]),
        ("GET", "/statusz", "get", &["statusz"]),
        ("POST", "/stats/summary", "create", &["stats"]),
        ("GET", "/metrics/cadvisor", "get", &["metrics"]),
        ("GET", "/logs/syslog", "get", &["log"]),
        ("DELETE", "/metrics/slis", "delete", &["metrics"]),
        ("GET", "/debug/pprof/heap", "get", &["proxy"]),
        ("PUT", "/debug/flags/v", "update", &["proxy"]),
        ("POST", "/checkpoint/a/b/c", "create", &["checkpoint"]),
        ("GET", "/containerLogs/a/b/c", "get", &["proxy"]),
        ("GET", "/exec/a/b/c", "create", &["proxy"]),
        ("POST", "/exec/a/b/c", "create", &["proxy"]),
        ("DELETE", "/exec/a/b/c", "create", &["proxy"]),
        ("GET", "/attach/a/b/c", "create", &["proxy"]),
        ("GET", "/portForward/a/b", "create", &["proxy"]),
        ("GET", "/run/a/b/c", "create", &["proxy"]),
        ("GET", "/%65xec/a/b/c", "create", &["proxy"]),
        ("PUT", "/x", "update", &["proxy"]),
        ("PATCH", "/x", "patch", &["proxy"]),
        ("DELETE", "/x", "delete", &["proxy"]),
        ("OPTIONS", "/x", "", &["proxy"]),
        ("GET", "/..", "get", &["proxy"]),
        ("GET", "/pods/..", "get", &["proxy"]),
    ];
    for (method, path, verb, subresources) in cases {
        let need = need(&Method::from_bytes(method.as_bytes()).unwrap(), path);
        assert_eq!(
            (need.verb, need.subresources),
            (*verb, *subresources),
            "{method} {path}"
        );
    }
}

#[test]
fn refusals_in_upstreams_words() {
    let need = need(&Method::GET, "/healthz");
    assert_eq!(
        need.forbidden("system:kube-scheduler"),
        "Forbidden (user=system:kube-scheduler, verb=get, resource=nodes, subresource(s)=[healthz proxy])\n"
    );
    assert_eq!(
        need.unclear("u", "healthz"),
        "Authorization error (user=u, verb=get, resource=nodes, subresource=healthz)"
    );
}

#[test]
fn without_debugging_handlers() {
    for path in [
        "/exec/a/b/c",
        "/run/",
        "/containerLogs/a",
        "/runningpods/",
        "/logs/x",
        "/debug/pprof/heap",
    ] {
        assert_eq!(disabled(path), Some(Lookup::Disabled), "{path}");
    }
    for path in [
        "/configz",
        "/flagz",
        "/statusz",
        "/checkpoint/a/b/c",
        "/debug/flags/v",
    ] {
        assert_eq!(disabled(path), Some(Lookup::Nothing), "{path}");
    }
    for path in ["/pods", "/healthz", "/metrics", "/stats/summary", "/nope"] {
        assert_eq!(disabled(path), None, "{path}");
    }
}

proptest! {
    /// Whatever the path is: a found segment is a plain name, a row is found only where its literals are, and what it
    /// needs is what the row says.
    #[test]
    fn found_segments_are_plain_names(path in "(/|%2[fFeE]|%00|\\.|[a-z]|/exec|/pods|/containerLogs|/run|/logs|%){0,12}") {
        for method in [Method::GET, Method::POST] {
            let need = need(&method, &path);
            if let Lookup::Found(found) = find(&method, &path) {
                prop_assert_eq!(need.subresources, found.route.resources);
                for (name, value) in &found.segments {
                    // What an open end holds may have a slash at its end.
                    let parts: Vec<&str> = value.trim_end_matches('/').split('/').collect();
                    prop_assert!(parts.len() == 1 || *name == "path");
                    for part in parts {
                        prop_assert!(!part.is_empty() && part != "." && part != "..");
                        prop_assert!(!part.contains(char::is_control));
                    }
                }
            }
        }
    }
}
