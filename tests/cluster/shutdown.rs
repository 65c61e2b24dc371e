//! The machine goes down, and its Pods before it, lowest priority first. The machines here run no systemd: a bus of the
//! node's own stands where the system bus is, and on it a stand-in for logind.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use rustlet::testing::fake_systemd::{FakeSystemd, bus_config};
use rustlet_lab::kube::{Seen, condition, eventually};
use rustlet_lab::proc::Proc;
use serde_json::{Value, json};

use crate::support::{Case, LIMIT, Lab, Third, pod, restarts, shell};

/// The other cases' Pods stay away.
const TAINT: &str = "--register-with-taints=lab-test=shutdown:NoSchedule";
const DROP_INS: &str = "/etc/kubernetes/kubelet.conf.d";
const SOCKET: &str = "/run/dbus/system_bus_socket";
/// Where kubelet and the agent remember the last shutdown.
const STATE: &str = "/var/lib/kubelet/graceful_node_shutdown_state";
/// The first group has too little time for one of its Pods, the others have plenty.
const SETTINGS: &str = "apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
shutdownGracePeriodByPodPriority:
- {priority: 2000000000, shutdownGracePeriodSeconds: 20}
- {priority: 0, shutdownGracePeriodSeconds: 6}
- {priority: 1000, shutdownGracePeriodSeconds: 20}
";
/// All three.
const TOTAL: Duration = Duration::from_secs(46);

/// A third node with a bus, while a case runs.
struct Mortal<'a> {
    lab: &'a Lab,
    node: Third<'a>,
    _bus: Proc,
    /// Runs the stand-in.
    runtime: tokio::runtime::Runtime,
}

impl<'a> Mortal<'a> {
    fn new(lab: &'a Lab) -> Result<Self> {
        let node = Third::new(lab)?;
        node.exec(&["mkdir", "-p", "/run/dbus"])?;
        node.write("/etc/dbus-1/lab.conf", &bus_config(SOCKET))?;
        #[expect(clippy::disallowed_methods, reason = "it lives as long as the test")]
        let mut daemon = Command::new("dbus-daemon");
        daemon.args(["--nofork", "--config-file=/etc/dbus-1/lab.conf"]);
        let bus = node.machine().spawn(&mut daemon, &node.logs().join("dbus.log"))?;
        let socket = node.machine().path(SOCKET);
        eventually("the bus", LIMIT, || {
            Ok(if std::os::unix::net::UnixStream::connect(&socket).is_ok() {
                Seen::Yes(())
            } else {
                Seen::No(bus.last_words(3))
            })
        })?;
        node.write(&format!("{DROP_INS}/10-shutdown.conf"), SETTINGS)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        Ok(Self {
            lab,
            node,
            _bus: bus,
            runtime,
        })
    }

    /// logind and systemd come to the bus.
    fn systemd(&self) -> Result<FakeSystemd> {
        let machine = self.node.machine();
        let address = format!("unix:path={}", machine.path(SOCKET).display());
        let root: PathBuf = machine.path("/");
        Ok(self.runtime.block_on(FakeSystemd::start(&address, root))?)
    }

    fn start(&self) -> Result<()> {
        self.node
            .start_agent_with(&[TAINT, &format!("--config-dir={DROP_INS}")])
    }

