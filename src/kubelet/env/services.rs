//! PURE. The variables that tell a container where Services are.

use super::{EnvInput, Variables};
use crate::model::pod::Protocol;
use std::fmt::Write;
use std::net::IpAddr;

/// The part of a Service that variables are made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceEnv {
    /// Namespace.
    pub namespace: Box<str>,
    /// Name.
    pub name: Box<str>,
    /// Cluster IP (headless Services have none and give no variables).
    pub cluster_ip: IpAddr,
    /// Ports; never empty for a Service with a cluster IP.
    pub ports: Vec<ServicePort>,
}

/// A port of a Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServicePort {
    /// Name; empty for the only port.
    pub name: Box<str>,
    /// Port.
    pub port: u16,
    /// Transport protocol.
    pub protocol: Protocol,
}

/// The Service every Pod is told of: the API server's.
const MASTER: (&str, &str) = ("default", "kubernetes");

/// Variables of the API server's Service, and of those in the Pod's namespace unless `enableServiceLinks` is false.
pub(super) fn variables(input: &EnvInput<'_>) -> Variables {
    let links = input.pod.spec.enable_service_links != Some(false);
    let namespace = &input.pod.metadata.namespace;
    let master = |s: &ServiceEnv| (&*s.namespace, &*s.name) == MASTER;
    let mut wanted: Vec<_> = input
        .services
        .iter()
        .filter(|s| master(s) || (links && *s.namespace == **namespace))
        .filter(|s| !s.ports.is_empty())
        .collect();
    // The API server's Service comes last and wins over one of the same name in the Pod's namespace.
    wanted.sort_by_key(|s| (master(s), &s.name));
    let mut env = Variables::default();
    for service in wanted {
        add(service, &mut env);
    }
    env
}

fn variable_name(text: &str) -> String {
    text.replace('-', "_").to_uppercase()
}

fn add(service: &ServiceEnv, env: &mut Variables) {
    let prefix = variable_name(&service.name);
    let ip = service.cluster_ip.to_string();
    let address = |port: u16| match service.cluster_ip {
        IpAddr::V4(ip) => format!("{ip}:{port}"),
        IpAddr::V6(ip) => format!("[{ip}]:{port}"),
    };
    env.set(&format!("{prefix}_SERVICE_HOST"), ip.clone());
    env.set(
        &format!("{prefix}_SERVICE_PORT"),
        service.ports[0].port.to_string(),
    );
    for port in service.ports.iter().filter(|p| !p.name.is_empty()) {
        env.set(
            &format!("{prefix}_SERVICE_PORT_{}", variable_name(&port.name)),
            port.port.to_string(),
        );
    }
    for (at, port) in service.ports.iter().enumerate() {
        let (lower, upper) = match port.protocol {
            Protocol::Tcp => ("tcp", "TCP"),
            Protocol::Udp => ("udp", "UDP"),
            Protocol::Sctp => ("sctp", "SCTP"),
        };
        let url = format!("{lower}://{}", address(port.port));
        if at == 0 {
            env.set(&format!("{prefix}_PORT"), url.clone());
        }
        let mut name = prefix.clone();
        write!(name, "_PORT_{}_{upper}", port.port).expect("writing to a String cannot fail");
        env.set(&name, url);
        env.set(&format!("{name}_PROTO"), lower.to_owned());
        env.set(&format!("{name}_PORT"), port.port.to_string());
        env.set(&format!("{name}_ADDR"), ip.clone());
    }
}
