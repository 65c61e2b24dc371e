//! PURE. The conditions this node owns: five that are always there, two about resizing; those of other writers are carried along.

use super::containers::exit_code;
use super::{History, StatusInput, time};
use crate::kubelet::observed::{ContainerState as Instance, RunState};
use crate::kubelet::resize::differing;
use crate::model::pod::{self, Container};
use k8s_openapi::api::core::v1::{ContainerStatus, PodCondition};

/// Condition types this node writes.
pub(super) const OURS: [&str; 7] = [
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
    "PodResizePending",
    "PodResizeInProgress",
];
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
        let others = self
            .input
            .pod
            .status
            .conditions
            .iter()
            .filter(|c| !OURS.contains(&&*c.kind));
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
        let underway = |c: &Instance| {
            let spec = self.input.pod.container(&c.name);
            let kept = spec.filter(|(spec, init)| !init || spec.is_sidecar());
            c.state == RunState::Running
                && kept.is_some_and(|(spec, _)| !differing(spec, c.limits).is_empty())
        };
        if !self.input.observed.containers.iter().any(underway) {
            return None;
        }
        let error = self.input.memory.resize_error.as_deref();
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
        match names(missing) {
            None => Verdict::yes(),
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
