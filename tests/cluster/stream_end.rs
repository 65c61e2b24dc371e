//! How streams end, and what they cost: slow readers, vanished clients, containers, pods and agents that go away.

use std::fs;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use rustlet_lab::images;
use rustlet_lab::kube::{Seen, eventually};
use rustlet_lab::node::Node;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::agent;
use crate::client::{self, BOTH, Protocol, Running};
use crate::stream::hex;
use crate::stream_forward::{Forwarding, server};
use crate::support::{Case, LIMIT, Lab, pod, restarts, shell, status};

/// What is sent to a reader that takes its time.
const SENT: usize = 100 << 20;
/// How much larger the agent may become by it.
const GROWTH_KIB: u64 = 20 << 10;
/// Clients of each kind that are killed.
const KILLED: usize = 20;

/// 64 KiB, a pause, 64 KiB, …; then how much it was and its checksum.
const SLOW: &str = "import hashlib,sys,time\n\
                    h=hashlib.sha256(); n=0\n\
                    while True:\n    \
                        b=sys.stdin.buffer.read(65536)\n    \
                        if not b: break\n    \
                        h.update(b); n+=len(b); time.sleep(0.005)\n\
                    print(n, h.hexdigest())";

/// All bytes arrive at a slow reader, and the agent does not hold them in the meantime.
pub(crate) fn slow_reader(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "stream-slow")?;
    let sleeper = json!({"name": "main", "image": images::PYTHON, "command": ["sleep", "100000"]});
    let work = case.run(pod("work", Some(lab.node_name(0)), json!([sleeper])))?;
    let pid = lab
        .node_of(&work)?
        .agent_pid()
        .context("the agent does not run")?;
    // Any bytes whose order can be told: a counter.
    let bytes: Vec<u8> = (0u32..).flat_map(u32::to_le_bytes).take(SENT).collect();
    let sum = hex(Sha256::new().chain_update(&bytes));
    for protocol in BOTH {
        let args = ["exec", "-i", "work", "--", "python3", "-c", SLOW];
        let before = resident(pid)?;
        let mut most = before;
        let done = std::thread::scope(|scope| {
            let sending = scope.spawn(|| client::run(&case, protocol, &args, &bytes));
            // Whatever came of it is said by the sender.
            let _ = eventually("all bytes are through", 2 * LIMIT, || {
                most = most.max(resident(pid)?);
                Ok(if sending.is_finished() {
                    Seen::Yes(())
                } else {
                    Seen::No(format!("{most} KiB"))
                })
            });
            sending.join().expect("sending does not panic")
        })?;
        let said = String::from_utf8_lossy(&done.ok()?).into_owned();
        ensure!(
            said == format!("{SENT} {sum}\n"),
            "{protocol:?}: {said:?}, not {sum}"
        );
        // What upstream holds is upstream's business.
        ensure!(
            lab.upstream || most < before + GROWTH_KIB,
            "{protocol:?}: the agent grew from {before} KiB to {most} KiB"
        );
    }
    Ok(())
}

/// The container ends, or the pod is deleted: whoever is in it hears it.
pub(crate) fn container_gone(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "stream-gone")?;
    for protocol in BOTH {
        for how in ["ends", "deleted"] {
            let name = format!("{how}-{protocol:?}").to_lowercase();
            let mut work = pod(
                &name,
                None,
                json!([shell("until test -e /tmp/end; do sleep 0.1; done")]),
            );
            work["spec"]["restartPolicy"] = json!("Never");
            case.run(work)?;
            let mut inside = Running::open(
                &case,
                protocol,
                &["exec", "-i", &name, "--", "sh", "-c", "echo in; cat"],
            )?;
            inside.until("in")?;
            if how == "ends" {
                client::run(&case, protocol, &["exec", &name, "--", "touch", "/tmp/end"], b"")?.ok()?;
            } else {
                lab.kube.delete(&case.path("pods", &name))?;
            }
            let end = inside
                .end(LIMIT)
                .with_context(|| format!("{protocol:?}: {how}"))?;
            ensure!(end.code == 137, "{protocol:?}: {how}: {end:?}");
        }
    }
    Ok(())
}

