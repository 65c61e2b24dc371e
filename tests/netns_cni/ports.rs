//! Host ports: real packets to a node's address come out in the pod, and only while it is there.

use super::{Node, failure, spawn_with, success};
use rustlet::model::net::IpFamily;
use rustlet::model::tables::Table;
use rustlet::sys::iptables;
use rustlet::sys::netns::{self, Netns};
use rustlet::testing::netns::{PodNetns, private};
use serde_json::{Value, json};
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(5);

fn mapping(host_ip: &str, protocol: &str) -> Value {
    json!({ "hostPort": 9090, "containerPort": 8080, "protocol": protocol, "hostIP": host_ip })
}

impl Node {
    /// The same network for a pod that asks for these host ports.
    fn with_ports(&self, mappings: &[Value]) -> Self {
        let mut config = self.config.clone();
        config["runtimeConfig"] = json!({ "portMappings": mappings });
        let data = tempfile::tempdir().unwrap();
        Self { data, config }
    }
}

/// Clients on another subnet: to the pods they are the world outside.
fn outside() -> (Node, PodNetns) {
    let mut node = Node::new("1.0.0", &["192.0.2.0/24", "fd00:192::/64"]);
    node.config["name"] = json!("outside");
    node.config["bridge"] = json!("cni1");
    let client = PodNetns::new("client");
    node.add("client", &client);
    (node, client)
}

fn nat(family: IpFamily) -> String {
    iptables::save_blocking(family, Table::Nat).unwrap()
}

fn listen(to: &Netns, address: &str) -> TcpListener {
    let address: SocketAddr = address.parse().unwrap();
    netns::run_in(to, || TcpListener::bind(address).unwrap()).unwrap()
}

/// Connects, and returns whom the server saw.
fn seen(from: &Netns, to: &str, server: &TcpListener) -> SocketAddr {
    let to = to.parse().unwrap();
    let client = netns::run_in(from, || TcpStream::connect_timeout(&to, LIMIT).unwrap()).unwrap();
    let (_, peer) = server.accept().unwrap();
    drop(client);
    peer
}

fn refused(from: &Netns, to: &str) -> bool {
    let to = to.parse().unwrap();
    netns::run_in(from, || TcpStream::connect_timeout(&to, LIMIT).is_err()).unwrap()
}

fn ip(text: &str) -> std::net::IpAddr {
    text.parse().unwrap()
}

#[test]
fn packets_to_the_node_s_port_reach_the_pod() {
    private(|| {
        let plain = Node::new("1.0.0", &["10.244.1.0/24", "fd00:10::/64"]);
        let node = plain.with_ports(&[mapping("", "tcp")]);
        let (_outside, client) = outside();
        let (pod, other) = (PodNetns::new("pod"), PodNetns::new("other"));
        let result = node.add("c1", &pod);
        plain.add("c2", &other);
        let host = Netns::current().unwrap();
        let (client, pod, other) = (client.open(), pod.open(), other.open());

        let server = listen(&pod, "0.0.0.0:8080");
        let peer = seen(&client, "192.0.2.1:9090", &server);
        assert_eq!(peer.ip(), ip("192.0.2.2"), "the client's own address");
        assert_eq!(seen(&host, "192.0.2.1:9090", &server).ip(), ip("192.0.2.1"));
        for neighbour in [&pod, &other] {
            let peer = seen(neighbour, "192.0.2.1:9090", &server);
            assert_eq!(
                peer.ip(),
                ip("10.244.1.1"),
                "the answer has to pass the node again"
            );
        }
        // Loopback is the node's own, and what listens there stays reachable.
        let local = listen(&host, "127.0.0.1:9090");
        assert!(seen(&host, "127.0.0.1:9090", &local).ip().is_loopback());
        let server = listen(&pod, "[fd00:10::2]:8080");
        assert_eq!(
            seen(&client, "[fd00:192::1]:9090", &server).ip(),
            ip("fd00:192::2")
        );

        let mut checked = node.config.clone();
        checked["prevResult"] = result;
        let check = |pod: &Netns| super::call("CHECK", "c1", pod.path(), checked.to_string().as_bytes());
        assert!(check(&pod).status.success());
        let text = nat(IpFamily::V4);
        let jump = text
            .lines()
            .find(|l| l.starts_with("-A PREROUTING") && l.contains("RUSTLET-PORTS"));
        let delete = jump.unwrap().replacen("-A ", "-D ", 1);
        iptables::restore_blocking(IpFamily::V4, &format!("*nat\n{delete}\nCOMMIT\n")).unwrap();
        assert!(failure(&check(&pod)).1.contains("host port rule is gone"));

        node.del("c1", Path::new(""));
        assert!(refused(&client, "192.0.2.1:9090"));
        for family in IpFamily::ALL {
            assert!(!nat(family).contains("RUSTLET"), "{}", nat(family));
        }
        node.del("c1", Path::new(""));
    });
}

