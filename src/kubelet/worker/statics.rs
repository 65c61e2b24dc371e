//! Static Pods differ: one of a name at a time, and their status is told to their mirror.

use super::{Slot, Workers};
use crate::model::pod::{CONFIG_SOURCE, Pod};
use crate::model::{NamespacedName, PodUid};
use k8s_openapi::api::core::v1::PodStatus;
use std::sync::Arc;
use std::time::Duration;

impl Workers {
    /// The Pods of a name that have a worker.
    pub fn working(&self, key: &NamespacedName) -> Vec<PodUid> {
        let slots = self.slots();
        let named = slots.iter().filter(|(_, slot)| slot.key == *key);
        named.map(|(uid, _)| uid.clone()).collect()
    }

    /// Whether a Pod may have a worker: a static one waits until everything of that name has ended, here and in the
    /// runtime, which may know one of an earlier agent's.
    pub(super) async fn has_its_turn(&self, uid: &PodUid) -> bool {
        let Some(pod) = self.source.get(uid).filter(|pod| pod.is_static()) else {
            return true;
        };
        let key = pod.metadata.key();
        let working = self.working(&key);
        if working.contains(uid) {
            return true;
        }
        if !working.is_empty() {
            return false;
        }
        let Ok(sandboxes) = self.context.runtime.list_pod_sandboxes(None).await else {
            return false;
        };
        let names = sandboxes.into_iter().filter_map(|sandbox| sandbox.metadata);
        let mut same = names.filter(|name| *name.name == *key.name && *name.namespace == *key.namespace);
        same.all(|name| *name.uid == *uid.as_str())
    }

    /// A Pod is gone: the static Pod that waits for its name has its turn, and its mirror may go.
    pub(super) fn pass_on(&self, key: &NamespacedName) {
        for next in self.source.statics_named(key) {
            self.marks.mark(next);
        }
        self.source.wake_mirrors();
    }

    /// Finds out which Pods of the runtime once came from manifests; those are ended without asking the API server.
    pub async fn recall_statics(&self) -> crate::cri::Result<()> {
        for sandbox in self.context.runtime.list_pod_sandboxes(None).await? {
            let source = sandbox.annotations.get(CONFIG_SOURCE);
            let from_manifest = source.is_some_and(|source| source != "api");
            if let Some(name) = sandbox.metadata.filter(|_| from_manifest) {
                self.source.was_static(name.uid.as_str().into());
            }
        }
        Ok(())
    }

    /// Tells a status: that of a static Pod to its mirror, once there is one. Returns when to look again whether it has
    /// arrived.
    pub(super) fn report(&self, slot: &Arc<Slot>, pod: &Pod, status: PodStatus) -> Option<Duration> {
        if pod.is_static() {
            slot.reporter.aim(self.source.mirror_of(pod)?);
            slot.reporter.report(status);
            return None;
        }
        slot.reporter.report(status);
        slot.reporter.compare(&pod.status)
    }
}
