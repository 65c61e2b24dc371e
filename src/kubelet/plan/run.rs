//! PURE. Running a Pod: deadline, sandbox, ephemeral containers, init containers and sidecars in order, then the
//! containers together.

use super::memory::{alive, seconds};
use super::restart_all::REMOVED;
use super::stop::{stop_containers, stop_sandboxes, stop_with};
use super::{Action, Input, Plan, PodFailure, should_restart};
use crate::kubelet::observed::{ContainerState, RunState, Sandbox};
use crate::model::SandboxId;
use crate::model::pod::{Container, ContainerStatus, RestartPolicy};
use jiff::Timestamp;
use std::cmp::Reverse;

/// Exit code that stands for "it was running and nobody saw how it ended".
pub(crate) const LOST_EXIT_CODE: i32 = 137;

/// Reason of a Pod whose `activeDeadlineSeconds` are over.
pub(crate) const DEADLINE_EXCEEDED: &str = "DeadlineExceeded";

/// How far one container is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// Ended, and not to be started again.
    Done,
    /// A regular init container ended badly and may not be tried again.
    Failed,
    /// Anything else: running, about to start, waiting, being stopped.
    Underway,
}

/// Next steps of a Pod that should run.
pub(super) fn run(input: &Input<'_>) -> Plan {
    let mut pass = Pass {
        input,
        plan: Plan {
            memory: input.memory.clone(),
            ..Plan::default()
        },
    };
    pass.check_end();
    if !pass.plan.memory.ended {
        pass.advance();
    }
    if pass.plan.memory.ended {
        pass.wind_down();
    }
    // Then everything goes, not just what is old.
    let all_goes = pass.plan.memory.restarting_all || pass.plan.memory.ended && pass.plan.memory.forget;
    if !all_goes {
        pass.clean();
    }
    pass.plan.actions.sort_by_key(Action::wave);
    pass.plan
}

/// One planning pass: what is known, and the plan so far.
pub(super) struct Pass<'a> {
    pub(super) input: &'a Input<'a>,
    pub(super) plan: Plan,
}

impl<'a> Pass<'a> {
    /// Sets `ended` when the API server, a failure of the whole Pod or the deadline says so.
    fn check_end(&mut self) {
        let pod = self.input.pod;
        let memory = &mut self.plan.memory;
        if matches!(&*pod.status.phase, "Succeeded" | "Failed") || memory.failed.is_some() {
            memory.ended = true;
        }
        let first_sandbox = self.input.observed.sandboxes.iter().map(|s| s.created).min();
        let (Some(limit), Some(start)) = (
            pod.spec.active_deadline_seconds,
            pod.status.start_time.or(first_sandbox),
        ) else {
            return;
        };
        if memory.ended {
            return;
        }
        let deadline = start + seconds(limit);
        if self.input.now < deadline {
            self.wake(deadline);
            return;
        }
        memory.ended = true;
        memory.failed = Some(PodFailure {
            reason: DEADLINE_EXCEEDED.into(),
            message: "Pod was active on the node longer than the specified deadline".into(),
            ..PodFailure::default()
        });
    }

    /// Moves a live Pod one step forward.
    fn advance(&mut self) {
        if self.restart_all() {
            return;
        }
        let newest = self.input.observed.newest_sandbox();
        let Some(sandbox) = newest.filter(|s| s.ready) else {
            self.replace_sandbox(newest);
            return;
        };
        self.plan.memory.sandbox_retry = None;
        self.stop_strays(&sandbox.id);
        for spec in &self.input.pod.spec.ephemeral_containers {
            self.keep_ephemeral(spec, &sandbox.id);
        }
        match self.initialize(&sandbox.id) {
            Progress::Underway => {}
            Progress::Failed => self.plan.memory.ended = true,
            Progress::Done => {
                let specs = &self.input.pod.spec.containers;
                let done = specs
                    .iter()
                    .filter(|c| self.keep(c, false, &sandbox.id) == Progress::Done)
                    .count();
                self.plan.memory.ended = done == specs.len();
            }
        }
    }

