//! Nodes as their peers and their own agent see them, and addresses.

use super::meta::{Meta, Object};
use super::pod::Quantity;
use ipnet::IpNet;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IpFamily {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl IpFamily {
    /// Both families.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    pub fn of(ip: IpAddr) -> Self {
        if ip.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

impl std::fmt::Display for IpFamily {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// One connection as the kernel tracks it: its first packet, and the answer it expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Who opened it.
    pub source: SocketAddr,
    /// Whom it wanted to reach, before any translation.
    pub destination: SocketAddr,
    /// Who answers, after translation.
    pub reply_source: SocketAddr,
}

/// Slim Node: what peers need to know of a node (addresses and pod CIDRs), and what its own agent needs to know before
/// it takes on a Pod (labels, taints, resources).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Node {
    /// Metadata.
    pub metadata: Meta,
    /// Slim spec.
    pub spec: NodeSpec,
    /// Slim status.
    pub status: NodeStatus,
}

/// Slim `v1.NodeSpec`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSpec {
    /// Pod CIDRs as the controller manager wrote them, unparsed so that one bad Node harms only itself.
    #[serde(rename = "podCIDRs")]
    pub pod_cidrs: Vec<Box<str>>,
    /// Taints.
    pub taints: Vec<NodeTaint>,
}

/// One of `spec.taints`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct NodeTaint {
    /// Key.
    pub key: Box<str>,
    /// Value; may be empty.
    pub value: Box<str>,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: Box<str>,
}

/// Slim `v1.NodeStatus`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct NodeStatus {
    /// Addresses by type (`InternalIP`, `Hostname`, …).
    pub addresses: Vec<NodeAddress>,
    /// What Pods may use.
    pub allocatable: BTreeMap<Box<str>, Quantity>,
}

/// One entry of `status.addresses`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct NodeAddress {
    /// `InternalIP`, `ExternalIP`, `Hostname`, …
    #[serde(rename = "type")]
    pub kind: Box<str>,
    /// The address itself.
    pub address: Box<str>,
}

impl Object for Node {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl Node {
    /// The pod CIDRs that parse; the others are returned as text so that the caller can say which object is wrong.
    pub fn pod_cidrs(&self) -> (Vec<IpNet>, Vec<&str>) {
        let mut good = Vec::new();
        let mut bad = Vec::new();
        for text in &self.spec.pod_cidrs {
            match text.parse() {
                Ok(net) => good.push(net),
                Err(_) => bad.push(&**text),
            }
        }
        (good, bad)
    }

    /// The `InternalIP` addresses that parse.
    pub fn internal_ips(&self) -> Vec<IpAddr> {
        self.status
            .addresses
            .iter()
            .filter(|a| &*a.kind == "InternalIP")
            .filter_map(|a| a.address.parse().ok())
            .collect()
    }
}
