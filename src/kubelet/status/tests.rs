mod ephemeral;
mod resize;

use super::*;
use crate::kubelet::observed::Sandbox;
use crate::kubelet::plan::{PodFailure, Waiting};
use crate::model::pod::{
    Condition, ContainerState as OldState, ContainerStatus as OldStatus, PodIp, ReadinessGate, RestartPolicy,
    StateRunning, StateTerminated,
};
use crate::testing::builders::*;
use k8s_openapi::api::core::v1::{ContainerStatus, PodCondition};
use serde_json::json;

/// A situation to take the status of; tests change what they are about.
struct Case {
    pod: Pod,
    intent: Intent,
    observed: Observed,
    probes: BTreeMap<ContainerId, ProbeView>,
    memory: Memory,
    previous: Option<PodStatus>,
    now: i64,
}

impl Case {
    fn new(pod: Pod, observed: Observed) -> Self {
        let (probes, memory) = (BTreeMap::new(), Memory::default());
        Self {
            pod,
            intent: Intent::Run,
            observed,
            probes,
            memory,
            previous: None,
            now: 100,
        }
    }
    fn status(&self) -> PodStatus {
        status(StatusInput {
            pod: &self.pod,
            intent: &self.intent,
            observed: &self.observed,
            probes: &self.probes,
            memory: &self.memory,
            previous: self.previous.as_ref(),
            host_ips: &["192.168.1.10".parse().unwrap()],
            runtime: "containerd",
            now: at(self.now),
        })
    }
    fn phase(&self) -> String {
        self.status().phase.unwrap()
    }
    fn wait(&mut self, name: &str, reason: &str) {
        let waiting = Waiting {
            reason: reason.into(),
            message: "words".into(),
            retry_at: at(200),
            failures: 1,
        };
        self.memory.waiting.insert(name.into(), waiting);
    }
}

fn main_of<'a>(status: &'a PodStatus, name: &str) -> &'a ContainerStatus {
    status
        .container_statuses
        .iter()
        .flatten()
        .find(|c| c.name == name)
        .unwrap()
}

fn init_of<'a>(status: &'a PodStatus, name: &str) -> &'a ContainerStatus {
    status
        .init_container_statuses
        .iter()
        .flatten()
        .find(|c| c.name == name)
        .unwrap()
}

fn waiting_reason(c: &ContainerStatus) -> Option<&str> {
    c.state.as_ref()?.waiting.as_ref()?.reason.as_deref()
}

fn code(state: &Option<k8s_openapi::api::core::v1::ContainerState>) -> Option<i32> {
    Some(state.as_ref()?.terminated.as_ref()?.exit_code)
}

fn condition<'a>(status: &'a PodStatus, kind: &str) -> &'a PodCondition {
    status
        .conditions
        .iter()
        .flatten()
        .find(|c| c.type_ == kind)
        .unwrap()
}

/// Status and reason of a condition.
fn verdict(status: &PodStatus, kind: &str) -> String {
    let c = condition(status, kind);
    [c.status.as_str(), c.reason.as_deref().unwrap_or("")]
        .join(" ")
        .trim()
        .to_owned()
}

fn pod_with(policy: RestartPolicy, containers: &[&str]) -> Pod {
    let mut p = pod("p", containers);
    p.spec.restart_policy = policy;
    p
}

