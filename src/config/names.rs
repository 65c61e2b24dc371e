//! PURE. Labels, taints and DNS names as Kubernetes allows them.

use super::{Error, Taint, TaintEffect};

/// Labels of Kubernetes' own domains a node may set on itself (NodeRestriction refuses all others).
const OWN_LABELS: &[&str] = &[
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    "node.kubernetes.io/instance-type",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
];

pub(super) fn label(text: &str) -> Result<(Box<str>, Box<str>), Error> {
    let flag = "--node-labels";
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| Error::new(flag, format!("{text:?} is not KEY=VALUE")))?;
    check_key(key)
        .and_then(|()| check_value(key, value))
        .map_err(|problem| Error::new(flag, problem))?;
    let domain = key.split_once('/').map_or("", |(domain, _)| domain);
    let within = |parent: &str| domain == parent || domain.ends_with(&format!(".{parent}"));
    let reserved = within("kubernetes.io") || within("k8s.io");
    let allowed =
        within("kubelet.kubernetes.io") || within("node.kubernetes.io") || OWN_LABELS.contains(&key);
    if reserved && !allowed {
        return Err(Error::new(
            flag,
            format!(
                "the API server does not let a node give itself {key:?}: use a prefix of your own, \
                 node.kubernetes.io/ or kubelet.kubernetes.io/, or label it with kubectl"
            ),
        ));
    }
    Ok((key.into(), value.into()))
}

pub(super) fn taint(text: &str) -> Result<Taint, String> {
    let (pair, effect) = text
        .rsplit_once(':')
        .ok_or_else(|| format!("{text:?} is not KEY=VALUE:EFFECT"))?;
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    taint_of(key, value, effect).map_err(|problem| format!("{text:?}: {problem}"))
}

pub(super) fn taint_of(key: &str, value: &str, effect: &str) -> Result<Taint, String> {
    check_key(key)?;
    check_value(key, value)?;
    let effect = match effect {
        "NoSchedule" => TaintEffect::NoSchedule,
        "PreferNoSchedule" => TaintEffect::PreferNoSchedule,
        "NoExecute" => TaintEffect::NoExecute,
        other => {
            return Err(format!(
                "{other:?} is not an effect: NoSchedule, PreferNoSchedule or NoExecute"
            ));
        }
    };
    Ok(Taint {
        key: key.into(),
        value: value.into(),
        effect,
    })
}

fn check_key(key: &str) -> Result<(), String> {
    let (domain, name) = key
        .split_once('/')
        .map_or((None, key), |(domain, name)| (Some(domain), name));
    if domain.is_none_or(is_dns_subdomain) && !name.is_empty() && is_label_text(name) {
        return Ok(());
    }
    Err(format!(
        "{key:?} is not a key: [domain/]name, where name has up to 63 letters, digits, '-', '_', '.'"
    ))
}

fn check_value(key: &str, value: &str) -> Result<(), String> {
    if is_label_text(value) {
        return Ok(());
    }
    Err(format!(
        "{key}={value:?}: a value has up to 63 letters, digits, '-', '_', '.'"
    ))
}

/// Up to 63 letters, digits, `-`, `_`, `.`, beginning and ending with a letter or digit; may be empty.
fn is_label_text(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    text.len() <= 63
        && text.chars().all(inner)
        && text.chars().next().is_none_or(|c| c.is_ascii_alphanumeric())
        && text.chars().last().is_none_or(|c| c.is_ascii_alphanumeric())
}

pub(super) fn is_dns_subdomain(text: &str) -> bool {
    let part_ok = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(part_ok)
}
