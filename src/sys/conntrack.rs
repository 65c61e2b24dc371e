//! The kernel's connection table, over netlink: finds and deletes UDP entries.
//!
//! Only UDP: a TCP connection to an endpoint that is gone ends by itself, while a UDP entry sends every further packet
//! of a client to the old endpoint for as long as the client keeps talking.

use crate::model::net::{Flow, IpFamily};
use async_trait::async_trait;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload, Nla,
};
use netlink_packet_netfilter::conntrack::{
    ConntrackAttribute, ConntrackMessage, IPTuple, ProtoTuple, Protocol, Tuple,
};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
};
use netlink_sys::{Socket, SocketAddr as NetlinkAddr, protocols::NETLINK_NETFILTER};
use std::io;
use std::net::{IpAddr, SocketAddr};

/// `CTA_ID`: tells an entry from a later one with the same addresses.
const CTA_ID: u16 = 12;
/// `CTA_ZONE`: entries of different zones may have the same addresses.
const CTA_ZONE: u16 = 18;

/// What went wrong with the connection table.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket failed.
    #[error("conntrack netlink socket")]
    Socket(#[from] io::Error),
    /// The kernel refused.
    #[error("{what}")]
    Refused {
        /// What was asked for.
        what: String,
        /// The kernel's error number.
        #[source]
        source: io::Error,
    },
    /// An answer that cannot be decoded.
    #[error("unexpected conntrack message: {0}")]
    Decode(String),
}

/// Decides which entries go.
pub type Stale = Box<dyn Fn(&Flow) -> bool + Send>;

/// The connection table of one network namespace.
#[async_trait]
pub trait Conntrack: Send + Sync {
    /// Deletes the UDP entries of a family that `stale` says yes to, and returns how many there were. An entry that is
    /// gone meanwhile is a success.
    async fn delete_udp(&self, family: IpFamily, stale: Stale) -> Result<usize, Error>;
}

/// The real thing, in the caller's network namespace.
#[derive(Clone, Copy, Debug, Default)]
pub struct Netlink;

#[async_trait]
impl Conntrack for Netlink {
    async fn delete_udp(&self, family: IpFamily, stale: Stale) -> Result<usize, Error> {
        // A large table takes many milliseconds to read.
        let work = tokio::task::spawn_blocking(move || delete_udp_blocking(family, &stale));
        work.await.map_err(|panic| Error::Decode(panic.to_string()))?
    }
}

/// Blocking form of [`Conntrack::delete_udp`].
pub fn delete_udp_blocking(family: IpFamily, stale: &Stale) -> Result<usize, Error> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.connect(&NetlinkAddr::new(0, 0))?;
    let found = dump(&socket, family, stale)?;
    for entry in &found {
        delete(&socket, family, entry)?;
    }
    Ok(found.len())
}

/// The attributes that name each stale entry.
fn dump(socket: &Socket, family: IpFamily, stale: &Stale) -> Result<Vec<Vec<ConntrackAttribute>>, Error> {
    send(socket, family, NLM_F_DUMP, ConntrackMessage::Get(Vec::new()))?;
    let mut found = Vec::new();
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        for message in messages(&datagram) {
            match message?.payload {
                NetlinkPayload::Done(_) => return Ok(found),
                NetlinkPayload::Error(error) if error.code.is_some() => {
                    return Err(Error::Refused {
                        what: "list connections".to_owned(),
                        source: error.to_io(),
                    });
                }
                NetlinkPayload::InnerMessage(inner) => {
                    if let NetfilterMessageInner::Conntrack(ConntrackMessage::New(attributes)) = inner.inner
                        && udp_flow(&attributes).is_some_and(|flow| stale(&flow))
                    {
                        found.push(attributes.into_iter().filter(names_entry).collect());
                    }
                }
                _ => {}
            }
        }
    }
}

