//! The agent comes and goes; pods do not notice.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use rustlet_lab::kube::{self, Seen, eventually, throughout};
use rustlet_lab::node::Node;
use serde_json::json;

use crate::support::{Case, LIMIT, Lab, echo_container, pod, restarts, status};

/// Restarting the agent of every node restarts no container, and pods made afterwards work.
pub(crate) fn restart(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "agent-restart")?;
    for number in 0..lab.nodes().len() {
        let mut container = echo_container();
        container["livenessProbe"] = json!({"httpGet": {"path": "/live", "port": 8000}, "periodSeconds": 1});
        case.run(pod(
            &format!("steady-{number}"),
            Some(lab.node_name(number)),
            json!([container]),
        ))?;
    }
    let known = identities(&case)?;
    for node in lab.nodes() {
        let before = node.agent_pid();
        node.kill_agent(Signal::SIGTERM)?;
        node.start_agent()?;
        ensure!(node.agent_pid() != before, "it is another process");
        back(lab, node)?;
    }
    // The new agents work, so they have looked at what they found and decided.
    for number in 0..lab.nodes().len() {
        let fresh = case.run(pod(
            &format!("fresh-{number}"),
            Some(lab.node_name(number)),
            json!([echo_container()]),
        ))?;
        ensure!(restarts(&fresh) == 0, "{}", kube::describe_pod(&fresh));
    }
    unchanged(&case, &known)
}

/// SIGKILL in the middle of a rollout: the rollout completes, and nothing of it is left twice.
pub(crate) fn killed_in_a_rollout(lab: &Lab) -> Result<()> {
    let before: Vec<_> = lab.nodes().iter().map(Node::residue).collect::<Result<_>>()?;
    let case = Case::new(lab, "rollout")?;
    let deployment = json!({
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 6,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"terminationGracePeriodSeconds": 1, "containers": [echo_container()]},
            },
        },
    });
    case.create("deployments", &deployment)?;
    case.ready("app=web", 6)?;
    let path = case.path("deployments", "web");
    let again = json!({"spec": {"template": {"metadata": {"annotations": {"try": "2"}}}}});
    lab.kube.merge(&path, &again)?;
    eventually("the rollout under way", LIMIT, || {
        let updated = lab.kube.get(&path)?["status"]["updatedReplicas"]
            .as_u64()
            .unwrap_or(0);
        Ok(if updated >= 2 {
            Seen::Yes(())
        } else {
            Seen::No(format!("{updated} updated"))
        })
    })?;
    let node = &lab.nodes()[0];
    node.kill_agent(Signal::SIGKILL)?;
    node.start_agent()?;
    eventually("the rollout complete", LIMIT, || {
        let status = lab.kube.get(&path)?["status"].clone();
        let all = [
            "replicas",
            "updatedReplicas",
            "readyReplicas",
            "availableReplicas",
        ]
        .iter()
        .all(|key| status[key] == 6);
        let observed = status["observedGeneration"].as_u64() >= Some(2);
        Ok(if all && observed {
            Seen::Yes(())
        } else {
            Seen::No(status.to_string())
        })
    })?;
    let pods = case.ready("app=web", 6)?;
    for (node, before) in lab.nodes().iter().zip(&before) {
        let here = pods
            .iter()
            .filter(|pod| pod["spec"]["nodeName"] == node.name())
            .count();
        eventually(
            &format!("{}: one of each for its {here} pods", node.name()),
            LIMIT,
            || {
                let new = node.residue()?.since(before);
                let count = |kind: &str| {
                    new.iter()
                        .filter(|item| item.starts_with(&format!("{kind} ")))
                        .count()
                };
                let kinds = ["netns", "veth", "address", "directory", "log", "log-link"];
                let odd: Vec<String> = kinds
                    .iter()
                    .filter(|kind| count(kind) != here)
                    .map(|kind| format!("{} {kind}", count(kind)))
                    .collect();
                Ok(if odd.is_empty() {
                    Seen::Yes(())
                } else {
                    Seen::No(odd.join(", "))
                })
            },
        )?;
    }
    Ok(())
}

