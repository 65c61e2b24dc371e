//! Slim Services and EndpointSlices: what the proxy needs to program a node.
//!
//! Decoding never refuses an object because of one field: addresses that do not parse, unknown enum values and null
//! lists are kept or defaulted, so that one bad object in a list cannot hide the others. The proxy's tracker judges
//! them, object by object.

use super::meta::{Meta, Object};
pub use super::pod::Protocol;
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// Label that hands a Service to another proxy; its value does not matter.
pub const LABEL_SERVICE_PROXY_NAME: &str = "service.kubernetes.io/service-proxy-name";
/// Label of EndpointSlices that belong to a headless Service.
pub const LABEL_HEADLESS: &str = "service.kubernetes.io/headless";
/// Label of an EndpointSlice that names its Service.
pub const LABEL_SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Slim `v1.Service`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Service {
    /// Metadata.
    pub metadata: Meta,
    /// Slim spec.
    pub spec: ServiceSpec,
    /// Slim status.
    pub status: ServiceStatus,
}

impl Object for Service {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

/// Slim `v1.ServiceSpec`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceSpec {
    /// How the Service is exposed.
    #[serde(rename = "type")]
    pub kind: ServiceKind,
    /// First cluster IP; `None` for a headless Service, empty for ExternalName.
    #[serde(rename = "clusterIP")]
    pub cluster_ip: Box<str>,
    /// Cluster IPs, one per family.
    #[serde(rename = "clusterIPs", deserialize_with = "nullable")]
    pub cluster_ips: Vec<Box<str>>,
    /// Ports.
    #[serde(deserialize_with = "nullable")]
    pub ports: Vec<ServicePort>,
    /// Whether a client keeps its endpoint.
    pub session_affinity: SessionAffinity,
    /// How long it keeps it.
    pub session_affinity_config: Option<SessionAffinityConfig>,
    /// Addresses outside the cluster's care that route to its nodes.
    #[serde(rename = "externalIPs", deserialize_with = "nullable")]
    pub external_ips: Vec<Box<str>>,
    /// Which endpoints serve node ports, external IPs and load balancer IPs.
    pub external_traffic_policy: TrafficPolicy,
    /// Which endpoints serve the cluster IP.
    pub internal_traffic_policy: TrafficPolicy,
    /// Clients that may use the load balancer IPs; all when empty.
    #[serde(deserialize_with = "nullable")]
    pub load_balancer_source_ranges: Vec<Box<str>>,
    /// Port on which a load balancer asks this node for local endpoints; 0 for none.
    pub health_check_node_port: i32,
}

/// `spec.type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum ServiceKind {
    /// Reachable inside the cluster only.
    #[default]
    ClusterIP,
    /// Also on a port of every node.
    NodePort,
    /// Also through a load balancer.
    LoadBalancer,
    /// A DNS alias; nothing for a proxy.
    ExternalName,
    /// A type this build does not know.
    #[serde(other)]
    Unknown,
}

/// `spec.sessionAffinity`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum SessionAffinity {
    /// By the client's address.
    ClientIP,
    /// Every connection is balanced anew; also what an unknown value means.
    #[default]
    #[serde(other)]
    None,
}

/// `spec.sessionAffinityConfig`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct SessionAffinityConfig {
    /// Settings of `ClientIP`.
    #[serde(rename = "clientIP")]
    pub client_ip: Option<ClientIpConfig>,
}

/// `spec.sessionAffinityConfig.clientIP`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClientIpConfig {
    /// Seconds a client keeps its endpoint; 10800 when unset.
    pub timeout_seconds: Option<i32>,
}

/// `externalTrafficPolicy` or `internalTrafficPolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum TrafficPolicy {
    /// Endpoints on this node only.
    Local,
    /// All endpoints; also what an unknown value means.
    #[default]
    #[serde(other)]
    Cluster,
}

/// One entry of `spec.ports`. `targetPort` is the endpoint controller's business and not decoded.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServicePort {
    /// Name; may be empty when there is only one.
    pub name: Arc<str>,
    /// Port of the cluster IP.
    pub port: i32,
    /// Port on every node; 0 for none.
    pub node_port: i32,
    /// Transport protocol.
    pub protocol: Protocol,
}

