//! PURE. One container of a Pod that should run: clear the way, check what runs, start what does not.

use super::memory::{crash_wait, go_duration, grow};
use super::restart_all::REMOVED;
use super::run::{Pass, Progress};
use super::stop::stop_with;
use super::{Action, Input, Waiting, should_restart};
use crate::kubelet::observed::{ContainerState, RunState};
use crate::kubelet::{hash, resize, resources};
use crate::model::SandboxId;
use crate::model::pod::{Container, ContainerStatus, RestartPolicy};

impl<'a> Pass<'a> {
    /// Brings one container to where it should be: running in this sandbox, or ended for good.
    pub(super) fn keep(&mut self, spec: &'a Container, init: bool, sandbox: &SandboxId) -> Progress {
        if self.blocked(spec, init, sandbox) {
            return Progress::Underway;
        }
        let latest = if init {
            self.instance_in(&spec.name, sandbox)
        } else {
            self.input.observed.latest(&spec.name)
        };
        if latest.is_some() {
            self.plan.memory.over_again.remove(&spec.name);
        }
        match latest {
            Some(running) if running.state == RunState::Running => {
                self.check_running(spec, init, running);
                Progress::Underway
            }
            Some(starting) if starting.state == RunState::Starting => Progress::Underway,
            Some(dead) => self.check_dead(spec, init, dead, sandbox),
            None if !init && self.verdict(spec) == Progress::Done => self.settle(spec),
            None => self.start(spec, init, sandbox),
        }
    }

    /// Starts an ephemeral container once, whatever the others do: it is there to see why they do it.
    pub(super) fn keep_ephemeral(&mut self, spec: &'a Container, sandbox: &SandboxId) {
        if self.blocked(spec, false, sandbox) {
            return;
        }
        let reported = self.input.pod.history(&spec.name);
        let ran = self.input.observed.latest(&spec.name).is_some()
            || reported.is_some_and(|h| !h.container_id.is_empty());
        if ran {
            self.settle(spec);
        } else {
            self.start(spec, false, sandbox);
        }
    }

    /// Clears the way: instances that may run but should not, and ones that were created and never started.
    fn blocked(&mut self, spec: &Container, init: bool, sandbox: &SandboxId) -> bool {
        let instances: Vec<_> = self
            .input
            .observed
            .containers
            .iter()
            .filter(|c| c.name == spec.name)
            .collect();
        let keep = self.input.observed.latest(&spec.name);
        let kind = if init { "Init container" } else { "Container" };
        let mut blocked = false;
        for c in &instances {
            let message = match c.state {
                RunState::Created => {
                    self.plan.actions.push(Action::RemoveContainer {
                        id: c.id.clone(),
                        keep_log: false,
                    });
                    blocked = true;
                    continue;
                }
                RunState::Exited => continue,
                _ if c.sandbox != *sandbox => {
                    blocked = true;
                    continue;
                }
                RunState::Unknown => format!("{kind} is in \"unknown\" state, try killing it before restart"),
                RunState::Starting | RunState::Running if keep.is_some_and(|k| k.id == c.id) => continue,
                RunState::Starting | RunState::Running => format!("Stopping container {}", c.name),
            };
            blocked = true;
            let grace = self.input.pod.spec.termination_grace_period_seconds;
            self.plan.actions.push(stop_with(c, grace, message));
        }
        blocked
    }

    /// A running container stays, unless its definition changed or a probe condemns it.
    fn check_running(&mut self, spec: &Container, init: bool, running: &ContainerState) {
        self.plan.memory.waiting.remove(&spec.name);
        let pod = self.input.pod;
        let kind = if init { "Init container" } else { "Container" };
        let policy = spec.restart_policy.unwrap_or(pod.spec.restart_policy);
        let again = if init || policy == RestartPolicy::Never {
            ""
        } else {
            ", will be restarted"
        };
        let grace = pod.spec.termination_grace_period_seconds;
        let counts = !init || spec.is_sidecar();
        if counts && !running.hash.is_empty() && *running.hash != *hash::container(spec) {
            self.plan.memory.replacing.insert(spec.name.clone());
            let again = if init { "" } else { ", will be restarted" };
            let message = format!("{kind} {} definition changed{again}", spec.name);
            self.plan.actions.push(stop_with(running, grace, message));
            return;
        }
        if self.resize(spec, running) {
            return;
        }
        self.plan.memory.replacing.remove(&spec.name);
        if self
            .input
            .probes
            .get(&running.id)
            .is_none_or(|view| view.unhealthy.is_none())
        {
            return;
        }
        let starting = spec.startup_probe.is_some() && !self.started(spec, running);
        let (what, probe) = if starting {
            ("startup", &spec.startup_probe)
        } else {
            ("liveness", &spec.liveness_probe)
        };
        let grace = probe
            .as_ref()
            .and_then(|p| p.termination_grace_period_seconds)
            .unwrap_or(grace);
        let message = format!("{kind} {} failed {what} probe{again}", spec.name);
        self.plan.actions.push(stop_with(running, grace, message));
    }

