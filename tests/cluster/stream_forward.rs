//! Ways to a pod's ports through the API server: port-forward, and the proxies of pods, Services and nodes.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustlet_lab::kube::{Seen, eventually};
use rustlet_lab::{http, images};
use serde_json::{Value, json};

use crate::client::{self, BOTH, Protocol, Running};
use crate::support::{Case, LIMIT, Lab, pod};

const SERVER: &str = include_str!("stream_server.py");

/// The server of `stream_server.py`.
pub(crate) fn server(name: &str) -> Value {
    let container = json!({
        "name": "main", "image": images::PYTHON, "command": ["python3", "-c", SERVER],
        "readinessProbe": {"tcpSocket": {"port": 8000}, "periodSeconds": 1},
    });
    pod(name, None, json!([container]))
}

/// A kubectl that forwards, and where to.
pub(crate) struct Forwarding {
    pub(crate) kubectl: Running,
    ports: BTreeMap<u16, SocketAddr>,
}

impl Forwarding {
    /// Forwards free ports of this machine to these of `target`.
    pub(crate) fn start(case: &Case<'_>, protocol: Protocol, target: &str, ports: &[u16]) -> Result<Self> {
        let wanted: Vec<String> = ports.iter().map(|port| format!(":{port}")).collect();
        let wanted = wanted.iter().map(String::as_str);
        let args: Vec<&str> = ["port-forward", "--address=127.0.0.1", target]
            .into_iter()
            .chain(wanted)
            .collect();
        let kubectl = Running::start(client::command(case, protocol, &args).stdin(Stdio::null()))?;
        let ports = eventually(&format!("{protocol:?}: {target} is forwarded"), LIMIT, || {
            let said = kubectl.said();
            let found: BTreeMap<_, _> = said.lines().filter_map(parse).collect();
            Ok(if found.len() == ports.len() {
                Seen::Yes(found)
            } else {
                Seen::No(said)
            })
        })?;
        Ok(Self { kubectl, ports })
    }

    fn connect(&self, port: u16) -> Result<TcpStream> {
        let address = self
            .ports
            .get(&port)
            .with_context(|| format!("{port} is not forwarded"))?;
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(LIMIT))?;
        Ok(stream)
    }

    /// GETs a path on a connection of its own, and closes it when all is there: the end of the connection is passed on
    /// a second later, by containerd's port-forward.
    pub(crate) fn get(&self, path: &str) -> Result<String> {
        let mut stream = BufReader::new(self.connect(8000)?);
        write!(stream.get_mut(), "GET {path} HTTP/1.0\r\n\r\n")?;
        let mut length = 0;
        loop {
            let mut line = String::new();
            ensure!(stream.read_line(&mut line)? > 0, "{path}: the answer ends early");
            if let Some(value) = line.strip_prefix("Content-Length: ") {
                length = value.trim().parse()?;
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        Ok(String::from_utf8(body)?)
    }
}

/// `Forwarding from 127.0.0.1:40001 -> 8000`
fn parse(line: &str) -> Option<(u16, SocketAddr)> {
    let (from, to) = line.strip_prefix("Forwarding from ")?.split_once(" -> ")?;
    Some((to.trim().parse().ok()?, from.parse().ok()?))
}

/// Many connections through one session: one after the other, and at once. The old protocol's client takes a tenth of a
/// second for each.
pub(crate) fn many(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "forward-many")?;
    case.run(server("server"))?;
    for (protocol, count, at_once) in [(Protocol::WebSocket, 1000, 100), (Protocol::Spdy, 100, 50)] {
        let forwarding = Forwarding::start(&case, protocol, "pod/server", &[8000])?;
        let ask = |number: usize| {
            let body = forwarding
                .get(&format!("/{number}"))
                .with_context(|| format!("{protocol:?}: connection {number}"))?;
            ensure!(body == format!("you asked for /{number}\n"), "{number}: {body}");
            Ok(())
        };
        (0..count).try_for_each(ask)?;
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..at_once)
                .map(|number| scope.spawn(move || ask(number)))
                .collect();
            all.into_iter()
                .try_for_each(|thread| thread.join().expect("asking does not panic"))
        })?;
    }
    Ok(())
}

/// Whoever closes first, the other one hears it, and what was said before arrives.
pub(crate) fn ends(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "forward-ends")?;
    case.run(server("server"))?;
    for protocol in BOTH {
        let forwarding = Forwarding::start(&case, protocol, "pod/server", &[8000, 8001, 8002, 8003])?;
        let ended = || -> Result<u32> { Ok(forwarding.get("/ended")?.trim().parse()?) };
        for _ in 0..3 {
            let mut said = String::new();
            forwarding.connect(8001)?.read_to_string(&mut said)?;
            ensure!(said == "bye\n", "{protocol:?}: {said:?}");
        }
        // Half a connection: the answer comes although the client has nothing more to say.
        let mut stream = forwarding.connect(8002)?;
        stream.write_all(b"a line of some bytes\n")?;
        stream.shutdown(Shutdown::Write)?;
        let mut said = String::new();
        stream.read_to_string(&mut said)?;
        ensure!(said == "21 bytes\n", "{protocol:?}: {said:?}");

        let before = ended()?;
        for _ in 0..3 {
            let mut stream = forwarding.connect(8003)?;
            stream.write_all(b"hello")?;
        }
        eventually(
            &format!("{protocol:?}: the server sees clients go"),
            LIMIT,
            || {
                let now = ended()?;
                Ok(if now == before + 3 {
                    Seen::Yes(())
                } else {
                    Seen::No(format!("{before}, then {now}"))
                })
            },
        )?;
    }
    Ok(())
}

