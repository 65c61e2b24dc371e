//! A whole cluster: up, used, down.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::binaries::{self, Binaries, Group};
use crate::control::Control;
use crate::kubectl::{Kubectl, wait};
use crate::node::{AgentKind, Guest, Node, Settings, configure_upstream_network};
use crate::ns::Machine;
use crate::progress::{Reporter, Step};
use crate::site::Site;
use crate::{dirs, images, net, packages, registry, signals};

/// What cluster to bring up.
pub struct Options<'a> {
    /// Number of nodes: `worker-1`, `worker-2`, ….
    pub nodes: usize,
    /// Who makes them nodes.
    pub agent: AgentKind,
    /// More flags for rustlet, or for upstream's kubelet.
    pub agent_args: Vec<String>,
    /// Keeps the logs in `target/lab/logs/<id>` after tear-down.
    pub keep_logs: bool,
    /// Told each step, on the caller's thread.
    pub progress: &'a mut dyn FnMut(Step),
}

impl std::fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} nodes with {:?} {:?}",
            self.nodes, self.agent, self.agent_args
        )
    }
}

/// A running cluster; torn down when dropped.
#[derive(Debug)]
pub struct Cluster {
    site: Arc<Site>,
    control: Control,
    nodes: Vec<Node>,
    outside: Arc<Machine>,
}

impl Cluster {
    /// Brings a cluster up: finds or builds what it runs, starts control plane and nodes side by side, and waits until
    /// every Node is Ready. A failed bring-up leaves nothing but its logs.
    pub fn up(options: Options<'_>) -> Result<Self> {
        let Options {
            nodes,
            agent,
            agent_args,
            keep_logs,
            progress,
        } = options;
        if nodes > net::MAX_NODES {
            bail!("{nodes} nodes: the lab has addresses for {}", net::MAX_NODES);
        }
        agent.check()?;
        let binaries = prerequisites(&agent, progress)?;
        let site = Site::claim(keep_logs)?;
        let built = Self::build(&site, binaries, nodes, (agent, agent_args), progress);
        built.map_err(|error| {
            signals::leave_to_watcher();
            site.keep_logs();
            site.tear_down();
            error.context(format!(
                "the cluster did not come up (logs: {})",
                site.kept_logs().display()
            ))
        })
    }

    fn build(
        site: &Arc<Site>,
        binaries: Binaries,
        count: usize,
        (agent, agent_args): (AgentKind, Vec<String>),
        progress: &mut dyn FnMut(Step),
    ) -> Result<Self> {
        net::ensure_bridge_netfilter()?;
        let control = Control::prepare(site, &binaries)?;
        let outside = site.machine("outside")?;
        net::connect(control.machine(), &outside, net::OUTSIDE, false)?;
        let settings = Arc::new(Settings {
            binaries,
            agent,
            agent_args,
            server: control.server(),
        });
        let (sender, receiver) = mpsc::channel();
        let nodes = std::thread::scope(|scope| {
            let report = Reporter(sender);
            let plane = scope.spawn({
                let (control, report) = (&control, report.clone());
                move || control.start(&report)
            });
            let nodes: Vec<_> = (1..=count)
                .map(|number| {
                    let (control, settings, report) = (&control, &settings, report.clone());
                    scope.spawn(move || {
                        let begin = Instant::now();
                        let node = Node::start(site, control, settings, number)?;
                        report.done(format!("{} has a machine and containerd", node.name()), begin);
                        Ok(node)
                    })
                })
                .collect();
            let images = scope.spawn({
                let (control, settings) = (&control, &settings);
                move || serve_images(control, &settings.binaries, &report)
            });
            receiver.iter().for_each(&mut *progress);
            joined(plane)?;
            joined(images)?;
            nodes.into_iter().map(joined).collect::<Result<Vec<_>>>()
        })?;
        let cluster = Self {
            site: Arc::clone(site),
            control,
            nodes,
            outside,
        };
        if settings.agent != AgentKind::Nobody {
            cluster.join_nodes(&settings.agent, progress)?;
        }
        Ok(cluster)
    }

