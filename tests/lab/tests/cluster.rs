//! The lab itself: a control plane and machines come up, are reachable, and leave nothing. Needs root; the first run
//! builds the real components.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustlet_lab::cluster::{Cluster, Options};
use rustlet_lab::kubectl::wait;
use rustlet_lab::node::{AgentKind, KUBECONFIG};
use rustlet_lab::ns::Scope;

const BRIEFLY: Duration = Duration::from_secs(30);

#[test]
fn a_cluster_without_agents_is_whole_and_leaves_nothing() -> Result<()> {
    let cluster = Cluster::up(Options {
        nodes: 2,
        agent: AgentKind::Nobody,
        agent_args: Vec::new(),
        keep_logs: false,
        progress: &mut |step| println!("{step:?}"),
    })?;
    let node = cluster.node("worker-1")?;
    ensure!(cluster.kubectl(&["get", "--raw", "/readyz"])?.trim() == "ok");

    // The node's credentials are a node's, and work from inside the node.
    let kubectl = cluster.client().program().display().to_string();
    let who = node.exec(&[&kubectl, "--kubeconfig", KUBECONFIG, "auth", "whoami"])?;
    ensure!(
        who.contains("system:node:worker-1") && who.contains("system:nodes"),
        "{who}"
    );

    // Machines reach each other; what one writes is its own.
    let other = cluster.node("worker-2")?;
    let listener = node
        .machine()
        .enter(Scope::NetOnly, || Ok(TcpListener::bind((node.address(), 0))?))?;
    let address = listener.local_addr()?;
    for machine in [other.machine(), cluster.outside()] {
        machine.enter(Scope::NetOnly, || {
            Ok(TcpStream::connect_timeout(&address, BRIEFLY)?)
        })?;
    }
    ensure!(
        TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_err(),
        "the host has no way in"
    );
    node.write("/var/lib/kubelet/mark", "1")?;
    ensure!(other.read("/var/lib/kubelet/mark").is_err() && !Path::new("/var/lib/kubelet/mark").exists());
    ensure!(node.exec(&["cat", "/etc/hostname"])?.trim() == "worker-1");

    // Images come from the lab's registry by their upstream names.
    let ctr = |args: &[&str]| node.ctr(args);
    ctr(&[
        "image",
        "pull",
        "--hosts-dir",
        "/etc/containerd/certs.d",
        rustlet_lab::images::PAUSE,
    ])?;

    // Components and runtimes can be killed and started again.
    node.kill_containerd(Signal::SIGKILL)?;
    ensure!(node.ctr(&["version"]).is_err());
    node.start_containerd()?;
    cluster.control().restart_api_server(Signal::SIGKILL)?;
    cluster.check_alive()?;

    let left = cluster.down();
    ensure!(left.is_empty(), "{left:#?}");
    Ok(())
}

#[test]
fn ctrl_c_leaves_nothing() -> Result<()> {
    let mut lab = Running::start()?;
    lab.signal(Signal::SIGINT)?;
    let status = lab.child.wait()?;
    ensure!(status.success(), "{status}");
    ensure!(!lab.dir.exists() && lab.processes().is_empty() && lab.cgroups().is_empty());
    Ok(())
}

#[test]
fn a_killed_lab_takes_its_processes_along_and_the_rest_is_swept() -> Result<()> {
    let mut lab = Running::start()?;
    ensure!(lab.processes().iter().any(|line| line.contains("kube-apiserver")));
    lab.signal(Signal::SIGKILL)?;
    lab.child.wait()?;
    wait("no process of the lab", BRIEFLY, || {
        Ok(lab.processes().is_empty().then_some(()))
    })?;
    let swept = rustlet_lab::site::sweep()?;
    ensure!(!lab.dir.exists() && lab.cgroups().is_empty(), "swept: {swept:?}");
    Ok(())
}

/// `lab up` as a process of its own.
struct Running {
    child: Child,
    dir: PathBuf,
}

impl Running {
    fn start() -> Result<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
        command
            .args(["up", "--agent", "nobody", "--nodes", "1"])
            .stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let lines = BufReader::new(child.stdout.take().context("no output")?).lines();
        let mut dir = None;
        for line in lines {
            let line = line?;
            println!("{line}");
            if let Some(kubeconfig) = line.strip_prefix("export KUBECONFIG=") {
                dir = Path::new(kubeconfig).parent().map(Path::to_owned);
            }
            if line.starts_with("Ctrl-C") {
                break;
            }
        }
        Ok(Self {
            child,
            dir: dir.context("it did not come up")?,
        })
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill(Pid::from_raw(self.child.id().cast_signed()), signal)?)
    }

    /// Command lines that mention the lab's directory.
    fn processes(&self) -> Vec<String> {
        let dir = self.dir.display().to_string();
        let all = fs::read_dir("/proc").into_iter().flatten().flatten();
        let lines = all.map(|entry| fs::read(entry.path().join("cmdline")).unwrap_or_default());
        let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
        lines.filter(|line| line.contains(&dir)).collect()
    }

    fn cgroups(&self) -> Vec<PathBuf> {
        let id = self
            .dir
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let name = format!("rustlet-lab-{id}");
        let hierarchies = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
        let below = hierarchies.map(|entry| entry.path().join(&name));
        below
            .chain([Path::new("/sys/fs/cgroup").join(&name)])
            .filter(|dir| dir.exists())
            .collect()
    }
}
