//! What a node makes of its runtime: start overhead, bursts, deaths, idling, memory and restarts.
//!
//! Both agents run on the same containerd and runc, each with its own network plugins. The floor under them is what
//! `cri-floor` measures on the same node, with the same plugins, while the agent is down.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::usage::{agent_ticks, memory, mib, percent, runtime_ticks};
use super::watch::{Event, Watch};
use super::{agent_name, median, quantile};
use crate::cluster::{Cluster, Options};
use crate::images;
use crate::kube::{Kube, condition, name};
use crate::node::{AgentKind, Node};

/// Pods started one after the other.
const SERIAL: usize = 50;
/// Pods started at once.
const BURST: usize = 100;
/// Pods of a full node, kubelet's default.
const FULL: usize = 110;
/// Containers killed.
const DEATHS: usize = 50;
/// Containers whose end is awaited without an agent.
const FLOOR_DEATHS: usize = 20;
/// The node is left alone before it is measured idle.
const SETTLE: Duration = Duration::from_secs(15);
/// How long the agent is down when it is restarted; the control plane calls the node lost after 50 s.
const DOWN: Duration = Duration::from_secs(20);
const LIMIT: Duration = Duration::from_secs(300);
const PODS: &str = "/api/v1/namespaces/default/pods";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";

/// What to measure with.
#[derive(Clone, Debug)]
pub struct PodsOptions {
    /// The rustlet under test.
    pub rustlet: AgentKind,
    /// `cri-floor`.
    pub floor: PathBuf,
    /// Rounds; in each, rustlet and upstream are measured one after the other.
    pub rounds: usize,
    /// How long each idle measurement takes.
    pub idle: Duration,
}

/// One agent in one round. Times are in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Sample {
    /// `rustlet` or `upstream`.
    pub agent: &'static str,
    /// Bare CRI calls of each pod, one after the other.
    pub floor_ms: Vec<f64>,
    /// Bare CRI calls of all pods of a burst.
    pub floor_burst_ms: f64,
    /// From a container's end to the runtime's event.
    pub floor_death_ms: Vec<f64>,
    /// Each pod from bound to Running, one after the other.
    pub start_ms: Vec<f64>,
    /// From the first pod bound to the last one Running.
    pub burst_ms: f64,
    /// From a container's death to the status that tells it.
    pub death_ms: Vec<f64>,
    /// What is used while nothing happens, with 0, 50 and 110 pods.
    pub idle: [Idle; 3],
    /// Percent of a core containerd uses with 109 pods and no agent: it collects statistics whoever asks.
    pub runtime_alone_percent: f64,
    /// Resident, proportional and private memory with 110 pods, KiB.
    pub memory_kib: [u64; 3],
    /// From the start of a killed agent to its next sign of life at the API server (its Lease renewed).
    pub restart_lease_ms: f64,
    /// From the start of a killed agent to Running of a pod that was bound meanwhile.
    pub restart_pod_ms: f64,
    /// Pods that were reported not Ready after the restart.
    pub restart_flips: usize,
    /// Containers that were started again after it.
    pub restart_restarts: i64,
}

/// Percent of a core.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Idle {
    /// The agent and its children.
    pub agent: f64,
    /// containerd.
    pub runtime: f64,
}

/// Runs the rounds, prints what was found and writes it to `target/bench/pods.json`.
pub fn run(options: &PodsOptions) -> Result<()> {
    let mut samples = Vec::new();
    for round in 1..=options.rounds {
        for agent in [options.rustlet.clone(), AgentKind::Upstream] {
            println!("round {round}: {}", agent_name(&agent));
            samples.push(measure(agent, options)?);
        }
    }
    super::write("pods", &samples)?;
    summarise(&samples);
    Ok(())
}

/// What `cri-floor` prints.
#[derive(Debug, Deserialize)]
struct Floor {
    pods_ms: Vec<f64>,
    all_ms: f64,
}

