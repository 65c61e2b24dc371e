//! PURE. One parse function per section of the configuration.

use super::{Error, Flags, Source};
use clap::ValueEnum;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tracing_subscriber::filter::{LevelFilter, Targets};

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

pub(super) fn node_name(flags: &Flags, source: &dyn Source) -> Result<String, Error> {
    let (name, origin) = match &flags.node {
        Some(name) => (name.clone(), "given"),
        None => {
            let host = source.hostname().map_err(|e| {
                Error::new(
                    "--node",
                    format!("the host name cannot be read ({e}); give --node NAME"),
                )
            })?;
            (host, "the machine's host name")
        }
    };
    let name = name.trim().to_ascii_lowercase();
    if !is_dns_subdomain(&name) {
        return Err(Error::new(
            "--node",
            format!(
                "{name:?} ({origin}) is not a node name: lower-case letters, digits, '-' and '.', starting and \
                 ending with a letter or digit, at most 253 characters"
            ),
        ));
    }
    Ok(name)
}

pub(super) fn kubelet(flags: &Flags, node: &Arc<str>) -> Result<KubeletConfig, Error> {
    Ok(KubeletConfig {
        node: node.clone(),
        node_ips: node_ips(&flags.node_ip)?,
        labels: flags
            .node_labels
            .iter()
            .filter(|l| !l.is_empty())
            .map(|l| label(l))
            .collect::<Result<_, _>>()?,
        taints: flags
            .register_with_taints
            .iter()
            .filter(|t| !t.is_empty())
            .map(|t| taint(t))
            .collect::<Result<_, _>>()?,
        root_dir: absolute("--root-dir", &flags.root_dir)?,
        pod_logs_dir: absolute("--pod-logs-dir", &flags.pod_logs_dir)?,
        runtime_socket: socket(&flags.container_runtime_endpoint)?,
        cgroup_root: cgroup_root(&flags.cgroup_root)?,
        cgroup_driver: flags.cgroup_driver,
        cluster_dns: flags.cluster_dns.clone(),
        cluster_domain: cluster_domain(&flags.cluster_domain)?,
        resolv_conf: absolute("--resolv-conf", &flags.resolv_conf)?,
        max_pods: flags.max_pods,
    })
}

pub(super) fn network(flags: &Flags, node: &Arc<str>) -> Result<NetworkConfig, Error> {
    Ok(NetworkConfig {
        node: node.clone(),
        mode: flags.network,
        cni_conf_dir: absolute("--cni-conf-dir", &flags.cni_conf_dir)?,
        cni_bin_dir: absolute("--cni-bin-dir", &flags.cni_bin_dir)?,
    })
}

pub(super) fn proxy(flags: &Flags, node: &Arc<str>) -> ProxyConfig {
    ProxyConfig {
        node: node.clone(),
        mode: flags.proxy_mode,
    }
}

pub(super) fn api(flags: &Flags) -> ApiConfig {
    ApiConfig {
        kubeconfig: flags.kubeconfig.clone(),
    }
}

pub(super) fn telemetry(flags: &Flags, source: &dyn Source) -> Result<TelemetryConfig, Error> {
    let (flag, levels) = match (&flags.log_level, source.env("RUSTLET_LOG")) {
        (Some(levels), _) => ("--log-level", levels.clone()),
        (None, Some(levels)) => ("$RUSTLET_LOG", levels),
        (None, None) => ("--log-level", "info".to_owned()),
    };
    let levels = log_levels(&levels).ok_or_else(|| {
        Error::new(
            flag,
            format!(
                "{levels:?} is not understood: a level (error, warn, info, debug, trace), or levels by module as in \
                 info,rustlet::proxy=debug"
            ),
        )
    })?;
    let address = match &*flags.metrics_bind_address {
        "none" | "" => None,
        text => Some(text.parse().map_err(|_| {
            Error::new(
                "--metrics-bind-address",
                format!("{text:?} is not ADDRESS:PORT, as in 127.0.0.1:10249"),
            )
        })?),
    };
    Ok(TelemetryConfig {
        levels,
        format: flags.log_format,
        address,
    })
}

/// Libraries whose debug lines would bury ours; they stay at info unless they are named.
const LOUD: &[&str] = &[
    "h2",
    "hyper",
    "hyper_util",
    "rustls",
    "tower",
    "tonic",
    "kube_client",
    "netlink_proto",
];

fn log_levels(text: &str) -> Option<Targets> {
    // To Targets a bare word that is no level is a module with everything switched on: a typo would be a flood.
    let understood = |part: &str| part.contains('=') || part.parse::<LevelFilter>().is_ok();
    if !text.split(',').all(|part| understood(part.trim())) {
        return None;
    }
    let mut levels: Targets = text.parse().ok()?;
    if levels
        .default_level()
        .is_some_and(|level| level > LevelFilter::INFO)
    {
        for library in LOUD
            .iter()
            .filter(|library| !text.contains(&format!("{library}=")))
        {
            levels = levels.with_target(*library, LevelFilter::INFO);
        }
    }
    Some(levels)
}

