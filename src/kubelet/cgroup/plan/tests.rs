use super::*;
use crate::kubelet::quantity::{self, Amount};
use crate::model::pod::{Container, Quantity, Resources};
use crate::testing::builders::{container, pod, sidecar};

fn list(cpu: &str, memory: &str) -> BTreeMap<Box<str>, Quantity> {
    let pairs = [("cpu", cpu), ("memory", memory)].into_iter();
    pairs
        .filter(|(_, q)| !q.is_empty())
        .map(|(n, q)| (n.into(), Quantity(q.into())))
        .collect()
}

fn resources_(requests: (&str, &str), limits: (&str, &str)) -> Resources {
    Resources {
        requests: list(requests.0, requests.1),
        limits: list(limits.0, limits.1),
    }
}

fn with(mut c: Container, requests: (&str, &str), limits: (&str, &str)) -> Container {
    c.resources = resources_(requests, limits);
    c
}

fn pod_of(containers: Vec<Container>) -> Pod {
    let mut p = pod("p", &[]);
    p.spec.containers = containers;
    p
}

/// Shares, quota (-1: the file says there is none; 0: it is left alone), memory (0: left alone).
fn numbers(rules: &Rules, pod: &Pod) -> (u64, i64, u64) {
    let got = rules.pod(pod);
    let quota = |max: CpuMax| max.quota.map_or(-1, |q| i64::try_from(q).unwrap());
    (
        got.cpu_shares.unwrap(),
        got.cpu_max.map_or(0, quota),
        got.memory.unwrap_or(0),
    )
}

const NONE: (&str, &str) = ("", "");

/// The table of upstream's `TestResourceConfigForPod`, with its amounts.
#[test]
fn a_pods_cgroup() {
    let c = |requests, limits| with(container("c"), requests, limits);
    for (name, containers, cfs, want) in [
        ("besteffort", vec![c(NONE, NONE)], true, (2, 0, 0)),
        (
            "burstable-no-limits",
            vec![c(("100m", "100Mi"), NONE)],
            true,
            (102, 0, 0),
        ),
        (
            "burstable-with-limits",
            vec![c(("100m", "100Mi"), ("200m", "200Mi"))],
            true,
            (102, 20_000, 200 << 20),
        ),
        (
            "burstable-with-limits, not enforced",
            vec![c(("100m", "100Mi"), ("200m", "200Mi"))],
            false,
            (102, -1, 200 << 20),
        ),
        (
            "burstable-partial-limits",
            vec![
                c(("100m", "100Mi"), ("200m", "200Mi")),
                c(("100m", "100Mi"), NONE),
            ],
            true,
            (204, 0, 0),
        ),
        (
            "guaranteed",
            vec![c(("100m", "100Mi"), ("100m", "100Mi"))],
            true,
            (102, 10_000, 100 << 20),
        ),
        (
            "a quota is a millisecond at least",
            vec![c(("1m", "1Mi"), ("1m", "1Mi"))],
            true,
            (2, 1000, 1 << 20),
        ),
    ] {
        let rules = Rules {
            cfs: Cfs {
                enforced: cfs,
                ..Cfs::default()
            },
            ..Rules::default()
        };
        assert_eq!(numbers(&rules, &pod_of(containers)), want, "{name}");
    }
}

#[test]
fn init_containers_sidecars_and_overhead_count() {
    let rules = Rules::default();
    let mut p = pod_of(vec![with(container("c"), ("100m", "100Mi"), ("200m", "200Mi"))]);
    p.spec.init_containers = vec![with(container("i"), ("1", "1Gi"), ("1", "1Gi"))];
    assert_eq!(
        numbers(&rules, &p),
        (1024, 100_000, 1 << 30),
        "the most at any time"
    );
    p.spec.init_containers = vec![with(sidecar("s"), ("1", "1Gi"), ("1", "1Gi"))];
    assert_eq!(numbers(&rules, &p), (1126, 120_000, (1 << 30) + (200 << 20)));
    p.spec.overhead = list("100m", "24Mi");
    assert_eq!(numbers(&rules, &p), (1228, 130_000, (1 << 30) + (224 << 20)));
}

