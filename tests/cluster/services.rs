//! Services: names, virtual addresses, balancing, refusal.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Result, ensure};
use rustlet_lab::kube::{Seen, eventually};
use rustlet_lab::ns::{Machine, Scope};
use rustlet_lab::{http, images, net};
use serde_json::{Value, json};

use crate::support::{Case, LIMIT, Lab, echo_container, name_in, pod};

/// Names resolve over UDP and over TCP through the Service kube-dns, from every node.
pub(crate) fn dns(lab: &Lab) -> Result<()> {
    for number in 0..lab.nodes().len() {
        for transport in ["+notcp", "+tcp"] {
            let query = [
                "dig",
                "+short",
                "+time=2",
                "+tries=3",
                transport,
                "kubernetes.default.svc.cluster.local",
            ];
            let answer = lab.exec(lab.tool(number)?, &query)?;
            ensure!(
                answer.trim() == "10.96.0.1",
                "{transport} from node {number}: {answer:?}"
            );
        }
    }
    Ok(())
}

/// A UDP Service reaches all of its pods.
pub(crate) fn udp(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "udp")?;
    case.create("deployments", &deployment(2))?;
    case.ready("app=web", 2)?;
    let ports = json!([{"name": "echo", "port": 700, "targetPort": 8000, "protocol": "UDP"}]);
    case.create(
        "services",
        &json!({"metadata": {"name": "udp"}, "spec": {"selector": {"app": "web"}, "ports": ports}}),
    )?;
    let mut heard = BTreeSet::new();
    eventually("both pods over UDP", LIMIT, || {
        let script = "import socket,sys\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.settimeout(2)\n\
                      s.sendto(b'hello', (sys.argv[1], 700))\nprint(s.recv(2000).decode())";
        let answer = lab.exec(
            lab.tool(0)?,
            &["python3", "-c", script, &format!("udp.{}", case.ns)],
        )?;
        heard.insert(name_in(&answer));
        Ok(if heard.len() == 2 {
            Seen::Yes(())
        } else {
            Seen::No(format!("{heard:?}"))
        })
    })
}

/// A NodePort answers from outside the cluster on every node, and reaches pods of every node.
pub(crate) fn node_port(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "node-port")?;
    for (number, name) in ["one", "two"].into_iter().enumerate() {
        let mut server = pod(name, Some(lab.node_name(number)), json!([echo_container()]));
        server["metadata"]["labels"] = json!({"app": "web"});
        case.create("pods", &server)?;
    }
    case.ready("app=web", 2)?;
    let service = case.create("services", &service("web", json!({"type": "NodePort"})))?;
    let port = u16::try_from(service["spec"]["ports"][0]["nodePort"].as_u64().unwrap_or(0))?;
    for number in 0..lab.nodes().len() {
        let target = SocketAddr::from((net::node_address(number + 1), port));
        let mut heard = BTreeSet::new();
        eventually(&format!("both pods through {target}"), LIMIT, || {
            let get = || http::get(target, "/", Duration::from_secs(3));
            heard.insert(name_in(&lab.outside().enter(Scope::NetOnly, get)?.body));
            Ok(if heard.len() == 2 {
                Seen::Yes(())
            } else {
                Seen::No(format!("{heard:?}"))
            })
        })?;
    }
    Ok(())
}

/// With ClientIP affinity a client stays with the pod it got first.
pub(crate) fn client_ip_affinity(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "affinity")?;
    case.create("deployments", &deployment(3))?;
    case.ready("app=web", 3)?;
    case.create(
        "services",
        &service("sticky", json!({"sessionAffinity": "ClientIP"})),
    )?;
    case.create("services", &service("free", json!({})))?;
    for name in ["sticky", "free"] {
        case.endpoints(name, 3)?;
    }
    let url = |name: &str| format!("http://{name}.{}", case.ns);
    let tool = lab.tool(0)?;
    let mut heard = BTreeSet::new();
    eventually("all three pods without affinity", LIMIT, || {
        heard.insert(name_in(&lab.curl(tool, &url("free"))?));
        Ok(if heard.len() == 3 {
            Seen::Yes(())
        } else {
            Seen::No(format!("{heard:?}"))
        })
    })?;
    let first = eventually("an answer", LIMIT, || {
        Ok(Seen::Yes(name_in(&lab.curl(tool, &url("sticky"))?)))
    })?;
    let script = format!(
        "for i in $(seq 20); do curl -sS -m 5 {} | head -n 1; done",
        url("sticky")
    );
    let others: BTreeSet<String> = lab
        .exec(tool, &["sh", "-c", &script])?
        .lines()
        .map(name_in)
        .collect();
    ensure!(
        others == BTreeSet::from([first.clone()]),
        "{first} first, then {others:?}"
    );
    Ok(())
}

