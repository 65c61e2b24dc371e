use super::*;
use crate::kubelet::observed::{ContainerState, RunState};
use crate::kubelet::plan::{Backoff, Waiting};
use crate::kubelet::quantity::Amount;
use crate::model::SandboxId;
use crate::model::pod::VolumeMount;
use std::time::Duration;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

/// A worker whose volumes are set up.
fn state() -> State {
    let mut pod = Pod::default();
    pod.metadata.uid = "u1".into();
    let mut state = State::new(Arc::new(pod), true, at(0));
    state.settle(vec![Done::Volumes(Some(Paths::new()))], at(0));
    state
}

fn under_way(state: &mut State, key: Key, deadline: Option<i64>) {
    let job = Job {
        cancel: CancellationToken::new(),
        stop: deadline.map(|deadline| Stopping {
            deadline: at(deadline),
            turn: true,
            steering: Steering::new(0, true).0,
        }),
    };
    state.jobs.insert(key, job);
}

fn observed(name: &str, id: &str, run: RunState) -> Observed {
    let container = ContainerState {
        id: id.into(),
        name: name.into(),
        sandbox: SandboxId::from("s"),
        attempt: 0,
        state: run,
        created: at(0),
        started: None,
        finished: None,
        exit_code: 0,
        reason: "".into(),
        message: "".into(),
        image: "".into(),
        image_ref: "".into(),
        limits: None,
        user: None,
        hash: "".into(),
        crash_backoff: None,
    };
    Observed {
        sandboxes: Vec::new(),
        containers: vec![container],
    }
}

fn start(name: &str) -> Action {
    Action::StartContainer {
        name: name.into(),
        init: false,
        attempt: 1,
        sandbox: "s".into(),
    }
}

fn stop(id: &str, grace_seconds: i64) -> Action {
    Action::StopContainer {
        id: id.into(),
        name: "a".into(),
        grace_seconds,
        message: "".into(),
        hold: false,
    }
}

fn plan_of(actions: &[Action]) -> Plan {
    Plan {
        actions: actions.to_vec(),
        ..Plan::default()
    }
}

fn chosen(state: &State, observed: &Observed, actions: &[Action]) -> Work {
    choose(&plan_of(actions), state, observed, at(100))
}

#[test]
fn a_container_that_is_being_started_is_left_alone() {
    let mut state = state();
    let half = observed("a", "c1", RunState::Created);
    let steps = [
        Action::RemoveContainer {
            id: "c1".into(),
            keep_log: false,
        },
        start("a"),
        start("b"),
    ];
    let work = chosen(&state, &half, &steps);
    assert_eq!((work.clean_up.len(), work.starts.len()), (1, 2));
    under_way(&mut state, Key::Start("a".into()), None);
    let work = chosen(&state, &half, &steps);
    assert_eq!(
        (work.clean_up.len(), work.starts.as_slice()),
        (0, &[start("b")][..])
    );
    assert!(work.held.contains("a") && !work.held.contains("b"));
}

#[test]
fn a_container_runs_when_its_start_is_done() {
    let mut state = state();
    under_way(&mut state, Key::Start("a".into()), None);
    for (run, want) in [
        (RunState::Running, RunState::Starting),
        (RunState::Created, RunState::Created),
        (RunState::Exited, RunState::Exited),
    ] {
        let mut seen = observed("a", "c1", run);
        state.hide_unfinished(&mut seen);
        assert_eq!(seen.containers[0].state, want);
    }
    let mut other = observed("b", "c2", RunState::Running);
    state.hide_unfinished(&mut other);
    assert_eq!(other.containers[0].state, RunState::Running);
}

#[test]
fn nothing_starts_before_its_volumes_or_while_it_is_being_stopped() {
    let none = observed("a", "c1", RunState::Running);
    let mut bare = state();
    bare.volumes.paths = None;
    let work = chosen(&bare, &none, &[start("a")]);
    assert!(work.starts.is_empty() && work.held.contains("a"));
    let mut state = state();
    under_way(&mut state, Key::Stop("c1".into()), Some(130));
    assert!(chosen(&state, &none, &[start("a")]).starts.is_empty());
}

