//! When a sandbox is made, retried and replaced.

use super::*;

#[test]
fn a_new_pod_gets_its_sandbox_first() {
    let plan = run(&pod("p", &["a", "b"]), &Observed::default());
    assert_eq!(plan.actions, [Action::CreateSandbox { attempt: 0 }]);
}

#[test]
fn a_failed_sandbox_is_retried_under_a_new_number_and_not_at_once() {
    let p = pod("p", &["a"]);
    let mut memory = Memory::default();
    note_sandbox_failure(&mut memory, "no network", at(100));
    let early = run_with(&p, &Observed::default(), &memory, 100);
    assert_eq!((early.actions, early.wake_at), (vec![], Some(at(101))));
    let due = run_with(&p, &Observed::default(), &memory, 101);
    assert_eq!(due.actions, [Action::CreateSandbox { attempt: 1 }]);
}

#[test]
fn sandbox_retries_slow_down_to_ten_seconds() {
    let mut memory = Memory::default();
    let mut delays = Vec::new();
    for _ in 0..6 {
        note_sandbox_failure(&mut memory, "", at(0));
        delays.push(memory.sandbox_retry.as_ref().unwrap().retry_at.as_second() - at(0).as_second());
    }
    assert_eq!(delays, [1, 2, 4, 8, 10, 10]);
}

#[test]
fn a_dead_sandbox_is_replaced_after_its_containers_are_stopped() {
    let p = pod("p", &["a"]);
    let mut seen = observed(vec![running("a", 0, 10)]);
    seen.sandboxes[0].ready = false;
    assert_eq!(run(&p, &seen).actions, [stop("a-0", 30, "Stopping container a")]);
    seen.containers = vec![exited("a", 0, 90, 137)];
    let next = [
        Action::StopSandbox { id: "s0".into() },
        Action::CreateSandbox { attempt: 1 },
    ];
    assert_eq!(run(&p, &seen).actions, next);
}

#[test]
fn a_pod_that_never_restarts_gets_one_sandbox_in_its_life() {
    let mut p = pod("p", &["a", "b"]);
    p.spec.restart_policy = RestartPolicy::Never;
    let mut seen = observed(vec![exited("a", 0, 90, 0), running("b", 0, 10)]);
    seen.sandboxes[0].ready = false;
    assert_eq!(run(&p, &seen).actions, [stop("b-0", 30, "Stopping container b")]);
    seen.containers[1] = exited("b", 0, 95, 137);
    let plan = run(&p, &seen);
    assert_eq!(plan.actions, []);
    assert!(plan.memory.ended);
    // Nothing has ever been created in it: then it may try again.
    seen.containers.clear();
    assert!(
        run(&p, &seen)
            .actions
            .contains(&Action::CreateSandbox { attempt: 1 })
    );
}

#[test]
fn succeeded_containers_need_no_new_sandbox_on_failure_policy() {
    let mut p = pod("p", &["a", "b"]);
    p.spec.restart_policy = RestartPolicy::OnFailure;
    let mut seen = observed(vec![exited("a", 0, 90, 0), exited("b", 0, 90, 0)]);
    seen.sandboxes[0].ready = false;
    let plan = run(&p, &seen);
    assert_eq!(plan.actions, []);
    assert!(plan.memory.ended);
    seen.containers[1].exit_code = 1;
    assert!(
        run(&p, &seen)
            .actions
            .contains(&Action::CreateSandbox { attempt: 1 })
    );
}

#[test]
fn a_new_sandbox_initializes_again() {
    let mut p = pod("p", &["a"]);
    p.spec.init_containers = vec![container("i")];
    let mut seen = observed(vec![exited("i", 0, 20, 0), exited("a", 0, 90, 137)]);
    seen.sandboxes[0].ready = false;
    seen.sandboxes.insert(0, sandbox(1));
    let sandbox = crate::model::SandboxId::from("s1");
    let want = Action::StartContainer {
        name: "i".into(),
        init: true,
        attempt: 1,
        sandbox,
    };
    assert_eq!(run(&p, &seen).actions, [want]);
}

#[test]
fn old_instances_and_empty_old_sandboxes_are_removed() {
    let p = pod("p", &["a"]);
    let mut seen = observed(vec![
        running("a", 3, 60),
        exited("a", 2, 50, 1),
        exited("a", 1, 40, 1),
    ]);
    seen.sandboxes = vec![
        Sandbox {
            id: "s0".into(),
            ..sandbox(5)
        },
        Sandbox {
            ready: false,
            ..sandbox(4)
        },
    ];
    assert_eq!(
        run(&p, &seen).actions,
        [remove("a-1"), Action::RemoveSandbox { id: "s4".into() }]
    );
    // An old sandbox stays as long as a log is read through it, and is stopped if it is not.
    seen.containers = vec![
        running("a", 3, 60),
        ContainerState {
            sandbox: "s4".into(),
            ..exited("a", 2, 50, 1)
        },
    ];
    assert_eq!(run(&p, &seen).actions, []);
    seen.sandboxes[1].ready = true;
    assert_eq!(run(&p, &seen).actions, [Action::StopSandbox { id: "s4".into() }]);
}
