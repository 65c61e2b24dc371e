//! PURE. Resizing containers in place: what of a Pod's new requests and limits the node grants, and whether a running
//! container has what was granted.
//!
//! Three amounts of one container may differ: what the spec asks for, what the node has granted (`allocatedResources`
//! in the status, kept over a restart of the agent by way of it), and what the runtime has set. A Pod is run with what
//! was granted; the rest is [`Pending`] until there is room.

use super::cgroup::plan::{Cfs, shares};
use super::observed::Limits;
use super::quantity::{self, Amount};
use super::resources;
use crate::model::cgroup::CgroupSettings;
use crate::model::pod::{Container, Pod, Quantity, Resources};
use serde_json::json;
use std::collections::BTreeMap;

pub mod books;

#[cfg(test)]
mod tests;

/// Resources that can be resized.
const RESIZABLE: [&str; 2] = ["cpu", "memory"];
/// The CFS period quotas are compared in, microseconds.
pub const PERIOD: i64 = 100_000;

/// Requests and limits by container name; those of the Pod as a whole under [`WHOLE`].
pub type Grants = BTreeMap<Box<str>, Resources>;

/// A name no container has.
pub const WHOLE: &str = "";

/// Reason of a resize that waits for room.
pub const DEFERRED: &str = "Deferred";
/// What is said of a resize that swap forbids.
pub const SWAP: &str = "In-place resize of containers with swap is not supported.";

/// A change of one amount in a container's spec, in upstream's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// `cpu` or `memory`.
    pub resource: &'static str,
    /// `requests` or `limits`.
    pub requirement: &'static str,
    /// `add`, `remove`, `increase` or `decrease`.
    pub operation: &'static str,
}

/// Why a Pod runs with less, or more, than it asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// `Deferred` or `Infeasible`.
    pub reason: &'static str,
    /// Words for people.
    pub message: String,
}

/// What a node has to give, by resource as in `RESIZABLE`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// What pods may use of the node.
    pub allocatable: [Amount; 2],
    /// What its other pods ask for.
    pub others: [Amount; 2],
}

/// Containers that may be resized: all but ephemeral ones.
fn resizable(pod: &Pod) -> impl Iterator<Item = &Container> {
    pod.spec.init_containers.iter().chain(&pod.spec.containers)
}

/// What a new version of a Pod asks for that the one before did not.
pub fn requested(old: &Pod, new: &Pod) -> Vec<Request> {
    let mut found = Vec::new();
    for before in resizable(old) {
        let Some(now) = resizable(new).find(|c| c.name == before.name) else {
            continue;
        };
        let (before, now) = (&before.resources, &now.resources);
        let lists = [
            ("requests", &before.requests, &now.requests),
            ("limits", &before.limits, &now.limits),
        ];
        for (resource, (requirement, before, now)) in RESIZABLE
            .into_iter()
            .flat_map(|resource| lists.map(|list| (resource, list)))
        {
            let (before, now) = (quantity::of(before, resource), quantity::of(now, resource));
            let operation = match (before.is_positive(), now.is_positive()) {
                _ if before == now => continue,
                (true, false) => "remove",
                (false, true) => "add",
                _ if now < before => "decrease",
                _ => "increase",
            };
            found.push(Request {
                resource,
                requirement,
                operation,
            });
        }
    }
    found
}

/// What the spec asks for.
pub fn asked(pod: &Pod) -> Grants {
    let whole = pod.spec.resources.iter().map(|r| (WHOLE.into(), r.clone()));
    let containers = resizable(pod).map(|c| (c.name.clone(), c.resources.clone()));
    containers.chain(whole).collect()
}

/// What was granted as far as the API server was told; what the spec asks for where nothing was.
pub fn told(pod: &Pod) -> Grants {
    let of = |c: &Container| {
        let status = pod.history(&c.name)?;
        let limits = status.resources.as_ref()?.limits.clone();
        let requests = status.allocated_resources.clone();
        (!status.container_id.is_empty()).then_some(Resources { limits, requests })
    };
    let grant = |c: &Container| (c.name.clone(), of(c).unwrap_or_else(|| c.resources.clone()));
    let whole = pod.spec.resources.as_ref();
    let whole = whole.map(|asked| (WHOLE.into(), told_of_pod(pod, asked)));
    resizable(pod).map(grant).chain(whole).collect()
}

