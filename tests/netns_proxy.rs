//! The proxy against the real kernel: real iptables, real packets, in private namespaces.
//!
//! A node with three pods, each on a routed link of its own, and a machine outside of the cluster:
//! ```text
//!  a 10.244.1.11 ─┐
//!  b 10.244.1.12 ─┼─ node 10.244.1.1, 192.168.0.2 ── outside 192.168.0.9
//!  c 10.244.1.13 ─┘
//! ```

#![allow(clippy::unwrap_used, reason = "tests")]

use rustlet::api::Change;
use rustlet::model::net::IpFamily;
use rustlet::model::tables::parse_save;
use rustlet::proxy::{NodeFacts, Proxy, Settings, Status};
use rustlet::sys::exec;
use rustlet::sys::iptables::{Process, Restore};
use rustlet::sys::netns::{self, Netns};
use rustlet::testing::netns::{PodNetns, private};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// How long an answer may take. Only a failure waits this long.
const PATIENCE: Duration = Duration::from_secs(10);
/// What pods see as source of masqueraded connections: the node's address on their link.
const MASQUERADED: &str = "10.244.1.1";
const NODE_IP: &str = "192.168.0.2";

/// Runs a command in this thread's namespaces.
fn command(line: &str) -> String {
    let mut words = line.split(' ');
    let command = exec::Command::new(words.next().unwrap()).args(words);
    command.run().unwrap().checked().unwrap().text()
}

/// The node's network, its pods and the world outside.
struct World {
    node: Netns,
    outside: Netns,
    pods: Vec<(&'static str, String, Netns)>,
}

impl World {
    fn new() -> Self {
        rustlet::sys::sysctl::ensure("net/ipv4/ip_forward", "1").unwrap();
        // The way to a cluster IP leads back to `outside`. A redirect would use up the answers the kernel grants it.
        for scope in ["all", "default"] {
            rustlet::sys::sysctl::ensure(&format!("net/ipv4/conf/{scope}/send_redirects"), "0").unwrap();
        }
        let outside = link(
            "outside",
            "eth0",
            "192.168.0.2/24",
            "192.168.0.9/24",
            "192.168.0.2",
        );
        command("ip route add default via 192.168.0.9");
        let pods = ["a", "b", "c"].into_iter().zip(11..).map(|(name, number)| {
            let ip = format!("10.244.1.{number}");
            let pod = link(
                name,
                &format!("veth{name}"),
                "10.244.1.1/32",
                &format!("{ip}/32"),
                "10.244.1.1",
            );
            command(&format!("ip route add {ip}/32 dev veth{name}"));
            serve(&pod, name);
            (name, ip, pod)
        });
        Self {
            pods: pods.collect(),
            node: Netns::current().unwrap(),
            outside,
        }
    }

    fn pod(&self, name: &str) -> &Netns {
        &self.pods.iter().find(|pod| pod.0 == name).unwrap().2
    }

