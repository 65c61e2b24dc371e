//! Settings, routes and chains of the pod network in this node's kernel.

use super::conflist::BRIDGE;
use super::desired::Facts;
use super::masquerade::{self, Found};
use super::routes::{self, Actual, PROTOCOL};
use crate::model::net::IpFamily;
use crate::sys::iptables::{self, Restore, SavedTable, Table};
use crate::sys::netlink::{self, Netlink, Route};
use crate::sys::sysctl;
use ipnet::IpNet;
use std::net::IpAddr;

/// What failed in the kernel.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Links or routes.
    #[error(transparent)]
    Netlink(#[from] netlink::Error),
    /// A setting.
    #[error(transparent)]
    Sysctl(#[from] sysctl::Error),
    /// Chains.
    #[error(transparent)]
    Iptables(#[from] iptables::Error),
}

/// What a route sync found out and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Synced {
    /// MTU of the link pods leave by; 0 when unknown.
    pub mtu: u32,
    /// Routes added or changed.
    pub set: Vec<(IpNet, IpAddr)>,
    /// Routes deleted.
    pub deleted: Vec<IpNet>,
    /// Sentences for the log.
    pub problems: Vec<String>,
}

/// Forwarding, and bridged packets through iptables, without which a pod cannot reach a Service whose endpoint is on
/// its own bridge.
pub fn settings(own_cidrs: &[IpNet]) -> Result<Vec<String>, Error> {
    let mut problems = Vec::new();
    for cidr in own_cidrs {
        let (forwarding, bridged) = match IpFamily::of(cidr.addr()) {
            IpFamily::V4 => ("net/ipv4/ip_forward", "net/bridge/bridge-nf-call-iptables"),
            IpFamily::V6 => (
                "net/ipv6/conf/all/forwarding",
                "net/bridge/bridge-nf-call-ip6tables",
            ),
        };
        sysctl::ensure(forwarding, "1")?;
        if !sysctl::ensure(bridged, "1")? {
            problems.push(format!(
                "sysctl {bridged} does not exist: load the module br_netfilter, or Services fail between pods of this node"
            ));
        }
    }
    Ok(problems)
}

/// Makes the routes to other nodes' pods what they should be.
pub fn routes(facts: &Facts) -> Result<Synced, Error> {
    let mut kernel = Netlink::open()?;
    let links = kernel.links()?;
    let bridge = links
        .iter()
        .find(|link| link.name == BRIDGE)
        .map(|link| link.index);
    let addresses = kernel.addresses(None)?;
    let outside =
        |index: &u32| Some(*index) != bridge && links.iter().any(|l| l.index == *index && l.name != "lo");
    let connected: Vec<IpNet> = addresses
        .iter()
        .filter(|(index, _)| outside(index))
        .map(|(_, net)| net.trunc())
        .collect();
    let (desired, mut problems) = routes::desired(&facts.peers, &connected);
    let present = kernel.routes()?;
    let changes = routes::diff(&desired, &present.iter().map(actual).collect::<Vec<_>>());
    problems.extend(changes.problems);
    let mut synced = Synced {
        mtu: mtu(facts, &links, &addresses, &present),
        problems,
        ..Synced::default()
    };
    for (dst, gateway) in changes.set {
        // One unreachable next hop must not keep the other nodes' routes away.
        match kernel.replace_route(&ours(dst, Some(gateway))) {
            Ok(()) => synced.set.push((dst, gateway)),
            Err(e) => synced.problems.push(e.to_string()),
        }
    }
    for (dst, gateway) in changes.delete {
        kernel.delete_route(&ours(dst, gateway))?;
        synced.deleted.push(dst);
    }
    Ok(synced)
}

fn ours(dst: IpNet, gateway: Option<IpAddr>) -> Route {
    Route {
        dst,
        gateway,
        oif: None,
        protocol: PROTOCOL,
    }
}

fn actual(route: &Route) -> Actual {
    Actual {
        dst: route.dst,
        gateway: route.gateway,
        protocol: route.protocol,
    }
}

/// The MTU of the link that has our InternalIP, or else of the default route's.
fn mtu(facts: &Facts, links: &[netlink::Link], addresses: &[(u32, IpNet)], routes: &[Route]) -> u32 {
    let by_address = addresses
        .iter()
        .find(|(_, net)| facts.own_ips.contains(&net.addr()))
        .map(|(index, _)| *index);
    let default = || {
        routes
            .iter()
            .find(|r| r.dst.prefix_len() == 0)
            .and_then(|r| r.oif)
    };
    let index = by_address.or_else(default);
    links
        .iter()
        .find(|link| Some(link.index) == index)
        .map_or(0, |link| link.mtu)
}

/// Makes our chains of one family what they should be; without pods of the family they are removed. Returns whether
/// something was changed.
pub async fn chains(iptables: &dyn Restore, facts: &Facts, family: IpFamily) -> Result<bool, Error> {
    let wanted = facts.rules(family);
    let saved = match iptables.save(family, None).await {
        // A machine without IPv6 tools needs none of them to have no IPv6 pods.
        Err(_) if wanted.is_none() => return Ok(false),
        saved => saved?,
    };
    let tables = iptables::parse_save(&saved);
    let nat = found(tables.get(&Table::Nat), masquerade::MASQ, "POSTROUTING");
    let filter = found(tables.get(&Table::Filter), masquerade::FORWARD, "FORWARD");
    let text = match &wanted {
        Some(wanted) => masquerade::repair(wanted, &nat, &filter),
        None => masquerade::clean(&nat, &filter),
    };
    if let Some(text) = &text {
        iptables.restore(family, text).await?;
    }
    Ok(text.is_some())
}

fn found<'a>(table: Option<&'a SavedTable>, chain: &str, built_in: &str) -> Found<'a> {
    let Some(table) = table else {
        return Found::default();
    };
    let rules = |of: &str| table.rules.get(of).into_iter().flatten().map(|rule| &**rule);
    let target = format!("-j {chain}");
    Found {
        chain: table.chains.contains(chain),
        rules: rules(chain).collect(),
        jumps: rules(built_in).filter(|rule| rule.ends_with(&target)).collect(),
    }
}

/// Removes our routes, and the bridge when no pod is connected to it.
pub fn clean() -> Result<(), Error> {
    let mut kernel = Netlink::open()?;
    for route in kernel.routes()?.iter().filter(|route| route.protocol == PROTOCOL) {
        kernel.delete_route(route)?;
    }
    let links = kernel.links()?;
    if let Some(bridge) = links
        .iter()
        .find(|link| link.name == BRIDGE && link.kind == "bridge")
        && bridge.mac.starts_with(&[0x0a, 0x58])
        && !links.iter().any(|link| link.master == Some(bridge.index))
    {
        kernel.delete_link(BRIDGE)?;
    }
    Ok(())
}