fn measure(agent: AgentKind, options: &PodsOptions) -> Result<Sample> {
    let name = agent_name(&agent);
    let cluster = Cluster::up(Options {
        nodes: 1,
        agent,
        agent_args: Vec::new(),
        keep_logs: false,
        progress: &mut |_| (),
    })?;
    let bench = Bench {
        kube: Kube::connect(cluster.control())?,
        node: cluster.node("worker-1")?,
        pods: Watch::start(&cluster, PODS)?,
        leases: Watch::start(&cluster, LEASES)?,
        cluster: &cluster,
    };
    bench.wait_for_account()?;
    // The first one pulls the image; it is not counted.
    bench.start("first")?;
    bench.remove_all()?;

    let idle_none = bench.idle(options.idle)?;
    bench.node.kill_agent(Signal::SIGTERM)?;
    let floor = bench.floor(&options.floor, SERIAL, None)?;
    let floor_burst = bench.floor(&options.floor, BURST, Some("--burst"))?;
    let floor_deaths = bench.floor(&options.floor, FLOOR_DEATHS, Some("--deaths"))?;
    bench.node.start_agent()?;
    cluster.wait_ready(bench.node)?;
    bench.say("floor", &floor.pods_ms);
    bench.say("floor of deaths", &floor_deaths.pods_ms);

    let start_ms = (0..SERIAL)
        .map(|number| bench.start(&format!("serial-{number}")))
        .collect::<Result<Vec<_>>>()?;
    bench.say("start", &start_ms);
    let idle_half = bench.idle(options.idle)?;
    bench.remove_all()?;

    let burst_ms = bench.burst(BURST)?;
    bench.say("burst", &[burst_ms]);
    for number in BURST..FULL {
        bench.start(&format!("burst-{number}"))?;
    }
    let idle_full = bench.idle(options.idle)?;
    let memory_kib = memory(bench.node)?;
    let death_ms = bench.deaths()?;
    bench.say("death", &death_ms);
    // Kubelet takes 110 pods; the one of the restart needs room.
    bench.remove("burst-0")?;
    let restart = bench.restart()?;
    Ok(Sample {
        agent: name,
        floor_ms: floor.pods_ms,
        floor_burst_ms: floor_burst.all_ms,
        floor_death_ms: floor_deaths.pods_ms,
        start_ms,
        burst_ms,
        death_ms,
        idle: [idle_none, idle_half, idle_full],
        runtime_alone_percent: restart.runtime_alone,
        memory_kib,
        restart_lease_ms: restart.lease_ms,
        restart_pod_ms: restart.pod_ms,
        restart_flips: restart.flips,
        restart_restarts: restart.restarts,
    })
}

/// A cluster under measurement.
struct Bench<'a> {
    cluster: &'a Cluster,
    kube: Kube,
    node: &'a Node,
    pods: Watch,
    leases: Watch,
}

struct Restart {
    lease_ms: f64,
    pod_ms: f64,
    flips: usize,
    restarts: i64,
    runtime_alone: f64,
}

