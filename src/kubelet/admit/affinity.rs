//! PURE. Which nodes a Pod wants, and which taints it bears.

use crate::model::net::Node;
use crate::model::pod::{NodeRequirement, NodeSelectorTerm, Pod};

/// The Node is not one that the Pod wants.
pub(super) const MISMATCH: (&str, &str) = (
    "NodeAffinity",
    "node(s) didn't match Pod's node affinity/selector",
);
/// The Node does not want the Pod.
pub(super) const UNTOLERATED: (&str, &str) = (
    "TaintToleration",
    "node(s) had taints that the pod didn't tolerate",
);

/// The Node has the labels of the Pod's selector, and one of the terms of its affinity, if there are any, holds.
pub(super) fn matches(pod: &Pod, node: &Node) -> bool {
    let labels = &node.metadata.labels;
    let mut selector = pod.spec.node_selector.iter();
    let affinity = pod.spec.affinity.as_ref();
    let required = affinity.and_then(|a| a.node_affinity.required.as_ref());
    selector.all(|(key, value)| labels.get(key) == Some(value))
        && required.is_none_or(|r| r.node_selector_terms.iter().any(|term| holds(term, node)))
}

fn holds(term: &NodeSelectorTerm, node: &Node) -> bool {
    let label = |key: &str| node.metadata.labels.get(key).map(|value| &**value);
    let field = |key: &str| (key == "metadata.name").then_some(&*node.metadata.name);
    let (labels, fields) = (&term.match_expressions, &term.match_fields);
    !(labels.is_empty() && fields.is_empty())
        && labels.iter().all(|r| meets(r, label(&r.key)))
        && fields.iter().all(|r| meets(r, field(&r.key)))
}

/// Whether a label's value is what is required; an operator this build does not know is met by none.
fn meets(requirement: &NodeRequirement, value: Option<&str>) -> bool {
    let is_in = |value: &str| requirement.values.iter().any(|v| **v == *value);
    let number = |text: &str| text.parse::<i64>().ok();
    let bound = || requirement.values.first().and_then(|v| number(v));
    let compared = |than: fn(&i64, &i64) -> bool| match (value.and_then(number), bound()) {
        (Some(value), Some(bound)) => than(&value, &bound),
        _ => false,
    };
    match &*requirement.operator {
        "In" => value.is_some_and(is_in),
        "NotIn" => !value.is_some_and(is_in),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compared(i64::gt),
        "Lt" => compared(i64::lt),
        _ => false,
    }
}

/// The Pod bears every taint that ends Pods. A Pod of a file on the node bears them all.
pub(super) fn tolerates(pod: &Pod, node: &Node) -> bool {
    let bears = |key: &str, value: &str, effect: &str| {
        let mut tolerations = pod.spec.tolerations.iter();
        tolerations.any(|t| t.tolerates(key, value, effect))
    };
    let mut taints = node.spec.taints.iter().filter(|t| &*t.effect == "NoExecute");
    pod.is_static() || taints.all(|t| bears(&t.key, &t.value, &t.effect))
}

#[cfg(test)]
mod tests;
