//! A node's footprint and the start of a Deployment.
//!
//! Each round brings up a one-node cluster with rustlet, measures it, and does the same with kubelet + kube-proxy + CNI
//! plugins.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::cluster::{Cluster, Options};
use crate::demo::stage::MY_APP;
use crate::kube::{Kube, Seen, condition, eventually};
use crate::node::{AgentKind, Node};

use super::usage::{TICK_MS, agent_ticks, memory, mib, percent, runtime_ticks};
use super::{agent_name, median};

/// Pods the footprint is measured with.
const PODS: u32 = 20;
/// `kubectl apply` of the three replicas, this many times in a round.
const STARTS: usize = 5;
/// The node is left alone before, and for, the idle measurement.
const SETTLE: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_secs(30);
/// Scrapes of everything a Prometheus reads of a node, this many, and this far apart (more than an answer is kept).
const SCRAPES: u32 = 6;
const SCRAPE_EVERY: Duration = Duration::from_secs(6);
const SCRAPED: [&str; 3] = ["metrics/resource", "metrics/cadvisor", "stats/summary"];
const LIMIT: Duration = Duration::from_secs(180);

/// One agent in one round.
#[derive(Clone, Debug, Serialize)]
pub struct Sample {
    /// `rustlet` or `upstream`.
    pub agent: &'static str,
    /// Seconds from `kubectl apply` to three of three replicas Ready, images present.
    pub apply_to_ready_s: Vec<f64>,
    /// Resident set of the agent's processes with [`PODS`] pods, in KiB.
    pub rss_kib: u64,
    /// Proportional set of the same, in KiB.
    pub pss_kib: u64,
    /// Private (unshared) memory of the same, in KiB.
    pub private_kib: u64,
    /// Percent of one core the agent and its exec'd children used while idle with [`PODS`] pods.
    pub idle_cpu_percent: f64,
    /// CPU time of agent and containerd for one scrape of resource and cAdvisor metrics and the summary with
    /// [`PODS`] pods, beyond what they use idle, in ms.
    pub scrape_cpu_ms: f64,
}

/// Runs `rounds` rounds, prints what was found and writes it to `target/bench/node.json`.
pub fn run(rustlet: AgentKind, rounds: usize) -> Result<()> {
    if let AgentKind::Rustlet(path) = &rustlet {
        let size = fs::metadata(path)
            .with_context(|| format!("look at {}", path.display()))?
            .len();
        println!("binary: {} is {:.1} MB", path.display(), size as f64 / 1e6);
    }
    let mut samples = Vec::new();
    for round in 1..=rounds {
        for agent in [rustlet.clone(), AgentKind::Upstream] {
            let sample = measure(agent)?;
            println!("round {round}: {}", describe(&sample));
            samples.push(sample);
        }
    }
    summarise(&samples);
    super::write("node", &samples)
}

fn measure(agent: AgentKind) -> Result<Sample> {
    let name = agent_name(&agent);
    let cluster = Cluster::up(Options {
        nodes: 1,
        agent,
        agent_args: Vec::new(),
        keep_logs: false,
        progress: &mut |_| (),
    })?;
    let kube = Kube::connect(cluster.control())?;
    let node = cluster.node("worker-1")?;
    // The first start pulls the image; it is not counted.
    start_three(&cluster, &kube)?;
    let apply_to_ready_s = (0..STARTS)
        .map(|_| start_three(&cluster, &kube))
        .collect::<Result<_>>()?;
    kube.apply("default", MY_APP)?;
    kube.scale("default", "my-app", PODS)?;
    ready(&kube, PODS as usize)?;
    sleep(SETTLE);
    let (before, all_before) = (agent_ticks(node)?, all_ticks(node)?);
    sleep(IDLE);
    let ticks = agent_ticks(node)? - before;
    let idle = (all_ticks(node)? - all_before) as f64 / IDLE.as_secs_f64();
    let scrape_cpu_ms = scrape(&cluster, node, idle)?;
    let [rss_kib, pss_kib, private_kib] = memory(node)?;
    drop(cluster);
    Ok(Sample {
        agent: name,
        apply_to_ready_s,
        rss_kib,
        pss_kib,
        private_kib,
        idle_cpu_percent: percent(ticks, IDLE),
        scrape_cpu_ms,
    })
}

