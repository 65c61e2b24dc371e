//! PURE. From what was measured to what thresholds and Pods are judged by.

use super::signals::Layout;
use super::state::{Observation, Observations};
use super::{ContainerUsage, PodUsage};
use crate::config::Signal;
use crate::kubelet::stats::node::{NodeUse, Place};
use crate::kubelet::stats::snapshot::{Disks, PodUse, Snapshot};
use crate::kubelet::stats::summary;
use crate::model::usage::CgroupUse;
use std::collections::BTreeMap;

/// Which files share a disk.
pub fn layout(node: &NodeUse) -> Layout {
    let device = |place: &Option<Place>| place.as_ref().map(|place| place.device);
    let (node, images, layers) = (device(&node.node), device(&node.images), device(&node.layers));
    match images {
        Some(_) if images == node => Layout::OneDisk,
        Some(_) if images == layers => Layout::ImageDisk,
        Some(_) => Layout::SplitDisks,
        None => Layout::OneDisk,
    }
}

/// How much there is of everything that could be measured.
pub fn observations(node: &NodeUse) -> Observations {
    let mut all = Observations::new();
    let memory = |cgroup: &CgroupUse| {
        let used = cgroup.memory.usage.map(|_| cgroup.memory.working_set())?;
        let limit = cgroup.limits.memory.unwrap_or(node.machine.memory_total);
        let available = limit.saturating_sub(used);
        // As upstream: what is free and what is used, which is more than the limit for those above it.
        Some(observation(
            available,
            available.saturating_add(used),
            cgroup.read_at,
        ))
    };
    all.extend(
        node.root
            .as_ref()
            .and_then(memory)
            .map(|seen| (Signal::MemoryAvailable, seen)),
    );
    let pods = node.pods.as_ref().and_then(memory);
    all.extend(pods.map(|seen| (Signal::AllocatableMemoryAvailable, seen)));
    for (place, bytes, inodes) in [
        (&node.node, Signal::NodeFsAvailable, Signal::NodeFsInodesFree),
        (&node.images, Signal::ImageFsAvailable, Signal::ImageFsInodesFree),
        (
            &node.layers,
            Signal::ContainerFsAvailable,
            Signal::ContainerFsInodesFree,
        ),
    ] {
        let Some(Place { at, fs, .. }) = place else {
            continue;
        };
        all.insert(bytes, observation(fs.available, fs.capacity, *at));
        // A file system that makes inodes as it needs them counts none.
        if fs.inodes > 0 {
            all.insert(inodes, observation(fs.inodes_free, fs.inodes, *at));
        }
    }
    let machine = &node.machine;
    if machine.max_pid > 0 {
        let free = machine.max_pid.saturating_sub(machine.threads);
        all.insert(Signal::PidAvailable, observation(free, machine.max_pid, node.at));
    }
    all
}

fn observation(available: u64, capacity: u64, at: i64) -> Observation {
    let whole = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    Observation {
        available: whole(available),
        capacity: whole(capacity),
        at,
    }
}

/// What each running Pod uses, by UID.
pub fn usage(snapshot: &Snapshot, disks: &Disks) -> BTreeMap<String, PodUsage> {
    let each = snapshot.pods.iter();
    each.map(|pod| (pod.uid.clone(), of_pod(pod, disks))).collect()
}

fn of_pod(pod: &PodUse, disks: &Disks) -> PodUsage {
    let disk = disks.pods.get(&pod.uid);
    let containers = pod.containers.iter().map(|container| {
        let disk = disks.containers.get(&container.id);
        let memory = &container.used.usage.memory;
        ContainerUsage {
            name: container.name.as_str().into(),
            memory: memory.usage.map(|_| memory.working_set()),
            layer: disk.and_then(|disk| disk.layer).map(|(_, layer)| layer),
            logs: disk.map(|disk| disk.logs).unwrap_or_default(),
        }
    });
    let memory = pod.used.as_ref().map(|used| &used.usage.memory);
    PodUsage {
        memory: memory.and_then(|memory| memory.usage.map(|_| memory.working_set())),
        processes: summary::processes(pod),
        ephemeral: summary::ephemeral(pod, disks, disk.map(AsRef::as_ref)).bytes,
        containers: containers.collect(),
        volumes: disk.map(|disk| disk.volumes.clone()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests;