/// Slim `v1.ServiceStatus`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceStatus {
    /// What the load balancer controller wrote.
    pub load_balancer: LoadBalancerStatus,
}

/// `status.loadBalancer`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct LoadBalancerStatus {
    /// Addresses of the load balancer.
    #[serde(deserialize_with = "nullable")]
    pub ingress: Vec<LoadBalancerIngress>,
}

/// One address of a load balancer.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LoadBalancerIngress {
    /// Address; empty when the load balancer has only a host name.
    pub ip: Box<str>,
    /// `VIP` (packets arrive with this destination; also when unset) or `Proxy` (they do not).
    pub ip_mode: Option<Box<str>>,
}

/// Slim `discovery.k8s.io/v1` EndpointSlice.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointSlice {
    /// Metadata.
    pub metadata: Meta,
    /// Kind of all its addresses.
    pub address_type: AddressType,
    /// Endpoints.
    #[serde(deserialize_with = "nullable")]
    pub endpoints: Vec<Endpoint>,
    /// Ports all endpoints serve.
    #[serde(deserialize_with = "nullable")]
    pub ports: Vec<EndpointPort>,
}

impl Object for EndpointSlice {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl EndpointSlice {
    /// The Service this slice belongs to, by its label.
    pub fn service_name(&self) -> Option<&str> {
        self.metadata
            .labels
            .get(LABEL_SERVICE_NAME)
            .map(|name| &**name)
            .filter(|name| !name.is_empty())
    }
}

/// `addressType`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum AddressType {
    /// IPv4 addresses.
    #[default]
    IPv4,
    /// IPv6 addresses.
    IPv6,
    /// Names, or a type this build does not know: not for a proxy.
    #[serde(rename = "FQDN", other)]
    Fqdn,
}

/// Slim `endpoints[]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Endpoint {
    /// Address. The API allows a list, but all its entries mean the same backend and only the first is used.
    #[serde(rename = "addresses", deserialize_with = "first_address")]
    pub address: Address,
    /// State.
    pub conditions: EndpointConditions,
    /// Node the endpoint runs on.
    pub node_name: Option<Arc<str>>,
}

/// The first of an endpoint's addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Address {
    /// The list was empty.
    #[default]
    Missing,
    /// An address.
    Ip(IpAddr),
    /// Something that is not an IP address.
    Other(Box<str>),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => Ok(()),
            Self::Ip(ip) => write!(f, "{ip}"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

/// `endpoints[].conditions`; unset means unknown, see the methods for what that counts as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct EndpointConditions {
    /// Takes new connections.
    pub ready: Option<bool>,
    /// Answers, also while terminating.
    pub serving: Option<bool>,
    /// Is being deleted.
    pub terminating: Option<bool>,
}

impl EndpointConditions {
    /// Unset counts as ready.
    pub fn is_ready(&self) -> bool {
        self.ready.unwrap_or(true)
    }
    /// Unset counts as serving.
    pub fn is_serving(&self) -> bool {
        self.serving.unwrap_or(true)
    }
    /// Unset counts as not terminating.
    pub fn is_terminating(&self) -> bool {
        self.terminating.unwrap_or(false)
    }
}

/// One entry of an EndpointSlice's `ports`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointPort {
    /// Name of the Service's port; the API server fills in the empty name.
    pub name: Option<Arc<str>>,
    /// Port the endpoint listens on.
    pub port: Option<i32>,
    /// Transport protocol.
    pub protocol: Option<Protocol>,
}

/// A list the API may write as `null`.
fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de>>(decoder: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::<Vec<T>>::deserialize(decoder)?.unwrap_or_default())
}

fn first_address<'de, D: Deserializer<'de>>(decoder: D) -> Result<Address, D::Error> {
    let addresses: Vec<Box<str>> = nullable(decoder)?;
    Ok(match addresses.into_iter().next() {
        None => Address::Missing,
        Some(text) => match text.parse() {
            Ok(ip) => Address::Ip(ip),
            Err(_) => Address::Other(text),
        },
    })
}

#[cfg(test)]
mod tests;
