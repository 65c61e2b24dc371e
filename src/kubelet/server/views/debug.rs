//! `/debug/flags/v` changes how much is logged while we run; `/debug/pprof/` says what there is to profile.

use crate::config::levels_of_klog;
use crate::kubelet::server::answer::{Answer, text, with_type};
use crate::telemetry;
use http::header::X_CONTENT_TYPE_OPTIONS;
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Bytes};
use std::os::unix::ffi::OsStrExt;

/// Longest number anybody needs.
const MOST_DIGITS: usize = 64;
/// What Go's runtime can show of a process, and we cannot.
const GO_PROFILES: [&str; 9] = [
    "allocs",
    "block",
    "goroutine",
    "heap",
    "mutex",
    "profile",
    "symbol",
    "threadcreate",
    "trace",
];

/// `PUT /debug/flags/v` with klog's verbosity: from now on it counts, whatever the flags said.
pub(super) async fn verbosity<B>(request: Request<B>) -> Answer
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if request.method() != Method::PUT {
        return told(StatusCode::NOT_ACCEPTABLE, "unsupported http method".to_owned());
    }
    let Ok(body) = Limited::new(request.into_body(), MOST_DIGITS).collect().await else {
        return told(StatusCode::BAD_REQUEST, "error reading body".to_owned());
    };
    let body = body.to_bytes();
    let typed = String::from_utf8_lossy(&body);
    match typed.parse::<u32>() {
        Err(_) => told(
            StatusCode::BAD_REQUEST,
            format!("{typed:?} is no verbosity: 2, or from 4 on for debugging, from 6 on for everything"),
        ),
        Ok(verbosity) if telemetry::set_levels(levels_of_klog(verbosity)) => {
            tracing::info!(verbosity, "verbosity changed by request");
            told(
                StatusCode::OK,
                format!("successfully set klog.logging.verbosity to {verbosity}"),
            )
        }
        Ok(_) => told(
            StatusCode::INTERNAL_SERVER_ERROR,
            "this process does not write a log of its own".to_owned(),
        ),
    }
}

/// `/debug/pprof/NAME`. The command line is the one thing that is the same for every process; profiles of Go's runtime
/// are refused in words that `go tool pprof` prints, rather than answered with something it would misread.
pub(super) fn profile(name: &str) -> Answer {
    if name == "cmdline" {
        let args: Vec<_> = std::env::args_os().collect();
        let args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
        return text(StatusCode::OK, args.join(&0));
    }
    if GO_PROFILES.contains(&name) {
        let words = format!(
            "rustlet has no {name} profile: it is no Go program. Use perf on the node, or /metrics for memory and \
             CPU time.\n"
        );
        return text(StatusCode::NOT_IMPLEMENTED, words);
    }
    text(StatusCode::NOT_FOUND, "Unknown profile\n")
}

fn told(code: StatusCode, words: String) -> Answer {
    let mut answer = with_type(code, "text/plain", words + "\n");
    let value = HeaderValue::from_static("nosniff");
    answer.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, value);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubelet::server::answer::tests;
    use http_body_util::Full;

    #[test]
    fn profiles_are_refused_in_words() {
        let (code, words) = tests::told(profile("heap"));
        assert_eq!(code, 501);
        assert!(words.contains("no heap profile"), "{words}");
        assert_eq!(
            tests::told(profile("nope")),
            (404, "Unknown profile\n".to_owned())
        );
        let (code, line) = tests::told(profile("cmdline"));
        let own = std::env::args().next().unwrap();
        assert!(code == 200 && line.split('\0').next() == Some(&*own), "{line}");
    }

    #[tokio::test]
    async fn only_a_number_that_is_put_is_a_verbosity() {
        let cases = [
            ("GET", "4", 406, "unsupported http method\n"),
            ("POST", "4", 406, "unsupported http method\n"),
            (
                "PUT",
                "x",
                400,
                "\"x\" is no verbosity: 2, or from 4 on for debugging, from 6 on for everything\n",
            ),
            ("PUT", "-1", 400, "\"-1\" is no verbosity"),
            ("PUT", "", 400, "\"\" is no verbosity"),
            ("PUT", &"9".repeat(MOST_DIGITS + 1), 400, "error reading body\n"),
        ];
        for (method, body, code, words) in cases {
            let request = Request::builder().method(method);
            let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
            let (found, said) = tests::told(verbosity(request).await);
            assert!(
                found == code && said.starts_with(words),
                "{method} {body}: {found} {said}"
            );
        }
    }
}
