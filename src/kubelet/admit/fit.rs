//! PURE. Whether the node has left what a Pod requests.

use super::Rejection;
use crate::kubelet::quantity::Amount;
use crate::kubelet::resources::{self, List};
use crate::model::pod::Pod;

/// A resource there is not enough of, in the scheduler's units: thousandths of CPUs, whole units of everything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Short {
    /// Which.
    pub(super) resource: Box<str>,
    requested: i64,
    used: i64,
    capacity: i64,
}

impl Short {
    pub(super) fn rejection(&self) -> Rejection {
        let Self {
            resource,
            requested,
            used,
            capacity,
        } = self;
        Rejection::new(
            format!("OutOf{resource}"),
            format!(
                "Node didn't have enough resource: {resource}, requested: {requested}, used: {used}, capacity: \
                 {capacity}"
            ),
        )
    }

    /// How much more there would have to be.
    pub(super) fn missing(&self) -> i64 {
        self.requested - (self.capacity - self.used)
    }
}

/// An amount in the scheduler's units.
pub(super) fn units(resource: &str, amount: Amount) -> i64 {
    match resource {
        "cpu" => amount.milli(),
        _ => amount.value(),
    }
}

/// Everything there is not enough of: Pods, CPU, memory, disk, then the others by name.
pub(super) fn shortages(pod: &Pod, others: &[&Pod], allocatable: &List) -> Vec<Short> {
    let short = |resource: &str, requested: i64, used: i64| {
        let capacity = units(resource, resources::of(allocatable, resource));
        let short = requested > 0 && requested > capacity.saturating_sub(used);
        short.then(|| Short {
            resource: resource.into(),
            requested,
            used,
            capacity,
        })
    };
    let count = i64::try_from(others.len()).unwrap_or(i64::MAX);
    let mut found: Vec<Short> = short("pods", 1, count).into_iter().collect();
    let wanted = resources::requests(pod);
    let theirs: Vec<List> = others.iter().map(|other| resources::requests(other)).collect();
    let first = ["cpu", "memory", "ephemeral-storage"];
    let rest = wanted
        .keys()
        .map(|name| &**name)
        .filter(|name| is_counted(name, allocatable));
    for name in first.into_iter().chain(rest) {
        let used = theirs.iter().map(|list| units(name, resources::of(list, name)));
        let used = used.fold(0, i64::saturating_add);
        found.extend(short(name, units(name, resources::of(&wanted, name)), used));
    }
    found
}

/// Huge pages, and what others give to Pods where our Node has it: an extended resource that no node has stands for
/// something of the whole cluster.
fn is_counted(resource: &str, allocatable: &List) -> bool {
    resource.starts_with("hugepages-") || (resource.contains('/') && allocatable.contains_key(resource))
}
