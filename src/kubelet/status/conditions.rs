//! PURE. The conditions this node owns: five that are always there, one about starting all containers over, two about
//! resizing, and the one that says that the node has ended the Pod; those of other writers are carried along.

use super::containers::exit_code;
use super::{History, StatusInput, time};
use crate::kubelet::observed::{ContainerState as Instance, RunState};
use crate::model::pod::{self, Container, PodSpec, RESTART_ALL};
use k8s_openapi::api::core::v1::{ContainerStatus, PodCondition};
use serde_json::Value;

/// Condition types this node writes.
pub(super) const OURS: [&str; 8] = [
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
    "PodResizePending",
    "PodResizeInProgress",
    RESTARTING,
];
/// All containers start over.
pub(super) const RESTARTING: &str = "AllContainersRestarting";
/// Somebody has ended the Pod; other writers set it too.
const DISRUPTION: &str = "DisruptionTarget";
/// Reason of that condition when it is this node.
const BY_NODE: &str = "TerminationByKubelet";
/// Those of them that are there only while they hold.
pub(super) const PASSING: [&str; 2] = [OURS[5], OURS[6]];

/// A condition's status with its reason and message.
struct Verdict {
    holds: bool,
    reason: Option<&'static str>,
    message: Option<String>,
}

impl Verdict {
    fn yes() -> Self {
        Self {
            holds: true,
            reason: None,
            message: None,
        }
    }
    fn no(reason: &'static str, message: String) -> Self {
        Self {
            holds: false,
            reason: Some(reason),
            message: (!message.is_empty()).then_some(message),
        }
    }
}

/// What conditions are made from.
pub(super) struct Conditions<'a> {
    pub(super) input: &'a StatusInput<'a>,
    pub(super) history: &'a History,
    pub(super) phase: &'a str,
}