    /// Starts the agents and waits until their Nodes are Ready.
    fn join_nodes(&self, agent: &AgentKind, progress: &mut dyn FnMut(Step)) -> Result<()> {
        let begin = Instant::now();
        progress(Step::Doing("starting the nodes' agents".to_owned()));
        if let AgentKind::Rustlet(_) = agent {
            self.kubectl(&ALLOW_NODES_TO_READ)?;
        }
        self.nodes.iter().try_for_each(Node::start_agent)?;
        let pod_cidrs = wait("pod CIDRs of all nodes", Duration::from_secs(90), || {
            self.try_pod_cidrs()
        })??;
        for (node, cidr) in self.nodes.iter().zip(&pod_cidrs) {
            net::route_pods(self.control.machine(), cidr, node.address())?;
        }
        if *agent == AgentKind::Upstream {
            configure_upstream_network(&self.nodes, &pod_cidrs)?;
        }
        for node in &self.nodes {
            self.wait_ready(node)?;
            progress(Step::Done(format!("{} Ready", node.name()), begin.elapsed()));
        }
        Ok(())
    }

    /// Gives a node that has joined by itself what a network add-on and a cloud would: the way to its pods.
    pub fn adopt(&self, node: &Node) -> Result<()> {
        let cidr = wait(
            &format!("pod CIDR of {}", node.name()),
            Duration::from_secs(60),
            || {
                let object = self.kubectl_json(&["get", "node", node.name()])?;
                Ok(object["spec"]["podCIDR"].as_str().map(str::to_owned))
            },
        )?;
        net::route_pods(self.control.machine(), &cidr, node.address())?;
        if *node.agent() == AgentKind::Upstream {
            node.configure_upstream_network(&cidr)?;
        }
        Ok(())
    }

    /// One pod CIDR per node in their order, when all have theirs; the inner error says what has ended.
    fn try_pod_cidrs(&self) -> Result<Option<Result<Vec<String>>>> {
        if let Err(error) = self.check_alive() {
            return Ok(Some(Err(error)));
        }
        let list = self.kubectl_json(&["get", "nodes"])?;
        let cidr = |node: &Node| {
            let items = list["items"].as_array()?;
            let found = items
                .iter()
                .find(|item| item["metadata"]["name"] == node.name())?;
            Some(found["spec"]["podCIDR"].as_str()?.to_owned())
        };
        Ok(self.nodes.iter().map(cidr).collect::<Option<Vec<_>>>().map(Ok))
    }

    /// Waits until a Node is Ready.
    pub fn wait_ready(&self, node: &Node) -> Result<()> {
        let path = r#"jsonpath={.status.conditions[?(@.type=="Ready")]}"#;
        wait(
            &format!("{} Ready", node.name()),
            Duration::from_secs(120),
            || {
                if let Err(error) = self.check_alive() {
                    return Ok(Some(Err(error)));
                }
                let condition = self.kubectl(&["get", "node", node.name(), "-o", path])?;
                if condition.contains(r#""status":"True""#) {
                    return Ok(Some(Ok(())));
                }
                bail!("{condition}\n{}", crate::proc::tail(&node.agent_log(), 15))
            },
        )?
    }

    /// Runs kubectl as cluster admin and returns what it prints.
    pub fn kubectl(&self, args: &[&str]) -> Result<String> {
        self.control.kubectl().run(args)
    }

    /// As [`Cluster::kubectl`], with standard input: `kubectl_stdin(&["apply", "-f", "-"], yaml)`.
    pub fn kubectl_stdin(&self, args: &[&str], input: &str) -> Result<String> {
        self.control.kubectl().run_with(args, input)
    }

    /// As [`Cluster::kubectl`] with `-o json`, parsed.
    pub fn kubectl_json(&self, args: &[&str]) -> Result<serde_json::Value> {
        self.control.kubectl().json(args)
    }

    /// Asks until there is an answer, every 50 to 300 ms; an error is "not yet", and the last one is reported.
    pub fn wait<T>(
        &self,
        what: &str,
        limit: Duration,
        check: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        wait(what, limit, check)
    }

    /// Fails, with the last log lines, when something that should run has ended.
    pub fn check_alive(&self) -> Result<()> {
        self.control.check_alive()?;
        self.nodes.iter().try_for_each(Node::check_alive)
    }

    /// The control plane.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// The client itself, for threads.
    pub fn client(&self) -> &Kubectl {
        self.control.kubectl()
    }

    /// The admin's kubeconfig, for the host.
    pub fn kubeconfig(&self) -> &Path {
        self.control.kubectl().kubeconfig()
    }

    /// All nodes.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// A node by its name.
    pub fn node(&self, name: &str) -> Result<&Node> {
        self.nodes
            .iter()
            .find(|node| node.name() == name)
            .with_context(|| format!("there is no node {name}"))
    }