    /// Gives a running container what its spec has been granted; true when it has to be restarted for that.
    fn resize(&mut self, spec: &Container, running: &ContainerState) -> bool {
        let changed = self.plan.memory.unlike(self.input.pod, spec, running);
        if resize::needs_restart(spec, &changed) {
            self.plan.memory.replacing.insert(spec.name.clone());
            let message = format!("Container {} resize requires restart", spec.name);
            let grace = self.input.pod.spec.termination_grace_period_seconds;
            self.plan.actions.push(stop_with(running, grace, message));
            return true;
        }
        if resize::may_restart(spec) {
            let given = resources::effective(self.input.pod, spec);
            self.plan.memory.given.insert(running.id.clone(), given);
        }
        if !changed.is_empty() {
            self.plan.actions.push(Action::ResizeContainer {
                id: running.id.clone(),
                name: spec.name.clone(),
            });
        }
        false
    }

    /// An ended container starts again when its policy says so and its backoff is over.
    fn check_dead(
        &mut self,
        spec: &'a Container,
        init: bool,
        dead: &ContainerState,
        sandbox: &SandboxId,
    ) -> Progress {
        self.plan.memory.given.remove(&dead.id);
        if self.plan.memory.replacing.contains(&spec.name) {
            return self.start(spec, init, sandbox);
        }
        if !should_restart_as(self.input, spec, init, dead.exit_code) {
            return self.settle(spec);
        }
        if let Some((retry_at, delay)) = crash_wait(&self.plan.memory, dead, self.input) {
            let meta = &self.input.pod.metadata;
            let message = format!(
                "back-off {} restarting failed container={} pod={}_{}({})",
                go_duration(delay),
                spec.name,
                meta.name,
                meta.namespace,
                meta.uid
            );
            let waiting = Waiting {
                reason: "CrashLoopBackOff".into(),
                message: message.into(),
                retry_at,
                failures: 0,
            };
            self.plan.memory.waiting.insert(spec.name.clone(), waiting);
            self.wake(retry_at);
            return Progress::Underway;
        }
        if self.start(spec, init, sandbox) == Progress::Underway && self.starts(&spec.name) {
            grow(&mut self.plan.memory, dead, self.input);
        }
        Progress::Underway
    }

    fn settle(&mut self, spec: &Container) -> Progress {
        self.plan.memory.waiting.remove(&spec.name);
        Progress::Done
    }

    fn starts(&self, container: &str) -> bool {
        let starts = |a: &Action| matches!(a, Action::StartContainer { name, .. } if &**name == container);
        self.plan.actions.iter().any(starts)
    }

    /// Starts the next instance, unless an earlier failure says to wait.
    fn start(&mut self, spec: &Container, init: bool, sandbox: &SandboxId) -> Progress {
        let now = self.input.now;
        let waiting = self
            .plan
            .memory
            .waiting
            .get(&spec.name)
            .filter(|w| now < w.retry_at);
        if let Some(retry_at) = waiting.map(|w| w.retry_at) {
            self.wake(retry_at);
            return Progress::Underway;
        }
        let observed = self
            .input
            .observed
            .containers
            .iter()
            .filter(|c| c.name == spec.name);
        let reported = self
            .input
            .pod
            .history(&spec.name)
            .filter(|h| !h.container_id.is_empty());
        let reported = reported.map(|h| {
            let count = u32::try_from(h.restart_count).unwrap_or(0);
            count + u32::from(!counted(h))
        });
        let removed = self.plan.memory.over_again.get(&spec.name).copied();
        let next = observed
            .map(|c| c.attempt + 1)
            .chain(reported)
            .chain(removed)
            .max();
        self.plan.actions.push(Action::StartContainer {
            name: spec.name.clone(),
            init,
            attempt: next.unwrap_or(0),
            sandbox: sandbox.clone(),
        });
        Progress::Underway
    }
}

/// The restart count has the next instance in it already: the one before was removed, or was lost.
fn counted(history: &ContainerStatus) -> bool {
    let end = history
        .last_state
        .terminated
        .as_ref()
        .and_then(|end| end.reason.as_deref());
    history.state.waiting.is_some() && matches!(end, Some(REMOVED | "ContainerStatusUnknown"))
}

/// A regular init container is tried again unless the Pod never restarts; a success is final.
fn should_restart_as(input: &Input<'_>, spec: &Container, init: bool, exit_code: i32) -> bool {
    if !init || spec.restart_policy.is_some() {
        return should_restart(input.pod, spec, exit_code);
    }
    exit_code != 0 && input.pod.spec.restart_policy != RestartPolicy::Never
}
