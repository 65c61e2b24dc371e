//! PURE. The network configuration on stdin, decoded field by field so that an error names its field.

use super::{Code, Command, Error, valid_id};
use ipnet::IpNet;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::net::IpAddr;
use std::path::PathBuf;

/// Where host-local keeps its files, and so do we unless the configuration says otherwise.
pub const DATA_DIR: &str = "/var/lib/cni/networks";
/// The bridge when the configuration names none.
const BRIDGE: &str = "cni0";

/// The network configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Network name; also the name of its directory of addresses.
    pub name: String,
    /// Plugin type, as in the conflist: `rustlet`, or `loopback` for the runtime's built-in loopback network.
    pub plugin: String,
    /// Bridge the pods are connected to.
    pub bridge: String,
    /// MTU of veths and bridge; 0 for the kernel's default.
    pub mtu: u32,
    /// A pod may reach itself through a Service.
    pub hairpin: bool,
    /// Where addresses come from.
    pub ipam: Ipam,
    /// Host ports the runtime asks for.
    pub port_mappings: Vec<PortMapping>,
    /// What the last ADD returned; CHECK needs it.
    pub previous: Option<Previous>,
    /// GC: attachments that are alive.
    pub valid_attachments: Vec<Attachment>,
}

/// The `ipam` section.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ipam {
    /// Directory above the network's directory.
    pub data_dir: PathBuf,
    /// Range sets; a pod gets one address of each set.
    pub ranges: Vec<Vec<Range>>,
    /// Destinations routed to the gateway; the default route of each family when empty.
    pub routes: Vec<IpNet>,
}

/// A range of addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// Subnet; its host bits are zero.
    pub subnet: IpNet,
    /// First address, inclusive; the gateway is skipped.
    pub start: IpAddr,
    /// Last address, inclusive.
    pub end: IpAddr,
    /// Gateway.
    pub gateway: IpAddr,
}

/// One host port. containerd writes the keys in Go's spelling (`HostPort`), the convention in JSON's.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortMapping {
    /// Port on the node.
    #[serde(alias = "HostPort")]
    pub host_port: u16,
    /// Port in the pod.
    #[serde(alias = "ContainerPort")]
    pub container_port: u16,
    /// `tcp`, `udp` or `sctp`.
    #[serde(default, alias = "Protocol")]
    pub protocol: String,
    /// Node address; all when empty.
    #[serde(default, rename = "hostIP", alias = "HostIP")]
    pub host_ip: String,
}

/// An attachment that is alive, as GC is told.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
pub struct Attachment {
    /// The runtime's sandbox id.
    #[serde(rename = "containerID")]
    pub container_id: String,
    /// Interface name in the container.
    pub ifname: String,
}

/// The part of `prevResult` CHECK compares with the kernel; the same in all versions we support.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(default)]
pub struct Previous {
    /// Interfaces ADD made.
    pub interfaces: Vec<PreviousInterface>,
    /// Addresses ADD gave.
    pub ips: Vec<PreviousIp>,
}

/// An interface of `prevResult`.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(default)]
pub struct PreviousInterface {
    /// Name.
    pub name: String,
    /// Hardware address.
    pub mac: String,
    /// Namespace path; empty on the host.
    pub sandbox: String,
}

/// An address of `prevResult`.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
pub struct PreviousIp {
    /// Address with prefix length.
    pub address: IpNet,
    /// Gateway.
    #[serde(default)]
    pub gateway: Option<IpAddr>,
}

/// stdin to a JSON object.
pub(super) fn parse(stdin: &[u8]) -> Result<Value, Error> {
    let decode = |details: String| Error::new(Code::Decode, "network configuration on stdin", details);
    if stdin.iter().all(u8::is_ascii_whitespace) {
        return Err(decode("empty, expected a JSON object".to_owned()));
    }
    let json: Value = serde_json::from_slice(stdin).map_err(|e| decode(format!("not JSON: {e}")))?;
    if !json.is_object() {
        return Err(decode("not a JSON object".to_owned()));
    }
    Ok(json)
}

