//! PURE. One parse function per section of the configuration.

use super::check;
use super::eviction;
use super::gates;
use super::images;
use super::names::{is_dns_subdomain, label, taint_of};
use super::resources;
use super::settings::Settings;
use super::shutdown;
use super::values::quantity;
use super::{
    ApiConfig, AuthorizationMode, CgroupDriver, Error, Flags, HostConfig, IdentityConfig, KubeletConfig,
    LogRotation, NetworkConfig, ProxyConfig, ServerConfig, Source, Taint, TaintEffect, TelemetryConfig,
};
use crate::model::sysctl::Pattern;
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
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

/// Fields that are for a feature only, and its gate.
const OF_FEATURES: [(&str, &str); 2] = [
    ("serverTLSBootstrap", "RotateKubeletServerCertificate"),
    (
        "crashLoopBackOff.maxContainerRestartPeriod",
        "KubeletCrashLoopBackOffMax",
    ),
];
/// Logs are not looked at more often.
const SHORTEST_LOG_INTERVAL: Duration = Duration::from_secs(3);

/// What upstream refuses of single fields beyond their kinds.
fn check_fields(settings: &Settings) -> Result<(), Error> {
    let gates = gates::Set(settings.value("featureGates"));
    for (field, gate) in OF_FEATURES {
        let used = settings.is_given(field) && *settings.value(field) != Value::Bool(false);
        if used && !gates.is_on(gate) {
            return Err(Error::new(
                field,
                format!("it requires feature gate {gate}, which is off"),
            ));
        }
    }
    let interval = "containerLogMonitorInterval";
    if settings.duration(interval) < SHORTEST_LOG_INTERVAL {
        let problem = format!("{} is less than 3s", settings.value(interval));
        return Err(Error::new(interval, problem));
    }
    let logs = settings.text("podLogsDir");
    let clean: PathBuf = Path::new(logs).components().collect();
    let climbs = clean.components().any(|part| part == Component::ParentDir);
    if clean.as_os_str() != logs || climbs || !logs.is_ascii() {
        let problem = format!("{logs:?} is not a path without detours, of ASCII characters only");
        return Err(Error::new("podLogsDir", problem));
    }
    Ok(())
}

