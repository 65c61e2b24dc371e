//! The CNI plugin as a runtime calls it: the real binary, real namespaces, the real kernel. After every test the
//! private machine must be as empty as before.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "netns_cni/addresses.rs"]
mod addresses;
#[path = "netns_cni/delete.rs"]
mod delete;
#[path = "netns_cni/interrupted.rs"]
mod interrupted;
#[path = "netns_cni/ports.rs"]
mod ports;
#[path = "netns_cni/spec.rs"]
mod spec;

use rustlet::sys::netlink::{Link, Netlink};
use rustlet::sys::netns::{self, Netns};
use rustlet::testing::netns::{PodNetns, private};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const VERSIONS: [&str; 4] = ["0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// A node with a network configuration.
struct Node {
    data: TempDir,
    config: Value,
}

impl Node {
    fn new(version: &str, subnets: &[&str]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let ranges: Vec<Value> = subnets.iter().map(|s| json!([{ "subnet": s }])).collect();
        let config = json!({
            "cniVersion": version, "name": "pods", "type": "rustlet", "bridge": "cni0", "mtu": 1400,
            "ipam": { "type": "host-local", "dataDir": data.path(), "ranges": ranges },
        });
        Self { data, config }
    }

    fn call(&self, command: &str, id: &str, netns: &Path) -> Output {
        call(command, id, netns, self.config.to_string().as_bytes())
    }

    fn add(&self, id: &str, pod: &PodNetns) -> Value {
        success(&self.call("ADD", id, &pod.path))
    }

    fn del(&self, id: &str, netns: &Path) {
        let output = self.call("DEL", id, netns);
        assert!(output.status.success(), "{output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
    }

    fn dir(&self) -> std::path::PathBuf {
        self.data.path().join("pods")
    }

    /// Reserved addresses.
    fn reserved(&self) -> BTreeSet<IpAddr> {
        let names = fs::read_dir(self.dir())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap());
        names.filter_map(|name| name.parse().ok()).collect()
    }

    fn assert_nothing_left(&self) {
        assert_eq!(self.reserved(), BTreeSet::new());
        assert_eq!(veths(), Vec::<Link>::new());
    }
}

fn call(command: &str, id: &str, netns: &Path, stdin: &[u8]) -> Output {
    let mut child = spawn(command, id, netns, stdin);
    let mut output = Output {
        status: child.wait().unwrap(),
        stdout: Vec::new(),
        stderr: Vec::new(),
    };
    child
        .stdout
        .take()
        .unwrap()
        .read_to_end(&mut output.stdout)
        .unwrap();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_end(&mut output.stderr)
        .unwrap();
    output
}

fn spawn(command: &str, id: &str, netns: &Path, stdin: &[u8]) -> std::process::Child {
    spawn_with(command, id, netns, stdin, None)
}

#[expect(clippy::disallowed_methods, reason = "the test plays the runtime")]
fn spawn_with(
    command: &str,
    id: &str,
    netns: &Path,
    stdin: &[u8],
    path: Option<&str>,
) -> std::process::Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_rustlet"))
        .env_clear()
        .envs(path.map(|path| ("PATH", path)))
        .env("CNI_COMMAND", command)
        .env("CNI_CONTAINERID", id)
        .env("CNI_NETNS", netns)
        .env("CNI_IFNAME", "eth0")
        .env("CNI_PATH", "/opt/cni/bin")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(stdin).unwrap();
    child
}

