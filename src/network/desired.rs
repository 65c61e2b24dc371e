//! PURE. What this node's network has to be, from all Nodes.

use super::masquerade;
use super::routes::{self, Peers};
use crate::model::net::{IpFamily, Node};
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// The part of all Nodes that matters here. Equal facts need no sync; heartbeats do not change them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Our own pod CIDRs that parse, at most one per family.
    pub own_cidrs: Vec<IpNet>,
    /// Our own InternalIPs.
    pub own_ips: Vec<IpAddr>,
    /// The others.
    pub peers: Peers,
    /// What is wrong with which Node, as sentences for the log.
    pub problems: Vec<String>,
}

/// Reads the Nodes. `own` is our Node's name.
pub fn facts(own: &str, nodes: &BTreeMap<Arc<str>, Arc<Node>>) -> Facts {
    let mut facts = Facts::default();
    if let Some(node) = nodes.get(own) {
        let (cidrs, bad) = node.pod_cidrs();
        for text in bad {
            facts
                .problems
                .push(format!("node {own}: spec.podCIDRs: {text:?} is not a CIDR"));
        }
        for cidr in cidrs {
            let cidr = cidr.trunc();
            match facts
                .own_cidrs
                .iter()
                .any(|c| IpFamily::of(c.addr()) == IpFamily::of(cidr.addr()))
            {
                true => facts.problems.push(format!(
                    "node {own}: spec.podCIDRs: {cidr} is a second one of its family"
                )),
                false => facts.own_cidrs.push(cidr),
            }
        }
        facts.own_ips = node.internal_ips();
    }
    let others = nodes.values().filter(|node| &*node.metadata.name != own);
    let (peers, problems) = routes::peers(&facts.own_cidrs, others.map(Arc::as_ref));
    facts.peers = peers;
    facts.problems.extend(problems);
    facts
}

impl Facts {
    /// Rules of one family; `None` when we have no pods in it.
    pub fn rules(&self, family: IpFamily) -> Option<masquerade::Rules> {
        let own = self
            .own_cidrs
            .iter()
            .find(|cidr| IpFamily::of(cidr.addr()) == family)?;
        let pods = self
            .own_cidrs
            .iter()
            .chain(self.peers.iter().map(|p| &p.cidr))
            .copied();
        let nodes = self
            .own_ips
            .iter()
            .chain(self.peers.iter().flat_map(|p| &p.ips))
            .map(|ip| IpNet::from(*ip));
        let spared = pods.chain(nodes).filter(|net| IpFamily::of(net.addr()) == family);
        Some(masquerade::rules(*own, spared))
    }
}