    /// An EndpointSlice with these pods.
    fn slice(&self, service: &str, pods: &[&str]) -> Value {
        let ips = self
            .pods
            .iter()
            .filter(|pod| pods.contains(&pod.0))
            .map(|pod| &pod.1);
        let endpoints: Vec<Value> = ips
            .map(|ip| json!({"addresses": [ip], "nodeName": "worker-1"}))
            .collect();
        json!({"metadata": {"namespace": "ns", "name": format!("{service}-1"),
                "labels": {"kubernetes.io/service-name": service}},
            "addressType": "IPv4", "endpoints": endpoints,
            "ports": [{"name": "t", "port": 8080, "protocol": "TCP"}, {"name": "u", "port": 8081, "protocol": "UDP"}]})
    }
}

/// A namespace with one link to the node.
fn link(name: &str, ours: &str, our_address: &str, address: &str, gateway: &str) -> Netns {
    let namespace = PodNetns::new(name);
    command(&format!(
        "ip link add {ours} type veth peer name eth0 netns {name}"
    ));
    command(&format!("ip addr add {our_address} dev {ours}"));
    command(&format!("ip link set {ours} up"));
    let inside = namespace.open();
    netns::run_in(&inside, || {
        command("ip link set lo up");
        command(&format!("ip addr add {address} dev eth0"));
        command("ip link set eth0 up");
        command(&format!("ip route add {gateway}/32 dev eth0"));
        command(&format!("ip route add default via {gateway}"));
    })
    .unwrap();
    inside
}

/// Answers `name source-address` on TCP 8080 and UDP 8081, until the process ends.
fn serve(pod: &Netns, name: &'static str) {
    let bind = || {
        (
            TcpListener::bind("0.0.0.0:8080").unwrap(),
            UdpSocket::bind("0.0.0.0:8081").unwrap(),
        )
    };
    let (tcp, udp) = netns::run_in(pod, bind).unwrap();
    std::thread::spawn(move || {
        while let Ok((mut stream, peer)) = tcp.accept() {
            // A client that went away is its own problem.
            let _ = write!(stream, "{name} {}", peer.ip());
        }
    });
    std::thread::spawn(move || {
        let mut packet = [0; 16];
        while let Ok((_, peer)) = udp.recv_from(&mut packet) {
            let _ = udp.send_to(format!("{name} {}", peer.ip()).as_bytes(), peer);
        }
    });
}

/// What the server behind `to` answers over TCP.
fn tcp(from: &Netns, to: &str) -> Result<String, io::ErrorKind> {
    let to: SocketAddr = to.parse().unwrap();
    let ask = || {
        let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    };
    netns::run_in(from, ask)
        .unwrap()
        .map_err(|error: io::Error| error.kind())
}

/// A UDP client that keeps its port.
fn udp_client(from: &Netns, to: &str) -> UdpSocket {
    let socket = netns::run_in(from, || UdpSocket::bind("0.0.0.0:0").unwrap()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(to).unwrap();
    socket
}

fn udp(client: &UdpSocket) -> Result<String, io::ErrorKind> {
    let mut answer = [0; 64];
    let asked = client.send(b"?").and_then(|_| client.recv(&mut answer));
    asked
        .map(|n| String::from_utf8_lossy(&answer[..n]).into_owned())
        .map_err(|error| error.kind())
}

/// A proxy on a thread of its own, in the namespaces of the thread that starts it.
struct Running {
    services: mpsc::Sender<Change<rustlet::model::service::Service>>,
    slices: mpsc::Sender<Change<rustlet::model::service::EndpointSlice>>,
    status: watch::Receiver<Status>,
    stop: oneshot::Sender<()>,
    thread: std::thread::JoinHandle<()>,
    _facts: watch::Sender<NodeFacts>,
}

impl Running {
    /// Starts it with both lists and waits for the first sync.
    fn start(services: &[Value], slices: &[Value]) -> Self {
        let (service_sender, service_changes) = mpsc::channel(16);
        let (slice_sender, slice_changes) = mpsc::channel(16);
        let facts = NodeFacts {
            pod_cidrs: vec!["10.244.1.0/24".parse().unwrap()],
            node_ips: vec![NODE_IP.parse().unwrap()],
        };
        let (facts_sender, facts) = watch::channel(facts);
        let (stop, stopped) = oneshot::channel::<()>();
        let (status_sender, status) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let settings = Settings {
                    min_sync: Duration::from_millis(10),
                    audit: Duration::from_millis(100),
                    ..Settings::new("worker-1")
                };
                let proxy = Proxy::new(&settings, service_changes, slice_changes, facts);
                status_sender.send(proxy.status()).unwrap();
                proxy.run(async { drop(stopped.await) }).await;
            });
        });
        let status = status.recv().unwrap();
        let running = Self {
            services: service_sender,
            slices: slice_sender,
            status,
            stop,
            thread,
            _facts: facts_sender,
        };
        running.synced(|running| {
            let services = services.iter().map(parse).collect();
            running
                .services
                .blocking_send(Change::Replaced(services))
                .unwrap();
            let slices = slices.iter().map(parse).collect();
            running.slices.blocking_send(Change::Replaced(slices)).unwrap();
        });
        running
    }

    /// Does something and waits until a sync that came after it succeeded.
    fn synced(&self, change: impl FnOnce(&Self)) {
        let before = self.status.borrow().syncs;
        change(self);
        self.wait(|status| status.syncs > before);
    }

    fn wait(&self, until: impl FnMut(&Status) -> bool) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let mut status = self.status.clone();
        let waited = runtime.block_on(async {
            tokio::time::timeout(PATIENCE, status.wait_for(until))
                .await
                .is_ok()
        });
        assert!(waited, "no sync: {:?}", self.status.borrow());
    }

    fn slice(&self, slice: &Value) {
        self.synced(|running| {
            running
                .slices
                .blocking_send(Change::Applied(parse(slice)))
                .unwrap()
        });
    }

    /// Ends it, and cleans up if `clean`.
    fn stop(self, clean: bool) {
        self.stop.send(()).unwrap();
        self.thread.join().unwrap();
        if clean {
            block_on(async {
                Proxy::clean().await.unwrap();
                Proxy::clean().await.unwrap();
            });
        }
    }
}

