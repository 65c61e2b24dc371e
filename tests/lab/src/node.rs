//! A node: a machine with its own directories, cgroup parent, containerd and agent.

mod agent;
mod containerd;
mod power;
mod upstream;

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

pub use agent::AgentKind;

use crate::binaries::Binaries;
use crate::certs::{Pair, Pki, kubeconfig};
use crate::control::Control;
use crate::ns::Machine;
use crate::proc::Proc;
use crate::site::Site;
use crate::{net, registry};

/// Where a node's kubeconfig is, inside the node.
pub const KUBECONFIG: &str = "/etc/kubernetes/kubelet.conf";

/// What all nodes of a cluster have in common.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) binaries: Binaries,
    pub(crate) agent: AgentKind,
    pub(crate) agent_args: Vec<String>,
    pub(crate) server: String,
}

/// One node.
#[derive(Debug)]
pub struct Node {
    name: String,
    address: Ipv4Addr,
    machine: Arc<Machine>,
    settings: Arc<Settings>,
    cgroup_root: String,
    dir: PathBuf,
    logs: PathBuf,
    containerd: Mutex<Option<Proc>>,
    agents: Mutex<Vec<Proc>>,
}

impl Node {
    /// Makes the machine, connects it and starts containerd. The agent is started with [`Node::start_agent`].
    pub(crate) fn start(
        site: &Site,
        control: &Control,
        settings: &Arc<Settings>,
        number: usize,
    ) -> Result<Self> {
        let name = format!("worker-{number}");
        let address = net::node_address(number);
        let machine = site.machine(&name)?;
        net::connect(control.machine(), &machine, address, true)?;
        let (dir, logs) = (site.dir().join(&name), site.logs(&name)?);
        for part in ["var-lib", "cni-bin"] {
            fs::create_dir_all(dir.join(part)).with_context(|| format!("create {}", dir.display()))?;
        }
        let cgroup_root = site.cgroup(&name)?;
        let node = Self {
            name,
            address,
            machine,
            settings: Arc::clone(settings),
            cgroup_root,
            dir,
            logs,
            containerd: Mutex::default(),
            agents: Mutex::default(),
        };
        node.lay_out()
            .with_context(|| format!("directories of {}", node.name))?;
        node.write_credentials(control.pki())?;
        node.start_containerd()?;
        Ok(node)
    }

    /// Another node of the same kind as this one. It lives until it is dropped.
    pub(crate) fn beside(&self, site: &Arc<Site>, control: &Control, number: usize) -> Result<Guest> {
        Ok(Guest {
            node: Self::start(site, control, &self.settings, number)?,
            site: Arc::clone(site),
        })
    }

    /// `worker-1`, `worker-2`, …
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address on the nodes' network.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// The machine, to look around in it.
    pub fn machine(&self) -> &Arc<Machine> {
        &self.machine
    }

    /// Name of the cgroup all its pods are in.
    pub fn cgroup_root(&self) -> &str {
        &self.cgroup_root
    }

    /// Directory of its logs on the host: `/var/log` in the node.
    pub fn logs(&self) -> &Path {
        &self.logs
    }

    /// Runs a command in the node and returns its standard output.
    pub fn exec(&self, argv: &[&str]) -> Result<String> {
        self.machine.exec(argv)
    }

