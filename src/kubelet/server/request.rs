//! PURE. Everything that is read from a request before it reaches its endpoint: what it needs, what there is for it, its
//! token, its size. Strangers write what is read here, so that it is also what `fuzz/` tries.

use super::route::{self, Lookup, Need};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{HeaderMap, Method, Uri};
use std::borrow::Cow;

/// Begins the WebSocket sub-protocol that is a bearer token, for clients that can set no headers.
pub(super) const WEBSOCKET_TOKEN: &str = "base64url.bearer.authorization.k8s.io.";

/// A request as the door sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged<'a> {
    /// What its caller must be allowed.
    pub need: Need,
    /// What there is for it.
    pub lookup: Lookup,
    /// The bearer token.
    pub token: Option<Cow<'a, str>>,
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
        token: bearer(headers)
            .map(Cow::Borrowed)
            .or_else(|| websocket_token(headers).map(Cow::Owned)),
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

/// Whether the client asks for another protocol on its connection.
pub(super) fn is_upgrade(headers: &HeaderMap) -> bool {
    let named = headers.get_all(CONNECTION).iter().filter_map(|v| v.to_str().ok());
    named
        .into_iter()
        .any(|v| v.to_ascii_lowercase().contains("upgrade"))
}

/// Whether a request would make its connection a WebSocket.
pub(super) fn is_websocket(headers: &HeaderMap) -> bool {
    is_upgrade(headers)
        && headers
            .get(UPGRADE)
            .is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// The token among the sub-protocols of a WebSocket's beginning, as upstream has it: one, and beside another protocol
/// that can be agreed on.
fn websocket_token(headers: &HeaderMap) -> Option<String> {
    if !is_websocket(headers) {
        return None;
    }
    let protocols = || {
        let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).into_iter();
        values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(str::trim)
    };
    let mut tokens = protocols().filter_map(|name| name.strip_prefix(WEBSOCKET_TOKEN));
    let mut others = protocols().filter(|name| !name.starts_with(WEBSOCKET_TOKEN));
    let (Some(token), None, Some(_)) = (tokens.next(), tokens.next(), others.next()) else {
        return None;
    };
    let token = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    (!token.is_empty()).then_some(token)
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
    fn tokens_of_web_sockets() {
        let abc = "base64url.bearer.authorization.k8s.io.YWJj";
        let upgrade = [("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")];
        let cases = [
            (&upgrade[..], &*format!("{abc}, v5.channel.k8s.io"), Some("abc")),
            (&upgrade[..], &*format!("v5.channel.k8s.io,{abc}"), Some("abc")),
            (&upgrade[..], abc, None),
            (&upgrade[..], &*format!("{abc}, {abc}, v5.channel.k8s.io"), None),
            (&upgrade[..], &*format!("{abc}=, v5.channel.k8s.io"), None),
            (&upgrade[..], "base64url.bearer.authorization.k8s.io., v5", None),
            (&upgrade[..1], &*format!("{abc}, v5.channel.k8s.io"), None),
            (&upgrade[..0], &*format!("{abc}, v5.channel.k8s.io"), None),
        ];
        for (others, protocols, token) in cases {
            let mut headers = HeaderMap::new();
            for (name, value) in others.iter().chain([&("sec-websocket-protocol", protocols)]) {
                headers.append(*name, HeaderValue::from_str(value).unwrap());
            }
            let uri = Uri::from_static("/exec/a/b/c");
            let judged = judge(&Method::GET, &uri, &headers, true);
            assert_eq!(judged.token.as_deref(), token, "{others:?} {protocols}");
            // A header goes before.
            headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer header"));
            let judged = judge(&Method::GET, &uri, &headers, true);
            assert_eq!(judged.token.as_deref(), Some("header"));
        }
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
