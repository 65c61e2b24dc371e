//! PURE. What the runtime says about one Pod, in our own types.

use crate::model::{ContainerId, SandboxId};
use jiff::Timestamp;
use std::net::IpAddr;

/// All sandboxes and containers that carry one pod UID, newest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Sandboxes, newest (highest attempt, then creation time) first.
    pub sandboxes: Vec<Sandbox>,
    /// Containers, newest (highest attempt) first within a name.
    pub containers: Vec<ContainerState>,
}

/// A pod sandbox.
#[derive(Clone, Debug, PartialEq)]
pub struct Sandbox {
    /// Runtime id.
    pub id: SandboxId,
    /// Attempt number of the sandbox metadata.
    pub attempt: u32,
    /// `SANDBOX_READY`.
    pub ready: bool,
    /// When it was created.
    pub created: Timestamp,
    /// Pod addresses; empty for host-network Pods.
    pub ips: Vec<IpAddr>,
}

/// What a container is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// Created, never started.
    Created,
    /// Running, while its postStart hook is not done: to everybody else it does not run yet.
    Starting,
    /// Running.
    Running,
    /// Exited.
    Exited,
    /// The runtime does not know.
    Unknown,
}

/// One container attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerState {
    /// Runtime id.
    pub id: ContainerId,
    /// Name in the pod spec.
    pub name: Box<str>,
    /// Sandbox it belongs to.
    pub sandbox: SandboxId,
    /// Attempt number; equals the restart count of this instance.
    pub attempt: u32,
    /// State.
    pub state: RunState,
    /// Creation time.
    pub created: Timestamp,
    /// Start time, if it was started.
    pub started: Option<Timestamp>,
    /// Exit time, if it has exited.
    pub finished: Option<Timestamp>,
    /// Exit code, meaningful when exited.
    pub exit_code: i32,
    /// The runtime's reason, as `Completed`, `Error`, `OOMKilled`, `StartError`.
    pub reason: Box<str>,
    /// The runtime's message, or the termination message when exited.
    pub message: Box<str>,
    /// Image as the runtime names it (`status.image`).
    pub image: Box<str>,
    /// Image digest reference (`status.imageID`).
    pub image_ref: Box<str>,
    /// CPU and memory it may use, where the runtime says.
    pub limits: Option<Limits>,
    /// User it was started as, where the runtime says.
    pub user: Option<User>,
    /// Hash of the container spec it was created from (annotation `io.kubernetes.container.hash`).
    pub hash: Box<str>,
    /// Seconds its successor waits for should it crash soon, as it was created with; `None` where another agent created
    /// it.
    pub crash_backoff: Option<i64>,
}

/// Ids the first process of a container was started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// User.
    pub uid: i64,
    /// Primary group.
    pub gid: i64,
    /// Supplemental groups, with the primary one.
    pub groups: Box<[i64]>,
}

/// CPU and memory of a container as cgroups are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `cpu.shares`; 0 when the runtime does not say.
    pub shares: i64,
    /// CFS quota, microseconds in each 100 ms; 0 for no limit.
    pub quota: i64,
    /// Memory, bytes; 0 for no limit.
    pub memory: i64,
}

impl Observed {
    /// The newest instance of a container: that of the highest attempt, since somebody may set the clock back.
    pub fn latest(&self, name: &str) -> Option<&ContainerState> {
        self.containers
            .iter()
            .filter(|c| &*c.name == name)
            .max_by_key(|c| (c.attempt, c.created))
    }
    /// The newest sandbox, likewise.
    pub fn newest_sandbox(&self) -> Option<&Sandbox> {
        self.sandboxes.iter().max_by_key(|s| (s.attempt, s.created))
    }
    /// Containers that still run.
    pub fn running(&self) -> impl Iterator<Item = &ContainerState> {
        self.containers.iter().filter(|c| c.state == RunState::Running)
    }
}
