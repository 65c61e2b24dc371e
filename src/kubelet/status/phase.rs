//! PURE. `status.phase` and the reason that belongs to it.

use super::containers::{exit_code, is_waiting, last_exit};
use super::{History, StatusInput};
use crate::kubelet::plan::{REMOVED, should_restart};
use crate::model::pod::{Container, RestartPolicy};
use k8s_openapi::api::core::v1::ContainerStatus;

/// The two phases a Pod never leaves.
pub(super) fn terminal(phase: &str) -> bool {
    matches!(phase, "Succeeded" | "Failed")
}

/// Phase, reason and message.
pub(super) fn phase(
    input: &StatusInput<'_>,
    history: &History,
    init: &[ContainerStatus],
    main: &[ContainerStatus],
) -> (Box<str>, Option<Box<str>>, Option<Box<str>>) {
    let kept = |phase: Box<str>| {
        let same = history.phase == phase;
        let pick = |text: &Option<Box<str>>| text.clone().filter(|_| same);
        (phase, pick(&history.reason), pick(&history.message))
    };
    if terminal(&history.phase) {
        return kept(history.phase.clone());
    }
    let mut next = derived(input, history, init, main);
    if input.memory.failed.is_some() || (input.over() && !terminal(next)) {
        // Nothing of it will ever run again, so it is not Pending or Running.
        next = "Failed";
    }
    if terminal(next) && input.observed.containers.iter().any(StatusInput::alive) {
        // Resources are freed first: a Pod is not over while something of it may run.
        next = if history.phase.is_empty() {
            "Running"
        } else {
            &history.phase
        };
        return kept(next.into());
    }
    match &input.memory.failed {
        Some(failure) => (
            next.into(),
            Some(failure.reason.clone()),
            Some(failure.message.clone()),
        ),
        None => kept(next.into()),
    }
}

/// The phase the containers' states give.
fn derived(
    input: &StatusInput<'_>,
    history: &History,
    init: &[ContainerStatus],
    main: &[ContainerStatus],
) -> &'static str {
    let spec = &input.pod.spec;
    let over_again = input.restarting_all(history);
    let removed = |s: &ContainerStatus| over_again || ended_as(s) == Some(REMOVED);
    let mut pending = false;
    for (c, s) in spec
        .init_containers
        .iter()
        .zip(init)
        .filter(|(c, _)| !c.is_sidecar())
    {
        match exit_code(s).or(last_exit(s).filter(|_| is_waiting(s))) {
            Some(0) => {}
            Some(code) if removed(s) || init_may_retry(input, c, code) => {}
            Some(_) => return "Failed",
            None => pending = true,
        }
    }
    let sandbox = input.observed.newest_sandbox().map(|s| &s.id);
    let in_sandbox = |c: &Container| {
        input
            .observed
            .containers
            .iter()
            .any(|i| i.name == c.name && Some(&i.sandbox) == sandbox)
    };
    let initialized = spec.containers.iter().any(in_sandbox);
    let (mut running, mut waiting) = (0, 0);
    for (_, s) in spec
        .init_containers
        .iter()
        .zip(init)
        .filter(|(c, _)| c.is_sidecar())
    {
        match (exit_code(s), is_waiting(s), last_exit(s)) {
            (Some(_), _, _) | (None, true, Some(_)) => {}
            (None, true, None) => {
                pending |= !initialized;
                waiting += 1;
            }
            (None, false, _) => {
                pending |= !initialized && s.started != Some(true);
                running += 1;
            }
        }
    }
    let (mut stopped, mut final_, mut succeeded) = (0, 0, 0);
    for c in &spec.containers {
        let Some(s) = main.iter().find(|s| *s.name == *c.name) else {
            continue;
        };
        let code = exit_code(s).or(last_exit(s).filter(|_| is_waiting(s)));
        match code {
            Some(code) => {
                stopped += 1;
                let again = removed(s) || input.memory.replacing.contains(&c.name);
                final_ += i32::from(!again && !should_restart(input.pod, c, code));
                succeeded += i32::from(exit_code(s) == Some(0));
            }
            None if is_waiting(s) => waiting += 1,
            None => running += 1,
        }
    }
    if pending || waiting > 0 {
        "Pending"
    } else if running > 0 {
        "Running"
    } else if stopped == 0 {
        "Pending"
    } else if stopped != final_ && !input.over() {
        "Running"
    } else if stopped == succeeded {
        "Succeeded"
    } else {
        "Failed"
    }
}

/// Why the newest instance ended that did.
fn ended_as(s: &ContainerStatus) -> Option<&str> {
    let mut states = [&s.state, &s.last_state].into_iter().flatten();
    states
        .find_map(|state| state.terminated.as_ref())?
        .reason
        .as_deref()
}

fn init_may_retry(input: &StatusInput<'_>, container: &Container, code: i32) -> bool {
    match container.restart_policy {
        Some(_) => should_restart(input.pod, container, code),
        None => input.pod.spec.restart_policy != RestartPolicy::Never,
    }
}
