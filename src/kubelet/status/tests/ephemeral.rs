//! `ephemeralContainerStatuses`, and that nothing else is made of them.

use super::*;

fn debugged(policy: RestartPolicy, seen: Vec<crate::kubelet::observed::ContainerState>) -> Case {
    let mut p = pod_with(policy, &["a"]);
    p.spec.ephemeral_containers = vec![container("f"), container("e")];
    Case::new(p, observed(seen))
}

fn ephemeral(status: &PodStatus) -> serde_json::Value {
    serde_json::to_value(&status.ephemeral_container_statuses).unwrap()
}

#[test]
fn they_wait_run_and_end() {
    let case = debugged(
        RestartPolicy::Always,
        vec![running("a", 0, 10), running("e", 0, 20)],
    );
    let want = json!([
        {"name": "e", "image": "registry/e:1", "imageID": "registry/e@sha256:0", "containerID": "containerd://e-0",
         "ready": false, "restartCount": 0, "resources": {}, "state": {"running": {"startedAt": "2026-01-01T00:00:20Z"}}},
        {"name": "f", "image": "f:1", "imageID": "", "ready": false, "restartCount": 0,
         "state": {"waiting": {"reason": "ContainerCreating"}}},
    ]);
    assert_eq!(ephemeral(&case.status()), want, "by name");
    let mut case = debugged(
        RestartPolicy::Always,
        vec![running("a", 0, 10), exited("e", 0, 30, 3)],
    );
    case.wait("f", "ErrImagePull");
    let status = ephemeral(&case.status());
    assert_eq!(status[0]["state"]["terminated"]["exitCode"], 3);
    assert_eq!(
        status[1]["state"]["waiting"],
        json!({"reason": "ErrImagePull", "message": "words"})
    );
}

#[test]
fn none_is_told_when_there_are_none() {
    let status = Case::new(pod("p", &["a"]), observed(vec![running("a", 0, 10)])).status();
    assert_eq!(status.ephemeral_container_statuses, None);
}

#[test]
fn how_one_ended_is_remembered_when_the_runtime_forgets() {
    let mut case = debugged(
        RestartPolicy::Always,
        vec![running("a", 0, 10), exited("e", 0, 30, 3)],
    );
    let told = case.status();
    case.observed.containers.pop();
    case.previous = Some(told);
    let status = ephemeral(&case.status());
    assert_eq!(status[0]["state"]["terminated"]["exitCode"], 3);
    assert_eq!(status[0]["containerID"], "containerd://e-0");
}

#[test]
fn phase_and_conditions_do_not_look_at_them() {
    use RestartPolicy::{Always, Never};
    let failed = exited("e", 0, 30, 1);
    for (what, policy, seen, phase, ready) in [
        ("one waits", Always, vec![running("a", 0, 1)], "Running", "True"),
        (
            "one failed",
            Never,
            vec![running("a", 0, 1), failed.clone()],
            "Running",
            "True",
        ),
        (
            "the Pod succeeded",
            Never,
            vec![exited("a", 0, 9, 0), failed],
            "Succeeded",
            "False PodCompleted",
        ),
        (
            "nothing else began",
            Always,
            vec![running("e", 0, 20)],
            "Pending",
            "False ContainersNotReady",
        ),
    ] {
        let status = debugged(policy, seen).status();
        assert_eq!(status.phase.as_deref(), Some(phase), "{what}");
        assert_eq!(verdict(&status, "Ready"), ready, "{what}");
    }
}

#[test]
fn a_pod_is_not_over_while_one_runs() {
    let mut case = debugged(
        RestartPolicy::Never,
        vec![exited("a", 0, 50, 0), running("e", 0, 20)],
    );
    case.memory.ended = true;
    case.pod.status.phase = "Running".into();
    assert_eq!(case.phase(), "Running");
    case.observed.containers[1] = exited("e", 0, 60, 137);
    assert_eq!(case.phase(), "Succeeded");
}
