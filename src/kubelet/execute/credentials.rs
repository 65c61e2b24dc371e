//! Registry credentials from a Pod's `imagePullSecrets`.

use crate::api::{ConfigObject, EventType};
use crate::kubelet::context::Context;
use crate::kubelet::images::keyring::{
    Coordinates, Keyring, Logins, Origin, parse_config_json, parse_dockercfg,
};
use crate::model::NamespacedName;
use crate::model::pod::Pod;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The Pod's own credentials. A secret that is missing, or cannot be read, is told and passed by: the image may be
/// public, or already there.
pub(super) async fn of(context: &Context, pod: &Pod) -> Keyring {
    let mut ring = Keyring::default();
    let mut missing = Vec::new();
    // Old API servers have let empty names pass.
    let references = pod.spec.image_pull_secrets.iter().filter(|r| !r.name.is_empty());
    for reference in references {
        let key = NamespacedName {
            namespace: pod.metadata.namespace.clone(),
            name: (&*reference.name).into(),
        };
        let found = match context.data.secret(&key).await {
            Ok(Some(secret)) => logins(&secret).map(|logins| ring.add(&origin(&secret, &key), logins)),
            Ok(None) => Err("it does not exist".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(problem) = found {
            tracing::debug!(pod.uid = %pod.metadata.uid, secret = %key, problem, "imagePullSecret is passed by");
            missing.push(&*reference.name);
        }
    }
    if !missing.is_empty() {
        let text = format!(
            "Unable to retrieve some image pull secrets ({}); attempting to pull the image may not succeed.",
            missing.join(", ")
        );
        context.tell(pod, EventType::Warning, "FailedToRetrieveImagePullSecret", text);
    }
    ring
}

fn origin(secret: &ConfigObject, key: &NamespacedName) -> Origin {
    Origin::Secret(Coordinates {
        namespace: (&*key.namespace).into(),
        name: (&*key.name).into(),
        uid: secret.metadata.uid.as_str().into(),
    })
}

/// PURE. The logins of a secret; one of another type has none.
fn logins(secret: &ConfigObject) -> Result<Logins, String> {
    let (field, parse): (_, fn(&[u8]) -> _) = match &*secret.kind {
        "kubernetes.io/dockerconfigjson" => (".dockerconfigjson", parse_config_json),
        "kubernetes.io/dockercfg" => (".dockercfg", parse_dockercfg),
        _ => return Ok(Logins::new()),
    };
    let Some(packed) = secret.data.get(field).filter(|packed| !packed.is_empty()) else {
        return Ok(Logins::new());
    };
    let text = STANDARD.decode(&**packed).map_err(|error| error.to_string())?;
    parse(&text).map_err(|error| format!("{field}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(kind: &str, field: &str, text: &str) -> ConfigObject {
        ConfigObject {
            kind: kind.into(),
            data: [(field.into(), STANDARD.encode(text).into())].into(),
            ..Default::default()
        }
    }

    #[test]
    fn only_secrets_of_the_right_type_have_logins() {
        let (new, old) = ("kubernetes.io/dockerconfigjson", "kubernetes.io/dockercfg");
        let auths = r#"{"registry.test": {"username": "u"}}"#;
        let config = format!(r#"{{"auths": {auths}}}"#);
        for (kind, field, text, count) in [
            (new, ".dockerconfigjson", &*config, Some(1)),
            (old, ".dockercfg", auths, Some(1)),
            (old, ".dockerconfigjson", &config, Some(0)),
            ("Opaque", ".dockerconfigjson", &config, Some(0)),
            (new, ".dockerconfigjson", "no", None),
        ] {
            let found = logins(&secret(kind, field, text));
            assert_eq!(found.ok().map(|logins| logins.len()), count, "{kind} {field}");
        }
    }
}
