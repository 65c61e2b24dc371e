//! Containers that are not there when their Pod is over, and long last words.

use super::*;

/// The states of init containers and containers, by what they show.
fn shown(status: &PodStatus) -> Vec<String> {
    let init = status.init_container_statuses.iter().flatten();
    let all = init.chain(status.container_statuses.iter().flatten());
    all.map(|s| match (waiting_reason(s), code(&s.state)) {
        (Some(reason), _) => reason.to_owned(),
        (None, Some(code)) => code.to_string(),
        (None, None) => "running".to_owned(),
    })
    .collect()
}

#[test]
fn what_never_started_is_lost_as_far_as_the_pod_ever_got() {
    let init = [container("i"), sidecar("s")];
    for (containers, want) in [
        (vec![], ["137", "PodInitializing", "PodInitializing"]),
        (
            vec![exited("i", 0, 50, 1)],
            ["1", "PodInitializing", "PodInitializing"],
        ),
        (
            vec![exited("i", 0, 50, 0)],
            ["0", "PodInitializing", "PodInitializing"],
        ),
        (
            vec![exited("i", 0, 50, 0), exited("s", 0, 60, 0)],
            ["0", "0", "PodInitializing"],
        ),
        (
            vec![
                exited("i", 0, 50, 0),
                exited("s", 0, 60, 0),
                exited("a", 0, 60, 3),
            ],
            ["0", "0", "3"],
        ),
        (vec![exited("a", 0, 60, 3)], ["0", "PodInitializing", "3"]),
    ] {
        let mut case = Case::new(pod("p", &["a"]), observed(containers));
        case.pod.spec.init_containers = init.to_vec();
        case.intent = Intent::Terminate { grace_seconds: 30 };
        let status = case.status();
        assert_eq!(shown(&status), want);
        assert_eq!(status.phase.as_deref(), Some("Failed"));
    }
    let mut bare = Case::new(pod("p", &["a"]), Observed::default());
    bare.intent = Intent::Terminate { grace_seconds: 30 };
    assert_eq!(
        shown(&bare.status()),
        ["137"],
        "without init containers it is initialized"
    );
}

#[test]
fn a_container_that_got_lost_counts_as_a_restart_unless_its_pod_goes() {
    let old = OldStatus {
        name: "a".into(),
        restart_count: 7,
        container_id: "containerd://gone".into(),
        state: OldState {
            running: Some(StateRunning::default()),
            ..OldState::default()
        },
        ..OldStatus::default()
    };
    let mut case = Case::new(pod("p", &["a"]), observed(vec![]));
    case.pod.status.container_statuses = vec![old];
    assert_eq!(main_of(&case.status(), "a").restart_count, 8);
    case.pod.metadata.deletion_timestamp = Some(at(90));
    assert_eq!(main_of(&case.status(), "a").restart_count, 7);
}

#[test]
fn last_words_share_twelve_kibibytes() {
    for (containers, most) in [(&["a"][..], 12288), (&["a", "b", "c"], 4096)] {
        let said = |attempt| ContainerState {
            message: "ä".repeat(9000).into(),
            ..exited("a", attempt, 50 + i64::from(attempt), 1)
        };
        let mut case = Case::new(pod("p", containers), observed(vec![said(1), said(0)]));
        case.pod.spec.containers[0].termination_message_path = "/dev/termination-log".into();
        let status = case.status();
        let a = main_of(&status, "a");
        for state in [&a.state, &a.last_state] {
            let message = state
                .as_ref()
                .unwrap()
                .terminated
                .as_ref()
                .unwrap()
                .message
                .as_deref();
            assert_eq!(message.map(str::len), Some(most));
        }
    }
}
