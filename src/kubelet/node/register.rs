//! PURE. Our Node object when it is created, and what to do with one that is there already.

use super::status::{Condition, Facts, status};
use crate::config::Taint;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Labels by key.
pub type Labels = BTreeMap<Box<str>, Box<str>>;

/// What to do with a Node of our name that exists.
#[derive(Clone, Debug, PartialEq)]
pub enum Existing {
    /// It is ours; `patch` brings its labels up to date, if that is needed.
    Adopt {
        /// Merge patch.
        patch: Option<Value>,
        /// It was another machine's, which is not alive any more.
        taken_over: bool,
        /// The machine has been rebooted since the Node was last written.
        rebooted: bool,
    },
    /// Another machine of this name is alive; the text says what to do.
    Clash(String),
}

/// Whether NodeRestriction lets a node set this label on itself; a create with any other is refused as a whole.
pub fn allowed_label(key: &str) -> bool {
    let Some((domain, _)) = key.split_once('/') else {
        return true;
    };
    let is_or_below = |root: &str| domain == root || domain.ends_with(&format!(".{root}"));
    if is_or_below("kubelet.kubernetes.io") || is_or_below("node.kubernetes.io") {
        return true;
    }
    if !is_or_below("kubernetes.io") && !is_or_below("k8s.io") {
        return true;
    }
    matches!(
        key,
        "kubernetes.io/hostname"
            | "kubernetes.io/os"
            | "kubernetes.io/arch"
            | "beta.kubernetes.io/os"
            | "beta.kubernetes.io/arch"
            | "beta.kubernetes.io/instance-type"
            | "topology.kubernetes.io/zone"
            | "topology.kubernetes.io/region"
            | "failure-domain.beta.kubernetes.io/zone"
            | "failure-domain.beta.kubernetes.io/region"
    )
}

/// Says that the cluster's controller attaches volumes to the node, as every kubelet's Node does.
pub const ATTACH_DETACH: &str = "volumes.kubernetes.io/controller-managed-attach-detach";

/// Tells a cloud's controller which of the machine's addresses the operator has chosen.
const PROVIDED_IP: &str = "alpha.kubernetes.io/provided-node-ip";

/// Annotations our Node has, and those it must not have.
fn annotations(facts: &Facts) -> [(&'static str, Option<String>); 2] {
    let ips: Vec<String> = facts.ips.iter().map(ToString::to_string).collect();
    let told = (facts.external_cloud && !ips.is_empty()).then(|| ips.join(","));
    [(ATTACH_DETACH, Some("true".to_owned())), (PROVIDED_IP, told)]
}

/// Labels that are put right on a Node that is there already; all others are its owner's after the first day.
const KEPT: [&str; 11] = [
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
    "node.kubernetes.io/instance-type",
    "beta.kubernetes.io/instance-type",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
];

/// The labels of a new Node: the well-known ones, and over them those of `wanted` that NodeRestriction allows.
pub fn labels(facts: &Facts, wanted: &Labels) -> Labels {
    let arch = &facts.machine.arch;
    let own = [
        ("kubernetes.io/hostname", &*facts.name),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", arch),
        ("beta.kubernetes.io/os", "linux"),
        ("beta.kubernetes.io/arch", arch),
    ]
    .map(|(key, value)| (key.into(), value.into()));
    let allowed = wanted.iter().filter(|(key, _)| allowed_label(key));
    let allowed = allowed.map(|(k, v)| (k.clone(), v.clone()));
    own.into_iter().chain(allowed).collect()
}

/// The Node object for a create.
pub fn node(
    facts: &Facts,
    labels: &Labels,
    taints: &[Taint],
    conditions: &[Condition],
    now: Timestamp,
) -> Value {
    let mut spec = Map::new();
    if !taints.is_empty() {
        spec.insert("taints".into(), json!(taints));
    }
    let annotations = annotations(facts)
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)));
    let annotations: BTreeMap<_, _> = annotations.collect();
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": facts.name, "labels": labels, "annotations": annotations},
        "spec": spec,
        "status": status(facts, conditions, now),
    })
}

/// Says in a Node for a create what the machine is called at the cloud provider, if it is known.
pub fn set_provider_id(node: &mut Value, id: &str) {
    if !id.is_empty() {
        node["spec"]["providerID"] = id.into();
    }
}

/// Decides about a Node that has our name.
pub fn existing(node: &Value, facts: &Facts, labels: &Labels) -> Existing {
    let info = &node["status"]["nodeInfo"];
    let text = |field: &str| info[field].as_str().unwrap_or_default();
    let differs = |theirs: &str, ours: &str| !theirs.is_empty() && !ours.is_empty() && theirs != ours;
    let (machine_id, uuid) = (text("machineID"), text("systemUUID"));
    let foreign = differs(machine_id, &facts.machine.machine_id) && differs(uuid, &facts.machine.system_uuid);
    if foreign && ready(node) == Some("True") {
        return Existing::Clash(format!(
            "node {name} is registered by another machine that is alive (machine id {machine_id}, ours is {ours}): give \
             this one another name with --node, or stop the other and `kubectl delete node {name}`",
            name = facts.name,
            ours = facts.machine.machine_id,
        ));
    }
    let rebooted = !foreign && differs(text("bootID"), &facts.machine.boot_id);
    Existing::Adopt {
        patch: corrections(&node["metadata"], facts, labels),
        taken_over: foreign,
        rebooted,
    }
}

/// What is not as it should be in a Node's metadata, as a merge patch.
fn corrections(metadata: &Value, facts: &Facts, labels: &Labels) -> Option<Value> {
    let current = &metadata["labels"];
    let wrong: Map<String, Value> = labels
        .iter()
        .filter(|(key, value)| KEPT.contains(&&***key) && current[&***key] != ***value)
        .map(|(key, value)| (key.to_string(), value.to_string().into()))
        .collect();
    let mut patch = Map::new();
    if !wrong.is_empty() {
        patch.insert("labels".into(), wrong.into());
    }
    let annotations = annotations(facts).into_iter();
    let wrong: Map<String, Value> = annotations
        .map(|(key, value)| (key.to_owned(), Value::from(value)))
        .filter(|(key, value)| metadata["annotations"][key] != *value)
        .collect();
    if !wrong.is_empty() {
        patch.insert("annotations".into(), wrong.into());
    }
    (!patch.is_empty()).then(|| json!({"metadata": patch}))
}

/// Status of the Node's `Ready` condition, if it has one.
pub fn ready(node: &Value) -> Option<&str> {
    let conditions = node["status"]["conditions"].as_array()?;
    conditions.iter().find(|c| c["type"] == "Ready")?["status"].as_str()
}

/// When one of the Node's conditions took the status it has, if that is `status`: a restarted agent keeps the time.
pub fn since(node: &Value, kind: &str, status: bool) -> Option<Timestamp> {
    let conditions = node["status"]["conditions"].as_array()?;
    let condition = conditions.iter().find(|c| c["type"] == kind)?;
    if condition["status"] != if status { "True" } else { "False" } {
        return None;
    }
    condition["lastTransitionTime"].as_str()?.parse().ok()
}

#[cfg(test)]
mod tests;