    /// One more machine with containerd and the credentials of a node; its agent is started by the caller. It takes the
    /// first number that no node of the cluster has, so there can be one at a time.
    pub fn guest(&self) -> Result<Guest> {
        let first = self.nodes.first().context("the cluster has no nodes")?;
        first.beside(&self.site, &self.control, self.nodes.len() + 1)
    }

    /// One more registry of the same images, on another port, for those only who are in `users`: `user:bcrypt` lines.
    /// Nodes know it by its address, after [`PrivateRegistry::show_to`].
    pub fn private_registry(&self, port: u16, users: &str) -> Result<PrivateRegistry> {
        let (dir, address) = (self.control.dir(), SocketAddr::from((net::CONTROL, port)));
        let file = |what: &str| dir.join(format!("registry-{port}.{what}"));
        std::fs::write(file("users"), users).context("write the registry's users")?;
        let users = file("users");
        let (program, args) = registry::config(&dirs::lab_dir(), address, Some(&users), &file("yml"))?;
        let machine = self.control.machine();
        let log = self.control.logs().join(format!("registry-{port}.log"));
        let process = machine.spawn(Command::new(program).args(args), &log)?;
        wait("the private registry", Duration::from_secs(30), || {
            let connect = || Ok(std::net::TcpStream::connect(address).is_ok());
            Ok(machine.enter(crate::ns::Scope::NetOnly, connect)?.then_some(()))
        })?;
        Ok(PrivateRegistry {
            address,
            _process: process,
        })
    }

    /// A machine on the nodes' network that is no node and knows no route to pods: 172.30.0.200.
    pub fn outside(&self) -> &Arc<Machine> {
        &self.outside
    }

    /// Directory of this lab, with its logs below `logs/`.
    pub fn dir(&self) -> &Path {
        self.site.dir()
    }

    /// Keeps the logs at tear-down; for a test that has failed.
    pub fn keep_logs(&self) {
        self.site.keep_logs();
    }

    /// Tears everything down and returns what is left nevertheless: an empty list, or a bug.
    pub fn down(self) -> Vec<String> {
        self.site.tear_down()
    }
}

/// A registry that asks who pulls; ends with this value.
#[derive(Debug)]
pub struct PrivateRegistry {
    address: SocketAddr,
    _process: crate::proc::Proc,
}

impl PrivateRegistry {
    /// What images' names begin with: address and port.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Lets a node's containerd speak plain HTTP with it.
    pub fn show_to(&self, node: &Node) -> Result<()> {
        let dir = node.machine().path("/etc/containerd/certs.d");
        registry::write_mirror(&dir, &self.host(), self.address)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.site.tear_down();
    }
}

/// A node by itself may read neither other Nodes nor all Services; rustlet, being the Service proxy too, needs what
/// kube-proxy is allowed.
const ALLOW_NODES_TO_READ: [&str; 5] = [
    "create",
    "clusterrolebinding",
    "rustlet-node-proxier",
    "--clusterrole=system:node-proxier",
    "--group=system:nodes",
];

/// Packages and binaries.
fn prerequisites(agent: &AgentKind, progress: &mut dyn FnMut(Step)) -> Result<Binaries> {
    dirs::check_visible_in_nodes(&dirs::lab_dir())?;
    packages::ensure(&mut |text| progress(Step::Doing(text.to_owned())))?;
    let groups: &[Group] = if *agent == AgentKind::Upstream {
        &[Group::Upstream]
    } else {
        &[]
    };
    binaries::ensure(groups, &mut |step| progress(Step::Doing(step.to_string())))
}

/// Makes the images that are missing and starts the registry that nodes pull from.
fn serve_images(control: &Control, binaries: &Binaries, report: &Reporter) -> Result<()> {
    let begin = Instant::now();
    let lab = dirs::lab_dir();
    let say = |text: &str| report.doing(text);
    let set = images::ensure(&lab, binaries.path("coredns")?, &say)?;
    registry::push(&lab, &set, &say)?;
    let address = SocketAddr::from((net::CONTROL, registry::PORT));
    let (program, args) = registry::config(&lab, address, None, &control.dir().join("registry.yml"))?;
    control.run_component("registry", Command::new(program).args(args))?;
    report.done(format!("registry serves {} images", set.images.len()), begin);
    Ok(())
}

fn joined<T>(thread: std::thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
