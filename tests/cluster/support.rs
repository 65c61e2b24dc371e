//! The one cluster of a test run, and what every case needs: a namespace of its own, pods to ask from, waiting.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use nix::sys::signal::Signal;
use rustlet_lab::cluster::{Cluster, Options};
use rustlet_lab::demo::stage::COREDNS;
use rustlet_lab::images;
use rustlet_lab::inside::Residue;
use rustlet_lab::kube::{self, Kube, Seen, condition, describe_pods, eventually};
use rustlet_lab::node::{AgentKind, Guest, Node};
use rustlet_lab::ns::Machine;
use rustlet_lab::progress::Step;
use serde_json::{Value, json};

/// How long anything may take before it counts as not happening. Nothing asserts that things are fast.
pub(crate) const LIMIT: Duration = Duration::from_secs(90);

/// Namespaces of tests carry this label, so that the last case can remove what a failed one has left.
const LABEL: &str = "lab-test";

/// The cluster under test.
pub(crate) struct Lab {
    /// The API server.
    pub(crate) kube: Kube,
    /// Upstream's components in rustlet's place: proves the tests themselves.
    pub(crate) upstream: bool,
    /// What was on each node before the first test.
    pub(crate) before: Vec<Residue>,
    cluster: Cluster,
    tools: Vec<Value>,
}

static LAB: Mutex<Option<Result<Arc<Lab>, String>>> = Mutex::new(None);

/// The cluster, brought up when the first selected test asks for it.
pub(crate) fn lab() -> Result<Arc<Lab>> {
    let mut lab = LAB.lock().unwrap_or_else(PoisonError::into_inner);
    let up = lab.get_or_insert_with(|| match Lab::up() {
        Ok(lab) => Ok(Arc::new(lab)),
        Err(error) => Err(format!("{error:#}")),
    });
    up.clone()
        .map_err(|error| anyhow!("the cluster did not come up: {error}"))
}

/// Takes the cluster down if there is one; returns what is left of it nevertheless.
pub(crate) fn down(failed: bool) -> Vec<String> {
    let lab = LAB.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(Ok(lab)) = lab else { return Vec::new() };
    if failed {
        lab.cluster.keep_logs();
        eprintln!("logs are kept in target/lab/logs");
    }
    // No test runs any more, so this is the last one; otherwise its end is when the other goes.
    Arc::into_inner(lab).map_or_else(Vec::new, |lab| lab.cluster.down())
}

/// Whether upstream's components stand in for rustlet.
pub(crate) fn upstream() -> bool {
    std::env::var("RUSTLET_LAB_AGENT").is_ok_and(|agent| agent == "upstream")
}

impl Lab {
    fn up() -> Result<Lab> {
        let upstream = upstream();
        let rustlet = AgentKind::Rustlet(env!("CARGO_BIN_EXE_rustlet").into());
        let agent = if upstream { AgentKind::Upstream } else { rustlet };
        eprintln!("bringing the cluster up ({agent:?})");
        let progress = &mut |step| match step {
            Step::Doing(what) => eprintln!("         {what}"),
            Step::Done(what, took) => eprintln!("{:6.1} s {what}", took.as_secs_f64()),
        };
        let cluster = Cluster::up(Options {
            nodes: 2,
            agent,
            agent_args: vec![format!("--container-log-max-size={}", crate::logs::MAX_SIZE)],
            keep_logs: false,
            progress,
        })?;
        let kube = Kube::connect(cluster.control())?;
        let mut lab = Lab {
            kube,
            upstream,
            before: Vec::new(),
            cluster,
            tools: Vec::new(),
        };
        lab.before = lab.nodes().iter().map(Node::residue).collect::<Result<_>>()?;
        lab.kube.apply("kube-system", COREDNS)?;
        wait_ready(&lab.kube, "kube-system", "k8s-app=kube-dns", 2).context("CoreDNS")?;
        lab.tools = lab.start_tools().context("the pods that tests ask from")?;
        Ok(lab)
    }

