//! Registry credentials from a Pod's `imagePullSecrets`.

use crate::api::{ConfigObject, EventType};
use crate::cri::v1::AuthConfig;
use crate::kubelet::context::Context;
use crate::model::NamespacedName;
use crate::model::pod::Pod;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Credentials for one image, in the order of the secrets. A secret that is missing is told and passed by: the image
/// may be public, or already there.
pub(super) async fn of(context: &Context, pod: &Pod, image: &str) -> Vec<AuthConfig> {
    let mut found = Vec::new();
    let mut missing = Vec::new();
    for reference in &pod.spec.image_pull_secrets {
        let key = NamespacedName {
            namespace: pod.metadata.namespace.clone(),
            name: (&*reference.name).into(),
        };
        match context.data.secret(&key).await {
            Ok(Some(secret)) => found.extend(matching(&secret, image)),
            Ok(None) | Err(_) => missing.push(&*reference.name),
        }
    }
    if !missing.is_empty() {
        let text = format!(
            "Unable to retrieve some image pull secrets ({}); attempting to pull the image may not succeed.",
            missing.join(", ")
        );
        context.tell(pod, EventType::Warning, "FailedToRetrieveImagePullSecret", text);
    }
    found
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    auth: String,
    #[serde(default, rename = "identitytoken")]
    identity_token: String,
}

#[derive(Deserialize)]
struct DockerConfig {
    auths: BTreeMap<String, Entry>,
}

/// PURE. The entries of a docker config secret that are for this image, the most specific first.
fn matching(secret: &ConfigObject, image: &str) -> Vec<AuthConfig> {
    let entries = auths(secret).unwrap_or_default();
    let mut hits: Vec<(String, Entry)> = entries
        .into_iter()
        .map(|(key, entry)| (place(&key), entry))
        .filter(|(place, _)| covers(place, image))
        .collect();
    hits.sort_by_key(|(place, _)| std::cmp::Reverse(place.len()));
    hits.into_iter()
        .map(|(place, entry)| credentials(place, entry))
        .collect()
}

fn auths(secret: &ConfigObject) -> Option<BTreeMap<String, Entry>> {
    let decode = |key: &str| STANDARD.decode(&**secret.data.get(key)?).ok();
    if let Some(text) = decode(".dockerconfigjson") {
        return serde_json::from_slice::<DockerConfig>(&text)
            .ok()
            .map(|config| config.auths);
    }
    serde_json::from_slice(&decode(".dockercfg")?).ok()
}

/// `https://index.docker.io/v1/` → `index.docker.io`.
fn place(key: &str) -> String {
    let bare = key.trim_start_matches("https://").trim_start_matches("http://");
    let bare = bare
        .trim_end_matches('/')
        .trim_end_matches("/v1")
        .trim_end_matches("/v2");
    bare.to_owned()
}

/// Whether credentials for a registry, or a path in it, are for this image. `*` stands for one part of a host name.
fn covers(place: &str, image: &str) -> bool {
    let (host, path) = match image.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (host, path),
        _ => ("docker.io", image),
    };
    let (wanted, prefix) = place.split_once('/').unwrap_or((place, ""));
    let same_host = if host == "docker.io" {
        matches!(wanted, "docker.io" | "index.docker.io" | "registry-1.docker.io")
    } else {
        let (a, b): (Vec<_>, Vec<_>) = (wanted.split('.').collect(), host.split('.').collect());
        a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| *a == "*" || a == b)
    };
    same_host && (prefix.is_empty() || path == prefix || path.starts_with(&format!("{prefix}/")))
}

fn credentials(server: String, entry: Entry) -> AuthConfig {
    let decoded = STANDARD
        .decode(&entry.auth)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let pair = decoded.as_deref().and_then(|text| text.split_once(':'));
    let (username, password) = match pair {
        Some((user, password)) if entry.username.is_empty() => (user.to_owned(), password.to_owned()),
        _ => (entry.username, entry.password),
    };
    AuthConfig {
        username,
        password,
        identity_token: entry.identity_token,
        server_address: server,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_go_to_their_registry_only() {
        let config = r#"{"auths": {
            "https://index.docker.io/v1/": {"auth": "dXNlcjpwYXNz"},
            "registry.example:5000/team": {"username": "a", "password": "b"},
            "*.example.com": {"username": "w", "password": "x"}
        }}"#;
        let secret = ConfigObject {
            data: [(".dockerconfigjson".into(), STANDARD.encode(config).into())].into(),
            ..Default::default()
        };
        let users = |image: &str| -> Vec<(String, String)> {
            matching(&secret, image)
                .into_iter()
                .map(|a| (a.username, a.password))
                .collect()
        };
        let pair = |a: &str, b: &str| vec![(a.to_owned(), b.to_owned())];
        assert_eq!(users("busybox:1"), pair("user", "pass"));
        assert_eq!(users("docker.io/library/busybox"), pair("user", "pass"));
        assert_eq!(users("registry.example:5000/team/app:2"), pair("a", "b"));
        assert_eq!(users("registry.example:5000/teams/app"), []);
        assert_eq!(users("eu.example.com/x"), pair("w", "x"));
        assert_eq!(users("example.com/x"), []);
        assert_eq!(matching(&ConfigObject::default(), "busybox"), []);
    }
}