    fn ready_condition(&self) -> Result<Value> {
        let node = self
            .lab
            .kube
            .get(&format!("/api/v1/nodes/{}", self.node.name()))?;
        let all = node["status"]["conditions"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let ready = all.into_iter().find(|c| c["type"] == "Ready");
        ready.context("the Node has no condition Ready")
    }

    fn until_ready(&self, status: &str) -> Result<Value> {
        eventually(&format!("the node's Ready is {status}"), LIMIT, || {
            let ready = self.ready_condition()?;
            Ok(if ready["status"] == status {
                Seen::Yes(ready)
            } else {
                Seen::No(ready.to_string())
            })
        })
    }

    fn until_locks(&self, systemd: &FakeSystemd, count: usize) -> Result<()> {
        eventually(&format!("{count} locks"), LIMIT, || {
            let locks = systemd.locks();
            Ok(if locks.len() == count {
                Seen::Yes(())
            } else {
                Seen::No(format!("{locks:?}"))
            })
        })
    }

    /// A Pod for this node, of a class of priority.
    fn pod(&self, name: &str, class: Option<&str>, script: &str) -> Value {
        let mut pod = pod(name, Some(self.node.name()), json!([shell(script)]));
        pod["spec"]["terminationGracePeriodSeconds"] = 60.into();
        pod["spec"]["restartPolicy"] = "Always".into();
        if let Some(class) = class {
            pod["spec"]["priorityClassName"] = class.into();
        }
        pod["spec"]["tolerations"] = json!([
            {"key": "lab-test", "operator": "Exists"},
            {"operator": "Exists", "effect": "NoExecute"},
        ]);
        pod
    }

    fn metric(&self, name: &str) -> Result<f64> {
        let path = format!("/api/v1/nodes/{}/proxy/metrics", self.node.name());
        let answer = self.lab.kube.get(&path)?;
        let text = answer.as_str().unwrap_or_default();
        let mut lines = text.lines();
        let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line
            .with_context(|| format!("no metric {name}"))?
            .trim()
            .parse()?)
    }
}

/// Ends two seconds after it is asked to, and says when it was asked and when it ended, in seconds since the machine
/// started.
const SLOW: &str = "end() { read a b < /proc/uptime; sleep 2; read c d < /proc/uptime; echo $a $c > /dev/termination-log; \
                    exit 3; }; trap end TERM; while :; do sleep 0.1; done";
/// Ends when it is killed.
const STUBBORN: &str = "trap '' TERM; while :; do sleep 1; done";

/// What [`SLOW`] has said.
fn told(pod: &Value) -> Result<(f64, f64)> {
    let said = &pod["status"]["containerStatuses"][0]["state"]["terminated"]["message"];
    let text = said.as_str().with_context(|| format!("no last words: {pod}"))?;
    let (asked, ended) = text.trim().split_once(' ').context("two times")?;
    Ok((asked.parse()?, ended.parse()?))
}

/// Waits until the shutdown has ended a Pod; returns it.
fn ended(case: &Case<'_>, name: &str) -> Result<Value> {
    let pod = case.until(name, "has ended", |pod| pod["status"]["phase"] == "Failed")?;
    let status = &pod["status"];
    let message = "Pod was terminated in response to imminent node shutdown.";
    ensure!(
        status["reason"] == "Terminated" && status["message"] == message,
        "{name}: {status}"
    );
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    let target = conditions.iter().find(|c| c["type"] == "DisruptionTarget");
    ensure!(
        target.is_some_and(|c| c["status"] == "True"
            && c["reason"] == "TerminationByKubelet"
            && c["message"] == message),
        "{name}: {conditions:?}"
    );
    Ok(pod)
}

