//! PURE. `/statusz` and `/flagz`: upstream's text, and the objects of `config.k8s.io` that stand for it.

use super::accept::{self, Form};
use crate::kubelet::server::answer::{Answer, text, with_type};
use http::header::{CONTENT_TYPE, WARNING};
use http::{HeaderValue, StatusCode};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// The Kubernetes release we behave as.
const RELEASE: &str = "1.36.3";

/// A page, in all its forms.
#[derive(Clone, Debug)]
pub(super) struct Page {
    /// As in `/statusz`.
    name: &'static str,
    /// The object's kind.
    kind: &'static str,
    /// What comes after the head, for people.
    text: String,
    /// What comes after the object's metadata.
    fields: Value,
}

/// Since when we run, what we are, and where to look further (the roots of `paths`).
pub(super) fn statusz<'a>(start: Timestamp, now: Timestamp, paths: impl Iterator<Item = &'a str>) -> Page {
    let up = now.duration_since(start).as_secs().max(0);
    let (hours, minutes, seconds) = (up / 3600, up / 60 % 60, up % 60);
    let began = start.to_zoned(TimeZone::UTC);
    let roots: BTreeSet<&str> = paths.filter_map(|path| path.split('/').nth(1)).collect();
    let roots: Vec<String> = roots.iter().map(|root| format!("/{root}")).collect();
    let (release, _) = RELEASE.rsplit_once('.').unwrap_or((RELEASE, ""));
    let made_of = concat!("none (rustlet ", env!("CARGO_PKG_VERSION"), ")");
    Page {
        name: "statusz",
        kind: "Statusz",
        text: format!(
            "\nStarted: {}\nUp: {hours} hr {minutes:02} min {seconds:02} sec\nGo version: {made_of}\n\
             Binary version: {RELEASE}\nEmulation version: {release}\nPaths: {}\n",
            began.strftime("%a %b %e %H:%M:%S %Z %Y"),
            roots.join(" "),
        ),
        fields: json!({
            "startTime": began.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "uptimeSeconds": up,
            "goVersion": made_of,
            "binaryVersion": RELEASE,
            "emulationVersion": release,
            "paths": roots,
        }),
    }
}

/// Settings by the names of flags.
pub(super) fn flagz(flags: &BTreeMap<&'static str, String>) -> Page {
    let mut text = String::new();
    for (name, value) in flags {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name}={value}");
    }
    Page {
        name: "flagz",
        kind: "Flagz",
        text,
        fields: json!({"flags": flags}),
    }
}

/// The page in the form the `Accept` header asks for; `pretty` is wished for by the query.
pub(super) fn answer(page: &Page, header: &str, pretty: bool) -> Answer {
    match accept::form(header, page.kind) {
        None => not_acceptable(),
        Some(Form::Text) => text(StatusCode::OK, page.text()),
        Some(Form::Json {
            version,
            pretty: wished,
        }) => {
            let object = page.object(version);
            let json = if pretty || wished {
                serde_json::to_string_pretty(&object)
            } else {
                serde_json::to_string(&object)
            };
            page.structured("json", version, json.map(|json| json + "\n"))
        }
        Some(Form::Yaml { version }) => {
            let object = page.object(version);
            page.structured("yaml", version, serde_saphyr::to_string(&object))
        }
    }
}

impl Page {
    fn text(&self) -> String {
        format!(
            "\nkubelet {}\nWarning: This endpoint is not meant to be machine parseable, has no formatting \
             compatibility guarantees and is for debugging purposes only.\n{}",
            self.name, self.text
        )
    }

    fn object(&self, version: &str) -> Value {
        let mut object = json!({
            "kind": self.kind,
            "apiVersion": format!("{}/{version}", accept::GROUP),
            "metadata": {"name": "kubelet"},
        });
        if let (Value::Object(object), Value::Object(fields)) = (&mut object, &self.fields) {
            object.extend(fields.clone());
        }
        object
    }

