//! The CNI plugin as a runtime calls it: the real binary, real namespaces, the real kernel. After every test the
//! private machine must be as empty as before.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "netns_cni/ports.rs"]
mod ports;

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
    let listener = netns::run_in(to, || TcpListener::bind(SocketAddr::new(ip, 8080)).unwrap()).unwrap();
    let peer = netns::run_in(from, || {
        TcpStream::connect_timeout(&SocketAddr::new(ip, 8080), Duration::from_secs(5)).unwrap()
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

#[test]
fn delete_works_without_the_namespace() {
    private(|| {
        let node = Node::new("1.0.0", &["10.244.1.0/24"]);
        // No CNI_NETNS at all: the namespace is still there.
        let kept = PodNetns::new("kept");
        node.add("c1", &kept);
        node.del("c1", Path::new(""));
        node.assert_nothing_left();
        // The namespace went first.
        let gone = PodNetns::new("gone");
        node.add("c2", &gone);
        gone.remove();
        node.del("c2", &gone.path);
        node.assert_nothing_left();
        // Only an empty file is left where it was.
        let hollow = PodNetns::new("hollow");
        node.add("c3", &hollow);
        hollow.remove();
        fs::write(&hollow.path, "").unwrap();
        node.del("c3", &hollow.path);
        node.assert_nothing_left();
        // Never heard of.
        node.del("unknown", Path::new("/run/netns/unknown"));
    });
}

#[test]
fn delete_does_not_need_a_sane_configuration() {
    private(|| {
        let mut node = Node::new("1.0.0", &["10.244.1.0/24"]);
        let pod = PodNetns::new("pod");
        node.add("c1", &pod);
        node.config["ipam"]["ranges"] = json!([]);
        node.config["vlan"] = json!(7);
        node.del("c1", &pod.path);
        node.assert_nothing_left();
    });
}

#[test]
fn delete_removes_what_another_plugin_made() {
    private(|| {
        // What the bridge and host-local plugins leave: a random name, no alias, a reservation in host-local's form.
        let node = Node::new("1.0.0", &["10.244.1.0/24"]);
        let pod = PodNetns::new("pod");
        node.add("other", &PodNetns::new("other"));
        let host = Netlink::open().unwrap().link("cni0").unwrap().unwrap();
        Netlink::open()
            .unwrap()
            .create_veth(&rustlet::sys::netlink::VethPair {
                host: "veth1a2b3c4d",
                master: host.index,
                peer: "eth0",
                peer_mac: [2, 0, 0, 0, 0, 9],
                peer_netns: std::os::fd::AsRawFd::as_raw_fd(&pod.open()),
                mtu: 0,
            })
            .unwrap();
        fs::write(node.dir().join("10.244.1.77"), "c1\r\neth0").unwrap();
        node.del("c1", &pod.path);
        assert!(Netlink::open().unwrap().link("veth1a2b3c4d").unwrap().is_none());
        assert!(!node.dir().join("10.244.1.77").exists());
        assert_eq!(node.reserved().len(), 1, "the other pod keeps its address");
    });
}

#[test]
fn repeating_add_gives_the_same_address() {
    private(|| {
        let node = Node::new("1.0.0", &["10.244.1.0/24"]);
        let pod = PodNetns::new("pod");
        let first = node.add("c1", &pod);
        let again = node.add("c1", &pod);
        assert_eq!(first["ips"], again["ips"]);
        assert_eq!(veths().len(), 1);
        // The runtime made a new namespace for the same sandbox.
        pod.remove();
        let new = PodNetns::new("pod");
        assert_eq!(node.add("c1", &new)["ips"], first["ips"]);
        node.del("c1", &new.path);
        node.assert_nothing_left();
    });
}

#[test]
fn what_a_killed_add_leaves_is_no_obstacle() {
    private(|| {
        let node = Node::new("1.0.0", &["10.244.1.0/24"]);
        let pod = PodNetns::new("pod");
        node.add("c1", &pod);
        // Killed after the reservation, before the link.
        Netlink::open().unwrap().delete_link(&veths()[0].name).unwrap();
        assert_eq!(node.add("c1", &pod)["ips"][0]["address"], "10.244.1.2/24");
        // Killed after the pair was made, before it was marked.
        let name = veths()[0].name.clone();
        Netlink::open().unwrap().set_port(&name, false, "").unwrap();
        node.add("c1", &pod);
        assert_eq!(veths()[0].hairpin, Some(true));
        // Killed while writing a reservation.
        fs::write(node.dir().join(".rustlet.tmp"), "half").unwrap();
        assert_eq!(
            node.add("c2", &PodNetns::new("second"))["ips"][0]["address"],
            "10.244.1.3/24"
        );
        // Killed between all of that and DEL.
        node.del("c1", &pod.path);
        node.del("c2", Path::new("/run/netns/second"));
        node.assert_nothing_left();
    });
}

#[test]
fn killed_at_random_moments_nothing_is_lost() {
    private(|| {
        let node = Node::new("1.0.0", &["10.244.1.0/24"]);
        let pods: Vec<PodNetns> = (0..40).map(|i| PodNetns::new(&format!("p{i}"))).collect();
        let mut killed = 0;
        for (i, pod) in pods.iter().enumerate() {
            let mut child = spawn(
                "ADD",
                &format!("c{i}"),
                &pod.path,
                node.config.to_string().as_bytes(),
            );
            // Busy-waits of growing length spread the kill over the whole life of the process.
            for _ in 0..i * 4000 {
                std::hint::spin_loop();
            }
            let _ = child.kill();
            killed += usize::from(!child.wait().unwrap().success());
        }
        assert!(killed > 0, "no call was killed");
        for (i, pod) in pods.iter().enumerate() {
            node.add(&format!("c{i}"), pod);
        }
        assert_eq!((node.reserved().len(), veths().len()), (40, 40));
        for (i, pod) in pods.iter().enumerate() {
            node.del(&format!("c{i}"), &pod.path);
        }
        node.assert_nothing_left();
    });
}

#[test]
fn a_failed_add_leaves_nothing() {
    private(|| {
        let node = Node::new("1.0.0", &["10.244.1.0/24"]);
        let pod = PodNetns::new("pod");
        // The pod has an eth0 of its own.
        netns::run_in(&pod.open(), || {
            Netlink::open()
                .unwrap()
                .create_bridge("eth0", [2, 0, 0, 0, 0, 1], 0)
                .unwrap()
        })
        .unwrap();
        let (_, text) = failure(&node.call("ADD", "c1", &pod.path));
        assert!(text.contains("eth0 exists already in /run/netns/pod"), "{text}");
        node.assert_nothing_left();
        // No namespace.
        let (code, text) = failure(&node.call("ADD", "c1", Path::new("/run/netns/none")));
        assert_eq!(code, 4);
        assert!(
            text.contains("CNI_NETNS") && text.contains("/run/netns/none"),
            "{text}"
        );
        // The plugin's own namespace.
        let (code, _) = failure(&node.call("ADD", "c1", Path::new("/proc/self/ns/net")));
        assert_eq!(code, 4);
        node.assert_nothing_left();
    });
}

#[test]
fn a_bridge_of_somebody_else_is_left_alone() {
    private(|| {
        let node = Node::new("1.0.0", &["10.244.1.0/24"]);
        let pod = PodNetns::new("pod");
        let mut host = Netlink::open().unwrap();
        host.create_bridge("cni0", [2, 0, 0, 0, 0, 1], 0).unwrap();
        let index = host.link("cni0").unwrap().unwrap().index;
        host.add_address(index, "10.244.0.1/16".parse().unwrap()).unwrap();
        let (code, text) = failure(&node.call("ADD", "c1", &pod.path));
        assert_eq!(code, 7);
        assert!(
            text.contains("bridge cni0 has address 10.244.0.1/16, which overlaps with 10.244.1.1/24"),
            "{text}"
        );
        node.assert_nothing_left();
    });
}

#[test]
fn thirty_at_once_get_different_addresses() {
    private(|| {
        let node = Node::new("1.0.0", &["10.244.1.0/24"]);
        let pods: Vec<PodNetns> = (0..30).map(|i| PodNetns::new(&format!("p{i}"))).collect();
        let run = |command: &str| {
            let config = node.config.to_string();
            let children: Vec<_> = pods
                .iter()
                .enumerate()
                .map(|(i, pod)| spawn(command, &format!("c{i}"), &pod.path, config.as_bytes()))
                .collect();
            children
                .into_iter()
                .map(|child| child.wait_with_output().unwrap())
                .collect::<Vec<_>>()
        };
        let addresses: BTreeSet<IpAddr> = run("ADD").iter().map(|o| address(&success(o), 0)).collect();
        assert_eq!(addresses.len(), 30);
        assert_eq!(addresses, node.reserved());
        for output in run("DEL") {
            assert!(output.status.success(), "{output:?}");
        }
        node.assert_nothing_left();
    });
}

#[test]
fn a_full_subnet_says_so_and_recovers() {
    private(|| {
        let mut node = Node::new("1.1.0", &["10.244.1.0/29"]);
        node.config["cniVersion"] = json!("1.1.0");
        let pods: Vec<PodNetns> = (0..6).map(|i| PodNetns::new(&format!("p{i}"))).collect();
        for (i, pod) in pods.iter().take(5).enumerate() {
            node.add(&format!("c{i}"), pod);
        }
        let (code, text) = failure(&node.call("ADD", "c5", &pods[5].path));
        assert_eq!(code, 11);
        assert!(
            text.contains("no free address in 10.244.1.0/29: 5 are taken"),
            "{text}"
        );
        assert_eq!(failure(&node.call("STATUS", "", Path::new(""))).0, 50);
        assert_eq!(veths().len(), 5);
        node.del("c2", &pods[2].path);
        assert!(node.call("STATUS", "", Path::new("")).status.success());
        assert_eq!(node.add("c5", &pods[5])["ips"][0]["address"], "10.244.1.4/29");
    });
}

#[test]
fn garbage_among_the_reservations_is_reported_and_kept() {
    private(|| {
        let node = Node::new("1.0.0", &["10.244.1.0/24"]);
        fs::create_dir_all(node.dir().join("a-directory")).unwrap();
        fs::create_dir(node.dir().join("10.244.1.2")).unwrap();
        fs::write(node.dir().join("10.244.1.3"), "").unwrap();
        fs::write(node.dir().join("10.244.1.4"), [0xff, 0xfe, 0x00]).unwrap();
        fs::write(node.dir().join("notes.txt"), "c1\r\neth0").unwrap();
        fs::write(node.dir().join("last_reserved_ip.0"), "nonsense").unwrap();
        let pod = PodNetns::new("pod");
        let output = node.call("ADD", "c1", &pod.path);
        assert_eq!(success(&output)["ips"][0]["address"], "10.244.1.5/24");
        let warnings = String::from_utf8(output.stderr).unwrap();
        for name in [
            "a-directory",
            "10.244.1.2",
            "10.244.1.3",
            "10.244.1.4",
            "notes.txt",
        ] {
            assert!(warnings.contains(name), "{name} is not mentioned in {warnings}");
        }
        node.del("c1", &pod.path);
        for name in [
            "a-directory",
            "10.244.1.2",
            "10.244.1.3",
            "10.244.1.4",
            "notes.txt",
        ] {
            assert!(node.dir().join(name).exists(), "{name} was deleted");
        }
    });
}

#[test]
fn check_notices_every_difference() {
    private(|| {
        let mut node = Node::new("1.0.0", &["10.244.1.0/24"]);
        let pod = PodNetns::new("pod");
        let result = node.add("c1", &pod);
        node.config["prevResult"] = result;
        let healthy = || assert!(node.call("CHECK", "c1", &pod.path).status.success());
        let broken = |words: &str| {
            let (_, text) = failure(&node.call("CHECK", "c1", &pod.path));
            assert!(text.contains(words), "{text} does not say {words}");
        };
        healthy();
        let mut inside = Netlink::open_in(&pod.open()).unwrap();
        let eth0 = inside.link("eth0").unwrap().unwrap().index;
        let default = inside
            .routes()
            .unwrap()
            .into_iter()
            .find(|r| r.gateway.is_some())
            .unwrap();
        assert!(inside.delete_route(&default).unwrap());
        broken("route to 0.0.0.0/0 by 10.244.1.1 is missing");
        inside.replace_route(&default).unwrap();
        healthy();
        let own = "10.244.1.2/24".parse().unwrap();
        assert!(inside.delete_address(eth0, own).unwrap());
        broken("eth0 lacks 10.244.1.2/24");
        inside.add_address(eth0, own).unwrap();
        inside.replace_route(&default).unwrap();
        healthy();
        let port = veths().remove(0);
        Netlink::open()
            .unwrap()
            .set_port(&port.name, false, &port.alias)
            .unwrap();
        broken("has hairpin Some(false)");
        fs::remove_file(node.dir().join("10.244.1.2")).unwrap();
        broken("no address is reserved for container c1");
        node.call("DEL", "c1", &pod.path);
        broken("");
    });
}

#[test]
fn garbage_collection_removes_orphans_only() {
    private(|| {
        let mut node = Node::new("1.1.0", &["10.244.1.0/24"]);
        let pods: Vec<PodNetns> = (0..4).map(|i| PodNetns::new(&format!("p{i}"))).collect();
        for (i, pod) in pods.iter().enumerate() {
            node.add(&format!("c{i}"), pod);
        }
        fs::write(node.dir().join("10.244.1.99"), "orphan\r\neth0").unwrap();
        fs::write(node.dir().join("10.244.1.98"), "").unwrap();
        fs::write(node.dir().join("10.244.1.97"), "?!").unwrap();
        node.config["cni.dev/valid-attachments"] =
            json!([{ "containerID": "c1", "ifname": "eth0" }, { "containerID": "c3", "ifname": "eth0" }]);
        let output = node.call("GC", "", Path::new(""));
        assert!(output.status.success(), "{output:?}");
        let left: Vec<String> = node.reserved().iter().map(ToString::to_string).collect();
        assert_eq!(left, ["10.244.1.3", "10.244.1.5", "10.244.1.97"]);
        assert_eq!(veths().len(), 2);
        let old = Node::new("1.0.0", &["10.244.1.0/24"]);
        assert_eq!(failure(&old.call("GC", "", Path::new(""))).0, 1);
        assert_eq!(failure(&old.call("STATUS", "", Path::new(""))).0, 1);
    });
}

#[test]
fn reconciliation_releases_what_no_sandbox_owns() {
    private(|| {
        let node = Node::new("1.0.0", &["10.244.1.0/24"]);
        for id in ["live", "dead"] {
            node.add(id, &PodNetns::new(id));
        }
        fs::write(node.dir().join("10.244.1.50"), "rebooted\r\neth0").unwrap();
        fs::write(node.dir().join("10.244.1.51"), "").unwrap();
        fs::write(node.dir().join("junk"), "").unwrap();
        let live = ["live".into()];
        let reconcile = |age| rustlet::cni::reconcile(node.data.path(), "pods", &live, age).unwrap();
        assert_eq!(
            reconcile(Duration::from_secs(3600)).released,
            Vec::<IpAddr>::new(),
            "all of them are young"
        );
        let done = reconcile(Duration::ZERO);
        let released: Vec<String> = done.released.iter().map(ToString::to_string).collect();
        assert_eq!(released, ["10.244.1.3", "10.244.1.50", "10.244.1.51"]);
        assert!(done.warnings.iter().any(|w| w.contains("junk")), "{done:?}");
        assert_eq!((node.reserved().len(), veths().len()), (1, 1));
    });
}

#[test]
fn bad_input_is_answered_in_the_spec_s_words() {
    private(|| {
        let pod = PodNetns::new("pod");
        let good = Node::new("1.0.0", &["10.244.1.0/24"]);
        let with = |key: &str, value: Value| {
            let mut config = good.config.clone();
            config[key] = value;
            config.to_string().into_bytes()
        };
        let half = good.config.to_string().into_bytes()[..80].to_vec();
        let cases: Vec<(Vec<u8>, u64, &str)> = vec![
            (b"".to_vec(), 6, "empty, expected a JSON object"),
            (b"  \n".to_vec(), 6, "empty"),
            (half, 6, "not JSON: EOF while parsing"),
            (b"[]".to_vec(), 6, "not a JSON object"),
            (vec![0xff, 0x00, 0x7b], 6, "not JSON"),
            (with("cniVersion", json!(1)), 6, "cniVersion: 1 is not a string"),
            (with("cniVersion", json!("9.9.9")), 1, "9.9.9"),
            (with("mtu", json!("large")), 6, "mtu: invalid type: string"),
            (
                with(
                    "ipam",
                    json!({ "type": "host-local", "ranges": [[{ "subnet": "10.0.0.300/24" }]] }),
                ),
                6,
                "ipam.ranges[0][0].subnet: invalid",
            ),
            (with("ipam", json!({ "type": "dhcp" })), 7, "ipam.type"),
            (with("name", json!("../etc")), 7, "name"),
            (with("ipMasq", json!(true)), 2, "ipMasq: true"),
        ];
        for (stdin, code, words) in cases {
            let (got, text) = failure(&call("ADD", "c1", &pod.path, &stdin));
            assert!(
                got == code && text.contains(words),
                "{got} {text}, expected {code} {words}"
            );
        }
        for (command, id, variable) in [
            ("FLY", "c1", "CNI_COMMAND"),
            ("ADD", "", "CNI_CONTAINERID"),
            ("ADD", "../x", "CNI_CONTAINERID"),
        ] {
            let (got, text) = failure(&call(command, id, &pod.path, good.config.to_string().as_bytes()));
            assert!(got == 4 && text.contains(variable), "{got} {text}");
        }
        assert_eq!(veths(), Vec::<Link>::new());
    });
}

#[test]
fn version_is_told_without_a_configuration() {
    private(|| {
        for (stdin, said) in [(&b"{\"cniVersion\":\"0.4.0\"}"[..], "0.4.0"), (b"", "1.1.0")] {
            let answer = success(&call("VERSION", "", Path::new(""), stdin));
            assert_eq!(
                answer,
                json!({ "cniVersion": said, "supportedVersions": VERSIONS })
            );
        }
    });
}

#[test]
fn the_loopback_plugin_is_built_in() {
    private(|| {
        let pod = PodNetns::new("pod");
        let config = json!({ "cniVersion": "0.3.1", "name": "cni-loopback", "type": "loopback" }).to_string();
        let result = success(&call("ADD", "c1", &pod.path, config.as_bytes()));
        assert_eq!(result["interfaces"][0]["name"], "lo");
        assert_eq!(result["ips"][0]["address"], "127.0.0.1/8");
        netns::run_in(&pod.open(), || {
            let (a, b) = (
                UdpSocket::bind("127.0.0.1:0").unwrap(),
                UdpSocket::bind("127.0.0.1:0").unwrap(),
            );
            a.send_to(b"x", b.local_addr().unwrap()).unwrap();
            assert_eq!(b.recv(&mut [0; 1]).unwrap(), 1);
        })
        .unwrap();
        assert!(call("DEL", "c1", &pod.path, config.as_bytes()).status.success());
        assert!(
            call("DEL", "c1", Path::new("/run/netns/none"), config.as_bytes())
                .status
                .success()
        );
    });
}
