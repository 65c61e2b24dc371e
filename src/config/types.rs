//! PURE. The sections of the configuration.

use super::eviction::EvictionConfig;
use super::resources::ResourceConfig;
use super::shutdown::ShutdownConfig;
use crate::model::sysctl::Pattern;
use clap::ValueEnum;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
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
    /// Path of the image service's socket; `None` where the runtime has it.
    pub image_socket: Option<PathBuf>,
    /// `runtimeRequestTimeout`.
    pub runtime_timeout: Duration,
    /// Absolute cgroup path that holds all Pods' cgroups; `/` for the hierarchy's root.
    pub cgroup_root: Box<str>,
    /// How cgroups are made where the runtime does not say it.
    pub cgroup_driver: Option<CgroupDriver>,
    /// Cluster DNS servers.
    pub cluster_dns: Vec<IpAddr>,
    /// Cluster domain, without dots at its ends.
    pub cluster_domain: Box<str>,
    /// The node's resolv.conf; `None` for no DNS but what Pods or the cluster bring.
    pub resolv_conf: Option<PathBuf>,
    /// `seccompDefault`: containers without a profile get the runtime's.
    pub seccomp_default: bool,
    /// `allowedUnsafeSysctls`.
    pub unsafe_sysctls: Vec<Pattern>,
    /// `userNamespaces.idsPerPod`; a multiple of 65536.
    pub ids_per_pod: u32,
    /// `staticPodPath`: a file or directory of manifests; `None` for no static Pods.
    pub manifests: Option<PathBuf>,
    /// `fileCheckFrequency`: how often manifests are looked at without a sign of a change.
    pub manifest_check: Duration,
    /// Most Pods.
    pub max_pods: u32,
    /// Port of the node's API, for `status.daemonEndpoints`.
    pub port: u16,
    /// The machine's name at the cloud provider, for `spec.providerID`; empty for none.
    pub provider_id: Box<str>,
    /// `--cloud-provider=external`: somebody else says what the machine's addresses are, and when it may be used.
    pub external_cloud: bool,
    /// `registerNode`: whether we make our Node object; otherwise we wait for somebody else's.
    pub register_node: bool,
    /// `nodeStatusUpdateFrequency`: how often the Node is looked at.
    pub status_update: Duration,
    /// `nodeStatusReportFrequency`: how often an unchanged status is written.
    pub status_report: Duration,
    /// `nodeLeaseDurationSeconds`; the Lease is renewed four times as often.
    pub lease_seconds: i32,
    /// `crashLoopBackOff.maxContainerRestartPeriod`: longest pause before a failing container is started again.
    pub longest_restart_pause: Duration,
    /// When containers' logs are rotated.
    pub log_rotation: LogRotation,
    /// When Pods are evicted.
    pub eviction: EvictionConfig,
    /// When images are removed.
    pub image_gc: ImageGcConfig,
    /// `volumeStatsAggPeriod`: how old what is known of volumes' disk use may be.
    pub volume_stats: Duration,
    /// How many images are pulled.
    pub pulls: PullLimits,
    /// `imagePullCredentialsVerificationPolicy`: who may use images that are there already.
    pub pull_verification: PullVerification,
    /// `--image-credential-provider-config` and `--image-credential-provider-bin-dir`.
    pub credential_providers: Option<(PathBuf, PathBuf)>,
    /// `nodeStatusMaxImages`; `None` for all.
    pub max_images: Option<usize>,
    /// Cgroups, and what the node keeps from Pods.
    pub resources: ResourceConfig,
    /// What is changed of the machine, or demanded.
    pub host: HostConfig,
    /// How long Pods may take when the machine goes down.
    pub shutdown: ShutdownConfig,
    /// Features the Node declares, sorted; none without the feature gate `NodeDeclaredFeatures`.
    pub declared_features: Vec<&'static str>,
}

/// What is changed of the machine and of this agent's place on it, or demanded; defaults are upstream's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostConfig {
    /// `failSwapOn`: the agent does not start where there is swap.
    pub fail_swap_on: bool,
    /// `protectKernelDefaults`: kernel parameters that are not as Pods need them are an error, not changed.
    pub protect_kernel_defaults: bool,
    /// `maxOpenFiles`: most files this agent has open.
    pub max_open_files: u64,
    /// `oomScoreAdj`: this agent's own.
    pub oom_score: i16,
}

impl Default for HostConfig {
    fn default() -> Self {
        Self {
            fail_swap_on: true,
            protect_kernel_defaults: false,
            max_open_files: 1_000_000,
            oom_score: -999,
        }
    }
}

/// When images are removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageGcConfig {
    /// `imageMinimumGCAge`: an unused image is kept this long at least.
    pub min_age: Duration,
    /// `imageMaximumGCAge`: an image that was not used for longer is removed; zero for never.
    pub max_age: Duration,
    /// `imageGCHighThresholdPercent`: disk use from which on images are removed; 100 for never.
    pub high: u8,
    /// `imageGCLowThresholdPercent`: disk use they are removed down to.
    pub low: u8,
}

impl Default for ImageGcConfig {
    fn default() -> Self {
        Self {
            min_age: Duration::from_secs(120),
            max_age: Duration::ZERO,
            high: 85,
            low: 80,
        }
    }
}

/// How many images are pulled; defaults are upstream's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PullLimits {
    /// Most at a time, by `serializeImagePulls` and `maxParallelImagePulls`; `None` for any number.
    pub parallel: Option<usize>,
    /// `registryPullQPS`: most in a second in the long run; 0 for any number.
    pub per_second: u32,
    /// `registryBurst`: most at once.
    pub burst: u32,
}

