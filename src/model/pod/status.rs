//! The part of a Pod's stored status that carries history.

use super::container::{Quantity, Resources};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The part of a Pod's stored status that carries history.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// `Pending`, `Running`, `Succeeded`, `Failed`.
    pub phase: Box<str>,
    /// Why the Pod as a whole is in this phase, as `DeadlineExceeded`.
    pub reason: Option<Box<str>>,
    /// Words for people.
    pub message: Option<Box<str>>,
    /// When this node first acknowledged the Pod.
    pub start_time: Option<Timestamp>,
    /// Addresses last reported.
    #[serde(rename = "podIPs")]
    pub pod_ips: Vec<PodIp>,
    /// Conditions last reported, ours and other writers'.
    pub conditions: Vec<Condition>,
    /// Container statuses last reported.
    pub container_statuses: Vec<ContainerStatus>,
    /// Init container statuses last reported.
    pub init_container_statuses: Vec<ContainerStatus>,
    /// Ephemeral container statuses last reported.
    pub ephemeral_container_statuses: Vec<ContainerStatus>,
    /// Requests the node has granted to the Pod as a whole.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub allocated_resources: BTreeMap<Box<str>, Quantity>,
    /// Requests and limits the Pod as a whole runs with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
}

/// One entry of `status.podIPs`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct PodIp {
    /// Address; unset while unknown.
    pub ip: Option<IpAddr>,
}

/// A condition.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    /// Condition type.
    #[serde(rename = "type")]
    pub kind: Box<str>,
    /// `True`, `False` or `Unknown`.
    pub status: Box<str>,
    /// CamelCase reason.
    pub reason: Option<Box<str>>,
    /// Words for people.
    pub message: Option<Box<str>>,
    /// When `status` last changed.
    pub last_transition_time: Option<Timestamp>,
}

/// History of one container.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStatus {
    /// Container name.
    pub name: Box<str>,
    /// Restarts so far.
    pub restart_count: i32,
    /// Last reported readiness.
    pub ready: bool,
    /// Last reported startup-probe result.
    pub started: Option<bool>,
    /// `containerd://…` id last reported; empty until an instance was created.
    #[serde(rename = "containerID")]
    pub container_id: Box<str>,
    /// Image as last reported.
    pub image: Box<str>,
    /// Image digest reference as last reported.
    #[serde(rename = "imageID")]
    pub image_id: Box<str>,
    /// Requests the node has granted.
    pub allocated_resources: BTreeMap<Box<str>, Quantity>,
    /// Requests and limits the instance runs with.
    pub resources: Option<Resources>,
    /// State last reported.
    pub state: ContainerState,
    /// How the instance before ended.
    pub last_state: ContainerState,
}

/// `v1.ContainerState`: at most one of these is set.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct ContainerState {
    /// Not running yet.
    pub waiting: Option<StateWaiting>,
    /// Running.
    pub running: Option<StateRunning>,
    /// Ended.
    pub terminated: Option<StateTerminated>,
}

/// Why a container does not run yet.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct StateWaiting {
    /// CamelCase reason.
    pub reason: Option<Box<str>>,
    /// Words for people.
    pub message: Option<Box<str>>,
}

/// Since when a container runs.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StateRunning {
    /// When it was started.
    pub started_at: Option<Timestamp>,
}

/// How a container ended.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StateTerminated {
    /// Exit code.
    pub exit_code: i32,
    /// CamelCase reason.
    pub reason: Option<Box<str>>,
    /// Last words.
    pub message: Option<Box<str>>,
    /// When it was started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// `containerd://…` id of the instance.
    #[serde(rename = "containerID")]
    pub container_id: Option<Box<str>>,
}
