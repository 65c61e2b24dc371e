//! Pods that a node turns away, and pods that make room for others.

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use rustlet_lab::kube::{self, condition};
use serde_json::{Value, json};

use crate::support::{Case, Lab, pod, restarts, shell};

/// Runs until it is told to end, which it does at once.
fn sleeper() -> Value {
    shell("trap 'exit 0' TERM; while :; do sleep 1; done")
}

/// A pod that was given node 0 by name, so that no scheduler has looked at it.
fn bound(lab: &Lab, name: &str, node: usize) -> Value {
    pod(name, Some(lab.node_name(node)), json!([sleeper()]))
}

/// What the pod was turned away with.
fn refusal(case: &Case<'_>, name: &str) -> Result<(String, String)> {
    let pod = case.until(name, "turned away", |pod| pod["status"]["phase"] == "Failed")?;
    let status = &pod["status"];
    ensure!(status["containerStatuses"].is_null(), "{status}");
    let text = |field: &str| status[field].as_str().unwrap_or_default().to_owned();
    let (reason, message) = (text("reason"), text("message"));
    let message = message
        .strip_prefix("Pod was rejected: ")
        .with_context(|| status.to_string())?
        .to_owned();
    case.expect_events(name, &[&reason])?;
    let events = case.events(name)?;
    ensure!(events.contains(&(reason.clone(), message.clone())), "{events:?}");
    Ok((reason, message))
}

/// Every reason has its words, and nothing of such a pod runs.
pub(crate) fn turned_away(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "turned-away")?;
    let armor = lab.nodes()[0].exec(&["cat", "/sys/module/apparmor/parameters/enabled"]);
    let no_armor = !armor.is_ok_and(|text| text.starts_with('Y'));
    let affinity = "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector";
    let cases: [(&str, Value, &str); 6] = [
        (
            "selector",
            json!({"spec": {"nodeSelector": {"lab-test/nowhere": "yes"}}}),
            affinity,
        ),
        (
            "affinity",
            json!({"spec": {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchFields": [
                    {"key": "metadata.name", "operator": "In", "values": ["elsewhere"]},
                ]}],
            }}}}}),
            affinity,
        ),
        (
            "system",
            json!({"spec": {"os": {"name": "windows"}}}),
            "Failed to admit pod as the OS field doesn't match node OS",
        ),
        (
            "system-label",
            json!({"metadata": {"labels": {"kubernetes.io/os": "windows"}}}),
            "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label",
        ),
        (
            "sysctl",
            json!({"spec": {"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "65536"}]}}}),
            "forbidden sysctl: \"kernel.msgmax\" not allowlisted",
        ),
        (
            "armor",
            json!({"spec": {"securityContext": {"appArmorProfile": {"type": "RuntimeDefault"}}}}),
            "Cannot enforce AppArmor: AppArmor is not enabled on the host",
        ),
    ];
    let reasons = [
        "NodeAffinity",
        "NodeAffinity",
        "PodOSNotSupported",
        "PodOSSelectorNodeLabelDoesNotMatch",
        "SysctlForbidden",
        "AppArmor",
    ];
    for ((name, change, words), reason) in cases.into_iter().zip(reasons) {
        if name == "armor" && !no_armor {
            continue;
        }
        let mut pod = bound(lab, name, 0);
        merge(&mut pod, change);
        case.create("pods", &pod)?;
        let told = refusal(&case, name)?;
        ensure!(told == (reason.into(), words.into()), "{name}: {told:?}");
    }

    let node = lab.kube.get(&format!("/api/v1/nodes/{}", lab.node_name(0)))?;
    let capacity = milli(&node["status"]["allocatable"]["cpu"]);
    let mut large = bound(lab, "large", 0);
    large["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "1000"}});
    case.create("pods", &large)?;
    let (reason, message) = refusal(&case, "large")?;
    let words = "Node didn't have enough resource: cpu, requested: 1000000, used: ";
    ensure!(
        reason == "OutOfcpu"
            && message.starts_with(words)
            && message.ends_with(&format!(", capacity: {capacity}")),
        "{reason}: {message}"
    );
    Ok(())
}

/// A label that the Node has only just been given counts.
pub(crate) fn fresh_label(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "fresh-label")?;
    set_label(lab, 0, json!("yes"))?;
    let mut pod = bound(lab, "pod", 0);
    pod["spec"]["nodeSelector"] = json!({LABEL: "yes"});
    case.run(pod).map(drop)
}

/// A critical pod that does not fit makes another one go, and nobody it need not; what has been taken on is not judged again
/// by the next agent.
pub(crate) fn preemption(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "preemption")?;
    let node = lab.kube.get(&format!("/api/v1/nodes/{}", lab.node_name(1)))?;
    let capacity = milli(&node["status"]["allocatable"]["cpu"]);
    set_label(lab, 1, json!("yes"))?;
    let asking = |name: &str, part: i64| {
        let mut pod = bound(lab, name, 1);
        let cpu = format!("{}m", capacity * part / 100);
        pod["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": cpu}});
        pod
    };
    let mut small = asking("small", 10);
    small["spec"]["nodeSelector"] = json!({LABEL: "yes"});
    case.run(small)?;
    case.run(asking("large", 45))?;
    let mut critical = asking("critical", 60);
    critical["spec"]["priorityClassName"] = json!("system-node-critical");
    case.run(critical)?;
    let gone = case.until("large", "gone", |pod| pod["status"]["phase"] == "Failed")?;
    let status = &gone["status"];
    let words = "Preempted in order to admit critical pod";
    ensure!(
        status["reason"] == "Preempting" && status["message"] == words,
        "{status}"
    );
    ensure!(condition(&gone, "DisruptionTarget") == "True", "{status}");
    case.expect_events("large", &["Preempting"])?;
    let small = case.pod("small")?;
    ensure!(
        condition(&small, "Ready") == "True",
        "{}",
        kube::describe_pod(&small)
    );

    set_label(lab, 1, Value::Null)?;
    let node = &lab.nodes()[1];
    node.kill_agent(Signal::SIGTERM)?;
    node.start_agent()?;
    lab.cluster().wait_ready(node)?;
    // The new agent has looked around when it starts something.
    case.run(bound(lab, "later", 1))?;
    for name in ["small", "critical"] {
        let pod = case.pod(name)?;
        ensure!(
            condition(&pod, "Ready") == "True" && restarts(&pod) == 0,
            "{}",
            kube::describe_pod(&pod)
        );
    }
    Ok(())
}

const LABEL: &str = "lab-test/fresh";

fn set_label(lab: &Lab, node: usize, value: Value) -> Result<()> {
    let path = format!("/api/v1/nodes/{}", lab.node_name(node));
    let patch = json!({"metadata": {"labels": {LABEL: value}}});
    lab.kube.merge(&path, &patch).map(drop)
}

/// Thousandths of a CPU.
fn milli(quantity: &Value) -> i64 {
    let text = quantity.as_str().unwrap_or_default();
    match text.strip_suffix('m') {
        Some(milli) => milli.parse().unwrap_or(0),
        None => text.parse::<i64>().unwrap_or(0) * 1000,
    }
}

/// Objects become one, as far down as both are objects.
fn merge(into: &mut Value, more: Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (key, value) in more {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, more) => *into = more,
    }
}
