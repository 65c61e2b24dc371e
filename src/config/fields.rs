//! PURE. Every field of `KubeletConfiguration` v1beta1 in 1.36: its path, what it holds, its flag, and what we do with it.

use super::eviction::DEFAULT_HARD;

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// true or false.
    Bool,
    /// A whole number within bounds.
    Int(i64, i64),
    /// A number that need not be whole.
    Number,
    /// Text.
    Text,
    /// An absolute path.
    Path,
    /// An absolute path, or the empty text for none.
    PathOrNone,
    /// The socket of a runtime.
    Socket,
    /// The path of a cgroup.
    Cgroup,
    /// A DNS domain.
    Domain,
    /// Go's duration.
    Duration,
    /// A quantity.
    Quantity,
    /// A quantity, or a negative one for none.
    Size,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// An IP address.
    Ip,
    /// IP addresses.
    Ips,
    /// Several texts.
    Texts,
    /// TLS cipher suites.
    Suites,
    /// TLS key exchanges by number.
    Curves,
    /// The name of a TLS version.
    TlsVersion,
    /// Feature gates by name.
    Gates,
    /// Taints.
    Taints,
    /// Eviction thresholds by signal.
    Thresholds,
    /// Grace periods by signal.
    Periods,
    /// Amounts to reclaim by signal.
    Reclaims,
    /// Amounts of what can be reserved.
    Reserved,
    /// Who is held to what is reserved.
    Enforced,
    /// CPUs by number.
    Cpus,
    /// Kernel parameters that a namespace confines.
    Sysctls,
    /// User ids of one Pod.
    IdsPerPod,
    /// Periods of a shutdown by priority.
    Shutdown,
    /// An object or a list nobody reads.
    Any,
}

/// What we do with a field. Values are JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// We follow it; this when it is not given.
    Acts(&'static str),
    /// We always behave as with this value; another one is named in the warning.
    Stays(&'static str),
    /// We always behave as with this value; another one is refused, for this reason.
    Must(&'static str, &'static str),
    /// It has no effect; a value that asks for something is named in the warning.
    Nothing,
}

/// One field.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    /// Names from the top, with dots.
    pub(super) path: &'static str,
    /// Its flag without dashes; empty when it has none.
    pub(super) flag: &'static str,
    /// What it holds.
    pub(super) kind: Kind,
    /// What we do with it.
    pub(super) effect: Effect,
    /// Help for its flag; the flags of fields without are accepted but not listed.
    pub(super) help: &'static str,
    /// Zero is a value of its own; otherwise it stands for the default, as in Go.
    pub(super) zero_counts: bool,
}

impl Kind {
    /// What the help calls a value.
    pub(super) const fn value_name(self) -> &'static str {
        match self {
            Self::Bool => "BOOL",
            Self::Int(..) | Self::Number => "NUMBER",
            Self::Path | Self::PathOrNone => "FILE",
            Self::Socket => "SOCKET",
            Self::Cgroup => "CGROUP",
            Self::Domain => "DOMAIN",
            Self::Duration => "DURATION",
            Self::Quantity | Self::Size => "QUANTITY",
            Self::Ip | Self::Ips => "IP",
            Self::Suites => "SUITES",
            Self::Curves => "NUMBERS",
            Self::Sysctls => "SYSCTLS",
            Self::IdsPerPod => "NUMBER",
            Self::Taints => "KEY=VALUE:EFFECT",
            Self::Thresholds => "SIGNAL<AMOUNT",
            Self::Periods => "SIGNAL=DURATION",
            Self::Reclaims => "SIGNAL=AMOUNT",
            Self::Reserved => "RESOURCE=AMOUNT",
            Self::Cpus => "CPUS",
            Self::Text
            | Self::OneOf(_)
            | Self::TlsVersion
            | Self::Texts
            | Self::Gates
            | Self::Any
            | Self::Shutdown
            | Self::Enforced => "TEXT",
        }
    }
}

