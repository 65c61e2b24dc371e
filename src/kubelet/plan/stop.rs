//! PURE. Ending a Pod: stop containers (sidecars last, in reverse order), stop sandboxes, remove what is left.

use super::memory::alive;
use super::{Action, Input, Plan};
use crate::kubelet::observed::ContainerState;

/// A container always gets this long to stop, seconds.
pub(super) const MIN_GRACE: i64 = 2;

/// Next steps of a Pod that should be gone.
pub(super) fn terminate(input: &Input<'_>, grace_seconds: i64) -> Plan {
    let mut actions = stop_containers(input, grace_seconds);
    if actions.is_empty() {
        actions = stop_sandboxes(input);
    }
    if actions.is_empty() {
        actions.extend(
            input
                .observed
                .containers
                .iter()
                .map(|c| Action::RemoveContainer { id: c.id.clone() }),
        );
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

/// Stops everything that runs or may run. Sidecars wait until the others are gone, and share what is left of the
/// grace period of the deletion.
pub(super) fn stop_containers(input: &Input<'_>, grace_seconds: i64) -> Vec<Action> {
    let sidecar_index = |c: &ContainerState| {
        input
            .pod
            .spec
            .init_containers
            .iter()
            .position(|spec| spec.name == c.name && spec.is_sidecar())
    };
    let running: Vec<_> = input.observed.containers.iter().filter(|c| alive(c)).collect();
    let (sidecars, others): (Vec<_>, Vec<_>) = running.into_iter().partition(|c| sidecar_index(c).is_some());
    if !others.is_empty() {
        return others.into_iter().map(|c| stop(c, grace_seconds)).collect();
    }
    let last = sidecars.iter().filter_map(|c| sidecar_index(c)).max();
    let left = input
        .pod
        .metadata
        .deletion_timestamp
        .map_or(grace_seconds, |end| {
            grace_seconds.min((end - input.now).get_seconds())
        });
    sidecars
        .into_iter()
        .filter(|c| sidecar_index(c) == last)
        .map(|c| stop(c, left))
        .collect()
}

/// Stops every sandbox that is still ready.
pub(super) fn stop_sandboxes(input: &Input<'_>) -> Vec<Action> {
    let ready = input.observed.sandboxes.iter().filter(|s| s.ready);
    ready.map(|s| Action::StopSandbox { id: s.id.clone() }).collect()
}

fn stop(container: &ContainerState, grace_seconds: i64) -> Action {
    stop_with(
        container,
        grace_seconds,
        format!("Stopping container {}", container.name),
    )
}

/// One stop step.
pub(super) fn stop_with(container: &ContainerState, grace_seconds: i64, message: String) -> Action {
    Action::StopContainer {
        id: container.id.clone(),
        name: container.name.clone(),
        grace_seconds: grace_seconds.max(MIN_GRACE),
        message: message.into(),
    }
}