impl Bench<'_> {
    fn say(&self, what: &str, values: &[f64]) {
        println!(
            "         {what}: median {:.1} ms, worst {:.1}",
            median(values.to_vec()),
            quantile(values.to_vec(), 1.0)
        );
    }

    /// Pods cannot be created before the namespace has its service account.
    fn wait_for_account(&self) -> Result<()> {
        let path = "/api/v1/namespaces/default/serviceaccounts/default";
        self.cluster
            .wait("the default service account", LIMIT, || self.kube.find(path))?;
        Ok(())
    }

    /// Creates a pod that is bound already; the scheduler's time is nobody's here.
    fn create(&self, pod: &str) -> Result<()> {
        self.kube.create(PODS, &manifest(pod, self.node.name()))?;
        Ok(())
    }

    /// Milliseconds from bound to Running of a new pod.
    fn start(&self, pod: &str) -> Result<f64> {
        let mark = self.pods.mark();
        self.create(pod)?;
        let running = self.pods.first(&format!("{pod} Running"), mark, LIMIT, |event| {
            name(&event.object) == pod && is_running(&event.object)
        })?;
        let bound = self.pods.first(&format!("{pod} bound"), mark, LIMIT, |event| {
            name(&event.object) == pod
        })?;
        Ok(between(bound.at, running.at))
    }

    /// Milliseconds from the first bound to the last Running of pods that are created at once.
    fn burst(&self, count: usize) -> Result<f64> {
        let mark = self.pods.mark();
        let names: Vec<String> = (0..count).map(|number| format!("burst-{number}")).collect();
        std::thread::scope(|scope| {
            let parts = names.chunks(count.div_ceil(8));
            let threads: Vec<_> = parts
                .map(|part| scope.spawn(move || part.iter().try_for_each(|pod| self.create(pod))))
                .collect();
            threads.into_iter().try_for_each(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
        })?;
        let mut waiting: BTreeSet<String> = names.into_iter().collect();
        let last = self.pods.first("all Running", mark, LIMIT, |event| {
            is_running(&event.object) && waiting.remove(name(&event.object)) && waiting.is_empty()
        })?;
        let first = self.pods.first("one bound", mark, LIMIT, |_| true)?;
        Ok(between(first.at, last.at))
    }

    fn remove(&self, pod: &str) -> Result<()> {
        let mark = self.pods.mark();
        self.kube.delete(&format!("{PODS}/{pod}"))?;
        self.pods.first(&format!("{pod} gone"), mark, LIMIT, |event| {
            event.gone && name(&event.object) == pod
        })?;
        Ok(())
    }

    fn remove_all(&self) -> Result<()> {
        for pod in self.kube.list(PODS)? {
            self.kube.delete(&format!("{PODS}/{}", name(&pod)))?;
        }
        self.cluster.wait("no pods", LIMIT, || {
            Ok(self.kube.list(PODS)?.is_empty().then_some(()))
        })
    }

    fn floor(&self, program: &Path, pods: usize, mode: Option<&'static str>) -> Result<Floor> {
        let program = program.display().to_string();
        let (pods, parent) = (pods.to_string(), format!("{}/floor", self.node.cgroup_root()));
        let mut argv = vec![&*program, "--pods", &pods, "--image", images::BUSYBOX];
        argv.extend(["--cgroup-parent", &parent]);
        argv.extend(mode);
        let said = self.node.exec(&argv)?;
        serde_json::from_str(&said).with_context(|| format!("what cri-floor said: {said}"))
    }

    /// What is used over a time in which nothing happens.
    fn idle(&self, time: Duration) -> Result<Idle> {
        sleep(SETTLE);
        let (agent, runtime) = (agent_ticks(self.node)?, runtime_ticks(self.node)?);
        sleep(time);
        let idle = Idle {
            agent: percent(agent_ticks(self.node)? - agent, time),
            runtime: percent(runtime_ticks(self.node)? - runtime, time),
        };
        println!(
            "         idle: {:.2} % of a core, containerd {:.2} %",
            idle.agent, idle.runtime
        );
        Ok(idle)
    }

    /// Kills containers one after the other. Milliseconds until the status tells it.
    fn deaths(&self) -> Result<Vec<f64>> {
        let pids = container_pids()?;
        let pods = self.kube.list(PODS)?;
        let killed = pods.iter().take(DEATHS).map(|pod| {
            let id = container_id(pod);
            let pid = *pids.get(&id).with_context(|| format!("no process of {id}"))?;
            let (mark, begin) = (self.pods.mark(), Instant::now());
            kill(Pid::from_raw(pid), Signal::SIGKILL)?;
            let told = self.pods.first(&format!("death of {id}"), mark, LIMIT, |event| {
                name(&event.object) == name(pod) && tells_death(&event.object, &id)
            })?;
            // Let the restart pass, so that it does not slow the next one.
            self.pods
                .first(&format!("restart of {id}"), mark, LIMIT, |event| {
                    name(&event.object) == name(pod)
                        && is_running(&event.object)
                        && container_id(&event.object) != id
                })?;
            Ok(between(begin, told.at))
        });
        killed.collect()
    }

    /// Kills the agent and starts it again, with a pod bound meanwhile.
    fn restart(&self) -> Result<Restart> {
        let before = restarts(&self.kube.list(PODS)?);
        self.node.kill_agent(Signal::SIGKILL)?;
        self.create("meanwhile")?;
        let alone = runtime_ticks(self.node)?;
        sleep(DOWN);
        let runtime_alone = percent(runtime_ticks(self.node)? - alone, DOWN);
        let (pods, leases, begin) = (self.pods.mark(), self.leases.mark(), Instant::now());
        self.node.start_agent()?;
        let renewed = self.leases.first("the Lease renewed", leases, LIMIT, |_| true)?;
        let running = self.pods.first("the new pod Running", pods, LIMIT, |event| {
            name(&event.object) == "meanwhile" && is_running(&event.object)
        })?;
        // What flips does it when the first probes and relists are through.
        sleep(SETTLE);
        let flipped = |event: &Event| {
            name(&event.object) != "meanwhile" && !event.gone && condition(&event.object, "Ready") != "True"
        };
        let flips: BTreeSet<String> = self
            .pods
            .since(pods)
            .iter()
            .filter(|event| flipped(event))
            .map(|event| name(&event.object).to_owned())
            .collect();
        let after = restarts(&self.kube.list(PODS)?);
        ensure!(
            after >= before,
            "restart counts have gone down: {before} to {after}"
        );
        Ok(Restart {
            lease_ms: between(begin, renewed.at),
            pod_ms: between(begin, running.at),
            flips: flips.len(),
            restarts: after - before,
            runtime_alone,
        })
    }
}

fn manifest(pod: &str, node: &str) -> Value {
    let main = json!({"name": "main", "image": images::BUSYBOX, "command": ["sleep", "100000"]});
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": pod},
        "spec": {"nodeName": node, "terminationGracePeriodSeconds": 1, "containers": [main]},
    })
}

fn between(begin: Instant, end: Instant) -> f64 {
    end.saturating_duration_since(begin).as_secs_f64() * 1e3
}

