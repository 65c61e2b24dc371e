use super::*;
use crate::kubelet::stats::snapshot::ContainerDisk;
use crate::model::usage::{CgroupUse, Interface, Traffic};
use std::collections::HashMap;
use std::sync::Arc;

const AT: i64 = 1_795_270_418_611_000_000;

fn used(id: &str) -> Used {
    let mut usage = CgroupUse {
        read_at: AT,
        created: 1_795_270_396.5,
        processes: 2,
        ..CgroupUse::default()
    };
    usage.cpu.total = Some(3_000);
    usage.memory.usage = Some(1000);
    usage.memory.inactive_file = 100;
    usage.limits.memory = Some(5000);
    Used {
        nano_cores: Some(42),
        ..Used::new(id, usage)
    }
}

fn snapshot() -> Snapshot {
    let container = ContainerUse {
        id: "c1".into(),
        name: "main".into(),
        created: AT,
        used: used("/pod/c1"),
        ..ContainerUse::default()
    };
    let interface = |name: &str, bytes| Interface {
        name: name.into(),
        rx: Traffic {
            bytes,
            ..Traffic::default()
        },
        ..Interface::default()
    };
    let pod = PodUse {
        name: "web".into(),
        namespace: "default".into(),
        uid: "u1".into(),
        created: AT,
        used: Some(used("/pod")),
        containers: vec![container],
        interfaces: vec![interface("net1", 1), interface("eth0", 7)],
        ..PodUse::default()
    };
    Snapshot {
        at: AT,
        root: used("/"),
        groups: vec![used("/kubepods")],
        pods: vec![pod],
        ..Snapshot::default()
    }
}

fn disks() -> Disks {
    let fs = FsUse {
        capacity: 1000,
        available: 600,
        used: 300,
        inodes: 50,
        inodes_free: 40,
    };
    let tree = |bytes| TreeUse { bytes, inodes: 1 };
    let volume = |name: &str, ephemeral, bytes| VolumeUse {
        name: name.into(),
        claim: None,
        fs,
        used: tree(bytes),
        ephemeral,
    };
    let pod = PodDisk {
        at: AT,
        volumes: vec![volume("scratch", true, 100), volume("shared", false, 9000)],
        files: tree(4),
    };
    let container = ContainerDisk {
        layer: Some((AT, tree(20))),
        logs: tree(3),
    };
    Disks {
        at: AT,
        node: fs,
        logs: fs,
        images: Some((AT, fs, tree(70))),
        layers: Some((AT, fs, tree(80))),
        containers: HashMap::from([("c1".to_owned(), container)]),
        pods: [("u1".to_owned(), Arc::new(pod))].into(),
    }
}

#[test]
fn the_whole_summary() {
    let all = summary("w1", &snapshot(), Some(&disks()));
    let node = &all["node"];
    assert_eq!(
        (&node["nodeName"], &node["systemContainers"][0]["name"]),
        (&json!("w1"), &json!("pods"))
    );
    assert_eq!(node["cpu"]["usageNanoCores"], 42);
    assert_eq!(node["memory"]["workingSetBytes"], 900);
    assert_eq!(node["memory"]["availableBytes"], 4100);
    assert_eq!(node["fs"]["usedBytes"], 300);
    assert_eq!(node["fs"]["inodesUsed"], 10);
    assert_eq!(node["runtime"]["imageFs"]["usedBytes"], 70);
    let pod = &all["pods"][0];
    assert_eq!(
        pod["podRef"],
        json!({"name": "web", "namespace": "default", "uid": "u1"})
    );
    assert_eq!(pod["startTime"], "2026-11-21T14:13:38Z");
    assert_eq!(
        (&pod["network"]["name"], &pod["network"]["rxBytes"]),
        (&json!("eth0"), &json!(7))
    );
    assert_eq!(pod["network"]["interfaces"][0]["name"], "net1");
    assert_eq!(pod["volume"][1]["usedBytes"], 9000);
    assert_eq!(pod["ephemeral-storage"]["usedBytes"], 100 + 4 + 20 + 3);
    assert_eq!(pod["process_stats"]["process_count"], 2);
    let container = &pod["containers"][0];
    assert_eq!(container["rootfs"]["usedBytes"], 20);
    assert_eq!(container["logs"]["usedBytes"], 3);
    assert!(
        container["swap"].get("swapAvailableBytes").is_none(),
        "swap is not limited"
    );
    assert!(container["memory"]["psi"]["some"]["avg10"].is_number());
}

#[test]
fn cpu_and_memory_alone_are_short() {
    let all = summary("w1", &snapshot(), None);
    let pod = &all["pods"][0];
    for gone in ["network", "volume", "ephemeral-storage", "process_stats", "io"] {
        assert!(pod.get(gone).is_none(), "{gone}");
        assert!(all["node"].get(gone).is_none(), "{gone}");
    }
    assert!(pod["containers"][0].get("rootfs").is_none());
    assert_eq!(pod["containers"][0]["cpu"]["usageCoreNanoSeconds"], 3000);
}

#[test]
fn what_was_never_measured_is_left_out() {
    let mut snapshot = snapshot();
    snapshot.pods[0].containers[0].used.nano_cores = None;
    snapshot.pods[0].containers[0].used.usage.limits.memory = None;
    let all = summary("w1", &snapshot, Some(&Disks::default()));
    let container = &all["pods"][0]["containers"][0];
    assert!(container["cpu"].get("usageNanoCores").is_none());
    assert!(container["memory"].get("availableBytes").is_none());
    assert!(container.get("rootfs").is_none() && container.get("logs").is_none());
    assert_eq!(all["node"]["runtime"]["imageFs"], Value::Null);
}
