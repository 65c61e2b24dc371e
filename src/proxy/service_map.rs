//! PURE. The merged view of Services and EndpointSlices that rules are made from.

use crate::model::NamespacedName;
use crate::model::net::IpFamily;
use crate::model::service::Protocol;
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// One port of one Service: the unit rules are made for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServicePortName {
    /// The Service.
    pub service: NamespacedName,
    /// Port name; may be empty.
    pub port: Arc<str>,
    /// Transport protocol; two ports may share a name if this differs.
    pub protocol: Protocol,
}

/// `namespace/name:port`, or `namespace/name` when the port has no name. Chain names are hashes of this.
impl fmt::Display for ServicePortName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.port.is_empty() {
            write!(f, "{}", self.service)
        } else {
            write!(f, "{}:{}", self.service, self.port)
        }
    }
}

/// Every Service port this node programs, by name.
pub type ServiceMap = BTreeMap<ServicePortName, ServicePort>;

/// One Service port: how it is reached, and what serves it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServicePort {
    /// Cluster IPs, at most one per family.
    pub cluster_ips: Vec<IpAddr>,
    /// Port of the cluster, external and load balancer IPs.
    pub port: u16,
    /// Port on every node.
    pub node_port: Option<u16>,
    /// External IPs, sorted.
    pub external_ips: Vec<IpAddr>,
    /// Load balancer addresses that arrive as destination (mode VIP), sorted.
    pub load_balancer_vips: Vec<IpAddr>,
    /// Clients that may use `load_balancer_vips`; all when empty for that family.
    pub source_ranges: Vec<IpNet>,
    /// Seconds a client keeps its endpoint, when it does.
    pub affinity_seconds: Option<u32>,
    /// External traffic goes to endpoints on this node only.
    pub external_policy_local: bool,
    /// Traffic to the cluster IP goes to endpoints on this node only.
    pub internal_policy_local: bool,
    /// Port on which a load balancer asks for local endpoints.
    pub health_check_node_port: Option<u16>,
    /// All endpoints of both families, sorted by address and port, usable or not.
    pub endpoints: Arc<[Endpoint]>,
}

impl ServicePort {
    /// The cluster IP of this family, if any. Without one the Service does not exist in that family.
    pub fn cluster_ip(&self, family: IpFamily) -> Option<IpAddr> {
        self.cluster_ips
            .iter()
            .copied()
            .find(|ip| IpFamily::of(*ip) == family)
    }

    /// External IPs of a family.
    pub fn external_ips(&self, family: IpFamily) -> impl Iterator<Item = IpAddr> + '_ {
        self.external_ips
            .iter()
            .copied()
            .filter(move |ip| IpFamily::of(*ip) == family)
    }

    /// Load balancer VIPs of a family.
    pub fn vips(&self, family: IpFamily) -> impl Iterator<Item = IpAddr> + '_ {
        self.load_balancer_vips
            .iter()
            .copied()
            .filter(move |ip| IpFamily::of(*ip) == family)
    }

    /// Source ranges of a family; empty means that all clients may come.
    pub fn source_ranges(&self, family: IpFamily) -> impl Iterator<Item = IpNet> + '_ {
        self.source_ranges
            .iter()
            .copied()
            .filter(move |net| IpFamily::of(net.addr()) == family)
    }

    /// Endpoints of a family.
    pub fn endpoints(&self, family: IpFamily) -> impl Iterator<Item = &Endpoint> {
        self.endpoints
            .iter()
            .filter(move |endpoint| IpFamily::of(endpoint.ip) == family)
    }

    /// Reachable by something else than its cluster IP.
    pub fn externally_accessible(&self, family: IpFamily) -> bool {
        self.node_port.is_some()
            || self.external_ips(family).next().is_some()
            || self.vips(family).next().is_some()
    }

    /// Some traffic may go to all endpoints. External traffic that starts on this node always may, even with policy
    /// Local: it takes the short cut instead of leaving the node and coming back.
    pub fn uses_cluster_endpoints(&self, family: IpFamily) -> bool {
        !self.internal_policy_local || self.externally_accessible(family)
    }

    /// Some traffic may go to endpoints on this node only.
    pub fn uses_local_endpoints(&self, family: IpFamily) -> bool {
        self.internal_policy_local || (self.external_policy_local && self.externally_accessible(family))
    }
}

/// One backend of one Service port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// Address.
    pub ip: IpAddr,
    /// Port.
    pub port: u16,
    /// Runs on this node.
    pub local: bool,
    /// Takes new connections.
    pub ready: bool,
    /// Answers, also while terminating.
    pub serving: bool,
    /// Is being deleted.
    pub terminating: bool,
}

impl Endpoint {
    /// Address and port.
    pub fn socket(&self) -> SocketAddr {
        SocketAddr::new(self.ip, self.port)
    }
}
