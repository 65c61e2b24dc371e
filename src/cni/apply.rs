//! Puts a [`LinkPlan`] into the kernel, takes it away again, and compares.
//!
//! Invariants: a failed ADD leaves no link behind (guards undo on drop); taking away treats "not there" as done; a
//! host end is only deleted when its alias says that it belongs to this very attachment.

use super::plan::{Bridge, LinkPlan, Made, alias, host_names, owner_of_alias};
use super::spec::{Owner, Previous};
use crate::sys::netlink::{self, Link, Netlink, Route, VethPair};
use crate::sys::netns::{self, Netns};
use crate::sys::sysctl;
use ipnet::IpNet;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// `RTPROT_STATIC`: routes in the pod are nobody's to manage.
const STATIC: u8 = 4;

/// What kept a plan from being applied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refused something.
    #[error(transparent)]
    Netlink(#[from] netlink::Error),
    /// A setting could not be written.
    #[error(transparent)]
    Sysctl(#[from] sysctl::Error),
    /// The pod's namespace.
    #[error(transparent)]
    Netns(#[from] netns::Error),
    /// The pod's namespace is our own.
    #[error("{} is the namespace the plugin runs in", .0.display())]
    OwnNetns(PathBuf),
    /// Something that is not a bridge has the bridge's name.
    #[error("{name} is a {kind} link, not a bridge")]
    NotABridge {
        /// The name.
        name: String,
        /// What it is.
        kind: String,
    },
    /// The bridge serves another subnet that overlaps ours.
    #[error("bridge {name} has address {found}, which overlaps with {wanted}")]
    ForeignAddress {
        /// The bridge.
        name: String,
        /// What it has.
        found: IpNet,
        /// What we need.
        wanted: IpNet,
    },
    /// The pod has an interface of that name, not made by us for this attachment.
    #[error("{ifname} exists already in {}", .netns.display())]
    InterfaceExists {
        /// The name.
        ifname: String,
        /// The namespace.
        netns: PathBuf,
    },
    /// All names for the host end are other attachments'.
    #[error("host interface {0} belongs to another attachment, and so do its alternatives")]
    NamesTaken(String),
    /// CHECK found a difference.
    #[error("{0}")]
    Differs(String),
}

/// Result of applying.
pub type Result<T> = std::result::Result<T, Error>;

/// Deletes the host end, and with it the pod's, unless told that all went well.
struct VethGuard<'a> {
    host: &'a mut Netlink,
    name: &'a str,
    keep: bool,
}

impl Drop for VethGuard<'_> {
    fn drop(&mut self) {
        if !self.keep
            && let Err(e) = self.host.delete_link(self.name)
        {
            eprintln!("rustlet: undo: {e}");
        }
    }
}

/// ADD.
pub fn add(plan: &LinkPlan, netns: &Netns) -> Result<Made> {
    if netns.id() == Netns::current()?.id() {
        return Err(Error::OwnNetns(netns.path().to_owned()));
    }
    let mut host = Netlink::open()?;
    let bridge = ensure_bridge(&mut host, &plan.bridge)?;
    let mut pod = prepare_pod(plan, netns)?;
    let name = free_name(&mut host, plan)?;
    host.create_veth(&VethPair {
        host: &name,
        master: bridge.index,
        peer: &plan.ifname,
        peer_mac: plan.mac,
        peer_netns: netns.as_raw_fd(),
        mtu: plan.mtu,
    })
    .map_err(|e| match e.exists() {
        true => Error::InterfaceExists {
            ifname: plan.ifname.clone(),
            netns: netns.path().to_owned(),
        },
        false => e.into(),
    })?;
    let guard = VethGuard {
        host: &mut host,
        name: &name,
        keep: false,
    };
    let made = configure(guard, &mut pod, plan)?;
    Ok(Made {
        bridge_mac: bridge.mac_text(),
        ..made
    })
}

/// Everything after the pair exists; the guard undoes it on any error.
fn configure(mut guard: VethGuard<'_>, pod: &mut Netlink, plan: &LinkPlan) -> Result<Made> {
    let name = guard.name.to_owned();
    guard.host.set_port(&name, plan.hairpin, &plan.alias)?;
    let inside = expect(pod, &plan.ifname)?;
    for address in &plan.addresses {
        pod.add_address(inside.index, *address)?;
    }
    pod.set_up(&plan.ifname)?;
    for (dst, gateway) in &plan.routes {
        let route = Route {
            dst: *dst,
            gateway: Some(*gateway),
            oif: Some(inside.index),
            protocol: STATIC,
        };
        pod.replace_route(&route)?;
    }
    let outside = expect(guard.host, &name)?;
    guard.keep = true;
    Ok(Made {
        host_mac: outside.mac_text(),
        pod_mac: inside.mac_text(),
        mtu: inside.mtu,
        host_name: name,
        bridge_mac: String::new(),
    })
}

