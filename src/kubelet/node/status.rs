//! PURE. `status` of our Node: capacity, allocatable, addresses, nodeInfo, conditions.

use super::allocatable;
use super::extras::{self, Extras};
use crate::config::{EvictionConfig, ResourceConfig};
use crate::kubelet::eviction::{Pressure, Pressures};
use crate::model::machine::{Disk, Machine};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::net::IpAddr;

/// What our Node reports as `kubeletVersion`: the Kubernetes release whose behaviour we follow, and who we are as
/// semver build metadata, so that version skew checks read it as that release.
pub const KUBELET_VERSION: &str = concat!("v1.36.3+rustlet.", env!("CARGO_PKG_VERSION"));

/// What does not change while the agent runs, or only slowly.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// The Node's name.
    pub name: Box<str>,
    /// The machine.
    pub machine: Machine,
    /// Disk that holds kubelet's root directory.
    pub disk: Disk,
    /// Addresses, primary first.
    pub ips: Vec<IpAddr>,
    /// A cloud's controller says what the addresses are; `ips` are those it was told by the operator.
    pub external_cloud: bool,
    /// Most pods.
    pub max_pods: u32,
    /// What is kept from Pods.
    pub resources: ResourceConfig,
    /// What eviction keeps free.
    pub eviction: EvictionConfig,
    /// Port of the kubelet's server.
    pub port: u16,
    /// `containerd://2.4.2`.
    pub runtime: Box<str>,
    /// What is told beside resources.
    pub extras: Extras,
}

/// One of our conditions.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// `Ready`, `MemoryPressure`, `DiskPressure`, `PIDPressure`.
    pub kind: &'static str,
    /// `True` or `False`.
    pub status: bool,
    /// kubelet's reason.
    pub reason: &'static str,
    /// Words for people.
    pub message: Box<str>,
    /// When `status` last changed.
    pub since: Timestamp,
}

/// The conditions now; times of change are taken over from `before`. `problems` are why the node is not ready.
pub fn conditions(
    before: &[Condition],
    problems: &[String],
    pressures: &Pressures,
    now: Timestamp,
) -> Vec<Condition> {
    // As Go writes several errors.
    let listed;
    let ready = match problems {
        [] => ("Ready", true, "KubeletReady", "kubelet is posting ready status"),
        [one] => ("Ready", false, "KubeletNotReady", &**one),
        several => {
            listed = format!("[{}]", several.join(", "));
            ("Ready", false, "KubeletNotReady", &*listed)
        }
    };
    let pressure = |pressure: Pressure| {
        let holds = pressures.contains(&pressure);
        let (reason, message) = pressure_words(pressure, holds);
        (pressure.as_str(), holds, reason, message)
    };
    // Ready is the last one, as kubelet puts it.
    let all = [
        pressure(Pressure::Memory),
        pressure(Pressure::Disk),
        pressure(Pressure::Pid),
        ready,
    ];
    let since = |kind: &str, status| {
        before
            .iter()
            .find(|c| c.kind == kind && c.status == status)
            .map_or(now, |c| c.since)
    };
    all.map(|(kind, status, reason, message)| Condition {
        kind,
        status,
        reason,
        message: message.into(),
        since: since(kind, status),
    })
    .to_vec()
}

/// Reason and message of a pressure condition.
fn pressure_words(pressure: Pressure, holds: bool) -> (&'static str, &'static str) {
    match (pressure, holds) {
        (Pressure::Memory, true) => (
            "KubeletHasInsufficientMemory",
            "kubelet has insufficient memory available",
        ),
        (Pressure::Memory, false) => (
            "KubeletHasSufficientMemory",
            "kubelet has sufficient memory available",
        ),
        (Pressure::Disk, true) => ("KubeletHasDiskPressure", "kubelet has disk pressure"),
        (Pressure::Disk, false) => ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        (Pressure::Pid, true) => (
            "KubeletHasInsufficientPID",
            "kubelet has insufficient PID available",
        ),
        (Pressure::Pid, false) => ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    }
}

/// Reason of the event about a pressure condition that has changed; that of the condition has another first word.
pub fn pressure_event(condition: &Condition) -> Option<&'static str> {
    Some(match condition.reason {
        "KubeletHasInsufficientMemory" => "NodeHasInsufficientMemory",
        "KubeletHasSufficientMemory" => "NodeHasSufficientMemory",
        "KubeletHasDiskPressure" => "NodeHasDiskPressure",
        "KubeletHasNoDiskPressure" => "NodeHasNoDiskPressure",
        "KubeletHasInsufficientPID" => "NodeHasInsufficientPID",
        "KubeletHasSufficientPID" => "NodeHasSufficientPID",
        _ => return None,
    })
}