    /// One pod per node with curl, dig and Python, for everybody to ask from.
    fn start_tools(&self) -> Result<Vec<Value>> {
        make_namespace(&self.kube, self.tools_ns())?;
        let script =
            "import signal,sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); signal.pause()";
        let container =
            json!({"name": "tool", "image": images::PYTHON, "command": ["python3", "-c", script]});
        for node in self.nodes() {
            let tool = pod(
                &format!("tool-{}", node.name()),
                Some(node.name()),
                json!([container]),
            );
            self.kube.create(&collection(self.tools_ns(), "pods"), &tool)?;
        }
        wait_ready(&self.kube, self.tools_ns(), "", self.nodes().len())
    }

    /// The namespace of the tool pods.
    pub(crate) fn tools_ns(&self) -> &'static str {
        "tools"
    }

    /// The tool pod of a node, by the node's index.
    pub(crate) fn tool(&self, node: usize) -> Result<&Value> {
        self.tools
            .get(node)
            .with_context(|| format!("there is no node {node}"))
    }

    pub(crate) fn nodes(&self) -> &[Node] {
        self.cluster.nodes()
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// A machine beside the nodes that is no node.
    pub(crate) fn outside(&self) -> &Machine {
        self.cluster.outside()
    }

    pub(crate) fn node_name(&self, number: usize) -> &str {
        self.nodes()[number].name()
    }

    pub(crate) fn node_of(&self, pod: &Value) -> Result<&Node> {
        self.cluster
            .node(pod["spec"]["nodeName"].as_str().unwrap_or_default())
    }

    /// Runs a command in the first container of a pod.
    pub(crate) fn exec(&self, pod: &Value, argv: &[&str]) -> Result<String> {
        let container = pod["spec"]["containers"][0]["name"].as_str().unwrap_or_default();
        self.exec_in(pod, container, argv)
    }

    /// Runs a command in a container of a pod.
    pub(crate) fn exec_in(&self, pod: &Value, container: &str, argv: &[&str]) -> Result<String> {
        self.node_of(pod)?.pod_exec(pod, container, argv)
    }

    /// GETs a URL from within a pod.
    pub(crate) fn curl(&self, from: &Value, url: &str) -> Result<String> {
        self.exec(from, &["curl", "-sS", "--max-time", "5", url])
    }

    /// Connects from within a pod: `connected`, `refused`, or what else happened.
    pub(crate) fn connect(&self, from: &Value, host: &str, port: u16) -> Result<String> {
        let script = "import socket,sys\n\
                      try:\n    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5); print('connected')\n\
                      except ConnectionRefusedError: print('refused')\n\
                      except OSError as e: print(repr(e))";
        let said = self.exec(from, &["python3", "-c", script, host, &port.to_string()])?;
        Ok(said.trim().to_owned())
    }

    /// Deletes every namespace that tests have made and waits until they are gone.
    pub(crate) fn delete_namespaces(&self) -> Result<()> {
        let path = format!("/api/v1/namespaces?labelSelector={LABEL}");
        for namespace in self.kube.list(&path)? {
            self.kube
                .delete(&format!("/api/v1/namespaces/{}", kube::name(&namespace)))?;
        }
        eventually("no namespaces of tests", LIMIT, || {
            let left = self.kube.list(&path)?;
            let names: Vec<&str> = left.iter().map(kube::name).collect();
            Ok(if names.is_empty() {
                Seen::Yes(())
            } else {
                Seen::No(names.join(" "))
            })
        })
    }
}

/// One test's namespace; deleted with it.
pub(crate) struct Case<'a> {
    pub(crate) lab: &'a Lab,
    pub(crate) ns: String,
}

impl Drop for Case<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        // The last case removes what this could not.
        let _ = self.lab.kube.delete(&format!("/api/v1/namespaces/{}", self.ns));
    }
}