#[test]
fn a_running_pod_in_full() {
    let mut case = Case::new(
        pod("p", &["b", "a"]),
        observed(vec![
            running("a", 2, 10),
            running("b", 0, 12),
            exited("a", 1, 9, 3),
        ]),
    );
    case.pod.status.start_time = Some(at(1));
    let status = serde_json::to_value(case.status()).unwrap();
    let kinds = [
        "PodReadyToStartContainers",
        "Initialized",
        "Ready",
        "ContainersReady",
        "PodScheduled",
    ];
    let condition = |kind: &str| json!({"type": kind, "status": "True", "observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:01:40Z"});
    let common = |name: &str| {
        json!({"name": name, "image": format!("registry/{name}:1"), "imageID": format!("registry/{name}@sha256:0"),
               "ready": true, "started": true, "resources": {}})
    };
    let mut a = common("a");
    a["restartCount"] = json!(2);
    a["containerID"] = json!("containerd://a-2");
    a["state"] = json!({"running": {"startedAt": "2026-01-01T00:00:10Z"}});
    a["lastState"] = json!({"terminated": {
        "containerID": "containerd://a-1", "exitCode": 3, "reason": "Error",
        "startedAt": "2026-01-01T00:00:08Z", "finishedAt": "2026-01-01T00:00:09Z"}});
    let mut b = common("b");
    b["restartCount"] = json!(0);
    b["containerID"] = json!("containerd://b-0");
    b["state"] = json!({"running": {"startedAt": "2026-01-01T00:00:12Z"}});
    let want = json!({
        "phase": "Running", "qosClass": "BestEffort", "observedGeneration": 1,
        "startTime": "2026-01-01T00:00:01Z",
        "hostIP": "192.168.1.10", "hostIPs": [{"ip": "192.168.1.10"}],
        "podIP": "10.244.1.5", "podIPs": [{"ip": "10.244.1.5"}],
        "conditions": kinds.map(condition),
        "containerStatuses": [a, b],
    });
    assert_eq!(status, want);
}

#[test]
fn a_new_pod_waits() {
    let mut p = pod("p", &["a"]);
    let status = Case::new(p.clone(), Observed::default()).status();
    assert_eq!(status.phase.as_deref(), Some("Pending"));
    assert_eq!(waiting_reason(main_of(&status, "a")), Some("ContainerCreating"));
    assert_eq!(main_of(&status, "a").started, Some(false));
    assert_eq!(status.start_time, Some(Time(at(100))));
    assert_eq!(status.pod_ips, None);
    let verdicts = [
        "PodReadyToStartContainers",
        "Initialized",
        "Ready",
        "ContainersReady",
        "PodScheduled",
    ]
    .map(|kind| verdict(&status, kind));
    assert_eq!(
        verdicts,
        [
            "False",
            "True",
            "False ContainersNotReady",
            "False ContainersNotReady",
            "True"
        ]
    );
    let message = condition(&status, "Ready").message.as_deref();
    assert_eq!(message, Some("containers with unready status: [a]"));
    p.spec.init_containers = vec![container("i")];
    let status = Case::new(p, Observed::default()).status();
    assert_eq!(waiting_reason(main_of(&status, "a")), Some("PodInitializing"));
    assert_eq!(verdict(&status, "Initialized"), "False ContainersNotInitialized");
    let message = condition(&status, "Initialized").message.as_deref();
    assert_eq!(message, Some("containers with incomplete status: [i]"));
}

#[test]
fn phases_of_containers() {
    use RestartPolicy::{Always, Never, OnFailure};
    let dead = |name: &str, code| exited(name, 0, 50, code);
    for (what, policy, seen, want) in [
        ("one still to come", Always, vec![running("a", 0, 1)], "Pending"),
        (
            "both run",
            Always,
            vec![running("a", 0, 1), running("b", 0, 1)],
            "Running",
        ),
        (
            "one crashed and comes back",
            Always,
            vec![dead("a", 1), running("b", 0, 1)],
            "Running",
        ),
        (
            "both crashed and come back",
            Always,
            vec![dead("a", 1), dead("b", 0)],
            "Running",
        ),
        (
            "one done, one runs",
            Never,
            vec![dead("a", 0), running("b", 0, 1)],
            "Running",
        ),
        ("both done", Never, vec![dead("a", 0), dead("b", 0)], "Succeeded"),
        (
            "one failed for good",
            Never,
            vec![dead("a", 0), dead("b", 1)],
            "Failed",
        ),
        (
            "both done, on failure",
            OnFailure,
            vec![dead("a", 0), dead("b", 0)],
            "Succeeded",
        ),
        (
            "one failed, on failure",
            OnFailure,
            vec![dead("a", 0), dead("b", 1)],
            "Running",
        ),
    ] {
        assert_eq!(
            Case::new(pod_with(policy, &["a", "b"]), observed(seen)).phase(),
            want,
            "{what}"
        );
    }
}