/// Applies the three replicas, waits until they are Ready, deletes them again. Seconds from apply to Ready.
fn start_three(cluster: &Cluster, kube: &Kube) -> Result<f64> {
    let start = Instant::now();
    cluster.kubectl_stdin(&["apply", "-f", "-"], MY_APP)?;
    ready(kube, 3)?;
    let took = start.elapsed().as_secs_f64();
    kube.delete_manifest("default", MY_APP)?;
    eventually("no pods", LIMIT, || {
        Ok(Seen::equal(kube.pods("default", "")?.len(), 0))
    })?;
    Ok(took)
}

fn ready(kube: &Kube, count: usize) -> Result<()> {
    eventually(&format!("{count} pods Ready"), LIMIT, || {
        let pods = kube.pods("default", "app=my-app")?;
        Ok(Seen::equal(
            pods.iter()
                .filter(|pod| condition(pod, "Ready") == "True")
                .count(),
            count,
        ))
    })
}

/// Milliseconds of CPU time that one scrape costs; `idle` is what is used without, in ticks a second.
fn scrape(cluster: &Cluster, node: &Node, idle: f64) -> Result<f64> {
    let (start, before) = (Instant::now(), all_ticks(node)?);
    for _ in 0..SCRAPES {
        for path in SCRAPED {
            let path = format!("/api/v1/nodes/{}/proxy/{path}", node.name());
            cluster.kubectl(&["get", "--raw", &path])?;
        }
        sleep(SCRAPE_EVERY);
    }
    let ticks = (all_ticks(node)? - before) as f64 - idle * start.elapsed().as_secs_f64();
    Ok(ticks.max(0.0) * TICK_MS / f64::from(SCRAPES))
}

fn all_ticks(node: &Node) -> Result<u64> {
    Ok(agent_ticks(node)? + runtime_ticks(node)?)
}

fn describe(sample: &Sample) -> String {
    format!(
        "{:8}  3 pods apply → Ready {:.2} s (median of {})  with {PODS} pods: RSS {:.1} MiB, PSS {:.1}, private {:.1}, idle CPU {:.2} %, scrape {:.0} ms",
        sample.agent,
        median(sample.apply_to_ready_s.clone()),
        sample.apply_to_ready_s.len(),
        mib(sample.rss_kib),
        mib(sample.pss_kib),
        mib(sample.private_kib),
        sample.idle_cpu_percent,
        sample.scrape_cpu_ms,
    )
}

fn summarise(samples: &[Sample]) {
    let of = |agent: &str, value: &dyn Fn(&Sample) -> Vec<f64>| {
        median(
            samples
                .iter()
                .filter(|s| s.agent == agent)
                .flat_map(value)
                .collect(),
        )
    };
    let row = |title: &str, value: &dyn Fn(&Sample) -> Vec<f64>| {
        let (ours, theirs) = (of("rustlet", value), of("upstream", value));
        super::row(title, ours, theirs);
    };
    super::head();
    row("3 pods, apply to Ready, s", &|s| s.apply_to_ready_s.clone());
    row("RSS with 20 pods, MiB", &|s| vec![mib(s.rss_kib)]);
    row("PSS with 20 pods, MiB", &|s| vec![mib(s.pss_kib)]);
    row("private with 20 pods, MiB", &|s| vec![mib(s.private_kib)]);
    row("idle CPU with 20 pods, %", &|s| vec![s.idle_cpu_percent]);
    row("CPU of a scrape, 20 pods, ms", &|s| vec![s.scrape_cpu_ms]);
}
