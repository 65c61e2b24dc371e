//! PURE. The objects our Events are about.

use crate::api::ObjectRef;
use crate::model::pod::{Container, Pod};

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

/// One container of the Pod, as `spec.containers{web}`, `spec.initContainers{setup}` or
/// `spec.ephemeralContainers{debugger}`.
pub fn container(of: &Pod, name: &str) -> ObjectRef {
    let has = |list: &[Container]| list.iter().any(|c| &*c.name == name);
    let list = if has(&of.spec.init_containers) {
        "initContainers"
    } else if has(&of.spec.ephemeral_containers) {
        "ephemeralContainers"
    } else {
        "containers"
    };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::builders;

    #[test]
    fn events_name_the_list_a_container_is_in() {
        let mut pod = builders::pod("p", &["a"]);
        pod.spec.init_containers = vec![builders::container("i")];
        pod.spec.ephemeral_containers = vec![builders::container("e")];
        let path = |name| container(&pod, name).field_path;
        assert_eq!(&*path("a"), "spec.containers{a}");
        assert_eq!(&*path("i"), "spec.initContainers{i}");
        assert_eq!(&*path("e"), "spec.ephemeralContainers{e}");
    }
}