fn names_entry(attribute: &ConntrackAttribute) -> bool {
    match attribute {
        ConntrackAttribute::CtaTupleOrig(_) => true,
        ConntrackAttribute::Other(other) => matches!(other.kind(), CTA_ID | CTA_ZONE),
        _ => false,
    }
}

fn delete(socket: &Socket, family: IpFamily, entry: &[ConntrackAttribute]) -> Result<(), Error> {
    send(
        socket,
        family,
        NLM_F_ACK,
        ConntrackMessage::Delete(entry.to_vec()),
    )?;
    let (datagram, _) = socket.recv_from_full()?;
    for message in messages(&datagram) {
        if let NetlinkPayload::Error(error) = message?.payload
            && error.code.is_some()
            && error.to_io().kind() != io::ErrorKind::NotFound
        {
            return Err(Error::Refused {
                what: format!("delete connection {entry:?}"),
                source: error.to_io(),
            });
        }
    }
    Ok(())
}

fn send(socket: &Socket, family: IpFamily, flags: u16, message: ConntrackMessage) -> Result<(), Error> {
    let family = match family {
        IpFamily::V4 => NetfilterProtoFamily::IPv4,
        IpFamily::V6 => NetfilterProtoFamily::IPv6,
    };
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | flags;
    let payload = NetfilterMessage::new(NetfilterHeader::new(family, 0, 0), message);
    let mut packet = NetlinkMessage::new(header, NetlinkPayload::from(payload));
    packet.finalize();
    let mut bytes = vec![0; packet.buffer_len()];
    packet.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    Ok(())
}

/// The messages of one datagram; each starts at a multiple of four.
fn messages(datagram: &[u8]) -> impl Iterator<Item = Result<NetlinkMessage<NetfilterMessage>, Error>> + '_ {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        if rest.len() < 16 {
            return None;
        }
        let message = NetlinkMessage::<NetfilterMessage>::deserialize(rest);
        let length = message
            .as_ref()
            .map_or(rest.len(), |m| usize::try_from(m.header.length).unwrap_or(0));
        rest = rest.get(length.next_multiple_of(4).max(16)..).unwrap_or_default();
        Some(message.map_err(|error| Error::Decode(error.to_string())))
    })
}

/// The addresses of a UDP entry.
fn udp_flow(attributes: &[ConntrackAttribute]) -> Option<Flow> {
    let mut original = None;
    let mut reply = None;
    for attribute in attributes {
        match attribute {
            ConntrackAttribute::CtaTupleOrig(tuples) => original = udp_ends(tuples),
            ConntrackAttribute::CtaTupleReply(tuples) => reply = udp_ends(tuples),
            _ => {}
        }
    }
    let ((source, destination), (reply_source, _)) = (original?, reply?);
    Some(Flow {
        source,
        destination,
        reply_source,
    })
}

/// Source and destination of one direction.
fn udp_ends(tuples: &[Tuple]) -> Option<(SocketAddr, SocketAddr)> {
    let (mut source, mut destination): (Option<IpAddr>, Option<IpAddr>) = (None, None);
    let (mut from, mut to) = (None, None);
    let mut udp = false;
    for tuple in tuples {
        match tuple {
            Tuple::Ip(addresses) => {
                for address in addresses {
                    match address {
                        IPTuple::SourceAddress(ip) => source = Some(*ip),
                        IPTuple::DestinationAddress(ip) => destination = Some(*ip),
                        _ => {}
                    }
                }
            }
            Tuple::Proto(parts) => {
                for part in parts {
                    match part {
                        ProtoTuple::Protocol(protocol) => udp = *protocol == Protocol::Udp,
                        ProtoTuple::SourcePort(port) => from = Some(*port),
                        ProtoTuple::DestinationPort(port) => to = Some(*port),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    let ends = (
        SocketAddr::new(source?, from?),
        SocketAddr::new(destination?, to?),
    );
    udp.then_some(ends)
}