impl<'a> Case<'a> {
    pub(crate) fn new(lab: &'a Lab, name: &str) -> Result<Case<'a>> {
        make_namespace(&lab.kube, name)?;
        Ok(Case {
            lab,
            ns: name.to_owned(),
        })
    }

    /// `kubectl apply` in the namespace.
    pub(crate) fn apply(&self, yaml: &str) -> Result<()> {
        self.lab.kube.apply(&self.ns, yaml).map(drop)
    }

    /// Creates an object of a kind (`pods`, `services`, `deployments`, `configmaps`).
    pub(crate) fn create(&self, kind: &str, object: &Value) -> Result<Value> {
        self.lab.kube.create(&collection(&self.ns, kind), object)
    }

    /// The path of an object.
    pub(crate) fn path(&self, kind: &str, name: &str) -> String {
        format!("{}/{name}", collection(&self.ns, kind))
    }

    /// Creates a pod and waits until it is ready.
    pub(crate) fn run(&self, pod: Value) -> Result<Value> {
        let name = kube::name(&self.create("pods", &pod)?).to_owned();
        self.until(&name, "ready", |pod| condition(pod, "Ready") == "True")
    }

    /// Waits until something is true of a pod and returns it.
    pub(crate) fn until(&self, name: &str, what: &str, is: impl Fn(&Value) -> bool) -> Result<Value> {
        eventually(
            &format!("pod {} {what}", self.ns.clone() + "/" + name),
            LIMIT,
            || {
                let pod = self.pod(name)?;
                Ok(if is(&pod) {
                    Seen::Yes(pod)
                } else {
                    Seen::No(describe_pods(&[pod]))
                })
            },
        )
    }

    /// Exactly `count` pods, all ready.
    pub(crate) fn ready(&self, selector: &str, count: usize) -> Result<Vec<Value>> {
        wait_ready(&self.lab.kube, &self.ns, selector, count)
    }

    pub(crate) fn pod(&self, name: &str) -> Result<Value> {
        self.lab.kube.pod(&self.ns, name)
    }

    pub(crate) fn logs(&self, pod: &Value, container: &str) -> Result<String> {
        self.lab.node_of(pod)?.pod_logs(pod, container)
    }

    pub(crate) fn node_name<'v>(&self, pod: &'v Value) -> &'v str {
        pod["spec"]["nodeName"].as_str().unwrap_or_default()
    }

    pub(crate) fn cluster_ip(&self, service: &str) -> Result<Ipv4Addr> {
        let service = self.lab.kube.get(&self.path("services", service))?;
        Ok(service["spec"]["clusterIP"]
            .as_str()
            .unwrap_or_default()
            .parse()?)
    }

    /// Waits until a Service has exactly `count` ready endpoints, and every node's rules lead to them.
    pub(crate) fn endpoints(&self, service: &str, count: usize) -> Result<()> {
        let object = self.lab.kube.get(&self.path("services", service))?;
        let port = u16::try_from(object["spec"]["ports"][0]["port"].as_u64().unwrap_or(0))?;
        let address = self.cluster_ip(service)?;
        for node in self.lab.nodes() {
            eventually(
                &format!("{}: {service} leads to {count} pods", node.name()),
                LIMIT,
                || {
                    let found = rustlet_lab::rules::service(&node.nat_rules()?, "tcp", address, port);
                    let found = found.map(|found| found.endpoints).unwrap_or_default();
                    Ok(if found.len() == count {
                        Seen::Yes(())
                    } else {
                        Seen::No(format!("{found:?}"))
                    })
                },
            )?;
        }
        Ok(())
    }

    /// The reasons of the events about an object, and their messages.
    pub(crate) fn events(&self, name: &str) -> Result<Vec<(String, String)>> {
        let events = self.lab.kube.list(&collection(&self.ns, "events"))?;
        let about = events
            .iter()
            .filter(|event| event["involvedObject"]["name"] == name);
        let text = |event: &Value, key: &str| event[key].as_str().unwrap_or_default().to_owned();
        Ok(about
            .map(|event| (text(event, "reason"), text(event, "message")))
            .collect())
    }

    /// Waits until there are events with all of these reasons about an object.
    pub(crate) fn expect_events(&self, name: &str, reasons: &[&str]) -> Result<()> {
        eventually(
            &format!("events {reasons:?} about {}/{name}", self.ns),
            LIMIT,
            || {
                let events = self.events(name)?;
                let all = reasons
                    .iter()
                    .all(|wanted| events.iter().any(|(reason, _)| reason == wanted));
                Ok(if all {
                    Seen::Yes(())
                } else {
                    Seen::No(format!("{events:?}"))
                })
            },
        )
    }
}

