mod ephemeral;
mod world;

use super::*;
use crate::kubelet::observed::{ContainerState, RunState};
use crate::model::pod::{ContainerStatus, ExitCodes, RestartPolicy, RestartRule, StateTerminated};
use crate::testing::builders::*;

/// Plans with nothing remembered and no probes, at second 100.
fn run(pod: &Pod, observed: &Observed) -> Plan {
    run_with(pod, observed, &Memory::default(), 100)
}

fn run_with(pod: &Pod, observed: &Observed, memory: &Memory, now: i64) -> Plan {
    plan(Input {
        pod,
        intent: &Intent::Run,
        observed,
        probes: &BTreeMap::new(),
        memory,
        now: at(now),
    })
}

fn end(pod: &Pod, observed: &Observed, grace_seconds: i64) -> Plan {
    let intent = Intent::Terminate { grace_seconds };
    let memory = Memory::default();
    plan(Input {
        pod,
        intent: &intent,
        observed,
        probes: &BTreeMap::new(),
        memory: &memory,
        now: at(100),
    })
}

fn start(name: &str, attempt: u32) -> Action {
    Action::StartContainer {
        name: name.into(),
        init: false,
        attempt,
        sandbox: "s0".into(),
    }
}

fn start_init(name: &str, attempt: u32) -> Action {
    Action::StartContainer {
        name: name.into(),
        init: true,
        attempt,
        sandbox: "s0".into(),
    }
}

fn stop(id: &str, grace_seconds: i64, message: &str) -> Action {
    let name = id.split('-').next().unwrap().into();
    Action::StopContainer {
        id: id.into(),
        name,
        grace_seconds,
        message: message.into(),
    }
}

fn remove(id: &str) -> Action {
    Action::RemoveContainer { id: id.into() }
}

fn waiting(plan: &Plan, name: &str) -> (String, String) {
    let w = &plan.memory.waiting[name];
    (w.reason.to_string(), w.message.to_string())
}

fn in_state(state: RunState, container: ContainerState) -> ContainerState {
    ContainerState { state, ..container }
}

#[test]
fn a_new_pod_gets_its_sandbox_first() {
    let plan = run(&pod("p", &["a", "b"]), &Observed::default());
    assert_eq!(plan.actions, [Action::CreateSandbox { attempt: 0 }]);
}

#[test]
fn containers_start_together_once_the_sandbox_is_ready() {
    let plan = run(&pod("p", &["a", "b"]), &observed(vec![]));
    assert_eq!(plan.actions, [start("a", 0), start("b", 0)]);
}

