//! PURE. Host ports of all pods of a network to the rules of two chains in `nat`.
//!
//! ```text
//! PREROUTING, OUTPUT ─▶ KUBE-SERVICES                       (the Service proxy keeps its jump first)
//!                    ─▶ RUSTLET-PORTS-…  (to this node's own addresses only) ─▶ MARK, DNAT
//! POSTROUTING        ─▶ RUSTLET-PMASQ-…  what was marked leaves with the node's address
//! ```
//! Only packets to the node's own addresses are looked at, so a ClusterIP is never taken over. Pods of this node are
//! masqueraded, or the answer would not come back the way of the question. Packets from loopback addresses are left
//! alone: to translate them needs `route_localnet`, which opens the node's local services to its neighbours
//! (CVE-2020-8558).
//!
//! Rules are written the way `iptables-save` prints them: comparing text finds every change.

use crate::cni::spec::PortMapping;
use crate::model::net::{Flow, IpFamily};
use crate::model::tables::SavedTable;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

/// Mark of packets that leave with the node's address: portmap's bit, another one than kube-proxy's.
const MARK: &str = "0x2000/0x2000";

/// A mapping that cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// `hostIP`.
    #[error("hostPort {port}: hostIP: {text:?} is not an IP address")]
    HostIp {
        /// Of which port.
        port: u16,
        /// What was there.
        text: String,
    },
    /// `protocol`.
    #[error("hostPort {port}: protocol: {text:?} is not tcp, udp or sctp")]
    Protocol {
        /// Of which port.
        port: u16,
        /// What was there.
        text: String,
    },
    /// `containerPort`.
    #[error("hostPort {0}: containerPort: missing")]
    ContainerPort(u16),
}

/// Transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

/// A host port, understood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    /// Port on the node.
    pub host_port: u16,
    /// Port in the pod.
    pub container_port: u16,
    /// Protocol.
    pub protocol: Protocol,
    /// Node address; unspecified for all of its family, `None` for all.
    pub host_ip: Option<IpAddr>,
}

impl Mapping {
    /// Packets to this address of the node are meant.
    fn covers(&self, ip: IpAddr) -> bool {
        self.host_ip.is_none_or(|host| {
            host == ip || (host.is_unspecified() && IpFamily::of(host) == IpFamily::of(ip))
        })
    }
}

/// The host ports of one sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The runtime's sandbox id.
    pub container_id: String,
    /// The pod's addresses, with the prefix lengths of their subnets.
    pub addresses: Vec<IpNet>,
    /// Its host ports.
    pub mappings: Vec<Mapping>,
}

impl Record {
    /// One of the ports is UDP.
    pub fn has_udp(&self) -> bool {
        self.mappings.iter().any(|m| m.protocol == Protocol::Udp)
    }
}

/// Names of a network's chains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chains {
    /// Translates.
    pub dnat: String,
    /// Masquerades.
    pub masq: String,
}

impl Chains {
    /// Two networks on a node have different chains.
    pub fn of(network: &str) -> Self {
        let digest = Sha256::digest(network.as_bytes());
        let short: String = digest.iter().take(4).map(|b| format!("{b:02x}")).collect();
        Self {
            dnat: format!("RUSTLET-PORTS-{short}"),
            masq: format!("RUSTLET-PMASQ-{short}"),
        }
    }

