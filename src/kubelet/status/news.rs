//! PURE. Whether a status is news that somebody waits for.

use k8s_openapi::api::core::v1::{ContainerStatus, PodStatus};

/// Waiting reasons of a container whose turn has not come yet and that nothing has gone wrong with.
const COMING_UP: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// False for a Pod that is only coming up: most of those run before anybody has read so, and then one patch tells it all.
pub fn is_news(status: &PodStatus) -> bool {
    let lists = [
        &status.init_container_statuses,
        &status.container_statuses,
        &status.ephemeral_container_statuses,
    ];
    let all = lists.into_iter().flatten().flatten();
    status.phase.as_deref() != Some("Pending") || !all.into_iter().all(comes_up)
}

fn comes_up(container: &ContainerStatus) -> bool {
    let state = container.state.as_ref();
    let waiting = state.and_then(|state| state.waiting.as_ref());
    let reason = waiting.and_then(|waiting| waiting.reason.as_deref());
    reason.is_some_and(|reason| COMING_UP.contains(&reason)) && container.restart_count == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn news(status: serde_json::Value) -> bool {
        is_news(&serde_json::from_value(status).unwrap())
    }

    #[test]
    fn only_a_pod_that_comes_up_is_no_news() {
        let container = |state: serde_json::Value, restarts: i32| json!({"name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": restarts, "state": state});
        let waiting = |reason: &str| container(json!({"waiting": {"reason": reason}}), 0);
        let status = |phase: &str, init: serde_json::Value, main: serde_json::Value| json!({"phase": phase, "initContainerStatuses": [init], "containerStatuses": [main]});
        let (creating, initializing) = (waiting("ContainerCreating"), waiting("PodInitializing"));
        assert!(!news(status("Pending", initializing.clone(), creating.clone())));
        let running = container(json!({"running": {}}), 0);
        let again = container(json!({"waiting": {"reason": "ContainerCreating"}}), 1);
        let failed = container(json!({"terminated": {"exitCode": 1}}), 0);
        for other in [
            waiting("ErrImagePull"),
            running,
            again,
            failed,
            container(json!({}), 0),
        ] {
            assert!(
                news(status("Pending", other.clone(), creating.clone())),
                "{other}"
            );
            assert!(
                news(status("Pending", initializing.clone(), other.clone())),
                "{other}"
            );
        }
        for phase in ["Running", "Failed", "Succeeded"] {
            assert!(
                news(status(phase, initializing.clone(), creating.clone())),
                "{phase}"
            );
        }
        assert!(news(json!({"containerStatuses": [creating]})));
    }
}
