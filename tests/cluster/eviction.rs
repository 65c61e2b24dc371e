//! A node that runs out of something: Pods beyond their own limits, memory, disk, images. Each case has a machine of its
//! own that joins as a third node; where it needs a full disk, kubelet's directory is a small one in memory, so that
//! nothing here fills the machine the tests run on.

use std::time::Duration;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use rustlet_lab::images::{BUSYBOX, ECHO};
use rustlet_lab::kube::{Seen, condition, eventually};
use serde_json::{Value, json};

use crate::support::{Case, LIMIT, Lab, Third, pod, shell};

/// The other cases' Pods stay away.
const TAINT: &str = "--register-with-taints=lab-test=eviction:NoSchedule";
/// Disks and images of the machine are none of the node's business unless a case says so.
const NOTHING: &str = "--eviction-hard=memory.available<1Mi";
/// Volumes are looked at this often.
const VOLUMES: &str = "--volume-stats-agg-period=2s";
/// Evictions are looked for every 10 s, and wait for the one before.
const LONG: Duration = Duration::from_secs(150);

/// A third node while a case runs.
struct Scarce<'a> {
    lab: &'a Lab,
    node: Third<'a>,
}

impl<'a> Scarce<'a> {
    fn new(lab: &'a Lab, flags: &[&str]) -> Result<Self> {
        let node = Self {
            lab,
            node: Third::new(lab)?,
        };
        node.start(flags)?;
        lab.cluster().adopt(&node.node)?;
        lab.cluster().wait_ready(&node.node)?;
        Ok(node)
    }

    fn start(&self, flags: &[&str]) -> Result<()> {
        self.node.start_agent_with(&[&[TAINT], flags].concat())
    }

    /// The same node with other thresholds.
    fn restart(&self, flags: &[&str]) -> Result<()> {
        self.node.kill_agent(Signal::SIGTERM)?;
        self.start(flags)
    }

    fn object(&self) -> Result<Value> {
        self.lab.kube.get(&format!("/api/v1/nodes/{}", self.node.name()))
    }

    /// Waits until the Node has this condition, and the control plane has told the scheduler.
    fn pressure(&self, kind: &str, taint: &str, status: &str) -> Result<Value> {
        eventually(&format!("{kind} {status}"), LONG, || {
            let node = self.object()?;
            let taints = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
            let tainted = taints.iter().any(|t| t["key"] == taint);
            Ok(
                if condition(&node, kind) == status && tainted == (status == "True") {
                    Seen::Yes(node)
                } else {
                    Seen::No(format!("{} {taints:?}", node["status"]["conditions"]))
                },
            )
        })
    }

    /// A Pod for this node.
    fn pod(&self, name: &str, container: Value) -> Value {
        let mut pod = pod(name, Some(self.node.name()), json!([container]));
        pod["spec"]["tolerations"] = json!([
            {"key": "lab-test", "operator": "Exists"},
            {"operator": "Exists", "effect": "NoExecute"},
        ]);
        pod
    }

    /// Tags of the images the runtime has.
    fn has_image(&self, name: &str) -> Result<bool> {
        Ok(self
            .node
            .ctr(&["images", "ls", "-q"])?
            .lines()
            .any(|line| line == name))
    }
}

/// Waits until a Pod was evicted; returns it.
fn evicted(case: &Case<'_>, name: &str, message: &str) -> Result<Value> {
    let pod = eventually(&format!("{name} is evicted"), LONG, || {
        let pod = case.pod(name)?;
        Ok(if pod["status"]["phase"] == "Failed" {
            Seen::Yes(pod)
        } else {
            Seen::No(pod["status"].to_string())
        })
    })?;
    let status = &pod["status"];
    ensure!(status["reason"] == "Evicted", "{status}");
    let said = status["message"].as_str().unwrap_or_default();
    ensure!(said.starts_with(message), "{said:?} is not {message:?}");
    let event = case.events(name)?;
    ensure!(
        event
            .iter()
            .any(|(reason, text)| reason == "Evicted" && text == said),
        "{event:?}"
    );
    Ok(pod)
}

fn disruption(pod: &Value) -> Option<&Value> {
    let conditions = pod["status"]["conditions"].as_array()?;
    conditions.iter().find(|c| c["type"] == "DisruptionTarget")
}

