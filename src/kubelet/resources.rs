//! PURE. What a whole Pod asks for and may use, by the rules the scheduler and kubelet share (KEP-753 for sidecars,
//! KEP-2837 for resources of the Pod as a whole).

use super::quantity::{self, Amount};
use crate::model::pod::{Container, Pod, Quantity, Resources};
use std::collections::BTreeMap;

#[cfg(test)]
mod tests;

/// Amounts by the resource's name.
pub type List = BTreeMap<Box<str>, Amount>;

/// What hugepage resources begin with; a page size follows.
const HUGEPAGES: &str = "hugepages-";

/// Which half of [`Resources`].
type Half = fn(&Resources) -> &BTreeMap<Box<str>, Quantity>;

const REQUESTS: Half = |r| &r.requests;
const LIMITS: Half = |r| &r.limits;

/// The amount of one resource; nothing when it is not named.
pub fn of(list: &List, resource: &str) -> Amount {
    list.get(resource).copied().unwrap_or_default()
}

/// What is reserved for a Pod, with its overhead.
pub fn requests(pod: &Pod) -> List {
    let mut all = requests_without_overhead(pod);
    add(&mut all, &amounts(&pod.spec.overhead));
    all
}

/// What is reserved for a Pod but for its overhead.
pub fn requests_without_overhead(pod: &Pod) -> List {
    sum(pod, REQUESTS)
}

/// What the containers request, whatever is said of the Pod as a whole.
pub fn container_requests(pod: &Pod) -> List {
    containers(pod, REQUESTS, |_| {})
}

/// What a Pod may use, with its overhead where there is a limit at all.
pub fn limits(pod: &Pod) -> List {
    let mut all = limits_without_overhead(pod);
    for (name, more) in amounts(&pod.spec.overhead) {
        if let Some(limit) = all.get_mut(&name).filter(|limit| limit.is_positive()) {
            *limit = limit.plus(more);
        }
    }
    all
}

/// What a Pod may use but for its overhead.
pub fn limits_without_overhead(pod: &Pod) -> List {
    sum(pod, LIMITS)
}

/// Whether every container, or the Pod as a whole, has a limit of this resource: only then the sum is a limit.
pub fn limited(pod: &Pod, resource: &str) -> bool {
    let mut every = true;
    containers(pod, LIMITS, |effective| {
        every &= of(effective, resource).is_positive();
    });
    let whole = pod_level(pod).map(|whole| quantity::of(&whole.limits, resource));
    every || whole.is_some_and(Amount::is_positive)
}

/// Requests and limits of the Pod as a whole, where they say anything about a resource a Pod can have.
pub fn pod_level(pod: &Pod) -> Option<&Resources> {
    let known = |list: &BTreeMap<Box<str>, Quantity>| list.keys().any(|name| is_pod_level(name));
    let whole = pod.spec.resources.as_ref();
    whole.filter(|r| known(&r.requests) || known(&r.limits))
}

/// A container's requests and limits as its cgroup takes them: where it has no limit, that of the Pod holds.
pub fn effective(pod: &Pod, container: &Container) -> Resources {
    let mut own = container.resources.clone();
    let Some(whole) = pod_level(pod) else { return own };
    for name in ["cpu", "memory"] {
        let limit = whole.limits.get(name);
        if let Some(limit) = limit.filter(|_| quantity::of(&own.limits, name).is_zero()) {
            own.limits.insert(name.into(), limit.clone());
        }
    }
    own
}

/// Size of a hugepage resource's pages in bytes; `None` for other resources.
pub fn page_size(resource: &str) -> Option<u64> {
    let size = Quantity(resource.strip_prefix(HUGEPAGES)?.into());
    let bytes = quantity::parse(&size).ok()?.value();
    u64::try_from(bytes).ok().filter(|bytes| *bytes > 0)
}

/// Bytes of huge pages by page size in bytes.
pub fn hugepages(list: &List) -> BTreeMap<u64, u64> {
    let mut all = BTreeMap::new();
    for (name, amount) in list {
        if let Some(size) = page_size(name) {
            *all.entry(size).or_default() += u64::try_from(amount.value()).unwrap_or(0);
        }
    }
    all
}

fn is_pod_level(resource: &str) -> bool {
    matches!(resource, "cpu" | "memory") || resource.starts_with(HUGEPAGES)
}

fn amounts(list: &BTreeMap<Box<str>, Quantity>) -> List {
    let parsed = |q: &Quantity| quantity::parse(q).unwrap_or_default();
    list.iter().map(|(name, q)| (name.clone(), parsed(q))).collect()
}

fn add(sum: &mut List, more: &List) {
    for (name, amount) in more {
        let sum = sum.entry(name.clone()).or_default();
        *sum = sum.plus(*amount);
    }
}

fn raise(most: &mut List, other: &List) {
    for (name, amount) in other {
        let most = most.entry(name.clone()).or_default();
        *most = (*most).max(*amount);
    }
}

/// What its containers take, or what is said of the Pod as a whole in its place.
fn sum(pod: &Pod, half: Half) -> List {
    let mut all = containers(pod, half, |_| {});
    if let Some(whole) = pod_level(pod) {
        let whole = amounts(half(whole));
        all.extend(whole.into_iter().filter(|(name, _)| is_pod_level(name)));
    }
    all
}

/// Containers and sidecars together, or the most that is needed while an init container runs beside the sidecars
/// before it. `each` sees what is needed for every container.
fn containers(pod: &Pod, half: Half, mut each: impl FnMut(&List)) -> List {
    let mut all = List::new();
    for container in &pod.spec.containers {
        let own = amounts(half(&container.resources));
        each(&own);
        add(&mut all, &own);
    }
    let (mut sidecars, mut most) = (List::new(), List::new());
    for container in &pod.spec.init_containers {
        let own = amounts(half(&container.resources));
        let mut effective = own.clone();
        add(&mut effective, &sidecars);
        if container.is_sidecar() {
            add(&mut all, &own);
            sidecars = effective.clone();
        }
        each(&effective);
        raise(&mut most, &effective);
    }
    raise(&mut all, &most);
    all
}
