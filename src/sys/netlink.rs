//! Synchronous rtnetlink: links, addresses and routes of one network namespace.
//!
//! A [`Netlink`] speaks for the namespace it was opened in, wherever it is used from. Calls are one request and one
//! answer, need no runtime and no thread, and their errors name the object and carry the kernel's own explanation.
//! The message crates stay behind this file and its children.

mod message;

use crate::sys::netns::{self, Netns};
use ipnet::IpNet;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST,
    NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage as Rtnl;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use std::io;
use std::net::IpAddr;
use std::os::fd::RawFd;

/// Kernel dump messages are at most 32 KiB; anything longer would be cut.
const RECEIVE: usize = 64 * 1024;
/// How often a dump that changed under us is read again before we give up.
const DUMP_ATTEMPTS: usize = 8;

/// A failed netlink call.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refused.
    #[error("{what}: {cause}{}{explanation}", if explanation.is_empty() { "" } else { ": " })]
    Refused {
        /// The object and what was done to it.
        what: String,
        /// The error number.
        cause: io::Error,
        /// The kernel's extended acknowledgement, if it gave one.
        explanation: String,
    },
    /// The socket failed.
    #[error("netlink socket: {0}")]
    Socket(io::Error),
    /// A namespace could not be entered to open a socket in it.
    #[error(transparent)]
    Netns(#[from] netns::Error),
    /// An answer that cannot be decoded.
    #[error("{what}: unexpected answer from the kernel: {cause}")]
    Decode {
        /// The object and what was done to it.
        what: String,
        /// Decoder's words.
        cause: String,
    },
    /// The table changed faster than we could read it.
    #[error("{what}: table keeps changing while it is read")]
    Unstable {
        /// What was listed.
        what: String,
    },
}

impl Error {
    fn errno(&self) -> Option<nix::errno::Errno> {
        match self {
            Self::Refused { cause, .. } => cause.raw_os_error().map(nix::errno::Errno::from_raw),
            _ => None,
        }
    }
    /// The object is not there (link, address, or route).
    pub fn is_not_found(&self) -> bool {
        use nix::errno::Errno;
        matches!(
            self.errno(),
            Some(Errno::ENODEV | Errno::ESRCH | Errno::EADDRNOTAVAIL | Errno::ENOENT)
        )
    }
    /// An object of that name or value is there already.
    pub fn exists(&self) -> bool {
        self.errno() == Some(nix::errno::Errno::EEXIST)
    }
}

impl From<io::Error> for Error {
    fn from(e: io::Error) -> Self {
        Self::Socket(e)
    }
}

/// Result of a netlink call.
pub type Result<T> = std::result::Result<T, Error>;

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Index in its namespace.
    pub index: u32,
    /// Name.
    pub name: String,
    /// `veth`, `bridge`, …; empty for hardware and loopback.
    pub kind: String,
    /// Hardware address.
    pub mac: Vec<u8>,
    /// Largest packet in bytes.
    pub mtu: u32,
    /// Administratively up.
    pub up: bool,
    /// Index of the bridge it is a port of.
    pub master: Option<u32>,
    /// Index of the other end of a veth pair, in the other end's namespace.
    pub peer: Option<u32>,
    /// Free text attached to the link.
    pub alias: String,
    /// Bridge port: packets may leave by the port they came in.
    pub hairpin: Option<bool>,
    /// In promiscuous mode on somebody's demand.
    pub promiscuous: bool,
}

impl Link {
    /// The hardware address as `02:00:00:00:00:01`.
    pub fn mac_text(&self) -> String {
        self.mac
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect::<Vec<_>>()
            .join(":")
    }
}

/// A veth pair to create: one end here, the other straight in another namespace.
#[derive(Clone, Debug)]
pub struct VethPair<'a> {
    /// Name of the end in this namespace.
    pub host: &'a str,
    /// Bridge the host end becomes a port of.
    pub master: u32,
    /// Name of the other end.
    pub peer: &'a str,
    /// Hardware address of the other end.
    pub peer_mac: [u8; 6],
    /// Namespace of the other end.
    pub peer_netns: RawFd,
    /// MTU of both ends; 0 for the kernel's default.
    pub mtu: u32,
}