impl Conditions<'_> {
    /// Other writers' conditions, then ours.
    pub(super) fn all(&self, init: &[ContainerStatus], main: &[ContainerStatus]) -> Vec<PodCondition> {
        let ended_by = self.disruption();
        let others = self
            .input
            .pod
            .status
            .conditions
            .iter()
            .filter(|c| !OURS.contains(&&*c.kind) && (ended_by.is_none() || &*c.kind != DISRUPTION));
        let mut all: Vec<_> = others.map(carry).collect();
        let sandbox = Verdict {
            holds: self.input.observed.newest_sandbox().is_some_and(|s| s.ready),
            reason: None,
            message: None,
        };
        all.push(self.condition(OURS[0], sandbox));
        all.push(self.condition(OURS[1], self.initialized(init, main)));
        all.push(self.condition(OURS[2], self.ready(init, main)));
        all.push(self.condition(OURS[3], self.containers_ready(init, main)));
        all.push(self.condition(OURS[4], Verdict::yes()));
        if could_restart(&self.input.pod.spec) {
            let mut restarting = self.condition(RESTARTING, self.restarting());
            restarting.observed_generation = None;
            all.push(restarting);
        }
        all.extend(ended_by);
        if !matches!(self.phase, "Succeeded" | "Failed") {
            let resizing = [
                (OURS[5], self.resize_pending()),
                (OURS[6], self.resize_in_progress()),
            ];
            let held = resizing.into_iter().filter_map(|(kind, v)| Some((kind, v?)));
            all.extend(held.map(|(kind, verdict)| self.condition(kind, verdict)));
        }
        all
    }

    /// All containers are being removed to start over.
    fn restarting(&self) -> Verdict {
        match self.phase {
            "Succeeded" => Verdict::no("PodCompleted", String::new()),
            "Failed" => Verdict::no("PodFailed", String::new()),
            _ if self.input.memory.restarting_all => Verdict {
                holds: true,
                reason: Some("RestartAllContainersStarted"),
                message: Some("container exited with restart policy rule".into()),
            },
            _ => Verdict {
                holds: false,
                ..Verdict::yes()
            },
        }
    }

    /// The node has ended the Pod; told together with its end.
    fn disruption(&self) -> Option<PodCondition> {
        let message = self.input.memory.failed.as_ref()?.disruption.as_ref()?;
        let verdict = Verdict {
            holds: true,
            reason: Some(BY_NODE),
            message: Some(message.to_string()),
        };
        (self.phase == "Failed").then(|| self.condition(DISRUPTION, verdict))
    }

    /// The Pod asks for resources the node does not grant.
    fn resize_pending(&self) -> Option<Verdict> {
        let pending = self.input.memory.resize_pending.as_ref()?;
        Some(Verdict {
            holds: true,
            reason: Some(pending.reason),
            message: Some(pending.message.clone()),
        })
    }

    /// What was granted has not been given yet.
    fn resize_in_progress(&self) -> Option<Verdict> {
        let (pod, memory) = (self.input.pod, self.input.memory);
        let underway = |c: &Instance| {
            let differs = |spec| !memory.unlike(pod, spec, c).is_empty();
            c.state == RunState::Running && pod.container(&c.name).is_some_and(|(spec, _)| differs(spec))
        };
        if !memory.resizing && !self.input.observed.containers.iter().any(underway) {
            return None;
        }
        let error = memory.resize_error.as_deref();
        Some(Verdict {
            holds: true,
            reason: error.map(|_| "Error"),
            message: error.map(Into::into),
        })
    }

    fn condition(&self, kind: &str, verdict: Verdict) -> PodCondition {
        let status = if verdict.holds { "True" } else { "False" };
        let old = self
            .history
            .conditions
            .iter()
            .find(|c| &*c.kind == kind && &*c.status == status);
        let since = old.and_then(|c| c.last_transition_time).unwrap_or(self.input.now);
        PodCondition {
            type_: kind.into(),
            status: status.into(),
            reason: verdict.reason.map(Into::into),
            message: verdict.message,
            last_transition_time: Some(time(since)),
            observed_generation: self.input.pod.metadata.generation,
            last_probe_time: None,
        }
    }

    fn initialized(&self, init: &[ContainerStatus], main: &[ContainerStatus]) -> Verdict {
        let specs = &self.input.pod.spec.init_containers;
        let has_started = |s: &ContainerStatus| {
            exit_code(s).is_some() || s.state.as_ref().is_some_and(|state| state.running.is_some())
        };
        if self.phase == "Succeeded" {
            return Verdict {
                holds: true,
                reason: Some("PodCompleted"),
                message: None,
            };
        }
        if main.iter().any(has_started) {
            return Verdict::yes();
        }
        let complete = |c: &Container, s: &ContainerStatus| {
            if c.is_sidecar() {
                s.started == Some(true)
            } else {
                s.ready
            }
        };
        let missing = specs
            .iter()
            .zip(init)
            .filter(|(c, s)| !complete(c, s))
            .map(|(c, _)| &*c.name);
        let was = |c: &pod::Condition| &*c.kind == OURS[1] && &*c.status == "True";
        match names(missing) {
            None => Verdict::yes(),
            // Init containers may run again; a Pod that was initialized stays so.
            Some(_) if self.history.conditions.iter().any(was) => Verdict::yes(),
            Some(list) => Verdict::no(
                "ContainersNotInitialized",
                format!("containers with incomplete status: {list}"),
            ),
        }
    }

    fn containers_ready(&self, init: &[ContainerStatus], main: &[ContainerStatus]) -> Verdict {
        match self.phase {
            "Succeeded" => return Verdict::no("PodCompleted", String::new()),
            "Failed" => return Verdict::no("PodFailed", String::new()),
            _ => {}
        }
        let spec = &self.input.pod.spec;
        let sidecars = spec
            .init_containers
            .iter()
            .zip(init)
            .filter(|(c, _)| c.is_sidecar());
        let others = spec
            .containers
            .iter()
            .filter_map(|c| Some((c, main.iter().find(|s| *s.name == *c.name)?)));
        let unready = sidecars
            .chain(others)
            .filter(|(_, s)| !s.ready)
            .map(|(c, _)| &*c.name);
        match names(unready) {
            None => Verdict::yes(),
            Some(list) => Verdict::no(
                "ContainersNotReady",
                format!("containers with unready status: {list}"),
            ),
        }
    }

    fn ready(&self, init: &[ContainerStatus], main: &[ContainerStatus]) -> Verdict {
        let containers = self.containers_ready(init, main);
        if !containers.holds {
            return containers;
        }
        let gates = self.input.pod.spec.readiness_gates.iter().filter_map(|gate| {
            let kind = &gate.condition_type;
            match self.input.pod.status.conditions.iter().find(|c| c.kind == *kind) {
                None => Some(format!(
                    "corresponding condition of pod readiness gate {kind:?} does not exist."
                )),
                Some(c) if &*c.status != "True" => Some(format!(
                    "the status of pod readiness gate {kind:?} is not \"True\", but {}",
                    c.status
                )),
                Some(_) => None,
            }
        });
        let unmet = gates.collect::<Vec<_>>().join(", ");
        if unmet.is_empty() {
            Verdict::yes()
        } else {
            Verdict::no("ReadinessGatesNotReady", unmet)
        }
    }
}

/// This condition is told of by this node.
pub(super) fn is_ours(condition: &Value) -> bool {
    let of = |key: &str| condition[key].as_str().unwrap_or_default();
    OURS.contains(&of("type")) || of("type") == DISRUPTION && of("reason") == BY_NODE
}

/// Some exit code starts all containers over.
fn could_restart(spec: &PodSpec) -> bool {
    let mut all = spec.init_containers.iter().chain(&spec.containers);
    all.any(|c| c.restart_policy_rules.iter().any(|r| &*r.action == RESTART_ALL))
}

/// `[a b]`, or nothing when there are none.
fn names<'a>(list: impl Iterator<Item = &'a str>) -> Option<String> {
    let list: Vec<_> = list.collect();
    (!list.is_empty()).then(|| format!("[{}]", list.join(" ")))
}

fn carry(other: &pod::Condition) -> PodCondition {
    PodCondition {
        type_: other.kind.to_string(),
        status: other.status.to_string(),
        reason: other.reason.as_deref().map(Into::into),
        message: other.message.as_deref().map(Into::into),
        last_transition_time: other.last_transition_time.map(time),
        observed_generation: None,
        last_probe_time: None,
    }
}
