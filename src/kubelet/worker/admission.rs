//! The first look at a Pod: may it start beside the others?

use super::state::State;
use super::{Slot, Workers};
use crate::api::EventType;
use crate::kubelet::admit::{self, Ground, Rejection, Verdict, preempt, pressure};
use crate::kubelet::observed::Observed;
use crate::kubelet::plan::{Memory, PodFailure};
use crate::model::PodUid;
use crate::model::net::Node;
use crate::model::pod::Pod;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Shortest time a Pod that makes room is waited for; otherwise half as long again as its grace.
const MIN_WAIT: Duration = Duration::from_secs(10);

impl Workers {
    /// Admits a Pod once, or says in its memory why it has failed. One Pod at a time: of two new ones that exclude each
    /// other the first one looked at gets the node. One that this node has taken on before is not judged again.
    pub(super) async fn admit(&self, slot: &Slot, state: &mut State, observed: &Observed) {
        let pod = state.pod.clone();
        if slot.admitted.load(Ordering::Acquire) || state.memory.is_some() || ended(&pod.status.phase) {
            return;
        }
        let untouched = observed.sandboxes.is_empty() && observed.containers.is_empty();
        if untouched && state.in_api && pod.metadata.deletion_timestamp.is_none() && !started(&pod) {
            let turn = self.admitting.lock().await;
            let rejection = self.judge(&pod).await;
            if let Some(rejection) = rejection {
                drop(turn);
                self.reject(state, &rejection);
                return;
            }
            slot.admitted.store(true, Ordering::Release);
        } else {
            slot.admitted.store(true, Ordering::Release);
        }
    }

    async fn judge(&self, pod: &Pod) -> Option<Rejection> {
        let short = pressure::rejection(pod, &self.context.care.pressures.borrow());
        if short.is_some() {
            return short;
        }
        let others = self.others(&pod.metadata.uid);
        let strict = pod.spec.security_context.supplemental_groups_policy.is_some();
        let groups = strict && self.follows_groups_policy().await;
        let own = &self.context.own_node;
        let mut verdict = self.verdict(pod, &others, &own.now(), groups);
        if let Verdict::Mismatched(_) = verdict
            && let Some(node) = own.fetch().await
        {
            verdict = self.verdict(pod, &others, &node, groups);
        }
        match verdict {
            // The last of all reasons, but nobody has to go for a Pod that does not start.
            Verdict::Admitted | Verdict::Preempts { .. } if self.context.power.goes_down() => {
                Some(admit::shutting_down())
            }
            Verdict::Admitted => None,
            Verdict::Preempts { victims, lacks } => {
                let victims: Vec<_> = victims.into_iter().filter_map(|at| others.get(at)).collect();
                self.preempt(pod, &victims, &lacks).await;
                None
            }
            Verdict::Rejected(rejection) | Verdict::Mismatched(rejection) => Some(rejection),
        }
    }

    fn verdict(&self, pod: &Pod, others: &[Arc<Pod>], node: &Node, groups: bool) -> Verdict {
        let others: Vec<&Pod> = others.iter().map(|pod| &**pod).collect();
        let ground = Ground {
            node,
            allocatable: &admit::allocatable(&self.context.allocatable, node),
            unsafe_sysctls: &self.context.config.unsafe_sysctls,
            supplemental_groups_policy: groups,
            apparmor: self.context.confinement.apparmor,
        };
        admit::judge(pod, &others, &ground)
    }

    /// Pods that have been taken on and have not ended.
    fn others(&self, than: &PodUid) -> Vec<Arc<Pod>> {
        let slots = self.slots();
        let others = self.source.uids().into_iter().filter(|uid| uid != than);
        let others = others.filter_map(|uid| {
            let other = self.source.get(&uid)?;
            let admitted = slots
                .get(&uid)
                .is_some_and(|s| s.admitted.load(Ordering::Acquire));
            ((admitted || started(&other)) && !self.over(&uid, &other)).then_some(other)
        });
        others.collect()
    }

    async fn follows_groups_policy(&self) -> bool {
        let status = self.context.runtime.status(false).await.ok();
        let features = status.and_then(|status| status.features);
        features.is_some_and(|features| features.supplemental_groups_policy)
    }

    /// Ends these Pods, and waits until they have ended. They have been admitted, so none of them waits for us.
    async fn preempt(&self, pod: &Pod, victims: &[&Arc<Pod>], lacks: &str) {
        for victim in victims {
            let meta = &victim.metadata;
            tracing::warn!(
                ns = %meta.namespace, name = %meta.name, by = %pod.metadata.key(), "pod preempted"
            );
            let message = preempt::MESSAGE.to_owned();
            self.context
                .tell(victim, EventType::Warning, preempt::REASON, message);
            let failure = PodFailure {
                reason: preempt::REASON.into(),
                message: preempt::MESSAGE.into(),
                grace_seconds: None,
                disruption: Some(preempt::DISRUPTION.into()),
            };
            self.fail(&meta.uid, failure).await;
            self.context.metrics.pod_preempted(lacks);
        }
        for victim in victims {
            let grace = u64::try_from(victim.spec.termination_grace_period_seconds).unwrap_or(0);
            let wait = MIN_WAIT.max(Duration::from_secs(grace.saturating_add(grace / 2)));
            let mut changed = self.source.statuses_changed();
            let over = async {
                while !self.over(&victim.metadata.uid, victim) && changed.changed().await.is_ok() {}
            };
            if tokio::time::timeout(wait, over).await.is_err() {
                tracing::warn!(pod.uid = %victim.metadata.uid, "a preempted pod has not ended in time");
            }
        }
    }

    fn reject(&self, state: &mut State, rejection: &Rejection) {
        let Rejection { reason, message } = rejection;
        self.context.metrics.pod_refused(rejection.label());
        let meta = &state.pod.metadata;
        tracing::warn!(ns = %meta.namespace, name = %meta.name, %reason, %message, "pod rejected");
        self.context
            .tell(&state.pod, EventType::Warning, reason, message.to_string());
        state.memory = Some(Memory {
            ended: true,
            rejected: true,
            failed: Some(PodFailure {
                reason: reason.clone(),
                message: format!("Pod was rejected: {message}").into(),
                ..PodFailure::default()
            }),
            ..Memory::default()
        });
    }

    /// By what the worker has found out, which the API server may not know yet.
    pub(super) fn over(&self, uid: &PodUid, pod: &Pod) -> bool {
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