fn make_namespace(kube: &Kube, name: &str) -> Result<()> {
    let namespace = json!({"metadata": {"name": name, "labels": {LABEL: "true"}}});
    kube.create("/api/v1/namespaces", &namespace)?;
    // Pods are refused until the controllers have made their account and its CA.
    let account = format!("/api/v1/namespaces/{name}/serviceaccounts/default");
    let roots = format!("/api/v1/namespaces/{name}/configmaps/kube-root-ca.crt");
    for path in [account, roots] {
        eventually(&path, LIMIT, || {
            Ok(kube
                .find(&path)?
                .map_or_else(|| Seen::No("not found".to_owned()), |_| Seen::Yes(())))
        })?;
    }
    Ok(())
}

fn collection(namespace: &str, kind: &str) -> String {
    let group = if kind == "deployments" {
        "apis/apps/v1"
    } else {
        "api/v1"
    };
    format!("/{group}/namespaces/{namespace}/{kind}")
}

fn wait_ready(kube: &Kube, namespace: &str, selector: &str, count: usize) -> Result<Vec<Value>> {
    eventually(
        &format!("{count} ready pods {selector} in {namespace}"),
        LIMIT,
        || {
            let pods = kube.pods(namespace, selector)?;
            let well = |pod: &&Value| {
                condition(pod, "Ready") == "True" && pod["metadata"]["deletionTimestamp"].is_null()
            };
            let all = pods.len() == count && pods.iter().all(|pod| well(&pod));
            Ok(if all {
                Seen::Yes(pods)
            } else {
                Seen::No(describe_pods(&pods))
            })
        },
    )
}

/// A pod that ends quickly, on a node when one is named.
pub(crate) fn pod(name: &str, node: Option<&str>, containers: Value) -> Value {
    let mut pod = json!({
        "metadata": {"name": name, "labels": {"name": name}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": containers},
    });
    if let Some(node) = node {
        pod["spec"]["nodeName"] = json!(node);
    }
    pod
}

/// The echo server, with a quick readiness probe.
pub(crate) fn echo_container() -> Value {
    json!({
        "name": "echo", "image": images::ECHO, "ports": [{"containerPort": 8000}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8000}, "periodSeconds": 1},
    })
}

/// A container that runs a shell script.
pub(crate) fn shell(script: &str) -> Value {
    json!({"name": "main", "image": images::BUSYBOX, "command": ["sh", "-c", script]})
}

/// A pod's address.
pub(crate) fn address(pod: &Value) -> &str {
    pod["status"]["podIP"].as_str().unwrap_or_default()
}

/// The pod an echo server's answer comes from.
pub(crate) fn name_in(answer: &str) -> String {
    let name = answer.lines().find_map(|line| line.strip_prefix("pod: "));
    name.unwrap_or("nobody").to_owned()
}

/// The status of a pod's only (or first) container.
pub(crate) fn status(pod: &Value) -> &Value {
    &pod["status"]["containerStatuses"][0]
}

pub(crate) fn restarts(pod: &Value) -> u64 {
    status(pod)["restartCount"].as_u64().unwrap_or(0)
}

/// A third node while a case runs; its agent and its Node go with it.
pub(crate) struct Third<'a> {
    lab: &'a Lab,
    guest: Guest,
}

impl<'a> Third<'a> {
    pub(crate) fn new(lab: &'a Lab) -> Result<Self> {
        let guest = lab.cluster().guest()?;
        Ok(Self { lab, guest })
    }
}

impl std::ops::Deref for Third<'_> {
    type Target = Guest;

    fn deref(&self) -> &Guest {
        &self.guest
    }
}

impl Drop for Third<'_> {
    fn drop(&mut self) {
        if self.guest.agent_pid().is_some() {
            let _ = self.guest.kill_agent(Signal::SIGKILL);
        }
        let _ = self
            .lab
            .kube
            .delete(&format!("/api/v1/nodes/{}", self.guest.name()));
    }
}
