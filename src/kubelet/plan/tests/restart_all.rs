//! Starting all containers over.

use super::*;
use crate::model::pod::{Condition, ContainerState as Told, RESTART_ALL, StateWaiting};

/// An init container, a sidecar, and containers `a` and `b`; `a` may start all over with exit code 42.
fn world() -> Pod {
    let mut p = pod("p", &["a", "b"]);
    p.spec.restart_policy = RestartPolicy::Never;
    p.spec.init_containers = vec![container("i"), sidecar("s")];
    p.spec.containers[0].restart_policy = Some(RestartPolicy::Never);
    p.spec.containers[0].restart_policy_rules = vec![rule(RESTART_ALL, "In", &[42])];
    p
}

fn remove(id: &str) -> Action {
    Action::RemoveContainer {
        id: id.into(),
        keep_log: true,
    }
}

fn restarting() -> Memory {
    Memory {
        restarting_all: true,
        ..Memory::default()
    }
}

#[test]
fn everything_is_killed_then_removed_and_the_one_who_asked_goes_last() {
    let p = world();
    let alive = vec![
        exited("i", 0, 5, 0),
        running("s", 0, 6),
        exited("a", 0, 50, 42),
        running("b", 0, 10),
    ];
    let plan = run(&p, &observed(alive));
    assert!(plan.memory.restarting_all && !plan.memory.ended);
    assert_eq!(
        plan.actions,
        [stop("s-0", 0, "killing"), stop("b-0", 0, "killing")]
    );
    let dead = vec![
        exited("i", 0, 5, 0),
        exited("s", 0, 52, 137),
        exited("a", 0, 50, 42),
        exited("b", 0, 52, 137),
    ];
    let plan = run_with(&p, &observed(dead), &plan.memory, 100);
    assert_eq!(plan.actions, ["i-0", "s-0", "b-0", "a-0"].map(remove));
    let plan = run_with(&p, &observed(vec![]), &plan.memory, 101);
    assert!(!plan.memory.restarting_all);
    assert_eq!(
        plan.actions,
        [start_init("i", 1)],
        "from the beginning, in the same sandbox"
    );
    let seen = observed(vec![exited("i", 1, 60, 0), running("s", 1, 61)]);
    let plan = run_with(&p, &seen, &plan.memory, 102);
    assert_eq!(
        plan.actions,
        [start("a", 1), start("b", 1)],
        "whatever they may not do otherwise"
    );
    let mut seen = seen;
    seen.containers
        .extend([running("a", 1, 62), exited("b", 1, 63, 1)]);
    let plan = run_with(&p, &seen, &plan.memory, 103);
    assert_eq!(
        (plan.actions, plan.memory.over_again.contains_key("b")),
        (vec![], false)
    );
}

#[test]
fn only_the_newest_end_and_its_first_rule_count() {
    let mut p = world();
    let begins = |p: &Pod, containers| run(p, &observed(containers)).memory.restarting_all;
    let rest = |a| vec![running("s", 0, 6), running("b", 0, 10), a];
    assert!(begins(&p, rest(exited("a", 0, 50, 42))));
    assert!(!begins(&p, rest(exited("a", 0, 50, 1))));
    let mut again = rest(running("a", 1, 60));
    again.push(exited("a", 0, 50, 42));
    assert!(!begins(&p, again), "it runs again");
    p.spec.containers[0]
        .restart_policy_rules
        .insert(0, rule("Restart", "NotIn", &[1]));
    assert!(!begins(&p, rest(exited("a", 0, 50, 42))));
    // A sidecar may ask for it too, also before the containers have started.
    p.spec.init_containers[1].restart_policy_rules = vec![rule(RESTART_ALL, "NotIn", &[0])];
    assert!(begins(&p, vec![exited("i", 0, 5, 0), exited("s", 0, 6, 1)]));
}

#[test]
fn it_is_finished_after_a_restart_of_the_agent() {
    let mut p = world();
    let half = observed(vec![exited("b", 0, 52, 137)]);
    p.status.conditions = vec![Condition {
        kind: "AllContainersRestarting".into(),
        status: "True".into(),
        ..Condition::default()
    }];
    let memory = recall(&p, &half);
    assert_eq!(memory, restarting());
    assert_eq!(run_with(&p, &half, &memory, 100).actions, [remove("b-0")]);
}

#[test]
fn a_deadline_or_a_deletion_comes_first() {
    let mut p = world();
    let seen = observed(vec![exited("a", 0, 50, 42), running("b", 0, 10)]);
    assert_eq!(
        end(&p, &seen, 9).actions,
        [stop("b-0", 9, "Stopping container b")]
    );
    p.spec.active_deadline_seconds = Some(60);
    p.status.start_time = Some(at(30));
    let plan = run_with(&p, &seen, &restarting(), 100);
    assert!(plan.memory.ended && !plan.memory.restarting_all);
    assert_eq!(plan.actions, [stop("b-0", 30, "Stopping container b")]);
}

#[test]
fn restarts_are_counted_on_whatever_the_api_server_has_heard() {
    let mut p = world();
    p.spec.init_containers.clear();
    let told = |count: i32, state: Told, last: Option<&str>| ContainerStatus {
        name: "a".into(),
        container_id: "containerd://a".into(),
        restart_count: count,
        state,
        last_state: Told {
            terminated: last.map(|reason| StateTerminated {
                reason: Some(reason.into()),
                ..StateTerminated::default()
            }),
            ..Told::default()
        },
        ..ContainerStatus::default()
    };
    let waiting = || Told {
        waiting: Some(StateWaiting::default()),
        ..Told::default()
    };
    let ended = Told {
        terminated: Some(StateTerminated::default()),
        ..Told::default()
    };
    p.spec.containers[0].restart_policy = Some(RestartPolicy::Always);
    for (told, attempt) in [
        (told(2, ended, None), 3),
        (told(3, waiting(), Some("RestartingAllContainers")), 3),
        (told(3, waiting(), Some("ContainerStatusUnknown")), 3),
        (told(2, waiting(), Some("Error")), 3),
    ] {
        p.status.container_statuses = vec![told];
        assert!(run(&p, &observed(vec![])).actions.contains(&start("a", attempt)));
    }
}
