//! PURE. What is told about an eviction, in upstream's words.

use super::signals::resource;
use super::state::Observations;
use super::{PodUsage, Resource};
use crate::config::{Level, Threshold};
use crate::kubelet::{quantity, resources};
use crate::model::pod::Pod;

/// Message of a Pod that goes because the node is short of something. `starved` are the thresholds acted upon.
pub fn node_low(
    resource: Resource,
    pod: &Pod,
    used: Option<&PodUsage>,
    starved: &[&Threshold],
    seen: &Observations,
) -> String {
    let name = resource.as_str();
    let mut text = format!("The node was low on resource: {name}. ");
    text.push_str(&numbers(resource, starved, seen).unwrap_or_default());
    text.push_str(&whole_pod(resource, pod, used).unwrap_or_default());
    for container in used.iter().flat_map(|used| &used.containers) {
        let specs = pod.spec.containers.iter().chain(&pod.spec.init_containers);
        let Some(spec) = specs.into_iter().find(|spec| *spec.name == *container.name) else {
            continue;
        };
        let usage = match resource {
            Resource::Memory => container.memory,
            Resource::EphemeralStorage => container
                .layer
                .map(|layer| layer.bytes.saturating_add(container.logs.bytes)),
            Resource::Inodes | Resource::Pids => None,
        };
        let requests = &spec.resources.requests;
        let Some(usage) = usage.map(count) else { continue };
        if usage <= quantity::of(requests, name).value() {
            continue;
        }
        let request = requests.get(name).map_or("0", |quantity| &quantity.0);
        text.push_str(&format!(
            "Container {} was using {}, request is {request}, has larger consumption of {name}. ",
            spec.name,
            quantity::binary(usage),
        ));
    }
    text
}

/// What is said of a Pod that requests memory as a whole, whether it uses more or not.
fn whole_pod(resource: Resource, pod: &Pod, used: Option<&PodUsage>) -> Option<String> {
    let whole = resources::pod_level(pod).filter(|_| resource == Resource::Memory)?;
    let request = whole.requests.get("memory")?;
    let usage = used?.memory?;
    Some(format!(
        "Pod {} was using {}, request is {}, has larger consumption of memory. ",
        pod.metadata.name,
        quantity::binary(count(usage)),
        request.0
    ))
}

/// `Threshold quantity: 100Mi, available: 90Mi. `
fn numbers(of: Resource, starved: &[&Threshold], seen: &Observations) -> Option<String> {
    let (threshold, seen) = starved
        .iter()
        .filter(|t| resource(t.signal) == of)
        .find_map(|t| Some((t, seen.get(&t.signal)?)))?;
    let wanted = match &threshold.level {
        Level::Quantity { value, text } if text.contains('.') => quantity::binary(*value),
        Level::Quantity { text, .. } => text.to_string(),
        part => quantity::binary(part.of(seen.capacity)),
    };
    let available = match of {
        Resource::Memory | Resource::EphemeralStorage => quantity::binary(seen.available),
        Resource::Inodes | Resource::Pids => quantity::decimal(seen.available),
    };
    Some(format!("Threshold quantity: {wanted}, available: {available}. "))
}

fn count(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
