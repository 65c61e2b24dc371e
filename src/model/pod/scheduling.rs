//! Where a Pod may run: node selector and affinity.

use serde::{Deserialize, Serialize};

/// `spec.os`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct PodOs {
    /// `linux` or `windows`.
    pub name: Box<str>,
}

/// The part of `spec.affinity` that a node looks at.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Affinity {
    /// To nodes.
    pub node_affinity: NodeAffinity,
}

/// `spec.affinity.nodeAffinity`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct NodeAffinity {
    /// What a node must be.
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    pub required: Option<NodeSelector>,
}

/// A choice of nodes: those that match one of the terms.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSelector {
    /// One of them must match.
    pub node_selector_terms: Vec<NodeSelectorTerm>,
}

/// What must hold of a node, all of it; an empty term matches no node.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSelectorTerm {
    /// Of its labels.
    pub match_expressions: Vec<NodeRequirement>,
    /// Of its fields; there is only `metadata.name`.
    pub match_fields: Vec<NodeRequirement>,
}

/// What must hold of one label or field.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct NodeRequirement {
    /// The label or field.
    pub key: Box<str>,
    /// `In`, `NotIn`, `Exists`, `DoesNotExist`, `Gt` or `Lt`.
    pub operator: Box<str>,
    /// What it is compared with.
    pub values: Vec<Box<str>>,
}
