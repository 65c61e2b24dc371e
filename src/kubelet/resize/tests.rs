use super::*;
use crate::model::cgroup::CpuMax;
use crate::model::pod::{ContainerStatus, Quantity, ResizePolicy};
use crate::testing::builders::{container, pod, sidecar};

fn list(amounts: &[(&str, &str)]) -> BTreeMap<Box<str>, Quantity> {
    let one = |(name, text): &(&str, &str)| ((*name).into(), Quantity((*text).into()));
    amounts.iter().map(one).collect()
}

fn resources(requests: &[(&str, &str)], limits: &[(&str, &str)]) -> Resources {
    Resources {
        requests: list(requests),
        limits: list(limits),
    }
}

/// A Pod whose containers ask for these amounts of CPU and memory.
fn asking(amounts: &[(&str, &str, &str)]) -> Pod {
    let mut p = pod("p", &[]);
    for (name, cpu, memory) in amounts {
        let mut c = container(name);
        c.resources = resources(&[("cpu", cpu), ("memory", memory)], &[]);
        p.spec.containers.push(c);
    }
    p
}

fn room(cpu: i64, others: i64) -> Room {
    Room {
        allocatable: [Amount::whole(cpu), Amount::whole(1 << 30)],
        others: [Amount::whole(others), Amount::ZERO],
    }
}

#[test]
fn what_is_told_to_cgroups() {
    for (requests, limits_, shares, quota, memory) in [
        (vec![], vec![], 2, 0, 0),
        (vec![("cpu", "250m")], vec![], 256, 0, 0),
        (
            vec![("cpu", "0.25")],
            vec![("cpu", "1"), ("memory", "1Ki")],
            256,
            100_000,
            1024,
        ),
        (vec![], vec![("cpu", "500m")], 512, 50_000, 0),
        (vec![("cpu", "1m")], vec![("cpu", "1m")], 2, 1000, 0),
        (vec![("cpu", "1000")], vec![], 262_144, 0, 0),
    ] {
        let want = Limits {
            shares,
            quota,
            memory,
        };
        let mut c = container("c");
        c.resources = resources(&requests, &limits_);
        assert_eq!(
            limits(&pod("p", &[]), &c, Cfs::default()),
            want,
            "{requests:?} {limits_:?}"
        );
    }
}

#[test]
fn amounts_are_compared_and_not_how_they_are_written() {
    let p = asking(&[("a", "0.5", "1Gi")]);
    let mut granted = asked(&asking(&[("a", "500m", "1024Mi")]));
    assert!(settled(&p, &granted));
    granted = asked(&asking(&[("a", "501m", "1024Mi")]));
    assert!(!settled(&p, &granted));
    assert!(!settled(&p, &Grants::new()), "a container without a grant");
}

#[test]
fn more_is_granted_where_there_is_room() {
    let old = asked(&asking(&[("a", "1", "1Mi"), ("b", "1", "1Mi")]));
    let more = asking(&[("a", "2", "1Mi"), ("b", "1", "1Mi")]);
    let reason = |p: &Pod, room: Room| refusal(p, &old, &room, no_swap).map(|p| (p.reason, p.message));
    assert_eq!(reason(&more, room(4, 1)), None);
    let deferred = "Node didn't have enough resource: cpu, requested: 3000, used: 2000, capacity: 4000";
    assert_eq!(reason(&more, room(4, 2)), Some(("Deferred", deferred.into())));
    let infeasible = "Node didn't have enough capacity: cpu, requested: 3000, capacity: 2000";
    assert_eq!(reason(&more, room(2, 0)), Some(("Infeasible", infeasible.into())));
    // What does not grow needs no room, on a node that is full too.
    let shifted = asking(&[("a", "1.5", "1Mi"), ("b", "0.5", "1Mi")]);
    assert_eq!(reason(&shifted, room(2, 2)), None);
    let big = asking(&[("a", "1", "2Gi"), ("b", "1", "1Mi")]);
    let (why, message) = reason(&big, room(4, 0)).unwrap();
    assert_eq!(why, "Infeasible");
    assert!(
        message.contains("memory, requested: 2148532224, capacity: 1073741824"),
        "{message}"
    );
}

fn no_swap(_: &Pod, _: &Container) -> bool {
    false
}

