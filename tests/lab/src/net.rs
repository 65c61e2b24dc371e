//! The lab's network: a bridge in the control machine, a cable to every other machine.
//!
//! Nothing is made in the host's network namespace: cables are created in the control machine's, with the far end
//! put straight into the other machine.

use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::Result;

use crate::ns::{Machine, Scope};

/// The control machine: API server, registry, and every machine's default gateway.
pub const CONTROL: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 1);
/// A host on the nodes' network that knows no route to pods.
pub const OUTSIDE: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 200);
/// First address of the Service network: the API server's own ClusterIP.
pub const API_CLUSTER_IP: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);
/// Where `kube-dns` is.
pub const CLUSTER_DNS: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);
/// Network of all Services.
pub const SERVICE_CIDR: &str = "10.96.0.0/12";
/// Network of all pods; each node gets a /24 of it.
pub const POD_CIDR: &str = "10.244.0.0/16";
/// The most nodes the addressing has room for.
pub const MAX_NODES: usize = 150;

/// Address of the node with this number, from 1.
pub fn node_address(number: usize) -> Ipv4Addr {
    let last = u8::try_from(10 + number.min(MAX_NODES)).expect("10 + 150 fits in a byte");
    Ipv4Addr::new(172, 30, 0, last)
}

/// Makes the bridge in the control machine.
pub(crate) fn make_bridge(control: &Machine) -> Result<()> {
    let script = r#"
ip link add lab0 type bridge
ip addr add "$1/24" dev lab0
ip link set lab0 up
echo 1 > /proc/sys/net/ipv4/ip_forward
"#;
    control.sh(script, &[&CONTROL.to_string()]).map(drop)
}

/// Connects a machine to the bridge as `eth0`; a node also gets the default route and forwards.
pub(crate) fn connect(control: &Machine, machine: &Machine, address: Ipv4Addr, node: bool) -> Result<()> {
    let cable = format!("veth{}", address.octets()[3]);
    let pid = machine.pid().to_string();
    let ip = |args: &[&str]| {
        control
            .run_in(Scope::NetOnly, Command::new("ip").args(args))
            .map(drop)
    };
    // The machine that had the address before may be gone with its end of the cable still to be cleaned up by the kernel.
    ip(&["link", "del", &cable]).ok();
    ip(&[
        "link", "add", &cable, "type", "veth", "peer", "name", "eth0", "netns", &pid,
    ])?;
    ip(&["link", "set", &cable, "master", "lab0", "up"])?;
    let script = r#"
ip addr add "$1/24" dev eth0
ip link set eth0 up
if [ -n "$2" ]; then
    ip route add default via "$2"
    echo 1 > /proc/sys/net/ipv4/ip_forward
fi
"#;
    let gateway = if node { CONTROL.to_string() } else { String::new() };
    machine.sh(script, &[&address.to_string(), &gateway]).map(drop)
}

/// Tells the control machine the way to a node's pods, as the route controller of a cloud does.
pub(crate) fn route_pods(control: &Machine, pod_cidr: &str, node: Ipv4Addr) -> Result<()> {
    control
        .exec(&["ip", "route", "replace", pod_cidr, "via", &node.to_string()])
        .map(drop)
}

/// Bridged pod traffic must pass iptables. Loading the module would also change the host's own bridges, so there it is
/// switched off right away; new network namespaces start with it on.
pub(crate) fn ensure_bridge_netfilter() -> Result<()> {
    let switches = std::path::Path::new("/proc/sys/net/bridge");
    if switches.exists()
        || !Command::new("modprobe")
            .args(["-q", "br_netfilter"])
            .status()
            .is_ok_and(|s| s.success())
    {
        return Ok(());
    }
    for family in ["iptables", "ip6tables", "arptables"] {
        std::fs::write(switches.join(format!("bridge-nf-call-{family}")), "0")?;
    }
    Ok(())
}
