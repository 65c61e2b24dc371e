use super::*;
use crate::config::{Level, Signal, Threshold};
use crate::cri::v1::{RuntimeCondition, RuntimeStatus};

pub(in crate::kubelet::node) fn hard(signal: Signal, level: Level) -> Threshold {
    Threshold {
        signal,
        level,
        grace: std::time::Duration::ZERO,
        reclaim: None,
    }
}

pub(in crate::kubelet::node) fn facts() -> Facts {
    Facts {
        name: "worker-1".into(),
        machine: Machine {
            kernel: "6.18.0".into(),
            os_image: "Debian GNU/Linux 12 (bookworm)".into(),
            arch: "amd64".into(),
            machine_id: "m1".into(),
            system_uuid: "s1".into(),
            boot_id: "b1".into(),
            cpus: 2,
            cpu_cores: 2,
            cpu_sockets: 1,
            memory_bytes: 4 << 30,
            swap_bytes: 0,
            hugepages: vec![(2048, 3), (1 << 20, 0)],
            pid_max: 32_768,
        },
        disk: Disk {
            capacity_bytes: 100 << 30,
            available_bytes: 50 << 30,
        },
        ips: vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
        external_cloud: false,
        max_pods: 110,
        resources: ResourceConfig::default(),
        eviction: EvictionConfig {
            thresholds: vec![
                hard(
                    Signal::MemoryAvailable,
                    Level::Quantity {
                        value: 100 << 20,
                        text: "100Mi".into(),
                    },
                ),
                hard(Signal::NodeFsAvailable, Level::Part(0.1)),
            ],
            ..EvictionConfig::default()
        },
        port: 10250,
        runtime: "containerd://2.4.2".into(),
        extras: Extras::default(),
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

#[test]
fn capacity_and_allocatable_are_quantities() {
    let status = status(&facts(), &[], at(0));
    let (capacity, allocatable) = (&status["capacity"], &status["allocatable"]);
    assert_eq!(capacity["cpu"], "2");
    assert_eq!(capacity["memory"], "4Gi");
    assert_eq!(capacity["pods"], "110");
    assert_eq!(capacity["ephemeral-storage"], "100Gi");
    assert_eq!(capacity["hugepages-2Mi"], "6Mi");
    assert_eq!(capacity["hugepages-1Gi"], "0");
    assert_eq!(allocatable["memory"], format!("{}Mi", 4096 - 100 - 6));
    assert_eq!(allocatable["cpu"], "2");
}

#[test]
fn node_info_names_machine_and_runtime() {
    let status = status(&facts(), &[], at(0));
    assert_eq!(
        status["nodeInfo"]["containerRuntimeVersion"],
        "containerd://2.4.2"
    );
    assert_eq!(status["nodeInfo"]["osImage"], "Debian GNU/Linux 12 (bookworm)");
    assert!(
        status["nodeInfo"]["kubeletVersion"]
            .as_str()
            .unwrap()
            .starts_with("v1.36.")
    );
    assert_eq!(status["daemonEndpoints"]["kubeletEndpoint"]["Port"], 10250);
}

#[test]
fn a_patch_replaces_the_addresses() {
    let patch = patch(&facts(), &[], at(0));
    let addresses = patch["status"]["addresses"].as_array().unwrap();
    assert_eq!(addresses[0], json!({"type": "InternalIP", "address": "10.0.0.1"}));
    assert_eq!(addresses[1], json!({"type": "InternalIP", "address": "fd00::1"}));
    assert_eq!(addresses[2], json!({"type": "Hostname", "address": "worker-1"}));
    assert_eq!(addresses[3], json!({"$patch": "replace"}));
}

#[test]
fn conditions_keep_the_time_of_their_last_change() {
    let first = conditions(&[], &["no network".into()], &Pressures::new(), at(10));
    let ready = |all: &[Condition]| all.iter().find(|c| c.kind == "Ready").unwrap().clone();
    assert_eq!(
        (ready(&first).reason, ready(&first).since),
        ("KubeletNotReady", at(10))
    );
    let both = ["still no network".into(), "node is shutting down".into()];
    let same = conditions(&first, &both, &Pressures::new(), at(20));
    assert_eq!(
        (&*ready(&same).message, ready(&same).since),
        ("[still no network, node is shutting down]", at(10))
    );
    let turned = conditions(&same, &[], &Pressures::new(), at(30));
    assert_eq!((ready(&turned).status, ready(&turned).since), (true, at(30)));
    let others: Vec<_> = turned
        .iter()
        .filter(|c| c.kind != "Ready")
        .map(|c| (c.status, c.since))
        .collect();
    assert_eq!(others, [(false, at(10)); 3]);
    assert_eq!(
        condition(&ready(&turned), at(40))["lastHeartbeatTime"],
        "1970-01-01T00:00:40Z"
    );
}

#[test]
fn the_runtimes_conditions_make_the_problems() {
    let condition = |kind: &str, status, message: &str| RuntimeCondition {
        r#type: kind.into(),
        status,
        reason: if status {
            String::new()
        } else {
            "NetworkPluginNotReady".into()
        },
        message: message.into(),
    };
    let status = |network, message| RuntimeStatus {
        conditions: vec![
            condition("RuntimeReady", true, ""),
            condition("NetworkReady", network, message),
        ],
    };
    assert!(problems(Ok(&status(true, ""))).is_empty());
    assert_eq!(
        problems(Ok(&status(false, "cni plugin not initialized"))),
        [
            "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:cni plugin not initialized"
        ]
    );
    assert_eq!(
        problems(Err("connect: no such file")),
        ["container runtime is down: connect: no such file"]
    );
    assert_eq!(
        problems(Ok(&RuntimeStatus::default())).len(),
        2,
        "silence is not readiness"
    );
}

#[test]
fn pressure_is_told_with_its_own_words_and_time() {
    let calm = conditions(&[], &[], &Pressures::new(), at(10));
    let short = conditions(
        &calm,
        &[],
        &Pressures::from([Pressure::Memory, Pressure::Disk, Pressure::Pid]),
        at(20),
    );
    let told: Vec<_> = short
        .iter()
        .map(|c| (c.kind, c.status, c.reason, c.since))
        .collect();
    assert_eq!(
        told,
        [
            ("MemoryPressure", true, "KubeletHasInsufficientMemory", at(20)),
            ("DiskPressure", true, "KubeletHasDiskPressure", at(20)),
            ("PIDPressure", true, "KubeletHasInsufficientPID", at(20)),
            ("Ready", true, "KubeletReady", at(10)),
        ]
    );
    let events = |all: &[Condition]| all.iter().filter_map(pressure_event).collect::<Vec<_>>();
    assert_eq!(
        events(&short),
        [
            "NodeHasInsufficientMemory",
            "NodeHasDiskPressure",
            "NodeHasInsufficientPID"
        ]
    );
    assert_eq!(
        events(&calm),
        [
            "NodeHasSufficientMemory",
            "NodeHasNoDiskPressure",
            "NodeHasSufficientPID"
        ]
    );
}

#[test]
fn addresses_are_the_clouds_once_it_has_said_some() {
    let with = |node: Value| {
        let mut patch = patch(&facts(), &[], at(0));
        leave_addresses(&mut patch, &node);
        patch["status"].get("addresses").is_some()
    };
    assert!(with(json!({"status": {}})));
    assert!(with(json!({"status": {"addresses": []}})));
    assert!(!with(
        json!({"status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.1"}]}})
    ));
}
