//! Ephemeral containers: when they start, that they start once, and what they have no say in.

use super::*;

fn debugged() -> Pod {
    let mut p = pod("p", &["a"]);
    p.spec.ephemeral_containers = vec![container("e")];
    p
}

#[test]
fn it_starts_whatever_the_others_do() {
    let mut unready = debugged();
    unready.spec.init_containers = vec![container("i")];
    let crashing = exited("a", 0, 99, 1);
    let mut looped = Memory::default();
    looped.backoff.insert(
        "a".into(),
        Backoff {
            delay_seconds: 40,
            updated: at(90),
        },
    );
    for (what, p, seen, memory, want) in [
        (
            "running",
            debugged(),
            vec![running("a", 0, 10)],
            Memory::default(),
            vec![start("e", 0)],
        ),
        (
            "in a crash loop",
            debugged(),
            vec![crashing],
            looped,
            vec![start("e", 0)],
        ),
        (
            "still initializing",
            unready.clone(),
            vec![running("i", 0, 10)],
            Memory::default(),
            vec![start("e", 0)],
        ),
        (
            "only now begun",
            unready,
            vec![],
            Memory::default(),
            vec![start("e", 0), start_init("i", 0)],
        ),
    ] {
        let plan = run_with(&p, &observed(seen), &memory, 100);
        assert_eq!(plan.actions, want, "{what}");
    }
    let first = run(&debugged(), &Observed::default());
    assert_eq!(
        first.actions,
        [Action::CreateSandbox { attempt: 0 }],
        "the sandbox comes first"
    );
}

#[test]
fn it_is_never_restarted() {
    for policy in [
        RestartPolicy::Always,
        RestartPolicy::OnFailure,
        RestartPolicy::Never,
    ] {
        let mut p = debugged();
        p.spec.restart_policy = policy;
        for code in [0, 1] {
            let seen = vec![running("a", 0, 10), exited("e", 0, 50, code)];
            assert_eq!(run(&p, &observed(seen)).actions, [], "{policy:?} {code}");
        }
    }
    // Nor when only the API server remembers that it ran, nor in the next sandbox.
    let mut p = debugged();
    p.status.ephemeral_container_statuses = vec![ContainerStatus {
        name: "e".into(),
        container_id: "containerd://e-0".into(),
        ..ContainerStatus::default()
    }];
    assert_eq!(run(&p, &observed(vec![running("a", 0, 10)])).actions, []);
    let elsewhere = ContainerState {
        sandbox: "gone".into(),
        ..exited("e", 0, 50, 0)
    };
    assert_eq!(
        run(&debugged(), &observed(vec![running("a", 0, 10), elsewhere])).actions,
        []
    );
}

#[test]
fn one_that_was_only_created_is_made_again() {
    let seen = vec![
        running("a", 0, 10),
        in_state(RunState::Created, running("e", 0, 20)),
    ];
    assert_eq!(run(&debugged(), &observed(seen)).actions, [remove("e-0")]);
}

#[test]
fn a_failure_to_start_it_is_waited_out() {
    let mut memory = Memory::default();
    note_failure(&mut memory, "e", ("ErrImagePull", "no such image"), at(109));
    let seen = observed(vec![running("a", 0, 10)]);
    let plan = run_with(&debugged(), &seen, &memory, 100);
    assert_eq!(
        (plan.actions.len(), waiting(&plan, "e").0),
        (0, "ErrImagePull".into())
    );
    let plan = run_with(&debugged(), &seen, &memory, 109);
    assert_eq!(plan.actions, [start("e", 0)]);
}

#[test]
fn it_does_not_keep_a_pod_from_its_end() {
    let mut p = debugged();
    p.spec.restart_policy = RestartPolicy::Never;
    let seen = vec![exited("a", 0, 50, 0), running("e", 0, 60)];
    let plan = run(&p, &observed(seen));
    assert!(plan.memory.ended);
    assert_eq!(plan.actions, [stop("e-0", 30, "Stopping container e")]);
    // And none is added to a Pod that has ended.
    let plan = run(&p, &observed(vec![exited("a", 0, 50, 0)]));
    assert_eq!(plan.actions, [Action::StopSandbox { id: "s0".into() }]);
}

#[test]
fn its_own_end_means_nothing() {
    let mut p = debugged();
    p.spec.restart_policy = RestartPolicy::Never;
    let plan = run(&p, &observed(vec![running("a", 0, 10), exited("e", 0, 50, 1)]));
    assert_eq!((plan.actions, plan.memory.ended), (vec![], false));
}

#[test]
fn it_ends_with_the_pod() {
    let seen = observed(vec![running("a", 0, 10), running("e", 0, 20)]);
    let plan = end(&debugged(), &seen, 9);
    let want = [
        stop("a-0", 9, "Stopping container a"),
        stop("e-0", 9, "Stopping container e"),
    ];
    assert_eq!(plan.actions, want);
}