impl Config {
    pub(super) fn decode(json: &Value, command: Command) -> Result<Self, Error> {
        let name: String = field(json, "name", "name")?.unwrap_or_default();
        if name.is_empty() {
            return Err(invalid("name: missing"));
        }
        if !valid_id(&name) {
            return Err(invalid(&format!(
                "name: {name:?} is not letters, digits, '.', '_' and '-'"
            )));
        }
        let plugin: String = field(json, "type", "type")?.unwrap_or_default();
        let ipam = match command {
            _ if plugin == "loopback" => Ipam::default(),
            // What was made must go, also when the configuration was changed for the worse since.
            Command::Del | Command::Gc => Ipam {
                data_dir: data_dir(json)?,
                ..Ipam::default()
            },
            _ => {
                refuse(json)?;
                ipam(json)?
            }
        };
        let runtime = json.get("runtimeConfig").unwrap_or(&Value::Null);
        let previous = field(json, "prevResult", "prevResult")?;
        if command == Command::Check && previous.is_none() {
            return Err(invalid("prevResult: missing, CHECK needs it"));
        }
        Ok(Self {
            name,
            plugin,
            bridge: field(json, "bridge", "bridge")?.unwrap_or_else(|| BRIDGE.to_owned()),
            mtu: field(json, "mtu", "mtu")?.unwrap_or(0),
            hairpin: field(json, "hairpinMode", "hairpinMode")?.unwrap_or(true),
            ipam,
            port_mappings: field(runtime, "portMappings", "runtimeConfig.portMappings")?.unwrap_or_default(),
            previous,
            valid_attachments: field(json, "cni.dev/valid-attachments", "cni.dev/valid-attachments")?
                .unwrap_or_default(),
        })
    }
}

/// Keys of the upstream bridge plugin that change what a user gets and that we do not do.
fn refuse(json: &Value) -> Result<(), Error> {
    let asked = [
        ("ipMasq", json.get("ipMasq"), "the node agent masquerades"),
        ("vlan", json.get("vlan"), "VLANs are not supported"),
        (
            "promiscMode",
            json.get("promiscMode"),
            "hairpin mode is used instead",
        ),
        (
            "runtimeConfig.ips",
            json.pointer("/runtimeConfig/ips"),
            "addresses cannot be chosen",
        ),
        (
            "runtimeConfig.mac",
            json.pointer("/runtimeConfig/mac"),
            "hardware addresses cannot be chosen",
        ),
        (
            "args.cni.ips",
            json.pointer("/args/cni/ips"),
            "addresses cannot be chosen",
        ),
    ];
    for (key, value, why) in asked {
        if let Some(value) = value
            && !is_nothing(value)
        {
            return Err(Error::new(
                Code::UnsupportedField,
                "unsupported field",
                format!("{key}: {value}: {why}"),
            ));
        }
    }
    Ok(())
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(n) => n.as_i64() == Some(0),
        Value::String(s) => s.is_empty(),
        Value::Array(a) => a.is_empty(),
        Value::Object(o) => o.is_empty(),
        Value::Bool(true) => false,
    }
}

fn ipam(json: &Value) -> Result<Ipam, Error> {
    let section = json
        .get("ipam")
        .filter(|s| s.is_object())
        .ok_or_else(|| invalid("ipam: missing"))?;
    let kind: String = field(section, "type", "ipam.type")?.unwrap_or_default();
    if !matches!(&*kind, "host-local" | "rustlet") {
        return Err(invalid(&format!(
            "ipam.type: {kind:?} is not host-local, which is built in"
        )));
    }
    let mut ranges = Vec::new();
    if section.get("subnet").is_some_and(|s| !s.is_null()) {
        ranges.push(vec![range(section, "ipam")?]);
    }
    let sets: Vec<Vec<Value>> = field(section, "ranges", "ipam.ranges")?.unwrap_or_default();
    for (i, set) in sets.iter().enumerate() {
        let at = |j| format!("ipam.ranges[{i}][{j}]");
        let set: Vec<Range> = set
            .iter()
            .enumerate()
            .map(|(j, r)| range(r, &at(j)))
            .collect::<Result<_, _>>()?;
        let Some(first) = set.first() else {
            return Err(invalid(&format!("ipam.ranges[{i}]: empty")));
        };
        if set
            .iter()
            .any(|r| r.subnet.addr().is_ipv4() != first.subnet.addr().is_ipv4())
        {
            return Err(invalid(&format!("ipam.ranges[{i}]: mixes IPv4 and IPv6")));
        }
        ranges.push(set);
    }
    if ranges.is_empty() {
        return Err(invalid("ipam.ranges: missing"));
    }
    no_overlap(&ranges)?;
    let routes: Vec<Value> = field(section, "routes", "ipam.routes")?.unwrap_or_default();
    let routes = routes
        .iter()
        .enumerate()
        .map(|(i, r)| required(r, "dst", &format!("ipam.routes[{i}].dst")));
    Ok(Ipam {
        data_dir: data_dir(json)?,
        ranges,
        routes: routes.collect::<Result<_, _>>()?,
    })
}

