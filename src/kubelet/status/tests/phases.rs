//! The phase of a Pod, and when it is final.

use super::*;

#[test]
fn phases_of_containers() {
    use RestartPolicy::{Always, Never, OnFailure};
    let dead = |name: &str, code| exited(name, 0, 50, code);
    for (what, policy, seen, want) in [
        ("one still to come", Always, vec![running("a", 0, 1)], "Pending"),
        (
            "both run",
            Always,
            vec![running("a", 0, 1), running("b", 0, 1)],
            "Running",
        ),
        (
            "one crashed and comes back",
            Always,
            vec![dead("a", 1), running("b", 0, 1)],
            "Running",
        ),
        (
            "both crashed and come back",
            Always,
            vec![dead("a", 1), dead("b", 0)],
            "Running",
        ),
        (
            "one done, one runs",
            Never,
            vec![dead("a", 0), running("b", 0, 1)],
            "Running",
        ),
        ("both done", Never, vec![dead("a", 0), dead("b", 0)], "Succeeded"),
        (
            "one failed for good",
            Never,
            vec![dead("a", 0), dead("b", 1)],
            "Failed",
        ),
        (
            "both done, on failure",
            OnFailure,
            vec![dead("a", 0), dead("b", 0)],
            "Succeeded",
        ),
        (
            "one failed, on failure",
            OnFailure,
            vec![dead("a", 0), dead("b", 1)],
            "Running",
        ),
    ] {
        assert_eq!(
            Case::new(pod_with(policy, &["a", "b"]), observed(seen)).phase(),
            want,
            "{what}"
        );
    }
}

#[test]
fn phases_of_init_containers_and_sidecars() {
    let mut p = pod("p", &["a"]);
    p.spec.init_containers = vec![sidecar("s"), container("i")];
    let phase = |p: &Pod, seen| Case::new(p.clone(), observed(seen)).phase();
    assert_eq!(phase(&p, vec![running("s", 0, 1), running("i", 0, 2)]), "Pending");
    assert_eq!(
        phase(&p, vec![running("s", 0, 1), exited("i", 0, 2, 1)]),
        "Pending",
        "will be tried again"
    );
    let up = vec![running("s", 0, 1), exited("i", 0, 2, 0), running("a", 0, 3)];
    assert_eq!(phase(&p, up), "Running");
    let mut never = p.clone();
    never.spec.restart_policy = RestartPolicy::Never;
    assert_eq!(
        phase(&never, vec![exited("s", 0, 9, 0), exited("i", 0, 2, 1)]),
        "Failed"
    );
    let done = vec![exited("s", 0, 9, 137), exited("i", 0, 2, 0), exited("a", 0, 8, 0)];
    assert_eq!(
        phase(&never, done),
        "Succeeded",
        "how a sidecar ended does not count"
    );
    // A sidecar that restarts does not send a running Pod back to Pending.
    p.spec.init_containers[0].startup_probe = Some(probe());
    assert_eq!(
        phase(
            &p,
            vec![running("s", 1, 50), exited("i", 0, 2, 0), running("a", 0, 3)]
        ),
        "Running"
    );
    assert_eq!(phase(&p, vec![running("s", 0, 50)]), "Pending");
}

#[test]
fn a_terminal_phase_is_never_left() {
    for phase in ["Succeeded", "Failed"] {
        let mut case = Case::new(pod("p", &["a"]), observed(vec![running("a", 0, 10)]));
        case.pod.status.phase = phase.into();
        case.pod.status.reason = Some("Evicted".into());
        let status = case.status();
        assert_eq!(
            (status.phase.as_deref(), status.reason.as_deref()),
            (Some(phase), Some("Evicted"))
        );
        assert!(
            verdict(&status, "Ready").starts_with("False Pod"),
            "{}",
            verdict(&status, "Ready")
        );
        // Also when only the API server knows.
        case.previous = Some(PodStatus {
            phase: Some("Running".into()),
            ..PodStatus::default()
        });
        assert_eq!(case.phase(), phase);
    }
}

#[test]
fn a_failed_pod_is_failed_once_nothing_runs() {
    let mut case = Case::new(pod("p", &["a"]), observed(vec![running("a", 0, 10)]));
    case.pod.status.phase = "Running".into();
    let reason = PodFailure {
        grace_seconds: None,
        disruption: None,
        reason: "DeadlineExceeded".into(),
        message: "too long".into(),
    };
    case.memory = Memory {
        ended: true,
        failed: Some(reason),
        ..Memory::default()
    };
    let status = case.status();
    assert_eq!((status.phase.as_deref(), status.reason), (Some("Running"), None));
    case.observed.containers = vec![exited("a", 0, 90, 0)];
    let status = case.status();
    assert_eq!(status.phase.as_deref(), Some("Failed"));
    assert_eq!(
        (status.reason.as_deref(), status.message.as_deref()),
        (Some("DeadlineExceeded"), Some("too long"))
    );
}

#[test]
fn an_ended_pod_whose_containers_never_all_ran_has_failed() {
    let mut case = Case::new(
        pod_with(RestartPolicy::Never, &["a", "b"]),
        observed(vec![exited("a", 0, 50, 0)]),
    );
    case.memory.ended = true;
    let status = case.status();
    assert_eq!(status.phase.as_deref(), Some("Failed"));
    assert_eq!(code(&main_of(&status, "b").state), Some(137));
}

#[test]
fn a_deleted_pod_ends_with_the_codes_of_its_containers() {
    let mut case = Case::new(pod("p", &["a"]), observed(vec![running("a", 0, 10)]));
    case.intent = Intent::Terminate { grace_seconds: 30 };
    case.pod.status.phase = "Running".into();
    assert_eq!(case.phase(), "Running");
    case.observed.containers = vec![exited("a", 0, 90, 0)];
    let last = case.status();
    assert_eq!(
        (last.phase.as_deref(), code(&main_of(&last, "a").state)),
        (Some("Succeeded"), Some(0))
    );
    // The containers are removed: nothing changes any more.
    case.observed = Observed::default();
    case.previous = Some(last.clone());
    let gone = case.status();
    assert_eq!(gone.container_statuses, last.container_statuses);
    assert_eq!((gone.phase, gone.pod_ips), (last.phase, last.pod_ips));
    // One that never ran has failed, and waits for nothing.
    let mut unborn = Case::new(pod("p", &["a"]), Observed::default());
    unborn.intent = Intent::Terminate { grace_seconds: 30 };
    unborn.wait("a", "ImagePullBackOff");
    let status = unborn.status();
    assert_eq!(status.phase.as_deref(), Some("Failed"));
    assert_eq!(code(&main_of(&status, "a").state), Some(137));
}