#[test]
fn pods_share_a_port_by_address_and_protocol() {
    private(|| {
        let plain = Node::new("1.0.0", &["10.244.1.0/24"]);
        let (_outside, client) = outside();
        let client = client.open();
        let pods: Vec<PodNetns> = (0..3).map(|i| PodNetns::new(&format!("p{i}"))).collect();
        let asks = [
            mapping("192.0.2.1", "tcp"),
            mapping("10.244.1.1", "tcp"),
            mapping("192.0.2.1", "udp"),
        ];
        let nodes: Vec<Node> = asks
            .iter()
            .map(|ask| plain.with_ports(std::slice::from_ref(ask)))
            .collect();
        for (i, (node, pod)) in nodes.iter().zip(&pods).enumerate() {
            node.add(&format!("c{i}"), pod);
        }
        let text = nat(IpFamily::V4);
        assert_eq!(text.matches("-j RUSTLET-P").count(), 3, "one jump each:\n{text}");
        let (one, two) = (
            listen(&pods[0].open(), "0.0.0.0:8080"),
            listen(&pods[1].open(), "0.0.0.0:8080"),
        );
        seen(&client, "192.0.2.1:9090", &one);
        seen(&client, "10.244.1.1:9090", &two);

        let bind = |to: &Netns, address: &str| {
            let address: SocketAddr = address.parse().unwrap();
            let socket = netns::run_in(to, || UdpSocket::bind(address).unwrap()).unwrap();
            socket.set_read_timeout(Some(LIMIT)).unwrap();
            socket
        };
        let (asker, server) = (bind(&client, "0.0.0.0:0"), bind(&pods[2].open(), "0.0.0.0:8080"));
        let ask = |server: &UdpSocket, word: &[u8]| {
            asker.send_to(word, "192.0.2.1:9090").unwrap();
            let mut buffer = [0; 8];
            let (length, from) = server.recv_from(&mut buffer).unwrap();
            assert_eq!((&buffer[..length], from.ip()), (word, ip("192.0.2.2")));
        };
        ask(&server, b"first");
        // A client that goes on talking gets to the next pod of the port, too.
        nodes[2].del("c2", &pods[2].path);
        seen(&client, "192.0.2.1:9090", &one);
        let next = PodNetns::new("next");
        nodes[2].add("c9", &next);
        ask(&bind(&next.open(), "0.0.0.0:8080"), b"second");
    });
}

#[test]
fn services_come_first() {
    private(|| {
        let plain = Node::new("1.0.0", &["10.244.1.0/24"]);
        let (_outside, client) = outside();
        let (a, b) = (PodNetns::new("a"), PodNetns::new("b"));
        plain.with_ports(&[mapping("", "tcp")]).add("a", &a);
        plain.add("b", &b);
        // As the Service proxy does it: its jump is put at the top, whenever it starts.
        let service = "-A KUBE-SERVICES -p tcp -m tcp --dport 9090 -j DNAT --to-destination 10.244.1.3:8080";
        let rules = format!(
            "*nat\n:KUBE-SERVICES - [0:0]\n{}\n{}\n-I PREROUTING -j KUBE-SERVICES\n-I OUTPUT -j KUBE-SERVICES\nCOMMIT\n",
            service.replacen(" -p", " -d 10.96.0.1/32 -p", 1),
            service.replacen(" -p", " -d 192.0.2.1/32 -p", 1),
        );
        iptables::restore_blocking(IpFamily::V4, &rules).unwrap();
        let c = PodNetns::new("c");
        plain
            .with_ports(&[json!({ "hostPort": 9091, "containerPort": 8080 })])
            .add("c", &c);
        let text = nat(IpFamily::V4);
        let at = |what: &str| {
            text.lines()
                .position(|l| l.starts_with("-A PREROUTING") && l.contains(what))
        };
        assert!(at("KUBE-SERVICES") < at("RUSTLET-PORTS"), "{text}");
        let (mapped, served) = (
            listen(&a.open(), "0.0.0.0:8080"),
            listen(&b.open(), "0.0.0.0:8080"),
        );
        seen(&client.open(), "10.96.0.1:9090", &served);
        seen(&client.open(), "192.0.2.1:9090", &served);
        seen(&client.open(), "10.244.1.1:9090", &mapped);
    });
}

