//! Pods that end: deadline, deletion, and that an end stays one.

use super::*;

#[test]
fn the_deadline_ends_a_pod() {
    let mut p = pod("p", &["a"]);
    p.spec.active_deadline_seconds = Some(60);
    p.status.start_time = Some(at(50));
    let seen = observed(vec![running("a", 0, 55)]);
    let plan = run(&p, &seen);
    assert_eq!((plan.actions, plan.wake_at), (vec![], Some(at(110))));
    let plan = run_with(&p, &seen, &Memory::default(), 110);
    assert_eq!(plan.actions, [stop("a-0", 30, "Stopping container a")]);
    assert_eq!(&*plan.memory.failed.clone().unwrap().reason, "DeadlineExceeded");
    assert!(plan.memory.ended);
    let plan = run_with(&p, &observed(vec![exited("a", 0, 111, 137)]), &plan.memory, 112);
    assert_eq!(
        plan.actions,
        [Action::StopSandbox { id: "s0".into() }],
        "and nothing restarts"
    );
}

#[test]
fn an_ended_pod_stays_ended_and_keeps_its_containers() {
    for phase in ["Succeeded", "Failed"] {
        let mut p = pod("p", &["a"]);
        p.status.phase = phase.into();
        let mut seen = observed(vec![exited("a", 0, 50, 0)]);
        assert_eq!(run(&p, &seen).actions, [Action::StopSandbox { id: "s0".into() }]);
        seen.sandboxes[0].ready = false;
        assert_eq!(run(&p, &seen).actions, []);
        assert_eq!(run(&p, &Observed::default()).actions, []);
    }
}

#[test]
fn a_deleted_pod_is_stopped_then_removed() {
    let p = pod("p", &["a", "b"]);
    let mut seen = observed(vec![
        running("a", 1, 10),
        exited("a", 0, 5, 1),
        running("b", 0, 10),
    ]);
    let plan = end(&p, &seen, 9);
    assert_eq!(
        plan.actions,
        [
            stop("a-1", 9, "Stopping container a"),
            stop("b-0", 9, "Stopping container b")
        ]
    );
    // A second, shorter deletion is heard while they still run.
    assert_eq!(
        end(&p, &seen, 1).actions[0],
        stop("a-1", 1, "Stopping container a")
    );
    seen.containers = vec![exited("a", 1, 99, 0), exited("a", 0, 5, 1), exited("b", 0, 99, 0)];
    assert_eq!(
        end(&p, &seen, 9).actions,
        [Action::StopSandbox { id: "s0".into() }]
    );
    seen.sandboxes[0].ready = false;
    let removals = [
        remove("a-1"),
        remove("a-0"),
        remove("b-0"),
        Action::RemoveSandbox { id: "s0".into() },
    ];
    let plan = end(&p, &seen, 9);
    assert_eq!((plan.actions, plan.finished), (removals.to_vec(), false));
    let plan = end(&p, &Observed::default(), 9);
    assert_eq!((plan.actions, plan.finished), (vec![], true));
}

#[test]
fn an_end_survives_a_restart_of_the_agent() {
    let mut p = pod("p", &["a"]);
    p.status.phase = "Failed".into();
    p.status.reason = Some("DeadlineExceeded".into());
    let memory = recall(&p, &Observed::default());
    assert!(memory.ended);
    assert_eq!(&*memory.failed.unwrap().reason, "DeadlineExceeded");
}
