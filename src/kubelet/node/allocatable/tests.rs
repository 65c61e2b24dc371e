use super::*;
use crate::config::Reserved;
use crate::kubelet::node::status::tests::facts;
use crate::model::pod::Quantity;

fn reserve(list: &[(&str, &str)]) -> Reserved {
    let one = |(name, text): &(&str, &str)| ((*name).into(), Quantity((*text).into()));
    Reserved {
        amounts: list.iter().map(one).collect(),
        ..Reserved::default()
    }
}

/// A machine with 2 CPUs, 4 GiB, 100 GiB of disk and three huge pages of 2 MiB.
fn node(kube: &[(&str, &str)], system: &[(&str, &str)]) -> Facts {
    let mut facts = facts();
    facts.resources.kube = reserve(kube);
    facts.resources.system = reserve(system);
    facts
}

#[test]
fn nothing_reserved_but_what_eviction_keeps_free() {
    let got = json(&allocatable(&facts()));
    assert_eq!(got["cpu"], "2");
    assert_eq!(got["memory"], "3990Mi");
    assert_eq!(got["pods"], "110");
    assert_eq!(got["hugepages-2Mi"], "6Mi");
    assert_eq!(got["hugepages-1Gi"], "0");
    // 107374182400 without a tenth of it in single precision (0.10000000149…).
    assert_eq!(got["ephemeral-storage"], "96636764000");
}

#[test]
fn only_hard_thresholds_are_kept_from_pods() {
    let mut facts = facts();
    for threshold in &mut facts.eviction.thresholds {
        threshold.grace = std::time::Duration::from_secs(30);
    }
    let got = json(&allocatable(&facts));
    assert_eq!(
        (&got["memory"], &got["ephemeral-storage"]),
        (&"4090Mi".into(), &"100Gi".into())
    );
}

#[test]
fn reservations_add_up() {
    let facts = node(
        &[("cpu", "200m"), ("memory", "1Gi"), ("ephemeral-storage", "10Gi")],
        &[("cpu", "300m"), ("memory", "500M"), ("pid", "1000")],
    );
    let got = json(&allocatable(&facts));
    assert_eq!(got["cpu"], "1500m");
    let memory = (4_i64 << 30) - (1 << 30) - 500_000_000 - (106 << 20);
    assert_eq!(got["memory"], memory.to_string(), "no whole KiB");
    assert_eq!(
        got["ephemeral-storage"],
        (96_636_764_000_i64 - (10 << 30)).to_string()
    );
    assert_eq!(got.get("pid"), None, "process ids are no resource of a Node");
    let capacity = json(&capacity(&facts));
    assert_eq!(
        (&capacity["cpu"], &capacity["memory"]),
        (&"2".into(), &"4Gi".into())
    );
}

#[test]
fn cpus_by_number_go_before_what_is_reserved() {
    let mut facts = node(&[("cpu", "200m")], &[("cpu", "300m")]);
    facts.resources.reserved_cpus = [0].into();
    assert_eq!(json(&allocatable(&facts))["cpu"], "1");
}

#[test]
fn pods_for_each_cpu() {
    let mut facts = facts();
    facts.resources.pods_per_core = Some(10);
    assert_eq!(json(&capacity(&facts))["pods"], "20");
    facts.resources.pods_per_core = Some(100);
    assert_eq!(json(&allocatable(&facts))["pods"], "110");
}

#[test]
fn what_pods_are_held_to_together() {
    let mut facts = node(&[("cpu", "1"), ("memory", "1Gi"), ("pid", "768")], &[]);
    let of = |facts: &Facts, name| resources::of(&enforced(facts), name);
    assert_eq!(of(&facts, "cpu").milli(), 1000);
    assert_eq!(
        of(&facts, "memory").value(),
        3 << 30,
        "eviction keeps the rest free"
    );
    assert_eq!(of(&facts, "pid").value(), 32_000);
    facts.resources.enforce_pods = false;
    assert_eq!(of(&facts, "cpu").milli(), 2000);
    assert_eq!(of(&facts, "memory").value(), 4 << 30);
}

#[test]
fn more_than_there_is_cannot_be_reserved() {
    assert_eq!(check(&facts()), Ok(()));
    assert_eq!(
        check(&node(&[("cpu", "1")], &[("cpu", "1")])),
        Ok(()),
        "all of it can"
    );
    let error = check(&node(&[("memory", "4Gi")], &[])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "memory: 4196Mi is reserved, but the node has only 4Gi"
    );
    assert!(check(&node(&[("cpu", "2001m")], &[])).is_err());
}
