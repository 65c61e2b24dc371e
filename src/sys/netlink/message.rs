//! PURE. Our types to and from rtnetlink messages.

use super::{Link, Route, VethPair};
use ipnet::IpNet;
use netlink_packet_core::{NlaBuffer, NlasIterator};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressScope,
};
use netlink_packet_route::link::{
    InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVeth, LinkAttribute, LinkFlags,
    LinkInfo, LinkMessage,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage as Rtnl};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `NLMSGERR_ATTR_MSG`: the text of an extended acknowledgement.
const EXTACK_MESSAGE: u16 = 1;
/// Length of the request's header that an acknowledgement repeats before its attributes (NETLINK_CAP_ACK).
const REPEATED_HEADER: usize = 16;

/// The kernel's own words in an acknowledgement.
pub(super) fn explanation(payload: &[u8]) -> String {
    let attributes = payload.get(REPEATED_HEADER..).unwrap_or_default();
    for nla in NlasIterator::new(attributes).flatten() {
        let nla: NlaBuffer<&[u8]> = nla;
        if nla.kind() == EXTACK_MESSAGE {
            return String::from_utf8_lossy(nla.value())
                .trim_end_matches('\0')
                .to_owned();
        }
    }
    String::new()
}

pub(super) fn named_link(name: &str) -> LinkMessage {
    with(vec![LinkAttribute::IfName(name.to_owned())])
}

pub(super) fn up(name: &str) -> LinkMessage {
    raised(named_link(name))
}

pub(super) fn mtu(name: &str, mtu: u32) -> LinkMessage {
    with(vec![
        LinkAttribute::IfName(name.to_owned()),
        LinkAttribute::Mtu(mtu),
    ])
}

pub(super) fn bridge(name: &str, mac: [u8; 6], mtu: u32) -> LinkMessage {
    let mut attributes = vec![
        LinkAttribute::IfName(name.to_owned()),
        LinkAttribute::Address(mac.to_vec()),
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]),
    ];
    attributes.extend(some_mtu(mtu));
    raised(with(attributes))
}

pub(super) fn veth(pair: &VethPair<'_>) -> LinkMessage {
    let mut far = vec![
        LinkAttribute::IfName(pair.peer.to_owned()),
        LinkAttribute::Address(pair.peer_mac.to_vec()),
        LinkAttribute::NetNsFd(pair.peer_netns),
    ];
    far.extend(some_mtu(pair.mtu));
    // The far end cannot be created up: it does not know its peer yet (ENOTCONN).
    let far = InfoData::Veth(InfoVeth::Peer(with(far)));
    let mut near = vec![
        LinkAttribute::IfName(pair.host.to_owned()),
        LinkAttribute::Controller(pair.master),
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Veth), LinkInfo::Data(far)]),
    ];
    near.extend(some_mtu(pair.mtu));
    raised(with(near))
}

pub(super) fn port(name: &str, hairpin: bool, alias: &str) -> LinkMessage {
    with(vec![
        LinkAttribute::IfName(name.to_owned()),
        LinkAttribute::IfAlias(alias.to_owned()),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::PortKind(InfoPortKind::Bridge),
            LinkInfo::PortData(InfoPortData::BridgePort(vec![InfoBridgePort::HairpinMode(
                hairpin,
            )])),
        ]),
    ])
}

fn with(attributes: Vec<LinkAttribute>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes = attributes;
    message
}

fn raised(mut message: LinkMessage) -> LinkMessage {
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    message
}

fn some_mtu(mtu: u32) -> Option<LinkAttribute> {
    (mtu > 0).then_some(LinkAttribute::Mtu(mtu))
}

pub(super) fn link(answer: Rtnl) -> Option<Link> {
    let Rtnl::NewLink(message) = answer else {
        return None;
    };
    let mut link = Link {
        index: message.header.index,
        up: message.header.flags.contains(LinkFlags::Up),
        ..Link::default()
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Address(mac) => link.mac = mac,
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::Controller(index) => link.master = Some(index),
            LinkAttribute::Link(index) => link.peer = Some(index),
            LinkAttribute::IfAlias(alias) => link.alias = alias,
            LinkAttribute::Promiscuity(count) => link.promiscuous = count > 0,
            LinkAttribute::LinkInfo(infos) => infos.into_iter().for_each(|info| link_info(&mut link, info)),
            _ => {}
        }
    }
    Some(link)
}

