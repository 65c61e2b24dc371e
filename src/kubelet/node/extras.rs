//! PURE. What a Node's status tells beside its resources: images, what the runtime can do, what we can do.

use crate::cri::v1;
use serde_json::{Value, json};

/// Most names of one image.
const MOST_NAMES: usize = 5;

/// An image of the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeImage {
    /// Digest references, then tags.
    pub names: Vec<String>,
    /// Bytes.
    pub size: u64,
}

/// What the runtime can do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuntimeAbilities {
    handlers: Vec<v1::RuntimeHandler>,
    /// `supplementalGroupsPolicy` is followed; `None` when the runtime does not say it.
    supplemental_groups: Option<bool>,
}

impl RuntimeAbilities {
    /// From the runtime's status; sorted, so that the order it has by chance is no change.
    pub fn new(status: &v1::StatusResponse) -> Self {
        let mut handlers = status.runtime_handlers.clone();
        handlers.sort_by(|a, b| a.name.cmp(&b.name));
        Self {
            handlers,
            supplemental_groups: status.features.as_ref().map(|f| f.supplemental_groups_policy),
        }
    }
}

/// What is told beside resources.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Extras {
    /// Images, the largest first; as many as are told.
    pub images: Vec<NodeImage>,
    /// What the runtime can do.
    pub runtime: RuntimeAbilities,
    /// Features that API servers and schedulers ask a node about, sorted (KEP-5328).
    pub declared: Vec<&'static str>,
}

/// The largest images, at most `most` (`None`: all).
pub fn images(listed: &[v1::Image], most: Option<usize>) -> Vec<NodeImage> {
    let mut all: Vec<&v1::Image> = listed.iter().collect();
    all.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| b.id.cmp(&a.id)));
    all.truncate(most.unwrap_or(usize::MAX));
    let names = |image: &v1::Image| {
        let names = image.repo_digests.iter().chain(&image.repo_tags);
        names.take(MOST_NAMES).cloned().collect()
    };
    let told = all.into_iter().map(|image| NodeImage {
        names: names(image),
        size: image.size,
    });
    told.collect()
}

/// Adds them to a status.
pub fn add(status: &mut Value, extras: &Extras) {
    let image = |image: &NodeImage| json!({"names": image.names, "sizeBytes": image.size});
    status["images"] = extras.images.iter().map(image).collect();
    let handler = |handler: &v1::RuntimeHandler| {
        let features = handler.features.unwrap_or_default();
        json!({
            "name": handler.name,
            "features": {
                "recursiveReadOnlyMounts": features.recursive_read_only_mounts,
                "userNamespaces": features.user_namespaces,
            },
        })
    };
    status["runtimeHandlers"] = extras.runtime.handlers.iter().map(handler).collect();
    if let Some(supported) = extras.runtime.supplemental_groups {
        status["features"] = json!({"supplementalGroupsPolicy": supported});
    }
    // Null takes away what a kubelet before us has declared.
    status["declaredFeatures"] = match &extras.declared[..] {
        [] => Value::Null,
        declared => json!(declared),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(id: &str, size: u64, digests: usize, tags: usize) -> v1::Image {
        v1::Image {
            id: id.into(),
            size,
            repo_digests: (0..digests).map(|n| format!("{id}@{n}")).collect(),
            repo_tags: (0..tags).map(|n| format!("{id}:{n}")).collect(),
            ..v1::Image::default()
        }
    }

    #[test]
    fn the_largest_images_are_told_with_their_names() {
        let listed = [
            image("a", 1, 1, 1),
            image("b", 9, 4, 3),
            image("c", 9, 0, 1),
            image("d", 5, 0, 0),
        ];
        let told = images(&listed, Some(3));
        let sizes: Vec<u64> = told.iter().map(|i| i.size).collect();
        assert_eq!(sizes, [9, 9, 5]);
        assert_eq!(told[0].names, ["c:0"], "of two of a size the later id");
        assert_eq!(told[1].names, ["b@0", "b@1", "b@2", "b@3", "b:0"]);
        assert_eq!(images(&listed, None).len(), 4);
        assert!(images(&listed, Some(0)).is_empty());
    }

    #[test]
    fn what_the_runtime_can_do() {
        let handler = |name: &str, user_namespaces| v1::RuntimeHandler {
            name: name.into(),
            features: Some(v1::RuntimeHandlerFeatures {
                recursive_read_only_mounts: true,
                user_namespaces,
            }),
        };
        let status = v1::StatusResponse {
            runtime_handlers: vec![handler("runc", true), handler("", false)],
            features: Some(v1::RuntimeFeatures {
                supplemental_groups_policy: true,
                ..v1::RuntimeFeatures::default()
            }),
            ..v1::StatusResponse::default()
        };
        let mut told = json!({});
        let runtime = RuntimeAbilities::new(&status);
        add(
            &mut told,
            &Extras {
                runtime,
                declared: vec!["ExtendWebSocketsToKubelet"],
                ..Extras::default()
            },
        );
        assert_eq!(told["features"], json!({"supplementalGroupsPolicy": true}));
        assert_eq!(told["images"], json!([]));
        assert_eq!(told["declaredFeatures"], json!(["ExtendWebSocketsToKubelet"]));
        assert_eq!(
            told["runtimeHandlers"],
            json!([
                {"name": "", "features": {"recursiveReadOnlyMounts": true, "userNamespaces": false}},
                {"name": "runc", "features": {"recursiveReadOnlyMounts": true, "userNamespaces": true}},
            ])
        );
        let mut silent = json!({});
        add(&mut silent, &Extras::default());
        assert!(silent.get("features").is_none());
        assert_eq!(silent.get("declaredFeatures"), Some(&Value::Null));
    }
}