/// Runs IO of the library in this thread's namespaces.
fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

fn parse<T: serde::de::DeserializeOwned>(object: &Value) -> Arc<T> {
    Arc::new(serde_json::from_value(object.clone()).unwrap())
}

/// Service `web`: TCP 80 and UDP 53 on 10.96.0.10, node ports 30080 and 30053; `extra` goes into the spec.
fn web(extra: Value) -> Value {
    let mut spec = json!({"type": "NodePort", "clusterIP": "10.96.0.10", "ports": [
        {"name": "t", "port": 80, "protocol": "TCP", "nodePort": 30080},
        {"name": "u", "port": 53, "protocol": "UDP", "nodePort": 30053}]});
    spec.as_object_mut()
        .unwrap()
        .extend(extra.as_object().cloned().unwrap_or_default());
    json!({"metadata": {"namespace": "ns", "name": "web"}, "spec": spec})
}

#[test]
fn cluster_ip_and_node_port_reach_every_endpoint() {
    private(|| {
        let world = World::new();
        let proxy = Running::start(&[web(json!({}))], &[world.slice("web", &["a", "b"])]);
        let (c, node, outside) = (world.pod("c"), &world.node, &world.outside);
        for (from, to, source) in [
            (c, "10.96.0.10:80", "10.244.1.13"),     // a pod is seen as itself
            (node, "10.96.0.10:80", MASQUERADED),    // the node, and
            (outside, "10.96.0.10:80", MASQUERADED), // off-cluster clients come back through the node
            (outside, "192.168.0.2:30080", MASQUERADED),
            (node, "192.168.0.2:30080", MASQUERADED),
            (c, "192.168.0.2:30080", MASQUERADED),
        ] {
            let mut seen = BTreeSet::new();
            // 2^-40 that fair choices miss one of two.
            for _ in 0..40 {
                seen.insert(tcp(from, to).unwrap_or_else(|error| panic!("{to} from {source}: {error}")));
            }
            assert_eq!(
                seen,
                BTreeSet::from(["a", "b"].map(|name| format!("{name} {source}"))),
                "{to}"
            );
        }
        for (from, to, source) in [
            (c, "10.96.0.10:53", "10.244.1.13"),
            (node, "10.96.0.10:53", MASQUERADED),
            (outside, "192.168.0.2:30053", MASQUERADED),
        ] {
            let seen: BTreeSet<String> = (0..40).map(|_| udp(&udp_client(from, to)).unwrap()).collect();
            assert_eq!(
                seen,
                BTreeSet::from(["a", "b"].map(|name| format!("{name} {source}"))),
                "udp {to}"
            );
        }
        // Everything else passes as before.
        assert_eq!(tcp(c, "10.244.1.11:8080").unwrap(), "a 10.244.1.13");
        proxy.stop(true);
    });
}

