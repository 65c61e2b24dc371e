//! The `loopback` plugin: containerd runs it for every pod unless it is told to use its internal one.

use super::open_netns;
use super::spec::{Call, Code, Command, Error, Interface, Ip, Success};
use crate::sys::netlink::{self, Netlink};
use crate::sys::netns;
use ipnet::IpNet;
use serde_json::Value;
use std::path::Path;

/// Runs a call for a network of type `loopback`.
pub(super) fn run(call: &Call) -> Result<Option<Value>, Error> {
    let path = call.netns.as_deref().unwrap_or(Path::new(""));
    let failed = |e: netlink::Error| Error::new(Code::Internal, "loopback", e);
    match call.command {
        Command::Add => {
            let netns = open_netns(path)?;
            let mut pod = netns::visit(&netns, Netlink::open)?.map_err(failed)?;
            pod.set_up("lo").map_err(failed)?;
            let lo = pod.link("lo").map_err(failed)?.unwrap_or_default();
            let addresses = pod.addresses(Some(lo.index)).map_err(failed)?;
            let addresses = addresses.into_iter().map(|(_, address)| address);
            Ok(Some(
                success(addresses, &lo.mac_text(), &path.to_string_lossy()).to_json(call.version),
            ))
        }
        Command::Check => {
            let netns = open_netns(path)?;
            let mut pod = netns::visit(&netns, Netlink::open)?.map_err(failed)?;
            match pod.link("lo").map_err(failed)? {
                Some(lo) if lo.up => Ok(None),
                _ => Err(Error::new(Code::Internal, "check", "lo is down")),
            }
        }
        // Loopback ends with its namespace.
        Command::Del | Command::Status | Command::Gc | Command::Version => Ok(None),
    }
}

fn success(addresses: impl Iterator<Item = IpNet>, mac: &str, netns: &str) -> Success {
    Success {
        interfaces: vec![Interface {
            name: "lo".to_owned(),
            mac: mac.to_owned(),
            mtu: 0,
            sandbox: netns.to_owned(),
        }],
        ips: addresses
            .map(|address| Ip {
                address,
                gateway: None,
                interface: 0,
            })
            .collect(),
        routes: Vec::new(),
    }
}
