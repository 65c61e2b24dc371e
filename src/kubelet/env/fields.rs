//! PURE. `fieldRef` and `resourceFieldRef` (the downward API).

use crate::kubelet::quantity::{self, Amount};
use crate::kubelet::resources;
use crate::model::pod::{Container, Pod, Quantity, ResourceFieldRef};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The value of a Pod field as a variable; `None` for a field variables cannot hold. A label or annotation that is not
/// set, and an address that is not known, are empty.
pub fn field(pod: &Pod, path: &str, pod_ips: &[IpAddr], host_ips: &[IpAddr]) -> Option<String> {
    let meta = &pod.metadata;
    let first = |ips: &[IpAddr]| ips.first().map(ToString::to_string).unwrap_or_default();
    let all = |ips: &[IpAddr]| ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    Some(match path {
        "metadata.name" => meta.name.to_string(),
        "metadata.namespace" => meta.namespace.to_string(),
        "metadata.uid" => meta.uid.to_string(),
        "spec.nodeName" => pod.spec.node_name.to_string(),
        "spec.serviceAccountName" => pod.spec.service_account_name.to_string(),
        "status.hostIP" => first(host_ips),
        "status.hostIPs" => all(host_ips),
        "status.podIP" => first(pod_ips),
        "status.podIPs" => all(pod_ips),
        _ => {
            let (map, rest) = match path.strip_prefix("metadata.labels['") {
                Some(rest) => (&meta.labels, rest),
                None => (&meta.annotations, path.strip_prefix("metadata.annotations['")?),
            };
            map.get(rest.strip_suffix("']")?)
                .map(ToString::to_string)
                .unwrap_or_default()
        }
    })
}

/// The value of `resourceFieldRef`: a request or limit divided by the divisor, rounded up. A limit that is not set is
/// that of the Pod as a whole or the node's allocatable amount, but for huge pages. `own` is the container the reference stands in (there is none in a volume).
/// The error says what is wrong with the reference.
pub fn resource_field(
    pod: &Pod,
    own: Option<&Container>,
    reference: &ResourceFieldRef,
    allocatable: &BTreeMap<Box<str>, Quantity>,
) -> Result<String, String> {
    let container = match (&*reference.container_name, own) {
        ("", Some(own)) => own,
        ("", None) => return Err("containerName is not set".into()),
        (name, _) => {
            pod.container(name)
                .ok_or_else(|| format!("there is no container {name:?}"))?
                .0
        }
    };
    let (list, resource) = reference.resource.split_once('.').unwrap_or_default();
    let known =
        matches!(resource, "cpu" | "memory" | "ephemeral-storage") || resource.starts_with("hugepages-");
    let amount = match list {
        "requests" if known => quantity::of(&container.resources.requests, resource),
        "limits" if known => {
            let own = quantity::of(&container.resources.limits, resource);
            let whole = || resources::pod_level(pod).map(|whole| quantity::of(&whole.limits, resource));
            let node = || quantity::of(allocatable, resource);
            match own {
                Amount::ZERO if resource.starts_with("hugepages-") => own,
                Amount::ZERO => whole().filter(|limit| limit.is_positive()).unwrap_or_else(node),
                own => own,
            }
        }
        _ => return Err("unsupported container resource".into()),
    };
    let divisor = match &reference.divisor {
        Some(divisor) => quantity::parse(divisor).map_err(|e| e.to_string())?,
        None => Amount::ZERO,
    };
    let divisor = if divisor == Amount::ZERO {
        Amount::whole(1)
    } else {
        divisor
    };
    let (amount, divisor) = match resource {
        "cpu" => (amount.milli(), divisor.milli()),
        _ => (amount.value(), divisor.value()),
    };
    if divisor <= 0 {
        return Err("divisor is negative".into());
    }
    let rest = i64::from(amount % divisor != 0);
    Ok((amount / divisor + rest).to_string())
}
