//! The node's side of the pod network against the real kernel: a node, a second node and the world outside, each a
//! namespace on one Ethernet.

#![allow(clippy::unwrap_used, reason = "tests")]

use ipnet::IpNet;
use rustlet::api::Change;
use rustlet::config::{NetworkConfig, NetworkMode};
use rustlet::model::Meta;
use rustlet::model::net::{IpFamily, Node, NodeAddress, NodeSpec, NodeStatus};
use rustlet::network::{Network, State, conflist, routes};
use rustlet::sys::iptables::{Process, Restore};
use rustlet::sys::netlink::{Netlink, Route, VethPair};
use rustlet::sys::netns::{self, Netns};
use rustlet::testing::netns::{PodNetns, private};
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const OUR_IP: &str = "192.168.50.1";

/// Our node, with an Ethernet `lab0` of its own making.
struct Machine {
    dirs: TempDir,
    config: NetworkConfig,
    runtime: tokio::runtime::Runtime,
}

impl Machine {
    fn new() -> Self {
        let dirs = tempfile::tempdir().unwrap();
        let config = NetworkConfig {
            node: "a".into(),
            mode: NetworkMode::Bridge,
            cni_conf_dir: dirs.path().join("net.d"),
            cni_bin_dir: dirs.path().join("bin"),
        };
        let mut kernel = Netlink::open().unwrap();
        kernel.create_bridge("lab0", [2, 0, 0, 0, 0, 1], 1400).unwrap();
        let lab = kernel.link("lab0").unwrap().unwrap().index;
        kernel.add_address(lab, net("192.168.50.1/24")).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        Self {
            dirs,
            config,
            runtime,
        }
    }

    /// Another machine on the Ethernet.
    fn neighbour(name: &str, address: &str) -> Netns {
        let there = PodNetns::new(name).open();
        let mut kernel = Netlink::open().unwrap();
        let pair = VethPair {
            host: &format!("to-{name}"),
            master: kernel.link("lab0").unwrap().unwrap().index,
            peer: "eth0",
            peer_mac: [2, 0, 0, 0, 1, u8::try_from(name.len()).unwrap()],
            peer_netns: there.as_raw_fd(),
            mtu: 1400,
        };
        kernel.create_veth(&pair).unwrap();
        let mut inside = Netlink::open_in(&there).unwrap();
        let eth0 = inside.link("eth0").unwrap().unwrap().index;
        inside.add_address(eth0, net(address)).unwrap();
        inside.set_up("eth0").unwrap();
        there
    }

    /// One agent's life: it lists these Nodes, syncs, and ends.
    fn agent(&self, nodes: &[Node]) -> State {
        let (send, receive) = mpsc::channel(1);
        let network = Network::new(self.config.clone(), receive, Arc::new(Process));
        let state = network.state();
        send.try_send(Change::Replaced(nodes.iter().cloned().map(Arc::new).collect()))
            .unwrap();
        drop(send);
        self.runtime.block_on(network.run(CancellationToken::new()));
        state.borrow().clone()
    }

    fn conflist(&self) -> std::path::PathBuf {
        self.config.cni_conf_dir.join(conflist::FILE)
    }

