//! PURE. Waiting and backoff: what a worker remembers between two plans, and how it is rebuilt after a restart.

use super::{Backoff, Input, Memory, PodFailure, Waiting};
use crate::kubelet::hash;
use crate::kubelet::observed::{ContainerState, Observed, RunState};
use crate::kubelet::{resize, resources};
use crate::model::pod::{Container, ExitCodes, Pod, RESTART_ALL, RestartPolicy, RestartRule};
use jiff::{SignedDuration, Timestamp};

/// First crash backoff, seconds.
const BACKOFF_BASE: i64 = 10;
/// Longest crash backoff, seconds.
const BACKOFF_MAX: i64 = 300;
/// An instance that ran this much longer than the last backoff is healthy again, seconds.
const BACKOFF_RESET: i64 = 2 * BACKOFF_MAX;
/// Longest pause before a sandbox that could not be created is tried again, seconds.
const RETRY: i64 = 10;

impl Memory {
    /// Which resources of a running container are not what its (granted) spec says.
    pub fn unlike(&self, pod: &Pod, spec: &Container, running: &ContainerState) -> Vec<&'static str> {
        let mut all = resize::differing(pod, spec, running.limits, self.cfs);
        if let Some(given) = self.given.get(&running.id) {
            all.extend(resize::unlike(given, &resources::effective(pod, spec)));
        }
        all
    }
}

/// Remembers that a container could not be started; it is tried again at `retry_at`, which is for the caller to know
/// (one that was created and failed to start then also meets the crash backoff).
pub fn note_failure(
    memory: &mut Memory,
    container: &str,
    (reason, message): (&str, &str),
    retry_at: Timestamp,
) {
    let waiting = Waiting {
        reason: reason.into(),
        message: message.into(),
        retry_at,
        failures: 0,
    };
    memory.waiting.insert(container.into(), waiting);
}

/// Remembers that the sandbox could not be created; tried again after 1, 2, 4, 8 and then every 10 s.
pub fn note_sandbox_failure(memory: &mut Memory, message: &str, now: Timestamp) {
    let failures = memory
        .sandbox_retry
        .as_ref()
        .map_or(0, |w| w.failures)
        .saturating_add(1);
    let delay = (1_i64 << failures.saturating_sub(1).min(4)).min(RETRY);
    let reason = "FailedCreatePodSandBox".into();
    memory.sandbox_retry = Some(Waiting {
        reason,
        message: message.into(),
        retry_at: now + seconds(delay),
        failures,
    });
}

/// Rebuilds the memory of a worker that starts over a Pod which may have a past. The newest instance of a container says how
/// long its crash backoff is; where another agent created it, that is read off the gap between the last two.
pub fn recall(pod: &Pod, observed: &Observed) -> Memory {
    let ended = matches!(&*pod.status.phase, "Succeeded" | "Failed");
    let failed = match (&*pod.status.phase, &pod.status.reason) {
        ("Failed", Some(reason)) => Some(PodFailure {
            reason: reason.clone(),
            message: pod.status.message.clone().unwrap_or_default(),
            ..PodFailure::default()
        }),
        _ => None,
    };
    let mut conditions = pod.status.conditions.iter();
    let mut memory = Memory {
        ended,
        failed,
        restarting_all: conditions.any(|c| &*c.kind == "AllContainersRestarting" && &*c.status == "True"),
        ..Memory::default()
    };
    for spec in pod.spec.init_containers.iter().chain(&pod.spec.containers) {
        if let Some(backoff) = recalled_backoff(observed, spec) {
            memory.backoff.insert(spec.name.clone(), backoff);
        }
        let latest = observed.latest(&spec.name).filter(|_| resize::may_restart(spec));
        let told = pod
            .history(&spec.name)
            .and_then(|told| Some((told, told.resources.as_ref()?)));
        if let (Some(latest), Some((told, given))) = (latest, told)
            && told.container_id.ends_with(latest.id.as_str())
        {
            let own = Container {
                resources: given.clone(),
                ..spec.clone()
            };
            let given = resources::effective(pod, &own);
            memory.given.insert(latest.id.clone(), given);
        }
    }
    memory
}

