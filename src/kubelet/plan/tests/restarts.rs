//! Restart policies, back-off, and what is remembered of earlier runs.

use super::*;
use crate::model::pod::{Quantity, ResizePolicy};

#[test]
fn restart_policy_decides_after_an_exit() {
    for (policy, code, again) in [
        (RestartPolicy::Always, 0, true),
        (RestartPolicy::Always, 1, true),
        (RestartPolicy::OnFailure, 0, false),
        (RestartPolicy::OnFailure, 1, true),
        (RestartPolicy::Never, 0, false),
        (RestartPolicy::Never, 1, false),
    ] {
        let mut p = pod("p", &["a", "b"]);
        p.spec.restart_policy = policy;
        let seen = observed(vec![exited("a", 4, 99, code), running("b", 0, 1)]);
        let want = if again { vec![start("a", 5)] } else { vec![] };
        assert_eq!(run(&p, &seen).actions, want, "{policy:?} {code}");
    }
}

#[test]
fn a_containers_own_policy_and_rules_come_first() {
    let mut p = pod("p", &["a"]);
    p.spec.restart_policy = RestartPolicy::Never;
    p.spec.containers[0].restart_policy = Some(RestartPolicy::Never);
    for (operator, code, again) in [
        ("In", 42, true),
        ("In", 1, false),
        ("NotIn", 42, false),
        ("NotIn", 1, true),
    ] {
        p.spec.containers[0].restart_policy_rules = vec![rule("Restart", operator, &[42])];
        assert_eq!(
            should_restart(&p, &p.spec.containers[0], code),
            again,
            "{operator} {code}"
        );
    }
    // The first rule about a code counts; an action nobody knows leaves it to the policy.
    p.spec.containers[0].restart_policy_rules =
        vec![rule("Dance", "In", &[42]), rule("Restart", "NotIn", &[1])];
    for (code, again) in [(42, false), (1, false), (2, true)] {
        assert_eq!(should_restart(&p, &p.spec.containers[0], code), again, "{code}");
    }
    p.spec.containers[0].restart_policy_rules.clear();
    p.spec.containers[0].restart_policy = Some(RestartPolicy::OnFailure);
    assert!(should_restart(&p, &p.spec.containers[0], 1));
}

#[test]
fn the_first_crash_restarts_at_once_and_the_next_ones_back_off() {
    let p = pod("p", &["a"]);
    let mut memory = Memory::default();
    let mut now = 100;
    let mut delays = Vec::new();
    for attempt in 0..8 {
        let seen = observed(vec![exited("a", attempt, now, 1)]);
        let first = run_with(&p, &seen, &memory, now);
        let from = now;
        let plan = match first.wake_at {
            None => first,
            Some(wake) => {
                assert_eq!(first.actions, []);
                now += wake.as_second() - at(now).as_second();
                run_with(&p, &seen, &first.memory, now)
            }
        };
        delays.push(now - from);
        assert_eq!(plan.actions, [start("a", attempt + 1)]);
        memory = plan.memory;
        now += 1;
    }
    assert_eq!(delays, [0, 10, 20, 40, 80, 160, 300, 300]);
}

#[test]
fn the_longest_pause_is_the_nodes() {
    let p = pod("p", &["a"]);
    for (longest, want) in [(1, [1, 1, 1]), (15, [10, 15, 15]), (300, [10, 20, 40])] {
        let mut memory = Memory::default();
        let (mut now, mut delays) = (100, Vec::new());
        for attempt in 0..4 {
            let seen = observed(vec![exited("a", attempt, now, 1)]);
            let pass = |now, memory: &Memory| {
                plan(Input {
                    pod: &p,
                    intent: &Intent::Run,
                    observed: &seen,
                    probes: &BTreeMap::new(),
                    memory,
                    longest_pause: longest,
                    now: at(now),
                })
            };
            let mut next = pass(now, &memory);
            if let Some(wake) = next.wake_at {
                delays.push((wake - at(now)).get_seconds());
                now += delays.last().unwrap();
                next = pass(now, &next.memory);
            }
            assert_eq!(next.actions.first(), Some(&start("a", attempt + 1)));
            memory = next.memory;
        }
        assert_eq!(delays, want, "longest {longest}");
    }
}