#[test]
fn phases_of_init_containers_and_sidecars() {
    let mut p = pod("p", &["a"]);
    p.spec.init_containers = vec![sidecar("s"), container("i")];
    let phase = |p: &Pod, seen| Case::new(p.clone(), observed(seen)).phase();
    assert_eq!(phase(&p, vec![running("s", 0, 1), running("i", 0, 2)]), "Pending");
    assert_eq!(
        phase(&p, vec![running("s", 0, 1), exited("i", 0, 2, 1)]),
        "Pending",
        "will be tried again"
    );
    let up = vec![running("s", 0, 1), exited("i", 0, 2, 0), running("a", 0, 3)];
    assert_eq!(phase(&p, up), "Running");
    let mut never = p.clone();
    never.spec.restart_policy = RestartPolicy::Never;
    assert_eq!(
        phase(&never, vec![exited("s", 0, 9, 0), exited("i", 0, 2, 1)]),
        "Failed"
    );
    let done = vec![exited("s", 0, 9, 137), exited("i", 0, 2, 0), exited("a", 0, 8, 0)];
    assert_eq!(
        phase(&never, done),
        "Succeeded",
        "how a sidecar ended does not count"
    );
    // A sidecar that restarts does not send a running Pod back to Pending.
    p.spec.init_containers[0].startup_probe = Some(probe());
    assert_eq!(
        phase(
            &p,
            vec![running("s", 1, 50), exited("i", 0, 2, 0), running("a", 0, 3)]
        ),
        "Running"
    );
    assert_eq!(phase(&p, vec![running("s", 0, 50)]), "Pending");
}

#[test]
fn a_terminal_phase_is_never_left() {
    for phase in ["Succeeded", "Failed"] {
        let mut case = Case::new(pod("p", &["a"]), observed(vec![running("a", 0, 10)]));
        case.pod.status.phase = phase.into();
        case.pod.status.reason = Some("Evicted".into());
        let status = case.status();
        assert_eq!(
            (status.phase.as_deref(), status.reason.as_deref()),
            (Some(phase), Some("Evicted"))
        );
        assert!(
            verdict(&status, "Ready").starts_with("False Pod"),
            "{}",
            verdict(&status, "Ready")
        );
        // Also when only the API server knows.
        case.previous = Some(PodStatus {
            phase: Some("Running".into()),
            ..PodStatus::default()
        });
        assert_eq!(case.phase(), phase);
    }
}

#[test]
fn a_failed_pod_is_failed_once_nothing_runs() {
    let mut case = Case::new(pod("p", &["a"]), observed(vec![running("a", 0, 10)]));
    case.pod.status.phase = "Running".into();
    let reason = PodFailure {
        reason: "DeadlineExceeded".into(),
        message: "too long".into(),
    };
    case.memory = Memory {
        ended: true,
        failed: Some(reason),
        ..Memory::default()
    };
    let status = case.status();
    assert_eq!((status.phase.as_deref(), status.reason), (Some("Running"), None));
    case.observed.containers = vec![exited("a", 0, 90, 0)];
    let status = case.status();
    assert_eq!(status.phase.as_deref(), Some("Failed"));
    assert_eq!(
        (status.reason.as_deref(), status.message.as_deref()),
        (Some("DeadlineExceeded"), Some("too long"))
    );
}