fn data_dir(json: &Value) -> Result<PathBuf, Error> {
    let section = json.get("ipam").unwrap_or(&Value::Null);
    Ok(field(section, "dataDir", "ipam.dataDir")?.unwrap_or_else(|| PathBuf::from(DATA_DIR)))
}

fn range(json: &Value, at: &str) -> Result<Range, Error> {
    let subnet: IpNet = required(json, "subnet", &format!("{at}.subnet"))?;
    if subnet.addr() != subnet.network() {
        return Err(invalid(&format!(
            "{at}.subnet: {subnet} has host bits set, expected {}",
            subnet.trunc()
        )));
    }
    if subnet.max_prefix_len() - subnet.prefix_len() < 2 {
        return Err(invalid(&format!(
            "{at}.subnet: {subnet} is too small to allocate from"
        )));
    }
    let first = offset(subnet.network(), 1);
    // As host-local: the broadcast address of IPv4 is left out, IPv6 has none.
    let last = if subnet.addr().is_ipv4() {
        offset(subnet.broadcast(), -1)
    } else {
        subnet.broadcast()
    };
    let address = |key: &str, otherwise| -> Result<IpAddr, Error> {
        let address = field(json, key, &format!("{at}.{key}"))?.unwrap_or(otherwise);
        if !subnet.contains(&address) {
            return Err(invalid(&format!("{at}.{key}: {address} is not in {subnet}")));
        }
        Ok(address)
    };
    let range = Range {
        subnet,
        start: address("rangeStart", first)?,
        end: address("rangeEnd", last)?,
        gateway: address("gateway", first)?,
    };
    if range.start > range.end {
        return Err(invalid(&format!(
            "{at}.rangeStart: {} is after rangeEnd {}",
            range.start, range.end
        )));
    }
    Ok(range)
}

fn no_overlap(sets: &[Vec<Range>]) -> Result<(), Error> {
    let all: Vec<&Range> = sets.iter().flatten().collect();
    for (i, a) in all.iter().enumerate() {
        for b in all.get(i + 1..).unwrap_or_default() {
            let one_family = a.start.is_ipv4() == b.start.is_ipv4();
            if one_family && a.start <= b.end && b.start <= a.end {
                return Err(invalid(&format!(
                    "ipam.ranges: {} and {} overlap",
                    a.subnet, b.subnet
                )));
            }
        }
    }
    Ok(())
}

/// The address `by` further on; stays where it is at the end of the address space.
fn offset(ip: IpAddr, by: i32) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => IpAddr::from(std::net::Ipv4Addr::from(u32::from(ip).saturating_add_signed(by))),
        IpAddr::V6(ip) => IpAddr::from(std::net::Ipv6Addr::from(
            u128::from(ip).saturating_add_signed(by.into()),
        )),
    }
}

fn invalid(details: &str) -> Error {
    Error::new(Code::InvalidConfig, "invalid network configuration", details)
}

fn field<T: DeserializeOwned>(json: &Value, key: &str, path: &str) -> Result<Option<T>, Error> {
    match json.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => serde_json::from_value(value.clone()).map(Some).map_err(|e| {
            Error::new(
                Code::Decode,
                "network configuration on stdin",
                format!("{path}: {e}"),
            )
        }),
    }
}

fn required<T: DeserializeOwned>(json: &Value, key: &str, path: &str) -> Result<T, Error> {
    field(json, key, path)?.ok_or_else(|| invalid(&format!("{path}: missing")))
}
