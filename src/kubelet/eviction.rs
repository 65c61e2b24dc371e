//! Keeps the node alive when it runs out of something: pressure conditions, and Pods that have to go.
//!
//! `observe` makes numbers of what was measured, `state` judges thresholds over time, `rank` chooses a Pod, `local`
//! finds Pods that write too much, `message` says why: all pure. `manage` looks every 10 s and acts; at most one Pod
//! goes at a time for want of a resource.

pub mod local;
pub mod manage;
pub mod message;
pub mod observe;
pub mod rank;
pub mod signals;
pub mod state;

pub use signals::{Pressure, Pressures, Resource};

use crate::kubelet::stats::snapshot::VolumeUse;
use crate::model::usage::TreeUse;

/// `status.reason` of an evicted Pod, and the event's.
pub const REASON: &str = "Evicted";

/// What a running Pod uses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodUsage {
    /// Working set, bytes.
    pub memory: Option<u64>,
    /// Processes.
    pub processes: u64,
    /// Bytes of writable layers, logs and volumes on the node's disk.
    pub ephemeral: u64,
    /// Its running containers.
    pub containers: Vec<ContainerUsage>,
    /// Its volumes.
    pub volumes: Vec<VolumeUse>,
}

/// What a running container uses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerUsage {
    /// Name in the spec.
    pub name: Box<str>,
    /// Working set, bytes.
    pub memory: Option<u64>,
    /// Writable layer, when the runtime knows it.
    pub layer: Option<TreeUse>,
    /// Logs.
    pub logs: TreeUse,
}
