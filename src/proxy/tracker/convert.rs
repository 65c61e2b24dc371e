//! PURE. Judges one API object and keeps what rules need.

use super::problem::Finding;
use super::{Backend, ServicePorts, Slice};
use crate::model::service::{
    Address, AddressType, EndpointSlice, LABEL_HEADLESS, LABEL_SERVICE_PROXY_NAME, Service, ServiceKind,
    SessionAffinity, TrafficPolicy,
};
use crate::model::{NamespacedName, Object};
use crate::proxy::service_map::{ServicePort, ServicePortName};
use ipnet::IpNet;
use jiff::Timestamp;
use std::net::IpAddr;

/// Seconds a client keeps its endpoint when the Service does not say.
const DEFAULT_AFFINITY_SECONDS: u32 = 10800;
/// Annotation with the time of the change that made the endpoints controller write the slice.
const TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";
/// A name longer than this is not one the API server accepted.
const MAX_PORT_NAME: usize = 63;

/// The programmable ports of a Service; none for headless and ExternalName Services and those of other proxies.
pub(super) fn service(service: &Service) -> (ServicePorts, Vec<Finding>) {
    let mut findings = Vec::new();
    let mut ports = ServicePorts::new();
    let spec = &service.spec;
    let foreign = service.metadata.labels.contains_key(LABEL_SERVICE_PROXY_NAME);
    if foreign || spec.kind == ServiceKind::ExternalName || is_headless(service) {
        return (ports, findings);
    }
    let Some(shared) = shared_part(service, &mut findings) else {
        return (ports, findings);
    };
    for (index, port) in spec.ports.iter().enumerate() {
        let field = |name: &str| format!("spec.ports[{index}].{name}");
        if !is_port_name(&port.name) {
            findings.push((
                field("name"),
                format!("{:?} is not a port name; this port is left out", port.name),
            ));
            continue;
        }
        let (Some(number), Some(node_port)) = (port_number(port.port), optional_port(port.node_port)) else {
            let (name, value) = if port_number(port.port).is_none() {
                ("port", port.port)
            } else {
                ("nodePort", port.node_port)
            };
            findings.push((
                field(name),
                format!("{value} is not a port number; this port is left out"),
            ));
            continue;
        };
        let name = ServicePortName {
            service: service.meta().key(),
            port: port.name.clone(),
            protocol: port.protocol,
        };
        if ports.contains_key(&name) {
            findings.push((
                field("name"),
                format!("{:?} is used twice; the first one counts", port.name),
            ));
            continue;
        }
        ports.insert(
            name,
            ServicePort {
                port: number,
                node_port,
                ..shared.clone()
            },
        );
    }
    (ports, findings)
}

fn is_headless(service: &Service) -> bool {
    let spec = &service.spec;
    let first = spec.cluster_ips.first().unwrap_or(&spec.cluster_ip);
    first.is_empty() || first.eq_ignore_ascii_case("none")
}

/// Everything that is the same for all ports; nothing when no cluster IP is usable.
fn shared_part(service: &Service, findings: &mut Vec<Finding>) -> Option<ServicePort> {
    let spec = &service.spec;
    let single = std::slice::from_ref(&spec.cluster_ip);
    let texts = if spec.cluster_ips.is_empty() {
        single
    } else {
        &spec.cluster_ips[..]
    };
    let cluster_ips = addresses("spec.clusterIPs", texts.iter().map(|t| &**t), findings);
    if cluster_ips.len() < texts.len() {
        return None;
    }
    let ingress = service.status.load_balancer.ingress.iter();
    // Mode Proxy means that packets never arrive with this destination.
    let vips = ingress
        .filter(|i| !i.ip.is_empty() && i.ip_mode.as_deref() != Some("Proxy"))
        .map(|i| &*i.ip);
    let mut load_balancer_vips = addresses("status.loadBalancer.ingress", vips, findings);
    let source_ranges = match source_ranges(&spec.load_balancer_source_ranges, findings) {
        Some(ranges) => ranges,
        None => {
            load_balancer_vips.clear();
            Vec::new()
        }
    };
    let affinity = (spec.session_affinity == SessionAffinity::ClientIP).then(|| {
        let timeout = spec
            .session_affinity_config
            .as_ref()
            .and_then(|c| c.client_ip.as_ref()?.timeout_seconds);
        timeout
            .and_then(|t| u32::try_from(t).ok())
            .filter(|t| *t > 0)
            .unwrap_or(DEFAULT_AFFINITY_SECONDS)
    });
    let external_policy_local = spec.external_traffic_policy == TrafficPolicy::Local
        && (matches!(spec.kind, ServiceKind::NodePort | ServiceKind::LoadBalancer)
            || !spec.external_ips.is_empty());
    let needs_health_check = external_policy_local && spec.kind == ServiceKind::LoadBalancer;
    Some(ServicePort {
        cluster_ips,
        external_ips: sorted(addresses(
            "spec.externalIPs",
            spec.external_ips.iter().map(|t| &**t),
            findings,
        )),
        load_balancer_vips: sorted(load_balancer_vips),
        source_ranges,
        affinity_seconds: affinity,
        external_policy_local,
        internal_policy_local: spec.internal_traffic_policy == TrafficPolicy::Local,
        health_check_node_port: port_number(spec.health_check_node_port).filter(|_| needs_health_check),
        ..ServicePort::default()
    })
}

