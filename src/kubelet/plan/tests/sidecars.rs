//! How Pods with sidecars end.

use super::*;

fn held(id: &str, grace_seconds: i64) -> Action {
    let name = id.split('-').next().unwrap();
    Action::StopContainer {
        id: id.into(),
        name: name.into(),
        grace_seconds,
        message: format!("Stopping container {name}").into(),
        hold: true,
    }
}

/// Containers `i` and `a`, sidecars `s` and `t`; those named have ended.
fn world(ended: &[&str]) -> (Pod, Observed) {
    let mut p = pod("p", &["a"]);
    p.spec.init_containers = vec![container("i"), sidecar("s"), sidecar("t")];
    let one = |name: &&str| match ended.contains(name) {
        true => exited(name, 0, 90, 0),
        false => running(name, 0, 10),
    };
    (p, observed(["i", "s", "t", "a"].iter().map(one).collect()))
}

#[test]
fn all_are_told_to_stop_at_once_and_sidecars_wait_for_their_turn() {
    let stop = |name: &str| stop(&format!("{name}-0"), 5, &format!("Stopping container {name}"));
    let held = |name: &str| held(&format!("{name}-0"), 5);
    for (ended, want) in [
        (&["i"][..], vec![held("s"), held("t"), stop("a")]),
        (&["i", "a"], vec![held("s"), stop("t")]),
        (&["i", "a", "t"], vec![stop("s")]),
        (&["i", "t"], vec![held("s"), stop("a")]),
        (&["a"], vec![stop("i"), held("s"), stop("t")]),
        (&["i", "a", "s"], vec![stop("t")]),
    ] {
        let (p, seen) = world(ended);
        assert_eq!(end(&p, &seen, 5).actions, want, "ended: {ended:?}");
    }
}

#[test]
fn a_pod_whose_containers_are_done_ends_its_sidecars_with_its_own_grace() {
    let (mut p, seen) = world(&["i", "a"]);
    p.spec.restart_policy = RestartPolicy::OnFailure;
    p.spec.termination_grace_period_seconds = 7;
    let plan = run(&p, &seen);
    assert!(plan.memory.ended);
    assert_eq!(
        plan.actions,
        [held("s-0", 7), stop("t-0", 7, "Stopping container t")]
    );
}

#[test]
fn a_pod_the_node_cannot_keep_ends_with_the_grace_of_its_failure() {
    let (p, seen) = world(&["i", "s", "t"]);
    let failed = PodFailure {
        reason: "Evicted".into(),
        grace_seconds: Some(1),
        ..PodFailure::default()
    };
    let memory = Memory {
        failed: Some(failed),
        ..Memory::default()
    };
    let plan = run_with(&p, &seen, &memory, 100);
    assert!(plan.memory.ended);
    assert_eq!(plan.actions, [stop("a-0", 1, "Stopping container a")]);
}