/// Pods end in the order of their priorities, new ones are turned away, and then the machine may go; when it does not,
/// the node works again.
pub(crate) fn by_priority(lab: &Lab) -> Result<()> {
    let node = Mortal::new(lab)?;
    let case = Case::new(lab, "shutdown-by-priority")?;
    let class = json!({"metadata": {"name": "shutdown-middle"}, "value": 1500});
    let classes = "/apis/scheduling.k8s.io/v1/priorityclasses";
    lab.kube.delete(&format!("{classes}/shutdown-middle")).ok();
    lab.kube.create(classes, &class)?;
    let systemd = node.systemd()?;
    node.start()?;
    lab.cluster().adopt(&node.node)?;
    lab.cluster().wait_ready(&node.node)?;
    node.until_locks(&systemd, 1)?;
    ensure!(systemd.delay() == TOTAL, "{:?}", systemd.delay());
    ensure!(
        systemd.locks()[0]
            == [
                "shutdown",
                "kubelet",
                "Kubelet needs time to handle node shutdown",
                "delay"
            ],
        "{:?}",
        systemd.locks()
    );

    case.run(node.pod("low", None, SLOW))?;
    case.run(node.pod("stubborn", None, STUBBORN))?;
    case.run(node.pod("middle", Some("shutdown-middle"), SLOW))?;

    // The end of the agent is no shutdown.
    node.node.kill_agent(Signal::SIGTERM)?;
    node.until_locks(&systemd, 0)?;
    node.start()?;
    node.until_locks(&systemd, 1)?;
    // Once this one runs, the agent has taken up the others again.
    case.run(node.pod("high", Some("system-node-critical"), SLOW))?;

    systemd.prepare(true);
    let ready = node.until_ready("False")?;
    ensure!(
        ready["reason"] == "KubeletNotReady" && ready["message"] == "node is shutting down",
        "{ready}"
    );
    let events = lab.kube.list("/api/v1/namespaces/default/events")?;
    let said = events
        .iter()
        .find(|e| e["reason"] == "Shutdown" && e["involvedObject"]["name"] == node.node.name());
    ensure!(
        said.is_some_and(|e| e["message"] == "Shutdown manager detected shutdown event"),
        "{said:?}"
    );
    case.create("pods", &node.pod("late", None, SLOW))?;
    let late = case.until("late", "turned away", |pod| pod["status"]["phase"] == "Failed")?;
    ensure!(
        late["status"]["reason"] == "NodeShutdown"
            && late["status"]["message"]
                == "Pod was rejected: Pod was rejected as the node is shutting down.",
        "{}",
        late["status"]
    );

    let low = ended(&case, "low")?;
    let stubborn = ended(&case, "stubborn")?;
    let middle = ended(&case, "middle")?;
    ensure!(systemd.locks().len() == 1, "held until all have ended");
    let high = ended(&case, "high")?;
    node.until_locks(&systemd, 0)?;
    for pod in [&low, &stubborn, &middle, &high] {
        ensure!(restarts(pod) == 0, "{}", pod["status"]);
    }
    let code = &stubborn["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"];
    ensure!(*code == 137, "killed when the time of its group was over: {code}");
    let (low, middle, high) = (told(&low)?, told(&middle)?, told(&high)?);
    ensure!(middle.0 >= low.1, "{low:?} {middle:?}");
    ensure!(high.0 >= middle.1, "{middle:?} {high:?}");

    let (start, end) = (
        node.metric("kubelet_graceful_shutdown_start_time_seconds")?,
        node.metric("kubelet_graceful_shutdown_end_time_seconds")?,
    );
    ensure!(start > 1.7e9 && end >= start + 8.0, "{start} {end}");
    let state: Value = serde_json::from_str(&node.node.read(STATE)?)?;
    for time in ["startTime", "endTime"] {
        let text = state[time].as_str().unwrap_or_default();
        ensure!(text.starts_with("20"), "{state}");
    }

    systemd.prepare(false);
    node.until_ready("True")?;
    node.until_locks(&systemd, 1)?;
    case.run(node.pod("later", None, "trap 'exit 0' TERM; while :; do sleep 0.1; done"))?;
    ensure!(case.pod("low")?["status"]["phase"] == "Failed", "it stays ended");

    if !lab.upstream {
        // Upstream would not notice: the connection is to the bus.
        drop(systemd);
        let systemd = node.systemd()?;
        node.until_locks(&systemd, 1)?;
        ensure!(condition(&case.pod("later")?, "Ready") == "True");
    }
    lab.kube.delete(&format!("{classes}/shutdown-middle"))?;
    Ok(())
}

/// Without a bus the agent says so once and works.
pub(crate) fn no_bus(lab: &Lab) -> Result<()> {
    let node = Mortal::new(lab)?;
    node.node.exec(&["rm", SOCKET])?;
    let case = Case::new(lab, "shutdown-no-bus")?;
    node.start()?;
    lab.cluster().adopt(&node.node)?;
    lab.cluster().wait_ready(&node.node)?;
    case.run(node.pod("web", None, "trap 'exit 0' TERM; while :; do sleep 0.1; done"))?;
    let log = std::fs::read_to_string(node.node.agent_log())?;
    let said = log
        .lines()
        .filter(|line| line.contains("shutdowns of the machine do not wait"));
    ensure!(said.count() == 1, "{log}");
    Ok(())
}
