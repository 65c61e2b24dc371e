//! PURE. Not while the node is short of something.

use super::Rejection;
use crate::kubelet::eviction::{self, Pressure, Pressures};
use crate::kubelet::qos::{self, Qos};
use crate::model::pod::Pod;

#[cfg(test)]
mod tests;

/// The taint of a node that is short of memory.
const MEMORY_TAINT: &str = "node.kubernetes.io/memory-pressure";

/// What a Pod is told that wants to start on a node with these conditions. Memory alone keeps away only Pods that request
/// nothing and do not tolerate it; critical Pods always may start.
pub fn rejection(pod: &Pod, pressures: &Pressures) -> Option<Rejection> {
    if pressures.is_empty() || pod.is_critical() {
        return None;
    }
    let only_memory = pressures.iter().all(|pressure| *pressure == Pressure::Memory);
    let tolerates = || {
        let mut tolerations = pod.spec.tolerations.iter();
        tolerations.any(|t| t.tolerates(MEMORY_TAINT, "", "NoSchedule"))
    };
    if only_memory && (qos::class(pod) != Qos::BestEffort || tolerates()) {
        return None;
    }
    let names: Vec<&str> = pressures.iter().map(|pressure| pressure.as_str()).collect();
    let message = format!("The node had condition: [{}]. ", names.join(" "));
    Some(Rejection::new(eviction::REASON, message))
}