#[test]
fn a_container_added_later_waits_for_a_volume_nobody_had_mounted() {
    let mut state = state();
    state.volumes.with = Some(state.pod.metadata.clone());
    let mut pod = Pod::clone(&state.pod);
    pod.metadata.generation = Some(2);
    let mut debugger = crate::testing::builders::container("e");
    debugger.volume_mounts = vec![VolumeMount {
        name: "data".into(),
        ..VolumeMount::default()
    }];
    pod.spec.ephemeral_containers = vec![debugger];
    assert!(!state.wants_volumes(at(0)), "nothing has changed");
    state.update(Some(Arc::new(pod)));
    assert!(state.wants_volumes(at(0)));
    let none = Observed::default();
    let work = chosen(&state, &none, &[start("e"), start("a")]);
    assert_eq!(work.starts, [start("a")]);
    assert!(work.held.contains("e"));
    let paths = Paths::from([("data".into(), "/x".into())]);
    state.settle(vec![Done::Volumes(Some(paths))], at(1));
    assert_eq!(chosen(&state, &none, &[start("e")]).starts, [start("e")]);
}

#[test]
fn a_stop_is_repeated_only_to_end_sooner() {
    let mut state = state();
    let running = observed("a", "c1", RunState::Running);
    assert_eq!(chosen(&state, &running, &[stop("c1", 30)]).stops.len(), 1);
    under_way(&mut state, Key::Stop("c1".into()), Some(130));
    assert!(chosen(&state, &running, &[stop("c1", 30)]).stops.is_empty());
    assert_eq!(
        chosen(&state, &running, &[stop("c1", 2)]).stops.len(),
        1,
        "kubectl delete --now"
    );
    let waits = |turn: bool| Action::StopContainer {
        id: "c1".into(),
        name: "a".into(),
        grace_seconds: 30,
        message: "".into(),
        hold: !turn,
    };
    let turns = |state: &State, plan: &[Action]| chosen(state, &running, plan).turns.len();
    assert!(chosen(&state, &running, &[waits(false)]).stops.is_empty());
    assert_eq!(turns(&state, &[]), 0, "it has its turn");
    let job = state.jobs.get_mut(&Key::Stop("c1".into())).unwrap();
    job.stop.as_mut().unwrap().turn = false;
    assert_eq!(turns(&state, &[waits(false)]), 0);
    assert_eq!(turns(&state, &[waits(true)]), 1, "the others have ended");
    assert_eq!(turns(&state, &[]), 1, "it has ended itself");
}

#[test]
fn the_first_failure_somebody_tells_of_counts_and_is_remembered() {
    let mut state = state();
    let failure = |reason: &str| PodFailure {
        reason: reason.into(),
        ..PodFailure::default()
    };
    state.fail(failure("Evicted"));
    state.fail(failure("Terminated"));
    let none = Observed::default();
    assert_eq!(state.memory_for(&none).failed, Some(failure("Evicted")));
    state.memory = Some(Memory {
        ended: true,
        ..Memory::default()
    });
    assert_eq!(state.memory_for(&none).failed, None, "it had ended before");
}

#[test]
fn a_pod_that_goes_is_cleaned_up_when_nothing_of_it_is_being_started() {
    let mut state = state();
    state.update(None);
    assert!(matches!(state.intent(), Intent::Terminate { grace_seconds: 30 }));
    let step = [Action::StopSandbox { id: "s".into() }];
    under_way(&mut state, Key::Start("a".into()), None);
    assert!(chosen(&state, &Observed::default(), &step).clean_up.is_empty());
    state.settle(vec![Done::Start("a".into(), Ok(false))], at(100));
    assert_eq!(chosen(&state, &Observed::default(), &step).clean_up.len(), 1);
}

#[test]
fn the_memory_of_a_held_container_is_not_taken_over() {
    let mut state = state();
    let backoff = |delay_seconds| Backoff {
        delay_seconds,
        updated: at(0),
    };
    let memory = |a, b| Memory {
        backoff: [("a".into(), backoff(a)), ("b".into(), backoff(b))].into(),
        ..Memory::default()
    };
    state.memory = Some(memory(10, 10));
    state.remember(memory(20, 20), &BTreeSet::from(["a".into()]));
    assert_eq!(
        state.memory,
        Some(memory(10, 20)),
        "planning twice during one start doubles nothing"
    );
}

#[test]
fn failures_pause_and_a_success_ends_the_pause() {
    let mut state = state();
    let fail = || vec![Done::Plain(Key::CleanUp, Err("no".into()))];
    state.settle(fail(), at(0));
    assert!(!state.free(&Key::CleanUp, at(0)) && state.free(&Key::CleanUp, at(1)));
    state.settle(fail(), at(1));
    assert_eq!(state.cooled(at(1)), Some(at(3)));
    state.settle(vec![Done::Plain(Key::CleanUp, Ok(()))], at(1));
    assert!(state.free(&Key::CleanUp, at(1)));
}

