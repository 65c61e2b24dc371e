//! What Pods and nodes have: what of the node is for Pods, what a Pod's cgroup is given, and what happens to who takes
//! more memory.

use std::fs;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use rustlet_lab::kube::{Seen, eventually};
use rustlet_lab::node::Node;
use serde_json::{Value, json};

use crate::agent::back;
use crate::support::{Case, LIMIT, Lab, pod, shell, status};

/// A file of a node's cgroup, on v1 in the hierarchy of its controller.
fn read(node: &Node, cgroup: &str, (controller, v1): (&str, &str), v2: &str) -> Result<String> {
    let unified = fs::exists("/sys/fs/cgroup/cgroup.controllers")?;
    let root = node.cgroup_root();
    let path = if unified {
        format!("/sys/fs/cgroup{root}/{cgroup}/{v2}")
    } else {
        format!("/sys/fs/cgroup/{controller}{root}/{cgroup}/{v1}")
    };
    let text = fs::read_to_string(&path).with_context(|| path.clone())?;
    Ok(text.trim().to_owned())
}

/// CPU shares as v1 has them: kubelet's weight is a straight line through 2 and 262144.
fn shares(node: &Node, cgroup: &str) -> Result<u64> {
    let text = read(node, cgroup, ("cpu", "cpu.shares"), "cpu.weight")?;
    let number: u64 = text.parse()?;
    let unified = fs::exists("/sys/fs/cgroup/cgroup.controllers")?;
    Ok(if unified {
        (number - 1) * 262_142 / 9999 + 2
    } else {
        number
    })
}

/// Bytes; `None` for no limit.
fn memory(node: &Node, cgroup: &str) -> Result<Option<u64>> {
    let text = read(node, cgroup, ("memory", "memory.limit_in_bytes"), "memory.max")?;
    Ok(text.parse().ok().filter(|bytes| *bytes < 1 << 62))
}

/// CPU time in 100 ms, microseconds; `None` for no limit.
fn quota(node: &Node, cgroup: &str) -> Result<Option<u64>> {
    let text = read(node, cgroup, ("cpu", "cpu.cfs_quota_us"), "cpu.max")?;
    Ok(text.split(' ').next().unwrap_or_default().parse().ok())
}

/// Bytes or thousandths, from what a Node's status has.
fn amount(text: &Value) -> Result<i64> {
    let text = text.as_str().context("an amount")?;
    let (digits, factor) = match text {
        t if t.ends_with("Ki") => (&t[..t.len() - 2], 1 << 10),
        t if t.ends_with("Mi") => (&t[..t.len() - 2], 1 << 20),
        t if t.ends_with("Gi") => (&t[..t.len() - 2], 1 << 30),
        t if t.ends_with('m') => (&t[..t.len() - 1], 1),
        t => (t, 1),
    };
    Ok(digits.parse::<i64>().with_context(|| text.to_owned())? * factor)
}

/// Three Pods of three classes: their cgroups have the numbers of their specs, and the classes share out CPU.
pub(crate) fn pod_cgroups(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "pod-cgroups")?;
    let node = &lab.nodes()[0];
    let both = json!({"cpu": "120m", "memory": "48Mi"});
    let more = json!({"cpu": "300m", "memory": "64Mi"});
    for (name, class, resources, want) in [
        (
            "guaranteed",
            "",
            json!({"requests": both, "limits": both}),
            (122, Some(12_000), Some(48 << 20)),
        ),
        (
            "burstable",
            "burstable/",
            json!({"requests": both, "limits": more}),
            (122, Some(30_000), Some(64 << 20)),
        ),
        ("open", "burstable/", json!({"requests": both}), (122, None, None)),
        ("besteffort", "besteffort/", json!({}), (2, None, None)),
    ] {
        let mut asked = pod(name, Some(node.name()), json!([shell("exec sleep 1000")]));
        asked["spec"]["containers"][0]["resources"] = resources;
        let running = case.run(asked)?;
        let uid = running["metadata"]["uid"].as_str().unwrap_or_default();
        let cgroup = format!("kubepods/{class}pod{uid}");
        let found = (
            shares(node, &cgroup)?,
            quota(node, &cgroup)?,
            memory(node, &cgroup)?,
        );
        ensure!(found == want, "{name}: {found:?}, not {want:?}");
    }
    ensure!(shares(node, "kubepods/besteffort")? == 2);
    eventually("burstable pods share what they ask for", LIMIT, || {
        let found = shares(node, "kubepods/burstable")?;
        // Two of ours, and who knows whose else.
        Ok(if found >= 240 {
            Seen::Yes(())
        } else {
            Seen::No(format!("cpu.shares {found}"))
        })
    })
}

