//! PURE. Quality of service: the class a Pod's requests and limits give it, and what follows for the OOM killer.

use super::quantity::{self, Amount};
use super::resources;
use crate::model::pod::{Container, Pod, Quantity, Resources};
use std::collections::BTreeMap;

#[cfg(test)]
mod tests;

/// `status.qosClass`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qos {
    /// Every container has limits for CPU and memory, and requests what it may use.
    Guaranteed,
    /// Something is requested or limited.
    Burstable,
    /// Nothing is.
    BestEffort,
}

impl Qos {
    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Guaranteed => "Guaranteed",
            Self::Burstable => "Burstable",
            Self::BestEffort => "BestEffort",
        }
    }
}

/// Resources that count.
const RESOURCES: [&str; 2] = ["cpu", "memory"];
/// `oom_score_adj` of containers that should be killed last.
pub const OOM_GUARANTEED: i64 = -997;
/// `oom_score_adj` of containers that should be killed first.
const OOM_BEST_EFFORT: i64 = 1000;
/// From this priority on a Pod is node-critical (`system-node-critical`).
const NODE_CRITICAL: i32 = 2_000_001_000;

/// The class of a Pod.
pub fn class(pod: &Pod) -> Qos {
    match pod.spec.resources.as_ref() {
        // What is said of the Pod as a whole decides alone.
        Some(whole) => class_of(std::iter::once(whole)),
        None => {
            let containers = pod.spec.containers.iter().chain(&pod.spec.init_containers);
            class_of(containers.map(|c| &c.resources))
        }
    }
}

fn class_of<'a>(all: impl Iterator<Item = &'a Resources>) -> Qos {
    let mut requests = [Amount::ZERO; 2];
    let mut limits = [Amount::ZERO; 2];
    let mut all_limited = true;
    for resources in all {
        let add = |sums: &mut [Amount; 2], list: &BTreeMap<Box<str>, Quantity>| {
            let amounts = RESOURCES.map(|r| quantity::of(list, r));
            for (sum, amount) in sums.iter_mut().zip(amounts).filter(|(_, a)| a.is_positive()) {
                *sum = sum.plus(amount);
            }
            amounts.iter().all(|a| a.is_positive())
        };
        add(&mut requests, &resources.requests);
        all_limited &= add(&mut limits, &resources.limits);
    }
    if requests == [Amount::ZERO; 2] && limits == [Amount::ZERO; 2] {
        Qos::BestEffort
    } else if all_limited && requests == limits {
        Qos::Guaranteed
    } else {
        Qos::Burstable
    }
}

/// `oom_score_adj` of a container on a node with this much memory (bytes): the more a burstable container requests,
/// the later it is killed, always between the other two classes.
pub fn oom_score_adj(pod: &Pod, container: &Container, memory_capacity: i64) -> i64 {
    if pod.spec.priority.is_some_and(|p| p >= NODE_CRITICAL) {
        return OOM_GUARANTEED;
    }
    match class(pod) {
        Qos::Guaranteed => OOM_GUARANTEED,
        Qos::BestEffort => OOM_BEST_EFFORT,
        Qos::Burstable => {
            let request = |c: &Container| quantity::of(&c.resources.requests, "memory").value();
            let mut requested = request(container);
            let is_sidecar =
                container.is_sidecar() && pod.spec.init_containers.iter().any(|c| c.name == container.name);
            if is_sidecar {
                // A sidecar is never killed before the containers it serves.
                requested = requested.max(pod.spec.containers.iter().map(request).min().unwrap_or(0));
            }
            let requested = requested.saturating_add(share_of_rest(pod));
            let share = i128::from(requested) * 1000 / i128::from(memory_capacity.max(1));
            let score = 1000 - i64::try_from(share).unwrap_or(1000);
            score.clamp(1000 + OOM_GUARANTEED, OOM_BEST_EFFORT - 1)
        }
    }
}

/// Memory the Pod as a whole requests beyond its containers (bytes), shared out evenly (KEP-2837).
fn share_of_rest(pod: &Pod) -> i64 {
    let asked = |r: &Resources| quantity::of(&r.requests, "memory").value();
    let whole = resources::pod_level(pod).map_or(0, asked);
    if whole == 0 {
        return 0;
    }
    let inside = resources::of(&resources::container_requests(pod), "memory").value();
    let count = pod.spec.containers.len() + pod.spec.init_containers.len();
    whole.saturating_sub(inside) / i64::try_from(count.max(1)).unwrap_or(i64::MAX)
}
