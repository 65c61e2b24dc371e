//! Ports of the node that lead into a pod, and who gets them.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use rustlet_lab::kube::{self, Seen, eventually};
use rustlet_lab::ns::Scope;
use rustlet_lab::{http, net};
use serde_json::{Value, json};

use crate::support::{Case, LIMIT, Lab, echo_container, name_in, pod};

const PORT: u16 = 18080;

/// An echo server on a port of node 0.
fn server(lab: &Lab, name: &str, protocol: &str) -> Value {
    let mut container = echo_container();
    container["ports"] = json!([{"containerPort": 8000, "hostPort": PORT, "protocol": protocol}]);
    pod(name, Some(lab.node_name(0)), json!([container]))
}

/// Who answers a client outside the cluster.
fn answer(lab: &Lab) -> Result<String> {
    let target = SocketAddr::from((net::node_address(1), PORT));
    let get = || http::get(target, "/", Duration::from_secs(3));
    Ok(name_in(&lab.outside().enter(Scope::NetOnly, get)?.body))
}

/// A host port answers from everywhere as long as its pod is there; a second pod that wants it is turned away for good,
/// one with another protocol is not.
pub(crate) fn host_port(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "host-port")?;
    case.run(server(lab, "first", "TCP"))?;
    eventually("the pod at the node's port, from outside", LIMIT, || {
        let heard = answer(lab)?;
        Ok(if heard == "first" {
            Seen::Yes(())
        } else {
            Seen::No(heard)
        })
    })?;
    for number in 0..lab.nodes().len() {
        let url = format!("http://{}:{PORT}/", net::node_address(1));
        let heard = name_in(&lab.curl(lab.tool(number)?, &url)?);
        ensure!(heard == "first", "from a pod of node {number}: {heard}");
    }

    case.create("pods", &server(lab, "second", "TCP"))?;
    let refused = case.until("second", "turned away", |pod| pod["status"]["phase"] == "Failed")?;
    let status = &refused["status"];
    let words = "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports";
    ensure!(
        status["reason"] == "NodePorts" && status["message"] == format!("Pod was rejected: {words}"),
        "{status}"
    );
    ensure!(
        status["containerStatuses"].is_null() && status["podIP"].is_null(),
        "{status}"
    );
    case.expect_events("second", &["NodePorts"])?;
    let events = case.events("second")?;
    ensure!(events.iter().any(|(_, message)| message == words), "{events:?}");
    case.run(server(lab, "datagrams", "UDP"))?;
    ensure!(answer(lab)? == "first", "it keeps its port");

    lab.kube.delete(&case.path("pods", "first"))?;
    eventually("nobody at the port", LIMIT, || {
        Ok(match answer(lab) {
            Err(_) => Seen::Yes(()),
            Ok(name) => Seen::No(name),
        })
    })?;
    // Until its last container has ended, a pod has its ports.
    eventually("the first pod gone", LIMIT, || {
        let pods = lab.kube.pods(&case.ns, "")?;
        Ok(match pods.iter().any(|pod| kube::name(pod) == "first") {
            false => Seen::Yes(()),
            true => Seen::No(kube::describe_pods(&pods)),
        })
    })?;
    let later = case.pod("second")?;
    ensure!(later["status"]["phase"] == "Failed", "{}", later["status"]);
    // Its successor, as a controller makes one, gets the port.
    case.run(server(lab, "third", "TCP"))?;
    eventually("the successor at the node's port", LIMIT, || {
        let heard = answer(lab)?;
        Ok(if heard == "third" {
            Seen::Yes(())
        } else {
            Seen::No(heard)
        })
    })
}
