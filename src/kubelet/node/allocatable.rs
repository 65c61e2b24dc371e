//! PURE. What the node has, what of it is for Pods, and how both are written in the Node's status.
//!
//! Allocatable is capacity without what is reserved and without what hard eviction keeps free. Preallocated huge pages
//! are part of the machine's memory, so they are taken off what is left for ordinary pages.

use super::status::Facts;
use crate::config::{Amounts, ResourceConfig, Signal};
use crate::kubelet::cgroup::plan::PIDS;
use crate::kubelet::quantity::{self, Amount};
use crate::kubelet::resources::{self, List};
use serde_json::{Map, Value};

#[cfg(test)]
mod tests;

/// A reservation that is more than there is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{resource}: {reserved} is reserved, but the node has only {capacity}")]
pub struct TooMuch {
    /// Of what.
    pub resource: Box<str>,
    /// How much, with what eviction keeps free.
    pub reserved: Box<str>,
    /// How much there is.
    pub capacity: Box<str>,
}

/// All the node has.
pub fn capacity(facts: &Facts) -> List {
    let (machine, config) = (&facts.machine, &facts.resources);
    let most = u64::from(facts.max_pods);
    let pods = match config.pods_per_core {
        Some(each) => machine.cpus.saturating_mul(each.into()).min(most),
        None => most,
    };
    let mut all: List = [
        ("cpu", machine.cpus),
        ("memory", machine.memory_bytes),
        ("pods", pods),
        ("ephemeral-storage", facts.disk.capacity_bytes),
    ]
    .map(|(name, count)| (name.into(), whole(count)))
    .into();
    for (size, count) in &machine.hugepages {
        let bytes = size.saturating_mul(*count).saturating_mul(1024);
        all.insert(hugepages_name(*size).into(), whole(bytes));
    }
    all
}

/// What of that is for Pods.
pub fn allocatable(facts: &Facts) -> List {
    let capacity = capacity(facts);
    let kept = kept(&capacity, facts);
    let mut left = capacity.clone();
    for (name, amount) in &mut left {
        *amount = amount.minus(resources::of(&kept, name));
    }
    let huge = capacity
        .iter()
        .filter(|(name, _)| resources::page_size(name).is_some());
    let huge = huge.map(|(_, amount)| *amount).fold(Amount::ZERO, Amount::plus);
    if let Some(memory) = left.get_mut("memory") {
        *memory = memory.minus(huge);
    }
    left
}

/// What all Pods together are held to by their cgroup: all that is not reserved. That eviction keeps some free is no
/// reason to kill.
pub fn enforced(facts: &Facts) -> List {
    let config = &facts.resources;
    let mut all = capacity(facts);
    all.insert(PIDS.into(), whole(facts.machine.pid_max));
    if !config.enforce_pods {
        return all;
    }
    let reserved = reserved(config);
    for (name, amount) in &mut all {
        *amount = amount.minus(resources::of(&reserved, name));
    }
    all
}

/// What is reserved for one part of the system.
pub fn amounts(of: &Amounts) -> List {
    let parsed = |q| quantity::parse(q).unwrap_or_default();
    of.iter().map(|(name, q)| (name.clone(), parsed(q))).collect()
}

/// Whether what is kept from Pods is there at all.
pub fn check(facts: &Facts) -> Result<(), TooMuch> {
    let capacity = capacity(facts);
    for (name, kept) in kept(&capacity, facts) {
        let Some(all) = capacity.get(&name).filter(|all| kept > **all) else {
            continue;
        };
        return Err(TooMuch {
            reserved: quantity::text(&name, kept).into(),
            capacity: quantity::text(&name, *all).into(),
            resource: name,
        });
    }
    Ok(())
}

/// As the Node's status has it.
pub fn json(list: &List) -> Value {
    let mut all = Map::new();
    for (name, amount) in list {
        all.insert(name.to_string(), quantity::text(name, *amount).into());
    }
    all.into()
}

fn reserved(config: &ResourceConfig) -> List {
    let mut all = amounts(&config.kube.amounts);
    for (name, amount) in amounts(&config.system.amounts) {
        let sum = all.entry(name).or_default();
        *sum = sum.plus(amount);
    }
    if !config.reserved_cpus.is_empty() {
        all.insert("cpu".into(), whole(config.reserved_cpus.len() as u64));
    }
    all
}

/// What is reserved, and what hard eviction keeps free.
fn kept(capacity: &List, facts: &Facts) -> List {
    let mut all = reserved(&facts.resources);
    for threshold in facts.eviction.thresholds.iter().filter(|t| t.is_hard()) {
        let name = match threshold.signal {
            Signal::MemoryAvailable => "memory",
            Signal::NodeFsAvailable => "ephemeral-storage",
            _ => continue,
        };
        let free = threshold.level.of(resources::of(capacity, name).value());
        let sum = all.entry(name.into()).or_default();
        *sum = sum.plus(Amount::whole(free));
    }
    all
}

fn whole(count: u64) -> Amount {
    Amount::whole(i64::try_from(count).unwrap_or(i64::MAX))
}

/// `hugepages-2Mi`, `hugepages-1Gi`, … from a page size in kiB.
fn hugepages_name(size_kib: u64) -> String {
    match size_kib {
        size if size.is_multiple_of(1 << 20) => format!("hugepages-{}Gi", size >> 20),
        size if size.is_multiple_of(1 << 10) => format!("hugepages-{}Mi", size >> 10),
        size => format!("hugepages-{size}Ki"),
    }
}
