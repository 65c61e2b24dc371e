//! Requests of the worst kind, and what must hold for each: one function for the property test and for `fuzz/`.

use crate::kubelet::server::request::{judge, values};
use crate::kubelet::server::route::{self, Lookup};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

/// Reads bytes as `METHOD target`, then lines of headers, and panics when what is made of them breaks a promise.
/// What is no request at all is refused by the HTTP library before us, and is ignored here.
pub fn check(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let first = lines.next().unwrap_or_default();
    let mut words = first.splitn(2, |byte| *byte == b' ');
    let method = Method::from_bytes(words.next().unwrap_or_default());
    let uri = Uri::try_from(words.next().unwrap_or_default());
    let (Ok(method), Ok(uri)) = (method, uri) else {
        return;
    };
    let mut headers = HeaderMap::new();
    for line in lines {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let name = HeaderName::from_bytes(parts.next().unwrap_or_default());
        let value = HeaderValue::from_bytes(parts.next().unwrap_or_default().trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    for name in ["verbose", "exclude", "timeout"] {
        let _ = values(uri.query().unwrap_or_default(), name);
    }
    for debugging in [true, false] {
        let judged = judge(&method, &uri, &headers, debugging);
        assert!(
            !judged.need.subresources.is_empty(),
            "nothing needed is everybody allowed"
        );
        assert!(
            judged
                .token
                .is_none_or(|token| !token.is_empty() && !token.contains(' '))
        );
        if let Lookup::Found(found) = judged.lookup {
            check_found(&method, &found, &judged.need);
        }
    }
}

/// What is found needs what its row says, and its names are names.
fn check_found(method: &Method, found: &route::Found, need: &route::Need) {
    assert_eq!(need.subresources, found.route.resources);
    let runs = ["/exec/", "/attach/", "/portForward/", "/run/"];
    if runs.iter().any(|root| found.route.pattern.starts_with(root)) {
        assert_eq!(need.verb, "create");
    }
    let methods = found.route.methods;
    assert!(methods.is_empty() || methods.contains(method));
    for value in found.segments.values() {
        assert!(!value.is_empty() && value != "." && value != "..");
        assert!(!value.contains(|c: char| c == '/' || c.is_control()));
    }
}