/// Settings that must hold before the pod's interface exists, and loopback.
fn prepare_pod(plan: &LinkPlan, netns: &Netns) -> Result<Netlink> {
    let v6 = plan.addresses.iter().any(|a| a.addr().is_ipv6());
    netns::visit(netns, || {
        // A pod must not take a neighbour's word for its routes (CVE-2020-10749).
        sysctl::ensure("net/ipv6/conf/default/accept_ra", "0")?;
        if v6 {
            sysctl::ensure("net/ipv6/conf/default/disable_ipv6", "0")?;
            // We know that addresses are unique; waiting for detection would delay every pod by seconds.
            sysctl::ensure("net/ipv6/conf/default/accept_dad", "0")?;
        }
        let mut pod = Netlink::open()?;
        pod.set_up("lo")?;
        Ok(pod)
    })?
}

fn expect(netlink: &mut Netlink, name: &str) -> Result<Link> {
    netlink
        .link(name)?
        .ok_or_else(|| Error::Differs(format!("{name} is gone")))
}

/// The bridge with its gateways, made when missing. Several ADDs may do this at the same time.
pub fn ensure_bridge(host: &mut Netlink, bridge: &Bridge) -> Result<Link> {
    let link = match host.link(&bridge.name)? {
        Some(link) => link,
        None => {
            match host.create_bridge(&bridge.name, bridge.mac, bridge.mtu) {
                Err(e) if !e.exists() => return Err(e.into()),
                _ => {}
            }
            sysctl::ensure(&format!("net/ipv6/conf/{}/accept_ra", bridge.name), "0")?;
            expect(host, &bridge.name)?
        }
    };
    if link.kind != "bridge" {
        let kind = if link.kind.is_empty() {
            "hardware".to_owned()
        } else {
            link.kind
        };
        return Err(Error::NotABridge {
            name: link.name,
            kind,
        });
    }
    if !link.up {
        host.set_up(&bridge.name)?;
    }
    if bridge.mtu > 0 && link.mtu != bridge.mtu {
        host.set_mtu(&bridge.name, bridge.mtu)?;
    }
    let present = host.addresses(Some(link.index))?;
    for wanted in &bridge.gateways {
        if present.iter().any(|(_, found)| found == wanted) {
            continue;
        }
        let overlaps = |found: &IpNet| found.contains(&wanted.trunc()) || wanted.contains(&found.trunc());
        if let Some((_, found)) = present.iter().find(|(_, found)| overlaps(found)) {
            return Err(Error::ForeignAddress {
                name: link.name,
                found: *found,
                wanted: *wanted,
            });
        }
        host.add_address(link.index, *wanted)?;
        let forwarding = if wanted.addr().is_ipv4() {
            "net/ipv4/ip_forward"
        } else {
            "net/ipv6/conf/all/forwarding"
        };
        sysctl::ensure(forwarding, "1")?;
    }
    Ok(link)
}

/// A free name for the host end. What a killed ADD for the same attachment left behind is removed first.
fn free_name(host: &mut Netlink, plan: &LinkPlan) -> Result<String> {
    for name in &plan.host_names {
        match host.link(name)? {
            None => return Ok(name.clone()),
            // Killed between creating the pair and marking it: the pair has no alias yet.
            Some(link) if link.kind == "veth" && (link.alias == plan.alias || link.alias.is_empty()) => {
                host.delete_link(name)?;
                return Ok(name.clone());
            }
            Some(_) => {}
        }
    }
    Err(Error::NamesTaken(
        plan.host_names.first().cloned().unwrap_or_default(),
    ))
}