fn sorted(mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

/// The addresses that can be programmed; each other one is a finding.
fn addresses<'a>(
    field: &str,
    texts: impl Iterator<Item = &'a str>,
    findings: &mut Vec<Finding>,
) -> Vec<IpAddr> {
    let mut good = Vec::new();
    for (index, text) in texts.enumerate() {
        let problem = match text.trim().parse::<IpAddr>().map(|ip| ip.to_canonical()) {
            Ok(ip) => match refused_range(ip) {
                None => {
                    good.push(ip);
                    continue;
                }
                Some(range) => format!("{text} is a {range} address; it is left out"),
            },
            Err(_) => format!("{text:?} is not an IP address; it is left out"),
        };
        findings.push((format!("{field}[{index}]"), problem));
    }
    good
}

/// Parsed source ranges, where "everyone" means no restriction. `None` when a restriction was asked for but none of
/// its entries can be read: then nobody may come.
fn source_ranges(texts: &[Box<str>], findings: &mut Vec<Finding>) -> Option<Vec<IpNet>> {
    let mut ranges = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        match text.trim().parse::<IpNet>() {
            Ok(net) => ranges.push(net.trunc()),
            Err(_) => {
                let field = format!("spec.loadBalancerSourceRanges[{index}]");
                findings.push((field, format!("{text:?} is not a CIDR; it is left out")));
            }
        }
    }
    if ranges.is_empty() && !texts.is_empty() {
        return None;
    }
    for v4 in [true, false] {
        let of_family = |net: &IpNet| net.addr().is_ipv4() == v4;
        if ranges.iter().any(|net| of_family(net) && net.prefix_len() == 0) {
            ranges.retain(|net| !of_family(net));
        }
    }
    ranges.sort_unstable();
    ranges.dedup();
    Some(ranges)
}

/// What a slice contributes; nothing when it belongs to no Service of ours.
pub(super) fn slice(slice: &EndpointSlice, node_name: &str) -> (Option<Slice>, Vec<Finding>) {
    let mut findings = Vec::new();
    let labels = &slice.metadata.labels;
    let foreign = labels.contains_key(LABEL_HEADLESS) || labels.contains_key(LABEL_SERVICE_PROXY_NAME);
    let Some(service) = slice
        .service_name()
        .filter(|_| !foreign && slice.address_type != AddressType::Fqdn)
    else {
        return (None, findings);
    };
    let mut ports = Vec::new();
    for (index, port) in slice.ports.iter().enumerate() {
        match port.port.and_then(port_number) {
            Some(number) => ports.push((
                port.name.clone().unwrap_or_default(),
                port.protocol.unwrap_or_default(),
                number,
            )),
            None => {
                let value = port
                    .port
                    .map_or_else(|| "an unset port".to_owned(), |p| p.to_string());
                findings.push((
                    format!("ports[{index}].port"),
                    format!("{value} is not a port number; this port is left out"),
                ));
            }
        }
    }
    let mut backends = Vec::new();
    for (index, endpoint) in slice.endpoints.iter().enumerate() {
        match backend_ip(&endpoint.address, slice.address_type) {
            Ok(ip) => backends.push(Backend {
                ip,
                local: endpoint.node_name.as_deref() == Some(node_name),
                ready: endpoint.conditions.is_ready(),
                serving: endpoint.conditions.is_serving(),
                terminating: endpoint.conditions.is_terminating(),
            }),
            Err(problem) => findings.push((format!("endpoints[{index}].addresses"), problem)),
        }
    }
    let service = NamespacedName::new(slice.metadata.namespace.clone(), service);
    (
        Some(Slice {
            service,
            ports: ports.into(),
            backends: backends.into(),
        }),
        findings,
    )
}

fn backend_ip(address: &Address, kind: AddressType) -> Result<IpAddr, String> {
    let Address::Ip(ip) = address else {
        return Err(format!(
            "{:?} is not an IP address; this endpoint is left out",
            address.to_string()
        ));
    };
    let ip = ip.to_canonical();
    if ip.is_ipv4() != (kind == AddressType::IPv4) {
        return Err(format!(
            "{ip} does not fit addressType {kind:?}; this endpoint is left out"
        ));
    }
    match refused_range(ip) {
        None => Ok(ip),
        // CVE-2021-25740 and CVE-2020-8554: an endpoint must not lead a client into the node itself.
        Some(range) => Err(format!("{ip} is a {range} address; this endpoint is left out")),
    }
}

/// Names the range when an address must never be a Service's or an endpoint's.
fn refused_range(ip: IpAddr) -> Option<&'static str> {
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    [
        (ip.is_loopback(), "loopback"),
        (ip.is_unspecified(), "unspecified"),
        (ip.is_multicast(), "multicast"),
        (link_local, "link-local"),
    ]
    .into_iter()
    .find_map(|(is, name)| is.then_some(name))
}

fn port_number(port: i32) -> Option<u16> {
    u16::try_from(port).ok().filter(|port| *port != 0)
}

/// 0 means none; `None` means that the number is not a port.
fn optional_port(port: i32) -> Option<Option<u16>> {
    if port == 0 {
        Some(None)
    } else {
        port_number(port).map(Some)
    }
}

/// Port names reach rule comments, so nothing but what the API server accepts may pass.
fn is_port_name(name: &str) -> bool {
    name.len() <= MAX_PORT_NAME && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// A Service port that no EndpointSlice of the Service serves, although they have endpoints.
pub(super) fn unserved_port(name: &ServicePortName) -> Finding {
    let message = format!(
        "no EndpointSlice of the Service has a port {:?} ({:?}), so connections are rejected; \
         does its targetPort exist in the pods?",
        name.port, name.protocol
    );
    ("spec.ports".to_owned(), message)
}

/// When the change happened that this slice tells of.
pub(super) fn trigger_time(slice: &EndpointSlice) -> Option<Timestamp> {
    slice.metadata.annotations.get(TRIGGER_TIME)?.parse().ok()
}
