//! The first look at a Pod: may it start beside the others?

use super::state::State;
use super::{Slot, Workers};
use crate::api::EventType;
use crate::kubelet::admit;
use crate::kubelet::observed::Observed;
use crate::kubelet::plan::{Memory, PodFailure};
use crate::model::PodUid;
use crate::model::pod::Pod;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Workers {
    /// Admits a Pod once, or says in its memory why it has failed. One Pod at a time: of two new ones that exclude each
    /// other the first one looked at gets the node.
    pub(super) fn admit(&self, slot: &Slot, state: &mut State, observed: &Observed) {
        if slot.admitted.load(Ordering::Acquire) || state.memory.is_some() {
            return;
        }
        let pod = state.pod.clone();
        let untouched = observed.sandboxes.is_empty() && observed.containers.is_empty();
        let is_new = untouched && state.in_api && pod.metadata.deletion_timestamp.is_none() && !started(&pod);
        if ended(&pod.status.phase) {
            return;
        }
        let slots = self.slots();
        let others = self.source.uids().into_iter().filter_map(|uid| {
            let other = self.source.get(&uid)?;
            let admitted = slots
                .get(&uid)
                .is_some_and(|s| s.admitted.load(Ordering::Acquire));
            ((admitted || started(&other)) && !self.over(&uid, &other)).then_some(other)
        });
        let others: Vec<Arc<Pod>> = if is_new { others.collect() } else { Vec::new() };
        let Some(rejection) = admit::rejection(&pod, others.iter().map(|pod| &**pod)) else {
            slot.admitted.store(true, Ordering::Release);
            return;
        };
        drop(slots);
        let (reason, message) = (rejection.reason, rejection.message);
        self.context.metrics.pod_refused(reason);
        let meta = &pod.metadata;
        tracing::warn!(ns = %meta.namespace, name = %meta.name, reason, message, "pod rejected");
        self.context
            .tell(&pod, EventType::Warning, reason, message.to_owned());
        state.memory = Some(Memory {
            ended: true,
            rejected: true,
            failed: Some(PodFailure {
                reason: reason.into(),
                message: format!("Pod was rejected: {message}").into(),
                ..PodFailure::default()
            }),
            ..Memory::default()
        });
    }

    /// By what the worker has found out, which the API server may not know yet.
    fn over(&self, uid: &PodUid, pod: &Pod) -> bool {
        let told = self.source.status(uid);
        let phase = told.as_ref().and_then(|status| status.phase.as_deref());
        ended(phase.unwrap_or(&pod.status.phase)) || ended(&pod.status.phase)
    }
}

/// This node has taken it on before, maybe under an earlier agent.
fn started(pod: &Pod) -> bool {
    pod.status.start_time.is_some()
}

fn ended(phase: &str) -> bool {
    matches!(phase, "Succeeded" | "Failed")
}
