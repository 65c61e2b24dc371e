//! Pods that have ended but are still in the API: which are active, and what of the others can go.

use super::state::{Done, Key, State};
use super::{Slot, Workers};
use crate::kubelet::observed::{Observed, RunState};
use crate::model::PodUid;
use crate::model::pod::Pod;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Workers {
    /// Pods that have been let in and have not ended.
    pub fn active(&self) -> Vec<Arc<Pod>> {
        let slots: Vec<_> = self
            .slots()
            .iter()
            .map(|(uid, slot)| (uid.clone(), slot.clone()))
            .collect();
        let mut active = Vec::new();
        for (uid, slot) in slots {
            let Some(pod) = self.source.get(&uid) else {
                continue;
            };
            if slot.admitted.load(Ordering::Acquire) && !self.over(&uid, &pod) {
                active.push(pod);
            }
        }
        active.sort_by_key(|pod| pod.metadata.key());
        active
    }

    /// Nothing of the Pod runs any more, and its volumes are gone.
    pub async fn is_over(&self, uid: &PodUid) -> bool {
        let slot = self.slots().get(uid).cloned();
        match slot {
            None => true,
            Some(slot) => {
                let state = slot.state.lock().await;
                state.finished || state.volumes.released
            }
        }
    }

    /// Waits until the API server knows what was to be told of the Pod.
    pub async fn told(&self, uid: &PodUid) {
        let slot = self.slots().get(uid).cloned();
        if let Some(slot) = slot {
            slot.reporter.flush().await;
        }
    }

    /// Removes the containers of Pods that have ended, with their logs.
    pub async fn forget_ended(&self) {
        let slots: Vec<_> = self
            .slots()
            .iter()
            .map(|(uid, slot)| (uid.clone(), slot.clone()))
            .collect();
        for (uid, slot) in slots {
            slot.state.lock().await.forget();
            self.marks.mark(uid);
        }
    }

    /// A Pod that has ended needs no volumes; its containers stay for their logs.
    pub(super) fn release_volumes(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        state: &mut State,
        observed: &Observed,
    ) {
        let runs = |state| !matches!(state, RunState::Exited | RunState::Created);
        let quiet =
            !observed.sandboxes.iter().any(|s| s.ready) && !observed.containers.iter().any(|c| runs(c.state));
        if state.volumes.released
            || !quiet
            || !state.jobs.is_empty()
            || !state.free(&Key::Release, self.context.now())
        {
            return;
        }
        let (context, place, uid) = (self.context.clone(), slot.clone(), state.pod.metadata.uid.clone());
        self.spawn(slot, state, Key::Release, async move {
            *place.volumes.lock().await = true;
            let released = context.volumes.release(&uid).await;
            Done::Plain(Key::Release, released.map_err(|error| error.to_string()))
        });
    }
}
