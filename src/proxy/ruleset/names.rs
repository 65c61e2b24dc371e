//! PURE. Chain names: kube-proxy's fixed ones, and its hashes of Service ports and endpoints.

use crate::model::service::Protocol;
use crate::model::tables::Table;
use sha2::{Digest, Sha256};
use std::fmt;
use std::net::SocketAddr;

/// Longest chain name the kernel takes.
const MAX: usize = 28;

/// The name of a chain, at most 28 characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainName {
    /// Zero-padded, so that the derived order is the order of the text.
    text: [u8; MAX],
    length: u8,
}

impl ChainName {
    /// `None` when the name is empty, too long, or has characters that no chain of ours has.
    pub fn new(name: &str) -> Option<Self> {
        let plain = name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if name.is_empty() || !plain {
            return None;
        }
        let mut text = [0; MAX];
        text.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
        Some(Self {
            text,
            length: u8::try_from(name.len()).ok()?,
        })
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text[..usize::from(self.length)]).expect("the constructor takes ASCII only")
    }
}

impl fmt::Display for ChainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for ChainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that is written in this program.
pub(super) const fn fixed(name: &'static str) -> ChainName {
    let bytes = name.as_bytes();
    assert!(bytes.len() <= MAX);
    let mut text = [0; MAX];
    let mut at = 0;
    while at < bytes.len() {
        text[at] = bytes[at];
        at += 1;
    }
    #[expect(clippy::cast_possible_truncation, reason = "at most MAX, asserted above")]
    let length = bytes.len() as u8;
    ChainName { text, length }
}

/// Dispatch by cluster, external and load balancer IP (nat); refusals for cluster IPs (filter).
pub(super) const SERVICES: ChainName = fixed("KUBE-SERVICES");
/// Refusals for node ports, external and load balancer IPs (filter).
pub(super) const EXTERNAL_SERVICES: ChainName = fixed("KUBE-EXTERNAL-SERVICES");
/// Dispatch by node port (nat); health check ports (filter).
pub(super) const NODE_PORTS: ChainName = fixed("KUBE-NODEPORTS");
/// Masquerades what is marked.
pub(super) const POSTROUTING: ChainName = fixed("KUBE-POSTROUTING");
/// Marks for masquerade.
pub(super) const MARK_MASQ: ChainName = fixed("KUBE-MARK-MASQ");
/// Lets Service traffic through a FORWARD policy of DROP.
pub(super) const FORWARD: ChainName = fixed("KUBE-FORWARD");
/// Drops what source ranges did not allow.
pub(super) const PROXY_FIREWALL: ChainName = fixed("KUBE-PROXY-FIREWALL");
/// Empty; says to everyone that a kube-proxy programs this table, and vanishes when the table is deleted.
pub const CANARY: ChainName = fixed("KUBE-PROXY-CANARY");

/// Chains of fixed name, per table.
pub(super) fn fixed_chains(table: Table) -> &'static [ChainName] {
    match table {
        Table::Mangle => &[CANARY],
        Table::Filter => &[
            CANARY,
            EXTERNAL_SERVICES,
            FORWARD,
            NODE_PORTS,
            PROXY_FIREWALL,
            SERVICES,
        ],
        Table::Nat => &[CANARY, MARK_MASQ, NODE_PORTS, POSTROUTING, SERVICES],
    }
}

/// Prefixes of the chains per Service port and endpoint; all in nat.
const HASHED: [&str; 5] = ["KUBE-SVC-", "KUBE-SVL-", "KUBE-EXT-", "KUBE-FW-", "KUBE-SEP-"];

/// Whether a chain is ours to rewrite and delete. kubelet's chains (`KUBE-FIREWALL`, `KUBE-KUBELET-CANARY`,
/// `KUBE-IPTABLES-HINT`) are not.
pub fn is_owned(table: Table, chain: &str) -> bool {
    let hashed = table == Table::Nat && HASHED.iter().any(|prefix| chain.starts_with(prefix));
    hashed || fixed_chains(table).iter().any(|fixed| fixed.as_str() == chain)
}

/// The chain of a Service port: the prefix and 16 characters of base32(SHA-256(name, protocol)).
pub(super) fn service(prefix: &str, label: &str, protocol: Protocol) -> ChainName {
    hashed(prefix, &[label, protocol_name(protocol)])
}

/// The chain of an endpoint of a Service port.
pub(super) fn endpoint(label: &str, protocol: Protocol, endpoint: SocketAddr) -> ChainName {
    hashed(
        "KUBE-SEP-",
        &[label, protocol_name(protocol), &endpoint.to_string()],
    )
}

/// Protocol as iptables writes it.
pub(super) fn protocol_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
    }
}

fn hashed(prefix: &str, parts: &[&str]) -> ChainName {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
    }
    let digest = hash.finalize();
    let mut name = prefix.to_owned();
    // 10 bytes are exactly 16 characters of 5 bits each.
    for chunk in digest[..10].chunks_exact(5) {
        let bits = chunk.iter().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
        for shift in (0..8).rev() {
            let index = usize::try_from(bits >> (shift * 5) & 31).expect("5 bits fit");
            name.push(char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[index]));
        }
    }
    ChainName::new(&name).expect("prefixes have at most 9 characters, hashes have 16")
}

#[cfg(test)]
mod tests;
