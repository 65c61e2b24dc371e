//! Resources and conditions of a Pod that is being resized.

use super::*;
use crate::kubelet::cgroup::plan::Cfs;
use crate::kubelet::resize::{self, Pending};
use crate::model::pod::{Quantity, Resources};

/// A container that was told with 100m, is granted 200m and runs with this.
fn resized(runs_with: &str) -> Case {
    let cpu = |amount: &str| Resources {
        requests: [("cpu".into(), Quantity(amount.into()))].into(),
        ..Resources::default()
    };
    let mut p = pod("p", &["a"]);
    p.spec.containers[0].resources = cpu("100m");
    let limits = |amount: &str| {
        let mut p = pod("p", &["a"]);
        p.spec.containers[0].resources = cpu(amount);
        Some(resize::limits(&p, &p.spec.containers[0], Cfs::default()))
    };
    let mut seen = running("a", 0, 10);
    seen.limits = limits("100m");
    let mut case = Case::new(p, observed(vec![seen]));
    case.previous = Some(case.status());
    case.pod.spec.containers[0].resources = cpu("200m");
    case.observed.containers[0].limits = limits(runs_with);
    case
}

fn cpu_of(status: &PodStatus) -> (String, String) {
    let a = main_of(status, "a");
    let of = |list: &BTreeMap<String, k8s_openapi::apimachinery::pkg::api::resource::Quantity>| {
        list["cpu"].0.clone()
    };
    let running = a.resources.as_ref().unwrap().requests.as_ref().unwrap();
    (of(a.allocated_resources.as_ref().unwrap()), of(running))
}

fn kinds(status: &PodStatus) -> Vec<&str> {
    let all = status.conditions.iter().flatten().map(|c| c.type_.as_str());
    all.filter(|kind| kind.starts_with("PodResize")).collect()
}

#[test]
fn what_is_granted_and_not_yet_given_is_told_apart() {
    let mut case = resized("100m");
    let status = case.status();
    assert_eq!(cpu_of(&status), ("200m".into(), "100m".into()));
    assert_eq!(kinds(&status), ["PodResizeInProgress"]);
    assert_eq!(verdict(&status, "PodResizeInProgress"), "True");
    case.memory.resize_error = Some("no such luck".into());
    let status = case.status();
    assert_eq!(verdict(&status, "PodResizeInProgress"), "True Error");
    assert_eq!(
        condition(&status, "PodResizeInProgress").message.as_deref(),
        Some("no such luck")
    );
    let mut case = resized("200m");
    let id = case.observed.containers[0].id.clone();
    case.memory.given.insert(id, Resources::default());
    let kinds_of = |case: &Case| kinds(&case.status()).len();
    assert_eq!(kinds_of(&case), 1, "one that restarts runs with less");
}

#[test]
fn a_resize_that_is_done_leaves_no_condition() {
    let before = resized("100m").status();
    let mut case = resized("200m");
    case.previous = Some(before.clone());
    let status = case.status();
    assert_eq!(cpu_of(&status), ("200m".into(), "200m".into()));
    assert!(kinds(&status).is_empty());
    let change = patch(Some(&before), &status).unwrap();
    assert_eq!(
        change["conditions"],
        json!([{"type": "PodResizeInProgress", "$patch": "delete"}])
    );
}

#[test]
fn a_wish_that_is_not_granted_is_told() {
    let mut case = resized("200m");
    case.memory.resize_pending = Some(Pending {
        reason: "Deferred",
        message: "no room".into(),
    });
    let status = case.status();
    assert_eq!(verdict(&status, "PodResizePending"), "True Deferred");
    assert_eq!(
        condition(&status, "PodResizePending").message.as_deref(),
        Some("no room")
    );
    case.memory.ended = true;
    case.pod.spec.restart_policy = RestartPolicy::Never;
    case.observed.containers = vec![exited("a", 0, 50, 0)];
    assert!(
        kinds(&case.status()).is_empty(),
        "a Pod that is over wants nothing more"
    );
}

#[test]
fn every_pod_tells_of_itself_as_a_whole() {
    let mut p = pod("p", &["a"]);
    let list = |cpu: &str, memory: &str| -> BTreeMap<Box<str>, Quantity> {
        [("cpu", cpu), ("memory", memory)]
            .map(|(n, q)| (n.into(), Quantity(q.into())))
            .into()
    };
    p.spec.containers[0].resources = Resources {
        requests: list("100m", "64Mi"),
        limits: list("200m", "128Mi"),
    };
    let mut case = Case::new(p, observed(vec![]));
    let json = |status: &PodStatus| serde_json::to_value(status).unwrap();
    let pending = json(&case.status());
    assert_eq!(
        pending["allocatedResources"],
        serde_json::json!({"cpu": "100m", "memory": "64Mi"})
    );
    let asked = serde_json::json!({
        "requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "200m", "memory": "128Mi"},
    });
    assert_eq!(pending["resources"], asked);
    // While it runs: what its cgroup has.
    case.observed = observed(vec![running("a", 0, 10)]);
    case.previous = Some(case.status());
    case.memory.cgroup = crate::model::cgroup::CgroupSettings {
        cpu_shares: Some(153),
        memory: Some(96 << 20),
        ..Default::default()
    };
    let given = json(&case.status());
    let has =
        serde_json::json!({"requests": {"cpu": "150m", "memory": "64Mi"}, "limits": {"memory": "96Mi"}});
    assert_eq!(given["resources"], has);
    let change = patch(Some(&case.previous.clone().unwrap()), &case.status()).unwrap();
    assert_eq!(
        change["resources"]["limits"]["cpu"],
        serde_json::Value::Null,
        "{change}"
    );
    assert!(
        change["resources"]["limits"]
            .as_object()
            .unwrap()
            .contains_key("cpu")
    );
}

#[test]
fn a_pod_that_asks_for_nothing_has_nothing() {
    let mut case = Case::new(pod("p", &["a"]), observed(vec![running("a", 0, 10)]));
    case.previous = Some(case.status());
    case.memory.cgroup.cpu_shares = Some(2);
    let status = serde_json::to_value(case.status()).unwrap();
    assert_eq!(status["resources"], serde_json::json!({}));
    assert_eq!(status.get("allocatedResources"), None);
}
