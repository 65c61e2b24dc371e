//! PURE. The runtime's sandboxes and containers in the form of Pods: names, UID, containers and their images.

use crate::cri::v1;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Pods with a ready sandbox or a running container, newest first.
pub(super) fn items(sandboxes: &[v1::PodSandbox], containers: &[v1::Container]) -> Vec<Value> {
    let mut pods: BTreeMap<&str, Running<'_>> = BTreeMap::new();
    let mut owners: BTreeMap<&str, &v1::PodSandboxMetadata> = BTreeMap::new();
    for sandbox in sandboxes {
        let Some(meta) = &sandbox.metadata else { continue };
        owners.insert(&sandbox.id, meta);
        if sandbox.state == v1::PodSandboxState::SandboxReady as i32 {
            let pod = pods.entry(&meta.uid).or_insert_with(|| Running::of(meta));
            pod.created = pod.created.max(sandbox.created_at);
        }
    }
    let mut running: Vec<&v1::Container> = containers
        .iter()
        .filter(|container| container.state == v1::ContainerState::ContainerRunning as i32)
        .collect();
    running.sort_by_key(|container| (std::cmp::Reverse(container.created_at), container.id.as_str()));
    for container in running {
        let (Some(meta), Some(owner)) = (&container.metadata, owners.get(&*container.pod_sandbox_id)) else {
            continue;
        };
        let image = container.image.as_ref().map_or("", |image| &image.image);
        let pod = pods.entry(&owner.uid).or_insert_with(|| Running::of(owner));
        pod.containers
            .push(json!({"name": meta.name, "image": image, "resources": {}}));
    }
    let mut pods: Vec<(&str, Running<'_>)> = pods.into_iter().collect();
    pods.sort_by_key(|(_, pod)| std::cmp::Reverse(pod.created));
    pods.into_iter().map(|(uid, pod)| pod.item(uid)).collect()
}

struct Running<'a> {
    meta: &'a v1::PodSandboxMetadata,
    created: i64,
    containers: Vec<Value>,
}

impl<'a> Running<'a> {
    fn of(meta: &'a v1::PodSandboxMetadata) -> Self {
        Self {
            meta,
            created: 0,
            containers: Vec::new(),
        }
    }

    fn item(self, uid: &str) -> Value {
        let containers = if self.containers.is_empty() {
            Value::Null
        } else {
            self.containers.into()
        };
        json!({
            "metadata": {"name": self.meta.name, "namespace": self.meta.namespace, "uid": uid},
            "spec": {"containers": containers},
            "status": {},
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sandbox(name: &str, ready: bool, created_at: i64) -> v1::PodSandbox {
        v1::PodSandbox {
            id: format!("s-{name}"),
            metadata: Some(v1::PodSandboxMetadata {
                name: name.into(),
                uid: format!("u-{name}"),
                namespace: "ns".into(),
                attempt: 0,
            }),
            state: i32::from(!ready),
            created_at,
            ..v1::PodSandbox::default()
        }
    }

    fn container(of: &str, name: &str, state: v1::ContainerState) -> v1::Container {
        v1::Container {
            id: name.into(),
            pod_sandbox_id: format!("s-{of}"),
            metadata: Some(v1::ContainerMetadata {
                name: name.into(),
                attempt: 0,
            }),
            image: Some(v1::ImageSpec {
                image: "img".into(),
                ..v1::ImageSpec::default()
            }),
            state: state as i32,
            ..v1::Container::default()
        }
    }

    #[test]
    fn what_runs_is_listed_newest_first() {
        let sandboxes = [
            sandbox("old", true, 1),
            sandbox("new", true, 2),
            sandbox("ended", false, 3),
        ];
        let containers = [
            container("old", "a", v1::ContainerState::ContainerRunning),
            container("old", "b", v1::ContainerState::ContainerExited),
            container("ended", "c", v1::ContainerState::ContainerExited),
            container("unknown", "d", v1::ContainerState::ContainerRunning),
        ];
        let expected = json!([
            {"metadata": {"name": "new", "namespace": "ns", "uid": "u-new"}, "spec": {"containers": null}, "status": {}},
            {
                "metadata": {"name": "old", "namespace": "ns", "uid": "u-old"},
                "spec": {"containers": [{"name": "a", "image": "img", "resources": {}}]},
                "status": {},
            },
        ]);
        assert_eq!(Value::from(items(&sandboxes, &containers)), expected);
    }
}