/// Why the node is not ready, in kubelet's words, from the runtime's own conditions; nothing when it is.
pub fn problems(runtime: Result<&crate::cri::v1::RuntimeStatus, &str>) -> Vec<String> {
    let status = match runtime {
        Ok(status) => status,
        Err(error) => return vec![format!("container runtime is down: {error}")],
    };
    let failed = |kind: &str| match status.conditions.iter().find(|c| c.r#type == kind) {
        Some(condition) if condition.status => None,
        Some(condition) => Some((condition.reason.clone(), condition.message.clone())),
        None => Some((
            "Unknown".to_owned(),
            format!("the runtime says nothing about {kind}"),
        )),
    };
    let runtime = failed("RuntimeReady").map(|(reason, message)| {
        format!("container runtime not ready: RuntimeReady=false reason:{reason} message:{message}")
    });
    let network = failed("NetworkReady").map(|(reason, message)| {
        format!("container runtime network not ready: NetworkReady=false reason:{reason} message:{message}")
    });
    runtime.into_iter().chain(network).collect()
}

/// The whole status as JSON, for a create or, with `addresses` replaced, for a strategic merge patch.
pub fn status(facts: &Facts, conditions: &[Condition], now: Timestamp) -> Value {
    let mut status = json!({
        "capacity": allocatable::json(&allocatable::capacity(facts)),
        "allocatable": allocatable::json(&allocatable::allocatable(facts)),
        "addresses": addresses(facts),
        "conditions": conditions.iter().map(|c| condition(c, now)).collect::<Vec<_>>(),
        "daemonEndpoints": {"kubeletEndpoint": {"Port": facts.port}},
        "nodeInfo": node_info(facts),
    });
    extras::add(&mut status, &facts.extras);
    status
}

/// The same as a patch: merging addresses by their type would lose the second `InternalIP`, so the list is replaced.
pub fn patch(facts: &Facts, conditions: &[Condition], now: Timestamp) -> Value {
    let mut status = status(facts, conditions, now);
    if let Some(addresses) = status["addresses"].as_array_mut() {
        addresses.push(json!({"$patch": "replace"}));
    }
    json!({ "status": status })
}

/// What a cloud's controller has said of addresses stays: takes ours out of a patch of a Node that has some.
pub fn leave_addresses(patch: &mut Value, node: &Value) {
    let has = node["status"]["addresses"]
        .as_array()
        .is_some_and(|all| !all.is_empty());
    if let Some(status) = patch["status"].as_object_mut().filter(|_| has) {
        status.remove("addresses");
    }
}

fn condition(condition: &Condition, now: Timestamp) -> Value {
    json!({
        "type": condition.kind,
        "status": if condition.status { "True" } else { "False" },
        "reason": condition.reason,
        "message": condition.message,
        "lastHeartbeatTime": seconds(now),
        "lastTransitionTime": seconds(condition.since),
    })
}

/// `metav1.Time` has whole seconds.
fn seconds(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second())
        .unwrap_or(time)
        .to_string()
}

fn addresses(facts: &Facts) -> Vec<Value> {
    let mut all: Vec<Value> = facts
        .ips
        .iter()
        .map(|ip| json!({"type": "InternalIP", "address": ip.to_string()}))
        .collect();
    all.push(json!({"type": "Hostname", "address": facts.name}));
    all
}

fn node_info(facts: &Facts) -> Value {
    let machine = &facts.machine;
    let mut info = json!({
        "architecture": machine.arch,
        "bootID": machine.boot_id,
        "containerRuntimeVersion": facts.runtime,
        "kernelVersion": machine.kernel,
        "kubeProxyVersion": "",
        "kubeletVersion": KUBELET_VERSION,
        "machineID": machine.machine_id,
        "operatingSystem": "linux",
        "osImage": machine.os_image,
        "systemUUID": machine.system_uuid,
    });
    if machine.swap_bytes > 0 {
        info["swap"] = json!({"capacity": machine.swap_bytes});
    }
    info
}

#[cfg(test)]
pub(super) mod tests;
