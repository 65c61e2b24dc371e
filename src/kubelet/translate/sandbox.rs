//! PURE. `PodSandboxConfig`.

use super::{Error, NodeLimits, keys, security};
use crate::cri::v1;
use crate::kubelet::dirs::Dirs;
use crate::kubelet::hosts;
use crate::model::pod::{CONFIG_SEEN, CONFIG_SOURCE, ContainerPort, Pod, Protocol};
use crate::model::sysctl;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Everything a sandbox config is made from.
#[derive(Clone, Copy, Debug)]
pub struct SandboxInput<'a> {
    /// The Pod.
    pub pod: &'a Pod,
    /// Attempt number.
    pub attempt: u32,
    /// When this agent first saw the Pod.
    pub seen: Timestamp,
    /// From [`crate::kubelet::dns::for_pod`].
    pub dns: &'a v1::DnsConfig,
    /// Cluster domain, as `cluster.local`.
    pub cluster_domain: &'a str,
    /// From [`crate::kubelet::cgroup::PodCgroups::parent`].
    pub cgroup_parent: &'a str,
    /// Directory layout.
    pub dirs: &'a Dirs,
    /// What the node does about resources.
    pub node: &'a NodeLimits,
    /// From [`crate::kubelet::userns`].
    pub users: &'a v1::UserNamespace,
}

/// The sandbox config of a Pod. The same input gives the same config, so it can be built again for
/// `CreateContainer`.
pub fn sandbox(input: &SandboxInput<'_>) -> Result<v1::PodSandboxConfig, Error> {
    let pod = input.pod;
    let meta = &pod.metadata;
    let hostname = if pod.spec.host_network {
        String::new()
    } else {
        hosts::kernel_name(pod, &hosts::names(pod, input.cluster_domain)?)?
    };
    let (resources, overhead) = input.node.sandbox(pod);
    let mut annotations = owned(&meta.annotations);
    // A static Pod says both itself.
    if !input.pod.is_static() {
        annotations.insert(CONFIG_SEEN.into(), input.seen.to_string());
        annotations.insert(CONFIG_SOURCE.into(), "api".into());
    }
    let mut labels = owned(&meta.labels);
    labels.extend(pod_labels(pod));
    Ok(v1::PodSandboxConfig {
        metadata: Some(v1::PodSandboxMetadata {
            name: meta.name.to_string(),
            uid: meta.uid.to_string(),
            namespace: meta.namespace.to_string(),
            attempt: input.attempt,
        }),
        hostname,
        log_directory: input
            .dirs
            .pod_log(&meta.namespace, &meta.name, &meta.uid)
            .to_string_lossy()
            .into_owned(),
        dns_config: Some(input.dns.clone()),
        port_mappings: pod
            .spec
            .containers
            .iter()
            .flat_map(|c| port_mappings(&c.ports))
            .collect(),
        labels,
        annotations,
        linux: Some(v1::LinuxPodSandboxConfig {
            cgroup_parent: input.cgroup_parent.to_owned(),
            security_context: Some(security::sandbox(input)?),
            sysctls: sysctls(pod),
            overhead: Some(overhead),
            resources: Some(resources),
        }),
    })
}

/// Labels of everything that belongs to a Pod.
pub(super) fn pod_labels(pod: &Pod) -> BTreeMap<String, String> {
    let meta = &pod.metadata;
    [
        (keys::POD_NAME, meta.name.to_string()),
        (keys::POD_NAMESPACE, meta.namespace.to_string()),
        (keys::POD_UID, meta.uid.to_string()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

fn owned(map: &BTreeMap<Box<str>, Box<str>>) -> BTreeMap<String, String> {
    map.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
}

/// Declared ports; the same one declared twice counts once.
fn port_mappings(ports: &[ContainerPort]) -> Vec<v1::PortMapping> {
    let mut seen = BTreeSet::new();
    let mut mappings = Vec::new();
    for port in ports {
        let unnamed = (&port.host_ip, port.protocol, port.container_port, port.host_port);
        let key = if port.name.is_empty() {
            ("", Some(unnamed))
        } else {
            (&*port.name, None)
        };
        if !seen.insert(key) {
            continue;
        }
        let protocol = match port.protocol {
            Protocol::Tcp => v1::Protocol::Tcp,
            Protocol::Udp => v1::Protocol::Udp,
            Protocol::Sctp => v1::Protocol::Sctp,
        };
        mappings.push(v1::PortMapping {
            protocol: protocol.into(),
            container_port: port.container_port,
            host_port: port.host_port,
            host_ip: port.host_ip.to_string(),
        });
    }
    mappings
}

/// `sysctls`; the Pod has been admitted with them.
fn sysctls(pod: &Pod) -> BTreeMap<String, String> {
    let each = pod.spec.security_context.sysctls.iter();
    each.map(|s| (sysctl::normalize(&s.name), s.value.to_string()))
        .collect()
}