#[test]
fn a_client_with_affinity_stays() {
    private(|| {
        let world = World::new();
        let affinity = json!({"sessionAffinity": "ClientIP",
            "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 600}}});
        let proxy = Running::start(&[web(affinity)], &[world.slice("web", &["a", "b", "c"])]);
        for (from, to) in [
            (world.pod("c"), "10.96.0.10:80"),
            (&world.outside, "192.168.0.2:30080"),
        ] {
            let seen: BTreeSet<String> = (0..40).map(|_| tcp(from, to).unwrap()).collect();
            assert_eq!(seen.len(), 1, "{to}: {seen:?}");
        }
        proxy.stop(true);
    });
}

#[test]
fn without_endpoints_connections_are_refused_at_once() {
    private(|| {
        let world = World::new();
        let proxy = Running::start(&[web(json!({}))], &[]);
        let refused = Err(io::ErrorKind::ConnectionRefused);
        let (c, node, outside) = (world.pod("c"), &world.node, &world.outside);
        for (who, from, to) in [
            ("a pod", c, "10.96.0.10:80"),
            ("the node", node, "10.96.0.10:80"),
            ("outside", outside, "10.96.0.10:80"),
            ("outside", outside, "192.168.0.2:30080"),
        ] {
            assert_eq!(tcp(from, to), refused, "{who} to {to}");
        }
        assert_eq!(udp(&udp_client(c, "10.96.0.10:53")), refused);
        // And with the first endpoint they are not.
        proxy.slice(&world.slice("web", &["a"]));
        assert_eq!(tcp(c, "10.96.0.10:80").unwrap(), "a 10.244.1.13");
        assert_eq!(udp(&udp_client(c, "10.96.0.10:53")).unwrap(), "a 10.244.1.13");
        proxy.stop(true);
    });
}

#[test]
fn a_pod_reaches_itself_through_its_service() {
    private(|| {
        let world = World::new();
        let proxy = Running::start(&[web(json!({}))], &[world.slice("web", &["a"])]);
        assert_eq!(
            tcp(world.pod("a"), "10.96.0.10:80").unwrap(),
            format!("a {MASQUERADED}")
        );
        assert_eq!(
            udp(&udp_client(world.pod("a"), "10.96.0.10:53")).unwrap(),
            format!("a {MASQUERADED}")
        );
        proxy.stop(true);
    });
}

#[test]
fn external_policy_local_keeps_the_client() {
    private(|| {
        let world = World::new();
        let local = json!({"externalTrafficPolicy": "Local"});
        let proxy = Running::start(&[web(local)], &[world.slice("web", &["a"])]);
        assert_eq!(tcp(&world.outside, "192.168.0.2:30080").unwrap(), "a 192.168.0.9");
        proxy.stop(true);
    });
}

#[test]
fn a_udp_client_moves_on_when_its_endpoint_goes() {
    private(|| {
        let world = World::new();
        let proxy = Running::start(&[web(json!({}))], &[world.slice("web", &["a"])]);
        // The same sockets all the way: only the connection table ties them to an endpoint.
        let pod = udp_client(world.pod("c"), "10.96.0.10:53");
        let outside = udp_client(&world.outside, "192.168.0.2:30053");
        assert_eq!(udp(&pod).unwrap(), "a 10.244.1.13");
        assert_eq!(udp(&outside).unwrap(), format!("a {MASQUERADED}"));
        proxy.slice(&world.slice("web", &["a", "b"]));
        assert_eq!(
            udp(&pod).unwrap(),
            "a 10.244.1.13",
            "a flow that works is left alone"
        );
        proxy.slice(&world.slice("web", &["b"]));
        assert_eq!(udp(&pod).unwrap(), "b 10.244.1.13");
        assert_eq!(udp(&outside).unwrap(), format!("b {MASQUERADED}"));
        proxy.slice(&world.slice("web", &[]));
        assert_eq!(udp(&pod), Err(io::ErrorKind::ConnectionRefused));
        proxy.stop(true);
    });
}

/// Chains and rules of this namespace, without counters, built-in chains and comments of iptables-save.
fn kernel_rules(family: IpFamily) -> BTreeSet<String> {
    let saved = block_on(Process.save(family, None)).unwrap();
    let mut rules = BTreeSet::new();
    for (table, saved) in parse_save(&saved) {
        let built_in = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"];
        let chains = saved.chains.iter().filter(|chain| !built_in.contains(&&***chain));
        rules.extend(chains.map(|chain| format!("{table} :{chain}")));
        rules.extend(
            saved
                .rules
                .values()
                .flatten()
                .map(|rule| format!("{table} {rule}")),
        );
    }
    rules
}

#[test]
fn foreign_rules_stay_and_cleaning_leaves_nothing_of_ours() {
    private(|| {
        let world = World::new();
        command("iptables -t nat -N OTHERS");
        command("iptables -t nat -A POSTROUTING -s 172.16.0.0/12 -j OTHERS");
        command("iptables -A INPUT -p tcp --dport 22 -j ACCEPT");
        command("iptables -N KUBE-FIREWALL");
        let foreign = kernel_rules(IpFamily::V4);
        assert_eq!(foreign.len(), 4, "{foreign:?}");

        let proxy = Running::start(&[web(json!({}))], &[world.slice("web", &["a", "b"])]);
        let with_ours = kernel_rules(IpFamily::V4);
        assert!(foreign.is_subset(&with_ours) && with_ours.len() > foreign.len() + 20);
        proxy.stop(false);
        assert_eq!(kernel_rules(IpFamily::V4), with_ours, "rules outlive the agent");
        assert!(tcp(world.pod("c"), "10.96.0.10:80").is_ok(), "and so do Services");

        // A new start takes over what is there, and Services that are gone meanwhile go.
        let proxy = Running::start(&[web(json!({}))], &[world.slice("web", &["a"])]);
        let fewer = kernel_rules(IpFamily::V4);
        assert!(fewer.len() < with_ours.len() && foreign.is_subset(&fewer));
        proxy.stop(true);
        assert_eq!(kernel_rules(IpFamily::V4), foreign);
    });
}

#[test]
fn flushed_tables_are_written_again() {
    private(|| {
        let world = World::new();
        let proxy = Running::start(&[web(json!({}))], &[world.slice("web", &["a"])]);
        let whole = kernel_rules(IpFamily::V4);
        for breaking in [
            "iptables -t nat -F",
            "iptables -F",
            "iptables -t mangle -X KUBE-PROXY-CANARY",
        ] {
            proxy.synced(|_| drop(command(breaking)));
            assert_eq!(kernel_rules(IpFamily::V4), whole, "after {breaking}");
        }
        assert_eq!(tcp(world.pod("c"), "10.96.0.10:80").unwrap(), "a 10.244.1.13");
        proxy.stop(true);
    });
}

/// Every golden file goes into the kernel, which prints exactly the same rules again.
#[test]
fn the_kernel_prints_goldens_as_they_are_written() {
    private(|| {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/proxy");
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        assert!(files.len() >= 10);
        for file in files {
            let family = match file.to_string_lossy().contains("-v6") {
                true => IpFamily::V6,
                false => IpFamily::V4,
            };
            let text = std::fs::read_to_string(&file).unwrap();
            block_on(Process.restore(family, &text)).unwrap();
            let ours = |line: &&str| line.starts_with("-A KUBE-");
            let mut written: Vec<&str> = text.lines().filter(ours).collect();
            let saved = block_on(Process.save(family, None)).unwrap();
            let mut printed: Vec<&str> = saved.lines().map(str::trim_end).filter(ours).collect();
            // Chains come in another order, rules of one chain must not.
            let chain = |line: &&str| line.split(' ').nth(1).unwrap_or_default().to_owned();
            written.sort_by_key(chain);
            printed.sort_by_key(chain);
            assert_eq!(printed, written, "{}", file.display());
            block_on(Proxy::clean()).unwrap();
        }
    });
}
