//! PURE. The mirror of a static Pod: what it looks like, and what is to be done about it.

use super::Manifest;
use crate::model::PodUid;
use crate::model::pod::{self, Pod};
use serde_json::{Value, json};

/// What is known under one name.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known<'a> {
    /// The static Pod that a manifest wants.
    pub wanted: Option<&'a Pod>,
    /// The Pods of this name that have a worker: they run, or have not ended.
    pub working: &'a [PodUid],
    /// The mirror at the API server.
    pub mirror: Option<&'a Pod>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is no mirror.
    Create,
    /// There is one of something else, or one that somebody deletes.
    Replace(PodUid),
    /// Its static Pod is gone.
    Delete(PodUid),
}

/// The next step for one name, if there is one. A mirror outlives its static Pod until that has ended, and shows its
/// last status; so does one whose static Pod is being replaced.
pub fn step(known: Known<'_>) -> Option<Step> {
    match (known.wanted, known.mirror) {
        (None, None) => None,
        (None, Some(mirror)) => known
            .working
            .is_empty()
            .then(|| Step::Delete(mirror.metadata.uid.clone())),
        (Some(wanted), _) if !known.working.contains(&wanted.metadata.uid) => None,
        (Some(_), None) => Some(Step::Create),
        (Some(wanted), Some(mirror)) => {
            (!shows(mirror, wanted)).then(|| Step::Replace(mirror.metadata.uid.clone()))
        }
    }
}

/// Whether this is the mirror of this static Pod, and stays it.
pub fn shows(mirror: &Pod, of: &Pod) -> bool {
    let hash = |pod: &Pod, annotation: &str| pod.metadata.annotations.get(annotation).cloned();
    mirror.metadata.deletion_timestamp.is_none()
        && mirror.metadata.key() == of.metadata.key()
        && hash(mirror, pod::CONFIG_MIRROR).is_some_and(|m| Some(m) == hash(of, pod::CONFIG_HASH))
}

/// The mirror as it is created. It belongs to our Node, which has this UID, and goes with it.
pub fn body(manifest: &Manifest, node: &str, node_uid: &str) -> Value {
    let mut mirror = (*manifest.object).clone();
    let metadata = &mut mirror["metadata"];
    let hash = metadata["annotations"][pod::CONFIG_HASH].clone();
    metadata["annotations"][pod::CONFIG_MIRROR] = hash;
    metadata["ownerReferences"] = json!([
        {"apiVersion": "v1", "kind": "Node", "name": node, "uid": node_uid, "controller": true},
    ]);
    if let Some(metadata) = metadata.as_object_mut() {
        metadata.remove("uid");
    }
    mirror
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::builders;
    use jiff::Timestamp;
    use std::sync::Arc;

    fn statics(hash: &str) -> Pod {
        let mut pod = builders::pod("web", &["c"]);
        pod.metadata.uid = hash.into();
        pod.metadata
            .annotations
            .insert(pod::CONFIG_HASH.into(), hash.into());
        pod
    }

    fn mirror(hash: &str) -> Pod {
        let mut pod = builders::pod("web", &["c"]);
        pod.metadata.uid = format!("mirror-{hash}").as_str().into();
        pod.metadata
            .annotations
            .insert(pod::CONFIG_MIRROR.into(), hash.into());
        pod
    }

    #[test]
    fn mirrors_follow_what_runs() {
        let (pod, right, wrong) = (statics("h"), mirror("h"), mirror("old"));
        let mut deleted = mirror("h");
        deleted.metadata.deletion_timestamp = Some(Timestamp::UNIX_EPOCH);
        let replace = |hash: &str| Some(Step::Replace(format!("mirror-{hash}").as_str().into()));
        for (wanted, working, mirror, expected) in [
            (None, &[][..], None, None),
            (None, &[], Some(&right), Some(Step::Delete("mirror-h".into()))),
            (None, &["h"], Some(&right), None),
            (Some(&pod), &[], None, None),
            (Some(&pod), &["old"], Some(&wrong), None),
            (Some(&pod), &["h"], None, Some(Step::Create)),
            (Some(&pod), &["h"], Some(&right), None),
            (Some(&pod), &["h"], Some(&wrong), replace("old")),
            (Some(&pod), &["h"], Some(&deleted), replace("h")),
        ] {
            let working: Vec<PodUid> = working.iter().map(|uid| (*uid).into()).collect();
            let known = Known {
                wanted,
                working: &working,
                mirror,
            };
            assert_eq!(step(known), expected, "{known:?}");
        }
    }

    #[test]
    fn a_mirror_belongs_to_the_node_and_says_what_it_shows() {
        let object = json!({"metadata": {"name": "web", "uid": "h", "annotations": {pod::CONFIG_HASH: "h"}}});
        let manifest = Manifest {
            pod: Arc::new(statics("h")),
            object: Arc::new(object),
        };
        let body = body(&manifest, "w1", "u1");
        assert_eq!(
            body["metadata"],
            json!({
                "name": "web",
                "annotations": {pod::CONFIG_HASH: "h", pod::CONFIG_MIRROR: "h"},
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "Node", "name": "w1", "uid": "u1", "controller": true},
                ],
            })
        );
    }
}