#[test]
fn a_running_pod_is_left_alone() {
    let seen = observed(vec![
        running("a", 0, 10),
        running("b", 3, 10),
        exited("b", 2, 5, 1),
    ]);
    assert_eq!(run(&pod("p", &["a", "b"]), &seen), Plan::default());
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
fn init_containers_run_one_after_the_other() {
    let mut p = pod("p", &["a"]);
    p.spec.init_containers = vec![container("i"), container("j")];
    let steps: [(Vec<ContainerState>, Vec<Action>); 5] = [
        (vec![], vec![start_init("i", 0)]),
        (vec![running("i", 0, 10)], vec![]),
        (vec![exited("i", 0, 20, 0)], vec![start_init("j", 0)]),
        (vec![exited("i", 0, 20, 0), running("j", 0, 30)], vec![]),
        (
            vec![exited("i", 0, 20, 0), exited("j", 0, 40, 0)],
            vec![start("a", 0)],
        ),
    ];
    for (containers, want) in steps {
        assert_eq!(
            run(&p, &observed(containers.clone())).actions,
            want,
            "{containers:?}"
        );
    }
    // What ran before the last one may have been removed meanwhile.
    assert_eq!(
        run(&p, &observed(vec![exited("j", 0, 40, 0)])).actions,
        [start("a", 0)]
    );
    assert_eq!(run(&p, &observed(vec![running("a", 0, 50)])).actions, []);
}

#[test]
fn a_failed_init_container_is_retried_or_ends_the_pod() {
    let mut p = pod("p", &["a"]);
    p.spec.init_containers = vec![container("i")];
    let seen = observed(vec![exited("i", 0, 99, 1)]);
    assert_eq!(run(&p, &seen).actions, [start_init("i", 1)]);
    p.spec.restart_policy = RestartPolicy::Never;
    let plan = run(&p, &seen);
    assert!(plan.memory.ended);
    assert_eq!(plan.actions, [Action::StopSandbox { id: "s0".into() }]);
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
fn a_sidecar_must_have_started_before_the_next_one_runs() {
    let mut p = pod("p", &["a"]);
    p.spec.init_containers = vec![sidecar("s"), container("i")];
    p.spec.init_containers[0].startup_probe = Some(probe());
    let seen = observed(vec![running("s", 0, 10)]);
    assert_eq!(run(&p, &seen).actions, []);
    let view = ProbeView {
        started: Some(true),
        ..ProbeView::default()
    };
    let probes = BTreeMap::from([("s-0".into(), view)]);
    let memory = Memory::default();
    let input = Input {
        pod: &p,
        intent: &Intent::Run,
        observed: &seen,
        probes: &probes,
        memory: &memory,
        now: at(100),
    };
    assert_eq!(plan(input).actions, [start_init("i", 0)]);
    // A restarted agent has no result yet, but the API server knows that it had started.
    let known = ContainerStatus {
        name: "s".into(),
        container_id: "containerd://s-0".into(),
        started: Some(true),
        ..ContainerStatus::default()
    };
    p.status.init_container_statuses = vec![known];
    assert_eq!(run(&p, &seen).actions, [start_init("i", 0)]);
}

#[test]
fn a_dead_sidecar_comes_back_beside_running_containers() {
    let mut p = pod("p", &["a"]);
    p.spec.init_containers = vec![sidecar("s")];
    p.spec.restart_policy = RestartPolicy::Never;
    let seen = observed(vec![exited("s", 0, 90, 0), running("a", 0, 20)]);
    assert_eq!(run(&p, &seen).actions, [start_init("s", 1)]);
    // But not once the containers are done.
    let seen = observed(vec![exited("s", 0, 90, 0), exited("a", 0, 95, 0)]);
    let plan = run(&p, &seen);
    assert!(plan.memory.ended);
    assert_eq!(plan.actions, [Action::StopSandbox { id: "s0".into() }]);
}

#[test]
fn sidecars_stop_after_the_containers_and_in_reverse() {
    let mut p = pod("p", &["a"]);
    p.spec.init_containers = vec![sidecar("s"), sidecar("t")];
    let mut containers = vec![running("s", 0, 1), running("t", 0, 2), running("a", 0, 3)];
    assert_eq!(
        end(&p, &observed(containers.clone()), 5).actions,
        [stop("a-0", 5, "Stopping container a")]
    );
    containers[2] = exited("a", 0, 99, 0);
    p.metadata.deletion_timestamp = Some(at(103));
    assert_eq!(
        end(&p, &observed(containers.clone()), 5).actions,
        [stop("t-0", 3, "Stopping container t")]
    );
    containers[1] = exited("t", 0, 99, 0);
    p.metadata.deletion_timestamp = Some(at(50));
    assert_eq!(
        end(&p, &observed(containers), 5).actions,
        [stop("s-0", 2, "Stopping container s")]
    );
}

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
    let codes = |operator: &str| {
        Some(ExitCodes {
            operator: operator.into(),
            values: vec![42],
        })
    };
    p.spec.containers[0].restart_policy = Some(RestartPolicy::Never);
    for (operator, code, again) in [
        ("In", 42, true),
        ("In", 1, false),
        ("NotIn", 42, false),
        ("NotIn", 1, true),
    ] {
        let rule = RestartRule {
            action: "Restart".into(),
            exit_codes: codes(operator),
        };
        p.spec.containers[0].restart_policy_rules = vec![rule];
        assert_eq!(
            should_restart(&p, &p.spec.containers[0], code),
            again,
            "{operator} {code}"
        );
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
fn a_changed_definition_replaces_the_container_whatever_the_policy() {
    let mut p = pod("p", &["a", "b"]);
    p.spec.restart_policy = RestartPolicy::Never;
    p.spec.containers[0].image = "a:2".into();
    let plan = run(&p, &observed(vec![running("a", 0, 10), running("b", 0, 10)]));
    assert_eq!(
        plan.actions,
        [stop(
            "a-0",
            30,
            "Container a definition changed, will be restarted"
        )]
    );
    let dead = observed(vec![exited("a", 0, 99, 0), running("b", 0, 10)]);
    let plan = run_with(&p, &dead, &plan.memory, 100);
    assert_eq!(plan.actions, [start("a", 1)]);
    let fresh = ContainerState {
        hash: "".into(),
        ..running("a", 1, 100)
    };
    let seen = observed(vec![fresh, exited("a", 0, 99, 0), running("b", 0, 10)]);
    let plan = run_with(&p, &seen, &plan.memory, 101);
    assert_eq!((plan.actions, plan.memory.replacing.len()), (vec![], 0));
}

#[test]
fn failed_probes_stop_the_container() {
    let unhealthy = |started| ProbeView {
        unhealthy: Some("no answer".into()),
        ready: None,
        started,
    };
    let mut probed = probe();
    probed.termination_grace_period_seconds = Some(7);
    for (policy, startup, started, want, grace) in [
        (
            RestartPolicy::Always,
            false,
            None,
            "Container a failed liveness probe, will be restarted",
            7,
        ),
        (
            RestartPolicy::Never,
            false,
            None,
            "Container a failed liveness probe",
            7,
        ),
        (
            RestartPolicy::Always,
            true,
            None,
            "Container a failed startup probe, will be restarted",
            30,
        ),
        (
            RestartPolicy::Always,
            true,
            Some(true),
            "Container a failed liveness probe, will be restarted",
            7,
        ),
    ] {
        let mut p = pod("p", &["a"]);
        p.spec.restart_policy = policy;
        p.spec.containers[0].liveness_probe = Some(probed.clone());
        p.spec.containers[0].startup_probe = startup.then(probe);
        let seen = observed(vec![running("a", 0, 10)]);
        let probes = BTreeMap::from([("a-0".into(), unhealthy(started))]);
        let memory = Memory::default();
        let intent = &Intent::Run;
        let plan = plan(Input {
            pod: &p,
            intent,
            observed: &seen,
            probes: &probes,
            memory: &memory,
            now: at(100),
        });
        assert_eq!(plan.actions, [stop("a-0", grace, want)]);
    }
}

#[test]
fn a_container_created_but_never_started_is_removed_and_made_again() {
    let p = pod("p", &["a"]);
    let seen = observed(vec![
        in_state(RunState::Created, running("a", 1, 50)),
        exited("a", 0, 40, 1),
    ]);
    assert_eq!(run(&p, &seen).actions, [remove("a-1")]);
    assert_eq!(
        run(&p, &observed(vec![exited("a", 0, 40, 1)])).actions,
        [start("a", 1)]
    );
}

#[test]
fn a_container_in_unknown_state_is_stopped_before_another_starts() {
    let p = pod("p", &["a"]);
    let seen = observed(vec![in_state(RunState::Unknown, running("a", 0, 50))]);
    let message = "Container is in \"unknown\" state, try killing it before restart";
    assert_eq!(run(&p, &seen).actions, [stop("a-0", 30, message)]);
}

#[test]
fn of_two_running_instances_the_newer_stays() {
    let p = pod("p", &["a"]);
    let seen = observed(vec![running("a", 1, 60), running("a", 0, 50)]);
    assert_eq!(run(&p, &seen).actions, [stop("a-0", 30, "Stopping container a")]);
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

use crate::kubelet::observed::Sandbox;

#[test]
fn failures_to_start_are_waited_out() {
    let p = pod("p", &["a"]);
    let mut memory = Memory::default();
    note_failure(
        &mut memory,
        "a",
        "CreateContainerConfigError",
        "configmap \"x\" not found",
        at(100),
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
fn pulls_back_off_and_change_their_reason() {
    let p = pod("p", &["a"]);
    let mut memory = Memory::default();
    let mut delays = Vec::new();
    for _ in 0..7 {
        note_failure(&mut memory, "a", "ErrImagePull", "not found", at(0));
        delays.push(memory.waiting["a"].retry_at.as_second() - at(0).as_second());
    }
    assert_eq!(delays, [10, 20, 40, 80, 160, 300, 300]);
    let mut memory = Memory::default();
    note_failure(&mut memory, "a", "ErrImagePull", "not found", at(100));
    let plan = run_with(&p, &observed(vec![]), &memory, 100);
    assert_eq!(
        (waiting(&plan, "a").0.as_str(), plan.wake_at),
        ("ErrImagePull", Some(at(102)))
    );
    let plan = run_with(&p, &observed(vec![]), &plan.memory, 102);
    let told = (
        "ImagePullBackOff".into(),
        "Back-off pulling image \"a:1\": ErrImagePull: not found".into(),
    );
    assert_eq!((waiting(&plan, "a"), plan.wake_at), (told, Some(at(110))));
    let plan = run_with(&p, &observed(vec![]), &plan.memory, 110);
    assert_eq!(plan.actions, [start("a", 0)]);
    let mut memory = plan.memory;
    note_failure(&mut memory, "a", "ErrImagePull", "not found", at(110));
    assert_eq!(
        memory.waiting["a"].retry_at,
        at(130),
        "the count goes on through the changed reason"
    );
}

#[test]
fn one_container_that_cannot_start_does_not_hold_the_others() {
    let p = pod("p", &["a", "b"]);
    let mut memory = Memory::default();
    note_failure(&mut memory, "a", "ErrImagePull", "not found", at(100));
    assert_eq!(
        run_with(&p, &observed(vec![]), &memory, 100).actions,
        [start("b", 0)]
    );
}

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
fn a_container_in_its_post_start_hook_is_neither_restarted_nor_passed() {
    let mut p = pod("p", &["a"]);
    let starting = |name: &str| in_state(RunState::Starting, running(name, 0, 10));
    assert_eq!(run(&p, &observed(vec![starting("a")])).actions, []);
    let seen = observed(vec![starting("a")]);
    assert_eq!(
        end(&p, &seen, 9).actions,
        [stop("a-0", 9, "Stopping container a")]
    );
    p.spec.init_containers = vec![sidecar("s")];
    assert_eq!(run(&p, &observed(vec![starting("s")])).actions, []);
    assert_eq!(
        run(&p, &observed(vec![running("s", 0, 10)])).actions,
        [start("a", 0)]
    );
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
        stop("a-1", 2, "Stopping container a")
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
fn an_end_survives_a_restart_of_the_agent() {
    let mut p = pod("p", &["a"]);
    p.status.phase = "Failed".into();
    p.status.reason = Some("DeadlineExceeded".into());
    let memory = recall(&p, &Observed::default());
    assert!(memory.ended);
    assert_eq!(&*memory.failed.unwrap().reason, "DeadlineExceeded");
}
