//! PURE. Decides what to do next for one Pod: `(spec, observed, memory, now) -> Plan`.
//!
//! A plan holds only steps that can be done now; after executing them the worker observes and plans again. Waiting is
//! expressed as `wake_at`, never as a sleep.
//!
//! `run` decides for a Pod that should run, `stop` for one that should go, `memory` holds backoff and what executors
//! report. The rules are kubelet's (sandbox and init order, restart policy, crash backoff), with one difference: init
//! progress is read from the current sandbox only, so a re-created sandbox initializes again and nothing is guessed.

mod keep;
mod memory;
mod restart_all;
mod run;
mod stop;
#[cfg(test)]
mod tests;

pub(crate) use memory::{go_duration, seconds, should_restart};
pub use memory::{note_failure, note_sandbox_failure, recall};
pub(crate) use restart_all::REMOVED;
pub(crate) use run::{DEADLINE_EXCEEDED, LOST_EXIT_CODE};

use super::cgroup::plan::Cfs;
use super::observed::Observed;
use super::resize::Pending;
use crate::model::cgroup::CgroupSettings;
use crate::model::pod::{Pod, Resources};
use crate::model::{ContainerId, SandboxId};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// What the Pod should become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Run it as its spec says.
    Run,
    /// Stop everything, with this many seconds of grace per container (two at least, as kubelet), then remove it.
    Terminate {
        /// Seconds between SIGTERM and SIGKILL.
        grace_seconds: i64,
    },
}

/// What outlives one pass but is not in the runtime: kept by the worker, rebuilt from history at start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// Per container: why it does not run, and when to try again.
    pub waiting: BTreeMap<Box<str>, Waiting>,
    /// Why the sandbox does not exist, and when to try again.
    pub sandbox_retry: Option<Waiting>,
    /// Per container: current crash backoff.
    pub backoff: BTreeMap<Box<str>, Backoff>,
    /// Containers stopped because their definition changed: they start again whatever the restart policy says.
    pub replacing: BTreeSet<Box<str>>,
    /// The Pod has ended (phase Succeeded or Failed); nothing is started any more.
    pub ended: bool,
    /// Why the Pod does not have the resources it asks for.
    pub resize_pending: Option<Pending>,
    /// Why a container could not be given what was granted.
    pub resize_error: Option<Box<str>>,
    /// What was granted is being given to the Pod as a whole.
    pub resizing: bool,
    /// What the Pod's cgroup has been given.
    pub cgroup: CgroupSettings,
    /// How the node keeps CPU limits.
    pub cfs: Cfs,
    /// What containers that restart to be resized run with: no cgroup tells a request for memory.
    pub given: BTreeMap<ContainerId, Resources>,
    /// Why the Pod as a whole has failed, when it is not because of a container: deadline, admission, eviction.
    pub failed: Option<PodFailure>,
    /// Once it has ended, its containers go with their logs: it was evicted, or the node needs the space.
    pub forget: bool,
    /// It has failed because it was never let in: nothing is told of its containers.
    pub rejected: bool,
    /// A container has ended with an exit code that starts all of them over: they are being removed (KEP-5532).
    pub restarting_all: bool,
    /// Containers that were removed for that and have not been created again, each with the attempt number its next
    /// instance has at least.
    pub over_again: BTreeMap<Box<str>, u32>,
}

/// Why a Pod as a whole has failed; becomes `status.reason` and `status.message`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodFailure {
    /// kubelet's reason, as `DeadlineExceeded`.
    pub reason: Box<str>,
    /// Words for people.
    pub message: Box<str>,
    /// Seconds of grace its containers get instead of the Pod's own.
    pub grace_seconds: Option<i64>,
    /// Message of the `DisruptionTarget` condition, when it is the node that ends the Pod: eviction, preemption,
    /// shutdown.
    pub disruption: Option<Box<str>>,
}

/// Why something does not run yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Waiting {
    /// kubelet's reason: `ErrImagePull`, `ImagePullBackOff`, `CreateContainerError`, `RunContainerError`,
    /// `CreateContainerConfigError`, `InvalidImageName`, `CrashLoopBackOff`, …
    pub reason: Box<str>,
    /// Words for people, with the runtime's own.
    pub message: Box<str>,
    /// Earliest next try.
    pub retry_at: Timestamp,
    /// Failed sandboxes in a row.
    pub failures: u32,
}