/// Writes so many MiB to a file and stays.
fn writes(file: &str, mebibytes: u32) -> Value {
    shell(&format!(
        "dd if=/dev/zero of={file} bs=1M count={mebibytes} && sleep 1000"
    ))
}

fn with_dir(mut pod: Value, limit: Option<&str>) -> Value {
    let mut dir = json!({});
    if let Some(limit) = limit {
        dir["sizeLimit"] = limit.into();
    }
    pod["spec"]["volumes"] = json!([{"name": "scratch", "emptyDir": dir}]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "scratch", "mountPath": "/scratch"}]);
    pod
}

/// Pods that write more than they may go; those that stay within their limits stay.
pub(crate) fn local_storage(lab: &Lab) -> Result<()> {
    let node = Scarce::new(lab, &[NOTHING, VOLUMES])?;
    let case = Case::new(lab, "eviction-local-storage")?;
    let limited = |mut pod: Value, limit: &str| {
        pod["spec"]["containers"][0]["resources"] = json!({"limits": {"ephemeral-storage": limit}});
        pod
    };
    let pods = [
        with_dir(node.pod("dir", writes("/scratch/f", 4)), Some("1Mi")),
        limited(node.pod("layer", writes("/f", 4)), "1Mi"),
        limited(with_dir(node.pod("whole", writes("/scratch/f", 6)), None), "5Mi"),
        limited(
            with_dir(node.pod("within", writes("/scratch/f", 2)), Some("3Mi")),
            "20Mi",
        ),
    ];
    for pod in &pods {
        case.create("pods", pod)?;
    }
    let dir = evicted(
        &case,
        "dir",
        r#"Usage of EmptyDir volume "scratch" exceeds the limit "1Mi". "#,
    )?;
    evicted(
        &case,
        "layer",
        // The Pod as a whole is looked at first.
        "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. ",
    )?;
    evicted(
        &case,
        "whole",
        "Pod ephemeral local storage usage exceeds the total limit of containers 5Mi. ",
    )?;
    ensure!(disruption(&dir).is_none(), "it broke its own limit: {dir}");
    ensure!(
        case.pod("within")?["status"]["phase"] == "Running",
        "within its limits"
    );
    Ok(())
}