/// What is reserved is not for Pods: neither in the Node's status nor in the cgroup of all of them.
pub(crate) fn reservations(lab: &Lab) -> Result<()> {
    let node = &lab.nodes()[0];
    node.kill_agent(Signal::SIGTERM)?;
    node.start_agent_with(&[
        "--kube-reserved=cpu=150m,memory=256Mi,pid=1000",
        "--system-reserved=memory=100M,ephemeral-storage=1Gi",
        "--pod-max-pids=321",
    ])?;
    let checked = back(lab, node).and_then(|()| reserved(lab, node));
    node.kill_agent(Signal::SIGTERM)?;
    node.start_agent()?;
    back(lab, node)?;
    checked
}

fn reserved(lab: &Lab, node: &Node) -> Result<()> {
    let path = format!("/api/v1/nodes/{}", node.name());
    let kept = |status: &Value, name: &str| -> Result<i64> {
        Ok(amount(&status["capacity"][name])? - amount(&status["allocatable"][name])?)
    };
    let memory_kept = (256 << 20) + 100_000_000 + (50 << 20);
    let status = eventually("the reservations in the node's status", LIMIT, || {
        let status = lab.kube.get(&path)?["status"].clone();
        let found = kept(&status, "memory")?;
        Ok(if found == memory_kept {
            Seen::Yes(status)
        } else {
            Seen::No(format!("{found} bytes of memory are kept, not {memory_kept}"))
        })
    })?;
    let cpu = (amount(&status["capacity"]["cpu"])?, &status["allocatable"]["cpu"]);
    ensure!(*cpu.1 == format!("{}m", cpu.0 * 1000 - 150), "{cpu:?}");
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "upstream's arithmetic"
    )]
    let eviction = (amount(&status["capacity"]["ephemeral-storage"])? as f64 * f64::from(0.01_f32)) as i64;
    let disk = kept(&status, "ephemeral-storage")?;
    ensure!(disk == (1 << 30) + eviction, "{disk} of {status}");
    ensure!(status["allocatable"]["pods"] == status["capacity"]["pods"]);

    // The cgroup is made for the first agent, and corrected for this one.
    let all = u64::try_from(amount(&status["capacity"]["memory"])? - (256 << 20) - 100_000_000)?;
    let want = (
        all / 4096 * 4096,
        (u64::try_from(cpu.0)? * 1000 - 150) * 1024 / 1000,
    );
    eventually("the cgroup of all pods", LIMIT, || {
        let Some(bytes) = memory(node, "kubepods")? else {
            bail!("kubepods has no memory limit");
        };
        let found = (bytes, shares(node, "kubepods")?);
        Ok(if found == want {
            Seen::Yes(())
        } else {
            Seen::No(format!("{found:?}, not {want:?}"))
        })
    })?;
    let case = Case::new(lab, "reserved")?;
    let running = case.run(pod("few", Some(node.name()), json!([shell("exec sleep 1000")])))?;
    let uid = running["metadata"]["uid"].as_str().unwrap_or_default();
    let cgroup = format!("kubepods/besteffort/pod{uid}");
    let most = read(node, &cgroup, ("pids", "pids.max"), "pids.max")?;
    ensure!(most == "321", "{most} processes");
    Ok(())
}

/// Whoever takes more memory than he may is killed, and so it is told, also when it was not the first process.
pub(crate) fn out_of_memory(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "out-of-memory")?;
    // tail keeps the end of what has no lines.
    let eat = "tail /dev/zero";
    for (name, script) in [
        ("first", format!("exec {eat}")),
        ("child", format!("{eat} & wait $!; exit $?")),
    ] {
        let mut asked = pod(name, None, json!([shell(&script)]));
        asked["spec"]["restartPolicy"] = json!("Never");
        asked["spec"]["containers"][0]["resources"] = json!({"limits": {"memory": "24Mi"}});
        case.create("pods", &asked)?;
    }
    for name in ["first", "child"] {
        let ended = case.until(name, "failed", |pod| pod["status"]["phase"] == "Failed")?;
        let end = &status(&ended)["state"]["terminated"];
        ensure!(
            end["reason"] == "OOMKilled" && end["exitCode"] == 137,
            "{name}: {end}"
        );
    }
    Ok(())
}
