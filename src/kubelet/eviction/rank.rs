//! PURE. Which Pod goes first.

use super::signals::{Layout, resource};
use super::{PodUsage, Resource};
use crate::config::Signal;
use crate::kubelet::resources;
use crate::model::pod::Pod;
use std::cmp::Ordering;
use std::sync::Arc;

/// A Pod that might go, and what it uses; `None` when that is not known.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The Pod.
    pub pod: Arc<Pod>,
    /// Its use.
    pub used: Option<PodUsage>,
}

/// Which of a Pod's files count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Measure {
    layers: bool,
    logs: bool,
    volumes: bool,
}

/// Sorts Pods: the first one goes first. Those whose use is not known go before the others; then those that use more
/// than they request, the less important ones, and those that use the most beyond their request.
pub fn rank(pods: &mut [Candidate], signal: Signal, layout: Layout) {
    let resource = resource(signal);
    let measure = measure(signal, layout);
    pods.sort_by(|a, b| {
        let unknown = a.used.is_some().cmp(&b.used.is_some());
        let priority = || priority(&a.pod).cmp(&priority(&b.pod));
        let (Some(first), Some(second)) = (&a.used, &b.used) else {
            // Without knowledge of processes the priority still comes first.
            return match resource {
                Resource::Pids => priority().then(unknown),
                _ => unknown.then_with(priority),
            };
        };
        let use_of = |used: &PodUsage| use_of(used, resource, measure);
        let (first, second) = (use_of(first), use_of(second));
        let exceeds = |pod: &Pod, used: i128| used > requested(pod, resource);
        let exceeding = match resource {
            Resource::Pids => Ordering::Equal,
            _ => exceeds(&b.pod, second).cmp(&exceeds(&a.pod, first)),
        };
        let beyond = |pod: &Pod, used: i128| used - base(pod, resource);
        exceeding
            .then_with(priority)
            .then_with(|| beyond(&b.pod, second).cmp(&beyond(&a.pod, first)))
    });
}

fn priority(pod: &Pod) -> i32 {
    pod.spec.priority.unwrap_or(0)
}

fn measure(signal: Signal, layout: Layout) -> Measure {
    use Signal::*;
    let (layers, others) = match (layout, signal) {
        (Layout::OneDisk, _) => (true, true),
        (Layout::ImageDisk, NodeFsAvailable | NodeFsInodesFree) => (false, true),
        (Layout::ImageDisk, _) => (true, false),
        (Layout::SplitDisks, ImageFsAvailable | ImageFsInodesFree) => (false, false),
        (Layout::SplitDisks, _) => (true, true),
    };
    Measure {
        layers,
        logs: others,
        volumes: others,
    }
}

fn use_of(used: &PodUsage, resource: Resource, measure: Measure) -> i128 {
    let count = match resource {
        Resource::Memory => used.memory.unwrap_or(0),
        Resource::Pids => used.processes,
        Resource::EphemeralStorage => files(used, measure).0,
        Resource::Inodes => files(used, measure).1,
    };
    i128::from(count)
}

/// Bytes and inodes.
fn files(used: &PodUsage, measure: Measure) -> (u64, u64) {
    let layers = used
        .containers
        .iter()
        .filter_map(|c| c.layer)
        .filter(|_| measure.layers);
    let logs = used.containers.iter().map(|c| c.logs).filter(|_| measure.logs);
    let volumes = used.volumes.iter().filter(|v| v.ephemeral && measure.volumes);
    let all = layers.chain(logs).chain(volumes.map(|v| v.used));
    all.fold((0, 0), |(bytes, inodes), tree| {
        (
            u64::saturating_add(bytes, tree.bytes),
            u64::saturating_add(inodes, tree.inodes),
        )
    })
}

/// What a Pod requests of a resource; nobody can request inodes or processes.
fn requested(pod: &Pod, resource: Resource) -> i128 {
    match resource {
        Resource::Memory | Resource::EphemeralStorage => {
            let all = resources::requests(pod);
            i128::from(resources::of(&all, resource.as_str()).value())
        }
        Resource::Inodes | Resource::Pids => 0,
    }
}

/// What is taken off a Pod's use. Upstream takes a request of bytes off inodes as well.
fn base(pod: &Pod, resource: Resource) -> i128 {
    match resource {
        Resource::Inodes => requested(pod, Resource::EphemeralStorage),
        resource => requested(pod, resource),
    }
}

#[cfg(test)]
mod tests;
