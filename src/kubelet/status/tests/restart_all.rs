//! What is told while all containers start over.

use super::*;
use crate::model::pod::RESTART_ALL;

/// `a` may start all over; init container `i`, container `b`.
fn case(containers: Vec<ContainerState>) -> Case {
    let mut p = pod_with(RestartPolicy::Never, &["a", "b"]);
    p.spec.init_containers = vec![container("i")];
    p.spec.containers[0].restart_policy = Some(RestartPolicy::Never);
    p.spec.containers[0].restart_policy_rules = vec![rule(RESTART_ALL, "In", &[42])];
    Case::new(p, observed(containers))
}

fn words(status: &PodStatus, name: &str) -> (Option<String>, Option<String>, i32) {
    let init = status.init_container_statuses.iter().flatten();
    let mut all = init.chain(status.container_statuses.iter().flatten());
    let s = all.find(|s| s.name == name).unwrap();
    let last = s
        .last_state
        .as_ref()
        .and_then(|l| l.terminated.as_ref()?.reason.clone());
    (waiting_reason(s).map(Into::into), last, s.restart_count)
}

#[test]
fn the_condition_holds_from_the_exit_until_all_are_gone() {
    let mut case = case(vec![
        exited("i", 0, 5, 0),
        running("a", 0, 10),
        running("b", 0, 10),
    ]);
    let mut step = |memory: bool, containers: Vec<ContainerState>| {
        case.memory.restarting_all = memory;
        case.observed.containers = containers;
        let status = case.status();
        case.previous = Some(status.clone());
        status
    };
    let status = step(
        false,
        vec![exited("i", 0, 5, 0), running("a", 0, 10), running("b", 0, 10)],
    );
    assert_eq!(verdict(&status, "AllContainersRestarting"), "False");
    assert_eq!(
        condition(&status, "AllContainersRestarting").observed_generation,
        None
    );
    let dying = vec![
        exited("i", 0, 5, 0),
        exited("a", 0, 50, 42),
        exited("b", 0, 51, 137),
    ];
    let status = step(true, dying);
    assert_eq!(
        verdict(&status, "AllContainersRestarting"),
        "True RestartAllContainersStarted"
    );
    assert_eq!(status.phase.as_deref(), Some("Running"), "nobody has failed");
    let status = step(false, vec![]);
    assert_eq!(verdict(&status, "AllContainersRestarting"), "False");
    assert_eq!(verdict(&status, "Initialized"), "True", "it stays so");
    let reason = || Some("RestartingAllContainers".to_owned());
    for name in ["i", "a", "b"] {
        assert_eq!(words(&status, name), (reason(), reason(), 1), "{name}");
    }
    assert_eq!(status.phase.as_deref(), Some("Running"));
    let status = step(false, vec![]);
    assert_eq!(
        words(&status, "a"),
        (Some("PodInitializing".into()), reason(), 1),
        "counted once"
    );
    let status = step(
        false,
        vec![running("a", 1, 60), running("b", 1, 60), exited("i", 1, 55, 0)],
    );
    assert_eq!(words(&status, "a"), (None, reason(), 1));
    assert_eq!(
        (status.phase.as_deref(), verdict(&status, "Ready").as_str()),
        (Some("Running"), "True")
    );
}

#[test]
fn each_is_counted_once_however_slowly_they_go() {
    let mut case = case(vec![
        exited("i", 0, 5, 0),
        running("a", 0, 10),
        running("b", 0, 10),
    ]);
    case.previous = Some(case.status());
    case.memory.restarting_all = true;
    let (a, b) = (exited("a", 0, 50, 42), exited("b", 0, 51, 137));
    for left in [
        vec![exited("i", 0, 5, 0), a.clone(), b.clone()],
        vec![a.clone(), b.clone()],
        vec![a.clone(), b],
        vec![a.clone()],
        vec![a],
    ] {
        case.observed.containers = left;
        case.previous = Some(case.status());
    }
    case.memory.restarting_all = false;
    case.observed.containers.clear();
    for _ in 0..2 {
        let status = case.status();
        for name in ["i", "a", "b"] {
            assert_eq!(words(&status, name).2, 1, "{name}");
        }
        case.previous = Some(status);
    }
}

#[test]
fn other_pods_do_not_have_the_condition_and_ended_ones_say_why_not() {
    let kinds = |s: &PodStatus| {
        s.conditions
            .iter()
            .flatten()
            .map(|c| c.type_.clone())
            .collect::<Vec<_>>()
    };
    let plain = Case::new(pod("p", &["a"]), observed(vec![running("a", 0, 10)])).status();
    assert!(!kinds(&plain).contains(&"AllContainersRestarting".to_owned()));
    for (exit, want) in [(0, "False PodCompleted"), (1, "False PodFailed")] {
        let mut case = case(vec![
            exited("i", 0, 5, 0),
            exited("a", 0, 50, exit),
            exited("b", 0, 50, 0),
        ]);
        case.memory.ended = true;
        assert_eq!(verdict(&case.status(), "AllContainersRestarting"), want);
    }
}