    /// What the runtime does: takes the plugin's configuration out of the list and runs the installed plugin.
    #[expect(clippy::disallowed_methods, reason = "the test plays the runtime")]
    fn plugin(&self, command: &str, id: &str, pod: &Path) -> Value {
        let list: Value = serde_json::from_str(&fs::read_to_string(self.conflist()).unwrap()).unwrap();
        let mut config = list["plugins"][0].clone();
        config["name"] = list["name"].clone();
        config["cniVersion"] = list["cniVersion"].clone();
        config["ipam"]["dataDir"] = json!(self.dirs.path().join("addresses"));
        let mut child = Command::new(env!("CARGO_BIN_EXE_rustlet"))
            .envs([
                ("CNI_COMMAND", command),
                ("CNI_CONTAINERID", id),
                ("CNI_IFNAME", "eth0"),
            ])
            .env("CNI_NETNS", pod)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(config.to_string().as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    fn saved(&self) -> String {
        self.runtime.block_on(Process.save(IpFamily::V4, None)).unwrap()
    }

    fn restore(&self, text: &str) {
        self.runtime
            .block_on(Process.restore(IpFamily::V4, text))
            .unwrap();
    }
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn node(name: &str, cidr: &str, ip: &str) -> Node {
    Node {
        metadata: Meta {
            name: name.into(),
            ..Meta::default()
        },
        spec: NodeSpec {
            pod_cidrs: vec![cidr.into()],
            ..NodeSpec::default()
        },
        status: NodeStatus {
            addresses: vec![NodeAddress {
                kind: "InternalIP".into(),
                address: ip.into(),
            }],
            ..NodeStatus::default()
        },
    }
}

fn cluster() -> [Node; 2] {
    [
        node("a", "10.244.0.0/24", OUR_IP),
        node("b", "10.244.1.0/24", "192.168.50.2"),
    ]
}

/// Our routes, as text.
fn our_routes() -> Vec<String> {
    let all = Netlink::open().unwrap().routes().unwrap();
    let ours = all.iter().filter(|route| route.protocol == routes::PROTOCOL);
    ours.map(|route| format!("{} by {}", route.dst, route.gateway.unwrap()))
        .collect()
}

/// Connects and returns the source address the listener saw.
fn seen_source(from: &Netns, to: &Netns, ip: &str) -> IpAddr {
    let at = SocketAddr::new(ip.parse().unwrap(), 8080);
    let listener = netns::run_in(to, || TcpListener::bind(at).unwrap()).unwrap();
    let _client = netns::run_in(from, || {
        TcpStream::connect_timeout(&at, Duration::from_secs(5)).unwrap()
    })
    .unwrap();
    listener.accept().unwrap().1.ip()
}

#[test]
fn a_node_without_pod_cidr_is_not_ready() {
    private(|| {
        let machine = Machine::new();
        let mut nodes = cluster();
        nodes[0].spec.pod_cidrs.clear();
        let state = machine.agent(&nodes);
        assert_eq!(
            state,
            State::NotReady("node a has no pod CIDR (spec.podCIDRs) yet".into())
        );
        assert!(!machine.conflist().exists());
        assert!(
            matches!(machine.agent(&nodes[1..]), State::NotReady(_)),
            "our Node does not exist yet"
        );
    });
}

#[test]
fn pods_keep_their_address_inside_and_lose_it_outside() {
    private(|| {
        let machine = Machine::new();
        let (b, world) = (
            Machine::neighbour("b", "192.168.50.2/24"),
            Machine::neighbour("world", "192.168.50.99/24"),
        );
        let mut far = Netlink::open_in(&b).unwrap();
        let back = Route {
            dst: net("10.244.0.0/24"),
            gateway: OUR_IP.parse().ok(),
            oif: None,
            protocol: 4,
        };
        far.replace_route(&back).unwrap();
        // A pod of node b, as good as.
        let lo = far.link("lo").unwrap().unwrap().index;
        far.add_address(lo, net("10.244.1.7/32")).unwrap();
        far.set_up("lo").unwrap();
        // A machine that forwards nothing by itself.
        machine.restore("*filter\n:FORWARD DROP [0:0]\nCOMMIT\n");

        assert_eq!(machine.agent(&cluster()), State::Ready);
        let pod = PodNetns::new("pod");
        let result = machine.plugin("ADD", "c1", &pod.path);
        assert_eq!(result["ips"][0]["address"], "10.244.0.2/24");
        let (pod, own) = (pod.open(), "10.244.0.2".parse::<IpAddr>().unwrap());
        assert_eq!(
            seen_source(&pod, &world, "192.168.50.99"),
            OUR_IP.parse::<IpAddr>().unwrap()
        );
        assert_eq!(seen_source(&pod, &b, "192.168.50.2"), own, "to a node");
        assert_eq!(
            seen_source(&pod, &b, "10.244.1.7"),
            own,
            "to a pod of another node"
        );
        assert_eq!(
            seen_source(&b, &pod, "10.244.0.2"),
            "192.168.50.2".parse::<IpAddr>().unwrap(),
            "from a node"
        );
        assert_eq!(
            seen_source(&pod, &Netns::current().unwrap(), OUR_IP),
            own,
            "to its own node"
        );
        machine.plugin("DEL", "c1", Path::new("/run/netns/pod"));
    });
}

#[test]
fn the_configuration_fits_the_node_and_the_plugin_is_there() {
    private(|| {
        let machine = Machine::new();
        assert_eq!(machine.agent(&cluster()), State::Ready);
        let list: Value = serde_json::from_str(&fs::read_to_string(machine.conflist()).unwrap()).unwrap();
        assert_eq!(
            list["plugins"][0]["mtu"], 1400,
            "the MTU of the link that has our InternalIP"
        );
        assert_eq!(
            list["plugins"][0]["ipam"]["ranges"][0][0]["subnet"],
            "10.244.0.0/24"
        );
        let own = std::env::current_exe().unwrap();
        for name in ["rustlet", "loopback"] {
            assert_eq!(fs::read_link(machine.config.cni_bin_dir.join(name)).unwrap(), own);
        }
        let written = fs::metadata(machine.conflist()).unwrap().modified().unwrap();
        assert_eq!(machine.agent(&cluster()), State::Ready);
        assert_eq!(
            fs::metadata(machine.conflist()).unwrap().modified().unwrap(),
            written,
            "nothing to change"
        );
    });
}

#[test]
fn routes_follow_the_nodes() {
    private(|| {
        let machine = Machine::new();
        let other = Route {
            dst: net("172.30.0.0/16"),
            gateway: "192.168.50.7".parse().ok(),
            oif: None,
            protocol: 4,
        };
        Netlink::open().unwrap().replace_route(&other).unwrap();
        assert_eq!(machine.agent(&cluster()), State::Ready);
        assert_eq!(our_routes(), ["10.244.1.0/24 by 192.168.50.2"]);
        // Another address, a new node, one that is nonsense, one out of reach.
        let moved = [
            node("a", "10.244.0.0/24", OUR_IP),
            node("b", "10.244.1.0/24", "192.168.50.22"),
            node("c", "10.244.2.0/24", "192.168.50.3"),
            node("nonsense", "10.244.3", "192.168.50.4"),
            node("far", "10.244.4.0/24", "203.0.113.4"),
        ];
        assert_eq!(machine.agent(&moved), State::Ready);
        assert_eq!(
            our_routes(),
            ["10.244.1.0/24 by 192.168.50.22", "10.244.2.0/24 by 192.168.50.3"]
        );
        assert_eq!(machine.agent(&cluster()[..1]), State::Ready);
        assert_eq!(our_routes(), Vec::<String>::new());
        let all = Netlink::open().unwrap().routes().unwrap();
        let kept = |r: &Route| (r.dst, r.gateway, r.protocol) == (other.dst, other.gateway, other.protocol);
        assert!(all.iter().any(kept), "not ours");
    });
}

#[test]
fn changes_during_one_life_are_followed() {
    private(|| {
        let machine = Machine::new();
        let (send, receive) = mpsc::channel(8);
        let network = Network::new(machine.config.clone(), receive, Arc::new(Process));
        let mut state = network.state();
        let [a, b] = cluster().map(Arc::new);
        machine.runtime.block_on(async {
            let mut life = tokio::spawn(network.run(CancellationToken::new()));
            send.send(Change::Applied(b.clone())).await.unwrap();
            assert!(
                matches!(*state.borrow(), State::NotReady(_)),
                "nothing happens before the first list"
            );
            send.send(Change::Replaced(vec![a.clone()])).await.unwrap();
            state.wait_for(|s| *s == State::Ready).await.unwrap();
            for change in [
                Change::Applied(b.clone()),
                Change::Deleted(b),
                Change::Applied(Arc::new(node("c", "10.244.2.0/24", "192.168.50.3"))),
            ] {
                send.send(change).await.unwrap();
            }
            drop(send);
            (&mut life).await.unwrap();
        });
        assert_eq!(our_routes(), ["10.244.2.0/24 by 192.168.50.3"]);
    });
}

#[test]
fn broken_rules_are_healed_and_right_ones_left_alone() {
    private(|| {
        let machine = Machine::new();
        assert_eq!(machine.agent(&cluster()), State::Ready);
        let good = machine.saved();
        assert!(
            good.contains("-A RUSTLET-MASQ -d 10.244.1.0/24 -j RETURN"),
            "{good}"
        );
        let rules = |text: &str| {
            text.lines()
                .filter(|l| l.starts_with('-'))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let sabotage = [
            "*nat\n-F RUSTLET-MASQ\nCOMMIT\n",
            "*nat\n-F POSTROUTING\nCOMMIT\n",
            "*nat\n-F POSTROUTING\n-F RUSTLET-MASQ\n-X RUSTLET-MASQ\nCOMMIT\n",
            "*nat\n-I RUSTLET-MASQ 1 -j RETURN\nCOMMIT\n",
            "*nat\n-A POSTROUTING -j RUSTLET-MASQ\nCOMMIT\n",
            "*filter\n-D RUSTLET-FORWARD 1\nCOMMIT\n",
        ];
        for text in sabotage {
            machine.restore(text);
            assert_ne!(rules(&machine.saved()), rules(&good), "{text}");
            assert_eq!(machine.agent(&cluster()), State::Ready);
            assert_eq!(rules(&machine.saved()), rules(&good), "{text}");
        }
        // Counters survive a sync that has nothing to do.
        machine.restore("*nat\n[7:700] -A RUSTLET-MASQ -j RETURN\n-D RUSTLET-MASQ -j RETURN\nCOMMIT\n");
        let lists_before = machine.saved();
        assert_eq!(machine.agent(&cluster()), State::Ready);
        assert_eq!(rules(&machine.saved()), rules(&lists_before));
    });
}

#[test]
fn another_owner_s_network_is_respected() {
    private(|| {
        let machine = Machine::new();
        fs::create_dir_all(&machine.config.cni_conf_dir).unwrap();
        let foreign = machine.config.cni_conf_dir.join("10-flannel.conflist");
        fs::write(&foreign, r#"{"name":"cbr0","plugins":[{"type":"flannel"}]}"#).unwrap();
        let State::NotReady(why) = machine.agent(&cluster()) else {
            panic!("ready beside another network")
        };
        assert!(
            why.contains(foreign.to_str().unwrap()) && why.contains("--network none"),
            "{why}"
        );
        assert!(!machine.conflist().exists());
        fs::remove_file(&foreign).unwrap();
        assert_eq!(machine.agent(&cluster()), State::Ready);
    });
}

#[test]
fn cleaning_leaves_nothing_of_ours_and_everything_else() {
    private(|| {
        let machine = Machine::new();
        fs::create_dir_all(&machine.config.cni_bin_dir).unwrap();
        let loopback = machine.config.cni_bin_dir.join("loopback");
        fs::write(&loopback, "somebody's").unwrap();
        machine.restore("*nat\n-A POSTROUTING -d 198.51.100.1/32 -j ACCEPT\nCOMMIT\n");
        assert_eq!(machine.agent(&cluster()), State::Ready);
        assert_eq!(fs::read_to_string(&loopback).unwrap(), "somebody's");
        let pod = PodNetns::new("pod");
        machine.plugin("ADD", "c1", &pod.path);
        let clean = || {
            machine
                .runtime
                .block_on(Network::clean(&machine.config, &Process))
        };
        let has_bridge = || Netlink::open().unwrap().link("cni0").unwrap().is_some();

        assert!(clean().is_empty());
        assert!(has_bridge(), "a pod still uses it");
        Netlink::open_in(&pod.open())
            .unwrap()
            .delete_link("eth0")
            .unwrap();
        for _ in 0..2 {
            assert!(clean().is_empty());
            assert!(!has_bridge() && our_routes().is_empty() && !machine.conflist().exists());
            assert!(!machine.config.cni_bin_dir.join("rustlet").exists() && loopback.exists());
            let saved = machine.saved();
            assert!(
                !saved.contains("RUSTLET") && saved.contains("198.51.100.1"),
                "{saved}"
            );
        }
    });
}