#[test]
fn an_ended_pod_whose_containers_never_all_ran_has_failed() {
    let mut case = Case::new(
        pod_with(RestartPolicy::Never, &["a", "b"]),
        observed(vec![exited("a", 0, 50, 0)]),
    );
    case.memory.ended = true;
    let status = case.status();
    assert_eq!(status.phase.as_deref(), Some("Failed"));
    assert_eq!(code(&main_of(&status, "b").state), Some(137));
}

#[test]
fn a_deleted_pod_ends_with_the_codes_of_its_containers() {
    let mut case = Case::new(pod("p", &["a"]), observed(vec![running("a", 0, 10)]));
    case.intent = Intent::Terminate { grace_seconds: 30 };
    case.pod.status.phase = "Running".into();
    assert_eq!(case.phase(), "Running");
    case.observed.containers = vec![exited("a", 0, 90, 0)];
    let last = case.status();
    assert_eq!(
        (last.phase.as_deref(), code(&main_of(&last, "a").state)),
        (Some("Succeeded"), Some(0))
    );
    // The containers are removed: nothing changes any more.
    case.observed = Observed::default();
    case.previous = Some(last.clone());
    let gone = case.status();
    assert_eq!(gone.container_statuses, last.container_statuses);
    assert_eq!((gone.phase, gone.pod_ips), (last.phase, last.pod_ips));
    // One that never ran has failed, and waits for nothing.
    let mut unborn = Case::new(pod("p", &["a"]), Observed::default());
    unborn.intent = Intent::Terminate { grace_seconds: 30 };
    unborn.wait("a", "ImagePullBackOff");
    let status = unborn.status();
    assert_eq!(status.phase.as_deref(), Some("Failed"));
    assert_eq!(waiting_reason(main_of(&status, "a")), Some("ContainerCreating"));
}

#[test]
fn a_crash_loop_shows_both_states() {
    let mut case = Case::new(pod("p", &["a"]), observed(vec![exited("a", 3, 90, 2)]));
    let status = case.status();
    assert_eq!(
        code(&main_of(&status, "a").state),
        Some(2),
        "nothing is waited for yet"
    );
    case.wait("a", "CrashLoopBackOff");
    let status = case.status();
    let a = main_of(&status, "a");
    assert_eq!(
        (waiting_reason(a), code(&a.last_state)),
        (Some("CrashLoopBackOff"), Some(2))
    );
    assert_eq!(
        (a.restart_count, a.container_id.as_deref()),
        (3, Some("containerd://a-3"))
    );
    assert_eq!(status.phase.as_deref(), Some("Running"));
    // Once it runs again, an old reason to wait is not told.
    case.observed.containers.insert(0, running("a", 4, 95));
    let status = case.status();
    assert!(main_of(&status, "a").state.as_ref().unwrap().running.is_some());
}

#[test]
fn failures_to_start_are_told() {
    let mut case = Case::new(pod("p", &["a", "b"]), observed(vec![running("b", 0, 1)]));
    case.wait("a", "ErrImagePull");
    let status = case.status();
    let waiting = main_of(&status, "a")
        .state
        .as_ref()
        .unwrap()
        .waiting
        .clone()
        .unwrap();
    assert_eq!(
        (waiting.reason.as_deref(), waiting.message.as_deref()),
        (Some("ErrImagePull"), Some("words"))
    );
    assert_eq!(status.phase.as_deref(), Some("Pending"));
    assert!(main_of(&status, "b").ready);
}

