//! What can be typed. Text only: meaning and validity are decided in `sections`.

use super::kubelet_flags::KubeletFlags;
use super::types::{LogFormat, NetworkMode, ProxyMode};
use clap::{Args, Parser, Subcommand};
use std::net::IpAddr;
use std::path::PathBuf;

/// One binary that makes a Linux machine a Kubernetes node: kubelet, CNI plugin and kube-proxy.
#[derive(Debug, Parser)]
#[command(
    name = "rustlet",
    version,
    args_conflicts_with_subcommands = true,
    args_override_self = true
)]
pub struct Cli {
    /// A tool; without one the node agent runs.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Flags of the agent.
    #[command(flatten)]
    pub flags: Flags,
}

/// Tools.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the version
    Version,
    /// Remove what the agent made in the kernel and in the CNI directory; Pods keep running
    Clean(Box<Flags>),
}

/// Flags of the agent, with kubelet's names where kubelet has them.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// Name of this node; the machine's host name when not given
    #[arg(long, alias = "hostname-override", value_name = "NAME")]
    pub node: Option<String>,
    /// File that says how to reach the API server and as whom
    #[arg(long, default_value = "/etc/kubernetes/kubelet.conf", value_name = "FILE")]
    pub kubeconfig: PathBuf,
    /// kubelet's configuration file (KubeletConfiguration v1beta1); flags go before it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory of drop-ins (*.conf) that go before the configuration file
    #[arg(long, value_name = "DIR")]
    pub config_dir: Option<PathBuf>,
    /// Kubeconfig of a bootstrap token, used while the kubeconfig does not exist or its certificate has expired
    #[arg(long, value_name = "FILE")]
    pub bootstrap_kubeconfig: Option<PathBuf>,
    /// Where the node's certificates are; `pki` below --root-dir when not given
    #[arg(long, value_name = "DIR")]
    pub cert_dir: Option<PathBuf>,
    /// Address of this node, at most one per IP family; that of the default route when not given
    #[arg(long, value_delimiter = ',', value_name = "IP")]
    pub node_ip: Vec<IpAddr>,
    /// CredentialProviderConfig, a file or a directory of them: programs that know credentials for registries
    #[arg(long, value_name = "PATH")]
    pub image_credential_provider_config: Option<PathBuf>,
    /// Where these programs are
    #[arg(long, value_name = "DIR")]
    pub image_credential_provider_bin_dir: Option<PathBuf>,
    /// Labels for this node
    #[arg(long, value_delimiter = ',', value_name = "KEY=VALUE")]
    pub node_labels: Vec<String>,
    /// Where Pods' volumes and the agent's state are
    #[arg(long, default_value = "/var/lib/kubelet", value_name = "DIR")]
    pub root_dir: PathBuf,
    /// Who makes the pod network: rustlet's bridge, or someone else
    #[arg(long, value_enum, default_value_t = NetworkMode::Bridge)]
    pub network: NetworkMode,
    /// Where the runtime looks for CNI configuration
    #[arg(long, default_value = "/etc/cni/net.d", value_name = "DIR")]
    pub cni_conf_dir: PathBuf,
    /// Where the runtime looks for CNI plugins
    #[arg(long, default_value = "/opt/cni/bin", value_name = "DIR")]
    pub cni_bin_dir: PathBuf,
    /// Who programs Services: rustlet with iptables, or someone else
    #[arg(long, value_enum, default_value_t = ProxyMode::Iptables)]
    pub proxy_mode: ProxyMode,
    /// What is logged: a level, or levels by module as in `info,rustlet::proxy=debug`; default $RUSTLET_LOG, then info
    #[arg(long, value_name = "LEVELS")]
    pub log_level: Option<String>,
    /// How log lines look
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// Where /metrics, /healthz, /livez, /readyz and /debug/state are served; `none` for nowhere
    #[arg(long, default_value = "127.0.0.1:10249", value_name = "ADDRESS")]
    pub metrics_bind_address: String,
    /// A cloud provider that is not built in: nothing or `external`
    #[arg(long, hide = true, default_value = "", value_parser = ["", "external"])]
    pub cloud_provider: String,
    /// kubelet's other flags.
    #[command(flatten)]
    pub kubelet: KubeletFlags,
}
