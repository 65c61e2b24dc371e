//! PURE. The objects our Events are about.

use crate::api::ObjectRef;
use crate::model::pod::Pod;

/// The whole Pod.
pub fn pod(pod: &Pod) -> ObjectRef {
    ObjectRef {
        kind: "Pod".into(),
        api_version: "v1".into(),
        key: pod.metadata.key(),
        uid: pod.metadata.uid.clone(),
        field_path: "".into(),
    }
}

/// One container of the Pod, as `spec.containers{web}` or `spec.initContainers{setup}`.
pub fn container(of: &Pod, name: &str) -> ObjectRef {
    let init = of.spec.init_containers.iter().any(|c| &*c.name == name);
    let list = if init { "initContainers" } else { "containers" };
    ObjectRef {
        field_path: format!("spec.{list}{{{name}}}").into(),
        ..pod(of)
    }
}

/// Our Node; kubelet uses its name as the UID.
pub fn node(name: &str) -> ObjectRef {
    ObjectRef {
        kind: "Node".into(),
        api_version: "v1".into(),
        key: crate::model::NamespacedName::new("", name),
        uid: name.into(),
        field_path: "".into(),
    }
}
