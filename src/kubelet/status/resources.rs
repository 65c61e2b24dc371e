//! PURE. `resources` and `allocatedResources` of the Pod as a whole (KEP-5419), which every Pod has.

use super::{History, StatusInput};
use crate::kubelet::quantity::{self, Amount};
use crate::kubelet::resources::{self, List};
use crate::model::pod::Quantity;
use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use std::collections::BTreeMap;

/// The least thousandths of a CPU that cgroups can tell apart: of shares, and of a quota.
const LEAST: [i64; 2] = [2, 10];

type Amounts = BTreeMap<String, ApiQuantity>;

/// What was granted.
pub(super) fn allocated(input: &StatusInput<'_>) -> Option<Amounts> {
    let all = amounts(&resources::requests(input.pod));
    (!all.is_empty()).then_some(all)
}

/// What is given: while the Pod runs that is what its cgroup has.
pub(super) fn given(input: &StatusInput<'_>, history: &History) -> ResourceRequirements {
    let pod = input.pod;
    if &*history.phase != "Running" {
        return requirements(
            amounts(&resources::requests(pod)),
            amounts(&resources::limits(pod)),
        );
    }
    let said = |list: Option<&BTreeMap<Box<str>, Quantity>>| -> Amounts {
        let all = list.into_iter().flatten();
        all.map(|(name, q)| (name.to_string(), ApiQuantity(q.0.to_string())))
            .collect()
    };
    let whole = pod.spec.resources.as_ref();
    let mut requests = said(whole.map(|r| &r.requests));
    let mut limits = said(whole.map(|r| &r.limits));
    let cgroup = &input.memory.cgroup;
    let shares = cgroup.cpu_shares.and_then(|n| i64::try_from(n).ok()).unwrap_or(0);
    // The amount that is written as these shares.
    put_cpu(
        &mut requests,
        (shares.saturating_mul(1000) + 1023) / 1024,
        LEAST[0],
    );
    if let Some(max) = cgroup.cpu_max {
        let milli = max.quota.unwrap_or(0).saturating_mul(1000) / max.period.max(1);
        put_cpu(&mut limits, i64::try_from(milli).unwrap_or(i64::MAX), LEAST[1]);
    }
    if !requests.contains_key("memory") {
        let memory = amounts(&resources::requests(pod)).remove("memory");
        requests.extend(memory.map(|amount| ("memory".to_owned(), amount)));
    }
    if let Some(bytes) = cgroup.memory.and_then(|bytes| i64::try_from(bytes).ok()) {
        limits.insert(
            "memory".into(),
            ApiQuantity(quantity::text("memory", Amount::whole(bytes))),
        );
    }
    requirements(requests, limits)
}

/// What is too little to be told apart stays as it was asked for.
fn put_cpu(list: &mut Amounts, milli: i64, least: i64) {
    let asked = list.get("cpu").map(|q| Quantity(q.0.as_str().into()));
    let asked = asked.and_then(|q| quantity::parse(&q).ok()).unwrap_or_default();
    if milli > 0 && (milli > least || asked.milli() > least) {
        list.insert(
            "cpu".into(),
            ApiQuantity(quantity::text("cpu", Amount::milli_of(milli))),
        );
    }
}

fn amounts(list: &List) -> Amounts {
    let all = list.iter();
    all.map(|(name, amount)| (name.to_string(), ApiQuantity(quantity::text(name, *amount))))
        .collect()
}

fn requirements(requests: Amounts, limits: Amounts) -> ResourceRequirements {
    ResourceRequirements {
        requests: (!requests.is_empty()).then_some(requests),
        limits: (!limits.is_empty()).then_some(limits),
        claims: None,
    }
}
