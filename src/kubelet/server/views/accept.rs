//! PURE. Which form of `/statusz` and `/flagz` an `Accept` header asks for (KEP-4827, KEP-4828).
//!
//! Text has no type of its own; JSON and YAML are only given as one of the kinds of `config.k8s.io` that the client
//! names, as in `application/json;g=config.k8s.io;v=v1beta1;as=Statusz`. Everything else is not acceptable.

use std::collections::BTreeMap;

/// API group of the structured forms.
pub(super) const GROUP: &str = "config.k8s.io";
/// Its versions.
const VERSIONS: [&str; 2] = ["v1alpha1", "v1beta1"];

/// How a page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// For people.
    Text,
    /// An object of this version.
    Json {
        /// Of the API group.
        version: &'static str,
        /// With line breaks.
        pretty: bool,
    },
    /// The same as YAML.
    Yaml {
        /// Of the API group.
        version: &'static str,
    },
}

/// One part of the header.
struct Clause<'a> {
    kind: &'a str,
    subtype: &'a str,
    quality: f64,
    params: BTreeMap<&'a str, &'a str>,
}

/// The first form that fits, best quality first; `None` when none does. Without a header it is text.
pub(super) fn form(header: &str, object: &str) -> Option<Form> {
    if header.trim().is_empty() {
        return Some(Form::Text);
    }
    let mut clauses: Vec<Clause<'_>> = header.split(',').filter_map(clause).collect();
    clauses.sort_by(|a, b| {
        let vague = |clause: &Clause<'_>| (clause.kind == "*", clause.subtype == "*");
        b.quality.total_cmp(&a.quality).then(vague(a).cmp(&vague(b)))
    });
    clauses.iter().find_map(|clause| fit(clause, object))
}

fn clause(text: &str) -> Option<Clause<'_>> {
    let mut parts = text.split(';').map(str::trim);
    let (kind, subtype) = match parts.next()?.split_once('/') {
        Some((kind, subtype)) if !subtype.contains('/') => (kind.trim(), subtype.trim()),
        None if text.trim().starts_with('*') => ("*", "*"),
        _ => return None,
    };
    let mut params: BTreeMap<_, _> = parts
        .filter_map(|part| part.split_once('='))
        .map(|(key, value)| (key.trim(), value.trim()))
        .collect();
    let quality = params.remove("q").map_or(1.0, |q| q.parse().unwrap_or(0.0));
    Some(Clause {
        kind,
        subtype,
        quality,
        params,
    })
}

/// What this part of the header gets, in the order upstream tries its forms.
fn fit(clause: &Clause<'_>, object: &str) -> Option<Form> {
    let param = |name: &str| clause.params.get(name).copied();
    let demands = |name: &str| param(name).is_some_and(|value| !value.is_empty());
    if demands("stream") || demands("sv") {
        return None;
    }
    let is = |kind: &str, subtype: &str| {
        (clause.kind == kind || clause.kind == "*" && clause.subtype == "*")
            && (clause.subtype == subtype || clause.subtype == "*")
    };
    let typed = ["as", "g", "v"].map(param);
    if typed == [None; 3] {
        return is("text", "plain").then_some(Form::Text);
    }
    if typed[..2] != [Some(object), Some(GROUP)] {
        return None;
    }
    let version = VERSIONS.into_iter().find(|version| typed[2] == Some(version))?;
    if is("application", "json") {
        let pretty = param("pretty") == Some("1");
        Some(Form::Json { version, pretty })
    } else {
        is("application", "yaml").then_some(Form::Yaml { version })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What upstream's kubelet 1.36.3 gave for these headers.
    #[test]
    fn forms_as_upstream_gives_them() {
        let json = |version| {
            let pretty = false;
            Some(Form::Json { version, pretty })
        };
        let typed = |mime: &str, version: &str| format!("{mime};v={version};g=config.k8s.io;as=Statusz");
        let cases = [
            (String::new(), Some(Form::Text)),
            ("*/*".into(), Some(Form::Text)),
            ("text/*".into(), Some(Form::Text)),
            ("text/plain;charset=utf-8".into(), Some(Form::Text)),
            ("text/plain;v=v1beta1".into(), None),
            ("text/html".into(), None),
            ("application/json".into(), None),
            ("nonsense".into(), None),
            (typed("application/json", "v1alpha1"), json("v1alpha1")),
            (typed("application/json", "v1beta1"), json("v1beta1")),
            (typed("application/*", "v1beta1"), json("v1beta1")),
            (typed("*/*", "v1beta1"), json("v1beta1")),
            (typed("application/json", "v2"), None),
            (typed("application/cbor", "v1beta1"), None),
            (typed("application/json", "v1beta1;stream=watch"), None),
            (
                typed("application/yaml", "v1beta1"),
                Some(Form::Yaml { version: "v1beta1" }),
            ),
            (
                typed("application/json", "v1beta1") + ",text/plain",
                json("v1beta1"),
            ),
            (
                "text/plain;q=0.5, ".to_owned() + &typed("application/json", "v1beta1;q=0.9"),
                json("v1beta1"),
            ),
            (
                typed("application/json", "v1beta1;pretty=1"),
                Some(Form::Json {
                    version: "v1beta1",
                    pretty: true,
                }),
            ),
            ("application/json;v=v1beta1;g=config.k8s.io;as=Flagz".into(), None),
        ];
        for (header, wanted) in cases {
            assert_eq!(form(&header, "Statusz"), wanted, "{header}");
        }
    }
}