#[test]
fn restart_counts_never_shrink() {
    let old = OldStatus {
        name: "a".into(),
        restart_count: 7,
        container_id: "containerd://gone".into(),
        image_id: "img".into(),
        state: OldState {
            running: Some(StateRunning {
                started_at: Some(at(5)),
            }),
            ..OldState::default()
        },
        ..OldStatus::default()
    };
    let mut case = Case::new(pod("p", &["a"]), observed(vec![]));
    case.pod.status.container_statuses = vec![old];
    let status = case.status();
    let a = main_of(&status, "a");
    assert_eq!((a.restart_count, code(&a.last_state)), (7, Some(137)));
    assert_eq!(
        a.last_state
            .as_ref()
            .unwrap()
            .terminated
            .as_ref()
            .unwrap()
            .reason
            .as_deref(),
        Some("ContainerStatusUnknown")
    );
    assert_eq!(
        status.phase.as_deref(),
        Some("Running"),
        "it ran, so it is not pending"
    );
    case.previous = Some(status);
    let again = case.status();
    assert_eq!(main_of(&again, "a").restart_count, 7);
    case.observed.containers = vec![running("a", 0, 90)];
    assert_eq!(main_of(&case.status(), "a").restart_count, 7);
    case.observed.containers = vec![running("a", 8, 90)];
    assert_eq!(main_of(&case.status(), "a").restart_count, 8);
}

#[test]
fn a_lost_container_fails_a_pod_that_never_restarts() {
    let mut case = Case::new(pod_with(RestartPolicy::Never, &["a"]), observed(vec![]));
    let state = OldState {
        running: Some(StateRunning::default()),
        ..OldState::default()
    };
    let container_id = "containerd://x".into();
    case.pod.status.container_statuses = vec![OldStatus {
        name: "a".into(),
        container_id,
        state,
        ..OldStatus::default()
    }];
    assert_eq!(case.phase(), "Failed");
}

#[test]
fn ends_are_remembered_when_the_runtime_forgets() {
    let state = OldState {
        terminated: Some(StateTerminated {
            exit_code: 0,
            reason: Some("Completed".into()),
            ..StateTerminated::default()
        }),
        ..OldState::default()
    };
    let mut case = Case::new(pod_with(RestartPolicy::OnFailure, &["a"]), observed(vec![]));
    case.pod.status.container_statuses = vec![OldStatus {
        name: "a".into(),
        state,
        ..OldStatus::default()
    }];
    let status = case.status();
    assert_eq!(
        (status.phase.as_deref(), code(&main_of(&status, "a").state)),
        (Some("Succeeded"), Some(0))
    );
    // An init container whose trace is gone has succeeded if containers have run.
    let mut case = Case::new(pod("p", &["a"]), observed(vec![running("a", 0, 5)]));
    case.pod.spec.init_containers = vec![container("i"), sidecar("s")];
    let status = case.status();
    assert_eq!(
        (code(&init_of(&status, "i").state), init_of(&status, "i").ready),
        (Some(0), true)
    );
    assert_eq!(
        waiting_reason(init_of(&status, "s")),
        Some("PodInitializing"),
        "a sidecar comes back"
    );
}

#[test]
fn an_init_container_is_ready_when_it_has_succeeded() {
    let mut case = Case::new(
        pod("p", &["a"]),
        observed(vec![exited("i", 0, 5, 0), running("j", 0, 6)]),
    );
    case.pod.spec.init_containers = vec![container("i"), container("j")];
    let status = case.status();
    assert!(init_of(&status, "i").ready && !init_of(&status, "j").ready);
    assert_eq!(init_of(&status, "j").started, Some(true));
    let message = condition(&status, "Initialized").message.as_deref();
    assert_eq!(message, Some("containers with incomplete status: [j]"));
}

#[test]
fn probes_decide_ready_and_started() {
    let mut case = Case::new(pod("p", &["a"]), observed(vec![running("a", 0, 10)]));
    case.pod.spec.containers[0].readiness_probe = Some(probe());
    case.pod.spec.containers[0].startup_probe = Some(probe());
    let mut told = |started, ready| {
        let view = ProbeView {
            unhealthy: None,
            ready,
            started,
        };
        case.probes = BTreeMap::from([("a-0".into(), view)]);
        let status = case.status();
        (main_of(&status, "a").started, main_of(&status, "a").ready)
    };
    assert_eq!(told(None, None), (Some(false), false));
    assert_eq!(
        told(None, Some(true)),
        (Some(false), false),
        "not ready before it has started"
    );
    assert_eq!(told(Some(true), None), (Some(true), false));
    assert_eq!(told(Some(true), Some(true)), (Some(true), true));
    assert_eq!(told(Some(true), Some(false)), (Some(true), false));
}

