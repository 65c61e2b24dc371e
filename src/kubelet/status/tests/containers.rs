//! What is told about each container, also when the runtime has forgotten it.

use super::*;

#[test]
fn a_crash_loop_shows_both_states() {
    let mut case = Case::new(pod("p", &["a"]), observed(vec![exited("a", 3, 90, 2)]));
    let status = case.status();
    assert_eq!(
        code(&main_of(&status, "a").state),
        Some(2),
        "nothing is waited for yet"
    );
    case.wait("a", "CrashLoopBackOff");
    let status = case.status();
    let a = main_of(&status, "a");
    assert_eq!(
        (waiting_reason(a), code(&a.last_state)),
        (Some("CrashLoopBackOff"), Some(2))
    );
    assert_eq!(
        (a.restart_count, a.container_id.as_deref()),
        (3, Some("containerd://a-3"))
    );
    assert_eq!(status.phase.as_deref(), Some("Running"));
    // Once it runs again, an old reason to wait is not told.
    case.observed.containers.insert(0, running("a", 4, 95));
    let status = case.status();
    assert!(main_of(&status, "a").state.as_ref().unwrap().running.is_some());
}

#[test]
fn failures_to_start_are_told() {
    let mut case = Case::new(pod("p", &["a", "b"]), observed(vec![running("b", 0, 1)]));
    case.wait("a", "ErrImagePull");
    let status = case.status();
    let waiting = main_of(&status, "a")
        .state
        .as_ref()
        .unwrap()
        .waiting
        .clone()
        .unwrap();
    assert_eq!(
        (waiting.reason.as_deref(), waiting.message.as_deref()),
        (Some("ErrImagePull"), Some("words"))
    );
    assert_eq!(status.phase.as_deref(), Some("Pending"));
    assert!(main_of(&status, "b").ready);
}

#[test]
fn restart_counts_never_shrink() {
    let old = OldStatus {
        name: "a".into(),
        restart_count: 7,
        container_id: "containerd://gone".into(),
        image_id: "img".into(),
        state: OldState {
            running: Some(StateRunning {
                started_at: Some(at(5)),
            }),
            ..OldState::default()
        },
        ..OldStatus::default()
    };
    let mut case = Case::new(pod("p", &["a"]), observed(vec![]));
    case.pod.status.container_statuses = vec![old];
    let status = case.status();
    let a = main_of(&status, "a");
    assert_eq!((a.restart_count, code(&a.last_state)), (8, Some(137)));
    assert_eq!(
        a.last_state
            .as_ref()
            .unwrap()
            .terminated
            .as_ref()
            .unwrap()
            .reason
            .as_deref(),
        Some("ContainerStatusUnknown")
    );
    assert_eq!(
        status.phase.as_deref(),
        Some("Running"),
        "it ran, so it is not pending"
    );
    case.previous = Some(status);
    let again = case.status();
    assert_eq!(main_of(&again, "a").restart_count, 8);
    case.observed.containers = vec![running("a", 0, 90)];
    assert_eq!(main_of(&case.status(), "a").restart_count, 8);
    case.observed.containers = vec![running("a", 9, 90)];
    assert_eq!(main_of(&case.status(), "a").restart_count, 9);
}

#[test]
fn a_lost_container_fails_a_pod_that_never_restarts() {
    let mut case = Case::new(pod_with(RestartPolicy::Never, &["a"]), observed(vec![]));
    let state = OldState {
        running: Some(StateRunning::default()),
        ..OldState::default()
    };
    let container_id = "containerd://x".into();
    case.pod.status.container_statuses = vec![OldStatus {
        name: "a".into(),
        container_id,
        state,
        ..OldStatus::default()
    }];
    assert_eq!(case.phase(), "Failed");
}

