//! PURE. Running a Pod: deadline, sandbox, init containers and sidecars in order, then the containers together.

use super::memory::{age_pull_error, alive, crash_wait, go_duration, grow, seconds};
use super::stop::{stop_containers, stop_sandboxes, stop_with};
use super::{Action, Input, Plan, PodFailure, Waiting, should_restart};
use crate::kubelet::hash;
use crate::kubelet::observed::{ContainerState, RunState, Sandbox};
use crate::model::SandboxId;
use crate::model::pod::{Container, ContainerStatus, RestartPolicy};
use jiff::Timestamp;
use std::cmp::Reverse;

/// Exit code that stands for "it was running and nobody saw how it ended".
pub(crate) const LOST_EXIT_CODE: i32 = 137;

/// How far one container is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
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
    pass.clean();
    pass.plan
}

struct Pass<'a> {
    input: &'a Input<'a>,
    plan: Plan,
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
            reason: "DeadlineExceeded".into(),
            message: "Pod was active on the node longer than the specified deadline".into(),
        });
    }

    /// Moves a live Pod one step forward.
    fn advance(&mut self) {
        let newest = self.input.observed.newest_sandbox();
        let Some(sandbox) = newest.filter(|s| s.ready) else {
            self.replace_sandbox(newest);
            return;
        };
        self.plan.memory.sandbox_retry = None;
        self.stop_strays(&sandbox.id);
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
        let attempt = newest.map_or(0, |s| s.attempt + 1) + retry.map_or(0, |w| w.failures);
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
    fn verdict(&self, spec: &Container) -> Progress {
        let exit_code = match self.input.observed.latest(&spec.name) {
            Some(c) if c.state == RunState::Exited => Some(c.exit_code),
            Some(_) => None,
            None => self.input.pod.history(&spec.name).and_then(reported_exit),
        };
        let ended = exit_code.is_some_and(|code| !should_restart(self.input.pod, spec, code));
        let replaced = self.plan.memory.replacing.contains(&spec.name);
        if ended && !replaced {
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
        let next = if pod.spec.containers.iter().any(|c| here(&c.name).is_some()) {
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

    fn instance_in(&self, name: &str, sandbox: &SandboxId) -> Option<&'a ContainerState> {
        let all = self.input.observed.containers.iter();
        all.filter(|c| &*c.name == name && c.sandbox == *sandbox)
            .max_by_key(|c| (c.created, c.attempt))
    }

    /// Whether the init container after this one may start.
    fn passed(&self, spec: &Container, instance: &ContainerState) -> bool {
        match instance.state {
            RunState::Running => spec.is_sidecar() && self.started(spec, instance),
            RunState::Exited => !spec.is_sidecar() && instance.exit_code == 0,
            RunState::Created | RunState::Unknown => false,
        }
    }

    fn started(&self, spec: &Container, instance: &ContainerState) -> bool {
        let reported = || {
            let history = self.input.pod.history(&spec.name);
            history.is_some_and(|h| h.started == Some(true) && h.container_id.ends_with(instance.id.as_str()))
        };
        let result = self.input.probes.get(&instance.id).and_then(|view| view.started);
        spec.startup_probe.is_none() || result.unwrap_or_else(reported)
    }

    /// Brings one container to where it should be: running in this sandbox, or ended for good.
    fn keep(&mut self, spec: &'a Container, init: bool, sandbox: &SandboxId) -> Progress {
        if self.blocked(spec, init, sandbox) {
            return Progress::Underway;
        }
        let latest = if init {
            self.instance_in(&spec.name, sandbox)
        } else {
            self.input.observed.latest(&spec.name)
        };
        match latest {
            Some(running) if running.state == RunState::Running => {
                self.check_running(spec, init, running);
                Progress::Underway
            }
            Some(dead) => self.check_dead(spec, init, dead, sandbox),
            None if !init && self.verdict(spec) == Progress::Done => self.settle(spec),
            None => self.start(spec, init, sandbox),
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
        let keep = instances
            .iter()
            .filter(|c| alive(c))
            .max_by_key(|c| (c.created, c.attempt));
        let kind = if init { "Init container" } else { "Container" };
        let mut blocked = false;
        for c in &instances {
            let message = match c.state {
                RunState::Created => {
                    self.plan
                        .actions
                        .push(Action::RemoveContainer { id: c.id.clone() });
                    blocked = true;
                    continue;
                }
                RunState::Exited => continue,
                _ if c.sandbox != *sandbox => {
                    blocked = true;
                    continue;
                }
                RunState::Unknown => format!("{kind} is in \"unknown\" state, try killing it before restart"),
                RunState::Running if keep.is_some_and(|k| k.id == c.id) => continue,
                RunState::Running => format!("Stopping container {}", c.name),
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

    /// An ended container starts again when its policy says so and its backoff is over.
    fn check_dead(
        &mut self,
        spec: &'a Container,
        init: bool,
        dead: &ContainerState,
        sandbox: &SandboxId,
    ) -> Progress {
        let now = self.input.now;
        if self.plan.memory.replacing.contains(&spec.name) {
            return self.start(spec, init, sandbox);
        }
        if !should_restart_as(self.input, spec, init, dead.exit_code) {
            return self.settle(spec);
        }
        if let Some((retry_at, delay)) = crash_wait(&self.plan.memory, dead, now) {
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
            grow(&mut self.plan.memory, dead, now);
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
            .get_mut(&spec.name)
            .filter(|w| now < w.retry_at);
        if let Some(waiting) = waiting {
            let turn = age_pull_error(waiting, &spec.image, now);
            let retry_at = waiting.retry_at;
            self.wake(turn.unwrap_or(retry_at));
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
        let reported = reported.map(|h| u32::try_from(h.restart_count).unwrap_or(0));
        let last = observed.map(|c| c.attempt).chain(reported).max();
        self.plan.actions.push(Action::StartContainer {
            name: spec.name.clone(),
            init,
            attempt: last.map_or(0, |n| n + 1),
            sandbox: sandbox.clone(),
        });
        Progress::Underway
    }

    /// The Pod has ended: stop what still runs, then the sandbox. Containers stay for their logs.
    fn wind_down(&mut self) {
        let grace = self.input.pod.spec.termination_grace_period_seconds;
        let memory = &mut self.plan.memory;
        memory.waiting.clear();
        memory.replacing.clear();
        memory.sandbox_retry = None;
        self.plan.wake_at = None;
        self.plan.actions = stop_containers(self.input, grace);
        if self.plan.actions.is_empty() {
            self.plan.actions = stop_sandboxes(self.input);
        }
    }

    /// Removes dead instances but the newest of each name, and old sandboxes once they are empty.
    fn clean(&mut self) {
        let mut dead: Vec<_> = self
            .input
            .observed
            .containers
            .iter()
            .filter(|c| c.state == RunState::Exited)
            .collect();
        dead.sort_by_key(|c| (&c.name, Reverse((c.created, c.attempt))));
        let old = dead.windows(2).filter(|pair| pair[0].name == pair[1].name);
        self.plan.actions.extend(old.map(|pair| Action::RemoveContainer {
            id: pair[1].id.clone(),
        }));
        let newest = self.input.observed.newest_sandbox().map(|s| &s.id);
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

    fn wake(&mut self, at: Timestamp) {
        self.plan.wake_at = Some(self.plan.wake_at.map_or(at, |already| already.min(at)));
    }
}

/// A regular init container is tried again unless the Pod never restarts; a success is final.
fn should_restart_as(input: &Input<'_>, spec: &Container, init: bool, exit_code: i32) -> bool {
    if !init || spec.restart_policy.is_some() {
        return should_restart(input.pod, spec, exit_code);
    }
    exit_code != 0 && input.pod.spec.restart_policy != RestartPolicy::Never
}

/// Exit code of a container the runtime no longer has, from what was last reported; `None` when it never ran.
fn reported_exit(history: &ContainerStatus) -> Option<i32> {
    let terminated = history
        .state
        .terminated
        .as_ref()
        .or(history.last_state.terminated.as_ref());
    match (terminated, history.container_id.is_empty()) {
        (Some(end), _) if history.state.running.is_none() => Some(end.exit_code),
        (_, false) => Some(LOST_EXIT_CODE),
        _ => None,
    }
}
