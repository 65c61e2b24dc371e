use super::*;
use crate::model::pod::{Quantity, Resources};
use crate::testing::builders::pod;

/// Requests and limits of memory.
fn memory(request: &str, limit: &str) -> Resources {
    let list = |text: &str| {
        let pairs = [("memory", text)]
            .into_iter()
            .filter(|(_, text)| !text.is_empty());
        pairs
            .map(|(name, text)| (name.into(), Quantity(text.into())))
            .collect()
    };
    Resources {
        requests: list(request),
        limits: list(limit),
    }
}

fn one(resources: Resources) -> Pod {
    let mut p = pod("p", &["a"]);
    p.spec.containers[0].resources = resources;
    p
}

fn of(node: &NodeLimits, pod: &Pod) -> v1::LinuxContainerResources {
    node.container(pod, &pod.spec.containers[0])
}

fn node() -> NodeLimits {
    NodeLimits {
        memory: 8 << 30,
        swap: 4 << 30,
        v2: true,
        swap_counted: true,
        limited_swap: true,
        ..NodeLimits::default()
    }
}

#[test]
fn no_score_is_lower_than_the_machine_lets_it_be() {
    let all = [("cpu", "1"), ("memory", "1Gi")].map(|(name, amount)| (name.into(), Quantity(amount.into())));
    let both = Resources {
        requests: all.clone().into(),
        limits: all.into(),
    };
    let score = |pod: &Pod, lowest_oom_score| {
        let node = NodeLimits {
            lowest_oom_score,
            ..node()
        };
        of(&node, pod).oom_score_adj
    };
    let (guaranteed, best_effort) = (one(both), pod("p", &["a"]));
    assert_eq!(score(&guaranteed, None), -997);
    assert_eq!(score(&guaranteed, Some(-500)), -500);
    assert_eq!(score(&guaranteed, Some(0)), 0);
    assert_eq!(score(&best_effort, Some(0)), 1000);
}

#[test]
fn out_of_memory_kills_the_whole_container_on_cgroup_v2() {
    let group = |v2, single| {
        let node = NodeLimits {
            v2,
            single_process_oom_kill: single,
            ..NodeLimits::default()
        };
        of(&node, &pod("p", &["a"]))
            .unified
            .contains_key("memory.oom.group")
    };
    assert_eq!(
        [group(true, false), group(true, true), group(false, false)],
        [true, false, false]
    );
}

#[test]
fn swap_is_shared_out_by_memory() {
    let swap = |node: &NodeLimits, pod: &Pod| of(node, pod).unified.get("memory.swap.max").cloned();
    let said = |bytes: u64| Some(bytes.to_string());
    let burstable = one(memory("2Gi", "3Gi"));
    assert_eq!(
        swap(&node(), &burstable),
        said(1 << 30),
        "a quarter of the memory, a quarter of the swap"
    );
    for (why, pod) in [
        ("guaranteed and best effort do not swap", one(memory("", ""))),
        ("nor does who asks for no more", one(memory("2Gi", "2Gi"))),
        ("nor who asks for more than there is", one(memory("9Gi", ""))),
    ] {
        assert_eq!(swap(&node(), &pod), said(0), "{why}");
    }
    let mut critical = burstable.clone();
    critical.spec.priority = Some(2_000_000_000);
    assert_eq!(swap(&node(), &critical), said(0));
    let none = NodeLimits {
        limited_swap: false,
        ..node()
    };
    assert_eq!(swap(&none, &burstable), said(0));
    let uncounted = NodeLimits {
        swap_counted: false,
        ..node()
    };
    assert_eq!(swap(&uncounted, &burstable), None);
    let v1 = NodeLimits { v2: false, ..node() };
    assert_eq!(swap(&v1, &burstable), None);
    assert_eq!(
        of(&v1, &burstable).memory_swap_limit_in_bytes,
        3 << 30,
        "none beyond the memory"
    );
}

#[test]
fn huge_pages_are_the_containers_else_the_pods_else_none() {
    let node = NodeLimits {
        page_sizes: vec![2 << 20, 1 << 30],
        ..NodeLimits::default()
    };
    let pages = |text: &str| ("hugepages-2Mi".into(), Quantity(text.into()));
    let seen = |pod: &Pod| -> Vec<(String, u64)> {
        let all = of(&node, pod).hugepage_limits;
        all.into_iter().map(|l| (l.page_size, l.limit)).collect()
    };
    let want = |mega: u64| vec![("2MB".to_owned(), mega << 20), ("1GB".to_owned(), 0)];
    let mut p = pod("p", &["a"]);
    assert_eq!(seen(&p), want(0));
    p.spec.resources = Some(Resources {
        limits: [pages("8Mi")].into(),
        requests: [pages("8Mi")].into(),
    });
    assert_eq!(seen(&p), want(8));
    p.spec.containers[0].resources.limits = [pages("4Mi")].into();
    assert_eq!(seen(&p), want(4));
}

#[test]
fn the_pods_limits_hold_where_the_container_has_none() {
    let mut p = one(memory("1Gi", ""));
    p.spec.resources = Some(Resources {
        limits: [
            ("memory".into(), Quantity("2Gi".into())),
            ("cpu".into(), Quantity("1".into())),
        ]
        .into(),
        requests: Default::default(),
    });
    let all = of(&NodeLimits::default(), &p);
    assert_eq!((all.memory_limit_in_bytes, all.cpu_quota), (2 << 30, 100_000));
    assert_eq!(all.cpu_shares, 1024, "who asks for no CPU asks for the limit");
}

#[test]
fn cpu_limits_need_not_be_kept() {
    let p = one(Resources {
        limits: [("cpu".into(), Quantity("1".into()))].into(),
        requests: Default::default(),
    });
    let free = NodeLimits {
        cfs: Cfs {
            enforced: false,
            ..Cfs::default()
        },
        ..NodeLimits::default()
    };
    let (all, update) = (of(&free, &p), free.update(&p, &p.spec.containers[0]));
    assert_eq!((all.cpu_quota, all.cpu_period), (0, 0));
    assert_eq!(
        (update.cpu_quota, update.memory_limit_in_bytes),
        (-1, -1),
        "no limit is said"
    );
}

#[test]
fn a_sandbox_is_told_of_the_pod_and_its_overhead() {
    let mut p = one(memory("1Gi", "2Gi"));
    let (all, overhead) = NodeLimits::default().sandbox(&p);
    assert_eq!((all.memory_limit_in_bytes, all.cpu_shares), (2 << 30, 2));
    assert_eq!(overhead, v1::LinuxContainerResources::default());
    p.spec.overhead = [
        ("cpu".into(), Quantity("250m".into())),
        ("memory".into(), Quantity("64Mi".into())),
    ]
    .into();
    let (all, overhead) = NodeLimits::default().sandbox(&p);
    assert_eq!(all.memory_limit_in_bytes, 2 << 30);
    let seen = (
        overhead.cpu_shares,
        overhead.cpu_quota,
        overhead.memory_limit_in_bytes,
    );
    assert_eq!(seen, (256, 25_000, 64 << 20));
}