#[test]
fn a_restarted_agent_keeps_what_was_told_until_a_probe_says_otherwise() {
    let mut case = Case::new(pod("p", &["a"]), observed(vec![running("a", 0, 10)]));
    case.pod.spec.containers[0].readiness_probe = Some(probe());
    case.pod.spec.containers[0].startup_probe = Some(probe());
    let old = OldStatus {
        name: "a".into(),
        ready: true,
        started: Some(true),
        container_id: "containerd://a-0".into(),
        ..OldStatus::default()
    };
    case.pod.status.container_statuses = vec![old];
    let kept = case.status();
    assert_eq!(
        (main_of(&kept, "a").started, main_of(&kept, "a").ready),
        (Some(true), true)
    );
    assert_eq!(verdict(&kept, "Ready"), "True");
    let view = ProbeView {
        ready: Some(false),
        ..ProbeView::default()
    };
    case.probes = BTreeMap::from([("a-0".into(), view)]);
    assert!(!main_of(&case.status(), "a").ready);
    // What was told of another instance counts for nothing.
    case.probes.clear();
    case.observed.containers = vec![running("a", 1, 90)];
    let fresh = case.status();
    assert_eq!(
        (main_of(&fresh, "a").started, main_of(&fresh, "a").ready),
        (Some(false), false)
    );
}

fn told(kind: &str, status: &str, since: i64) -> Condition {
    Condition {
        kind: kind.into(),
        status: status.into(),
        last_transition_time: Some(at(since)),
        ..Condition::default()
    }
}

#[test]
fn transition_times_change_only_with_the_status() {
    let mut case = Case::new(pod("p", &["a"]), observed(vec![running("a", 0, 10)]));
    case.pod.status.conditions = vec![told("Ready", "True", 20), told("ContainersReady", "False", 20)];
    let status = case.status();
    let since = |s: &PodStatus, kind: &str| condition(s, kind).last_transition_time.clone().unwrap().0;
    assert_eq!(
        (since(&status, "Ready"), since(&status, "ContainersReady")),
        (at(20), at(100))
    );
    case.previous = Some(status);
    case.now = 500;
    assert_eq!(since(&case.status(), "ContainersReady"), at(100));
}

#[test]
fn readiness_gates_need_their_conditions() {
    let mut case = Case::new(pod("p", &["a"]), observed(vec![running("a", 0, 10)]));
    case.pod.spec.readiness_gates = vec![ReadinessGate {
        condition_type: "x/y".into(),
    }];
    let status = case.status();
    assert_eq!(verdict(&status, "Ready"), "False ReadinessGatesNotReady");
    assert_eq!(verdict(&status, "ContainersReady"), "True");
    case.pod.status.conditions = vec![told("x/y", "False", 5)];
    let message = condition(&case.status(), "Ready").message.clone().unwrap();
    assert_eq!(
        message,
        "the status of pod readiness gate \"x/y\" is not \"True\", but False"
    );
    case.pod.status.conditions = vec![told("x/y", "True", 5)];
    let status = case.status();
    assert_eq!(verdict(&status, "Ready"), "True");
    assert_eq!(
        condition(&status, "x/y").last_transition_time,
        Some(Time(at(5))),
        "carried along"
    );
}

#[test]
fn a_completed_pod_says_so() {
    let status = Case::new(
        pod_with(RestartPolicy::Never, &["a"]),
        observed(vec![exited("a", 0, 50, 0)]),
    )
    .status();
    let verdicts = ["Initialized", "Ready", "ContainersReady"].map(|kind| verdict(&status, kind));
    assert_eq!(
        verdicts,
        ["True PodCompleted", "False PodCompleted", "False PodCompleted"]
    );
}