/// A unicast route of the main table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Route {
    /// Destination network.
    pub dst: IpNet,
    /// Next hop; none for a directly connected network.
    pub gateway: Option<IpAddr>,
    /// Outgoing interface; chosen by the kernel from the next hop when not given.
    pub oif: Option<u32>,
    /// Who made it: the kernel's `rtm_protocol`.
    pub protocol: u8,
}

/// An rtnetlink socket.
pub struct Netlink {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl std::fmt::Debug for Netlink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Netlink")
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}

impl Netlink {
    /// Opens a socket in the calling thread's namespace.
    pub fn open() -> Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        socket.set_cap_ack(true)?;
        socket.set_ext_ack(true)?;
        Ok(Self {
            socket,
            sequence: 0,
            buffer: Vec::with_capacity(RECEIVE),
        })
    }

    /// Opens a socket in another namespace, by a thread that lives as long as this call.
    pub fn open_in(netns: &Netns) -> Result<Self> {
        netns::run_in(netns, Self::open)?
    }

    /// The interface of that name.
    pub fn link(&mut self, name: &str) -> Result<Option<Link>> {
        let request = Rtnl::GetLink(message::named_link(name));
        match self.ask(request, 0, &|| format!("link {name}")) {
            Ok(answers) => Ok(answers.into_iter().find_map(message::link)),
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// All interfaces.
    pub fn links(&mut self) -> Result<Vec<Link>> {
        let answers = self.dump(Rtnl::GetLink(Default::default()), "links")?;
        Ok(answers.into_iter().filter_map(message::link).collect())
    }

    /// Creates a bridge that is up and keeps its hardware address whatever ports it gets.
    pub fn create_bridge(&mut self, name: &str, mac: [u8; 6], mtu: u32) -> Result<()> {
        let request = Rtnl::NewLink(message::bridge(name, mac, mtu));
        self.tell(request, NLM_F_CREATE | NLM_F_EXCL, &|| {
            format!("create bridge {name}")
        })
    }

    /// Creates a veth pair; the end here is up, the other one is not yet.
    pub fn create_veth(&mut self, pair: &VethPair<'_>) -> Result<()> {
        let request = Rtnl::NewLink(message::veth(pair));
        self.tell(request, NLM_F_CREATE | NLM_F_EXCL, &|| {
            format!("create veth pair {} and {}", pair.host, pair.peer)
        })
    }

    /// Lets a bridge port send packets back where they came from, and attaches a text to it.
    pub fn set_port(&mut self, name: &str, hairpin: bool, alias: &str) -> Result<()> {
        let request = Rtnl::NewLink(message::port(name, hairpin, alias));
        self.tell(request, 0, &|| format!("bridge port {name}"))
    }

    /// Brings an interface up.
    pub fn set_up(&mut self, name: &str) -> Result<()> {
        self.tell(Rtnl::NewLink(message::up(name)), 0, &|| format!("set {name} up"))
    }

    /// Changes the MTU.
    pub fn set_mtu(&mut self, name: &str, mtu: u32) -> Result<()> {
        self.tell(Rtnl::NewLink(message::mtu(name, mtu)), 0, &|| {
            format!("mtu of {name}")
        })
    }

    /// Deletes an interface; false when there was none.
    pub fn delete_link(&mut self, name: &str) -> Result<bool> {
        let request = Rtnl::DelLink(message::named_link(name));
        found(self.tell(request, 0, &|| format!("delete link {name}")))
    }

    /// Addresses of the interface with that index, or of all; the pairs are interface index and address.
    pub fn addresses(&mut self, index: Option<u32>) -> Result<Vec<(u32, IpNet)>> {
        let answers = self.dump(Rtnl::GetAddress(Default::default()), "addresses")?;
        let all = answers.into_iter().filter_map(message::address);
        Ok(all
            .filter(|(of, _)| index.is_none_or(|index| index == *of))
            .collect())
    }

    /// Adds an address, without duplicate address detection; false when it was there.
    pub fn add_address(&mut self, index: u32, address: IpNet) -> Result<bool> {
        let request = Rtnl::NewAddress(message::new_address(index, address));
        match self.tell(request, NLM_F_CREATE | NLM_F_EXCL, &|| {
            format!("add address {address}")
        }) {
            Ok(()) => Ok(true),
            Err(e) if e.exists() => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Deletes an address; false when it was not there.
    pub fn delete_address(&mut self, index: u32, address: IpNet) -> Result<bool> {
        let request = Rtnl::DelAddress(message::new_address(index, address));
        found(self.tell(request, 0, &|| format!("delete address {address}")))
    }

    /// Unicast routes of the main table, both families.
    pub fn routes(&mut self) -> Result<Vec<Route>> {
        let answers = self.dump(Rtnl::GetRoute(Default::default()), "routes")?;
        Ok(answers.into_iter().filter_map(message::route).collect())
    }

    /// Adds a route, or replaces the one to the same destination.
    pub fn replace_route(&mut self, route: &Route) -> Result<()> {
        let request = Rtnl::NewRoute(message::new_route(route));
        self.tell(request, NLM_F_CREATE | NLM_F_REPLACE, &|| {
            format!("route to {}", route.dst)
        })
    }

    /// Deletes a route; false when it was not there.
    pub fn delete_route(&mut self, route: &Route) -> Result<bool> {
        let request = Rtnl::DelRoute(message::new_route(route));
        found(self.tell(request, 0, &|| format!("delete route to {}", route.dst)))
    }

    fn tell(&mut self, request: Rtnl, flags: u16, what: &dyn Fn() -> String) -> Result<()> {
        self.ask(request, flags, what).map(drop)
    }

    fn ask(&mut self, request: Rtnl, flags: u16, what: &dyn Fn() -> String) -> Result<Vec<Rtnl>> {
        self.exchange(request, NLM_F_REQUEST | NLM_F_ACK | flags, what)
            .map(|(answers, _)| answers)
    }

    fn dump(&mut self, request: Rtnl, what: &'static str) -> Result<Vec<Rtnl>> {
        for _ in 0..DUMP_ATTEMPTS {
            let list = || format!("list {what}");
            let (answers, interrupted) = self.exchange(request.clone(), NLM_F_REQUEST | NLM_F_DUMP, &list)?;
            if !interrupted {
                return Ok(answers);
            }
        }
        Err(Error::Unstable {
            what: format!("list {what}"),
        })
    }

    /// Sends one request and reads its answers; the flag tells that a dump was interrupted by a change.
    fn exchange(
        &mut self,
        request: Rtnl,
        flags: u16,
        what: &dyn Fn() -> String,
    ) -> Result<(Vec<Rtnl>, bool)> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut message = NetlinkMessage::from(request);
        message.header.flags = flags;
        message.header.sequence_number = self.sequence;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        retry_interrupted(|| self.socket.send(&bytes, 0))?;

        let mut answers = Vec::new();
        let mut interrupted = false;
        loop {
            self.buffer.clear();
            retry_interrupted(|| self.socket.recv(&mut self.buffer, 0))?;
            let mut rest = &self.buffer[..];
            while !rest.is_empty() {
                let decode = |cause: &dyn std::fmt::Display| Error::Decode {
                    what: what(),
                    cause: cause.to_string(),
                };
                let message = NetlinkMessage::<Rtnl>::deserialize(rest).map_err(|e| decode(&e))?;
                // Lengths are rounded up to 4 bytes; the decoder checked that the header's length fits.
                let length = (message.header.length as usize).next_multiple_of(4);
                rest = rest.get(length..).unwrap_or_default();
                if message.header.sequence_number != self.sequence {
                    continue; // the tail of a request that failed half-way
                }
                interrupted |= message.header.flags & NLM_F_DUMP_INTR != 0;
                match message.payload {
                    NetlinkPayload::InnerMessage(answer) => answers.push(answer),
                    NetlinkPayload::Done(_) => return Ok((answers, interrupted)),
                    NetlinkPayload::Error(e) if e.code.is_none() => return Ok((answers, interrupted)),
                    NetlinkPayload::Error(e) => {
                        let explanation = message::explanation(&e.header);
                        return Err(Error::Refused {
                            what: what(),
                            cause: e.to_io(),
                            explanation,
                        });
                    }
                    NetlinkPayload::Overrun(_) => return Err(decode(&"overrun")),
                    _ => {}
                }
            }
        }
    }
}

fn found(result: Result<()>) -> Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(e) if e.is_not_found() => Ok(false),
        Err(e) => Err(e),
    }
}

fn retry_interrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}