#[test]
fn back_off_is_told_in_kubelets_words_and_forgotten_after_a_clean_run() {
    let p = pod("p", &["a"]);
    let backoff = Backoff {
        delay_seconds: 80,
        updated: at(0),
    };
    let memory = Memory {
        backoff: BTreeMap::from([("a".into(), backoff)]),
        ..Memory::default()
    };
    let plan = run_with(&p, &observed(vec![exited("a", 5, 90, 1)]), &memory, 100);
    let message = "back-off 1m20s restarting failed container=a pod=p_default(uid-p)";
    assert_eq!(waiting(&plan, "a"), ("CrashLoopBackOff".into(), message.into()));
    assert_eq!(plan.wake_at, Some(at(170)));
    let plan = run_with(&p, &observed(vec![exited("a", 5, 601, 1)]), &memory, 602);
    assert_eq!(plan.actions, [start("a", 6)]);
    assert_eq!(plan.memory.backoff["a"].delay_seconds, 10);
}

#[test]
fn history_counts_when_the_runtime_has_forgotten() {
    let mut p = pod("p", &["a", "b"]);
    let known = ContainerStatus {
        name: "a".into(),
        container_id: "containerd://a-4".into(),
        restart_count: 4,
        ..ContainerStatus::default()
    };
    p.status.container_statuses = vec![known.clone()];
    assert_eq!(
        run(&p, &observed(vec![running("b", 0, 1)])).actions,
        [start("a", 5)]
    );
    // A container that ran and may not run again is not started a second time.
    p.spec.restart_policy = RestartPolicy::Never;
    assert_eq!(run(&p, &observed(vec![running("b", 0, 1)])).actions, []);
    p.spec.restart_policy = RestartPolicy::OnFailure;
    p.status.container_statuses[0].state.terminated = Some(StateTerminated::default());
    assert_eq!(run(&p, &observed(vec![running("b", 0, 1)])).actions, []);
}

#[test]
fn backoff_survives_a_restart_of_the_agent() {
    let p = pod("p", &["a"]);
    for (gap, want) in [(0, 10), (10, 20), (25, 40), (160, 300), (300, 300), (4000, 300)] {
        let seen = observed(vec![exited("a", 5, 5001, 1), exited("a", 4, 5000 - gap, 1)]);
        let memory = recall(&p, &seen);
        assert_eq!(memory.backoff["a"].delay_seconds, want, "gap {gap}");
    }
    assert!(recall(&p, &observed(vec![running("a", 0, 1)])).backoff.is_empty());
}

#[test]
fn an_instance_says_how_long_its_crash_loop_has_gone_on() {
    let mut p = pod("p", &["a"]);
    let dead = |backoff| ContainerState {
        crash_backoff: backoff,
        ..exited("a", 5, 5001, 1)
    };
    let recalled = |p: &Pod, backoff| {
        recall(p, &observed(vec![dead(backoff)]))
            .backoff
            .get("a")
            .copied()
    };
    assert_eq!(recalled(&p, Some(160)).unwrap().delay_seconds, 160);
    assert_eq!(recalled(&p, Some(0)), None, "it was replaced, not crashed");
    assert_eq!(recalled(&p, None).unwrap().delay_seconds, 10, "a guess");
    // The pause is over as long after the end as it would have been without a restart.
    let memory = recall(&p, &observed(vec![dead(Some(160))]));
    let plan = run_with(&p, &observed(vec![dead(Some(160))]), &memory, 5100);
    assert_eq!((plan.actions, plan.wake_at), (vec![], Some(at(5161))));
    p.spec.containers[0].image = "a:2".into();
    assert_eq!(recalled(&p, Some(160)), None, "another image");
}