/// A port nobody listens on, with upstream's words; a Service as the target; a pod that goes away.
pub(crate) fn targets(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "forward-targets")?;
    case.run(server("server"))?;
    let ports = json!([{"port": 80, "targetPort": 8000}]);
    case.create(
        "services",
        &json!({"metadata": {"name": "server"}, "spec": {"selector": {"name": "server"}, "ports": ports}}),
    )?;
    case.endpoints("server", 1)?;
    for protocol in BOTH {
        let forwarding = Forwarding::start(&case, protocol, "pod/server", &[9999])?;
        let mut nothing = String::new();
        // The local end accepts before the far end is tried, so this is an end or a reset, not a refusal.
        let _ = forwarding.connect(9999)?.read_to_string(&mut nothing);
        ensure!(nothing.is_empty(), "{protocol:?}: {nothing}");
        for words in [
            "an error occurred forwarding",
            "error forwarding port 9999 to pod",
            "connection refused",
        ] {
            forwarding
                .kubectl
                .until(words)
                .with_context(|| format!("{protocol:?}"))?;
        }
        // kubectl turns the Service's port into the pod's.
        let forwarding = Forwarding::start(&case, protocol, "service/server", &[80]);
        let forwarding =
            forwarding.or_else(|_| Forwarding::start(&case, protocol, "service/server", &[8000]))?;
        ensure!(
            forwarding.get("/by-service")? == "you asked for /by-service\n",
            "{protocol:?}"
        );
    }
    let mut forwarding = Forwarding::start(&case, Protocol::WebSocket, "pod/server", &[8000])?;
    forwarding.get("/last")?;
    lab.kube.delete(&case.path("pods", "server"))?;
    eventually("the pod gone", LIMIT, || {
        Ok(match lab.kube.find(&case.path("pods", "server"))? {
            None => Seen::Yes(()),
            Some(_) => Seen::No("still there".into()),
        })
    })?;
    // The session ends with the first connection that cannot be made; upstream's does not end before either.
    let _ = forwarding.get("/too-late");
    let end = forwarding.kubectl.end(Duration::from_secs(60))?;
    ensure!(end.stderr.contains("lost connection to pod"), "{end:?}");
    Ok(())
}

/// The API server's own proxies: to a pod, to a Service, to a node's API.
pub(crate) fn proxies(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "forward-proxies")?;
    let server = case.run(server("server"))?;
    let ports = json!([{"name": "web", "port": 80, "targetPort": 8000}]);
    case.create(
        "services",
        &json!({"metadata": {"name": "server"}, "spec": {"selector": {"name": "server"}, "ports": ports}}),
    )?;
    case.endpoints("server", 1)?;
    let ns = &case.ns;
    let raw = |path: &str| lab.cluster().kubectl(&["get", "--raw", path]);
    for target in [
        "pods/server:8000",
        "pods/http:server:8000",
        "services/server:80",
        "services/server:web",
    ] {
        let said = raw(&format!("/api/v1/namespaces/{ns}/{target}/proxy/a/b?c=d"))?;
        ensure!(said == "you asked for /a/b?c=d\n", "{target}: {said}");
    }
    let node = case.node_name(&server);
    let healthy = raw(&format!("/api/v1/nodes/{node}/proxy/healthz"))?;
    ensure!(healthy == "ok", "{healthy}");
    // The port may be named too.
    let healthy = raw(&format!("/api/v1/nodes/{node}:10250/proxy/healthz"))?;
    ensure!(healthy == "ok", "{healthy}");

    let logs = raw(&format!(
        "/api/v1/nodes/{node}/proxy/containerLogs/{ns}/server/main"
    ))?;
    ensure!(logs == "serving\n", "{logs:?}");

    // A proxy of the client's own, as dashboards use it.
    let mut proxy = Running::start(
        client::command(&case, Protocol::WebSocket, &["proxy", "--port=0"]).stdin(Stdio::null()),
    )?;
    let said = proxy.until("Starting to serve on ")?;
    let port = said.trim().rsplit(':').next().and_then(|port| port.parse().ok());
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.context(said)?));
    let path = format!("/api/v1/namespaces/{ns}/services/server:web/proxy/through");
    let reply = http::get(address, &path, LIMIT)?;
    ensure!(
        reply.status == 200 && reply.body.contains("you asked for /through"),
        "{reply:?}"
    );
    proxy.kill();
    Ok(())
}