pub(super) fn kubelet(flags: &Flags, settings: &Settings, node: &Arc<str>) -> Result<KubeletConfig, Error> {
    check_fields(settings)?;
    let external_cloud = flags.cloud_provider == "external";
    Ok(KubeletConfig {
        node: node.clone(),
        node_ips: node_ips(&flags.node_ip)?,
        labels: flags
            .node_labels
            .iter()
            .filter(|l| !l.is_empty())
            .map(|l| label(l))
            .collect::<Result<_, _>>()?,
        taints: settings
            .value("registerWithTaints")
            .as_array()
            .into_iter()
            .flat_map(|all| taints(all))
            .chain(external_cloud.then(uninitialized))
            .collect(),
        root_dir: absolute("--root-dir", &flags.root_dir)?,
        pod_logs_dir: settings.text("podLogsDir").into(),
        runtime_socket: check::socket(settings.text("containerRuntimeEndpoint")).unwrap_or_default(),
        image_socket: match settings.text("imageServiceEndpoint") {
            "" => None,
            endpoint => check::socket(endpoint).ok(),
        },
        runtime_timeout: settings.duration("runtimeRequestTimeout"),
        cgroup_root: check::cgroup(settings.text("cgroupRoot")).unwrap_or_else(|_| "/".into()),
        cgroup_driver: settings
            .is_given("cgroupDriver")
            .then(|| match settings.text("cgroupDriver") {
                "systemd" => CgroupDriver::Systemd,
                _ => CgroupDriver::Cgroupfs,
            }),
        cluster_dns: settings
            .texts("clusterDNS")
            .filter_map(|ip| ip.parse().ok())
            .collect(),
        cluster_domain: check::domain(settings.text("clusterDomain")).unwrap_or_default(),
        resolv_conf: match settings.text("resolvConf") {
            "" => None,
            path => Some(path.into()),
        },
        seccomp_default: settings.on("seccompDefault"),
        unsafe_sysctls: settings
            .texts("allowedUnsafeSysctls")
            .filter_map(Pattern::parse)
            .collect(),
        ids_per_pod: settings.number("userNamespaces.idsPerPod"),
        manifests: match settings.text("staticPodPath") {
            "" => None,
            path => Some(path.into()),
        },
        manifest_check: settings.duration("fileCheckFrequency"),
        max_pods: settings.number("maxPods"),
        port: settings.number("port"),
        provider_id: settings.text("providerID").into(),
        external_cloud,
        register_node: settings.on("registerNode"),
        status_update: settings.duration("nodeStatusUpdateFrequency"),
        status_report: settings.duration(if settings.is_given("nodeStatusReportFrequency") {
            "nodeStatusReportFrequency"
        } else if settings.is_given("nodeStatusUpdateFrequency") {
            // Upstream's rule: whoever sets the one has meant both.
            "nodeStatusUpdateFrequency"
        } else {
            "nodeStatusReportFrequency"
        }),
        lease_seconds: settings.number("nodeLeaseDurationSeconds"),
        longest_restart_pause: restart_pause(settings)?,
        log_rotation: LogRotation {
            max_size: quantity(settings.text("containerLogMaxSize"))
                .and_then(|size| u64::try_from(size).ok()),
            max_files: settings.number("containerLogMaxFiles"),
            interval: settings.duration("containerLogMonitorInterval"),
        },
        eviction: eviction::config(settings)?,
        image_gc: images::gc(settings)?,
        pulls: images::pulls(settings)?,
        pull_verification: images::verification(settings)?,
        credential_providers: images::providers(flags)?,
        volume_stats: settings.duration("volumeStatsAggPeriod"),
        max_images: usize::try_from(settings.number::<i64>("nodeStatusMaxImages")).ok(),
        resources: resources::config(settings)?,
        host: host(settings),
        shutdown: shutdown::config(settings)?,
        declared_features: gates::Set(settings.value("featureGates")).declared(),
    })
}

fn host(settings: &Settings) -> HostConfig {
    HostConfig {
        fail_swap_on: settings.on("failSwapOn"),
        protect_kernel_defaults: settings.on("protectKernelDefaults"),
        max_open_files: settings.number::<i64>("maxOpenFiles").unsigned_abs(),
        oom_score: settings.number("oomScoreAdj"),
    }
}

/// Whole seconds, rounded up.
fn restart_pause(settings: &Settings) -> Result<Duration, Error> {
    let field = "crashLoopBackOff.maxContainerRestartPeriod";
    let pause = settings.duration(field);
    let bounds = Duration::from_secs(1)..=Duration::from_secs(300);
    if bounds.contains(&pause) {
        return Ok(Duration::from_secs(
            pause.as_millis().div_ceil(1000).try_into().unwrap_or(300),
        ));
    }
    let problem = format!("{:?} is not between 1s and 300s", settings.text(field));
    Err(Error::new(field, problem))
}

fn taints(all: &[Value]) -> Vec<Taint> {
    let text = |taint: &Value, name: &str| taint[name].as_str().unwrap_or_default().to_owned();
    all.iter()
        .filter_map(|taint| taint_of(&text(taint, "key"), &text(taint, "value"), &text(taint, "effect")).ok())
        .collect()
}

/// Keeps Pods away until the cloud's controller has looked at the Node.
fn uninitialized() -> Taint {
    Taint {
        key: "node.cloudprovider.kubernetes.io/uninitialized".into(),
        value: "true".into(),
        effect: TaintEffect::NoSchedule,
    }
}