fn link_info(link: &mut Link, info: LinkInfo) {
    match info {
        LinkInfo::Kind(kind) => link.kind = kind.to_string(),
        LinkInfo::PortData(InfoPortData::BridgePort(port)) => {
            link.hairpin = port.into_iter().find_map(|attribute| match attribute {
                InfoBridgePort::HairpinMode(on) => Some(on),
                _ => None,
            });
        }
        _ => {}
    }
}

fn family(ip: IpAddr) -> AddressFamily {
    if ip.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    }
}

pub(super) fn new_address(index: u32, address: IpNet) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(address.addr());
    message.header.prefix_len = address.prefix_len();
    message.header.index = index;
    message.header.scope = AddressScope::Universe;
    message.attributes = vec![
        AddressAttribute::Local(address.addr()),
        AddressAttribute::Address(address.addr()),
    ];
    match address {
        IpNet::V4(net) if net.prefix_len() < 31 => {
            message
                .attributes
                .push(AddressAttribute::Broadcast(net.broadcast()));
        }
        IpNet::V4(_) => {}
        IpNet::V6(_) => {
            message.header.flags = AddressHeaderFlags::Nodad;
            message
                .attributes
                .push(AddressAttribute::Flags(AddressFlags::Nodad));
        }
    }
    message
}

pub(super) fn address(answer: Rtnl) -> Option<(u32, IpNet)> {
    let Rtnl::NewAddress(message) = answer else {
        return None;
    };
    let mut ip = None;
    for attribute in &message.attributes {
        match attribute {
            // On a point-to-point link `Address` is the other side; `Local`, where given, is always ours.
            AddressAttribute::Local(local) => ip = Some(*local),
            AddressAttribute::Address(address) if ip.is_none() => ip = Some(*address),
            _ => {}
        }
    }
    Some((
        message.header.index,
        IpNet::new(ip?, message.header.prefix_len).ok()?,
    ))
}

pub(super) fn new_route(route: &Route) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header = RouteHeader {
        address_family: family(route.dst.addr()),
        destination_prefix_length: route.dst.prefix_len(),
        table: RouteHeader::RT_TABLE_MAIN,
        protocol: RouteProtocol::from(route.protocol),
        scope: if route.gateway.is_some() {
            RouteScope::Universe
        } else {
            RouteScope::Link
        },
        kind: RouteType::Unicast,
        flags: RouteFlags::empty(),
        ..RouteHeader::default()
    };
    if route.dst.prefix_len() > 0 {
        message
            .attributes
            .push(RouteAttribute::Destination(RouteAddress::from(
                route.dst.network(),
            )));
    }
    message.attributes.extend(
        route
            .gateway
            .map(|ip| RouteAttribute::Gateway(RouteAddress::from(ip))),
    );
    message.attributes.extend(route.oif.map(RouteAttribute::Oif));
    message
}

pub(super) fn route(answer: Rtnl) -> Option<Route> {
    let Rtnl::NewRoute(message) = answer else {
        return None;
    };
    let header = &message.header;
    let mut table = u32::from(header.table);
    let (mut dst, mut gateway, mut oif) = (None, None, None);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => dst = ip(address),
            RouteAttribute::Gateway(address) => gateway = ip(address),
            RouteAttribute::Oif(index) => oif = Some(*index),
            RouteAttribute::Table(id) => table = *id,
            _ => {}
        }
    }
    let main = table == u32::from(RouteHeader::RT_TABLE_MAIN);
    if !main || header.kind != RouteType::Unicast || header.flags.contains(RouteFlags::Cloned) {
        return None;
    }
    let any = match header.address_family {
        AddressFamily::Inet => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        AddressFamily::Inet6 => IpAddr::from(Ipv6Addr::UNSPECIFIED),
        _ => return None,
    };
    let dst = IpNet::new(dst.unwrap_or(any), header.destination_prefix_length).ok()?;
    Some(Route {
        dst,
        gateway,
        oif,
        protocol: u8::from(header.protocol),
    })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(ip) => Some(IpAddr::from(*ip)),
        RouteAddress::Inet6(ip) => Some(IpAddr::from(*ip)),
        _ => None,
    }
}