fn is_running(pod: &Value) -> bool {
    pod["status"]["phase"] == "Running"
        && !pod["status"]["containerStatuses"][0]["state"]["running"].is_null()
}

/// Without the `containerd://`.
fn container_id(pod: &Value) -> String {
    let id = pod["status"]["containerStatuses"][0]["containerID"].as_str();
    let id = id.unwrap_or_default();
    id.rsplit('/').next().unwrap_or_default().to_owned()
}

/// Whether the status says that this instance of the container has ended.
fn tells_death(pod: &Value, id: &str) -> bool {
    let status = &pod["status"]["containerStatuses"][0];
    ["state", "lastState"].iter().any(|state| {
        let ended = status[state]["terminated"]["containerID"].as_str();
        ended.is_some_and(|ended| ended.ends_with(id))
    })
}

fn restarts(pods: &[Value]) -> i64 {
    let of = |pod: &Value| pod["status"]["containerStatuses"][0]["restartCount"].as_i64();
    pods.iter().filter_map(of).sum()
}

/// The host's process id of each container's `sleep`, by the container's id, which its cgroup is named after.
fn container_pids() -> Result<BTreeMap<String, i32>> {
    let mut pids = BTreeMap::new();
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        let pid = path.file_name().and_then(|name| name.to_str()?.parse().ok());
        let read = |file: &str| fs::read_to_string(path.join(file)).unwrap_or_default();
        if let Some(pid) = pid.filter(|_| read("comm").trim() == "sleep") {
            let groups = read("cgroup");
            let group = groups.lines().find_map(|line| line.rsplit('/').next());
            pids.extend(group.map(|group| (group.to_owned(), pid)));
        }
    }
    Ok(pids)
}

fn summarise(samples: &[Sample]) {
    let of = |agent: &str, value: &dyn Fn(&Sample) -> Vec<f64>| -> Vec<f64> {
        samples
            .iter()
            .filter(|sample| sample.agent == agent)
            .flat_map(value)
            .collect()
    };
    let row = |title: &str, part: f64, value: &dyn Fn(&Sample) -> Vec<f64>| {
        let [ours, theirs] = ["rustlet", "upstream"].map(|agent| quantile(of(agent, value), part));
        super::row(title, ours, theirs);
    };
    super::head();
    row("CRI floor of a pod, ms, p50", 0.5, &|s| s.floor_ms.clone());
    row("start, ms, p50", 0.5, &|s| s.start_ms.clone());
    row("start over the floor, ms, p50", 0.5, &overhead);
    row("start over the floor, ms, p99", 0.99, &overhead);
    row("CRI floor of 100 at once, ms", 0.5, &|s| vec![s.floor_burst_ms]);
    row("100 at once, ms", 0.5, &|s| vec![s.burst_ms]);
    row("100 at once over their floor, times", 0.5, &|s| {
        vec![s.burst_ms / s.floor_burst_ms]
    });
    row("runtime's own share of a death, ms, p50", 0.5, &|s| {
        s.floor_death_ms.clone()
    });
    row("runtime's own share of a death, ms, p99", 0.99, &|s| {
        s.floor_death_ms.clone()
    });
    row("death to status, ms, p50", 0.5, &|s| s.death_ms.clone());
    row("death to status, ms, p99", 0.99, &|s| s.death_ms.clone());
    for (slot, pods) in [0, SERIAL, FULL].into_iter().enumerate() {
        let title = format!("idle CPU with {pods} pods, %");
        row(&title, 0.5, &|s| vec![s.idle[slot].agent]);
    }
    row("idle CPU with 110 pods and containerd, %", 0.5, &|s| {
        vec![s.idle[2].agent + s.idle[2].runtime]
    });
    row("the same beyond containerd alone, %", 0.5, &|s| {
        vec![s.idle[2].agent + s.idle[2].runtime - s.runtime_alone_percent]
    });
    for (slot, kind) in ["RSS", "PSS", "private"].into_iter().enumerate() {
        let title = format!("{kind} with {FULL} pods, MiB");
        row(&title, 0.5, &|s| vec![mib(s.memory_kib[slot])]);
    }
    row("restart to Lease renewed, ms", 0.5, &|s| vec![s.restart_lease_ms]);
    row("restart to a new pod Running, ms", 0.5, &|s| {
        vec![s.restart_pod_ms]
    });
    row("pods not Ready after it", 1.0, &|s| vec![s.restart_flips as f64]);
    row("containers restarted after it", 1.0, &|s| {
        vec![s.restart_restarts as f64]
    });
}

/// Each start beyond the median floor of its own round.
fn overhead(sample: &Sample) -> Vec<f64> {
    let floor = median(sample.floor_ms.clone());
    sample.start_ms.iter().map(|start| start - floor).collect()
}
