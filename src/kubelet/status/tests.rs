mod conditions;
mod containers;
mod disruption;
mod ephemeral;
mod gone;
mod patch;
mod phases;
mod resize;
mod restart_all;

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

fn told(kind: &str, status: &str, since: i64) -> Condition {
    Condition {
        kind: kind.into(),
        status: status.into(),
        last_transition_time: Some(at(since)),
        ..Condition::default()
    }
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
        "phase": "Running", "qosClass": "BestEffort",
        "resources": {}, "observedGeneration": 1,
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