/// Clients that are killed in the middle leave nothing in the agent.
pub(crate) fn vanished_clients(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "stream-vanished")?;
    let node = &lab.nodes()[0];
    let at = |mut pod: Value| {
        pod["spec"]["nodeName"] = json!(node.name());
        pod
    };
    let mut ticking = shell("while true; do echo tick; sleep 0.1; done");
    ticking["stdin"] = json!(true);
    case.run(at(pod("work", None, json!([ticking]))))?;
    case.run(at(server("server")))?;
    // Connections the API server keeps are there before the count.
    client::run(&case, Protocol::WebSocket, &["exec", "work", "--", "true"], b"")?.ok()?;
    let before = descriptors(node)?;
    for protocol in BOTH {
        let talk = "while true; do echo tick; sleep 0.01; done";
        for round in 0..KILLED {
            // Some talk, some are silent: a stream on which nothing comes must be missed too.
            let script = if round % 2 == 0 {
                talk
            } else {
                "echo tick; exec sleep 100000"
            };
            let exec = Running::open(&case, protocol, &["exec", "-i", "work", "--", "sh", "-c", script])?;
            let attach = Running::open(&case, protocol, &["attach", "-i", "work"])?;
            let forwarding = Forwarding::start(&case, protocol, "pod/server", &[8000, 8003])?;
            forwarding.get("/")?;
            exec.until("tick")?;
            attach.until("tick")?;
            ensure!(descriptors(node)? > before, "streams have descriptors");
            for mut client in [exec, attach, forwarding.kubectl] {
                client.kill();
            }
        }
    }
    eventually(
        &format!("{}: {before} descriptors or fewer", node.name()),
        LIMIT,
        || {
            let (now, open) = (descriptors(node)?, open_streams(lab, node)?);
            Ok(if now <= before + 2 && open == 0 {
                Seen::Yes(())
            } else {
                Seen::No(format!("{now} descriptors, {open} streams"))
            })
        },
    )
}

/// The agent is restarted: sessions end, the container does not, and the next agent serves it.
pub(crate) fn agent_restarts(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "stream-restart")?;
    let node = &lab.nodes()[0];
    let work = case.run(pod(
        "work",
        Some(node.name()),
        json!([shell("exec sleep 100000")]),
    ))?;
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let inside = |protocol| {
            let session = Running::open(
                &case,
                protocol,
                &["exec", "-i", "work", "--", "sh", "-c", "echo in; cat"],
            )?;
            session.until("in").map(|_| session)
        };
        let sessions = [inside(Protocol::WebSocket)?, inside(Protocol::Spdy)?];
        node.kill_agent(signal)?;
        for mut session in sessions {
            // Its exit code tells nothing: kubectl takes a session that ends without a status for a good one.
            session.end(LIMIT).with_context(|| format!("{signal}"))?;
        }
        node.start_agent()?;
        agent::back(lab, node)?;
        eventually("exec works again", LIMIT, || {
            let done = client::run(
                &case,
                Protocol::WebSocket,
                &["exec", "work", "--", "hostname"],
                b"",
            )?;
            Ok(if done.code == 0 && done.stdout == b"work\n" {
                Seen::Yes(())
            } else {
                Seen::No(format!("{done:?}"))
            })
        })?;
        let now = case.pod("work")?;
        ensure!(
            restarts(&now) == 0 && status(&now)["containerID"] == status(&work)["containerID"],
            "{signal}: another container: {}",
            now["status"]
        );
    }
    Ok(())
}

/// Sessions the agent says are open; upstream's does not say.
fn open_streams(lab: &Lab, node: &Node) -> Result<u64> {
    if lab.upstream {
        return Ok(0);
    }
    let text = node.exec(&[
        "curl",
        "-sS",
        "--max-time",
        "5",
        "http://127.0.0.1:10249/debug/state",
    ])?;
    let state: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
    state["streams"]["open"]
        .as_u64()
        .with_context(|| format!("no count of streams in {text}"))
}

fn descriptors(node: &Node) -> Result<usize> {
    let pid = node.agent_pid().context("the agent does not run")?;
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

/// Resident memory in KiB.
pub(crate) fn resident(pid: u32) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.context("no VmRSS")?.parse()?)
}