#[test]
fn a_part_of_the_swap_cannot_change_while_a_container_runs() {
    let granted = asked(&asking(&[("a", "1", "1Mi"), ("b", "1", "1Mi")]));
    let swaps = |_: &Pod, c: &Container| &*c.name == "a";
    let refused = |p: &Pod| refusal(p, &granted, &room(4, 0), swaps).map(|p| (p.reason, p.message));
    let infeasible = Some(("Infeasible", SWAP.to_owned()));
    let mut memory = asking(&[("a", "1", "2Mi"), ("b", "1", "1Mi")]);
    assert_eq!(refused(&memory), infeasible);
    memory.spec.containers[0].resize_policy = vec![ResizePolicy {
        resource_name: "memory".into(),
        restart_policy: "RestartContainer".into(),
    }];
    assert_eq!(refused(&memory), None, "it starts anew");
    assert_eq!(refused(&asking(&[("a", "2", "1Mi"), ("b", "1", "1Mi")])), None);
    assert_eq!(refused(&asking(&[("a", "1", "1Mi"), ("b", "1", "2Mi")])), None);
}

#[test]
fn what_is_asked_for_is_counted_amount_by_amount() {
    let with = |requests: &[(&str, &str)], limits: &[(&str, &str)]| {
        let mut p = asking(&[("a", "1", "1Mi")]);
        p.spec.containers[0].resources = resources(requests, limits);
        p
    };
    let old = with(&[("cpu", "1"), ("memory", "1Mi")], &[("memory", "2Mi")]);
    let new = with(
        &[("cpu", "500m"), ("memory", "1024Ki")],
        &[("cpu", "2"), ("memory", "3Mi")],
    );
    let words = |old: &Pod, new: &Pod| -> Vec<String> {
        let all = requested(old, new).into_iter();
        all.map(|r| format!("{} {} {}", r.resource, r.requirement, r.operation))
            .collect()
    };
    assert_eq!(
        words(&old, &new),
        [
            "cpu requests decrease",
            "cpu limits add",
            "memory limits increase"
        ]
    );
    assert_eq!(
        words(&new, &old),
        [
            "cpu requests increase",
            "cpu limits remove",
            "memory limits decrease"
        ]
    );
}

#[test]
fn requests_of_init_containers_count_while_they_run() {
    let mut p = asking(&[("a", "1", "1Mi")]);
    p.spec.init_containers = asking(&[("i", "3", "1Mi")]).spec.containers;
    let mut side = sidecar("s");
    side.resources = resources(&[("cpu", "500m")], &[]);
    assert_eq!(requests(&p)[0], Amount::whole(3));
    p.spec.init_containers.push(side);
    p.spec.init_containers.remove(0);
    assert_eq!(requests(&p)[0].milli(), 1500, "a sidecar's always");
}

#[test]
fn what_was_granted_is_remembered_by_the_status() {
    let mut p = asking(&[("a", "2", "1Mi"), ("b", "1", "1Mi")]);
    p.status.container_statuses = vec![ContainerStatus {
        name: "a".into(),
        container_id: "containerd://1".into(),
        allocated_resources: list(&[("cpu", "1"), ("memory", "1Mi")]),
        resources: Some(resources(&[("cpu", "1")], &[("cpu", "4")])),
        ..ContainerStatus::default()
    }];
    let granted = told(&p);
    assert_eq!(granted["a"].requests, list(&[("cpu", "1"), ("memory", "1Mi")]));
    assert_eq!(granted["a"].limits, list(&[("cpu", "4")]));
    assert_eq!(granted["b"], p.spec.containers[1].resources, "one that never ran");
    assert!(!settled(&p, &granted));
    let run = with(&p, &granted);
    assert_eq!(run.spec.containers[0].resources, granted["a"]);
    assert_eq!(run.metadata, p.metadata);
}

#[test]
fn init_containers_are_granted_like_any_other() {
    let mut p = asking(&[("a", "1", "1Mi")]);
    p.spec.init_containers = asking(&[("i", "1", "1Mi")]).spec.containers;
    let granted = asked(&p);
    p.spec.init_containers[0].resources = resources(&[("cpu", "3"), ("memory", "1Mi")], &[]);
    assert!(!settled(&p, &granted));
    assert_eq!(
        refusal(&p, &granted, &room(2, 0), no_swap).unwrap().reason,
        "Infeasible"
    );
    let run = with(&p, &granted);
    assert_eq!(run.spec.init_containers[0].resources, granted["i"]);
}

#[test]
fn a_container_is_held_against_what_the_runtime_says() {
    let mut c = container("a");
    c.resources = resources(&[("cpu", "1")], &[("cpu", "2"), ("memory", "1Mi")]);
    let (p, cfs) = (pod("p", &[]), Cfs::default());
    let right = limits(&p, &c, cfs);
    let with = |change: fn(&mut Limits)| {
        let mut limits = right;
        change(&mut limits);
        Some(limits)
    };
    let none: [&str; 0] = [];
    assert_eq!(differing(&p, &c, Some(right), cfs), none);
    assert_eq!(differing(&p, &c, None, cfs), none, "a runtime that does not say");
    assert_eq!(differing(&p, &c, with(|l| l.shares = 0), cfs), none, "nor that");
    assert_eq!(differing(&p, &c, with(|l| l.shares = 2), cfs), ["cpu"]);
    assert_eq!(differing(&p, &c, with(|l| l.quota = 0), cfs), ["cpu"]);
    assert_eq!(differing(&p, &c, with(|l| l.memory = 5), cfs), ["memory"]);
    c.resize_policy = vec![ResizePolicy {
        resource_name: "memory".into(),
        restart_policy: "RestartContainer".into(),
    }];
    assert!(needs_restart(&c, &["cpu", "memory"]) && !needs_restart(&c, &["cpu"]));
}

