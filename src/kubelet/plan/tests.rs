mod ends;
mod ephemeral;
mod init;
mod restart_all;
mod restarts;
mod sandboxes;
mod sidecars;
mod world;

use super::*;
use crate::kubelet::observed::{ContainerState, RunState, Sandbox};
use crate::model::pod::{ContainerStatus, RestartPolicy, StateTerminated};
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
        longest_pause: 300,
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
        longest_pause: 300,
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
        hold: false,
    }
}

fn remove(id: &str) -> Action {
    Action::RemoveContainer {
        id: id.into(),
        keep_log: false,
    }
}

fn waiting(plan: &Plan, name: &str) -> (String, String) {
    let w = &plan.memory.waiting[name];
    (w.reason.to_string(), w.message.to_string())
}

fn in_state(state: RunState, container: ContainerState) -> ContainerState {
    ContainerState { state, ..container }
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
            longest_pause: 300,
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
