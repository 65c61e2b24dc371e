//! PURE. `/statusz` and `/flagz` in upstream's text form.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// The Kubernetes release we behave as.
const RELEASE: &str = "1.36.3";

fn head(page: &str) -> String {
    format!(
        "\nkubelet {page}\nWarning: This endpoint is not meant to be machine parseable, has no formatting \
         compatibility guarantees and is for debugging purposes only.\n"
    )
}

/// Since when we run, what we are, and where to look further (the roots of `paths`).
pub(super) fn statusz<'a>(start: Timestamp, now: Timestamp, paths: impl Iterator<Item = &'a str>) -> String {
    let up = now.duration_since(start).as_secs().max(0);
    let (hours, minutes, seconds) = (up / 3600, up / 60 % 60, up % 60);
    let began = start.to_zoned(TimeZone::UTC).strftime("%a %b %e %H:%M:%S %Z %Y");
    let roots: BTreeSet<&str> = paths.filter_map(|path| path.split('/').nth(1)).collect();
    let roots: Vec<String> = roots.iter().map(|root| format!("/{root}")).collect();
    let (release, _) = RELEASE.rsplit_once('.').unwrap_or((RELEASE, ""));
    format!(
        "{}\nStarted: {began}\nUp: {hours} hr {minutes:02} min {seconds:02} sec\nGo version: none (rustlet {})\n\
         Binary version: {RELEASE}\nEmulation version: {release}\nPaths: {}\n",
        head("statusz"),
        env!("CARGO_PKG_VERSION"),
        roots.join(" "),
    )
}

/// Settings by the names of flags.
pub(super) fn flagz(flags: &BTreeMap<&'static str, String>) -> String {
    let mut text = head("flagz");
    for (name, value) in flags {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name}={value}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statusz_looks_like_upstreams() {
        let start: Timestamp = "2026-11-01T14:32:52Z".parse().unwrap();
        let now: Timestamp = "2026-11-01T16:33:06.9Z".parse().unwrap();
        let text = statusz(
            start,
            now,
            ["/healthz", "/metrics", "/metrics/cadvisor"].into_iter(),
        );
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines[0], lines[1]), ("", "kubelet statusz"));
        assert_eq!(lines[4], "Started: Sun Nov  1 14:32:52 UTC 2026");
        assert_eq!(lines[5], "Up: 2 hr 00 min 14 sec");
        assert_eq!(
            lines[7..],
            [
                "Binary version: 1.36.3",
                "Emulation version: 1.36",
                "Paths: /healthz /metrics"
            ]
        );
    }

    #[test]
    fn flagz_is_a_flag_a_line() {
        let text = flagz(&BTreeMap::from([("b", "2".to_owned()), ("a", String::new())]));
        assert!(text.starts_with("\nkubelet flagz\nWarning: ") && text.ends_with(".\na=\nb=2\n"));
    }
}
