//! PURE. Pods that write more to local storage than their limits allow.

use super::PodUsage;
use crate::kubelet::quantity::{self, Amount};
use crate::model::pod::{Container, Pod, Quantity};

const STORAGE: &str = "ephemeral-storage";

/// Why a Pod goes: the metric's signal, and upstream's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excess {
    /// `eviction_signal` of the metric.
    pub signal: &'static str,
    /// For the Pod's status and the event.
    pub message: String,
}

/// Whether anything of a Pod has a limit, so that its use has to be looked at.
pub fn is_limited(pod: &Pod) -> bool {
    let dirs = pod.spec.volumes.iter().filter_map(|v| v.empty_dir.as_ref());
    let mut sizes = dirs.filter_map(|dir| dir.size_limit.as_ref());
    sizes.any(|size| quantity::parse(size).is_ok_and(Amount::is_positive))
        || pod
            .spec
            .every_container()
            .any(|c| c.resources.limits.contains_key(STORAGE))
}

/// What a Pod has too much of, if something. With images on a disk of their own, writable layers are no container's
/// local storage.
pub fn excess(pod: &Pod, used: &PodUsage, layers_count: bool) -> Option<Excess> {
    empty_dir(pod, used)
        .or_else(|| whole_pod(pod, used))
        .or_else(|| container(pod, used, layers_count))
}

fn over(used: u64, limit: Amount) -> bool {
    Amount::whole(i64::try_from(used).unwrap_or(i64::MAX)) > limit
}

fn empty_dir(pod: &Pod, used: &PodUsage) -> Option<Excess> {
    pod.spec.volumes.iter().find_map(|volume| {
        let limit = volume.empty_dir.as_ref()?.size_limit.as_ref()?;
        let amount = quantity::parse(limit).ok().filter(|limit| limit.is_positive())?;
        let taken = used.volumes.iter().find(|v| *v.name == *volume.name)?;
        over(taken.used.bytes, amount).then(|| Excess {
            signal: "emptydirfs.limit",
            message: format!(
                "Usage of EmptyDir volume {:?} exceeds the limit {:?}. ",
                volume.name, limit.0
            ),
        })
    })
}

fn whole_pod(pod: &Pod, used: &PodUsage) -> Option<Excess> {
    let (limit, text) = pod_limit(pod)?;
    over(used.ephemeral, limit).then(|| Excess {
        signal: "ephemeralpodfs.limit",
        message: format!("Pod ephemeral local storage usage exceeds the total limit of containers {text}. "),
    })
}

/// The sum of the containers' limits, or what an init container may use if that is more, and the Pod's overhead, as a
/// number and as Go writes it.
fn pod_limit(pod: &Pod) -> Option<(Amount, String)> {
    fn limit(container: &Container) -> Option<&Quantity> {
        container.resources.limits.get(STORAGE)
    }
    let sum = |list: &[&Quantity]| {
        let amounts = list.iter().filter_map(|q| quantity::parse(q).ok());
        amounts.fold(Amount::ZERO, Amount::plus)
    };
    let spec = &pod.spec;
    let mut sidecars: Vec<&Quantity> = Vec::new();
    let mut largest: Vec<&Quantity> = Vec::new();
    for container in &spec.init_containers {
        let mut now: Vec<&Quantity> = limit(container).into_iter().collect();
        if container.is_sidecar() {
            sidecars.extend(now);
            now = Vec::new();
        }
        now.extend(&sidecars);
        if sum(&now) > sum(&largest) {
            largest = now;
        }
    }
    let mut all: Vec<&Quantity> = spec.containers.iter().filter_map(limit).collect();
    all.extend(&sidecars);
    if sum(&largest) > sum(&all) {
        all = largest;
    }
    let first = *all.first()?;
    all.extend(spec.overhead.get(STORAGE));
    let total = sum(&all);
    let text = match &*all {
        [one] => one.0.to_string(),
        _ if first.0.ends_with('i') => quantity::binary(total.value()),
        _ => quantity::decimal(total.value()),
    };
    Some((total, text))
}

fn container(pod: &Pod, used: &PodUsage, layers_count: bool) -> Option<Excess> {
    used.containers.iter().find_map(|taken| {
        let spec = pod.spec.containers.iter().find(|c| *c.name == *taken.name)?;
        let limit = spec.resources.limits.get(STORAGE)?;
        let amount = quantity::parse(limit).ok().filter(|limit| limit.is_positive())?;
        let layer = taken.layer.filter(|_| layers_count).unwrap_or_default();
        over(taken.logs.bytes.saturating_add(layer.bytes), amount).then(|| Excess {
            signal: "ephemeralcontainerfs.limit",
            message: format!(
                "Container {} exceeded its local ephemeral storage limit {:?}. ",
                spec.name, limit.0
            ),
        })
    })
}

#[cfg(test)]
mod tests;
