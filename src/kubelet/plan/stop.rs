//! PURE. Ending a Pod: stop containers (sidecars last, in reverse order), stop sandboxes, remove what is left.

use super::memory::alive;
use super::{Action, Input, Plan};
use crate::kubelet::observed::ContainerState;

/// Next steps of a Pod that should be gone.
pub(super) fn terminate(input: &Input<'_>, grace_seconds: i64) -> Plan {
    let mut actions = stop_containers(input, grace_seconds);
    if actions.is_empty() {
        actions = stop_sandboxes(input);
    }
    if actions.is_empty() {
        actions.extend(input.observed.containers.iter().map(|c| Action::RemoveContainer {
            id: c.id.clone(),
            keep_log: false,
        }));
        actions.extend(
            input
                .observed
                .sandboxes
                .iter()
                .map(|s| Action::RemoveSandbox { id: s.id.clone() }),
        );
    }
    let finished = actions.is_empty();
    Plan {
        actions,
        wake_at: None,
        memory: input.memory.clone(),
        finished,
    }
}

/// Stops everything that runs or may run, with the grace period for all of it together: each sidecar runs its preStop
/// hook like the others, then waits until the containers and the sidecars after it have ended.
pub(super) fn stop_containers(input: &Input<'_>, grace_seconds: i64) -> Vec<Action> {
    let spec = &input.pod.spec;
    let running: Vec<_> = input.observed.containers.iter().filter(|c| alive(c)).collect();
    let sidecar = |c: &ContainerState| {
        spec.init_containers
            .iter()
            .position(|s| s.name == c.name && s.is_sidecar())
    };
    let last = running.iter().filter_map(|c| sidecar(c)).max();
    let main_runs = running
        .iter()
        .any(|c| spec.containers.iter().any(|s| s.name == c.name));
    let stops = running.iter().map(|c| {
        let hold = sidecar(c).is_some_and(|at| main_runs || Some(at) != last);
        stop(c, grace_seconds, hold)
    });
    stops.collect()
}

/// Stops every sandbox that is still ready.
pub(super) fn stop_sandboxes(input: &Input<'_>) -> Vec<Action> {
    let ready = input.observed.sandboxes.iter().filter(|s| s.ready);
    ready.map(|s| Action::StopSandbox { id: s.id.clone() }).collect()
}

fn stop(container: &ContainerState, grace_seconds: i64, hold: bool) -> Action {
    Action::StopContainer {
        id: container.id.clone(),
        name: container.name.clone(),
        grace_seconds,
        message: format!("Stopping container {}", container.name).into(),
        hold,
    }
}

/// One stop step, at once.
pub(super) fn stop_with(container: &ContainerState, grace_seconds: i64, message: String) -> Action {
    Action::StopContainer {
        id: container.id.clone(),
        name: container.name.clone(),
        grace_seconds,
        message: message.into(),
        hold: false,
    }
}
