//! PURE. One typed rule.

use super::names::ChainName;
use crate::model::service::Protocol;
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};

/// A network to match, or to match everything but it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Negatable {
    /// The network.
    pub net: IpNet,
    /// True for "not in it".
    pub negated: bool,
}

/// One rule: everything given must match, then the target is taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Source.
    pub source: Option<Negatable>,
    /// Destination.
    pub destination: Option<Negatable>,
    /// Transport protocol.
    pub protocol: Option<Protocol>,
    /// Words for people.
    pub comment: Option<Box<str>>,
    /// Further matches, in order.
    pub matches: Vec<Match>,
    /// What happens.
    pub target: Target,
}

/// A match beyond addresses and protocol.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Match {
    /// Destination port; the rule has a protocol.
    Port(u16),
    /// The source is an address of this node.
    SourceLocal,
    /// The destination is an address of this node.
    DestinationLocal,
    /// All these bits of the packet mark are set.
    Mark(u32),
    /// Not all these bits of the packet mark are set.
    NotMark(u32),
    /// Connection tracking state.
    State(&'static str),
    /// One packet in so many, by chance.
    OneIn(usize),
    /// The client used this endpoint within so many seconds; older entries are forgotten.
    SeenWithin(ChainName, u32),
    /// Always matches, and remembers that the client uses this endpoint.
    Remember(ChainName),
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// Goes through another chain.
    Jump(ChainName),
    /// Back to the calling chain.
    Return,
    /// Lets the packet pass this table.
    Accept,
    /// Discards silently.
    Drop,
    /// Discards and tells the sender "port unreachable".
    Reject,
    /// Rewrites the destination.
    Dnat(SocketAddr),
    /// Rewrites the source to the address of the outgoing interface, with fully random ports (#56903).
    Masquerade,
    /// Sets bits of the packet mark.
    SetMark(u32),
    /// Clears bits of the packet mark that are known to be set.
    ClearMark(u32),
}

impl Rule {
    /// A rule that always matches.
    pub fn new(target: Target) -> Self {
        Self {
            source: None,
            destination: None,
            protocol: None,
            comment: None,
            matches: Vec::new(),
            target,
        }
    }

    /// From this network.
    pub fn from(mut self, net: IpNet) -> Self {
        self.source = Some(Negatable { net, negated: false });
        self
    }

    /// From elsewhere than this network.
    pub fn not_from(mut self, net: IpNet) -> Self {
        self.source = Some(Negatable { net, negated: true });
        self
    }

    /// To this address.
    pub fn to(mut self, ip: IpAddr) -> Self {
        self.destination = Some(Negatable {
            net: ip.into(),
            negated: false,
        });
        self
    }

    /// To elsewhere than this network.
    pub fn not_to(mut self, net: IpNet) -> Self {
        self.destination = Some(Negatable { net, negated: true });
        self
    }

    /// Of this protocol.
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = Some(protocol);
        self
    }

    /// To this port.
    pub fn port(self, protocol: Protocol, port: u16) -> Self {
        self.protocol(protocol).matching(Match::Port(port))
    }

    /// With a further match.
    pub fn matching(mut self, one: Match) -> Self {
        self.matches.push(one);
        self
    }

    /// With words for people. Characters that could end the comment are replaced.
    pub fn comment(mut self, text: &str) -> Self {
        let safe = |c: char| {
            if c.is_ascii_graphic() && c != '"' && c != '\\' || c == ' ' {
                c
            } else {
                '?'
            }
        };
        self.comment = Some(text.chars().take(MAX_COMMENT).map(safe).collect());
        self
    }
}

/// The kernel takes 256 bytes with the closing zero; a longer comment would refuse the whole transaction (#139515).
const MAX_COMMENT: usize = 255;