#[test]
fn addresses() {
    let two = Sandbox {
        ips: vec!["fd00::5".parse().unwrap(), "10.244.1.5".parse().unwrap()],
        ..sandbox(0)
    };
    let seen = Observed {
        sandboxes: vec![two],
        containers: vec![],
    };
    let ips = |s: PodStatus| s.pod_ips.into_iter().flatten().map(|p| p.ip).collect::<Vec<_>>();
    assert_eq!(
        ips(Case::new(pod("p", &["a"]), seen).status()),
        ["10.244.1.5", "fd00::5"],
        "the node's family first"
    );
    let mut host = pod("p", &["a"]);
    host.spec.host_network = true;
    let bare = Observed {
        sandboxes: vec![Sandbox {
            ips: vec![],
            ..sandbox(0)
        }],
        containers: vec![],
    };
    assert_eq!(ips(Case::new(host, bare).status()), ["192.168.1.10"]);
    // A Pod whose sandbox has ended keeps its address in the status.
    let mut ended = Case::new(pod("p", &["a"]), observed(vec![]));
    ended.observed.sandboxes[0].ready = false;
    ended.pod.status.pod_ips = vec![PodIp {
        ip: "10.244.1.9".parse().ok(),
    }];
    assert_eq!(ips(ended.status()), ["10.244.1.9"]);
}

#[test]
fn a_patch_has_only_what_changed() {
    let mut case = Case::new(pod("p", &["a"]), observed(vec![running("a", 0, 10)]));
    let before = case.status();
    assert_eq!(patch(Some(&before), &before), None);
    case.previous = Some(before.clone());
    case.now = 200;
    assert_eq!(
        patch(Some(&before), &case.status()),
        None,
        "time alone changes nothing"
    );
    case.observed.sandboxes[0].ips = vec!["10.244.1.6".parse().unwrap()];
    let moved = json!({"podIP": "10.244.1.6", "podIPs": [{"$patch": "replace"}, {"ip": "10.244.1.6"}]});
    assert_eq!(patch(Some(&before), &case.status()), Some(moved));
}

#[test]
fn a_patch_touches_only_our_conditions_and_clears_old_words() {
    let mut case = Case::new(pod("p", &["a"]), observed(vec![]));
    case.pod.status.conditions = vec![told("x/y", "True", 5)];
    let before = case.status();
    case.previous = Some(before.clone());
    case.observed.containers = vec![running("a", 0, 101)];
    case.pod.status.conditions = vec![told("x/y", "False", 90)];
    let change = patch(Some(&before), &case.status()).unwrap();
    let kinds: Vec<_> = change["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| &c["type"])
        .collect();
    assert_eq!(kinds, ["Ready", "ContainersReady"]);
    assert_eq!(change["conditions"][0]["reason"], serde_json::Value::Null);
    assert!(
        change["conditions"][0]
            .as_object()
            .unwrap()
            .contains_key("message")
    );
    assert_eq!(change["phase"], "Running");
    assert!(change.get("hostIP").is_none());
}

#[test]
fn a_first_patch_replaces_what_may_be_there() {
    let new = Case::new(pod("p", &["a"]), Observed::default()).status();
    let change = patch(None, &new).unwrap();
    for key in ["reason", "message", "podIP", "podIPs"] {
        assert_eq!(change.get(key), Some(&serde_json::Value::Null), "{key}");
    }
    let conditions = change["conditions"].as_array().unwrap();
    let (gone, told): (Vec<_>, Vec<_>) = conditions.iter().partition(|c| c["$patch"] == "delete");
    let kinds: Vec<_> = gone.iter().map(|c| &c["type"]).collect();
    assert_eq!(told.len(), 5);
    assert_eq!(
        kinds,
        ["PodResizePending", "PodResizeInProgress"],
        "from an earlier life"
    );
    assert_eq!(
        change["hostIPs"],
        json!([{"$patch": "replace"}, {"ip": "192.168.1.10"}])
    );
}