#[test]
fn another_image_or_other_resources_end_a_pause() {
    let pod = |image: &str, cpu: &str| {
        let mut pod = crate::testing::builders::pod("p", &["a", "b"]);
        pod.spec.containers[0].image = image.into();
        let cpu = crate::model::pod::Quantity(cpu.into());
        pod.spec.containers[1].resources.requests = [("cpu".into(), cpu)].into();
        Some(Arc::new(pod))
    };
    let mut state = state();
    let backoff = Backoff {
        delay_seconds: 40,
        updated: at(0),
    };
    let mut pauses = |pod: Option<Arc<Pod>>| {
        state.update(pod);
        let room = Room {
            allocatable: [Amount::whole(4); 2],
            ..Room::default()
        };
        state.grant(|| room, |_, _| false);
        let memory = state.memory.get_or_insert_default();
        let left: Vec<_> = memory.backoff.keys().map(|name| name.to_string()).collect();
        memory.backoff = [("a".into(), backoff), ("b".into(), backoff)].into();
        left
    };
    pauses(pod("a:1", "1"));
    assert_eq!(pauses(pod("a:1", "1")), ["a", "b"]);
    assert_eq!(pauses(pod("a:2", "1")), ["b"]);
    assert_eq!(pauses(pod("a:2", "2")), ["a"]);
    assert_eq!(pauses(pod("a:2", "5")), ["a", "b"], "there is no room for it");
}

#[test]
fn a_failed_start_is_remembered_until_one_succeeds() {
    let mut state = state();
    let error = StartError {
        reason: "RunContainerError",
        message: "no such file".into(),
        retry_after: Duration::from_secs(10),
    };
    state.settle(vec![Done::Start("a".into(), Err(error))], at(0));
    let waiting = |state: &State| {
        state
            .memory
            .as_ref()
            .unwrap()
            .waiting
            .get("a")
            .map(|w: &Waiting| w.reason.clone())
    };
    assert_eq!(waiting(&state).as_deref(), Some("RunContainerError"));
    state.settle(vec![Done::Start("a".into(), Ok(true))], at(20));
    assert_eq!(waiting(&state), None);
}

#[test]
fn a_pod_that_went_does_not_come_back() {
    let mut state = state();
    assert_eq!(state.intent(), Intent::Run);
    let mut deleted = Pod::default();
    deleted.metadata.deletion_timestamp = Some(at(5));
    deleted.metadata.deletion_grace_period_seconds = Some(5);
    state.update(Some(Arc::new(deleted)));
    assert_eq!(state.intent(), Intent::Terminate { grace_seconds: 5 });
    state.fail(PodFailure {
        grace_seconds: Some(0),
        ..PodFailure::default()
    });
    assert_eq!(
        state.intent(),
        Intent::Terminate { grace_seconds: 1 },
        "shorter, but not nothing"
    );
    state.update(Some(Arc::new(Pod::default())));
    assert!(matches!(state.intent(), Intent::Terminate { .. }));
}

#[test]
fn waits_go_with_a_clock_that_is_set() {
    let run = |steps: &[(i64, u64)]| {
        let mut state = state();
        under_way(&mut state, Key::Stop("c".into()), Some(130));
        state.settle(vec![Done::Plain(Key::CleanUp, Err("no".into()))], at(100));
        let failed = StartError {
            reason: "ErrImagePull",
            message: "no".into(),
            retry_after: Duration::from_secs(20),
        };
        state.settle(vec![Done::Start("a".into(), Err(failed))], at(100));
        for (now, uptime) in steps {
            state.follow_clock(at(*now), Duration::from_secs(*uptime));
        }
        let last = at(steps.last().unwrap().0);
        let memory = state.memory.as_ref().unwrap();
        let stop = state.jobs[&Key::Stop("c".into())].stop.as_ref().unwrap();
        let left = |until: Timestamp| until.duration_since(last).as_secs();
        [
            left(memory.waiting["a"].retry_at),
            left(stop.deadline),
            left(state.cooled(at(-100_000)).unwrap()),
        ]
    };
    assert_eq!(run(&[(100, 7)]), [20, 30, 1]);
    assert_eq!(run(&[(100, 7), (101, 8)]), [19, 29, 0]);
    assert_eq!(run(&[(100, 7), (-3499, 8)]), [19, 29, 0], "back by an hour");
    assert_eq!(run(&[(100, 7), (3701, 8)]), [19, 29, 0], "forwards by an hour");
    assert_eq!(
        run(&[(100, 7), (102, 8)]),
        [18, 28, -1],
        "a correction is no jump"
    );
}
