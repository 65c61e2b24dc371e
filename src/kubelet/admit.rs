//! PURE. Whether a Pod may start on this node at all, beside those that are there: host ports.
//!
//! The scheduler looks at this, too; a Pod that was given its node by name has not met it. Asked once, before anything
//! of the Pod is started: a Pod that runs is never turned away.

use crate::model::pod::{Pod, Protocol};
use std::net::IpAddr;

/// Why a Pod is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// `status.reason` and the event's.
    pub reason: &'static str,
    /// The event's message; `status.message` says before it that the Pod was rejected.
    pub message: &'static str,
}

/// A host port is taken; kubelet's words, which name the scheduler's predicate.
const NODE_PORTS: Rejection = Rejection {
    reason: "NodePorts",
    message: "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
};

/// What a Pod is told that wants to run beside `others`, the Pods of this node that have been admitted and have not
/// ended.
pub fn rejection<'a>(pod: &Pod, others: impl IntoIterator<Item = &'a Pod>) -> Option<Rejection> {
    let wanted = host_ports(pod);
    if wanted.is_empty() {
        return None;
    }
    let taken = |other: &Pod| {
        let theirs = host_ports(other);
        wanted
            .iter()
            .any(|port| theirs.iter().any(|their| port.meets(their)))
    };
    let mut others = others.into_iter().filter(|o| o.metadata.uid != pod.metadata.uid);
    others.any(taken).then_some(NODE_PORTS)
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