/// containerd dies and comes back: the Node says so in between, and no container is touched.
pub(crate) fn runtime_gone(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "runtime-gone")?;
    let node = &lab.nodes()[0];
    case.run(pod("steady", Some(node.name()), json!([echo_container()])))?;
    let known = identities(&case)?;
    node.kill_containerd(Signal::SIGKILL)?;
    let path = format!("/api/v1/nodes/{}", node.name());
    let told = eventually("the Node without a runtime is not Ready", LIMIT, || {
        let object = lab.kube.get(&path)?;
        let ready = kube::condition(&object, "Ready").to_owned();
        Ok(if ready == "False" {
            Seen::Yes(object)
        } else {
            Seen::No(ready)
        })
    });
    node.start_containerd()?;
    let conditions = told?["status"]["conditions"].clone();
    let conditions = conditions.as_array().map(Vec::as_slice).unwrap_or_default();
    let said = conditions.iter().find(|condition| condition["type"] == "Ready");
    ensure!(
        said.is_some_and(|said| said["reason"] == "KubeletNotReady"),
        "{said:?}"
    );
    lab.cluster().wait_ready(node)?;
    let fresh = case.run(pod("fresh", Some(node.name()), json!([echo_container()])))?;
    ensure!(restarts(&fresh) == 0, "{}", kube::describe_pod(&fresh));
    unchanged(&case, &known)
}

/// The API server goes away and comes back: pods run on, and what happens afterwards is acted on.
pub(crate) fn api_server_gone(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "api-server-gone")?;
    case.run(pod("steady", None, json!([echo_container()])))?;
    let known = identities(&case)?;
    let control = lab.cluster().control();
    control.kill_component("kube-apiserver", Signal::SIGKILL)?;
    for node in lab.nodes() {
        ensure!(node.agent_pid().is_some(), "{}: the agent has ended", node.name());
    }
    control.start_component("kube-apiserver")?;
    control.wait_ready(LIMIT)?;
    for number in 0..lab.nodes().len() {
        let name = format!("fresh-{number}");
        eventually("a pod can be created", LIMIT, || {
            let made = case.create(
                "pods",
                &pod(&name, Some(lab.node_name(number)), json!([echo_container()])),
            );
            Ok(made.map_or_else(|error| Seen::No(format!("{error:#}")), |_| Seen::Yes(())))
        })?;
        case.until(&name, "ready", |pod| kube::condition(pod, "Ready") == "True")?;
    }
    unchanged(&case, &known)
}

/// All known containers are still the same, and stay so for a while.
fn unchanged(case: &Case<'_>, known: &BTreeMap<String, (String, u64)>) -> Result<()> {
    throughout(
        "the same containers, none restarted",
        Duration::from_secs(3),
        || {
            let now = identities(case)?;
            let changed: Vec<_> = known
                .iter()
                .filter(|(pod, id)| now.get(*pod) != Some(*id))
                .collect();
            Ok(if changed.is_empty() {
                Seen::Yes(())
            } else {
                Seen::No(format!("{changed:?} became {now:?}"))
            })
        },
    )
}

/// A node whose agent has just been started again renews its lease and is Ready.
pub(crate) fn back(lab: &Lab, node: &Node) -> Result<()> {
    let path = format!(
        "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{}",
        node.name()
    );
    let renewed = lab.kube.get(&path)?["spec"]["renewTime"].clone();
    eventually(&format!("{} renews its lease", node.name()), LIMIT, || {
        let now = lab.kube.get(&path)?["spec"]["renewTime"].clone();
        Ok(if now == renewed {
            Seen::No(now.to_string())
        } else {
            Seen::Yes(())
        })
    })?;
    lab.cluster().wait_ready(node)
}

/// Container ids and restart counts of this test's pods and of those that live as long as the cluster.
fn identities(case: &Case<'_>) -> Result<BTreeMap<String, (String, u64)>> {
    let mut known = BTreeMap::new();
    for namespace in [case.ns.as_str(), case.lab.tools_ns(), "kube-system"] {
        for pod in case.lab.kube.pods(namespace, "")? {
            let id = status(&pod)["containerID"].as_str().unwrap_or_default();
            ensure!(
                !id.is_empty(),
                "a pod without a container: {}",
                kube::describe_pod(&pod)
            );
            known.insert(
                format!("{namespace}/{}", kube::name(&pod)),
                (id.to_owned(), restarts(&pod)),
            );
        }
    }
    Ok(known)
}