/// DEL: removes the attachment's link by its host end, or else by its name in the pod (another plugin may have made
/// it). A missing or unusable namespace is fine.
pub fn delete(network: &str, owner: &Owner, netns: Option<&Path>) -> Result<()> {
    let mut host = Netlink::open()?;
    let mine = alias(network, owner).ok();
    for name in host_names(owner) {
        if let Some(link) = host.link(&name)?
            && link.kind == "veth"
            && (Some(&link.alias) == mine.as_ref() || link.alias.is_empty())
        {
            host.delete_link(&name)?;
            return Ok(());
        }
    }
    let Some(path) = netns else { return Ok(()) };
    let netns = match Netns::open(path) {
        Err(e) if e.is_gone() => return Ok(()),
        other => other?,
    };
    if netns.id() == Netns::current()?.id() {
        return Err(Error::OwnNetns(path.to_owned()));
    }
    let mut pod = netns::visit(&netns, Netlink::open)??;
    if pod.link(&owner.ifname)?.is_some_and(|link| link.kind == "veth") {
        pod.delete_link(&owner.ifname)?;
    }
    Ok(())
}

/// GC: removes the host ends of this network whose owner is not in `valid`. Goes on after a failure and returns all.
pub fn collect(network: &str, valid: impl Fn(&Owner) -> bool) -> Result<Vec<Error>> {
    let mut host = Netlink::open()?;
    let mut errors = Vec::new();
    for link in host.links()? {
        if owner_of_alias(network, &link.alias).is_some_and(|owner| !valid(&owner))
            && let Err(e) = host.delete_link(&link.name)
        {
            errors.push(e.into());
        }
    }
    Ok(errors)
}

/// CHECK: compares the kernel with the plan and with what ADD said.
pub fn check(plan: &LinkPlan, previous: &Previous, netns: &Netns) -> Result<()> {
    let mut host = Netlink::open()?;
    let mut pod = netns::visit(netns, Netlink::open)??;
    let inside = pod
        .link(&plan.ifname)?
        .ok_or_else(|| missing(&plan.ifname, netns))?;
    check_pod(plan, previous, &mut pod, &inside)?;
    let bridge = host.link(&plan.bridge.name)?;
    let bridge = bridge.ok_or_else(|| Error::Differs(format!("bridge {} is missing", plan.bridge.name)))?;
    let here = host.addresses(Some(bridge.index))?;
    for gateway in &plan.bridge.gateways {
        differs(!here.iter().any(|(_, a)| a == gateway), || {
            format!("{} lacks {gateway}", bridge.name)
        })?;
    }
    let links = host.links()?;
    let port = links.iter().find(|link| link.alias == plan.alias);
    let port = port.ok_or_else(|| Error::Differs(format!("host interface of {} is missing", plan.ifname)))?;
    differs(inside.peer != Some(port.index), || {
        format!("{} is not the other end of {}", port.name, plan.ifname)
    })?;
    differs(port.master != Some(bridge.index), || {
        format!("{} is not a port of {}", port.name, bridge.name)
    })?;
    differs(!port.up, || format!("{} is down", port.name))?;
    differs(port.hairpin != Some(plan.hairpin), || {
        format!("{} has hairpin {:?}", port.name, port.hairpin)
    })
}

fn check_pod(plan: &LinkPlan, previous: &Previous, pod: &mut Netlink, inside: &Link) -> Result<()> {
    differs(!inside.up, || format!("{} is down", inside.name))?;
    let said = previous
        .interfaces
        .iter()
        .find(|i| i.name == plan.ifname && !i.sandbox.is_empty());
    if let Some(said) = said.filter(|i| !i.mac.is_empty()) {
        let found = inside.mac_text();
        differs(!said.mac.eq_ignore_ascii_case(&found), || {
            format!("{} has hardware address {found}, not {}", inside.name, said.mac)
        })?;
    }
    let addresses = pod.addresses(Some(inside.index))?;
    for address in previous
        .ips
        .iter()
        .map(|ip| ip.address)
        .chain(plan.addresses.iter().copied())
    {
        differs(!addresses.iter().any(|(_, a)| *a == address), || {
            format!("{} lacks {address}", inside.name)
        })?;
    }
    let routes = pod.routes()?;
    for (dst, gateway) in &plan.routes {
        let there = routes
            .iter()
            .any(|r| r.dst == *dst && r.gateway == Some(*gateway) && r.oif == Some(inside.index));
        differs(!there, || format!("route to {dst} by {gateway} is missing"))?;
    }
    Ok(())
}

fn missing(ifname: &str, netns: &Netns) -> Error {
    Error::Differs(format!("{ifname} is missing in {}", netns.path().display()))
}

fn differs(yes: bool, what: impl FnOnce() -> String) -> Result<()> {
    if yes { Err(Error::Differs(what())) } else { Ok(()) }
}