#[test]
fn without_host_ports_nothing_is_run_and_a_failure_is_undone() {
    private(|| {
        let plain = Node::new("1.0.0", &["10.244.1.0/24"]);
        let pod = PodNetns::new("pod");
        let call = |node: &Node, command: &str| {
            let stdin = node.config.to_string();
            spawn_with(command, "c1", &pod.path, stdin.as_bytes(), Some("/nonexistent"))
                .wait_with_output()
                .unwrap()
        };
        success(&call(&plain, "ADD"));
        assert!(call(&plain, "DEL").status.success());
        assert!(!plain.dir().join("ports").exists());

        let mapped = plain.with_ports(&[mapping("", "tcp")]);
        let (_, words) = failure(&call(&mapped, "ADD"));
        assert!(words.contains("iptables-save not found in PATH"), "{words}");
        plain.assert_nothing_left();
        assert!(!plain.dir().join("ports").join("c1").exists());
        for (wrong, words) in [
            (
                json!({ "hostPort": 80, "containerPort": 80, "protocol": "icmp" }),
                "hostPort 80: protocol",
            ),
            (
                json!({ "hostPort": 80, "containerPort": 80, "hostIP": "node" }),
                "hostPort 80: hostIP",
            ),
        ] {
            let (code, text) = failure(&plain.with_ports(&[wrong]).call("ADD", "c1", &pod.path));
            assert!(code == 7 && text.contains(words), "{code} {text}");
        }
        plain.assert_nothing_left();
    });
}

#[test]
fn ports_of_sandboxes_that_are_gone_are_collected() {
    private(|| {
        let plain = Node::new("1.1.0", &["10.244.1.0/24"]);
        let add = |id: &str, port: u16| {
            let node = plain.with_ports(&[json!({ "hostPort": port, "containerPort": 8080 })]);
            node.add(id, &PodNetns::new(id));
        };
        let mapped = || -> Vec<bool> {
            let text = nat(IpFamily::V4);
            [1, 2, 3]
                .iter()
                .map(|i| text.contains(&format!("--dport 900{i} -j DNAT")))
                .collect()
        };
        for i in 1..=3 {
            add(&format!("c{i}"), 9000 + i);
        }
        // A damaged record costs nobody else a port.
        fs::write(plain.dir().join("ports/odd"), "{").unwrap();
        assert_eq!(mapped(), [true, true, true]);
        let mut gc = Node::new("1.1.0", &[]);
        gc.config = plain.config.clone();
        gc.config["cni.dev/valid-attachments"] =
            json!([{ "containerID": "c1", "ifname": "eth0" }, { "containerID": "c2", "ifname": "eth0" }]);
        let output = gc.call("GC", "", Path::new(""));
        assert!(output.status.success(), "{output:?}");
        assert_eq!(mapped(), [true, true, false]);

        let reconcile = |age| {
            let done = rustlet::cni::reconcile(plain.data.path(), "pods", &["c1".into()], age).unwrap();
            assert_eq!(done.warnings, Vec::<String>::new());
        };
        reconcile(Duration::from_secs(3600));
        assert_eq!(mapped(), [true, true, false], "it is young");
        reconcile(Duration::ZERO);
        assert_eq!(mapped(), [true, false, false]);
        // What somebody flushed is back with the agent's next start.
        iptables::restore_blocking(IpFamily::V4, "*nat\n-F\nCOMMIT\n").unwrap();
        assert_eq!(mapped(), [false, false, false]);
        reconcile(Duration::ZERO);
        assert_eq!(mapped(), [true, false, false]);
        rustlet::cni::ports::clean(plain.data.path(), "pods").unwrap();
        assert!(!nat(IpFamily::V4).contains("RUSTLET") && !plain.dir().join("ports").exists());
    });
}