/// A Service without endpoints refuses at once, instead of letting clients wait.
pub(crate) fn no_endpoints_refuse(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "refuse")?;
    let service = case.create("services", &service("empty", json!({"type": "NodePort"})))?;
    let address = case.cluster_ip("empty")?;
    let port = u16::try_from(service["spec"]["ports"][0]["nodePort"].as_u64().unwrap_or(0))?;
    refused_from_pods(lab, &address.to_string())?;
    for (number, node) in lab.nodes().iter().enumerate() {
        refused(
            &format!("{} itself", node.name()),
            node.machine(),
            SocketAddr::from((address, 80)),
        )?;
        let target = SocketAddr::from((net::node_address(number + 1), port));
        refused("the outside", lab.outside(), target)?;
    }
    Ok(())
}

/// A Service that names a port its pods do not have has no endpoints; its neighbours are not harmed.
pub(crate) fn unknown_target_port(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "bad-port")?;
    case.create("deployments", &deployment(1))?;
    case.ready("app=web", 1)?;
    let ports = json!([{"port": 80, "targetPort": "no-such-port"}]);
    case.create(
        "services",
        &json!({"metadata": {"name": "bad"}, "spec": {"selector": {"app": "web"}, "ports": ports}}),
    )?;
    case.create("services", &service("good", json!({})))?;
    refused_from_pods(lab, &case.cluster_ip("bad")?.to_string())?;
    eventually("the neighbour's answer", LIMIT, || {
        Ok(Seen::Yes(
            lab.curl(lab.tool(0)?, &format!("http://good.{}", case.ns))?,
        ))
    })?;
    Ok(())
}

/// A pod reaches itself through its own Service.
pub(crate) fn hairpin(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "hairpin")?;
    let server = json!({
        "name": "web", "image": images::PYTHON, "command": ["python3", "-m", "http.server", "8000"],
        "workingDir": "/etc", "ports": [{"containerPort": 8000}],
        "readinessProbe": {"tcpSocket": {"port": 8000}, "periodSeconds": 1},
    });
    let mut alone = pod("alone", None, json!([server]));
    alone["metadata"]["labels"] = json!({"app": "web"});
    let alone = case.run(alone)?;
    case.create("services", &service("self", json!({})))?;
    case.endpoints("self", 1)?;
    let url = format!("http://self.{}/hostname", case.ns);
    for _ in 0..5 {
        eventually("an answer from itself", LIMIT, || {
            let page = lab.curl(&alone, &url)?;
            Ok(if page.trim() == "alone" {
                Seen::Yes(())
            } else {
                Seen::No(page)
            })
        })?;
    }
    Ok(())
}

fn refused_from_pods(lab: &Lab, host: &str) -> Result<()> {
    for number in 0..lab.nodes().len() {
        eventually(&format!("{host}:80 refuses a pod"), LIMIT, || {
            let outcome = lab.connect(lab.tool(number)?, host, 80)?;
            Ok(if outcome == "refused" {
                Seen::Yes(())
            } else {
                Seen::No(outcome)
            })
        })?;
    }
    Ok(())
}

fn refused(who: &str, machine: &Machine, target: SocketAddr) -> Result<()> {
    eventually(&format!("{target} refuses {who}"), LIMIT, || {
        let outcome = machine.enter(Scope::NetOnly, || {
            Ok(TcpStream::connect_timeout(&target, Duration::from_secs(3)))
        })?;
        Ok(match outcome {
            Ok(_) => Seen::No("connected".to_owned()),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => Seen::Yes(()),
            Err(error) => Seen::No(error.to_string()),
        })
    })
}

/// Echo servers labelled `app: web`.
fn deployment(replicas: u32) -> Value {
    let containers = json!([echo_container()]);
    json!({
        "metadata": {"name": "web"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"terminationGracePeriodSeconds": 1, "containers": containers},
            },
        },
    })
}

/// A Service 80 → 8000 for `app: web`, with some more fields.
fn service(name: &str, more: Value) -> Value {
    let mut spec = json!({"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8000}]});
    if let (Some(spec), Value::Object(more)) = (spec.as_object_mut(), more) {
        spec.extend(more);
    }
    json!({"metadata": {"name": name}, "spec": spec})
}
