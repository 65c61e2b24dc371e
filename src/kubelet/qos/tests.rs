use super::*;
use crate::model::pod::{PodSpec, Resources, RestartPolicy};

fn list(cpu: &str, memory: &str) -> BTreeMap<Box<str>, Quantity> {
    let pairs = [("cpu", cpu), ("memory", memory)];
    pairs
        .into_iter()
        .filter(|(_, q)| !q.is_empty())
        .map(|(n, q)| (n.into(), Quantity(q.into())))
        .collect()
}

fn container(requests: (&str, &str), limits: (&str, &str)) -> Container {
    let resources = Resources {
        requests: list(requests.0, requests.1),
        limits: list(limits.0, limits.1),
    };
    Container {
        name: "c".into(),
        resources,
        ..Container::default()
    }
}

fn pod(containers: Vec<Container>) -> Pod {
    Pod {
        spec: PodSpec {
            containers,
            ..PodSpec::default()
        },
        ..Pod::default()
    }
}

#[test]
fn classes() {
    let none = ("", "");
    for (name, containers, want) in [
        ("nothing set", vec![container(none, none)], Qos::BestEffort),
        (
            "zero counts as nothing",
            vec![container(("0", "0"), none)],
            Qos::BestEffort,
        ),
        (
            "all equal",
            vec![container(("1", "1Gi"), ("1000m", "1024Mi"))],
            Qos::Guaranteed,
        ),
        (
            "memory limit missing",
            vec![container(("1", "1Gi"), ("1", ""))],
            Qos::Burstable,
        ),
        (
            "request below limit",
            vec![container(("500m", "1Gi"), ("1", "1Gi"))],
            Qos::Burstable,
        ),
        (
            "one container without",
            vec![container(("1", "1Gi"), ("1", "1Gi")), container(none, none)],
            Qos::Burstable,
        ),
        ("only a request", vec![container(("1", ""), none)], Qos::Burstable),
    ] {
        assert_eq!(class(&pod(containers)), want, "{name}");
    }
}

#[test]
fn other_resources_do_not_count() {
    let mut c = container(("", ""), ("", ""));
    c.resources
        .requests
        .insert("example.com/gpu".into(), Quantity("1".into()));
    assert_eq!(class(&pod(vec![c])), Qos::BestEffort);
}

#[test]
fn oom_scores() {
    let gib = 1 << 30;
    let score = |c: Container, capacity| oom_score_adj(&pod(vec![c.clone()]), &c, capacity);
    assert_eq!(score(container(("", ""), ("", "")), 8 * gib), 1000);
    assert_eq!(score(container(("1", "1Gi"), ("1", "1Gi")), 8 * gib), -997);
    assert_eq!(score(container(("", "2Gi"), ("", "")), 8 * gib), 750);
    assert_eq!(
        score(container(("", "8Gi"), ("", "")), 8 * gib),
        3,
        "never as safe as guaranteed"
    );
    assert_eq!(
        score(container(("1", ""), ("", "")), 8 * gib),
        999,
        "never as exposed as best effort"
    );
}

#[test]
fn node_critical_pods_are_safe() {
    let c = container(("", ""), ("", ""));
    let mut critical = pod(vec![c.clone()]);
    critical.spec.priority = Some(2_000_001_000);
    assert_eq!(oom_score_adj(&critical, &c, 1 << 30), -997);
}

#[test]
fn a_sidecar_is_as_safe_as_what_it_serves() {
    let main = container(("", "4Gi"), ("", ""));
    let mut sidecar = container(("", "64Mi"), ("", ""));
    sidecar.name = "s".into();
    sidecar.restart_policy = Some(RestartPolicy::Always);
    let mut p = pod(vec![main]);
    p.spec.init_containers = vec![sidecar.clone()];
    assert_eq!(oom_score_adj(&p, &sidecar, 8 << 30), 500);
}

#[test]
fn the_pod_as_a_whole_decides_its_class() {
    let none = ("", "");
    let whole = |requests, limits| Some(container(requests, limits).resources);
    let mut p = pod(vec![container(("1", "1Gi"), ("1", "1Gi"))]);
    for (resources, want) in [
        (whole(("1", "1Gi"), ("1", "1Gi")), Qos::Guaranteed),
        (whole(("1", "1Gi"), ("2", "1Gi")), Qos::Burstable),
        (whole(("1", "1Gi"), ("1", "")), Qos::Burstable),
        (whole(("1", ""), none), Qos::Burstable),
        (whole(none, none), Qos::BestEffort),
        (None, Qos::Guaranteed),
    ] {
        p.spec.resources = resources;
        assert_eq!(class(&p), want, "{:?}", p.spec.resources);
    }
}

#[test]
fn memory_of_the_pod_beyond_its_containers_makes_all_of_them_safer() {
    let gib = 1 << 30;
    let (a, b) = (container(("", "1Gi"), ("", "")), container(("", ""), ("", "")));
    let mut p = pod(vec![a.clone(), b.clone()]);
    let scores = |p: &Pod| [&a, &b].map(|c| oom_score_adj(p, c, 10 * gib));
    assert_eq!(scores(&p), [900, 999]);
    p.spec.resources = Some(container(("", "5Gi"), ("", "")).resources);
    assert_eq!(scores(&p), [700, 800], "2 GiB each");
    p.spec.resources = Some(container(("1", ""), ("", "")).resources);
    assert_eq!(scores(&p), [900, 999], "nothing is said of memory");
}