/// The node's HTTPS API.
pub(super) fn server(settings: &Settings) -> ServerConfig {
    let address = |path: &str| {
        settings
            .text(path)
            .parse()
            .unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
    };
    let healthz = settings.number("healthzPort");
    ServerConfig {
        address: address("address"),
        port: settings.number("port"),
        tls13_only: settings.text("tlsMinVersion") == "VersionTLS13",
        tls_cipher_suites: settings.texts("tlsCipherSuites").map(Into::into).collect(),
        tls_curves: settings
            .value("tlsCurvePreferences")
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|number| u16::try_from(number.as_u64()?).ok())
            .collect(),
        client_ca_file: Some(settings.text("authentication.x509.clientCAFile").into()),
        anonymous: settings.on("authentication.anonymous.enabled"),
        token_review: settings.on("authentication.webhook.enabled"),
        token_ttl: settings.duration("authentication.webhook.cacheTTL"),
        authorization: match settings.text("authorization.mode") {
            "AlwaysAllow" => AuthorizationMode::AlwaysAllow,
            _ => AuthorizationMode::Webhook,
        },
        authorized_ttl: settings.duration("authorization.webhook.cacheAuthorizedTTL"),
        unauthorized_ttl: settings.duration("authorization.webhook.cacheUnauthorizedTTL"),
        idle_timeout: settings.duration("streamingConnectionIdleTimeout"),
        websockets: gates::Set(settings.value("featureGates")).websockets(),
        debugging_handlers: settings.on("enableDebuggingHandlers"),
        system_logs: settings.on("enableSystemLogHandler"),
        profiling: settings.on("enableProfilingHandler"),
        debug_flags: settings.on("enableDebugFlagsHandler"),
        healthz: (healthz != 0).then(|| SocketAddr::new(address("healthzBindAddress"), healthz)),
        configz: settings.in_force().into(),
    }
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

pub(super) fn identity(flags: &Flags, settings: &Settings, node: &Arc<str>) -> Result<IdentityConfig, Error> {
    let files = (settings.text("tlsCertFile"), settings.text("tlsPrivateKeyFile"));
    let serving_files = match files {
        ("", "") => None,
        (_, "") => {
            let problem = "is not set, but --tls-cert-file is: give the certificate's private key";
            return Err(Error::new("--tls-private-key-file", problem));
        }
        ("", _) => {
            let problem = "is not set, but --tls-private-key-file is: give the key's certificate";
            return Err(Error::new("--tls-cert-file", problem));
        }
        (certificate, key) => Some((certificate.into(), key.into())),
    };
    let given = |path: &Option<PathBuf>| path.clone().filter(|path| !path.as_os_str().is_empty());
    let absolute_if_given = |flag, path| given(path).map(|path| absolute(flag, &path)).transpose();
    Ok(IdentityConfig {
        node: node.clone(),
        bootstrap_kubeconfig: absolute_if_given("--bootstrap-kubeconfig", &flags.bootstrap_kubeconfig)?,
        kubeconfig: flags.kubeconfig.clone(),
        cert_dir: absolute_if_given("--cert-dir", &flags.cert_dir)?
            .unwrap_or_else(|| flags.root_dir.join("pki")),
        rotate: settings.on("rotateCertificates"),
        server_csr: settings.on("serverTLSBootstrap"),
        serving_files,
    })
}

pub(super) fn api(flags: &Flags) -> ApiConfig {
    ApiConfig {
        kubeconfig: flags.kubeconfig.clone(),
    }
}

pub(super) fn telemetry(
    flags: &Flags,
    settings: &Settings,
    source: &dyn Source,
) -> Result<TelemetryConfig, Error> {
    let (flag, levels) = match (&flags.log_level, source.env("RUSTLET_LOG")) {
        (Some(levels), _) => ("--log-level", levels.clone()),
        (None, Some(levels)) => ("$RUSTLET_LOG", levels),
        (None, None) => (
            "--log-level",
            level_of_klog(settings.number("logging.verbosity")).to_owned(),
        ),
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

/// What is logged at klog's verbosity.
pub fn levels_of_klog(verbosity: u32) -> Targets {
    log_levels(level_of_klog(verbosity)).unwrap_or_default()
}

/// Our level for klog's verbosity, where 2 is what people run and 4 is for debugging.
fn level_of_klog(verbosity: u32) -> &'static str {
    match verbosity {
        0..=3 => "info",
        4..=5 => "debug",
        _ => "trace",
    }
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
    check::absolute(path).map_err(|problem| Error::new(flag, problem))
}
