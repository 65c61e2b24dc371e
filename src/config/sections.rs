//! PURE. One parse function per section of the configuration.

use super::names::{is_dns_subdomain, label, taint};
use super::{
    ApiConfig, Error, Flags, IdentityConfig, KubeletConfig, NetworkConfig, ProxyConfig, Source,
    TelemetryConfig,
};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tracing_subscriber::filter::{LevelFilter, Targets};

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

pub(super) fn identity(flags: &Flags, node: &Arc<str>) -> Result<IdentityConfig, Error> {
    let serving_files = match (&flags.tls_cert_file, &flags.tls_private_key_file) {
        (Some(certificate), Some(key)) => Some((
            absolute("--tls-cert-file", certificate)?,
            absolute("--tls-private-key-file", key)?,
        )),
        (None, None) => None,
        (Some(_), None) => {
            let problem = "is not set, but --tls-cert-file is: give the certificate's private key";
            return Err(Error::new("--tls-private-key-file", problem));
        }
        (None, Some(_)) => {
            let problem = "is not set, but --tls-private-key-file is: give the key's certificate";
            return Err(Error::new("--tls-cert-file", problem));
        }
    };
    let bootstrap = flags.bootstrap_kubeconfig.as_deref();
    Ok(IdentityConfig {
        node: node.clone(),
        bootstrap_kubeconfig: bootstrap
            .filter(|file| !file.as_os_str().is_empty())
            .map(|file| absolute("--bootstrap-kubeconfig", file))
            .transpose()?,
        kubeconfig: flags.kubeconfig.clone(),
        cert_dir: match &flags.cert_dir {
            Some(dir) => absolute("--cert-dir", dir)?,
            None => flags.root_dir.join("pki"),
        },
        rotate: flags.rotate_certificates.unwrap_or(true),
        server_csr: flags.rotate_server_certificates.unwrap_or(false),
        serving_files,
    })
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