#[test]
fn the_newest_instance_is_that_of_the_highest_attempt_whatever_the_clock_says() {
    let p = pod("p", &["a"]);
    let seen = observed(vec![exited("a", 0, 5000, 0), running("a", 1, 100)]);
    assert_eq!(run(&p, &seen).actions, []);
}

#[test]
fn a_clock_that_is_set_back_holds_no_crash_loop_up() {
    let p = pod("p", &["a"]);
    let dead = ContainerState {
        crash_backoff: Some(40),
        ..exited("a", 3, 5000, 1)
    };
    let seen = observed(vec![dead]);
    let memory = recall(&p, &seen);
    for (now, starts) in [(5001, false), (5039, false), (5040, true), (1000, true)] {
        let plan = run_with(&p, &seen, &memory, now);
        assert_eq!(!plan.actions.is_empty(), starts, "at {now}");
    }
}

#[test]
fn failures_to_start_are_waited_out() {
    let p = pod("p", &["a"]);
    let mut memory = Memory::default();
    note_failure(
        &mut memory,
        "a",
        ("CreateContainerConfigError", "configmap \"x\" not found"),
        at(110),
    );
    let plan = run_with(&p, &observed(vec![]), &memory, 105);
    assert_eq!((plan.actions, plan.wake_at), (vec![], Some(at(110))));
    let plan = run_with(&p, &observed(vec![]), &memory, 110);
    assert_eq!(plan.actions, [start("a", 0)]);
    assert_eq!(
        waiting(&plan, "a").0,
        "CreateContainerConfigError",
        "still told until it runs"
    );
    let plan = run_with(&p, &observed(vec![running("a", 0, 111)]), &plan.memory, 112);
    assert!(plan.memory.waiting.is_empty());
}

#[test]
fn one_container_that_cannot_start_does_not_hold_the_others() {
    let p = pod("p", &["a", "b"]);
    let mut memory = Memory::default();
    note_failure(&mut memory, "a", ("ErrImagePull", "not found"), at(110));
    assert_eq!(
        run_with(&p, &observed(vec![]), &memory, 100).actions,
        [start("b", 0)]
    );
}

#[test]
fn a_container_restarts_for_what_no_cgroup_tells() {
    let asks = |memory: &str| -> Pod {
        let mut p = pod("p", &["a"]);
        p.spec.containers[0].resources.requests = [("memory".into(), Quantity(memory.into()))].into();
        p.spec.containers[0].resize_policy = vec![ResizePolicy {
            resource_name: "memory".into(),
            restart_policy: "RestartContainer".into(),
        }];
        p
    };
    let seen = observed(vec![running("a", 0, 10)]);
    let stops = [stop("a-0", 30, "Container a resize requires restart")];
    let first = run(&asks("1Mi"), &seen);
    assert_eq!(first.actions, []);
    let again = |p: &Pod, seen: &Observed| run_with(p, seen, &first.memory, 100);
    assert_eq!(again(&asks("1024Ki"), &seen).actions, [], "the same amount");
    let plan = again(&asks("2Mi"), &seen);
    assert_eq!(plan.actions, stops);
    let ended = observed(vec![exited("a", 0, 99, 137)]);
    let next = run_with(&asks("2Mi"), &ended, &plan.memory, 101);
    assert_eq!(next.actions, [start("a", 1)]);
    assert!(next.memory.given.is_empty(), "one that has ended is forgotten");

    // An agent that is new knows it from the status.
    let mut p = asks("2Mi");
    p.status.container_statuses = vec![ContainerStatus {
        name: "a".into(),
        container_id: "containerd://a-0".into(),
        resources: Some(asks("1Mi").spec.containers[0].resources.clone()),
        ..ContainerStatus::default()
    }];
    assert_eq!(run_with(&p, &seen, &recall(&p, &seen), 100).actions, stops);
}