    /// No sandbox is usable: end what runs in the old one, then make the next one if anything is left to run.
    fn replace_sandbox(&mut self, newest: Option<&Sandbox>) {
        let grace = self.input.pod.spec.termination_grace_period_seconds;
        self.plan.actions = stop_containers(self.input, grace);
        if !self.plan.actions.is_empty() {
            return;
        }
        if !self.worth_a_sandbox() {
            self.plan.memory.ended = true;
            return;
        }
        let retry = self.input.memory.sandbox_retry.as_ref();
        if let Some(wait) = retry.filter(|w| self.input.now < w.retry_at) {
            self.wake(wait.retry_at);
            return;
        }
        if let Some(old) = newest {
            self.plan.actions.push(Action::StopSandbox { id: old.id.clone() });
        }
        // Every failure takes a new number, so that a creation that timed out and still runs in the runtime does not
        // hold the name we want (containerd#4604).
        let attempt = self
            .input
            .observed
            .sandboxes
            .iter()
            .map(|s| s.attempt + 1)
            .max()
            .unwrap_or(0)
            + retry.map_or(0, |w| w.failures);
        self.plan.actions.push(Action::CreateSandbox { attempt });
    }

    /// Whether a new sandbox would have something to run. A Pod that must not restart gets one sandbox in its life.
    fn worth_a_sandbox(&self) -> bool {
        let pod = self.input.pod;
        let specs = || pod.spec.init_containers.iter().chain(&pod.spec.containers);
        let ran = !self.input.observed.containers.is_empty()
            || specs().any(|c| pod.history(&c.name).is_some_and(|h| !h.container_id.is_empty()));
        if pod.spec.restart_policy == RestartPolicy::Never && ran {
            return false;
        }
        pod.spec
            .containers
            .iter()
            .any(|c| self.verdict(c) != Progress::Done)
    }

    /// What is known of a container's end: observed, else as last reported.
    pub(super) fn verdict(&self, spec: &Container) -> Progress {
        let exit_code = match self.input.observed.latest(&spec.name) {
            Some(c) if c.state == RunState::Exited => Some(c.exit_code),
            Some(_) => None,
            None => self.input.pod.history(&spec.name).and_then(reported_exit),
        };
        let ended = exit_code.is_some_and(|code| !should_restart(self.input.pod, spec, code));
        let memory = &self.plan.memory;
        let again = memory.replacing.contains(&spec.name) || memory.over_again.contains_key(&spec.name);
        if ended && !again {
            Progress::Done
        } else {
            Progress::Underway
        }
    }

    /// Containers that run in another sandbox than the current one go.
    fn stop_strays(&mut self, current: &SandboxId) {
        let strays = self
            .input
            .observed
            .containers
            .iter()
            .filter(|c| alive(c) && c.sandbox != *current);
        let grace = self.input.pod.spec.termination_grace_period_seconds;
        let stop = |c: &ContainerState| stop_with(c, grace, format!("Stopping container {}", c.name));
        self.plan.actions.extend(strays.map(stop));
    }

    /// Init containers in order; sidecars that were passed are kept alive. `Done` when the containers may start.
    fn initialize(&mut self, sandbox: &SandboxId) -> Progress {
        let pod = self.input.pod;
        let specs = &pod.spec.init_containers;
        let here = |name: &str| self.instance_in(name, sandbox);
        // A container that was started proves that init was done, even when the runtime has forgotten how.
        // Any instance will do: the newest may have failed to start.
        let began = |c: &ContainerState| c.sandbox == *sandbox && c.state != RunState::Created;
        let main = |c: &ContainerState| pod.spec.containers.iter().any(|spec| spec.name == c.name);
        let next = if self.input.observed.containers.iter().any(|c| main(c) && began(c)) {
            specs.len()
        } else {
            match specs.iter().rposition(|c| here(&c.name).is_some()) {
                None => 0,
                Some(at) if here(&specs[at].name).is_some_and(|c| self.passed(&specs[at], c)) => at + 1,
                Some(at) => at,
            }
        };
        for spec in specs[..next].iter().filter(|c| c.is_sidecar()) {
            self.keep(spec, true, sandbox);
        }
        let Some(spec) = specs.get(next) else {
            return Progress::Done;
        };
        match self.keep(spec, true, sandbox) {
            Progress::Done => Progress::Failed,
            other => other,
        }
    }

