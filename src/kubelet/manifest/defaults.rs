//! PURE. What the API server fills in when a Pod is created, where a node depends on it; nobody else does for a static
//! Pod.

use serde_json::{Map, Value, json};

/// Fills in what the Pod does not say.
pub fn fill(pod: &mut Value) {
    let Some(spec) = pod.get_mut("spec").and_then(Value::as_object_mut) else {
        return;
    };
    for (field, default) in [
        ("restartPolicy", json!("Always")),
        ("dnsPolicy", json!("ClusterFirst")),
        ("schedulerName", json!("default-scheduler")),
        ("terminationGracePeriodSeconds", json!(30)),
        ("enableServiceLinks", json!(true)),
        ("securityContext", json!({})),
    ] {
        spec.entry(field).or_insert(default);
    }
    // The two classes every cluster has; others only the API server knows.
    let class = spec.get("priorityClassName").and_then(Value::as_str);
    let priority = match class {
        Some("system-node-critical") => Some(2_000_001_000),
        Some("system-cluster-critical") => Some(2_000_000_000),
        _ => None,
    };
    if let Some(priority) = priority {
        spec.entry("priority").or_insert(json!(priority));
    }
    let host_network = spec.get("hostNetwork") == Some(&Value::Bool(true));
    for list in ["initContainers", "containers"] {
        for container in objects(spec.get_mut(list)) {
            fill_container(container, host_network);
        }
    }
    for volume in objects(spec.get_mut("volumes")) {
        fill_volume(volume);
    }
}

fn objects(list: Option<&mut Value>) -> impl Iterator<Item = &mut Map<String, Value>> {
    let items = list.and_then(Value::as_array_mut).into_iter().flatten();
    items.filter_map(Value::as_object_mut)
}

fn fill_container(container: &mut Map<String, Value>, host_network: bool) {
    let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
    let policy = pull_policy(image);
    for (field, default) in [
        ("imagePullPolicy", json!(policy)),
        ("terminationMessagePath", json!("/dev/termination-log")),
        ("terminationMessagePolicy", json!("File")),
    ] {
        container.entry(field).or_insert(default);
    }
    if let Some(Value::Object(resources)) = container.get_mut("resources")
        && let Some(Value::Object(limits)) = resources.get("limits").cloned()
        && let Value::Object(requests) = resources.entry("requests").or_insert_with(|| json!({}))
    {
        for (name, limit) in limits {
            requests.entry(name).or_insert(limit);
        }
    }
    for port in objects(container.get_mut("ports")) {
        port.entry("protocol").or_insert(json!("TCP"));
        if host_network && let Some(number) = port.get("containerPort").cloned() {
            port.entry("hostPort").or_insert(number);
        }
    }
    for env in objects(container.get_mut("env")) {
        if let Some(Value::Object(field)) = env.get_mut("valueFrom").and_then(|from| from.get_mut("fieldRef"))
        {
            field.entry("apiVersion").or_insert(json!("v1"));
        }
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(Value::Object(probe)) = container.get_mut(probe) {
            for (field, default) in [
                ("timeoutSeconds", 1),
                ("periodSeconds", 10),
                ("successThreshold", 1),
                ("failureThreshold", 3),
            ] {
                let value = probe.entry(field).or_insert(json!(default));
                // Zero stands for the default.
                if *value == json!(0) {
                    *value = json!(default);
                }
            }
            fill_http(probe.get_mut("httpGet"));
        }
    }
    for hook in ["postStart", "preStop"] {
        let hook = container.get_mut("lifecycle").and_then(|all| all.get_mut(hook));
        fill_http(hook.and_then(|hook| hook.get_mut("httpGet")));
    }
}

fn fill_http(get: Option<&mut Value>) {
    if let Some(Value::Object(get)) = get {
        get.entry("path").or_insert(json!("/"));
        get.entry("scheme").or_insert(json!("HTTP"));
    }
}

