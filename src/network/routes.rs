//! PURE. Routes to the pods of other nodes: each pod CIDR by its node's InternalIP ("host gateway").
//!
//! That works between nodes of one network; a Node whose InternalIP is not on a directly connected network gets no
//! route and a warning (an overlay is not built yet). One Node with nonsense in it harms only itself.

use crate::model::net::{IpFamily, Node};
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// `rtm_protocol` of the routes we make, by which they are listed and cleaned. Not in iproute2's list of known ones.
pub const PROTOCOL: u8 = 114;

/// One pod CIDR of another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The node's name.
    pub node: String,
    /// The pod CIDR.
    pub cidr: IpNet,
    /// All InternalIPs of the node.
    pub ips: Vec<IpAddr>,
}

/// All pod CIDRs of all other nodes.
pub type Peers = Vec<Peer>;

/// The other nodes' pod CIDRs, and what is wrong with the Nodes. A CIDR that overlaps with ours or with one of a Node
/// that comes first by name is refused.
pub fn peers<'a>(own: &[IpNet], nodes: impl Iterator<Item = &'a Node>) -> (Peers, Vec<String>) {
    let mut sorted: Vec<&Node> = nodes.collect();
    sorted.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    let mut peers = Peers::new();
    let mut problems = Vec::new();
    for node in sorted {
        let name = &node.metadata.name;
        let (cidrs, bad) = node.pod_cidrs();
        problems.extend(
            bad.iter()
                .map(|text| format!("node {name}: spec.podCIDRs: {text:?} is not a CIDR")),
        );
        for cidr in cidrs.into_iter().map(|c| c.trunc()) {
            if let Some(ours) = own.iter().find(|ours| overlap(ours, &cidr)) {
                problems.push(format!(
                    "node {name}: spec.podCIDRs: {cidr} overlaps with our own {ours}; no route"
                ));
            } else if let Some(other) = peers.iter().find(|p: &&Peer| overlap(&p.cidr, &cidr)) {
                let (its, owner) = (other.cidr, &other.node);
                problems.push(format!(
                    "node {name}: spec.podCIDRs: {cidr} overlaps with {its} of {owner}; no route"
                ));
            } else {
                peers.push(Peer {
                    node: name.to_string(),
                    cidr,
                    ips: node.internal_ips(),
                });
            }
        }
    }
    (peers, problems)
}

fn overlap(a: &IpNet, b: &IpNet) -> bool {
    a.contains(b) || b.contains(a)
}

/// The next hop for every pod CIDR that can be reached directly. `connected` are the networks of this node's own
/// addresses (without the pods' bridge).
pub fn desired(peers: &Peers, connected: &[IpNet]) -> (BTreeMap<IpNet, IpAddr>, Vec<String>) {
    let mut routes = BTreeMap::new();
    let mut problems = Vec::new();
    for peer in peers {
        let family = IpFamily::of(peer.cidr.addr());
        let mut candidates = peer
            .ips
            .iter()
            .filter(|ip| IpFamily::of(**ip) == family)
            .peekable();
        if candidates.peek().is_none() {
            problems.push(format!(
                "node {}: status.addresses: no {family} InternalIP; no route to its pods",
                peer.node
            ));
            continue;
        }
        let direct = |ip: &&&IpAddr| connected.iter().any(|net| net.contains(**ip));
        let described: Vec<String> = candidates.clone().map(ToString::to_string).collect();
        match candidates.find(|ip| direct(&ip)) {
            Some(ip) => {
                routes.insert(peer.cidr, *ip);
            }
            None => problems.push(format!(
                "node {}: InternalIP {} is not on a directly connected network; no route to its pods",
                peer.node,
                described.join(", ")
            )),
        }
    }
    (routes, problems)
}

/// A route the kernel has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actual {
    /// Destination.
    pub dst: IpNet,
    /// Next hop.
    pub gateway: Option<IpAddr>,
    /// Who made it.
    pub protocol: u8,
}

/// How to get from what there is to what there should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Add, or replace ours to the same destination.
    pub set: Vec<(IpNet, IpAddr)>,
    /// Delete; all of them are ours.
    pub delete: Vec<(IpNet, Option<IpAddr>)>,
    /// Somebody else's routes in our way.
    pub problems: Vec<String>,
}

/// Compares; routes of others are never touched.
pub fn diff(desired: &BTreeMap<IpNet, IpAddr>, actual: &[Actual]) -> Changes {
    let mut changes = Changes::default();
    for (dst, gateway) in desired {
        let same: Vec<&Actual> = actual.iter().filter(|route| route.dst == *dst).collect();
        if same.iter().any(|route| route.gateway == Some(*gateway)) {
            continue;
        }
        match same.iter().find(|route| route.protocol != PROTOCOL) {
            Some(other) => {
                let by = other
                    .gateway
                    .map_or_else(|| "an interface".to_owned(), |ip| ip.to_string());
                let who = other.protocol;
                changes.problems.push(format!(
                    "route to {dst}: another program (protocol {who}) routes it by {by}, {gateway} is wanted; left alone"
                ));
            }
            None => changes.set.push((*dst, *gateway)),
        }
    }
    for route in actual.iter().filter(|route| route.protocol == PROTOCOL) {
        if !desired.contains_key(&route.dst) {
            changes.delete.push((route.dst, route.gateway));
        }
    }
    changes
}

#[cfg(test)]
mod tests;