    pub(super) fn instance_in(&self, name: &str, sandbox: &SandboxId) -> Option<&'a ContainerState> {
        let all = self.input.observed.containers.iter();
        all.filter(|c| &*c.name == name && c.sandbox == *sandbox)
            .max_by_key(|c| (c.attempt, c.created))
    }

    /// Whether the init container after this one may start.
    fn passed(&self, spec: &Container, instance: &ContainerState) -> bool {
        match instance.state {
            RunState::Running => spec.is_sidecar() && self.started(spec, instance),
            RunState::Exited => !spec.is_sidecar() && instance.exit_code == 0,
            RunState::Created | RunState::Starting | RunState::Unknown => false,
        }
    }

    pub(super) fn started(&self, spec: &Container, instance: &ContainerState) -> bool {
        let reported = || {
            let history = self.input.pod.history(&spec.name);
            history.is_some_and(|h| h.started == Some(true) && h.container_id.ends_with(instance.id.as_str()))
        };
        let result = self.input.probes.get(&instance.id).and_then(|view| view.started);
        spec.startup_probe.is_none() || result.unwrap_or_else(reported)
    }

    /// The Pod has ended: stop what still runs, then the sandbox. Containers stay for their logs.
    fn wind_down(&mut self) {
        let memory = &mut self.plan.memory;
        let own = self.input.pod.spec.termination_grace_period_seconds;
        let grace = memory
            .failed
            .as_ref()
            .and_then(|failed| failed.grace_seconds)
            .unwrap_or(own);
        memory.waiting.clear();
        memory.replacing.clear();
        memory.sandbox_retry = None;
        memory.restarting_all = false;
        self.plan.wake_at = None;
        self.plan.actions = stop_containers(self.input, grace);
        if self.plan.actions.is_empty() {
            self.plan.actions = stop_sandboxes(self.input);
        }
        if self.plan.actions.is_empty() && self.plan.memory.forget {
            let containers = self.input.observed.containers.iter();
            self.plan.actions = containers
                .map(|c| Action::RemoveContainer {
                    id: c.id.clone(),
                    keep_log: false,
                })
                .collect();
        }
    }

    /// Removes dead instances but the newest of each name, and old sandboxes once they are empty.
    fn clean(&mut self) {
        let newest = self.input.observed.newest_sandbox().map(|s| &s.id);
        let mut dead: Vec<_> = self
            .input
            .observed
            .containers
            .iter()
            .filter(|c| c.state == RunState::Exited)
            .collect();
        // One of the current sandbox is worth more: it tells how far initialization is.
        dead.sort_by_key(|c| {
            (
                &c.name,
                Reverse((Some(&c.sandbox) == newest, c.attempt, c.created)),
            )
        });
        let old = dead.windows(2).filter(|pair| pair[0].name == pair[1].name);
        self.plan.actions.extend(old.map(|pair| Action::RemoveContainer {
            id: pair[1].id.clone(),
            keep_log: false,
        }));
        for sandbox in self
            .input
            .observed
            .sandboxes
            .iter()
            .filter(|s| Some(&s.id) != newest)
        {
            let mut inside = self
                .input
                .observed
                .containers
                .iter()
                .filter(|c| c.sandbox == sandbox.id);
            let id = sandbox.id.clone();
            if sandbox.ready && !inside.clone().any(alive) {
                self.push_once(Action::StopSandbox { id });
            } else if !sandbox.ready && inside.next().is_none() {
                self.plan.actions.push(Action::RemoveSandbox { id });
            }
        }
    }

    fn push_once(&mut self, action: Action) {
        if !self.plan.actions.contains(&action) {
            self.plan.actions.push(action);
        }
    }

    pub(super) fn wake(&mut self, at: Timestamp) {
        self.plan.wake_at = Some(self.plan.wake_at.map_or(at, |already| already.min(at)));
    }
}

/// Exit code of a container the runtime no longer has, from what was last reported; `None` when it never ran.
fn reported_exit(history: &ContainerStatus) -> Option<i32> {
    let terminated = history
        .state
        .terminated
        .as_ref()
        .or(history.last_state.terminated.as_ref());
    let reason = terminated.and_then(|end| end.reason.as_deref());
    if history.state.waiting.is_some() && reason == Some(REMOVED) {
        return None;
    }
    match (terminated, history.container_id.is_empty()) {
        (Some(end), _) if history.state.running.is_none() => Some(end.exit_code),
        (_, false) => Some(LOST_EXIT_CODE),
        _ => None,
    }
}
