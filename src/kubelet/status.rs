//! PURE. What the API server is told about one Pod: `(spec, observed, probes, memory, history) -> PodStatus`, and the
//! smallest patch from what it was told before.

use super::observed::Observed;
use super::plan::{Intent, Memory, ProbeView};
use crate::model::ContainerId;
use crate::model::pod::Pod;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodStatus;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Everything a status is computed from.
#[derive(Clone, Copy, Debug)]
pub struct StatusInput<'a> {
    /// The Pod as the API server has it; its `status` is the history when `previous` is not known.
    pub pod: &'a Pod,
    /// What the Pod should become.
    pub intent: &'a Intent,
    /// What the runtime says.
    pub observed: &'a Observed,
    /// Probe results by container id.
    pub probes: &'a BTreeMap<ContainerId, ProbeView>,
    /// What the worker remembers (`Plan::memory`).
    pub memory: &'a Memory,
    /// The status this worker computed last; `None` on its first pass.
    pub previous: Option<&'a PodStatus>,
    /// The node's addresses, the primary one first.
    pub host_ips: &'a [IpAddr],
    /// Runtime name for container ids, as `containerd`.
    pub runtime: &'a str,
    /// Now.
    pub now: Timestamp,
}

/// The status of a Pod. Call it after every pass, also between stopping and removing containers: exit codes come from
/// the runtime and are kept by way of `previous` once the containers are gone.
pub fn status(_input: StatusInput<'_>) -> PodStatus {
    todo!()
}

/// The strategic merge patch of `status` from `previous` (what the API server was told last; `None` when that is not
/// known) to `new`; `None` when nothing changed. Conditions of other writers are never touched.
pub fn patch(_previous: Option<&PodStatus>, _new: &PodStatus) -> Option<Value> {
    todo!()
}