impl Field {
    const fn acts(
        path: &'static str,
        kind: Kind,
        default: &'static str,
        flag: &'static str,
        help: &'static str,
    ) -> Self {
        Self {
            path,
            flag,
            kind,
            effect: Effect::Acts(default),
            help,
            zero_counts: matches!(kind, Kind::Bool),
        }
    }
    const fn zero(self) -> Self {
        Self {
            zero_counts: true,
            ..self
        }
    }
    const fn stays(path: &'static str, kind: Kind, value: &'static str, flag: &'static str) -> Self {
        Self {
            path,
            flag,
            kind,
            effect: Effect::Stays(value),
            help: "",
            zero_counts: true,
        }
    }
    const fn must(
        path: &'static str,
        kind: Kind,
        value: &'static str,
        flag: &'static str,
        why: &'static str,
    ) -> Self {
        Self {
            path,
            flag,
            kind,
            effect: Effect::Must(value, why),
            help: "",
            zero_counts: true,
        }
    }
    const fn nothing(path: &'static str, kind: Kind, flag: &'static str) -> Self {
        Self {
            path,
            flag,
            kind,
            effect: Effect::Nothing,
            help: "",
            zero_counts: false,
        }
    }
}

const I32: Kind = Kind::Int(i32::MIN as i64, i32::MAX as i64);
const COUNT: Kind = Kind::Int(0, i32::MAX as i64);
const I64: Kind = Kind::Int(i64::MIN, i64::MAX);
const PERCENT: Kind = Kind::Int(0, 100);
const PORT: Kind = Kind::Int(1, 65535);
const PORT_OR_NONE: Kind = Kind::Int(0, 65535);

use Kind::{
    Any, Bool, Cgroup, Cpus, Curves, Domain, Duration, Enforced, Gates, IdsPerPod, Ip, Ips, Number, OneOf,
    Path, PathOrNone, Periods, Quantity, Reclaims, Reserved, Shutdown, Socket, Suites, Sysctls, Taints, Text,
    Texts, Thresholds, TlsVersion,
};