fn node_ips(ips: &[IpAddr]) -> Result<Vec<IpAddr>, Error> {
    for (n, ip) in ips.iter().enumerate() {
        if ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() {
            return Err(Error::new(
                "--node-ip",
                format!("{ip} cannot be reached from other nodes"),
            ));
        }
        if ips[..n].iter().any(|other| other.is_ipv4() == ip.is_ipv4()) {
            return Err(Error::new(
                "--node-ip",
                format!("{ip} is the second address of its IP family; give one of each"),
            ));
        }
    }
    Ok(ips.to_vec())
}

/// Labels of Kubernetes' own domains a node may set on itself (NodeRestriction refuses all others).
const OWN_LABELS: &[&str] = &[
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    "node.kubernetes.io/instance-type",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
];

fn label(text: &str) -> Result<(Box<str>, Box<str>), Error> {
    let flag = "--node-labels";
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| Error::new(flag, format!("{text:?} is not KEY=VALUE")))?;
    check_key(flag, key)?;
    check_value(flag, key, value)?;
    let domain = key.split_once('/').map_or("", |(domain, _)| domain);
    let within = |parent: &str| domain == parent || domain.ends_with(&format!(".{parent}"));
    let reserved = within("kubernetes.io") || within("k8s.io");
    let allowed =
        within("kubelet.kubernetes.io") || within("node.kubernetes.io") || OWN_LABELS.contains(&key);
    if reserved && !allowed {
        return Err(Error::new(
            flag,
            format!(
                "the API server does not let a node give itself {key:?}: use a prefix of your own, \
                 node.kubernetes.io/ or kubelet.kubernetes.io/, or label it with kubectl"
            ),
        ));
    }
    Ok((key.into(), value.into()))
}

fn taint(text: &str) -> Result<Taint, Error> {
    let flag = "--register-with-taints";
    let (pair, effect) = text
        .rsplit_once(':')
        .ok_or_else(|| Error::new(flag, format!("{text:?} is not KEY=VALUE:EFFECT")))?;
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    check_key(flag, key)?;
    check_value(flag, key, value)?;
    let effect = match effect {
        "NoSchedule" => TaintEffect::NoSchedule,
        "PreferNoSchedule" => TaintEffect::PreferNoSchedule,
        "NoExecute" => TaintEffect::NoExecute,
        other => {
            return Err(Error::new(
                flag,
                format!("{text:?}: {other:?} is not an effect: NoSchedule, PreferNoSchedule or NoExecute"),
            ));
        }
    };
    Ok(Taint {
        key: key.into(),
        value: value.into(),
        effect,
    })
}

fn check_key(flag: &'static str, key: &str) -> Result<(), Error> {
    let (domain, name) = key
        .split_once('/')
        .map_or((None, key), |(domain, name)| (Some(domain), name));
    if domain.is_none_or(is_dns_subdomain) && !name.is_empty() && is_label_text(name) {
        return Ok(());
    }
    Err(Error::new(
        flag,
        format!(
            "{key:?} is not a key: [domain/]name, where name has up to 63 letters, digits, '-', '_', '.'"
        ),
    ))
}

fn check_value(flag: &'static str, key: &str, value: &str) -> Result<(), Error> {
    if is_label_text(value) {
        return Ok(());
    }
    Err(Error::new(
        flag,
        format!("{key}={value:?}: a value has up to 63 letters, digits, '-', '_', '.'"),
    ))
}

/// Up to 63 letters, digits, `-`, `_`, `.`, beginning and ending with a letter or digit; may be empty.
fn is_label_text(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    text.len() <= 63
        && text.chars().all(inner)
        && text.chars().next().is_none_or(|c| c.is_ascii_alphanumeric())
        && text.chars().last().is_none_or(|c| c.is_ascii_alphanumeric())
}

fn is_dns_subdomain(text: &str) -> bool {
    let part_ok = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(part_ok)
}

fn absolute(flag: &'static str, path: &Path) -> Result<PathBuf, Error> {
    if path.is_absolute() {
        return Ok(path.to_owned());
    }
    Err(Error::new(
        flag,
        format!("{} is not an absolute path", path.display()),
    ))
}

fn socket(endpoint: &str) -> Result<PathBuf, Error> {
    let flag = "--container-runtime-endpoint";
    let path = match endpoint.split_once("://") {
        Some(("unix", path)) => path,
        Some((scheme, _)) => {
            return Err(Error::new(
                flag,
                format!("{scheme}:// is not supported; use unix:///run/containerd/containerd.sock"),
            ));
        }
        None => endpoint,
    };
    absolute(flag, Path::new(path))
}

fn cgroup_root(text: &str) -> Result<Box<str>, Error> {
    let path = Path::new(text);
    let climbs = path
        .components()
        .any(|part| part == std::path::Component::ParentDir);
    if text.starts_with('/') && !climbs {
        let trimmed = text.trim_end_matches('/');
        return Ok(if trimmed.is_empty() {
            "/".into()
        } else {
            trimmed.into()
        });
    }
    Err(Error::new(
        "--cgroup-root",
        format!("{text:?} is not a cgroup path: it begins with '/' and has no '..'"),
    ))
}

fn cluster_domain(text: &str) -> Result<Box<str>, Error> {
    let domain = text.trim_matches('.');
    if is_dns_subdomain(domain) {
        return Ok(domain.into());
    }
    Err(Error::new(
        "--cluster-domain",
        format!("{text:?} is not a domain name, as cluster.local"),
    ))
}
