//! Measures a node's footprint and pod start, rustlet and upstream in turn on the same machine.
//!
//! Each round brings up a one-node cluster with rustlet, measures it, and does the same with kubelet + kube-proxy + CNI
//! plugins. Quote the ratios and medians: absolute numbers belong to the machine and the hour.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::cluster::{Cluster, Options};
use crate::demo::stage::MY_APP;
use crate::dirs;
use crate::kube::{Kube, Seen, condition, eventually};
use crate::node::{AgentKind, Node};

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
    let file = dirs::target_dir().join("bench/node.json");
    fs::create_dir_all(file.parent().unwrap_or(Path::new(".")))?;
    fs::write(&file, serde_json::to_vec_pretty(&samples)?)
        .with_context(|| format!("write {}", file.display()))?;
    println!("written to {}", file.display());
    Ok(())
}

fn measure(agent: AgentKind) -> Result<Sample> {
    let name = if agent == AgentKind::Upstream {
        "upstream"
    } else {
        "rustlet"
    };
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
    let (before, all_before) = (cpu_ticks(node)?, all_ticks(node)?);
    sleep(IDLE);
    let ticks = cpu_ticks(node)? - before;
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
        // A tick is 10 ms (USER_HZ is 100 on every Linux ABI Rust runs on).
        idle_cpu_percent: ticks as f64 / IDLE.as_secs_f64(),
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
    Ok(ticks.max(0.0) * 10.0 / f64::from(SCRAPES))
}

/// As [`cpu_ticks`], with containerd's. What its shims do is left out on both sides.
fn all_ticks(node: &Node) -> Result<u64> {
    let containerd = node.containerd_pid().context("containerd runs")?;
    Ok(cpu_ticks(node)? + ticks_of(containerd)?)
}

/// utime + stime + those of reaped children of all processes of the agent, in ticks: proc(5), stat.
fn cpu_ticks(node: &Node) -> Result<u64> {
    let mut sum = 0;
    for pid in node.agent_pids() {
        sum += ticks_of(pid)?;
    }
    Ok(sum)
}

fn ticks_of(pid: u32) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("unexpected /proc/<pid>/stat")?;
    let fields = fields.split_whitespace().skip(11).take(4);
    Ok(fields.filter_map(|field| field.parse::<u64>().ok()).sum())
}

/// Rss, Pss and private memory of all processes of the agent, in KiB: proc(5), smaps_rollup.
fn memory(node: &Node) -> Result<[u64; 3]> {
    let mut sum = [0; 3];
    for pid in node.agent_pids() {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let slot = match words.next() {
                Some("Rss:") => 0,
                Some("Pss:") => 1,
                Some("Private_Clean:" | "Private_Dirty:") => 2,
                _ => continue,
            };
            sum[slot] += words
                .next()
                .and_then(|word| word.parse::<u64>().ok())
                .unwrap_or(0);
        }
    }
    Ok(sum)
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
        println!("{title:28} {ours:10.2} {theirs:10.2} {:8.1}x", theirs / ours);
    };
    println!(
        "{:28} {:>10} {:>10} {:>9}",
        "median", "rustlet", "upstream", "ratio"
    );
    row("3 pods, apply to Ready, s", &|s| s.apply_to_ready_s.clone());
    row("RSS with 20 pods, MiB", &|s| vec![mib(s.rss_kib)]);
    row("PSS with 20 pods, MiB", &|s| vec![mib(s.pss_kib)]);
    row("private with 20 pods, MiB", &|s| vec![mib(s.private_kib)]);
    row("idle CPU with 20 pods, %", &|s| vec![s.idle_cpu_percent]);
    row("CPU of a scrape, 20 pods, ms", &|s| vec![s.scrape_cpu_ms]);
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
