//! PURE. What a static Pod may not refer to: anything of the API server's, which it runs without.

use serde_json::Value;

/// The first reference to an API object: its field, and what it refers to in the API's words.
pub fn refers(pod: &Value) -> Option<(String, &'static str)> {
    let spec = &pod["spec"];
    let named = |field: &str| spec[field].as_str().is_some_and(|name| !name.is_empty());
    for account in ["serviceAccountName", "serviceAccount"] {
        if named(account) {
            return Some((format!("spec.{account}"), "serviceaccounts"));
        }
    }
    if has_items(&spec["imagePullSecrets"]) {
        return Some(("spec.imagePullSecrets".into(), "secrets"));
    }
    let containers = ["initContainers", "containers", "ephemeralContainers"];
    let of_containers = containers.iter().find_map(|list| {
        let found = items(&spec[*list]).enumerate();
        found
            .filter_map(|(at, container)| in_container(container, &format!("spec.{list}[{at}]")))
            .next()
    });
    if of_containers.is_some() {
        return of_containers;
    }
    if has_items(&spec["resourceClaims"]) {
        return Some(("spec.resourceClaims".into(), "resourceclaims"));
    }
    let mut volumes = items(&spec["volumes"]).enumerate();
    volumes.find_map(|(at, volume)| in_volume(volume, &format!("spec.volumes[{at}]")))
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn has_items(list: &Value) -> bool {
    items(list).next().is_some()
}

/// Environment variables of Secrets and ConfigMaps.
fn in_container(container: &Value, path: &str) -> Option<(String, &'static str)> {
    let from = items(&container["envFrom"]).enumerate().find_map(|(at, from)| {
        let path = format!("{path}.envFrom[{at}]");
        first(
            from,
            &path,
            &[("secretRef", "secrets"), ("configMapRef", "configmaps")],
        )
    });
    from.or_else(|| {
        items(&container["env"]).enumerate().find_map(|(at, env)| {
            let path = format!("{path}.env[{at}].valueFrom");
            let keys = [("secretKeyRef", "secrets"), ("configMapKeyRef", "configmaps")];
            first(&env["valueFrom"], &path, &keys)
        })
    })
}

/// Sources of volumes that something of the API server's is behind.
const SOURCES: &[(&str, &str)] = &[
    ("configMap", "configmaps (via configmap volumes)"),
    ("secret", "secrets (via secret volumes)"),
    ("csi", "csidrivers (via CSI volumes)"),
    ("glusterfs", "endpoints (via glusterFS volumes)"),
    ("persistentVolumeClaim", "persistentvolumeclaims"),
    ("ephemeral", "persistentvolumeclaims (via ephemeral volumes)"),
    ("azureFile", "secrets (via azureFile volumes)"),
];

/// The same of projected volumes.
const PROJECTED: &[(&str, &str)] = &[
    ("configMap", "configmaps (via projected volumes)"),
    ("secret", "secrets (via projected volumes)"),
    ("serviceAccountToken", "serviceaccounts (via projected volumes)"),
    ("clusterTrustBundle", "clustertrustbundles"),
    ("podCertificate", "podcertificates"),
];

/// Sources that name a Secret the driver needs.
const WITH_SECRETS: &[&str] = &[
    "cephfs",
    "cinder",
    "flexVolume",
    "rbd",
    "scaleIO",
    "iscsi",
    "storageos",
];

fn in_volume(volume: &Value, path: &str) -> Option<(String, &'static str)> {
    if let Some(found) = first(volume, path, SOURCES) {
        return Some(found);
    }
    let secret = WITH_SECRETS
        .iter()
        .find(|source| volume[**source]["secretRef"].is_object());
    if let Some(source) = secret {
        return Some((format!("{path}.{source}.secretRef"), "secrets"));
    }
    let mut sources = items(&volume["projected"]["sources"]).enumerate();
    sources.find_map(|(at, source)| first(source, &format!("{path}.projected.sources[{at}]"), PROJECTED))
}

/// The first of these fields that is there.
fn first(object: &Value, path: &str, fields: &[(&str, &'static str)]) -> Option<(String, &'static str)> {
    let found = fields.iter().find(|(field, _)| object.get(field).is_some());
    found.map(|(field, what)| (format!("{path}.{field}"), *what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn whatever_the_api_server_holds_is_out_of_reach() {
        let volume = |source: Value| {
            let mut volume = json!({"name": "v"});
            volume
                .as_object_mut()
                .unwrap()
                .extend(source.as_object().unwrap().clone());
            json!({"volumes": [volume]})
        };
        let projected = |source: Value| volume(json!({"projected": {"sources": [source]}}));
        let env = |from: Value| json!({"containers": [{"env": [{"name": "A", "valueFrom": from}]}]});
        for (spec, expected) in [
            (
                json!({"serviceAccountName": "a"}),
                "spec.serviceAccountName: serviceaccounts",
            ),
            (
                json!({"imagePullSecrets": [{"name": "a"}]}),
                "spec.imagePullSecrets: secrets",
            ),
            (
                json!({"initContainers": [{"envFrom": [{"configMapRef": {"name": "a"}}]}]}),
                "spec.initContainers[0].envFrom[0].configMapRef: configmaps",
            ),
            (
                env(json!({"secretKeyRef": {"name": "a", "key": "b"}})),
                "spec.containers[0].env[0].valueFrom.secretKeyRef: secrets",
            ),
            (
                json!({"resourceClaims": [{"name": "a"}]}),
                "spec.resourceClaims: resourceclaims",
            ),
            (
                volume(json!({"secret": {"secretName": "a"}})),
                "spec.volumes[0].secret: secrets (via secret volumes)",
            ),
            (
                volume(json!({"persistentVolumeClaim": {"claimName": "a"}})),
                "spec.volumes[0].persistentVolumeClaim: persistentvolumeclaims",
            ),
            (
                volume(json!({"rbd": {"secretRef": {"name": "a"}}})),
                "spec.volumes[0].rbd.secretRef: secrets",
            ),
            (
                projected(json!({"serviceAccountToken": {"path": "t"}})),
                "spec.volumes[0].projected.sources[0].serviceAccountToken: serviceaccounts (via projected volumes)",
            ),
        ] {
            let found = refers(&json!({"spec": spec})).map(|(field, what)| format!("{field}: {what}"));
            assert_eq!(found.as_deref(), Some(expected));
        }
        for spec in [
            json!({"containers": [{"env": [{"name": "A", "value": "b"}]}], "imagePullSecrets": []}),
            env(json!({"fieldRef": {"fieldPath": "metadata.name"}})),
            volume(json!({"hostPath": {"path": "/"}})),
            volume(json!({"emptyDir": {}})),
            projected(json!({"downwardAPI": {"items": []}})),
        ] {
            assert_eq!(refers(&json!({"spec": spec})), None);
        }
    }
}
