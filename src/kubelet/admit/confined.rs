//! PURE. What keeps a Pod from its neighbours, where the node may not be able to: kernel parameters, groups, AppArmor.

use super::Rejection;
use crate::kubelet::translate::apparmor_profile;
use crate::model::pod::Pod;
use crate::model::sysctl::{self, Namespace, Pattern};

/// Kernel parameters any Pod may set: they are confined to its namespaces and hurt nobody else.
const SAFE_SYSCTLS: [(&str, Namespace); 12] = [
    ("kernel.shm_rmid_forced", Namespace::Ipc),
    ("net.ipv4.ip_local_port_range", Namespace::Net),
    ("net.ipv4.ip_local_reserved_ports", Namespace::Net),
    ("net.ipv4.ip_unprivileged_port_start", Namespace::Net),
    ("net.ipv4.ping_group_range", Namespace::Net),
    ("net.ipv4.tcp_fin_timeout", Namespace::Net),
    ("net.ipv4.tcp_keepalive_intvl", Namespace::Net),
    ("net.ipv4.tcp_keepalive_probes", Namespace::Net),
    ("net.ipv4.tcp_keepalive_time", Namespace::Net),
    ("net.ipv4.tcp_rmem", Namespace::Net),
    ("net.ipv4.tcp_syncookies", Namespace::Net),
    ("net.ipv4.tcp_wmem", Namespace::Net),
];

/// A kernel parameter that nobody allows, or that would be the node's own.
pub(super) fn sysctls(pod: &Pod, allowed: &[Pattern]) -> Option<Rejection> {
    let mut names = pod.spec.security_context.sysctls.iter().map(|s| &*s.name);
    let why = names.find_map(|name| forbidden(pod, &sysctl::normalize(name), allowed))?;
    Some(Rejection::new(
        "SysctlForbidden",
        format!("forbidden sysctl: {why}"),
    ))
}

fn forbidden(pod: &Pod, name: &str, allowed: &[Pattern]) -> Option<String> {
    let safe = SAFE_SYSCTLS
        .iter()
        .find(|(safe, _)| *safe == name)
        .map(|(_, ns)| *ns);
    let allowed = || {
        allowed
            .iter()
            .find(|pattern| pattern.matches(name))
            .map(|p| p.namespace)
    };
    let Some(namespace) = safe.or_else(allowed) else {
        return Some(format!("{name:?} not allowlisted"));
    };
    let hosts = match namespace {
        Namespace::Ipc => pod.spec.host_ipc,
        Namespace::Net => pod.spec.host_network,
    };
    hosts.then(|| format!("{name:?} not allowed with host {namespace} enabled"))
}

/// Groups that only a newer runtime keeps out.
pub(super) fn supplemental_groups(pod: &Pod, followed: bool) -> Option<Rejection> {
    let policy = pod.spec.security_context.supplemental_groups_policy.as_deref();
    (policy == Some("Strict") && !followed).then(|| {
        Rejection::new(
            "SupplementalGroupsPolicyNotSupported",
            "SupplementalGroupsPolicy=Strict is not supported in this node",
        )
    })
}

/// A profile where there is no AppArmor, or one without a name.
pub(super) fn apparmor(pod: &Pod, available: bool) -> Option<Rejection> {
    let profiles = || {
        pod.spec
            .every_container()
            .filter_map(|c| apparmor_profile(pod, c))
    };
    let why = if profiles().all(|profile| &*profile.kind == "Unconfined") {
        return None;
    } else if !available {
        "AppArmor is not enabled on the host"
    } else {
        let nameless = |name: Option<&str>| name.is_none_or(|name| name.trim().is_empty());
        profiles()
            .any(|p| &*p.kind == "Localhost" && nameless(p.localhost_profile.as_deref()))
            .then_some("invalid empty AppArmor profile name")?
    };
    Some(Rejection::new(
        "AppArmor",
        format!("Cannot enforce AppArmor: {why}"),
    ))
}
