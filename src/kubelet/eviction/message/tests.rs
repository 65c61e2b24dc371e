use super::*;
use crate::config::Signal;
use crate::kubelet::eviction::ContainerUsage;
use crate::kubelet::eviction::state::Observation;
use crate::model::pod::Quantity;
use crate::model::usage::TreeUse;
use crate::testing::builders::{container, pod, sidecar};
use std::time::Duration;

fn threshold(signal: Signal, level: Level) -> Threshold {
    Threshold {
        signal,
        level,
        grace: Duration::ZERO,
        reclaim: None,
    }
}

fn quantity(value: i64, text: &str) -> Level {
    Level::Quantity {
        value,
        text: text.into(),
    }
}

fn seen(signal: Signal, available: i64) -> Observations {
    let seen = Observation {
        available,
        capacity: 1000 << 20,
        at: 1,
    };
    Observations::from([(signal, seen)])
}

#[test]
fn the_numbers_of_a_threshold_as_upstream_writes_them() {
    let cases = [
        (
            Signal::MemoryAvailable,
            quantity(100 << 20, "100Mi"),
            90 << 20,
            "100Mi, available: 90Mi",
        ),
        (
            Signal::MemoryAvailable,
            quantity(3 << 29, "1.5Gi"),
            1025,
            "1536Mi, available: 1025",
        ),
        (
            Signal::NodeFsAvailable,
            Level::Part(0.25),
            2048,
            "250Mi, available: 2Ki",
        ),
        (
            Signal::NodeFsInodesFree,
            quantity(5000, "5k"),
            4000,
            "5k, available: 4k",
        ),
        (Signal::PidAvailable, quantity(10, "10"), 0, "10, available: 0"),
    ];
    for (signal, level, available, wanted) in cases {
        let (threshold, seen) = (threshold(signal, level), seen(signal, available));
        let told = numbers(resource(signal), &[&threshold], &seen);
        assert_eq!(told, Some(format!("Threshold quantity: {wanted}. ")));
        assert_eq!(
            numbers(resource(signal), &[&threshold], &Observations::new()),
            None
        );
    }
}

#[test]
fn containers_beyond_their_requests_are_named() {
    let mut pod = pod("p", &["big", "small"]);
    pod.spec.containers[0]
        .resources
        .requests
        .insert("memory".into(), Quantity("1Mi".into()));
    pod.spec.containers.push(container("silent"));
    pod.spec.init_containers = vec![sidecar("side")];
    let taken = |name: &str, memory| ContainerUsage {
        name: name.into(),
        memory: Some(memory),
        layer: Some(TreeUse {
            bytes: 1000,
            inodes: 1,
        }),
        logs: TreeUse { bytes: 24, inodes: 1 },
    };
    let used = PodUsage {
        containers: vec![
            taken("big", 2 << 20),
            taken("small", 0),
            taken("side", 1000),
            taken("debugger", 5),
        ],
        ..PodUsage::default()
    };
    let memory = threshold(Signal::MemoryAvailable, quantity(100, "100"));
    let seen = seen(Signal::MemoryAvailable, 99);
    assert_eq!(
        node_low(Resource::Memory, &pod, Some(&used), &[&memory], &seen),
        "The node was low on resource: memory. Threshold quantity: 100, available: 99. Container big was using 2Mi, \
         request is 1Mi, has larger consumption of memory. Container side was using 1k, request is 0, has larger \
         consumption of memory. "
    );
    assert_eq!(
        node_low(Resource::EphemeralStorage, &pod, Some(&used), &[], &seen),
        "The node was low on resource: ephemeral-storage. Container big was using 1Ki, request is 0, has larger \
         consumption of ephemeral-storage. Container small was using 1Ki, request is 0, has larger consumption of \
         ephemeral-storage. Container side was using 1Ki, request is 0, has larger consumption of ephemeral-storage. "
    );
    assert_eq!(
        node_low(Resource::Inodes, &pod, Some(&used), &[&memory], &seen),
        "The node was low on resource: inodes. "
    );
    assert_eq!(
        node_low(Resource::Memory, &pod, None, &[], &seen),
        "The node was low on resource: memory. "
    );
}

#[test]
fn a_pod_that_requests_memory_as_a_whole_is_told_so() {
    let mut pod = pod("p", &["c"]);
    let mut whole = crate::model::pod::Resources::default();
    whole.requests.insert("memory".into(), Quantity("5Mi".into()));
    pod.spec.resources = Some(whole);
    let used = PodUsage {
        memory: Some(3 << 20),
        ..PodUsage::default()
    };
    let told = |resource| node_low(resource, &pod, Some(&used), &[], &Observations::new());
    assert_eq!(
        told(Resource::Memory),
        "The node was low on resource: memory. Pod p was using 3Mi, request is 5Mi, has larger consumption of memory. "
    );
    assert_eq!(told(Resource::Pids), "The node was low on resource: pids. ");
}
