//! Small builders for Pods and what the runtime says of them.

use crate::config::{KubeletConfig, PullLimits, PullVerification};
use crate::kubelet::hash;
use crate::kubelet::observed::{ContainerState, Observed, RunState, Sandbox};
use crate::model::pod::{Container, ExitCodes, HttpGet, IntOrString, Pod, Probe, RestartPolicy, RestartRule};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// A moment `seconds` after an arbitrary fixed start (2026-01-01T00:00:00Z).
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_767_225_600 + seconds).expect("in range")
}

/// Settings of node `worker-1` with kubelet's defaults and places that do not exist.
pub fn kubelet_config() -> KubeletConfig {
    KubeletConfig {
        node: "worker-1".into(),
        node_ips: Vec::new(),
        labels: BTreeMap::new(),
        taints: Vec::new(),
        root_dir: "/nowhere/kubelet".into(),
        pod_logs_dir: "/nowhere/logs".into(),
        runtime_socket: "/nowhere/sock".into(),
        image_socket: None,
        runtime_timeout: Duration::from_secs(120),
        cgroup_root: "/".into(),
        cgroup_driver: None,
        cluster_dns: Vec::new(),
        cluster_domain: "cluster.local".into(),
        resolv_conf: Some("/etc/resolv.conf".into()),
        seccomp_default: false,
        unsafe_sysctls: Vec::new(),
        ids_per_pod: 65536,
        manifests: None,
        manifest_check: Duration::from_secs(20),
        max_pods: 110,
        port: 10250,
        provider_id: "".into(),
        external_cloud: false,
        register_node: true,
        status_update: Duration::from_secs(10),
        status_report: Duration::from_secs(300),
        lease_seconds: 40,
        longest_restart_pause: Duration::from_secs(300),
        log_rotation: Default::default(),
        eviction: Default::default(),
        image_gc: Default::default(),
        volume_stats: Duration::from_secs(60),
        pulls: PullLimits {
            parallel: None,
            per_second: 0,
            burst: 0,
        },
        pull_verification: PullVerification::default(),
        credential_providers: None,
        max_images: Some(50),
        resources: Default::default(),
        host: Default::default(),
        shutdown: Default::default(),
        declared_features: Vec::new(),
    }
}

/// A Pod `name` in namespace `default`, UID `uid-<name>`, with one container of each name and image `<name>:1`.
pub fn pod(name: &str, containers: &[&str]) -> Pod {
    let mut pod = Pod::default();
    pod.metadata.name = name.into();
    pod.metadata.namespace = "default".into();
    pod.metadata.uid = format!("uid-{name}").into();
    pod.metadata.generation = Some(1);
    pod.spec.node_name = "worker-1".into();
    pod.spec.service_account_name = "default".into();
    pod.spec.containers = containers.iter().map(|c| container(c)).collect();
    pod
}

/// A container with image `<name>:1`.
pub fn container(name: &str) -> Container {
    let image = format!("{name}:1").into();
    Container {
        name: name.into(),
        image,
        termination_message_path: "/dev/termination-log".into(),
        ..Container::default()
    }
}

/// An init container that keeps running.
pub fn sidecar(name: &str) -> Container {
    Container {
        restart_policy: Some(RestartPolicy::Always),
        ..container(name)
    }
}

/// A restart rule about exit codes; `operator` is `In` or `NotIn`.
pub fn rule(action: &str, operator: &str, codes: &[i32]) -> RestartRule {
    RestartRule {
        action: action.into(),
        exit_codes: Some(ExitCodes {
            operator: operator.into(),
            values: codes.to_vec(),
        }),
    }
}

/// An HTTP probe on port 80.
pub fn probe() -> Probe {
    Probe {
        http_get: Some(HttpGet {
            port: IntOrString::Int(80),
            ..HttpGet::default()
        }),
        ..Probe::default()
    }
}

/// A ready sandbox `s<attempt>` with one address.
pub fn sandbox(attempt: u32) -> Sandbox {
    Sandbox {
        id: format!("s{attempt}").into(),
        attempt,
        ready: true,
        created: at(i64::from(attempt)),
        ips: vec!["10.244.1.5".parse().expect("an address")],
    }
}

/// A running instance `<name>-<attempt>` in sandbox `s0`, created and started at `started`.
pub fn running(name: &str, attempt: u32, started: i64) -> ContainerState {
    ContainerState {
        id: format!("{name}-{attempt}").into(),
        name: name.into(),
        sandbox: "s0".into(),
        attempt,
        state: RunState::Running,
        created: at(started),
        started: Some(at(started)),
        finished: None,
        exit_code: 0,
        reason: "".into(),
        message: "".into(),
        image: format!("registry/{name}:1").into(),
        image_ref: format!("registry/{name}@sha256:0").into(),
        limits: None,
        user: None,
        hash: hash::container(&container(name)).into(),
        crash_backoff: None,
    }
}

/// An instance that has ended.
pub fn exited(name: &str, attempt: u32, finished: i64, exit_code: i32) -> ContainerState {
    ContainerState {
        state: RunState::Exited,
        finished: Some(at(finished)),
        exit_code,
        reason: if exit_code == 0 { "Completed" } else { "Error" }.into(),
        ..running(name, attempt, finished - 1)
    }
}

/// What the runtime says: sandbox `s0` is ready and holds these containers.
pub fn observed(containers: Vec<ContainerState>) -> Observed {
    Observed {
        sandboxes: vec![sandbox(0)],
        containers,
    }
}