/// Under memory pressure, and only then, Pods that request nothing are refused.
pub(crate) fn memory_pressure(lab: &Lab) -> Result<()> {
    // All memory there is, for longer than the case takes: the condition without any eviction.
    let short = [
        NOTHING,
        "--eviction-soft=memory.available<99%",
        "--eviction-soft-grace-period=memory.available=1h",
        "--eviction-pressure-transition-period=5s",
    ];
    let node = Scarce::new(lab, &short)?;
    let case = Case::new(lab, "eviction-memory-pressure")?;
    let object = node.pressure("MemoryPressure", "node.kubernetes.io/memory-pressure", "True")?;
    let conditions = object["status"]["conditions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let memory = conditions.iter().find(|c| c["type"] == "MemoryPressure");
    ensure!(
        memory.is_some_and(|c| c["reason"] == "KubeletHasInsufficientMemory"
            && c["message"] == "kubelet has insufficient memory available"),
        "{conditions:?}"
    );
    ensure!(condition(&object, "Ready") == "True" && condition(&object, "DiskPressure") == "False");
    let sleeps = || shell("sleep 1000");
    case.create("pods", &node.pod("best-effort", sleeps()))?;
    let refused = case.until("best-effort", "refused", |pod| pod["status"]["phase"] == "Failed")?;
    let status = &refused["status"];
    ensure!(
        status["reason"] == "Evicted"
            && status["message"] == "Pod was rejected: The node had condition: [MemoryPressure]. ",
        "{status}"
    );
    let mut asking = sleeps();
    asking["resources"] = json!({"requests": {"memory": "1Mi"}});
    case.run(node.pod("burstable", asking))?;
    let mut tolerant = node.pod("tolerant", sleeps());
    let more =
        json!({"key": "node.kubernetes.io/memory-pressure", "operator": "Exists", "effect": "NoSchedule"});
    tolerant["spec"]["tolerations"]
        .as_array_mut()
        .into_iter()
        .for_each(|all| all.push(more.clone()));
    case.run(tolerant)?;
    node.restart(&[NOTHING])?;
    node.pressure("MemoryPressure", "node.kubernetes.io/memory-pressure", "False")?;
    case.run(node.pod("best-effort-again", sleeps()))?;
    for name in ["burstable", "tolerant"] {
        ensure!(case.pod(name)?["status"]["phase"] == "Running", "{name}");
    }
    Ok(())
}

/// A full disk costs the Pod that has filled it, and then the node is well again.
pub(crate) fn disk_pressure(lab: &Lab) -> Result<()> {
    let guest = Third::new(lab)?;
    guest.exec(&[
        "mount",
        "-t",
        "tmpfs",
        "-o",
        "size=64m",
        "tmpfs",
        "/var/lib/kubelet",
    ])?;
    let node = Scarce { lab, node: guest };
    node.start(&[
        "--eviction-hard=nodefs.available<32Mi",
        "--eviction-pressure-transition-period=5s",
        VOLUMES,
    ])?;
    lab.cluster().adopt(&node.node)?;
    lab.cluster().wait_ready(&node.node)?;
    let case = Case::new(lab, "eviction-disk-pressure")?;
    let script = "sleep 5; dd if=/dev/zero of=/scratch/f bs=1M count=40; sleep 1000";
    case.run(with_dir(node.pod("modest", writes("/scratch/f", 2)), None))?;
    let mut critical = with_dir(node.pod("critical", writes("/scratch/f", 4)), None);
    critical["spec"]["priorityClassName"] = "system-node-critical".into();
    case.run(critical)?;
    case.run(with_dir(node.pod("greedy", shell(script)), None))?;
    let greedy = evicted(
        &case,
        "greedy",
        "The node was low on resource: ephemeral-storage. Threshold quantity: 32Mi, available: ",
    )?;
    let condition = disruption(&greedy);
    ensure!(
        condition.is_some_and(|c| c["status"] == "True"
            && c["reason"] == "TerminationByKubelet"
            && c["message"] == greedy["status"]["message"]),
        "{greedy}"
    );
    let events = lab.kube.list("/api/v1/namespaces/default/events")?;
    let met = events
        .iter()
        .find(|e| e["reason"] == "EvictionThresholdMet" && e["involvedObject"]["name"] == node.node.name());
    ensure!(
        met.is_some_and(|e| e["message"] == "Attempting to reclaim ephemeral-storage"),
        "{met:?}"
    );
    node.pressure("DiskPressure", "node.kubernetes.io/disk-pressure", "False")?;
    for name in ["modest", "critical"] {
        let pod = case.pod(name)?;
        ensure!(pod["status"]["phase"] == "Running", "{name}: {}", pod["status"]);
    }
    Ok(())
}

/// A shortage where images are costs those nobody uses.
pub(crate) fn unused_images(lab: &Lab) -> Result<()> {
    let node = Scarce::new(lab, &[NOTHING])?;
    let case = Case::new(lab, "eviction-unused-images")?;
    let mut used = node.pod("used", shell("sleep 1000"));
    used["spec"]["priorityClassName"] = "system-node-critical".into();
    case.run(used)?;
    case.run(node.pod("passing", json!({"name": "main", "image": ECHO})))?;
    ensure!(
        node.has_image(ECHO)? && node.has_image(BUSYBOX)?,
        "both were pulled"
    );
    lab.kube.delete(&case.path("pods", "passing"))?;
    eventually("passing is gone", LIMIT, || {
        Ok(match lab.kube.find(&case.path("pods", "passing"))? {
            None => Seen::Yes(()),
            Some(pod) => Seen::No(pod["status"].to_string()),
        })
    })?;
    node.restart(&[
        "--eviction-hard=imagefs.available<99%",
        "--minimum-image-ttl-duration=1s",
    ])?;
    eventually("the unused image is gone", LONG, || {
        Ok(if node.has_image(ECHO)? {
            Seen::No(node.node.ctr(&["images", "ls", "-q"])?)
        } else {
            Seen::Yes(())
        })
    })?;
    ensure!(node.has_image(BUSYBOX)?, "an image in use is kept");
    ensure!(
        case.pod("used")?["status"]["phase"] == "Running",
        "critical pods stay"
    );
    Ok(())
}
