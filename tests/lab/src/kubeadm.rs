//! `kubeadm join` in the lab: what a control plane must offer for it, and a fresh machine to run it on.
//!
//! The control plane is not kubeadm's, so kubeadm's own phases put there what a join reads: its ConfigMaps, a bootstrap
//! token, and the rights that go with it. A fresh machine has containerd, kubeadm, the agent and its unit
//! (`systemd/kubelet.service`), and no credentials. **systemd is a stand-in** (`kubeadm/systemctl`, 90 lines of shell):
//! it starts what the real unit says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::binaries::{self, Group};
use crate::cluster::Cluster;
use crate::net;
use crate::node::{AgentKind, Guest, Node};

/// What kubeadm's checks find missing in a machine of the lab that is none of the agent's business, and why:
/// - `Swap`: it is the host's.
/// - `SystemVerification`: the host's kernel has no configuration file kubeadm could read, and cgroup v1.
/// - `Mem`, `NumCPU`: the host may be small.
pub const IGNORED_CHECKS: &str = "Swap,SystemVerification,Mem,NumCPU";

const SYSTEMCTL: &str = include_str!("../kubeadm/systemctl");
const UNIT: &str = include_str!("../../../systemd/kubelet.service");
/// What the unit starts.
const RUSTLET: &str = "/usr/local/bin/rustlet";
const KUBELET: &str = "/usr/local/bin/kubelet";

/// A control plane that nodes can join with kubeadm.
#[derive(Debug)]
pub struct Kubeadm<'a> {
    cluster: &'a Cluster,
    program: PathBuf,
    /// The admin's kubeconfig, for the control machine.
    admin: PathBuf,
}

impl<'a> Kubeadm<'a> {
    /// Puts what a join needs into the cluster; may be called again.
    pub fn prepare(cluster: &'a Cluster) -> Result<Self> {
        let found = binaries::ensure(&[Group::Kubeadm], &mut |step| eprintln!("{step}"))?;
        let program = fs::canonicalize(found.path("kubeadm")?)?;
        let control = cluster.control();
        let (config_file, admin) = (
            control.dir().join("kubeadm.yaml"),
            control.dir().join("kubeadm-admin.conf"),
        );
        fs::write(&config_file, config())?;
        fs::write(&admin, control.pki().kubeconfig("admin", &control.server())?)?;
        let kubeadm = Self {
            cluster,
            program,
            admin,
        };
        for phase in [&["upload-config", "all"][..], &["bootstrap-token"]] {
            kubeadm.as_admin(&[&["init", "phase"], phase].concat(), Some(&config_file))?;
        }
        Ok(kubeadm)
    }

    /// What an operator would type on the new machine, without `kubeadm` itself: made by kubeadm, with a new token.
    pub fn join_command(&self) -> Result<Vec<String>> {
        let line = self.as_admin(&["token", "create", "--print-join-command"], None)?;
        let mut words = line.split_whitespace().map(str::to_owned);
        words
            .next()
            .filter(|word| word == "kubeadm")
            .context("no join command")?;
        Ok(words.collect())
    }

    fn as_admin(&self, args: &[&str], config: Option<&Path>) -> Result<String> {
        let mut command = Command::new(&self.program);
        command.args(args).arg("--kubeconfig").arg(&self.admin);
        if let Some(config) = config {
            command.arg("--config").arg(config);
        }
        let output = self.cluster.control().machine().run(&mut command)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// A machine with containerd, kubeadm and the agent that is no node yet and has no credentials.
    pub fn machine(&self) -> Result<Guest> {
        let node = self.cluster.guest()?;
        node.exec(&["rm", "-r", "/etc/kubernetes"])?;
        let agent = match node.agent() {
            AgentKind::Rustlet(path) => {
                node.keep_machine()?;
                fs::canonicalize(path)?
            }
            _ => fs::canonicalize(node.upstream_kubelet()?)?,
        };
        let (agent, kubeadm) = (agent.display().to_string(), self.program.display().to_string());
        node.machine()
            .sh(INSTALL, &[&agent, RUSTLET, KUBELET, &kubeadm])?;
        node.write("/usr/local/bin/systemctl", SYSTEMCTL)?;
        node.exec(&["chmod", "755", "/usr/local/bin/systemctl"])?;
        node.write("/etc/systemd/system/kubelet.service", UNIT)?;
        node.write(
            "/etc/default/kubelet",
            &format!("KUBELET_EXTRA_ARGS=\"{}\"\n", node.extra_args()),
        )?;
        Ok(node)
    }

    /// `kubeadm ARGS…` on a machine.
    pub fn on(&self, node: &Node, args: &[String]) -> Result<String> {
        let output = node
            .machine()
            .run(Command::new("/usr/local/bin/kubeadm").args(args))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// `$1` the agent, `$2` and `$3` its names, `$4` kubeadm. The machine's `/usr/local/bin` is its own.
const INSTALL: &str = r#"
mount -t tmpfs -o mode=755 tmpfs /usr/local/bin
ln -s "$1" "$2"
ln -s "$1" "$3"
ln -s "$4" /usr/local/bin/kubeadm
mkdir -p /etc/systemd/system /etc/default
"#;

/// For upstream's kubelet: what it does not do on this kind of machine unless it is told.
fn config() -> String {
    let (control, pods, services) = (net::CONTROL, net::POD_CIDR, net::SERVICE_CIDR);
    let version = binaries::KUBERNETES;
    format!(
        "apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
localAPIEndpoint: {{advertiseAddress: {control}, bindPort: 6443}}
nodeRegistration: {{name: control, criSocket: \"unix:///run/containerd/containerd.sock\"}}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: v{version}
controlPlaneEndpoint: {control}:6443
networking: {{podSubnet: {pods}, serviceSubnet: {services}}}
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
failSwapOn: false
imageGCHighThresholdPercent: 100
evictionHard: {{memory.available: 50Mi, nodefs.available: 1%, imagefs.available: 1%, nodefs.inodesFree: 1%}}
"
    )
}
