//! Resizing Pods: the room there is on the node, and what is told of it.

use super::state::{Done, Key, Resize, State};
use super::{Slot, Workers};
use crate::api::EventType;
use crate::kubelet::execute;
use crate::kubelet::plan::{Action, Plan};
use crate::kubelet::quantity::{self, Amount};
use crate::kubelet::resize::books::Books;
use crate::kubelet::resize::{self, Room};
use crate::model::PodUid;
use crate::model::cgroup::CgroupSettings;
use crate::model::pod::Pod;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PodCondition, PodStatus};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

impl Workers {
    /// Grants a Pod what it asks for, if there is room; whoever else waits is looked at again when it leaves some. One
    /// Pod at a time, so that no room is given twice.
    pub(super) fn grant(&self, state: &mut State, now: Timestamp) -> Option<Resize> {
        let uid = state.pod.metadata.uid.clone();
        state.recall_cgroup(self.context.cgroups.rules());
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        let (deferred, wish) = (state.is_deferred(), books.wish(&uid));
        let trigger = books.trigger(&uid);
        let limits = &self.context.limits;
        let told = state.grant(
            || self.room(&books, &uid),
            |pod, container| limits.may_swap(pod, container),
        );
        if told == Some(Resize::Started) {
            state.resize_began = Some(now);
        }
        match &told {
            Some(Resize::Started) if deferred => {
                let changed = wish != Some(resize::requests(&state.pod));
                let trigger = if changed { "pod_updated" } else { trigger };
                self.context.metrics.resize_accepted(trigger);
            }
            Some(Resize::Pending(_, pending)) if pending.message == resize::SWAP => {
                self.context.metrics.resize_infeasible("swap_limitation");
            }
            _ => {}
        }
        let over = state.computed.as_ref().is_some_and(|s| ended(s.phase.as_deref()));
        let gone = state.finished || !state.in_api && state.jobs.is_empty();
        let (freed, why) = match (over, gone) {
            (true, _) => (books.remove(&uid), "pod_terminated"),
            (false, true) => (books.remove(&uid), "pods_removed"),
            (false, false) => (books.set(&uid, state.entry(now)), "pod_resized"),
        };
        if freed {
            books.freed_by(why);
        }
        let waiting = if freed { books.waiting() } else { Vec::new() };
        drop(books);
        for other in waiting.into_iter().filter(|other| *other != uid) {
            self.marks.mark(other);
        }
        told
    }

    /// What the node has for this Pod, besides all others.
    fn room(&self, books: &Books, uid: &PodUid) -> Room {
        let allocatable = ["cpu", "memory"].map(|r| quantity::of(&self.context.allocatable, r));
        let mut unseen = [Amount::ZERO; 2];
        for other in self.source.uids().iter().filter(|other| !books.has(other)) {
            let told = self.source.status(other);
            let over = told.as_ref().is_some_and(|status| ended(status.phase.as_deref()));
            let Some(pod) = self.source.get(other).filter(|_| !over) else {
                continue;
            };
            if ended(Some(&pod.status.phase)) {
                continue;
            }
            for (sum, amount) in unseen.iter_mut().zip(resize::requests(&pod)) {
                *sum = sum.plus(amount);
            }
        }
        Room {
            others: books.others(uid, &allocatable, &unseen),
            allocatable,
        }
    }

    /// Gives the Pod's cgroup what it needs first; true when containers have to wait for that.
    pub(super) fn give_cgroup(self: &Arc<Self>, slot: &Arc<Slot>, state: &mut State, plan: &Plan) -> bool {
        if state.jobs.contains_key(&Key::Cgroup) {
            return true;
        }
        let now = self.context.now();
        let planned = plan
            .actions
            .iter()
            .any(|a| matches!(a, Action::ResizeContainer { .. }));
        let resizing = planned || state.jobs.keys().any(|key| matches!(key, Key::Resize(_)));
        let wanted = self.context.cgroups.rules().pod(&state.pod);
        let Some(next) = state.next_cgroup(&wanted, resizing) else {
            return false;
        };
        if !state.free(&Key::Cgroup, now) {
            return true;
        }
        state.give(next.clone());
        let lowers = lowered(state.given.as_ref(), &next);
        let (context, pod) = (self.context.clone(), state.pod.clone());
        self.spawn(slot, state, Key::Cgroup, async move {
            let given = async {
                execute::check_pod_memory(&context, &pod, lowers)?;
                context.cgroups.give(&pod, next).await
            };
            Done::Plain(Key::Cgroup, given.await)
        });
        true
    }

    /// The Pod's memory limit that is to be, if that is less than it has now.
    pub(super) fn lowers_pod(&self, state: &State) -> Option<u64> {
        lowered(
            state.given.as_ref(),
            &self.context.cgroups.rules().pod(&state.pod),
        )
    }

    pub(super) fn tell_resize(&self, pod: &Pod, what: &Resize) {
        match what {
            Resize::Started => {
                let text = resize::words("started", pod, "");
                self.context.tell(pod, EventType::Normal, "ResizeStarted", text);
            }
            Resize::Pending(asked, pending) => {
                let text = resize::words(pending.reason, asked, &pending.message);
                let reason = match pending.reason {
                    "Infeasible" => "ResizeInfeasible",
                    _ => "ResizeDeferred",
                };
                self.context.tell(asked, EventType::Warning, reason, text);
            }
        }
    }

    /// Tells of a resize that has come to its end, or has failed.
    pub(super) fn tell_resized(
        &self,
        pod: &Pod,
        began: &mut Option<Timestamp>,
        old: Option<&PodStatus>,
        new: &PodStatus,
    ) {
        let progress = |status: &PodStatus| -> Option<PodCondition> {
            let mut all = status.conditions.iter().flatten();
            all.find(|c| c.type_ == "PodResizeInProgress").cloned()
        };
        let took = |began: Timestamp| {
            let took = self.context.now().duration_since(began);
            Duration::try_from(took).unwrap_or_default()
        };
        let (before, now) = (old.and_then(progress), progress(new));
        let error = |c: &Option<PodCondition>| c.as_ref().and_then(|c| c.message.clone());
        if before.is_some() && now.is_none() && new.phase.as_deref() == Some("Running") {
            let text = resize::words("completed", pod, "");
            self.context.tell(pod, EventType::Normal, "ResizeCompleted", text);
            if let Some(began) = began.take() {
                self.context.metrics.resized(true, took(began));
            }
        }
        if let Some(why) = error(&now).filter(|why| error(&before).as_ref() != Some(why)) {
            let text = resize::words("error", pod, &why);
            self.context.tell(pod, EventType::Warning, "ResizeError", text);
            if let Some(began) = *began {
                self.context.metrics.resized(false, took(began));
            }
        }
    }
}

fn lowered(given: Option<&CgroupSettings>, next: &CgroupSettings) -> Option<u64> {
    let has = given?.memory;
    next.memory.filter(|gets| has.is_none_or(|has| *gets < has))
}

fn ended(phase: Option<&str>) -> bool {
    matches!(phase, Some("Succeeded" | "Failed"))
}
