//! Joining a cluster: what the Node says, and what the agent says when it cannot join.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use rustlet_lab::certs::{Authority, Pair, Subject};
use rustlet_lab::images::{PAUSE, PYTHON};
use rustlet_lab::kube::{Seen, condition, eventually, throughout};
use rustlet_lab::node::{KUBECONFIG, Node};
use serde_json::{Value, json};

use crate::agent::back;
use crate::support::{LIMIT, Lab};

/// The Node names the images it has, the largest first.
fn images_told(lab: &Lab, node: &Node) -> Result<()> {
    let path = format!("/api/v1/nodes/{}", node.name());
    eventually(&format!("images of {}", node.name()), LIMIT, || {
        let status = lab.kube.get(&path)?["status"].take();
        let images = status["images"].as_array().cloned().unwrap_or_default();
        let sizes: Vec<u64> = images.iter().filter_map(|i| i["sizeBytes"].as_u64()).collect();
        let named = |name: &str| images.iter().any(|i| has(&i["names"], &json!(name)));
        let well = sizes.len() == images.len() && sizes.is_sorted_by(|a, b| a >= b) && named(PAUSE);
        Ok(if well && named(PYTHON) {
            Seen::Yes(())
        } else {
            Seen::No(format!("{images:?}"))
        })
    })
}

/// The Node tells the truth about its machine, in kubelet's fields.
pub(crate) fn node_object(lab: &Lab) -> Result<()> {
    for node in lab.nodes() {
        let object = lab.kube.get(&format!("/api/v1/nodes/{}", node.name()))?;
        let status = &object["status"];
        let addresses = [
            ("InternalIP", node.address().to_string()),
            ("Hostname", node.name().to_owned()),
        ];
        for (kind, address) in addresses {
            let wanted = json!({"type": kind, "address": address});
            ensure!(
                has(&status["addresses"], &wanted),
                "no {wanted} in {}",
                status["addresses"]
            );
        }
        let arch = rustlet_lab::images::architecture();
        let labels = [
            ("kubernetes.io/hostname", node.name()),
            ("kubernetes.io/os", "linux"),
            ("kubernetes.io/arch", arch),
        ];
        for (label, value) in labels {
            ensure!(
                object["metadata"]["labels"][label] == value,
                "{label}: {}",
                object["metadata"]["labels"]
            );
        }
        let cpus: usize = std::thread::available_parallelism()?.into();
        ensure!(
            status["capacity"]["cpu"].as_str() == Some(&cpus.to_string()),
            "{}",
            status["capacity"]
        );
        let memory = node.exec(&[
            "sed",
            "-n",
            "s/^MemTotal: *\\([0-9]*\\) kB/\\1Ki/p",
            "/proc/meminfo",
        ])?;
        ensure!(
            status["capacity"]["memory"] == memory.trim(),
            "{} is not {memory}",
            status["capacity"]
        );
        for resource in ["cpu", "memory", "pods", "ephemeral-storage"] {
            ensure!(
                status["allocatable"][resource].is_string(),
                "no allocatable {resource}: {}",
                status["allocatable"]
            );
        }
        let attach = "volumes.kubernetes.io/controller-managed-attach-detach";
        ensure!(
            object["metadata"]["annotations"][attach] == "true",
            "{}",
            object["metadata"]
        );
        let handlers = status["runtimeHandlers"].as_array().context("runtimeHandlers")?;
        let names: Vec<&str> = handlers.iter().filter_map(|h| h["name"].as_str()).collect();
        ensure!(
            names.is_sorted() && names.contains(&"runc") && handlers[0]["features"].is_object(),
            "{handlers:?}"
        );
        ensure!(
            status["features"]["supplementalGroupsPolicy"] == true,
            "{}",
            status["features"]
        );
        images_told(lab, node)?;
        let info = &status["nodeInfo"];
        let begins = |key: &str, with: &str| info[key].as_str().is_some_and(|text| text.starts_with(with));
        ensure!(begins("containerRuntimeVersion", "containerd://2."), "{info}");
        ensure!(
            begins("kubeletVersion", "v1.") && info["operatingSystem"] == "linux",
            "{info}"
        );
        let kernel = node.exec(&["uname", "-r"])?;
        ensure!(
            info["kernelVersion"] == kernel.trim() && info["architecture"] == arch,
            "{info}"
        );
        ensure!(
            status["daemonEndpoints"]["kubeletEndpoint"]["Port"] == 10250,
            "{}",
            status["daemonEndpoints"]
        );
        for (kind, wanted) in [
            ("Ready", "True"),
            ("MemoryPressure", "False"),
            ("DiskPressure", "False"),
        ] {
            ensure!(
                condition(&object, kind) == wanted,
                "{kind}: {}",
                status["conditions"]
            );
        }
        let lease = lab.kube.get(&format!(
            "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{}",
            node.name()
        ))?;
        ensure!(
            lease["spec"]["holderIdentity"] == node.name(),
            "{}",
            lease["spec"]
        );
        let owner = &lease["metadata"]["ownerReferences"][0];
        ensure!(
            owner["kind"] == "Node" && owner["uid"] == object["metadata"]["uid"],
            "{owner}"
        );
    }
    Ok(())
}

