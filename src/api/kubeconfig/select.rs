//! From the text of a kubeconfig to the cluster and user its current context names.

use super::{Context, Error};
use kube::config::{AuthInfo, Cluster, Kubeconfig};

pub(super) fn read_yaml(bytes: &[u8], context: &Context<'_>) -> Result<Kubeconfig, Error> {
    let malformed = |problem: String| {
        context.error(
            "",
            problem,
            "correct that line, or write the file again if it was only half written",
        )
    };
    let text = std::str::from_utf8(bytes)
        .map_err(|e| malformed(format!("is not text: invalid UTF-8 at byte {}", e.valid_up_to())))?;
    if text.trim().is_empty() {
        return Err(context.error("", "is empty", "write a kubeconfig there (kubeadm join does)"));
    }
    Kubeconfig::from_yaml(text).map_err(|e| malformed(format!("is not a kubeconfig: {}", yaml_words(&e))))
}

/// The YAML reader's words without its drawing of the file (which may hold secrets): `line 3, column 7: …`.
fn yaml_words(error: &kube::config::KubeconfigError) -> String {
    match error {
        kube::config::KubeconfigError::Parse(yaml) => {
            let words = yaml.without_snippet().to_string();
            let first = words
                .lines()
                .next()
                .unwrap_or_default()
                .trim()
                .trim_start_matches("error: ")
                .to_owned();
            match yaml.location() {
                Some(at) if !first.contains("line ") => {
                    format!("line {}, column {}: {first}", at.line(), at.column())
                }
                _ => first,
            }
        }
        other => other.to_string(),
    }
}

/// The entries `current-context` leads to.
pub(super) struct Selected<'a> {
    pub(super) cluster_name: &'a str,
    pub(super) cluster: &'a Cluster,
    pub(super) user_name: &'a str,
    pub(super) user: &'a AuthInfo,
}

pub(super) fn select<'a>(kubeconfig: &'a Kubeconfig, context: &Context<'_>) -> Result<Selected<'a>, Error> {
    let names: Vec<&str> = kubeconfig.contexts.iter().map(|c| &*c.name).collect();
    let current = kubeconfig
        .current_context
        .as_deref()
        .filter(|name| !name.is_empty())
        .ok_or_else(|| {
            context.error(
                "current-context",
                "is not set",
                format!("set it to one of the file's contexts: {}", list(&names)),
            )
        })?;
    let missing = |field: &str, kind: &str, name: &str, have: &[&str]| {
        context.error(
            field,
            format!("there is no {kind} {name:?} in this file"),
            format!("it has: {}", list(have)),
        )
    };
    let chosen = kubeconfig
        .contexts
        .iter()
        .find(|c| c.name == current)
        .and_then(|c| c.context.as_ref())
        .ok_or_else(|| missing("current-context", "context", current, &names))?;
    let entry = format!("contexts[{current}].context");

    let clusters: Vec<&str> = kubeconfig.clusters.iter().map(|c| &*c.name).collect();
    let cluster = kubeconfig
        .clusters
        .iter()
        .find(|c| c.name == chosen.cluster)
        .and_then(|c| Some((&*c.name, c.cluster.as_ref()?)))
        .ok_or_else(|| missing(&format!("{entry}.cluster"), "cluster", &chosen.cluster, &clusters))?;

    let users: Vec<&str> = kubeconfig.auth_infos.iter().map(|u| &*u.name).collect();
    let wanted = chosen.user.as_deref().unwrap_or_default();
    let user = kubeconfig
        .auth_infos
        .iter()
        .find(|u| u.name == wanted)
        .and_then(|u| Some((&*u.name, u.auth_info.as_ref()?)))
        .ok_or_else(|| missing(&format!("{entry}.user"), "user", wanted, &users))?;
    Ok(Selected {
        cluster_name: cluster.0,
        cluster: cluster.1,
        user_name: user.0,
        user: user.1,
    })
}

fn list(names: &[&str]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}
