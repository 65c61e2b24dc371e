//! PURE. What is told of containers the runtime has no trace of, and how much in all is told of ended ones.

use super::containers::{ended, exit_code, is_running, is_waiting, last_exit};
use crate::kubelet::plan::LOST_EXIT_CODE;
use crate::model::pod::Pod;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus};

/// Most bytes of all termination messages of one status.
const MAX_MESSAGES: usize = 12 << 10;
/// Reason of a container nobody saw end.
pub(super) const LOST: &str = "ContainerStatusUnknown";
/// Words of the same.
pub(super) const RESTARTING_WORDS: &str = "The container is removed because RestartAllContainers in place";
/// What is said of a container that is not there when its Pod has ended.
pub(super) const NOT_LOCATED: &str = "The container could not be located when the pod was terminated";

/// The end of a container that nobody saw.
pub(super) fn unseen(reason: &str, message: &str) -> ContainerState {
    ended(ContainerStateTerminated {
        exit_code: LOST_EXIT_CODE,
        reason: Some(reason.into()),
        message: Some(message.into()),
        ..ContainerStateTerminated::default()
    })
}

/// A Pod that is over has no container that still waits for something, as far as it ever got: of the init containers
/// those up to the last one that ran, of the containers all once init was done.
pub(super) fn end_all(pod: &Pod, init: &mut [ContainerStatus], main: &mut [ContainerStatus]) {
    let main = if initialized(pod, init, main) {
        main
    } else {
        &mut []
    };
    let ran = |s: &ContainerStatus| !is_waiting(s) || last_exit(s).is_some();
    let tried = init.iter().rposition(ran).map_or(1, |at| at + 1).min(init.len());
    let missing = init[..tried]
        .iter_mut()
        .chain(main)
        .filter(|s| exit_code(s).is_none());
    for s in missing {
        s.state = Some(unseen(LOST, NOT_LOCATED));
    }
}

/// The containers have started, or could have.
fn initialized(pod: &Pod, init: &[ContainerStatus], main: &[ContainerStatus]) -> bool {
    let (Some(spec), Some(last)) = (pod.spec.init_containers.last(), init.last()) else {
        return true;
    };
    let passed = if spec.is_sidecar() {
        is_running(last) && last.started == Some(true)
    } else {
        exit_code(last) == Some(0) || last_exit(last) == Some(0)
    };
    passed || main.iter().any(|s| !is_waiting(s) || last_exit(s).is_some())
}

/// Cuts termination messages, so that a status with many of them is not too large to be told.
pub(super) fn shorten(statuses: [&mut Vec<ContainerStatus>; 3]) {
    let count: usize = statuses.iter().map(|list| list.len()).sum();
    let most = MAX_MESSAGES / count.max(1);
    for s in statuses.into_iter().flatten() {
        let states = [&mut s.state, &mut s.last_state].into_iter().flatten();
        for message in states.filter_map(|state| state.terminated.as_mut()?.message.as_mut()) {
            let whole = (0..=most.min(message.len()))
                .rev()
                .find(|end| message.is_char_boundary(*end));
            message.truncate(whole.unwrap_or(0));
        }
    }
}
