//! A node that runs short of something, and Pods that go for it.

use super::world::{World, container, pod};
use crate::config::{EvictionConfig, Level, Signal, Threshold};
use crate::kubelet::eviction::{ContainerUsage, PodUsage, Pressure, Pressures};
use crate::kubelet::stats::snapshot::VolumeUse;
use crate::model::usage::{CgroupUse, TreeUse};
use serde_json::{Value, json};
use std::time::Duration;

/// Evicts at less than 100 of 1000 bytes.
fn hard() -> EvictionConfig {
    EvictionConfig {
        thresholds: vec![Threshold {
            signal: Signal::MemoryAvailable,
            level: Level::Quantity {
                value: 100,
                text: "100".into(),
            },
            grace: Duration::ZERO,
            reclaim: None,
        }],
        transition: Duration::from_secs(30),
        max_pod_grace: 0,
        local_storage: true,
    }
}

fn world(config: EvictionConfig) -> World {
    let mut world = World::new();
    world.eviction = config;
    world.set_free_memory(500);
    world
}

impl World {
    fn set_free_memory(&self, free: u64) {
        let mut root = CgroupUse::default();
        root.memory.usage = Some(1000 - free);
        root.limits.memory = Some(1000);
        self.usage.node.lock().unwrap().root = Some(root);
    }

    fn set_use(&self, name: &str, used: PodUsage) {
        self.usage
            .pods
            .lock()
            .unwrap()
            .insert(format!("uid-{name}"), used);
    }
}

fn uses(memory: u64) -> PodUsage {
    PodUsage {
        memory: Some(memory),
        containers: vec![ContainerUsage {
            name: "app".into(),
            memory: Some(memory),
            ..ContainerUsage::default()
        }],
        ..PodUsage::default()
    }
}

fn with_dir(limit: &str) -> Value {
    let mut app = container("app");
    app["volumeMounts"] = json!([{"name": "scratch", "mountPath": "/scratch"}]);
    json!({
        "containers": [app],
        "volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": limit}}],
    })
}

fn condition(status: &Value, kind: &str) -> Option<Value> {
    let all = status["conditions"].as_array()?;
    all.iter().find(|c| c["type"] == kind).cloned()
}

#[test]
fn the_pod_that_takes_most_goes_and_the_others_stay() {
    let world = world(hard());
    let mut life = world.start();
    life.add(&pod("small", json!({"containers": [container("app")]})));
    let large = pod("large", with_dir("1Gi"));
    life.add(&large);
    let mut critical = pod("critical", json!({"containers": [container("app")]}));
    critical["spec"]["priority"] = 2_000_001_000.into();
    life.add(&critical);
    for (name, memory) in [("small", 10), ("large", 500), ("critical", 900)] {
        world.set_use(name, uses(memory));
    }
    life.pass(15);
    assert_eq!(world.phase("large"), "Running");
    assert!(world.path("pods/uid-large/volumes").exists());
    world.set_free_memory(99);
    while !world.told().contains(&"Evicted") {
        life.pass(1);
    }
    world.set_free_memory(600);
    life.pass(15);
    let status = world.status("large");
    assert_eq!(
        (&status["phase"], &status["reason"]),
        (&json!("Failed"), &json!("Evicted"))
    );
    let text = "The node was low on resource: memory. Threshold quantity: 100, available: 99. Container app was using \
                500, request is 0, has larger consumption of memory. ";
    assert_eq!(status["message"], text);
    let target = condition(&status, "DisruptionTarget").unwrap();
    assert_eq!(
        (&target["status"], &target["reason"], &target["message"]),
        (&json!("True"), &json!("TerminationByKubelet"), &json!(text))
    );
    let told = world.events();
    let told = |reason: &str| {
        told.iter()
            .filter(|e| e.reason == reason)
            .map(|e| e.message.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(told("Evicted"), [text]);
    assert_eq!(told("EvictionThresholdMet"), ["Attempting to reclaim memory"]);
    for name in ["small", "critical"] {
        assert_eq!(world.phase(name), "Running", "{name}");
    }
    assert!(
        !world.path("pods/uid-large/volumes").exists(),
        "what it wrote is free"
    );
    let removed = |world: &World| {
        world
            .cri
            .calls()
            .iter()
            .any(|call| call.starts_with("RemoveContainer"))
    };
    assert!(!removed(&world), "its end must be known first");
    life.echo(&large);
    life.pass(3);
    assert!(removed(&world), "then its containers go");
    assert_eq!(world.status("large")["message"], text);
}

#[test]
fn new_pods_that_request_nothing_are_refused_until_the_pressure_is_over() {
    let world = world(hard());
    let mut life = world.start();
    life.pass(1);
    world.set_free_memory(99);
    life.pass(11);
    assert_eq!(*world.pressures.borrow(), Pressures::from([Pressure::Memory]));
    world.set_free_memory(500);
    let mut asking = container("app");
    asking["resources"] = json!({"requests": {"memory": "1"}});
    life.add(&pod("asks", json!({"containers": [asking]})));
    life.add(&pod("asks-nothing", json!({"containers": [container("app")]})));
    let mut tolerant = pod("tolerant", json!({"containers": [container("app")]}));
    tolerant["spec"]["tolerations"] =
        json!([{"key": "node.kubernetes.io/memory-pressure", "operator": "Exists"}]);
    life.add(&tolerant);
    life.pass(3);
    let refused = world.status("asks-nothing");
    assert_eq!(
        (&refused["phase"], &refused["reason"]),
        (&json!("Failed"), &json!("Evicted"))
    );
    assert_eq!(
        refused["message"],
        "Pod was rejected: The node had condition: [MemoryPressure]. "
    );
    assert_eq!(
        [world.phase("asks"), world.phase("tolerant")],
        ["Running", "Running"]
    );
    life.pass(45);
    assert!(world.pressures.borrow().is_empty());
    life.add(&pod("later", json!({"containers": [container("app")]})));
    life.pass(3);
    assert_eq!(world.phase("later"), "Running");
}

#[test]
fn a_volume_beyond_its_limit_ends_its_pod_only() {
    let world = world(EvictionConfig {
        local_storage: true,
        ..EvictionConfig::default()
    });
    let mut life = world.start();
    for name in ["over", "under"] {
        life.add(&pod(name, with_dir("1Mi")));
        let bytes = if name == "over" { (1 << 20) + 1 } else { 1 << 20 };
        let scratch = VolumeUse {
            name: "scratch".into(),
            used: TreeUse { bytes, inodes: 2 },
            ..VolumeUse::default()
        };
        world.set_use(
            name,
            PodUsage {
                volumes: vec![scratch],
                ..PodUsage::default()
            },
        );
    }
    life.pass(30);
    let status = world.status("over");
    assert_eq!(
        (&status["phase"], &status["reason"]),
        (&json!("Failed"), &json!("Evicted"))
    );
    assert_eq!(
        status["message"],
        r#"Usage of EmptyDir volume "scratch" exceeds the limit "1Mi". "#
    );
    assert!(
        condition(&status, "DisruptionTarget").is_none(),
        "it broke its own limit"
    );
    assert_eq!(world.phase("under"), "Running");
}
