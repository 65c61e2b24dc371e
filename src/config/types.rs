//! PURE. The sections of the configuration.

use clap::ValueEnum;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use tracing_subscriber::filter::Targets;

/// Settings of the pod side.
#[derive(Clone, Debug, PartialEq)]
pub struct KubeletConfig {
    /// Our Node's name.
    pub node: Arc<str>,
    /// Addresses to report, at most one per family; empty means that of the default route.
    pub node_ips: Vec<IpAddr>,
    /// Labels to register with.
    pub labels: BTreeMap<Box<str>, Box<str>>,
    /// Taints to register with.
    pub taints: Vec<Taint>,
    /// kubelet's root directory.
    pub root_dir: PathBuf,
    /// Root of container logs.
    pub pod_logs_dir: PathBuf,
    /// Path of the runtime's socket, without the `unix://` scheme.
    pub runtime_socket: PathBuf,
    /// Absolute cgroup path that holds all Pods' cgroups; `/` for the hierarchy's root.
    pub cgroup_root: Box<str>,
    /// How cgroups are made; `None`: ask the runtime.
    pub cgroup_driver: Option<CgroupDriver>,
    /// Cluster DNS servers.
    pub cluster_dns: Vec<IpAddr>,
    /// Cluster domain, without dots at its ends.
    pub cluster_domain: Box<str>,
    /// The node's resolv.conf.
    pub resolv_conf: PathBuf,
    /// Most Pods.
    pub max_pods: u32,
}

/// Settings of the node's side of the pod network.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkConfig {
    /// Our Node's name.
    pub node: Arc<str>,
    /// Who makes the pod network.
    pub mode: NetworkMode,
    /// Where the conflist goes.
    pub cni_conf_dir: PathBuf,
    /// Where the plugin goes.
    pub cni_bin_dir: PathBuf,
}

/// Settings of the Service proxy.
#[derive(Clone, Debug, PartialEq)]
pub struct ProxyConfig {
    /// Our Node's name.
    pub node: Arc<str>,
    /// Who programs Services.
    pub mode: ProxyMode,
}

/// Settings of the API client.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiConfig {
    /// The kubeconfig file.
    pub kubeconfig: PathBuf,
}

/// Settings of logs and metrics.
#[derive(Clone, Debug, PartialEq)]
pub struct TelemetryConfig {
    /// What is logged.
    pub levels: Targets,
    /// How it looks.
    pub format: LogFormat,
    /// Where the admin server listens; `None` for nowhere.
    pub address: Option<SocketAddr>,
}

/// `--network`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum NetworkMode {
    /// rustlet's bridge, routes and masquerade.
    Bridge,
    /// Another CNI plugin is in charge.
    None,
}

/// `--proxy-mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProxyMode {
    /// iptables, with kube-proxy's chains.
    Iptables,
    /// Another proxy is in charge.
    None,
}

/// `--cgroup-driver`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CgroupDriver {
    /// Slices and scopes through systemd.
    Systemd,
    /// Directories.
    Cgroupfs,
}

/// `--log-format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// A taint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Taint {
    /// Key.
    pub key: Box<str>,
    /// Value; left out of JSON when empty, as Kubernetes does.
    #[serde(skip_serializing_if = "str_is_empty")]
    pub value: Box<str>,
    /// What it does.
    pub effect: TaintEffect,
}

fn str_is_empty(text: &str) -> bool {
    text.is_empty()
}

/// What a taint does to Pods that do not tolerate it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum TaintEffect {
    /// Not scheduled here.
    NoSchedule,
    /// Rather not scheduled here.
    PreferNoSchedule,
    /// Not scheduled here, and evicted.
    NoExecute,
}

impl fmt::Display for Taint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}:{:?}", self.key, self.value, self.effect)
    }
}
