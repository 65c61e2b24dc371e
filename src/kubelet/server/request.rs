//! PURE. Everything that is read from a request before it reaches its endpoint: what it needs, what there is for it, its
//! token, its size. Strangers write what is read here, so that it is also what `fuzz/` tries.

use super::route::{self, Lookup, Need};
use http::header::{AUTHORIZATION, CONTENT_LENGTH};
use http::{HeaderMap, Method, Uri};

/// A request as the door sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged<'a> {
    /// What its caller must be allowed.
    pub need: Need,
    /// What there is for it.
    pub lookup: Lookup,
    /// The bearer token.
    pub token: Option<&'a str>,
    /// Bytes of its body, as the client says; what cannot be read counts as too much. A body without length is not read
    /// beyond what its endpoint wants.
    pub body: u64,
}

/// Reads a request. `debugging` is `enableDebuggingHandlers`.
pub fn judge<'a>(method: &Method, uri: &Uri, headers: &'a HeaderMap, debugging: bool) -> Judged<'a> {
    let path = uri.path();
    let switched_off = route::disabled(path).filter(|_| !debugging);
    Judged {
        need: route::need(method, path),
        lookup: switched_off.unwrap_or_else(|| route::find(method, path)),
        token: bearer(headers),
        body: headers.get(CONTENT_LENGTH).map_or(0, |length| {
            let length = length.to_str().ok();
            length.and_then(|length| length.parse().ok()).unwrap_or(u64::MAX)
        }),
    }
}

/// The token of `Authorization: Bearer TOKEN`.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?.trim();
    let (scheme, rest) = value.split_once(' ')?;
    // What follows a second space is no part of the token, as upstream has it.
    let token = rest.split(' ').next()?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The values of a query parameter; an empty one for a bare `?name`.
pub fn values(query: &str, name: &str) -> Vec<String> {
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        percent_encoding::percent_decode_str(&text)
            .decode_utf8_lossy()
            .into_owned()
    };
    query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .filter(|(key, _)| decode(key) == name)
        .map(|(_, value)| decode(value))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::malformed;
    use http::HeaderValue;
    use proptest::prelude::*;

    #[test]
    fn bearer_tokens_in_headers() {
        let cases = [
            ("Bearer abc", Some("abc")),
            ("bearer abc", Some("abc")),
            ("BEARER abc def", Some("abc")),
            ("  Bearer abc  ", Some("abc")),
            ("Bearer  abc", None),
            ("Bearer", None),
            ("Bearer ", None),
            ("Basic abc", None),
            ("Bearerabc", None),
            ("", None),
        ];
        for (header, token) in cases {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(header))]);
            assert_eq!(bearer(&headers), token, "{header:?}");
        }
        let binary = HeaderValue::from_bytes(b"Bearer \xff").unwrap();
        assert_eq!(bearer(&HeaderMap::from_iter([(AUTHORIZATION, binary)])), None);
    }

    #[test]
    fn sizes_of_bodies() {
        for (length, bytes) in [
            ("0", 0),
            ("17", 17),
            ("-1", u64::MAX),
            ("1e9", u64::MAX),
            ("", u64::MAX),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_LENGTH, HeaderValue::from_static(length))]);
            let judged = judge(&Method::POST, &Uri::from_static("/pods"), &headers, true);
            assert_eq!(judged.body, bytes, "{length:?}");
        }
    }

    #[test]
    fn switched_off_paths_are_not_looked_up() {
        let headers = HeaderMap::new();
        let exec = Uri::from_static("/exec/a/b/c");
        assert_eq!(
            judge(&Method::GET, &exec, &headers, false).lookup,
            Lookup::Disabled
        );
        assert!(matches!(
            judge(&Method::GET, &exec, &headers, true).lookup,
            Lookup::Found(_)
        ));
    }

    proptest! {
        /// What `just fuzz` tries for minutes, for a moment at each test: lines that are nearly requests, and noise.
        #[test]
        fn malformed_requests(
            method in "GET|POST|HEAD|[A-Z]{0,8}",
            target in "(/|//|%2[fFeE]|%00|%|\\.|\\?|&|=|#|[a-z]|/exec|/pods|/containerLogs|/run|/healthz|\\PC){0,16}",
            headers in proptest::collection::vec("(Authorization|Content-Length|[a-z]{0,6}): (Bearer |-?[0-9]{0,30}|\\PC){0,4}", 0..4),
        ) {
            malformed::check(format!("{method} {target}\n{}", headers.join("\n")).as_bytes());
        }

        #[test]
        fn noise(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            malformed::check(&bytes);
        }
    }
}