/// The same for the Pod as a whole. What the API server is told there is the sum with the Pod's overhead, so of a Pod
/// that has some nothing can be told.
fn told_of_pod(pod: &Pod, asked: &Resources) -> Resources {
    let status = &pod.status;
    let (Some(given), true) = (&status.resources, pod.spec.overhead.is_empty()) else {
        return asked.clone();
    };
    let take = |asked: &BTreeMap<Box<str>, Quantity>, told: &BTreeMap<Box<str>, Quantity>| {
        let each = asked.iter();
        each.map(|(name, own)| (name.clone(), told.get(name).unwrap_or(own).clone()))
            .collect()
    };
    Resources {
        requests: take(&asked.requests, &status.allocated_resources),
        limits: take(&asked.limits, &given.limits),
    }
}

/// The same amounts, however they are written.
fn same(a: &Resources, b: &Resources) -> bool {
    unlike(a, b).next().is_none()
}

/// Whether the spec asks for nothing else than what was granted.
pub fn settled(pod: &Pod, granted: &Grants) -> bool {
    let is = |name: &str, asked: &Resources| granted.get(name).is_some_and(|g| same(g, asked));
    let whole = pod.spec.resources.as_ref();
    resizable(pod).all(|c| is(&c.name, &c.resources)) && whole.is_none_or(|asked| is(WHOLE, asked))
}

/// The Pod with what was granted in place of what it asks for.
pub fn with(pod: &Pod, granted: &Grants) -> Pod {
    let mut pod = pod.clone();
    let spec = &mut pod.spec;
    spec.resources = granted.get(WHOLE).cloned();
    for c in spec.init_containers.iter_mut().chain(&mut spec.containers) {
        if let Some(granted) = granted.get(&c.name) {
            c.resources = granted.clone();
        }
    }
    pod
}

/// What the scheduler reserves for a Pod.
pub fn requests(pod: &Pod) -> [Amount; 2] {
    let all = resources::requests(pod);
    RESIZABLE.map(|name| resources::of(&all, name))
}

/// Whether a container would have another part of the swap, which cannot be changed while it runs; `may_swap` tells who
/// has one.
fn swaps(asked: &Pod, granted: &Pod, may_swap: impl Fn(&Pod, &Container) -> bool) -> bool {
    let memory = |c: &Container| quantity::of(&c.resources.requests, "memory");
    let mut pairs = resizable(asked).zip(resizable(granted));
    pairs.any(|(new, old)| {
        memory(new) != memory(old)
            && !needs_restart(new, &["memory"])
            && (may_swap(asked, new) || may_swap(granted, old))
    })
}

/// Why a Pod cannot have what it asks for beyond what it was granted; `None`: it can.
pub fn refusal(
    pod: &Pod,
    granted: &Grants,
    room: &Room,
    may_swap: impl Fn(&Pod, &Container) -> bool,
) -> Option<Pending> {
    let before = with(pod, granted);
    if swaps(pod, &before, may_swap) {
        return Some(Pending {
            reason: "Infeasible",
            message: SWAP.to_owned(),
        });
    }
    let (new, old) = (requests(pod), requests(&before));
    let number = |at: usize, amount: Amount| if at == 0 { amount.milli() } else { amount.value() };
    for (at, name) in RESIZABLE.iter().enumerate().filter(|(at, _)| new[*at] > old[*at]) {
        let (asked, all, used) = (new[at], room.allocatable[at], room.others[at]);
        let text = |what: &str| {
            format!(
                "Node didn't have enough {what}: {name}, requested: {}",
                number(at, asked)
            )
        };
        if asked > all {
            let message = format!("{}, capacity: {}", text("capacity"), number(at, all));
            return Some(Pending {
                reason: "Infeasible",
                message,
            });
        }
        if used.plus(asked) > all {
            let (used, all) = (number(at, used), number(at, all));
            let message = format!("{}, used: {used}, capacity: {all}", text("resource"));
            return Some(Pending {
                reason: DEFERRED,
                message,
            });
        }
    }
    None
}

/// What cgroups are told of a container's requests and limits; where it has no limit, the Pod's holds.
pub fn limits(pod: &Pod, container: &Container, cfs: Cfs) -> Limits {
    let resources = resources::effective(pod, container);
    let limit = quantity::of(&resources.limits, "cpu").milli();
    let request = match resources.requests.get("cpu") {
        Some(_) => quantity::of(&resources.requests, "cpu").milli(),
        None => limit,
    };
    Limits {
        shares: i64::try_from(shares(request)).unwrap_or(i64::MAX),
        quota: quota(cfs.quota(limit).unwrap_or(0), cfs.period),
        memory: quantity::of(&resources.limits, "memory").value(),
    }
}