#[test]
fn resources_of_the_pod_as_a_whole() {
    let rules = Rules::default();
    let mut p = pod_of(vec![
        container("a"),
        with(container("b"), ("100m", "100Mi"), NONE),
    ]);
    p.spec.resources = Some(resources_(("500m", "500Mi"), ("1", "1Gi")));
    assert_eq!(numbers(&rules, &p), (512, 100_000, 1 << 30));
    p.spec.resources = Some(resources_(("500m", "500Mi"), ("", "1Gi")));
    assert_eq!(numbers(&rules, &p), (512, 0, 1 << 30));
    p.spec.resources = Some(resources_(("1", "1Gi"), ("1", "1Gi")));
    assert_eq!(numbers(&rules, &p), (1024, 100_000, 1 << 30));
}

#[test]
fn a_custom_period_processes_and_huge_pages() {
    let rules = Rules {
        cfs: Cfs {
            enforced: true,
            period: 5000,
        },
        pids: Some(4096),
        page_sizes: vec![2 << 20, 1 << 30],
    };
    let mut c = with(container("c"), ("1", "1Gi"), ("1", "1Gi"));
    let pages = || ("hugepages-2Mi".into(), Quantity("6Mi".into()));
    c.resources.requests.extend([pages()]);
    c.resources.limits.extend([pages()]);
    let want = CgroupSettings {
        cpu_shares: Some(1024),
        cpu_max: Some(CpuMax {
            quota: Some(5000),
            period: 5000,
        }),
        memory: Some(1 << 30),
        pids: Some(4096),
        hugepages: [(2 << 20, 6 << 20), (1 << 30, 0)].into(),
    };
    assert_eq!(rules.pod(&pod_of(vec![c])), want);
}

#[test]
fn classes() {
    let rules = Rules {
        page_sizes: vec![2 << 20],
        ..Rules::default()
    };
    let pods = [
        pod_of(vec![with(container("c"), ("100m", ""), NONE)]),
        pod_of(vec![with(container("c"), ("500m", ""), NONE)]),
        pod_of(vec![with(container("c"), ("1", "1Gi"), ("1", "1Gi"))]),
        pod_of(vec![container("c")]),
    ];
    let shares = |class, pods: &[Pod]| rules.class(class, pods.iter()).cpu_shares;
    assert_eq!(shares(Qos::Burstable, &pods), Some(614));
    assert_eq!(shares(Qos::Burstable, &[]), Some(2));
    assert_eq!(shares(Qos::BestEffort, &pods), Some(2));
    assert_eq!(
        shares(Qos::Guaranteed, &pods),
        None,
        "that of all Pods is the node's to set"
    );
    let unbounded = [(2 << 20, 1 << 62)].into();
    assert_eq!(rules.class(Qos::BestEffort, [].iter()).hugepages, unbounded);
}

#[test]
fn the_whole_node() {
    let rules = Rules {
        page_sizes: vec![2 << 20],
        ..Rules::default()
    };
    let amount = |text: &str| quantity::parse(&Quantity(text.into())).unwrap();
    let all: List = [
        ("cpu", "3500m"),
        ("memory", "1Gi"),
        (PIDS, "1000"),
        ("hugepages-2Mi", "4Mi"),
    ]
    .map(|(name, text)| (name.into(), amount(text)))
    .into();
    let want = CgroupSettings {
        cpu_shares: Some(3584),
        cpu_max: None,
        memory: Some(1 << 30),
        pids: Some(1000),
        hugepages: [(2 << 20, 4 << 20)].into(),
    };
    assert_eq!(rules.node(&all, false), want);
    let share = CgroupSettings {
        cpu_shares: Some(3584),
        ..CgroupSettings::default()
    };
    assert_eq!(rules.node(&all, true), share);
    let only_memory = [("memory".into(), Amount::whole(5))].into();
    assert_eq!(rules.node(&only_memory, false).cpu_shares, None);
}

#[test]
fn shares_of_cpu() {
    for (milli, want) in [
        (0, 2),
        (1, 2),
        (2, 2),
        (3, 3),
        (100, 102),
        (1000, 1024),
        (i64::MAX, 262_144),
    ] {
        assert_eq!(shares(milli), want, "{milli}");
    }
}