    fn structured<E: std::fmt::Display>(
        &self,
        format: &str,
        version: &str,
        body: Result<String, E>,
    ) -> Answer {
        let body = match body {
            Ok(body) => body,
            Err(error) => return text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        };
        let mut answer = text(StatusCode::OK, body);
        let (group, kind) = (accept::GROUP, self.kind);
        let mut set = |name, value: String| {
            // Nothing but our own words is in it.
            if let Ok(value) = HeaderValue::from_str(&value) {
                answer.headers_mut().insert(name, value);
            }
        };
        set(
            CONTENT_TYPE,
            format!("application/{format};g={group};v={version};as={kind}"),
        );
        if version == "v1alpha1" {
            let words = "is deprecated. Please use a newer version.";
            set(
                WARNING,
                format!("299 - \"This version of the {} endpoint {words}\"", self.name),
            );
        }
        answer
    }
}

fn not_acceptable() -> Answer {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "only the following media types are accepted: application/json, application/yaml, text/plain",
        "reason": "NotAcceptable", "code": 406,
    });
    with_type(
        StatusCode::NOT_ACCEPTABLE,
        "application/json",
        status.to_string() + "\n",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubelet::server::answer::tests::told;

    fn page() -> Page {
        let start: Timestamp = "2026-11-01T14:32:52Z".parse().unwrap();
        let now: Timestamp = "2026-11-01T16:33:06.9Z".parse().unwrap();
        statusz(
            start,
            now,
            ["/healthz", "/metrics", "/metrics/cadvisor"].into_iter(),
        )
    }

    #[test]
    fn statusz_looks_like_upstreams() {
        let (code, text) = told(answer(&page(), "", false));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            (code, lines[0], lines[1], lines[3]),
            (200, "", "kubelet statusz", "")
        );
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
    fn statusz_as_an_object() {
        let ask = |format: &str, version: &str| {
            let header = format!("application/{format};v={version};g=config.k8s.io;as=Statusz");
            let answer = answer(&page(), &header, false);
            let headers = answer.headers().clone();
            let head = |name| {
                headers
                    .get(name)
                    .map_or("", |value: &HeaderValue| value.to_str().unwrap())
            };
            let (kind, warning) = (head(CONTENT_TYPE).to_owned(), head(WARNING).to_owned());
            (kind, warning, told(answer).1)
        };
        let (kind, warning, body) = ask("json", "v1beta1");
        assert_eq!(
            (&*kind, &*warning),
            ("application/json;g=config.k8s.io;v=v1beta1;as=Statusz", "")
        );
        let object: Value = serde_json::from_str(&body).unwrap();
        let wanted = json!({
            "kind": "Statusz", "apiVersion": "config.k8s.io/v1beta1", "metadata": {"name": "kubelet"},
            "startTime": "2026-11-01T14:32:52Z", "uptimeSeconds": 7214, "goVersion": object["goVersion"],
            "binaryVersion": "1.36.3", "emulationVersion": "1.36", "paths": ["/healthz", "/metrics"],
        });
        assert_eq!(object, wanted);
        let (kind, _, body) = ask("yaml", "v1beta1");
        assert_eq!(kind, "application/yaml;g=config.k8s.io;v=v1beta1;as=Statusz");
        assert_eq!(serde_saphyr::from_str::<Value>(&body).unwrap(), wanted);
        let (_, warning, _) = ask("json", "v1alpha1");
        assert_eq!(
            warning,
            "299 - \"This version of the statusz endpoint is deprecated. Please use a newer version.\""
        );
    }

    #[test]
    fn what_is_not_acceptable_is_said_as_a_status() {
        let (code, body) = told(answer(&page(), "text/html", false));
        let status: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((code, &status["reason"]), (406, &json!("NotAcceptable")));
    }

    #[test]
    fn flagz_is_a_flag_a_line() {
        let page = flagz(&BTreeMap::from([("b", "2".to_owned()), ("a", String::new())]));
        let (_, text) = told(answer(&page, "text/plain", false));
        assert!(text.starts_with("\nkubelet flagz\nWarning: ") && text.ends_with(".\na=\nb=2\n"));
        let header = "application/json;v=v1beta1;g=config.k8s.io;as=Flagz";
        let (_, body) = told(answer(&page, header, true));
        assert!(
            body.contains("\"flags\": {\n    \"a\": \"\",\n    \"b\": \"2\""),
            "{body}"
        );
    }
}