/// All fields; those that act first.
#[rustfmt::skip]
pub(super) const FIELDS: &[Field] = &[
    // The node's API.
    Field::acts("address", Ip, r#""0.0.0.0""#, "address", "Address the node's HTTPS API is served on"),
    Field::acts("port", PORT, "10250", "port", "Port the node's HTTPS API is served on"),
    Field::acts("tlsCertFile", Path, r#""""#, "tls-cert-file", "Serving certificate of your own; else one is made or asked for"),
    Field::acts("tlsPrivateKeyFile", Path, r#""""#, "tls-private-key-file", "Key of --tls-cert-file"),
    Field::acts("tlsCipherSuites", Suites, "[]", "tls-cipher-suites", "TLS 1.2 cipher suites in Go's names; the library's choice when not given"),
    Field::acts("tlsCurvePreferences", Curves, "[]", "", ""),
    Field::acts("tlsMinVersion", TlsVersion, r#""VersionTLS12""#, "tls-min-version", "Oldest TLS version: VersionTLS12 or VersionTLS13"),
    Field::acts("serverTLSBootstrap", Bool, "false", "rotate-server-certificates", "Ask the cluster for the serving certificate, and renew it"),
    Field::acts("rotateCertificates", Bool, "true", "rotate-certificates", "Renew the client certificate before it expires"),
    Field::acts("authentication.x509.clientCAFile", Path, r#""/etc/kubernetes/pki/ca.crt""#, "client-ca-file", "CA of client certificates that may call the node's API"),
    Field::acts("authentication.webhook.enabled", Bool, "true", "authentication-token-webhook", "Ask the API server about bearer tokens"),
    Field::acts("authentication.webhook.cacheTTL", Duration, r#""2m0s""#, "authentication-token-webhook-cache-ttl", "How long its answers are kept"),
    Field::acts("authentication.anonymous.enabled", Bool, "false", "anonymous-auth", "Let requests without credentials be system:anonymous"),
    Field::acts("authorization.mode", OneOf(&["Webhook", "AlwaysAllow"]), r#""Webhook""#, "authorization-mode", "Who may call: Webhook asks the API server, AlwaysAllow lets everybody"),
    Field::acts("authorization.webhook.cacheAuthorizedTTL", Duration, r#""5m0s""#, "authorization-webhook-cache-authorized-ttl", "How long a yes is kept"),
    Field::acts("authorization.webhook.cacheUnauthorizedTTL", Duration, r#""30s""#, "authorization-webhook-cache-unauthorized-ttl", "How long a no is kept"),
    Field::acts("enableDebuggingHandlers", Bool, "true", "enable-debugging-handlers", "Serve logs, exec, attach, port-forward, run"),
    Field::acts("enableSystemLogHandler", Bool, "true", "", ""),
    Field::acts("enableProfilingHandler", Bool, "true", "", ""),
    Field::acts("enableDebugFlagsHandler", Bool, "true", "", ""),
    Field::acts("streamingConnectionIdleTimeout", Duration, r#""4h0m0s""#, "streaming-connection-idle-timeout", "How long an exec, attach or port-forward may be idle"),
    Field::acts("featureGates", Gates, "{}", "feature-gates", "ExtendWebSocketsToKubelet and NodeDeclaredFeatures, GATE=true or GATE=false; others are accepted"),
    Field::acts("healthzPort", PORT_OR_NONE, "10248", "healthz-port", "Port of /healthz without TLS; 0 for none").zero(),
    Field::acts("healthzBindAddress", Ip, r#""127.0.0.1""#, "healthz-bind-address", "Address of /healthz without TLS"),
    // Pods.
    Field::acts("clusterDomain", Domain, r#""cluster.local""#, "cluster-domain", "Domain of the cluster's names"),
    Field::acts("clusterDNS", Ips, "[]", "cluster-dns", "Addresses of the cluster's DNS service"),
    Field::acts("resolvConf", PathOrNone, r#""/etc/resolv.conf""#, "resolv-conf", "The node's own DNS configuration, for Pods that use it").zero(),
    Field::acts("seccompDefault", Bool, "false", "seccomp-default", "Give containers without a seccomp profile the runtime's"),
    Field::acts("allowedUnsafeSysctls", Sysctls, "[]", "allowed-unsafe-sysctls", "Kernel parameters Pods may set beside the safe ones, as kernel.msg*,net.core.somaxconn"),
    Field::acts("userNamespaces.idsPerPod", IdsPerPod, "65536", "", ""),
    Field::acts("containerLogMaxSize", Kind::Size, r#""10Mi""#, "container-log-max-size", "Size from which on a container's log is rotated; negative for never"),
    Field::acts("containerLogMaxFiles", Kind::Int(2, i32::MAX as i64), "5", "container-log-max-files", "Most log files of one container"),
    Field::acts("containerLogMonitorInterval", Duration, r#""10s""#, "", ""),
    Field::acts("staticPodPath", PathOrNone, r#""""#, "pod-manifest-path", "File or directory of manifests of static Pods, which run without the API server"),
    Field::acts("fileCheckFrequency", Duration, r#""20s""#, "file-check-frequency", "How often they are looked at without a sign of a change"),
    Field::acts("maxPods", Kind::Int(1, i32::MAX as i64), "110", "max-pods", "Most Pods this node runs"),
    Field::acts("podLogsDir", Path, r#""/var/log/pods""#, "pod-logs-dir", "Where containers' logs are"),
    Field::acts("containerRuntimeEndpoint", Socket, r#""unix:///run/containerd/containerd.sock""#, "container-runtime-endpoint", "Socket of the container runtime"),
    Field::acts("imageServiceEndpoint", Socket, r#""""#, "image-service-endpoint", "Socket of the image service; the runtime's when not given"),
    Field::acts("runtimeRequestTimeout", Duration, r#""2m0s""#, "runtime-request-timeout", "How long a call to the runtime may take, but for pulls, logs, exec and attach"),
    Field::acts("cgroupRoot", Cgroup, r#""/""#, "cgroup-root", "Cgroup that holds all Pods' cgroups"),
    Field::acts("cgroupDriver", OneOf(&["cgroupfs", "systemd"]), r#""cgroupfs""#, "cgroup-driver", "How cgroups are made when the runtime does not say: cgroupfs or systemd"),
    // What Pods may use, and what is kept from them.
    Field::acts("cgroupsPerQOS", Bool, "true", "cgroups-per-qos", "Make cgroups for Pods and their classes"),
    Field::acts("cpuCFSQuota", Bool, "true", "cpu-cfs-quota", "Keep Pods to their CPU limits"),
    Field::acts("cpuCFSQuotaPeriod", Duration, r#""100ms""#, "cpu-cfs-quota-period", "Period of CPU limits, 1ms to 1s"),
    Field::acts("podPidsLimit", I64, "-1", "pod-max-pids", "Most processes of one Pod; -1 for no limit"),
    Field::acts("podsPerCore", COUNT, "0", "pods-per-core", "Most Pods for each CPU; 0 for no limit but --max-pods"),
    Field::acts("singleProcessOOMKill", Bool, "null", "", ""),
    Field::acts("memorySwap.swapBehavior", OneOf(&["NoSwap", "LimitedSwap"]), r#""NoSwap""#, "", ""),
    Field::acts("systemReserved", Reserved, "{}", "system-reserved", "What is kept for the system, as cpu=500m,memory=1Gi,ephemeral-storage=1Gi,pid=1000"),
    Field::acts("kubeReserved", Reserved, "{}", "kube-reserved", "What is kept for this agent and the runtime, as --system-reserved"),
    Field::acts("reservedSystemCPUs", Cpus, r#""""#, "reserved-cpus", "CPUs that are not for Pods, as 0-1; their number goes before what is reserved of CPU"),
    Field::acts("systemReservedCgroup", Text, r#""""#, "system-reserved-cgroup", "Cgroup of the system, for --enforce-node-allocatable=system-reserved"),
    Field::acts("kubeReservedCgroup", Text, r#""""#, "kube-reserved-cgroup", "Cgroup of this agent and the runtime, for --enforce-node-allocatable=kube-reserved"),
    Field::acts("enforceNodeAllocatable", Enforced, r#"["pods"]"#, "enforce-node-allocatable", "Who is held to what is reserved: pods, system-reserved, kube-reserved (both also with -compressible), or none"),
    // The machine, and this agent's place on it.
    Field::acts("failSwapOn", Bool, "true", "fail-swap-on", "Do not start where there is swap"),
    Field::acts("protectKernelDefaults", Bool, "false", "protect-kernel-defaults", "Do not start where kernel parameters are not as Pods need them, rather than change them"),
    Field::acts("maxOpenFiles", Kind::Int(0, i64::MAX), "1000000", "max-open-files", "Most files this agent has open"),
    Field::acts("oomScoreAdj", Kind::Int(-1000, 1000), "-999", "oom-score-adj", "This agent's oom_score_adj, -1000 to 1000").zero(),
    // The Node object.
    Field::acts("registerNode", Bool, "true", "register-node", "Make our Node object when there is none"),
    Field::acts("registerWithTaints", Taints, "[]", "register-with-taints", "Taints this node registers with, as KEY=VALUE:EFFECT"),
    Field::acts("providerID", Text, r#""""#, "provider-id", "What the machine is called at the cloud provider"),
    Field::acts("nodeStatusUpdateFrequency", Duration, r#""10s""#, "node-status-update-frequency", "How often the node looks at itself"),
    Field::acts("crashLoopBackOff.maxContainerRestartPeriod", Duration, r#""5m0s""#, "", "").zero(),
    Field::acts("nodeStatusReportFrequency", Duration, r#""5m0s""#, "", ""),
    Field::acts("nodeLeaseDurationSeconds", Kind::Int(1, i32::MAX as i64), "40", "", ""),
    Field::acts("logging.verbosity", COUNT, "0", "v", "klog's verbosity: from 4 on as --log-level debug, from 6 on as trace"),
    // What the node does when it is short of something.
    Field::acts("evictionHard", Thresholds, DEFAULT_HARD, "eviction-hard", "When Pods are evicted at once, as memory.available<100Mi,nodefs.available<10%").zero(),
    Field::acts("mergeDefaultEvictionSettings", Bool, "false", "", ""),
    Field::acts("evictionSoft", Thresholds, "{}", "eviction-soft", "When Pods are evicted after a grace period, as memory.available<1.5Gi"),
    Field::acts("evictionSoftGracePeriod", Periods, "{}", "eviction-soft-grace-period", "The grace periods of --eviction-soft, as memory.available=1m30s"),
    Field::acts("evictionMinimumReclaim", Reclaims, "{}", "eviction-minimum-reclaim", "How much more must be free before a shortage is over, as imagefs.available=2Gi"),
    Field::acts("evictionPressureTransitionPeriod", Duration, r#""5m0s""#, "eviction-pressure-transition-period", "How long a pressure condition stays after the shortage"),
    Field::acts("evictionMaxPodGracePeriod", I32, "0", "eviction-max-pod-grace-period", "Longest grace of a Pod evicted by --eviction-soft, seconds"),
    Field::acts("shutdownGracePeriod", Duration, r#""0s""#, "", ""),
    Field::acts("shutdownGracePeriodCriticalPods", Duration, r#""0s""#, "", ""),
    Field::acts("shutdownGracePeriodByPodPriority", Shutdown, "[]", "", ""),
    Field::acts("localStorageCapacityIsolation", Bool, "true", "local-storage-capacity-isolation", "Evict Pods that write more than their limits of local storage"),
    Field::acts("volumeStatsAggPeriod", Duration, r#""1m0s""#, "volume-stats-agg-period", "How often the disk use of volumes is looked at"),
    Field::acts("imageMinimumGCAge", Duration, r#""2m0s""#, "minimum-image-ttl-duration", "An unused image is kept this long at least"),
    Field::acts("imageMaximumGCAge", Duration, r#""0s""#, "", ""),
    Field::acts("imageGCHighThresholdPercent", PERCENT, "85", "image-gc-high-threshold", "Disk use in percent from which on unused images are removed; 100 for never").zero(),
    Field::acts("imageGCLowThresholdPercent", PERCENT, "80", "image-gc-low-threshold", "Disk use in percent they are removed down to").zero(),
    // Images.
    Field::acts("serializeImagePulls", Bool, "true", "serialize-image-pulls", "Pull one image at a time"),
    Field::acts("maxParallelImagePulls", Kind::Int(1, i32::MAX as i64), "null", "", ""),
    Field::acts("registryPullQPS", COUNT, "5", "registry-qps", "Most image pulls in a second; 0 for no limit").zero(),
    Field::acts("registryBurst", COUNT, "10", "registry-burst", "Most image pulls at once, within --registry-qps"),
    Field::acts("imagePullCredentialsVerificationPolicy", OneOf(&["NeverVerify", "NeverVerifyPreloadedImages", "NeverVerifyAllowlistedImages", "AlwaysVerify"]), r#""NeverVerifyPreloadedImages""#, "", ""),
    Field::acts("preloadedImagesVerificationAllowlist", Texts, "[]", "", ""),
    Field::acts("nodeStatusMaxImages", Kind::Int(-1, i32::MAX as i64), "50", "node-status-max-images", "Most images the Node's status names; -1 for all").zero(),
    // What we always do.
    Field::must("readOnlyPort", PORT_OR_NONE, "0", "read-only-port", "there is no port without authentication; use 0"),
    Field::must("enableServer", Bool, "true", "enable-server", "the node's API is always served"),
    Field::must("runOnce", Bool, "false", "runonce", "kubelet has dropped it as well"),
    Field::stays("failCgroupV1", Bool, "false", "fail-cgroupv1"),
    Field::stays("enableControllerAttachDetach", Bool, "true", "enable-controller-attach-detach"),
    Field::stays("makeIPTablesUtilChains", Bool, "true", "make-iptables-util-chains"),
    Field::stays("enableContentionProfiling", Bool, "false", "contention-profiling"),
    Field::stays("enableSystemLogQuery", Bool, "false", ""),
    Field::stays("kernelMemcgNotification", Bool, "false", "kernel-memcg-notification"),
    Field::stays("configMapAndSecretChangeDetectionStrategy", OneOf(&["Get", "Cache", "Watch"]), r#""Watch""#, ""),
    Field::stays("cpuManagerPolicy", OneOf(&["none", "static"]), r#""none""#, "cpu-manager-policy"),
    Field::stays("memoryManagerPolicy", OneOf(&["None", "Static"]), r#""None""#, "memory-manager-policy"),
    Field::stays("topologyManagerPolicy", OneOf(&["none", "best-effort", "restricted", "single-numa-node"]), r#""none""#, "topology-manager-policy"),
    Field::stays("topologyManagerScope", OneOf(&["container", "pod"]), r#""container""#, "topology-manager-scope"),
    Field::stays("memoryReservationPolicy", OneOf(&["None", "TieredReservation"]), r#""None""#, ""),
    // What has no effect yet.
    Field::nothing("staticPodURL", Text, "manifest-url"),
    Field::nothing("staticPodURLHeader", Any, "manifest-url-header"),
    Field::nothing("syncFrequency", Duration, "sync-frequency"),
    Field::nothing("httpCheckFrequency", Duration, "http-check-frequency"),
    Field::nothing("eventRecordQPS", COUNT, "event-qps"),
    Field::nothing("eventBurst", COUNT, "event-burst"),
    Field::nothing("kubeletCgroups", Text, "kubelet-cgroups"),
    Field::nothing("systemCgroups", Text, "system-cgroups"),
    Field::nothing("cpuManagerPolicyOptions", Any, "cpu-manager-policy-options"),
    Field::nothing("cpuManagerReconcilePeriod", Duration, "cpu-manager-reconcile-period"),
    Field::nothing("topologyManagerPolicyOptions", Any, "topology-manager-policy-options"),
    Field::nothing("qosReserved", Any, "qos-reserved"),
    Field::nothing("hairpinMode", OneOf(&["promiscuous-bridge", "hairpin-veth", "none"]), "hairpin-mode"),
    Field::nothing("podCIDR", Text, "pod-cidr"),
    Field::nothing("contentType", Text, "kube-api-content-type"),
    Field::nothing("kubeAPIQPS", COUNT, "kube-api-qps"),
    Field::nothing("kubeAPIBurst", COUNT, "kube-api-burst"),
    Field::nothing("iptablesMasqueradeBit", Kind::Int(0, 31), ""),
    Field::nothing("iptablesDropBit", Kind::Int(0, 31), ""),
    // One log at a time, however many: compressing is the work.
    Field::nothing("containerLogMaxWorkers", Kind::Int(1, i32::MAX as i64), ""),
    Field::nothing("showHiddenMetricsForVersion", Text, ""),
    Field::nothing("volumePluginDir", Text, "volume-plugin-dir"),
    Field::nothing("logging.format", Text, "logging-format"),
    Field::nothing("logging.flushFrequency", Any, "log-flush-frequency"),
    Field::nothing("logging.vmodule", Any, "vmodule"),
    Field::nothing("logging.options.text.splitStream", Bool, "log-text-split-stream"),
    Field::nothing("logging.options.text.infoBufferSize", Quantity, "log-text-info-buffer-size"),
    Field::nothing("logging.options.json.splitStream", Bool, "log-json-split-stream"),
    Field::nothing("logging.options.json.infoBufferSize", Quantity, "log-json-info-buffer-size"),
    Field::nothing("reservedMemory", Any, "reserved-memory"),
    Field::nothing("memoryThrottlingFactor", Number, ""),
    Field::nothing("tracing.endpoint", Text, ""),
    Field::nothing("tracing.samplingRatePerMillion", COUNT, ""),
];

/// Flags of kubelet that belong to no field and have no effect here; `true` for those that need no value.
pub(super) const OTHER_FLAGS: &[(&str, bool)] = &[
    ("runtime-cgroups", false),
    ("lock-file", false),
    ("exit-on-lock-contention", true),
    ("minimum-container-ttl-duration", false),
    ("maximum-dead-containers-per-container", false),
    ("maximum-dead-containers", false),
    ("experimental-mounter-path", false),
    ("experimental-allocatable-ignore-eviction", true),
    // Gone since 1.35, but still in files that older kubeadms have written.
    ("pod-infra-container-image", false),
    ("container-runtime", false),
    ("network-plugin", false),
    // The libraries' own.
    ("application-metrics-count-limit", false),
    ("boot-id-file", false),
    ("container-hints", false),
    ("containerd", false),
    ("containerd-namespace", false),
    ("enable-load-reader", true),
    ("event-storage-age-limit", false),
    ("event-storage-event-limit", false),
    ("global-housekeeping-interval", false),
    ("housekeeping-interval", false),
    ("log-cadvisor-usage", true),
    ("machine-id-file", false),
    ("storage-driver-buffer-duration", false),
    ("storage-driver-db", false),
    ("storage-driver-host", false),
    ("storage-driver-password", false),
    ("storage-driver-secure", true),
    ("storage-driver-table", false),
    ("storage-driver-user", false),
];