fn success(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn failure(output: &Output) -> (u64, String) {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let error: Value = serde_json::from_slice(&output.stdout).unwrap();
    (
        error["code"].as_u64().unwrap(),
        format!("{}: {}", error["msg"], error["details"]),
    )
}

fn veths() -> Vec<Link> {
    let links = Netlink::open().unwrap().links().unwrap();
    links.into_iter().filter(|link| link.kind == "veth").collect()
}

fn address(result: &Value, index: usize) -> IpAddr {
    let text = result["ips"][index]["address"].as_str().unwrap();
    text.parse::<ipnet::IpNet>().unwrap().addr()
}

/// Connects from one namespace to a listener in another (or the same one).
fn connects(from: &Netns, to: &Netns, ip: IpAddr) {
    // Any port: a child that another test is just starting may still hold the last one open.
    let listener = netns::run_in(to, || TcpListener::bind(SocketAddr::new(ip, 0)).unwrap()).unwrap();
    let port = listener.local_addr().unwrap();
    let peer = netns::run_in(from, || {
        TcpStream::connect_timeout(&port, Duration::from_secs(5)).unwrap()
    })
    .unwrap();
    let (_, seen) = listener.accept().unwrap();
    assert_eq!(
        seen,
        peer.local_addr().unwrap(),
        "no address translation between pods"
    );
}

#[test]
fn every_version_adds_checks_and_deletes_twice() {
    private(|| {
        for version in VERSIONS {
            let node = Node::new(version, &["10.244.1.0/24"]);
            let pod = PodNetns::new("pod");
            let result = node.add("c1", &pod);
            assert_eq!(result["cniVersion"], version);
            assert_eq!(result["ips"][0]["address"], "10.244.1.2/24");
            assert_eq!(result["ips"][0]["gateway"], "10.244.1.1");
            assert_eq!(result["ips"][0]["interface"], 2);
            assert_eq!(result["interfaces"][2]["name"], "eth0");
            assert_eq!(result["interfaces"][2]["sandbox"], pod.path.to_str().unwrap());
            assert_eq!(result["interfaces"][2]["mac"], "0a:58:0a:f4:01:02");
            assert_eq!(
                result["ips"][0].get("version").is_some(),
                version < "1.0.0",
                "{result}"
            );
            assert_eq!(
                result["interfaces"][2].get("mtu").is_some(),
                version >= "1.1.0",
                "{result}"
            );
            assert_eq!(
                result["routes"],
                json!([{ "dst": "0.0.0.0/0", "gw": "10.244.1.1" }])
            );

            let mut with_result = node.config.clone();
            with_result["prevResult"] = result;
            let check = call("CHECK", "c1", &pod.path, with_result.to_string().as_bytes());
            match version {
                "0.3.1" => assert_eq!(failure(&check).0, 1),
                _ => assert!(check.status.success(), "{check:?}"),
            }

            node.del("c1", &pod.path);
            node.assert_nothing_left();
            node.del("c1", &pod.path);
            pod.remove();
        }
    });
}

#[test]
fn the_kernel_has_what_the_result_says() {
    private(|| {
        let node = Node::new("1.0.0", &["10.244.1.0/24"]);
        let pod = PodNetns::new("pod");
        let result = node.add("c1", &pod);

        let mut host = Netlink::open().unwrap();
        let bridge = host.link("cni0").unwrap().unwrap();
        assert!(bridge.up && !bridge.promiscuous, "{bridge:?}");
        assert_eq!(
            (bridge.kind.as_str(), bridge.mtu, bridge.mac_text().as_str()),
            ("bridge", 1400, "0a:58:0a:f4:01:01")
        );
        let gateway = (bridge.index, "10.244.1.1/24".parse().unwrap());
        assert!(host.addresses(Some(bridge.index)).unwrap().contains(&gateway));

        let [port] = veths().try_into().unwrap();
        assert_eq!(port.name, result["interfaces"][1]["name"].as_str().unwrap());
        assert_eq!(
            (port.master, port.hairpin, port.up, port.mtu),
            (Some(bridge.index), Some(true), true, 1400)
        );

        let mut inside = Netlink::open_in(&pod.open()).unwrap();
        let eth0 = inside.link("eth0").unwrap().unwrap();
        assert!(eth0.up && inside.link("lo").unwrap().unwrap().up);
        assert_eq!((eth0.mtu, eth0.peer), (1400, Some(port.index)));
        assert_eq!(port.peer, Some(eth0.index));
        let sysctl =
            |name: &'static str| netns::run_in(&pod.open(), move || rustlet::sys::sysctl::get(name)).unwrap();
        assert_eq!(
            sysctl("net/ipv6/conf/eth0/accept_ra").unwrap().as_deref(),
            Some("0")
        );
        assert_eq!(
            rustlet::sys::sysctl::get("net/ipv4/ip_forward")
                .unwrap()
                .as_deref(),
            Some("1")
        );
    });
}

#[test]
fn pods_reach_each_other_the_node_and_themselves() {
    private(|| {
        let node = Node::new("1.0.0", &["10.244.1.0/24"]);
        let (a, b) = (PodNetns::new("a"), PodNetns::new("b"));
        let (to_a, to_b) = (address(&node.add("a", &a), 0), address(&node.add("b", &b), 0));
        let (a, b, host) = (a.open(), b.open(), Netns::current().unwrap());
        connects(&a, &b, to_b);
        connects(&b, &a, to_a);
        connects(&a, &a, to_a);
        connects(&host, &b, to_b);
        connects(&a, &host, "10.244.1.1".parse().unwrap());
    });
}

#[test]
fn both_families_work_at_once() {
    private(|| {
        let node = Node::new("1.0.0", &["10.244.1.0/24", "fd00:10:244:1::/64"]);
        let (a, b) = (PodNetns::new("a"), PodNetns::new("b"));
        node.add("a", &a);
        let result = node.add("b", &b);
        assert_eq!(address(&result, 1), "fd00:10:244:1::3".parse::<IpAddr>().unwrap());
        assert_eq!(
            result["routes"][1],
            json!({ "dst": "::/0", "gw": "fd00:10:244:1::1" })
        );
        for index in [0, 1] {
            connects(&a.open(), &b.open(), address(&result, index));
        }
        let mut checked = node.config.clone();
        checked["prevResult"] = result;
        let check = call("CHECK", "b", &b.path, checked.to_string().as_bytes());
        assert!(check.status.success(), "{check:?}");
        node.del("a", &a.path);
        node.del("b", &b.path);
        node.assert_nothing_left();
    });
}
