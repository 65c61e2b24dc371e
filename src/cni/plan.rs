//! PURE. What ADD makes: names, hardware addresses, addresses and routes, from the request and its addresses.

use super::ipam::Allocation;
use super::spec::{Call, Code, Error, Interface, Ip, Owner, ResultRoute, Success};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use sha2::{Digest, Sha256};
use std::net::IpAddr;

/// Longest text the kernel attaches to a link (`IFALIASZ` without the final zero).
const MAX_ALIAS: usize = 255;
/// Names tried for the host end before we give up. Two pods share the first one in 1 of 4 billion cases.
const NAMES: usize = 4;

/// Everything ADD is going to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkPlan {
    /// The bridge.
    pub bridge: Bridge,
    /// Names for the host end; the first that is free, or ours already, is taken.
    pub host_names: Vec<String>,
    /// Text on the host end that says whose it is.
    pub alias: String,
    /// Packets may leave by the port they came in.
    pub hairpin: bool,
    /// MTU of both ends; 0 for the kernel's default.
    pub mtu: u32,
    /// Interface name in the pod.
    pub ifname: String,
    /// Hardware address in the pod.
    pub mac: [u8; 6],
    /// Addresses in the pod.
    pub addresses: Vec<IpNet>,
    /// Routes in the pod: destination and next hop.
    pub routes: Vec<(IpNet, IpAddr)>,
}

/// The bridge as it has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bridge {
    /// Name.
    pub name: String,
    /// Hardware address at creation; without one the bridge's would change with its ports.
    pub mac: [u8; 6],
    /// MTU; 0 for the kernel's default.
    pub mtu: u32,
    /// The pods' gateways, with the subnets' prefix lengths.
    pub gateways: Vec<IpNet>,
}

/// Plans an ADD.
pub fn link_plan(call: &Call, allocations: &[Allocation]) -> Result<LinkPlan, Error> {
    let config = &call.config;
    let first = allocations
        .first()
        .ok_or_else(|| Error::new(Code::Internal, "no address", &config.name))?;
    let gateways: Vec<IpNet> = allocations.iter().map(gateway).collect();
    Ok(LinkPlan {
        bridge: Bridge {
            name: config.bridge.clone(),
            mac: mac(first.gateway),
            mtu: config.mtu,
            gateways,
        },
        host_names: host_names(&call.owner),
        alias: alias(&config.name, &call.owner)?,
        hairpin: config.hairpin,
        mtu: config.mtu,
        ifname: call.owner.ifname.clone(),
        mac: mac(first.address.addr()),
        addresses: allocations.iter().map(|a| a.address).collect(),
        routes: routes(&config.ipam.routes, allocations),
    })
}

fn gateway(allocation: &Allocation) -> IpNet {
    IpNet::new(allocation.gateway, allocation.address.prefix_len())
        .expect("the gateway is in the address's subnet")
}

/// The configured destinations by the gateway of their family, or the default route of every family.
fn routes(configured: &[IpNet], allocations: &[Allocation]) -> Vec<(IpNet, IpAddr)> {
    let mut routes = Vec::new();
    for allocation in allocations {
        let v4 = allocation.gateway.is_ipv4();
        let all = if v4 {
            IpNet::V4(Ipv4Net::default())
        } else {
            IpNet::V6(Ipv6Net::default())
        };
        let mine: Vec<IpNet> = configured
            .iter()
            .copied()
            .filter(|dst| dst.addr().is_ipv4() == v4)
            .collect();
        let mine = if configured.is_empty() { vec![all] } else { mine };
        for dst in mine {
            if !routes.iter().any(|(other, _)| *other == dst) {
                routes.push((dst, allocation.gateway));
            }
        }
    }
    routes
}

/// Names the host end may have: `veth` and 8 hexadecimal digits that depend on container and interface alone, so
/// that DEL finds it without any record.
pub fn host_names(owner: &Owner) -> Vec<String> {
    let name = |attempt: usize| {
        let digest = Sha256::new()
            .chain_update(&owner.container_id)
            .chain_update([0])
            .chain_update(&owner.ifname)
            .chain_update([0])
            .chain_update(attempt.to_be_bytes())
            .finalize();
        let hex: String = digest.iter().take(4).map(|b| format!("{b:02x}")).collect();
        format!("veth{hex}")
    };
    (0..NAMES).map(name).collect()
}

/// Text on a host end, by which DEL and GC recognise what is theirs.
pub fn alias(network: &str, owner: &Owner) -> Result<String, Error> {
    let alias = format!("rustlet:{network}/{}/{}", owner.container_id, owner.ifname);
    if alias.len() > MAX_ALIAS {
        let why = format!(
            "CNI_CONTAINERID: together with the network name {network:?} longer than {MAX_ALIAS} bytes"
        );
        return Err(Error::new(Code::InvalidEnvironment, "invalid environment", why));
    }
    Ok(alias)
}

/// The attachment an alias of this network speaks of.
pub fn owner_of_alias(network: &str, alias: &str) -> Option<Owner> {
    let rest = alias
        .strip_prefix("rustlet:")?
        .strip_prefix(network)?
        .strip_prefix('/')?;
    let (container_id, ifname) = rest.split_once('/')?;
    Some(Owner {
        container_id: container_id.to_owned(),
        ifname: ifname.to_owned(),
    })
}

/// A hardware address that follows from the IP address: when an address moves to another pod, what neighbours
/// remember stays true.
pub fn mac(ip: IpAddr) -> [u8; 6] {
    let [a, b, c, d] = match ip {
        IpAddr::V4(ip) => ip.octets(),
        IpAddr::V6(ip) => {
            let digest = Sha256::digest(ip.octets());
            [digest[0], digest[1], digest[2], digest[3]]
        }
    };
    [0x0a, 0x58, a, b, c, d]
}

/// ADD's result. `host_name` and the hardware addresses are what the kernel really has.
pub fn success(plan: &LinkPlan, made: &Made, netns: &str) -> Success {
    let interface = |name: &str, mac: &str, mtu, sandbox: &str| Interface {
        name: name.to_owned(),
        mac: mac.to_owned(),
        mtu,
        sandbox: sandbox.to_owned(),
    };
    let gateways = &plan.bridge.gateways;
    Success {
        interfaces: vec![
            interface(&plan.bridge.name, &made.bridge_mac, made.mtu, ""),
            interface(&made.host_name, &made.host_mac, made.mtu, ""),
            interface(&plan.ifname, &made.pod_mac, made.mtu, netns),
        ],
        ips: plan
            .addresses
            .iter()
            .zip(gateways)
            .map(|(address, gateway)| Ip {
                address: *address,
                gateway: Some(gateway.addr()),
                interface: 2,
            })
            .collect(),
        routes: plan
            .routes
            .iter()
            .map(|(dst, gw)| ResultRoute { dst: *dst, gw: *gw })
            .collect(),
    }
}

/// What the kernel has after a plan was applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// Name of the host end.
    pub host_name: String,
    /// Its hardware address.
    pub host_mac: String,
    /// The bridge's.
    pub bridge_mac: String,
    /// The pod's.
    pub pod_mac: String,
    /// MTU in the pod.
    pub mtu: u32,
}

#[cfg(test)]
mod tests;
