//! PURE. Which Pods make room for a critical one: as few as possible, of the lowest class as far as they suffice, and of
//! those that free equally much the ones that ask for least.

use super::fit::units;
use crate::kubelet::qos::{self, Qos};
use crate::kubelet::resources::{self, List};
use crate::model::pod::Pod;

/// Reason of the event and of the status of a Pod that has to go.
pub const REASON: &str = "Preempting";
/// Their message.
pub const MESSAGE: &str = "Preempted in order to admit critical pod";
/// Message of its `DisruptionTarget` condition.
pub const DISRUPTION: &str = "Pod was preempted by Kubelet to accommodate a critical pod.";

/// Resources and how much of each has to be freed, in the scheduler's units.
pub(super) type Wanted = Vec<(Box<str>, i64)>;

/// A Pod that may have to go.
#[derive(Clone)]
struct Candidate {
    /// Its place among the others.
    index: usize,
    requests: List,
}

impl Candidate {
    fn frees(&self, resource: &str) -> i64 {
        match resource {
            "pods" => 1,
            _ => units(resource, resources::of(&self.requests, resource)),
        }
    }
}

/// Indices of the Pods that have to go. The error says that there are not enough.
pub(super) fn victims(pod: &Pod, others: &[&Pod], wanted: Wanted) -> Result<Vec<usize>, String> {
    let of = |class: Qos| -> Vec<Candidate> {
        let candidates = others
            .iter()
            .enumerate()
            .filter(|(_, other)| preemptable(pod, other));
        candidates
            .filter(|(_, other)| qos::class(other) == class)
            .map(|(index, other)| Candidate {
                index,
                requests: resources::requests(other),
            })
            .collect()
    };
    let (best_effort, burstable, guaranteed) = (of(Qos::BestEffort), of(Qos::Burstable), of(Qos::Guaranteed));
    let left = |wanted: &Wanted, gone: &[&[Candidate]]| less(wanted, gone.iter().copied().flatten());
    let missing = left(&wanted, &[&best_effort, &burstable, &guaranteed]);
    if !missing.is_empty() {
        return Err(not_enough(&missing));
    }
    // Of each class only what the lower ones cannot give.
    let guaranteed = nearest(guaranteed, left(&wanted, &[&best_effort, &burstable]))?;
    let burstable = nearest(burstable, left(&wanted, &[&best_effort, &guaranteed]))?;
    let best_effort = nearest(best_effort, left(&wanted, &[&burstable, &guaranteed]))?;
    let all = best_effort.iter().chain(&burstable).chain(&guaranteed);
    Ok(all.map(|candidate| candidate.index).collect())
}

fn preemptable(pod: &Pod, other: &Pod) -> bool {
    let lower = pod
        .spec
        .priority
        .zip(other.spec.priority)
        .is_some_and(|(ours, theirs)| ours > theirs);
    (pod.is_critical() && !other.is_critical()) || lower
}

/// What is still wanted when these are gone.
fn less<'a>(wanted: &Wanted, gone: impl Iterator<Item = &'a Candidate> + Clone) -> Wanted {
    let left = wanted.iter().map(|(resource, amount)| {
        let freed = gone.clone().map(|candidate| candidate.frees(resource));
        (resource.clone(), amount - freed.fold(0, i64::saturating_add))
    });
    left.filter(|(_, amount)| *amount > 0).collect()
}

/// Takes the Pod that leaves least to be wanted, again and again.
fn nearest(mut candidates: Vec<Candidate>, mut wanted: Wanted) -> Result<Vec<Candidate>, String> {
    let mut chosen = Vec::new();
    while !wanted.is_empty() {
        let size = |c: &Candidate| {
            (
                units("memory", resources::of(&c.requests, "memory")),
                units("cpu", resources::of(&c.requests, "cpu")),
            )
        };
        let best = candidates
            .iter()
            .enumerate()
            .min_by(|(_, a), (_, b)| {
                let by_distance = distance(&wanted, a).total_cmp(&distance(&wanted, b));
                by_distance.then_with(|| size(a).cmp(&size(b)))
            })
            .map(|(at, _)| at);
        let Some(best) = best else {
            return Err(not_enough(&wanted));
        };
        let best = candidates.remove(best);
        wanted = less(&wanted, std::iter::once(&best));
        chosen.push(best);
    }
    Ok(chosen)
}

/// How far a Pod is from giving all that is wanted; every resource counts the same.
#[expect(clippy::cast_precision_loss, reason = "only compared")]
fn distance(wanted: &Wanted, candidate: &Candidate) -> f64 {
    let each = wanted.iter().map(|(resource, amount)| {
        let rest = (amount - candidate.frees(resource)).max(0);
        (rest as f64 / *amount as f64).powi(2)
    });
    each.sum()
}

fn not_enough(wanted: &Wanted) -> String {
    let each = wanted
        .iter()
        .map(|(resource, amount)| format!("(res: {resource}, q: {amount}), "));
    format!(
        "no set of running pods found to reclaim resources: [{}]",
        each.collect::<String>()
    )
}

#[cfg(test)]
mod tests;