/// Crash backoff of one container (10 s doubling to 300 s or less, reset after 10 minutes of running).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// Current delay in seconds.
    pub delay_seconds: i64,
    /// When it last grew.
    pub updated: Timestamp,
}

/// What probes say about one container instance. `None` means that this probe has given no result yet, or that there
/// is no such probe: a restarted agent keeps what was last reported until then (KEP-4781).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProbeView {
    /// Liveness or startup probe has failed (the threshold is reached): the container must be killed. The text says
    /// what the probe saw, for logs.
    pub unhealthy: Option<Box<str>>,
    /// Result of the readiness probe.
    pub ready: Option<bool>,
    /// Result of the startup probe.
    pub started: Option<bool>,
}

/// Everything a plan is computed from.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The Pod as the API server has it.
    pub pod: &'a Pod,
    /// What it should become.
    pub intent: &'a Intent,
    /// What the runtime says.
    pub observed: &'a Observed,
    /// Probe results by container id.
    pub probes: &'a BTreeMap<ContainerId, ProbeView>,
    /// What the worker remembers.
    pub memory: &'a Memory,
    /// Longest crash backoff, seconds.
    pub longest_pause: i64,
    /// Now.
    pub now: Timestamp,
}

/// One step. The executor does one at a time and reports what it saw.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Create the next sandbox.
    CreateSandbox {
        /// Attempt number for its metadata.
        attempt: u32,
    },
    /// Pull the image if the policy says so, then create and start a container.
    StartContainer {
        /// Name in the spec (containers or initContainers).
        name: Box<str>,
        /// True for an init container.
        init: bool,
        /// Attempt number for its metadata (= restart count).
        attempt: u32,
        /// Sandbox it goes into.
        sandbox: SandboxId,
    },
    /// Give a running container the requests and limits of its spec.
    ResizeContainer {
        /// Which one.
        id: ContainerId,
        /// Its name.
        name: Box<str>,
    },
    /// Stop a running container (preStop hook, SIGTERM, then SIGKILL after the grace period).
    StopContainer {
        /// Which one.
        id: ContainerId,
        /// Its name.
        name: Box<str>,
        /// Seconds of grace; without any the preStop hook is left out.
        grace_seconds: i64,
        /// Message of the `Killing` event.
        message: Box<str>,
        /// After its hook it waits until others have ended, as long as its grace lasts; a later plan lets it go.
        hold: bool,
    },
    /// Stop a sandbox: its network goes away.
    StopSandbox {
        /// Which one.
        id: SandboxId,
    },
    /// Remove a stopped container; the newest dead instance of each name is kept for its log and status.
    RemoveContainer {
        /// Which one.
        id: ContainerId,
        /// Its log stays until the Pod is gone.
        keep_log: bool,
    },
    /// Remove a stopped sandbox.
    RemoveSandbox {
        /// Which one.
        id: SandboxId,
    },
}

impl Action {
    /// In which of the three waves of a [`Plan`] it is executed.
    pub fn wave(&self) -> u8 {
        match self {
            Self::StopContainer { .. } | Self::ResizeContainer { .. } => 0,
            Self::StopSandbox { .. } | Self::RemoveContainer { .. } | Self::RemoveSandbox { .. } => 1,
            Self::CreateSandbox { .. } | Self::StartContainer { .. } => 2,
        }
    }
}

/// What to do now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Steps in the order of their waves ([`Action::wave`]): every `StopContainer` and `ResizeContainer` in parallel; then `StopSandbox`,
    /// `RemoveContainer` and `RemoveSandbox` in the order given; then `CreateSandbox` and the `StartContainer`s, in
    /// parallel.
    pub actions: Vec<Action>,
    /// Plan again at this time at the latest.
    pub wake_at: Option<Timestamp>,
    /// The worker's memory after this decision (backoff grown, waiting reasons set or cleared).
    pub memory: Memory,
    /// Everything of a terminating Pod is stopped and removed: volumes and the API object may go.
    pub finished: bool,
}

/// Decides the next steps of one Pod. Planning twice in the same world gives the same steps; a world that is as it
/// should be gives none.
pub fn plan(input: Input<'_>) -> Plan {
    match *input.intent {
        Intent::Terminate { grace_seconds } => stop::terminate(&input, grace_seconds),
        Intent::Run => run::run(&input),
    }
}