#[test]
fn ends_are_remembered_when_the_runtime_forgets() {
    let state = OldState {
        terminated: Some(StateTerminated {
            exit_code: 0,
            reason: Some("Completed".into()),
            ..StateTerminated::default()
        }),
        ..OldState::default()
    };
    let mut case = Case::new(pod_with(RestartPolicy::OnFailure, &["a"]), observed(vec![]));
    case.pod.status.container_statuses = vec![OldStatus {
        name: "a".into(),
        state,
        ..OldStatus::default()
    }];
    let status = case.status();
    assert_eq!(
        (status.phase.as_deref(), code(&main_of(&status, "a").state)),
        (Some("Succeeded"), Some(0))
    );
    // An init container whose trace is gone has succeeded if containers have run.
    let mut case = Case::new(pod("p", &["a"]), observed(vec![running("a", 0, 5)]));
    case.pod.spec.init_containers = vec![container("i"), sidecar("s")];
    let status = case.status();
    assert_eq!(
        (code(&init_of(&status, "i").state), init_of(&status, "i").ready),
        (Some(0), true)
    );
    assert_eq!(
        waiting_reason(init_of(&status, "s")),
        Some("PodInitializing"),
        "a sidecar comes back"
    );
}

#[test]
fn an_init_container_is_ready_when_it_has_succeeded() {
    let mut case = Case::new(
        pod("p", &["a"]),
        observed(vec![exited("i", 0, 5, 0), running("j", 0, 6)]),
    );
    case.pod.spec.init_containers = vec![container("i"), container("j")];
    let status = case.status();
    assert!(init_of(&status, "i").ready && !init_of(&status, "j").ready);
    assert_eq!(init_of(&status, "j").started, Some(true));
    let message = condition(&status, "Initialized").message.as_deref();
    assert_eq!(message, Some("containers with incomplete status: [j]"));
}

#[test]
fn probes_decide_ready_and_started() {
    let mut case = Case::new(pod("p", &["a"]), observed(vec![running("a", 0, 10)]));
    case.pod.spec.containers[0].readiness_probe = Some(probe());
    case.pod.spec.containers[0].startup_probe = Some(probe());
    let mut told = |started, ready| {
        let view = ProbeView {
            unhealthy: None,
            ready,
            started,
        };
        case.probes = BTreeMap::from([("a-0".into(), view)]);
        let status = case.status();
        (main_of(&status, "a").started, main_of(&status, "a").ready)
    };
    assert_eq!(told(None, None), (Some(false), false));
    assert_eq!(
        told(None, Some(true)),
        (Some(false), false),
        "not ready before it has started"
    );
    assert_eq!(told(Some(true), None), (Some(true), false));
    assert_eq!(told(Some(true), Some(true)), (Some(true), true));
    assert_eq!(told(Some(true), Some(false)), (Some(true), false));
}

#[test]
fn a_restarted_agent_keeps_what_was_told_until_a_probe_says_otherwise() {
    let mut case = Case::new(pod("p", &["a"]), observed(vec![running("a", 0, 10)]));
    case.pod.spec.containers[0].readiness_probe = Some(probe());
    case.pod.spec.containers[0].startup_probe = Some(probe());
    let old = OldStatus {
        name: "a".into(),
        ready: true,
        started: Some(true),
        container_id: "containerd://a-0".into(),
        ..OldStatus::default()
    };
    case.pod.status.container_statuses = vec![old];
    let kept = case.status();
    assert_eq!(
        (main_of(&kept, "a").started, main_of(&kept, "a").ready),
        (Some(true), true)
    );
    assert_eq!(verdict(&kept, "Ready"), "True");
    let view = ProbeView {
        ready: Some(false),
        ..ProbeView::default()
    };
    case.probes = BTreeMap::from([("a-0".into(), view)]);
    assert!(!main_of(&case.status(), "a").ready);
    // What was told of another instance counts for nothing.
    case.probes.clear();
    case.observed.containers = vec![running("a", 1, 90)];
    let fresh = case.status();
    assert_eq!(
        (main_of(&fresh, "a").started, main_of(&fresh, "a").ready),
        (Some(false), false)
    );
}

#[test]
fn a_restart_counts_once_the_container_has_started() {
    for (state, count) in [
        (RunState::Created, 2),
        (RunState::Starting, 2),
        (RunState::Running, 3),
        (RunState::Exited, 3),
    ] {
        let new = ContainerState {
            state,
            ..running("a", 3, 90)
        };
        let mut case = Case::new(pod("p", &["a"]), observed(vec![exited("a", 2, 50, 1)]));
        case.previous = Some(case.status());
        case.observed.containers.insert(0, new);
        let status = case.status();
        let a = main_of(&status, "a");
        assert_eq!(
            (a.restart_count, code(&a.last_state)),
            (count, Some(1)),
            "{state:?}"
        );
    }
}