    /// Runs `ctr -n k8s.io …` in the node.
    pub fn ctr(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new(self.settings.binaries.path("ctr")?);
        let output = self.machine.run(command.args(["-n", "k8s.io"]).args(args))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Starts containerd and waits until it answers.
    pub fn start_containerd(&self) -> Result<()> {
        let process = containerd::start(self)?;
        containerd::wait_ready(self, &process)?;
        *lock(&self.containerd) = Some(process);
        Ok(())
    }

    /// Sends containerd a signal and waits for its end; containers keep running.
    pub fn kill_containerd(&self, signal: Signal) -> Result<()> {
        let process = lock(&self.containerd)
            .take()
            .with_context(|| format!("no containerd runs on {}", self.name))?;
        end(&process, signal)
    }

    /// Starts the agent (and what belongs to it); does not wait for anything.
    pub fn start_agent(&self) -> Result<()> {
        self.start_agent_with(&[])
    }

    /// As [`Node::start_agent`], with more flags (of the kubelet, where upstream's components run).
    pub fn start_agent_with(&self, more: &[&str]) -> Result<()> {
        let mut agents = lock(&self.agents);
        if agents.first().is_some_and(Proc::is_running) {
            bail!("the agent of {} runs already", self.name);
        }
        agents.clear();
        *agents = agent::start(self, more)?;
        Ok(())
    }

    /// Sends the agent a signal and waits for its end; containers keep running.
    pub fn kill_agent(&self, signal: Signal) -> Result<()> {
        let agents = std::mem::take(&mut *lock(&self.agents));
        if agents.is_empty() {
            bail!("no agent runs on {}", self.name);
        }
        agents.iter().try_for_each(|process| end(process, signal))
    }

    /// Process id of the agent on the host while it runs.
    pub fn agent_pid(&self) -> Option<u32> {
        let agents = lock(&self.agents);
        agents
            .first()
            .filter(|process| process.is_running())
            .map(Proc::pid)
    }

    /// Process id of containerd, while it runs.
    pub fn containerd_pid(&self) -> Option<u32> {
        lock(&self.containerd)
            .as_ref()
            .filter(|process| process.is_running())
            .map(Proc::pid)
    }

    /// Process ids on the host of the agent and what belongs to it: kubelet and kube-proxy are two, rustlet is one.
    pub fn agent_pids(&self) -> Vec<u32> {
        let agents = lock(&self.agents);
        agents
            .iter()
            .filter(|process| process.is_running())
            .map(Proc::pid)
            .collect()
    }

    /// The agent's log; a restarted agent appends to it.
    pub fn agent_log(&self) -> PathBuf {
        self.logs.join("agent.log")
    }

    /// An error with the last log lines when containerd or the agent has ended by itself.
    pub fn check_alive(&self) -> Result<()> {
        let (containerd, agents) = (lock(&self.containerd), lock(&self.agents));
        for process in containerd.iter().chain(agents.iter()) {
            if let Some(status) = process.ended() {
                bail!(
                    "{}: {} has ended ({status}):\n{}",
                    self.name,
                    process.line(),
                    process.last_words(15)
                );
            }
        }
        Ok(())
    }

    /// Who makes it a node.
    pub(crate) fn agent(&self) -> &AgentKind {
        &self.settings.agent
    }

    /// Where upstream's kubelet is, when the cluster's nodes are upstream's.
    pub(crate) fn upstream_kubelet(&self) -> Result<&Path> {
        self.settings.binaries.path("kubelet")
    }

    /// The flags an agent needs here that nothing else tells it.
    pub(crate) fn extra_args(&self) -> String {
        agent::extra_args(self)
    }

    /// Upstream's pod network on a node beside the others.
    pub(crate) fn configure_upstream_network(&self, pod_cidr: &str) -> Result<()> {
        upstream::link_plugins(self)?;
        upstream::configure_network(self, pod_cidr, &[])
    }

    /// Directory containerd looks for CNI plugins in.
    fn cni_bin(&self) -> PathBuf {
        self.dir.join("cni-bin")
    }

    /// Covers everything a node writes to with directories of its own.
    fn lay_out(&self) -> Result<()> {
        let dir = self.dir.display().to_string();
        let logs = self.logs.display().to_string();
        self.machine
            .sh(LAYOUT, &[&dir, &logs, &self.name, &self.address.to_string()])?;
        registry::write_mirrors(
            &self.machine.path("/etc/containerd/certs.d"),
            (net::CONTROL, registry::PORT).into(),
        )
    }

    fn write_credentials(&self, pki: &Pki) -> Result<()> {
        let pair = pki.node(&self.name)?;
        self.write_kubeconfig(&kubeconfig(
            &self.settings.server,
            pki.authority.certificate(),
            &pair,
        ))?;
        let proxy = pki.kubeconfig("kube-proxy", &self.settings.server)?;
        self.write("/etc/kubernetes/kube-proxy.conf", &proxy)?;
        self.write("/etc/kubernetes/pki/ca.crt", pki.authority.certificate())
    }

    /// Replaces the agent's credentials, for a test of bad ones. They are read when the agent starts.
    pub fn set_credentials(&self, server: &str, ca: &str, client: &Pair) -> Result<()> {
        self.write_kubeconfig(&kubeconfig(server, ca, client))
    }

    /// Replaces the agent's kubeconfig with any text.
    pub fn write_kubeconfig(&self, text: &str) -> Result<()> {
        self.write(KUBECONFIG, text)
    }

    /// Writes a file of the node.
    pub fn write(&self, path: &str, text: &str) -> Result<()> {
        let outside = self.machine.path(path);
        if let Some(dir) = outside.parent() {
            fs::create_dir_all(dir)
                .with_context(|| format!("{}: create the directory of {path}", self.name))?;
        }
        fs::write(&outside, text).with_context(|| format!("{}: write {path}", self.name))
    }

    /// Reads a file of the node.
    pub fn read(&self, path: &str) -> Result<String> {
        fs::read_to_string(self.machine.path(path)).with_context(|| format!("{}: read {path}", self.name))
    }
}

/// A node that goes before its cluster does.
#[derive(Debug)]
pub struct Guest {
    node: Node,
    site: Arc<Site>,
}

impl std::ops::Deref for Guest {
    type Target = Node;
    fn deref(&self) -> &Node {
        &self.node
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.site.release(&self.node.machine);
    }
}

/// `$1` the node's directory, `$2` its logs, `$3` its name, `$4` its address. `/etc` is a copy in memory; `/run`,
/// `/var/lib` and `/var/log` are the node's own. Directories that hold pods' mounts propagate, each in a peer group of its
/// own (private first), or every mount in it would appear twice.
const LAYOUT: &str = r#"
mkdir -p "$1/etc"
mount -t tmpfs -o mode=755 tmpfs "$1/etc"
cp -a /etc/. "$1/etc/"
mount --move "$1/etc" /etc
rm -rf /etc/cni /etc/kubernetes /etc/containerd /etc/resolv.conf /etc/hostname /etc/hosts
mkdir -p /etc/cni/net.d /etc/kubernetes/pki /etc/kubernetes/manifests /etc/containerd/certs.d
# Nobody answers DNS there: a Pod with the node's DNS fails at once instead of asking the machine's servers.
echo "nameserver 172.30.0.1" > /etc/resolv.conf
echo "$3" > /etc/hostname
printf '127.0.0.1 localhost\n%s %s\n' "$4" "$3" > /etc/hosts
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/netns /run/lock /run/containerd
mount --make-shared /run
mount --bind /run/netns /run/netns
mount --make-private /run/netns
mount --make-shared /run/netns
mount --bind "$1/var-lib" /var/lib
mount --make-shared /var/lib
mkdir -p /var/lib/kubelet /var/lib/containerd /var/lib/cni
mount --bind /var/lib/kubelet /var/lib/kubelet
mount --make-private /var/lib/kubelet
mount --make-shared /var/lib/kubelet
mount --bind "$2" /var/log
mkdir -p /var/log/pods /var/log/containers
"#;

fn end(process: &Proc, signal: Signal) -> Result<()> {
    process.signal(signal)?;
    let status = process.wait(Duration::from_secs(60));
    status
        .with_context(|| format!("{} did not end within 60 s after {signal}", process.line()))
        .map(drop)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives upstream's nodes their pod network, once all pod CIDRs are known: one per node, in their order.
pub(crate) fn configure_upstream_network(nodes: &[Node], pod_cidrs: &[String]) -> Result<()> {
    for (node, cidr) in nodes.iter().zip(pod_cidrs) {
        let others = nodes
            .iter()
            .zip(pod_cidrs)
            .filter(|(other, _)| other.name != node.name);
        let others: Vec<_> = others
            .map(|(other, cidr)| (cidr.clone(), other.address))
            .collect();
        upstream::configure_network(node, cidr, &others)?;
    }
    Ok(())
}
