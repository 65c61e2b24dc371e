//! The node agent: rustlet, or upstream's components in its place.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{KUBECONFIG, Node, upstream};
use crate::proc::Proc;
use crate::{dirs, net};

/// As in the configuration of upstream's kubelet.
const EVICTION_HARD: &str =
    "memory.available<50Mi,nodefs.available<1%,imagefs.available<1%,nodefs.inodesFree<1%";

/// Who makes a machine a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentKind {
    /// rustlet, and where it is.
    Rustlet(PathBuf),
    /// Upstream's kubelet, kube-proxy and CNI plugins: proves the lab right, and shows what they do.
    Upstream,
    /// Nobody: control plane and machines with containerd only.
    Nobody,
}

impl AgentKind {
    /// rustlet from `$RUSTLET_BIN`, else where `cargo build` puts it.
    pub fn rustlet() -> Self {
        let built = || dirs::target_dir().join("debug/rustlet");
        Self::Rustlet(std::env::var_os("RUSTLET_BIN").map_or_else(built, PathBuf::from))
    }

    /// Fails when the agent cannot be run, before anything is started.
    pub(crate) fn check(&self) -> Result<()> {
        let Self::Rustlet(path) = self else { return Ok(()) };
        if !path.is_file() {
            bail!(
                "there is no rustlet at {}: run `cargo build`, or set RUSTLET_BIN",
                path.display()
            );
        }
        dirs::check_visible_in_nodes(&std::path::absolute(path)?)
    }
}

/// Starts the agent's processes; the first is the agent itself.
pub(super) fn start(node: &Node, more: &[&str]) -> Result<Vec<Proc>> {
    match &node.settings.agent {
        AgentKind::Rustlet(path) => Ok(vec![rustlet(node, path, more)?]),
        AgentKind::Upstream => upstream::start(node, more),
        AgentKind::Nobody => bail!("this cluster was started without agents"),
    }
}

/// An agent sets kernel parameters; those of the whole machine are not this node's business. Where parts of /proc are
/// covered, the kernel lets a user namespace have a /proc of its own only if another one is whole.
const KEEP_MACHINE: &str = r#"
mountpoint -q /run/whole-proc || { mkdir -p /run/whole-proc; mount -t proc proc /run/whole-proc; }
for part in kernel vm; do
    mountpoint -q /proc/sys/$part && continue
    mount --bind /proc/sys/$part /proc/sys/$part
    mount -o remount,bind,ro /proc/sys/$part
done
"#;

impl Node {
    /// Keeps an agent on this node off the machine's own kernel parameters.
    pub(crate) fn keep_machine(&self) -> Result<()> {
        self.exec(&["sh", "-ec", KEEP_MACHINE]).map(drop)
    }
}

fn rustlet(node: &Node, path: &Path, more: &[&str]) -> Result<Proc> {
    node.keep_machine()?;
    let path = fs::canonicalize(path).with_context(|| format!("find {}", path.display()))?;
    let mut command = Command::new(&path);
    command.args(["--node", &node.name, "--kubeconfig", KUBECONFIG]);
    command.args(["--node-ip", &node.address.to_string()]);
    command.args([
        "--container-runtime-endpoint",
        "unix:///run/containerd/containerd.sock",
    ]);
    command.args(["--cgroup-root", &node.cgroup_root]);
    command.arg("--pod-manifest-path=/etc/kubernetes/manifests");
    command.args([
        "--cluster-dns",
        &net::CLUSTER_DNS.to_string(),
        "--cluster-domain",
        "cluster.local",
    ]);
    // Nor are its disk and swap.
    command.arg("--fail-swap-on=false");
    command.args(["--eviction-hard", EVICTION_HARD, "--image-gc-high-threshold=100"]);
    command.arg("--cni-bin-dir").arg(node.cni_bin());
    command.args(&node.settings.agent_args).args(more);
    node.machine.spawn(&mut command, &node.agent_log())
}

/// What an agent that is started by a unit must be told besides.
pub(super) fn extra_args(node: &Node) -> String {
    let mut args = vec![
        format!("--node-ip={}", node.address),
        format!("--cgroup-root={}", node.cgroup_root),
    ];
    match &node.settings.agent {
        AgentKind::Rustlet(_) => {
            args.push(format!("--cni-bin-dir={}", node.cni_bin().display()));
            args.extend(node.settings.agent_args.iter().cloned());
        }
        // Without CAP_SYS_RESOURCE it cannot lower its own.
        _ => args.push("--oom-score-adj=0".to_owned()),
    }
    args.join(" ")
}