    /// Rules of built-in chains that lead to ours.
    fn jumps(&self) -> [(&'static str, String); 3] {
        let (dnat, masq) = (&self.dnat, &self.masq);
        let local = r#"-m addrtype --dst-type LOCAL -m comment --comment "rustlet: host ports""#;
        [
            ("PREROUTING", format!("-A PREROUTING {local} -j {dnat}")),
            ("OUTPUT", format!("-A OUTPUT {local} -j {dnat}")),
            (
                "POSTROUTING",
                format!(r#"-A POSTROUTING -m comment --comment "rustlet: host ports" -j {masq}"#),
            ),
        ]
    }

    fn masquerade(&self) -> String {
        format!("-A {} -m mark --mark {MARK} -j MASQUERADE", self.masq)
    }
}

/// What the runtime asks for, understood; ports that are not mapped to the host are left out.
pub fn mappings(asked: &[PortMapping]) -> Result<Vec<Mapping>, Invalid> {
    asked.iter().filter(|m| m.host_port > 0).map(mapping).collect()
}

fn mapping(asked: &PortMapping) -> Result<Mapping, Invalid> {
    let port = asked.host_port;
    let protocol = match &*asked.protocol.to_ascii_lowercase() {
        "" | "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        _ => {
            let text = asked.protocol.clone();
            return Err(Invalid::Protocol { port, text });
        }
    };
    let host_ip = match &*asked.host_ip {
        "" => None,
        text => Some(text.parse().map_err(|_| Invalid::HostIp {
            port,
            text: text.to_owned(),
        })?),
    };
    if asked.container_port == 0 {
        return Err(Invalid::ContainerPort(port));
    }
    Ok(Mapping {
        host_port: port,
        container_port: asked.container_port,
        protocol,
        host_ip,
    })
}

/// Rules of the chain that translates, of one family. None when there is nothing to translate.
pub fn chain(chains: &Chains, family: IpFamily, records: &[Record]) -> Vec<String> {
    let own = &chains.dnat;
    let mut rules = Vec::new();
    for record in records {
        let address = record.addresses.iter().find(|a| IpFamily::of(a.addr()) == family);
        let Some(address) = address else { continue };
        for mapping in &record.mappings {
            if mapping.host_ip.is_some_and(|ip| IpFamily::of(ip) != family) {
                continue;
            }
            let to = mapping.host_ip.filter(|ip| !ip.is_unspecified());
            let to = to.map_or_else(String::new, |ip| format!("-d {} ", IpNet::from(ip)));
            let protocol = mapping.protocol.as_str();
            let port = format!("-p {protocol} -m {protocol} --dport {}", mapping.host_port);
            let pod = SocketAddr::new(address.addr(), mapping.container_port);
            rules.push(format!(
                "-A {own} -s {} {to}{port} -j MARK --set-xmark {MARK}",
                address.trunc()
            ));
            rules.push(format!("-A {own} {to}{port} -j DNAT --to-destination {pod}"));
        }
    }
    if !rules.is_empty() {
        let loopback = match family {
            IpFamily::V4 => "127.0.0.0/8",
            IpFamily::V6 => "::1/128",
        };
        rules.insert(0, format!("-A {own} -s {loopback} -j RETURN"));
    }
    rules
}

/// The first rule that is wanted and not there.
pub fn missing(chains: &Chains, wanted: &[String], saved: &SavedTable) -> Option<String> {
    let has = |chain: &str, rule: &str| {
        let rules = saved.rules.get(chain);
        rules.is_some_and(|rules| rules.iter().any(|r| **r == *rule))
    };
    let of_chain = wanted.iter().find(|rule| !has(&chains.dnat, rule)).cloned();
    let jump = || {
        let mut jumps = chains.jumps().into_iter();
        jumps.find(|(from, jump)| !has(from, jump)).map(|(_, jump)| jump)
    };
    let masquerade = || Some(chains.masquerade()).filter(|rule| !has(&chains.masq, rule));
    of_chain.or_else(jump).or_else(masquerade)
}

/// Input for `iptables-restore --noflush` that makes both chains right, or removes them when nothing is wanted; `None`
/// when nothing has to be done.
pub fn repair(chains: &Chains, wanted: &[String], saved: &SavedTable) -> Option<String> {
    let found = |chain: &str| saved.rules.get(chain).map(Vec::as_slice).unwrap_or_default();
    let mut removed = Vec::new();
    let mut added = Vec::new();
    for (from, jump) in chains.jumps() {
        let ours = |rule: &&str| {
            let mut words = rule.split(' ');
            words.any(|word| word == chains.dnat || word == chains.masq)
        };
        let there: Vec<&str> = found(from).iter().map(|rule| &**rule).filter(ours).collect();
        let right = !wanted.is_empty() && there.len() == 1 && there.iter().all(|rule| *rule == jump);
        if !right {
            removed.extend(there.iter().map(|rule| rule.replacen("-A ", "-D ", 1)));
            added.extend((!wanted.is_empty()).then_some(jump));
        }
    }
    let masquerade = [chains.masquerade()];
    let own: [(&str, &[String]); 2] = [(&chains.dnat, wanted), (&chains.masq, &masquerade)];
    let mut text = String::new();
    if wanted.is_empty() {
        let mut there: Vec<&str> = own.iter().map(|(name, _)| *name).collect();
        there.retain(|name| saved.chains.contains(*name));
        for name in &there {
            line(&mut text, &format!(":{name} - [0:0]"));
        }
        removed.iter().for_each(|rule| line(&mut text, rule));
        there
            .iter()
            .for_each(|name| line(&mut text, &format!("-X {name}")));
    } else {
        for (name, rules) in own {
            let same = found(name)
                .iter()
                .map(|r| &**r)
                .eq(rules.iter().map(String::as_str));
            if !same {
                line(&mut text, &format!(":{name} - [0:0]"));
                rules.iter().for_each(|rule| line(&mut text, rule));
            }
        }
        removed
            .iter()
            .chain(&added)
            .for_each(|rule| line(&mut text, rule));
    }
    (!text.is_empty()).then(|| format!("*nat\n{text}COMMIT\n"))
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("writing to a String cannot fail");
}

/// A UDP connection that goes elsewhere than the new rules say. `own` are the node's addresses.
pub fn superseded(flow: &Flow, record: &Record, own: &[IpAddr]) -> bool {
    own.contains(&flow.destination.ip())
        && udp(record).any(|m| {
            m.host_port == flow.destination.port()
                && m.covers(flow.destination.ip())
                && !pods(record, m).any(|pod| pod == flow.reply_source)
        })
}

/// A UDP connection that was made by rules that are gone.
pub fn ended(flow: &Flow, record: &Record) -> bool {
    udp(record).any(|m| {
        m.host_port == flow.destination.port() && pods(record, m).any(|pod| pod == flow.reply_source)
    })
}

fn udp(record: &Record) -> impl Iterator<Item = &Mapping> {
    record.mappings.iter().filter(|m| m.protocol == Protocol::Udp)
}

fn pods(record: &Record, mapping: &Mapping) -> impl Iterator<Item = SocketAddr> {
    let port = mapping.container_port;
    record
        .addresses
        .iter()
        .map(move |net| SocketAddr::new(net.addr(), port))
}

#[cfg(test)]
mod tests;