#[test]
fn events_have_the_resources() {
    let p = asking(&[("a", "1", "1Mi")]);
    assert_eq!(
        words("started", &p, ""),
        r#"Pod resize started: {"containers":[{"name":"a","resources":{"requests":{"cpu":"1","memory":"1Mi"}}}],"generation":1}"#
    );
    assert!(words("error", &p, "why").contains(r#""error":"why""#));
}

#[test]
fn the_pod_as_a_whole_is_granted_like_a_container() {
    let mut p = asking(&[("a", "1", "1Mi")]);
    let whole = |cpu: &str| resources(&[("cpu", cpu)], &[("cpu", "4"), ("memory", "1Gi")]);
    p.spec.resources = Some(whole("2"));
    let granted = asked(&p);
    assert!(settled(&p, &granted));
    assert_eq!(requests(&p)[0], Amount::whole(2));
    p.spec.resources = Some(whole("3"));
    assert!(!settled(&p, &granted));
    assert_eq!(requests(&with(&p, &granted))[0], Amount::whole(2));
    assert_eq!(
        refusal(&p, &granted, &room(4, 2), no_swap).unwrap().reason,
        "Deferred"
    );
    // An agent that is new knows it from the status.
    p.status.allocated_resources = list(&[("cpu", "2"), ("memory", "1Mi")]);
    p.status.resources = Some(resources(&[("cpu", "2")], &[("cpu", "2"), ("memory", "512Mi")]));
    let told = told(&p)[WHOLE].clone();
    assert_eq!(
        told,
        resources(&[("cpu", "2")], &[("cpu", "2"), ("memory", "512Mi")])
    );
    p.spec.overhead = list(&[("cpu", "1")]);
    assert_eq!(
        super::told(&p)[WHOLE],
        whole("3"),
        "a sum with overhead tells nothing"
    );
}

fn cgroup(shares: u64, quota: Option<u64>, memory: Option<u64>) -> CgroupSettings {
    CgroupSettings {
        cpu_shares: Some(shares),
        cpu_max: quota.map(|quota| CpuMax {
            quota: Some(quota),
            period: 100_000,
        }),
        memory,
        ..CgroupSettings::default()
    }
}

#[test]
fn a_pods_cgroup_grows_before_its_containers_and_shrinks_after_them() {
    let (small, large) = (cgroup(100, Some(10), Some(10)), cgroup(200, Some(20), Some(20)));
    assert_eq!(next(&small, &small, true), None);
    assert_eq!(next(&small, &large, true), Some(large.clone()));
    assert_eq!(next(&large, &small, true), None, "containers first");
    assert_eq!(next(&large, &small, false), Some(small.clone()));
    let mixed = cgroup(100, Some(20), Some(5));
    let grown = next(&small, &mixed, true).unwrap();
    assert_eq!(
        (grown.cpu_shares, grown.cpu_max, grown.memory),
        (None, mixed.cpu_max, None)
    );
    let rest = next(&cgroup(100, Some(20), Some(10)), &mixed, false).unwrap();
    assert_eq!((rest.cpu_max, rest.memory), (None, Some(5)));
}

#[test]
fn a_limit_that_is_new_comes_last_and_one_that_is_gone_stays() {
    let (free, held) = (cgroup(100, None, None), cgroup(100, Some(10), Some(10)));
    assert_eq!(next(&free, &held, true), None);
    assert_eq!(next(&free, &held, false).unwrap().memory, Some(10));
    assert_eq!(
        next(&held, &free, false),
        None,
        "upstream does not take limits away either"
    );
    let mut unlimited = held.clone();
    unlimited.cpu_max.as_mut().unwrap().quota = None;
    assert_eq!(next(&held, &unlimited, true).unwrap().cpu_max, unlimited.cpu_max);
    assert_eq!(next(&unlimited, &held, true), None);
}

#[test]
fn memory_in_use_cannot_be_taken() {
    assert_eq!(too_low("pod", 100, Some(99)), None);
    assert_eq!(too_low("pod", 100, None), None);
    let why =
        "cannot decrease memory limits: attempting to set pod memory limit (100) below current usage (100)";
    assert_eq!(too_low("pod", 100, Some(100)).as_deref(), Some(why));
}
