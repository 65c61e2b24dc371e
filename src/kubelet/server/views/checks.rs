//! PURE. Health checks in upstream's words.

use crate::kubelet::server::answer::{Answer, text};
use crate::kubelet::server::request::values;
use http::{HeaderValue, StatusCode};
use std::fmt::Write;

/// One check and its outcome.
#[derive(Clone, Debug)]
pub(in crate::kubelet::server) struct Check {
    /// As in `/healthz/NAME`.
    pub(in crate::kubelet::server) name: &'static str,
    /// What is wrong, if anything.
    pub(in crate::kubelet::server) problem: Option<&'static str>,
}

/// The checks that are made: those the query does not leave out.
pub(in crate::kubelet::server) fn made<'a>(
    checks: &'a [Check],
    query: &str,
) -> impl Iterator<Item = &'a Check> {
    let excluded = values(query, "exclude");
    checks
        .iter()
        .filter(move |check| excluded.iter().all(|name| name != check.name))
}

/// `/healthz`: all checks. `?verbose` lists them, `?exclude=NAME` leaves one out.
pub(in crate::kubelet::server) fn all(checks: &[Check], query: Option<&str>) -> Answer {
    let query = query.unwrap_or_default();
    let excluded = values(query, "exclude");
    let (mut lines, mut failed) = (String::new(), false);
    for check in checks {
        // Writing to a String cannot fail.
        let _ = if excluded.iter().any(|name| name == check.name) {
            writeln!(lines, "[+]{} excluded: ok", check.name)
        } else if check.problem.is_some() {
            failed = true;
            writeln!(lines, "[-]{} failed: reason withheld", check.name)
        } else {
            writeln!(lines, "[+]{} ok", check.name)
        };
    }
    let unknown: Vec<String> = excluded
        .iter()
        .filter(|name| checks.iter().all(|check| check.name != **name))
        .map(|name| format!("{name:?}"))
        .collect();
    if !unknown.is_empty() {
        let _ = writeln!(
            lines,
            "warn: some health checks cannot be excluded: no matches for {}",
            unknown.join(",")
        );
    }
    let mut answer = if failed {
        text(
            StatusCode::INTERNAL_SERVER_ERROR,
            lines + "healthz check failed\n",
        )
    } else if values(query, "verbose").is_empty() {
        text(StatusCode::OK, "ok")
    } else {
        text(StatusCode::OK, lines + "healthz check passed\n")
    };
    let headers = answer.headers_mut();
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    answer
}

/// `/healthz/NAME`: one check.
pub(in crate::kubelet::server) fn one(check: &Check) -> Answer {
    match check.problem {
        None => text(StatusCode::OK, "ok"),
        Some(problem) => {
            let words = format!("internal server error: {problem}\n");
            text(StatusCode::INTERNAL_SERVER_ERROR, words)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubelet::server::answer::tests::told;

    fn check(name: &'static str, problem: Option<&'static str>) -> Check {
        Check { name, problem }
    }

    #[test]
    fn all_checks() {
        let good = [check("ping", None), check("syncloop", None)];
        let bad = [check("ping", None), check("syncloop", Some("stuck"))];
        let failed = "[+]ping ok\n[-]syncloop failed: reason withheld\nhealthz check failed\n";
        let cases = [
            (&good, None, 200, "ok"),
            (
                &good,
                Some("verbose"),
                200,
                "[+]ping ok\n[+]syncloop ok\nhealthz check passed\n",
            ),
            (
                &good,
                Some("verbose=0&x=y"),
                200,
                "[+]ping ok\n[+]syncloop ok\nhealthz check passed\n",
            ),
            (&bad, None, 500, failed),
            (&bad, Some("exclude=syncloop"), 200, "ok"),
            (
                &bad,
                Some("exclude=sync%6coop&verbose&exclude=no"),
                200,
                "[+]ping ok\n[+]syncloop excluded: ok\nwarn: some health checks cannot be excluded: no matches for \
                 \"no\"\nhealthz check passed\n",
            ),
        ];
        for (checks, query, code, body) in cases {
            assert_eq!(told(all(checks, query)), (code, body.to_owned()), "{query:?}");
        }
    }

    #[test]
    fn one_check() {
        assert_eq!(told(one(&check("ping", None))), (200, "ok".to_owned()));
        let (code, body) = told(one(&check("syncloop", Some("stuck"))));
        assert_eq!((code, &*body), (500, "internal server error: stuck\n"));
    }
}
