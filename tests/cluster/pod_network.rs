//! The pod network: who reaches whom, and under which address.

use std::net::{IpAddr, Ipv4Addr, TcpListener};

use anyhow::{Result, ensure};
use rustlet_lab::kube::{Seen, eventually};
use rustlet_lab::net;
use rustlet_lab::ns::{Machine, Scope};
use serde_json::{Value, json};

use crate::support::{Case, LIMIT, Lab, address, echo_container, pod};

/// Two pods of one node see each other under their own addresses.
pub(crate) fn same_node(lab: &Lab) -> Result<()> {
    sees_the_pods_address(lab, "same-node", 0, 0)
}

/// Two pods of different nodes see each other under their own addresses: no NAT between them.
pub(crate) fn cross_node(lab: &Lab) -> Result<()> {
    sees_the_pods_address(lab, "cross-node", 0, 1)?;
    sees_the_pods_address(lab, "cross-node-back", 1, 0)
}

fn sees_the_pods_address(lab: &Lab, name: &str, from: usize, to: usize) -> Result<()> {
    let case = Case::new(lab, name)?;
    let server = case.run(pod("server", Some(lab.node_name(to)), json!([echo_container()])))?;
    let client = lab.tool(from)?;
    let page = lab.curl(client, &format!("http://{}:8000/", address(&server)))?;
    ensure!(page.contains("pod: server\n"), "{page}");
    ensure!(
        page.contains(&format!("from: {}\n", address(client))),
        "the client is {}, but: {page}",
        address(client)
    );
    Ok(())
}

/// A pod reaches its own node and the other one.
pub(crate) fn pod_to_node(lab: &Lab) -> Result<()> {
    for (number, node) in lab.nodes().iter().enumerate() {
        let port = Port::open(node.machine(), net::node_address(number + 1))?;
        for tool in 0..lab.nodes().len() {
            port.called_by(lab, lab.tool(tool)?)?;
        }
    }
    Ok(())
}

/// A pod reaches the API server by its Service, with the credentials and the CA it was given.
pub(crate) fn pod_to_api_server(lab: &Lab) -> Result<()> {
    let tool = lab.tool(1)?;
    let script = r#"d=/var/run/secrets/kubernetes.io/serviceaccount
        curl -sS -m 10 --cacert $d/ca.crt -H "Authorization: Bearer $(cat $d/token)" "$1""#;
    let ask = |url: &str| lab.exec(tool, &["sh", "-c", script, "sh", url]);
    let version: Value = serde_json::from_str(&ask("https://10.96.0.1/version")?)?;
    ensure!(
        version["gitVersion"]
            .as_str()
            .is_some_and(|text| text.starts_with("v1.")),
        "{version}"
    );
    let refused: Value = serde_json::from_str(&ask(&format!(
        "https://kubernetes.default.svc/api/v1/namespaces/{}/pods",
        lab.tools_ns()
    ))?)?;
    let message = refused["message"].as_str().unwrap_or_default();
    let identity = format!("system:serviceaccount:{}:default", lab.tools_ns());
    ensure!(
        refused["code"] == 403 && message.contains(&identity),
        "not refused as {identity}: {refused}"
    );
    Ok(())
}

/// Outside the pod network a pod is seen under its node's address.
pub(crate) fn outside_sees_the_node(lab: &Lab) -> Result<()> {
    for number in 0..lab.nodes().len() {
        let port = Port::open(lab.outside(), net::OUTSIDE)?;
        let seen = port.called_by(lab, lab.tool(number)?)?;
        let node = IpAddr::from(net::node_address(number + 1));
        ensure!(seen == node, "a pod on {node} came as {seen}");
    }
    Ok(())
}

/// Containers of one pod share localhost.
pub(crate) fn localhost_is_shared(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "localhost")?;
    let client = json!({
        "name": "client", "image": rustlet_lab::images::BUSYBOX,
        "command": ["sh", "-c", "until wget -q -O - http://127.0.0.1:8000/; do sleep 0.2; done; sleep 1000"],
    });
    let pod = case.run(pod("two", None, json!([echo_container(), client])))?;
    eventually("the echo server's answer over localhost", LIMIT, || {
        let log = case.logs(&pod, "client")?;
        Ok(if log.contains("from: 127.0.0.1\n") {
            Seen::Yes(())
        } else {
            Seen::No(log)
        })
    })
}

/// A listening port on a machine of the lab.
struct Port {
    listener: TcpListener,
    host: Ipv4Addr,
}

impl Port {
    fn open(machine: &Machine, host: Ipv4Addr) -> Result<Port> {
        // The socket stays in the machine's network whichever thread uses it.
        let listener = machine.enter(Scope::NetOnly, || Ok(TcpListener::bind((host, 0))?))?;
        listener.set_nonblocking(true)?;
        Ok(Port { listener, host })
    }

    /// Lets a pod connect and returns the address the connection came from.
    fn called_by(&self, lab: &Lab, tool: &Value) -> Result<IpAddr> {
        let port = self.listener.local_addr()?.port();
        let outcome = lab.connect(tool, &self.host.to_string(), port)?;
        ensure!(
            outcome == "connected",
            "{} to {}:{port}: {outcome}",
            address(tool),
            self.host
        );
        eventually("the connection at the other end", LIMIT, || {
            match self.listener.accept() {
                Ok((_, peer)) => Ok(Seen::Yes(peer.ip())),
                Err(error) => Ok(Seen::No(error.to_string())),
            }
        })
    }
}
