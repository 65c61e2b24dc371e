//! PURE. Host ports: one Pod at a time has one.

use crate::model::pod::{Pod, Protocol};
use std::net::IpAddr;

/// A host port is taken.
pub(super) const TAKEN: (&str, &str) = (
    "NodePorts",
    "node(s) didn't have free ports for the requested pod ports",
);

/// None of the others has a host port of the Pod.
pub(super) fn free(pod: &Pod, others: &[&Pod]) -> bool {
    let wanted = host_ports(pod);
    let taken = |other: &&Pod| {
        let theirs = host_ports(other);
        wanted
            .iter()
            .any(|port| theirs.iter().any(|their| port.meets(their)))
    };
    wanted.is_empty() || !others.iter().any(taken)
}

/// A port of the node.
struct HostPort<'a> {
    protocol: Protocol,
    port: i32,
    /// `None` for every address.
    ip: Option<Address<'a>>,
}

/// An address as two spellings of it compare.
#[derive(PartialEq, Eq)]
enum Address<'a> {
    Ip(IpAddr),
    Text(&'a str),
}

impl HostPort<'_> {
    fn meets(&self, other: &Self) -> bool {
        let both = self.ip.as_ref().zip(other.ip.as_ref());
        self.protocol == other.protocol && self.port == other.port && both.is_none_or(|(a, b)| a == b)
    }
}

/// Host ports a Pod has for as long as it runs: its containers' and its sidecars'. With the node's network every
/// container port is one.
fn host_ports(pod: &Pod) -> Vec<HostPort<'_>> {
    let spec = &pod.spec;
    let sidecars = spec.init_containers.iter().filter(|c| c.is_sidecar());
    let ports = sidecars.chain(&spec.containers).flat_map(|c| &c.ports);
    let ports = ports.map(|p| HostPort {
        protocol: p.protocol,
        port: match p.host_port {
            0 if spec.host_network => p.container_port,
            port => port,
        },
        ip: match p.host_ip.parse::<IpAddr>() {
            Ok(ip) if ip.is_unspecified() => None,
            Ok(ip) => Some(Address::Ip(ip)),
            Err(_) if p.host_ip.is_empty() => None,
            Err(_) => Some(Address::Text(&p.host_ip)),
        },
    });
    ports.filter(|p| p.port > 0).collect()
}

#[cfg(test)]
mod tests;