fn recalled_backoff(observed: &Observed, spec: &Container) -> Option<Backoff> {
    let mut instances: Vec<_> = observed
        .containers
        .iter()
        .filter(|c| c.name == spec.name)
        .collect();
    instances.sort_by_key(|c| std::cmp::Reverse((c.attempt, c.created)));
    let newest = instances.first().filter(|c| c.attempt > 0)?;
    if !newest.hash.is_empty() && *newest.hash != *hash::container(spec) {
        // It has become another container.
        return None;
    }
    if let Some(delay_seconds) = newest.crash_backoff {
        return (delay_seconds > 0).then_some(Backoff {
            delay_seconds,
            updated: newest.created,
        });
    }
    let waited = instances
        .get(1)
        .map_or(0, |before| (newest.created - ended_at(before)).get_seconds());
    let delay_seconds = if waited < BACKOFF_BASE {
        BACKOFF_BASE
    } else {
        let steps = (0..)
            .map(|n| BACKOFF_BASE << n)
            .take_while(|d| *d <= waited.min(BACKOFF_MAX));
        steps
            .last()
            .map_or(BACKOFF_BASE, |used| (used * 2).min(BACKOFF_MAX))
    };
    Some(Backoff {
        delay_seconds,
        updated: newest.created,
    })
}

/// Whether a container that ended with this exit code runs again: restart rules first, then the container's own
/// policy, then the Pod's.
pub(crate) fn should_restart(pod: &Pod, container: &Container, exit_code: i32) -> bool {
    let known = ["Restart", RESTART_ALL];
    if container.restart_policy.is_some()
        && rule(container, exit_code).is_some_and(|r| known.contains(&&*r.action))
    {
        return true;
    }
    match container.restart_policy.unwrap_or(pod.spec.restart_policy) {
        RestartPolicy::Always => true,
        RestartPolicy::OnFailure => exit_code != 0,
        RestartPolicy::Never => false,
    }
}

/// Whether a container that ended with this exit code starts all containers of its Pod over (KEP-5532).
pub(crate) fn restarts_all(container: &Container, exit_code: i32) -> bool {
    rule(container, exit_code).is_some_and(|rule| &*rule.action == RESTART_ALL)
}

/// The first restart rule that is about this exit code (KEP-5307).
fn rule(container: &Container, exit_code: i32) -> Option<&RestartRule> {
    let about = |codes: &ExitCodes| match &*codes.operator {
        "In" => codes.values.contains(&exit_code),
        "NotIn" => !codes.values.contains(&exit_code),
        _ => false,
    };
    let mut rules = container.restart_policy_rules.iter();
    rules.find(|rule| rule.exit_codes.as_ref().is_some_and(about))
}

/// Until when a crashed container must wait, and for how long it waits in all.
pub(super) fn crash_wait(
    memory: &Memory,
    dead: &ContainerState,
    input: &Input<'_>,
) -> Option<(Timestamp, i64)> {
    let delay = current(memory, dead)?.delay_seconds.min(input.longest_pause);
    let ended = ended_at(dead);
    let until = ended + seconds(delay);
    // An end in the future says nothing: the clock was set back, and nobody waits until it is there again.
    (ended <= input.now + seconds(1) && input.now < until).then_some((until, delay))
}

/// Doubles the crash backoff of a container that is being started again.
pub(super) fn grow(memory: &mut Memory, dead: &ContainerState, input: &Input<'_>) {
    let delay = current(memory, dead).map_or(BACKOFF_BASE, |b| b.delay_seconds * 2);
    memory.backoff.insert(
        dead.name.clone(),
        Backoff {
            delay_seconds: delay.min(input.longest_pause),
            updated: input.now,
        },
    );
}

fn current(memory: &Memory, dead: &ContainerState) -> Option<Backoff> {
    let backoff = *memory.backoff.get(&dead.name)?;
    (ended_at(dead) - backoff.updated)
        .get_seconds()
        .le(&BACKOFF_RESET)
        .then_some(backoff)
}

/// When an instance stopped being useful, as well as it is known.
fn ended_at(container: &ContainerState) -> Timestamp {
    container
        .finished
        .or(container.started)
        .unwrap_or(container.created)
}

/// Go's way to print whole seconds: `10s`, `1m20s`, `5m0s`.
pub(crate) fn go_duration(total: i64) -> String {
    match (total / 3600, total / 60 % 60, total % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m{s}s"),
        (h, m, s) => format!("{h}h{m}m{s}s"),
    }
}

/// Seconds of a spec as a length of time. The API server lets through more of them than a clock can count; a lifetime is
/// as good as for ever.
pub(crate) fn seconds(count: i64) -> SignedDuration {
    SignedDuration::from_secs(count.clamp(0, i64::from(i32::MAX)))
}

/// True while a container runs, or may run.
pub(super) fn alive(container: &ContainerState) -> bool {
    matches!(
        container.state,
        RunState::Starting | RunState::Running | RunState::Unknown
    )
}