/// Microseconds of CPU time in every [`PERIOD`], from those in another period.
pub fn quota(quota: u64, period: u64) -> i64 {
    let all = u128::from(quota) * u128::from(PERIOD.unsigned_abs()) / u128::from(period.max(1));
    i64::try_from(all).unwrap_or(i64::MAX)
}

/// Which resources of a running container are not what its (granted) spec says. A runtime that does not tell has
/// what it was given.
pub fn differing(pod: &Pod, spec: &Container, actual: Option<Limits>, cfs: Cfs) -> Vec<&'static str> {
    let Some(actual) = actual else { return Vec::new() };
    let wanted = limits(pod, spec, cfs);
    let shares = actual.shares == 0 || actual.shares == wanted.shares;
    [
        ("cpu", shares && actual.quota == wanted.quota),
        ("memory", actual.memory == wanted.memory),
    ]
    .into_iter()
    .filter_map(|(name, same)| (!same).then_some(name))
    .collect()
}

/// Which resources are not the same amounts.
pub fn unlike<'a>(a: &'a Resources, b: &'a Resources) -> impl Iterator<Item = &'static str> + 'a {
    let half =
        |one: &BTreeMap<_, _>, other: &BTreeMap<_, _>, r| quantity::of(one, r) == quantity::of(other, r);
    let same = move |r| half(&a.requests, &b.requests, r) && half(&a.limits, &b.limits, r);
    RESIZABLE.into_iter().filter(move |r| !same(r))
}

/// Whether some resource of a container cannot change while it runs.
pub fn may_restart(spec: &Container) -> bool {
    needs_restart(spec, &RESIZABLE)
}

/// Whether one of these resources cannot change while the container runs.
pub fn needs_restart(spec: &Container, changed: &[&str]) -> bool {
    let restarts = |name: &str| {
        let policy = spec.resize_policy.iter().find(|p| &*p.resource_name == name);
        policy.is_some_and(|p| &*p.restart_policy == "RestartContainer")
    };
    changed.iter().any(|name| restarts(name))
}

/// What a Pod's cgroup is given next, on its way from what it has to what it should have; `None` when it has that.
/// While containers are being resized it is as large as either: they must fit before and after.
pub fn next(given: &CgroupSettings, wanted: &CgroupSettings, resizing: bool) -> Option<CgroupSettings> {
    let cpu_max = match (given.cpu_max, wanted.cpu_max) {
        (Some(has), Some(gets)) if resizing => {
            let more = gets.quota.is_none() || has.quota.is_some_and(|has| gets.quota > Some(has));
            Some(if more { gets } else { has })
        }
        // It has no limit yet, which is the most there is.
        (None, Some(_)) if resizing => None,
        (_, wanted) => wanted,
    };
    let memory = match (given.memory, wanted.memory) {
        (Some(has), Some(gets)) if resizing => Some(has.max(gets)),
        (None, Some(_)) if resizing => None,
        (_, wanted) => wanted,
    };
    let cpu_shares = if resizing {
        given.cpu_shares.max(wanted.cpu_shares)
    } else {
        wanted.cpu_shares
    };
    let next = CgroupSettings {
        cpu_shares: cpu_shares.filter(|_| cpu_shares != given.cpu_shares),
        cpu_max: cpu_max.filter(|_| cpu_max != given.cpu_max),
        memory: memory.filter(|_| memory != given.memory),
        ..CgroupSettings::default()
    };
    (next != CgroupSettings::default()).then_some(next)
}

/// Why a memory limit cannot be lowered to this; `None`: it can, or nobody knows.
pub fn too_low(what: &str, limit: u64, used: Option<u64>) -> Option<String> {
    let used = used.filter(|used| *used >= limit)?;
    Some(format!(
        "cannot decrease memory limits: attempting to set {what} memory limit ({limit}) below current usage ({used})"
    ))
}

/// Message of an Event about a resize: what happened, and the Pod's resources as JSON.
pub fn words(what: &str, pod: &Pod, error: &str) -> String {
    let list = |containers: &[Container]| -> Vec<_> {
        containers
            .iter()
            .map(|c| json!({"name": c.name, "resources": c.resources}))
            .collect()
    };
    let mut summary = serde_json::Map::new();
    if !pod.spec.init_containers.is_empty() {
        summary.insert("initContainers".into(), list(&pod.spec.init_containers).into());
    }
    summary.insert("containers".into(), list(&pod.spec.containers).into());
    summary.insert("generation".into(), pod.metadata.generation.into());
    if !error.is_empty() {
        summary.insert("error".into(), error.into());
    }
    format!("Pod resize {what}: {}", serde_json::Value::Object(summary))
}