fn fill_volume(volume: &mut Map<String, Value>) {
    if volume.keys().all(|field| field == "name") {
        volume.insert("emptyDir".into(), json!({}));
    }
    if let Some(Value::Object(path)) = volume.get_mut("hostPath") {
        path.entry("type").or_insert(json!(""));
    }
    for files in ["downwardAPI", "projected"] {
        if let Some(Value::Object(files)) = volume.get_mut(files) {
            files.entry("defaultMode").or_insert(json!(0o644));
        }
    }
    if let Some(Value::Object(image)) = volume.get_mut("image") {
        let reference = image.get("reference").and_then(Value::as_str).unwrap_or_default();
        let policy = pull_policy(reference);
        image.entry("pullPolicy").or_insert(json!(policy));
    }
}

/// An image without a tag or digest is its `latest`.
fn pull_policy(image: &str) -> &'static str {
    let (name, digest) = image
        .split_once('@')
        .map_or((image, None), |(name, digest)| (name, Some(digest)));
    let last = name.rsplit('/').next().unwrap_or_default();
    match (last.split_once(':'), digest) {
        (None, None) | (Some((_, "latest")), _) => "Always",
        _ => "IfNotPresent",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_pod_gets_what_the_api_server_would_give_it() {
        let mut pod = json!({"spec": {
            "hostNetwork": true,
            "priorityClassName": "system-node-critical",
            "containers": [{
                "name": "c", "image": "registry:5000/app",
                "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "100m"}},
                "ports": [{"containerPort": 80}, {"containerPort": 53, "protocol": "UDP", "hostPort": 54}],
                "livenessProbe": {"httpGet": {"port": 80}, "periodSeconds": 5, "timeoutSeconds": 0},
                "lifecycle": {"preStop": {"httpGet": {"port": 80}}},
                "env": [{"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
            }],
            "volumes": [{"name": "v"}, {"name": "h", "hostPath": {"path": "/"}}],
        }});
        fill(&mut pod);
        let spec = &pod["spec"];
        assert_eq!(spec["restartPolicy"], "Always");
        assert_eq!(spec["dnsPolicy"], "ClusterFirst");
        assert_eq!(spec["terminationGracePeriodSeconds"], 30);
        assert_eq!(spec["priority"], 2_000_001_000);
        let container = &spec["containers"][0];
        assert_eq!(container["imagePullPolicy"], "Always");
        assert_eq!(container["terminationMessagePath"], "/dev/termination-log");
        assert_eq!(
            container["resources"]["requests"],
            json!({"cpu": "100m", "memory": "1Gi"})
        );
        assert_eq!(
            container["ports"],
            json!([
                {"containerPort": 80, "protocol": "TCP", "hostPort": 80},
                {"containerPort": 53, "protocol": "UDP", "hostPort": 54},
            ])
        );
        assert_eq!(
            container["livenessProbe"],
            json!({
                "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
                "timeoutSeconds": 1, "periodSeconds": 5, "successThreshold": 1, "failureThreshold": 3,
            })
        );
        assert_eq!(container["lifecycle"]["preStop"]["httpGet"]["scheme"], "HTTP");
        assert_eq!(container["env"][0]["valueFrom"]["fieldRef"]["apiVersion"], "v1");
        assert_eq!(
            spec["volumes"],
            json!([{"name": "v", "emptyDir": {}}, {"name": "h", "hostPath": {"path": "/", "type": ""}}])
        );
    }

    #[test]
    fn what_is_said_stays() {
        let said = json!({"spec": {
            "restartPolicy": "Never", "dnsPolicy": "None", "schedulerName": "s", "terminationGracePeriodSeconds": 0,
            "enableServiceLinks": false, "securityContext": {"runAsUser": 1},
            "containers": [{
                "image": "a:latest", "imagePullPolicy": "Never", "terminationMessagePath": "/m",
                "terminationMessagePolicy": "FallbackToLogsOnError",
            }],
        }});
        let mut pod = said.clone();
        fill(&mut pod);
        assert_eq!(pod, said);
    }

    #[test]
    fn only_the_latest_is_pulled_each_time() {
        for (image, policy) in [
            ("app", "Always"),
            ("app:latest", "Always"),
            ("app:1", "IfNotPresent"),
            ("registry:5000/app", "Always"),
            ("registry:5000/app:1", "IfNotPresent"),
            ("app@sha256:00", "IfNotPresent"),
            ("app:latest@sha256:00", "Always"),
        ] {
            assert_eq!(pull_policy(image), policy, "{image}");
        }
    }
}
