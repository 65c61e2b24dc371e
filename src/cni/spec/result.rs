//! PURE. The success result of ADD, in the words of each spec version.

use super::Version;
use ipnet::IpNet;
use serde_json::{Value, json};
use std::net::IpAddr;

/// What ADD made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Success {
    /// Interfaces, host side first.
    pub interfaces: Vec<Interface>,
    /// Addresses.
    pub ips: Vec<Ip>,
    /// Routes in the container.
    pub routes: Vec<ResultRoute>,
}

/// An interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Name.
    pub name: String,
    /// Hardware address as text.
    pub mac: String,
    /// MTU; told from 1.1.0 on.
    pub mtu: u32,
    /// Namespace path as the runtime gave it; empty on the host.
    pub sandbox: String,
}

/// An address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ip {
    /// Address with prefix length.
    pub address: IpNet,
    /// Gateway.
    pub gateway: Option<IpAddr>,
    /// Index of its interface.
    pub interface: usize,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultRoute {
    /// Destination.
    pub dst: IpNet,
    /// Next hop.
    pub gw: IpAddr,
}

impl Success {
    /// The JSON for stdout.
    pub fn to_json(&self, version: Version) -> Value {
        let interfaces: Vec<Value> = self.interfaces.iter().map(|i| interface(i, version)).collect();
        let ips: Vec<Value> = self.ips.iter().map(|ip| address(ip, version)).collect();
        let routes: Vec<Value> = self
            .routes
            .iter()
            .map(|r| json!({ "dst": r.dst, "gw": r.gw }))
            .collect();
        json!({
            "cniVersion": version.as_str(),
            "interfaces": interfaces,
            "ips": ips,
            "routes": routes,
            "dns": {},
        })
    }
}

fn interface(interface: &Interface, version: Version) -> Value {
    let mut value = json!({ "name": interface.name });
    if !interface.mac.is_empty() {
        value["mac"] = json!(interface.mac);
    }
    if version >= Version::V1_1_0 && interface.mtu > 0 {
        value["mtu"] = json!(interface.mtu);
    }
    if !interface.sandbox.is_empty() {
        value["sandbox"] = json!(interface.sandbox);
    }
    value
}

fn address(ip: &Ip, version: Version) -> Value {
    let mut value = json!({ "address": ip.address, "interface": ip.interface });
    if let Some(gateway) = ip.gateway {
        value["gateway"] = json!(gateway);
    }
    if version < Version::V1_0_0 {
        value["version"] = json!(if ip.address.addr().is_ipv4() { "4" } else { "6" });
    }
    value
}
