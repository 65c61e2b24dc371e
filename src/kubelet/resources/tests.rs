use super::*;
use crate::testing::builders::{container, pod, sidecar};

fn quantities(list: &[(&str, &str)]) -> BTreeMap<Box<str>, Quantity> {
    let one = |(name, text): &(&str, &str)| ((*name).into(), Quantity((*text).into()));
    list.iter().map(one).collect()
}

fn asks(mut c: Container, requests: &[(&str, &str)], limits: &[(&str, &str)]) -> Container {
    c.resources = Resources {
        requests: quantities(requests),
        limits: quantities(limits),
    };
    c
}

fn milli(list: &List) -> i64 {
    of(list, "cpu").milli()
}

/// Requests of CPU: containers, then init containers, where `s` marks a sidecar.
fn cpu(containers: &[&str], init: &[&str]) -> Pod {
    let mut p = pod("p", &[]);
    for (n, amount) in containers.iter().enumerate() {
        let c = container(&format!("c{n}"));
        p.spec
            .containers
            .push(asks(c, &[("cpu", amount)], &[("cpu", amount)]));
    }
    for (n, amount) in init.iter().enumerate() {
        let name = format!("i{n}");
        let (c, amount) = match amount.strip_prefix('s') {
            Some(amount) => (sidecar(&name), amount),
            None => (container(&name), *amount),
        };
        p.spec
            .init_containers
            .push(asks(c, &[("cpu", amount)], &[("cpu", amount)]));
    }
    p
}

#[test]
fn containers_and_sidecars_add_up_and_init_containers_take_turns() {
    for (containers, init, want) in [
        (&["100m", "200m"][..], &[][..], 300),
        (&["100m"], &["500m", "300m"], 500),
        (&["100m"], &["50m"], 100),
        // Sidecars run beside the containers and beside the init containers after them.
        (&["100m"], &["s200m"], 300),
        (&["100m"], &["s200m", "500m"], 700),
        (&["100m"], &["500m", "s200m"], 500),
        (&["100m"], &["s200m", "s300m", "150m"], 650),
    ] {
        let p = cpu(containers, init);
        assert_eq!(milli(&requests(&p)), want, "{containers:?} {init:?}");
        assert_eq!(milli(&limits(&p)), want, "{containers:?} {init:?}");
    }
}

#[test]
fn overhead_is_reserved_always_and_limited_only_with_a_limit() {
    let mut p = cpu(&["100m"], &[]);
    p.spec.containers[0].resources.limits.clear();
    p.spec.overhead = quantities(&[("cpu", "50m"), ("memory", "10Mi")]);
    assert_eq!(milli(&requests(&p)), 150);
    assert_eq!(of(&requests(&p), "memory").value(), 10 << 20);
    assert_eq!(milli(&limits(&p)), 0);
    assert_eq!(of(&limits(&p), "memory").value(), 0);
    let mut p = cpu(&["100m"], &[]);
    p.spec.overhead = quantities(&[("cpu", "50m")]);
    assert_eq!(milli(&limits(&p)), 150);
    assert_eq!(milli(&limits_without_overhead(&p)), 100);
    assert_eq!(milli(&requests_without_overhead(&p)), 100);
}

#[test]
fn what_is_said_of_the_pod_takes_the_place_of_the_sum() {
    let mut p = cpu(&["100m", "200m"], &[]);
    p.spec.resources = Some(Resources {
        requests: quantities(&[("cpu", "1"), ("example.com/gpu", "3")]),
        limits: quantities(&[("memory", "1Gi"), ("hugepages-2Mi", "4Mi")]),
    });
    assert_eq!(milli(&requests(&p)), 1000);
    assert_eq!(milli(&limits(&p)), 300);
    assert_eq!(of(&limits(&p), "memory").value(), 1 << 30);
    assert_eq!(of(&requests(&p), "example.com/gpu"), Amount::ZERO);
    assert_eq!(hugepages(&limits(&p)), [(2 << 20, 4 << 20)].into());
    p.spec.resources = Some(Resources {
        requests: quantities(&[("example.com/gpu", "3")]),
        limits: BTreeMap::new(),
    });
    assert_eq!(pod_level(&p), None, "no resource a Pod can have");
}

#[test]
fn a_sum_is_a_limit_only_when_all_have_one() {
    let limit = [("cpu", "1"), ("memory", "1Gi")];
    let with = |name: &str| asks(container(name), &[], &limit);
    let mut p = pod("p", &[]);
    p.spec.containers = vec![with("a"), with("b")];
    assert!(limited(&p, "cpu") && limited(&p, "memory"));
    p.spec.containers[1].resources.limits.remove("memory");
    assert!(limited(&p, "cpu") && !limited(&p, "memory"));
    p.spec.resources = Some(Resources {
        limits: quantities(&[("memory", "4Gi")]),
        requests: BTreeMap::new(),
    });
    assert!(limited(&p, "memory"), "the Pod as a whole has one");
    p.spec.resources = None;
    p.spec.containers.remove(1);
    p.spec.init_containers = vec![container("i")];
    assert!(!limited(&p, "cpu"), "an init container has none");
    p.spec.init_containers.insert(0, asks(sidecar("s"), &[], &limit));
    assert!(
        limited(&p, "cpu"),
        "upstream counts that of the sidecars before it"
    );
}

#[test]
fn a_container_without_a_limit_has_the_pods() {
    let mut p = pod("p", &[]);
    let c = asks(container("a"), &[("cpu", "100m")], &[("cpu", "200m")]);
    assert_eq!(effective(&p, &c), c.resources);
    p.spec.resources = Some(Resources {
        requests: quantities(&[("cpu", "1")]),
        limits: quantities(&[("cpu", "1"), ("memory", "1Gi")]),
    });
    let both = effective(&p, &c);
    assert_eq!(both.limits, quantities(&[("cpu", "200m"), ("memory", "1Gi")]));
    assert_eq!(both.requests, quantities(&[("cpu", "100m")]));
}

#[test]
fn page_sizes() {
    assert_eq!(page_size("hugepages-2Mi"), Some(2 << 20));
    assert_eq!(page_size("hugepages-1Gi"), Some(1 << 30));
    assert_eq!(page_size("hugepages-"), None);
    assert_eq!(page_size("hugepages-0"), None);
    assert_eq!(page_size("memory"), None);
}