/// Credentials that cannot work: the agent names file, field and what is wrong; with good ones it joins again.
pub(crate) fn refused_credentials(lab: &Lab) -> Result<()> {
    let pki = lab.cluster().control().pki();
    let server = lab.cluster().control().server();
    let (ours, other) = (pki.authority.certificate(), Authority::new("somebody else")?);
    let name = "system:node:worker-2";
    let subject = Subject {
        name,
        group: Some("system:nodes"),
        ..Subject::default()
    };
    let good = pki.node("worker-2")?;
    let expired = pki.authority.issue(&Subject {
        lifetime: Some(-time::Duration::hours(2)),
        ..subject.clone()
    })?;
    let foreign = other.issue(&subject)?;
    let cases: [(&str, &str, &Pair, &[&str]); 4] = [
        (
            "wrong CA",
            other.certificate(),
            &good,
            &[KUBECONFIG, "certificate-authority"],
        ),
        (
            "expired certificate",
            ours,
            &expired,
            &[KUBECONFIG, "client-certificate", "expired"],
        ),
        (
            "another node's certificate",
            ours,
            &pki.node("worker-9")?,
            &[KUBECONFIG, "worker-9", "worker-2"],
        ),
        (
            "a stranger's certificate",
            ours,
            &foreign,
            &[KUBECONFIG, "client-certificate"],
        ),
    ];
    with_other_credentials(lab, |node| {
        for (what, ca, client, words) in cases {
            let said = Said::since_now(node);
            node.set_credentials(&server, ca, client)?;
            node.start_agent()?;
            said.eventually(what, words)?;
            end(node)?;
        }
        Ok(())
    })
}

/// A server that cannot be reached is tried again and again, and complained about once in a while.
pub(crate) fn unreachable_server(lab: &Lab) -> Result<()> {
    let pki = lab.cluster().control().pki();
    with_other_credentials(lab, |node| {
        let said = Said::since_now(node);
        node.set_credentials(
            "https://172.30.0.1:1",
            pki.authority.certificate(),
            &pki.node(node.name())?,
        )?;
        node.start_agent()?;
        said.eventually("an unreachable server", &["172.30.0.1:1", KUBECONFIG])?;
        throughout("the agent keeps trying, quietly", Duration::from_secs(8), || {
            let complaints = said
                .text()?
                .lines()
                .filter(|line| line.contains("172.30.0.1:1"))
                .count();
            Ok(match (node.agent_pid(), complaints) {
                (Some(_), 1..=3) => Seen::Yes(()),
                (pid, count) => Seen::No(format!("process {pid:?}, {count} lines about it")),
            })
        })?;
        end(node)
    })
}

/// Stops the agent of the last node for a test with other credentials, and brings it back with its own.
fn with_other_credentials(lab: &Lab, test: impl FnOnce(&Node) -> Result<()>) -> Result<()> {
    let node = &lab.nodes()[1];
    let own = node.read(KUBECONFIG)?;
    node.kill_agent(Signal::SIGTERM)?;
    let result = test(node);
    // After a failed test it may still run.
    if node.agent_pid().is_some() {
        node.kill_agent(Signal::SIGKILL)?;
    }
    node.write_kubeconfig(&own)?;
    node.start_agent()?;
    back(lab, node)?;
    result
}

/// Ends the agent if it has not ended by itself.
fn end(node: &Node) -> Result<()> {
    if node.agent_pid().is_some() {
        node.kill_agent(Signal::SIGTERM)
    } else {
        Ok(())
    }
}

/// What an agent has logged since some moment.
pub(crate) struct Said<'a> {
    node: &'a Node,
    from: usize,
}

impl Said<'_> {
    pub(crate) fn since_now(node: &Node) -> Said<'_> {
        let from = std::fs::read(node.agent_log()).map_or(0, |log| log.len());
        Said { node, from }
    }

    pub(crate) fn text(&self) -> Result<String> {
        let log = std::fs::read(self.node.agent_log())?;
        Ok(String::from_utf8_lossy(log.get(self.from..).unwrap_or_default()).into_owned())
    }

    /// Waits for one line with all the words. The first line, which shows the configuration, does not count.
    pub(crate) fn eventually(&self, what: &str, words: &[&str]) -> Result<()> {
        eventually(&format!("{what}: a message with {words:?}"), LIMIT, || {
            let text = self.text()?;
            let told = text
                .lines()
                .skip(1)
                .any(|line| words.iter().all(|word| line.contains(word)));
            Ok(if told { Seen::Yes(()) } else { Seen::No(text) })
        })
    }
}

fn has(list: &Value, wanted: &Value) -> bool {
    list.as_array().is_some_and(|items| items.contains(wanted))
}