impl Default for PullLimits {
    fn default() -> Self {
        Self {
            parallel: Some(1),
            per_second: 5,
            burst: 10,
        }
    }
}

/// Which images that are there already may only be used by Pods whose credentials can pull them (KEP-2535).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PullVerification {
    /// `NeverVerify`: none.
    Never,
    /// `NeverVerifyPreloadedImages`: those that this agent has pulled.
    #[default]
    Pulled,
    /// `NeverVerifyAllowlistedImages`: all but these, by `preloadedImagesVerificationAllowlist`; `…/*` is a start.
    NotListed(Vec<Box<str>>),
    /// `AlwaysVerify`: all.
    Always,
}

/// When containers' logs are rotated; defaults are upstream's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRotation {
    /// `containerLogMaxSize`, bytes; `None`, upstream's negative size, switches rotation off.
    pub max_size: Option<u64>,
    /// `containerLogMaxFiles`, the one that is being written included; at least 2.
    pub max_files: usize,
    /// `containerLogMonitorInterval`.
    pub interval: Duration,
}

impl Default for LogRotation {
    fn default() -> Self {
        Self {
            max_size: Some(10 << 20),
            max_files: 5,
            interval: Duration::from_secs(10),
        }
    }
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

/// Settings of the node's HTTPS API; names and defaults are those of `KubeletConfiguration`, but that everything is
/// closed by default.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerConfig {
    /// `address`.
    pub address: IpAddr,
    /// `port`.
    pub port: u16,
    /// `tlsMinVersion`: 1.3 only, or 1.2 as well.
    pub tls13_only: bool,
    /// `tlsCipherSuites`, in Go's names, one at least of [`CIPHER_SUITES`](super::CIPHER_SUITES); empty means the
    /// library's own choice.
    pub tls_cipher_suites: Vec<Box<str>>,
    /// `tlsCurvePreferences`, in Go's numbers, one at least of [`CURVES`](super::CURVES); empty means all of those.
    pub tls_curves: Vec<u16>,
    /// `authentication.x509.clientCAFile`; a file that is not there means that no client certificate is accepted.
    pub client_ca_file: Option<PathBuf>,
    /// `authentication.anonymous.enabled`.
    pub anonymous: bool,
    /// `authentication.webhook.enabled`: bearer tokens by TokenReview.
    pub token_review: bool,
    /// `authentication.webhook.cacheTTL`.
    pub token_ttl: Duration,
    /// `authorization.mode`.
    pub authorization: AuthorizationMode,
    /// `authorization.webhook.cacheAuthorizedTTL`.
    pub authorized_ttl: Duration,
    /// `authorization.webhook.cacheUnauthorizedTTL`.
    pub unauthorized_ttl: Duration,
    /// `streamingConnectionIdleTimeout`.
    pub idle_timeout: Duration,
    /// Feature gate `ExtendWebSocketsToKubelet`: version 5 of exec and attach, and port-forwards by tunnel.
    pub websockets: bool,
    /// `enableDebuggingHandlers`: logs, exec, attach, port-forward, run and pods.
    pub debugging_handlers: bool,
    /// `enableSystemLogHandler`: the machine's log files.
    pub system_logs: bool,
    /// `enableProfilingHandler`: what upstream shows below `/debug/pprof`.
    pub profiling: bool,
    /// `enableDebugFlagsHandler`: how much is logged, changed by request.
    pub debug_flags: bool,
    /// `healthzBindAddress` and `healthzPort`; `None` when the port is 0.
    pub healthz: Option<SocketAddr>,
    /// What `/configz` shows: the configuration in force, with upstream's field names.
    pub configz: Arc<serde_json::Value>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            port: 10250,
            tls13_only: false,
            tls_cipher_suites: Vec::new(),
            tls_curves: Vec::new(),
            client_ca_file: Some("/etc/kubernetes/pki/ca.crt".into()),
            anonymous: false,
            token_review: true,
            token_ttl: Duration::from_secs(120),
            authorization: AuthorizationMode::Webhook,
            authorized_ttl: Duration::from_secs(300),
            unauthorized_ttl: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(4 * 3600),
            websockets: true,
            debugging_handlers: true,
            system_logs: true,
            profiling: true,
            debug_flags: true,
            healthz: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 10248))),
            configz: Arc::default(),
        }
    }
}

/// `authorization.mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthorizationMode {
    /// By SubjectAccessReview.
    Webhook,
    /// Whoever is authenticated may do everything.
    AlwaysAllow,
}

/// Settings of the node's own credentials.
#[derive(Clone, Debug, PartialEq)]
pub struct IdentityConfig {
    /// Our Node's name.
    pub node: Arc<str>,
    /// `--bootstrap-kubeconfig`: used while the kubeconfig does not exist or its certificate has expired.
    pub bootstrap_kubeconfig: Option<PathBuf>,
    /// `--kubeconfig`; written after a bootstrap.
    pub kubeconfig: PathBuf,
    /// `--cert-dir`.
    pub cert_dir: PathBuf,
    /// `rotateCertificates`.
    pub rotate: bool,
    /// `serverTLSBootstrap`: the serving certificate by CSR.
    pub server_csr: bool,
    /// `tlsCertFile` and `tlsPrivateKeyFile`: a serving certificate of the operator's own.
    pub serving_files: Option<(PathBuf, PathBuf)>,
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
