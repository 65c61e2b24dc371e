//! Slim Pod: the fields of `v1.Pod` that rustlet acts on. Semantics are those of the Kubernetes API reference.
//!
//! Decoding is lenient where the API server already validated; what rustlet cannot act on is refused later, per
//! container or volume, with the field's name.

use super::meta::{Meta, Object};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

/// A Pod.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Pod {
    /// Metadata.
    pub metadata: Meta,
    /// What should run.
    pub spec: PodSpec,
    /// What the API server was last told; read only where it carries history (start time, restart counts).
    pub status: PodStatus,
}

impl Object for Pod {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

/// Slim `v1.PodSpec`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// Node the Pod is bound to.
    pub node_name: Box<str>,
    /// Containers that run one after the other before the others start.
    pub init_containers: Vec<Container>,
    /// The Pod's containers.
    pub containers: Vec<Container>,
    /// Volumes containers can mount.
    pub volumes: Vec<Volume>,
    /// What happens when a container exits.
    pub restart_policy: RestartPolicy,
    /// Seconds between SIGTERM and SIGKILL.
    pub termination_grace_period_seconds: i64,
    /// Seconds after which a Pod is failed.
    pub active_deadline_seconds: Option<i64>,
    /// Where `/etc/resolv.conf` comes from.
    pub dns_policy: DnsPolicy,
    /// Additions to `/etc/resolv.conf`.
    pub dns_config: Option<DnsConfig>,
    /// Service account the Pod runs as.
    pub service_account_name: Box<str>,
    /// Use the node's network namespace.
    pub host_network: bool,
    /// Use the node's pid namespace.
    #[serde(rename = "hostPID")]
    pub host_pid: bool,
    /// Use the node's ipc namespace.
    #[serde(rename = "hostIPC")]
    pub host_ipc: bool,
    /// False asks for a user namespace of the Pod's own.
    pub host_users: Option<bool>,
    /// One pid namespace for all containers.
    pub share_process_namespace: Option<bool>,
    /// Hostname instead of the Pod's name.
    pub hostname: Option<Box<str>>,
    /// `hostname.subdomain.namespace.svc.domain` becomes the Pod's FQDN.
    pub subdomain: Option<Box<str>>,
    /// Use the FQDN as the hostname.
    #[serde(rename = "setHostnameAsFQDN")]
    pub set_hostname_as_fqdn: Option<bool>,
    /// Entries for `/etc/hosts`.
    pub host_aliases: Vec<HostAlias>,
    /// Environment variables for Services of the namespace; true when unset.
    pub enable_service_links: Option<bool>,
    /// Secrets for image pulls.
    pub image_pull_secrets: Vec<LocalObjectReference>,
    /// Pod-wide security settings.
    pub security_context: PodSecurityContext,
    /// RuntimeClass name.
    pub runtime_class_name: Option<Box<str>>,
    /// Scheduling priority.
    pub priority: Option<i32>,
    /// Extra condition types that must be true for Ready.
    pub readiness_gates: Vec<ReadinessGate>,
}

impl Default for PodSpec {
    fn default() -> Self {
        Self {
            node_name: "".into(),
            init_containers: Vec::new(),
            containers: Vec::new(),
            volumes: Vec::new(),
            restart_policy: RestartPolicy::Always,
            termination_grace_period_seconds: 30,
            active_deadline_seconds: None,
            dns_policy: DnsPolicy::ClusterFirst,
            dns_config: None,
            service_account_name: "".into(),
            host_network: false,
            host_pid: false,
            host_ipc: false,
            host_users: None,
            share_process_namespace: None,
            hostname: None,
            subdomain: None,
            set_hostname_as_fqdn: None,
            host_aliases: Vec::new(),
            enable_service_links: None,
            image_pull_secrets: Vec::new(),
            security_context: PodSecurityContext::default(),
            runtime_class_name: None,
            priority: None,
            readiness_gates: Vec::new(),
        }
    }
}

/// `spec.restartPolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum RestartPolicy {
    /// Restart whatever the exit code.
    #[default]
    Always,
    /// Restart after a non-zero exit.
    OnFailure,
    /// Run once.
    Never,
}

/// `spec.dnsPolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum DnsPolicy {
    /// Cluster DNS, also for host-network Pods.
    ClusterFirstWithHostNet,
    /// Cluster DNS unless the Pod uses the host network.
    #[default]
    ClusterFirst,
    /// The node's own resolv.conf.
    Default,
    /// Only what `dnsConfig` says.
    None,
}

/// `spec.dnsConfig`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct DnsConfig {
    /// Name servers.
    pub nameservers: Vec<Box<str>>,
    /// Search domains.
    pub searches: Vec<Box<str>>,
    /// resolv.conf options.
    pub options: Vec<DnsOption>,
}

/// One resolv.conf option.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct DnsOption {
    /// Option name, as `ndots`.
    pub name: Box<str>,
    /// Value after the colon, if any.
    pub value: Option<Box<str>>,
}

/// One line of `/etc/hosts`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct HostAlias {
    /// Address.
    pub ip: Box<str>,
    /// Names for it.
    pub hostnames: Vec<Box<str>>,
}

/// A reference to an object of the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct LocalObjectReference {
    /// The object's name.
    pub name: Box<str>,
}

/// `spec.readinessGates[]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReadinessGate {
    /// Condition that must be true.
    pub condition_type: Box<str>,
}

/// Slim `v1.Container`; init containers use the same type.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// Name, unique in the Pod.
    pub name: Box<str>,
    /// Image reference as the user wrote it.
    pub image: Box<str>,
    /// When to pull.
    pub image_pull_policy: PullPolicy,
    /// Replaces the image's entry point.
    pub command: Vec<Box<str>>,
    /// Replaces the image's arguments.
    pub args: Vec<Box<str>>,
    /// Working directory; the image's when unset.
    pub working_dir: Box<str>,
    /// Declared ports.
    pub ports: Vec<ContainerPort>,
    /// Environment.
    pub env: Vec<EnvVar>,
    /// Environment from whole objects.
    pub env_from: Vec<EnvFromSource>,
    /// Requests and limits.
    pub resources: Resources,
    /// Volume mounts.
    pub volume_mounts: Vec<VolumeMount>,
    /// Block devices; refused by this build.
    pub volume_devices: Vec<VolumeDevice>,
    /// Restarts the container when it fails.
    pub liveness_probe: Option<Probe>,
    /// Takes the Pod out of endpoints while it fails.
    pub readiness_probe: Option<Probe>,
    /// Holds back the other probes until it succeeds once.
    pub startup_probe: Option<Probe>,
    /// Hooks.
    pub lifecycle: Option<Lifecycle>,
    /// Security settings that override the Pod's.
    pub security_context: SecurityContext,
    /// File the container may leave its last words in.
    pub termination_message_path: Box<str>,
    /// Where the termination message comes from.
    pub termination_message_policy: TerminationMessagePolicy,
    /// `Always` on an init container makes it a sidecar; on any container it overrides the Pod's policy.
    pub restart_policy: Option<RestartPolicy>,
    /// Exit codes that decide before `restart_policy` does.
    pub restart_policy_rules: Vec<RestartRule>,
    /// Keep stdin open.
    pub stdin: bool,
    /// Close stdin after the first attach.
    pub stdin_once: bool,
    /// Allocate a terminal.
    pub tty: bool,
}

/// `restartPolicyRules[]`: what to do after certain exit codes.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RestartRule {
    /// `Restart` (others are not known to this build and never match).
    pub action: Box<str>,
    /// When it applies.
    pub exit_codes: Option<ExitCodes>,
}

/// A set of exit codes.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct ExitCodes {
    /// `In` or `NotIn`.
    pub operator: Box<str>,
    /// The codes.
    pub values: Vec<i32>,
}

/// `imagePullPolicy`; the API server always fills it in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum PullPolicy {
    /// Pull at every container start.
    Always,
    /// Pull when the node does not have the image.
    #[default]
    IfNotPresent,
    /// Only use what the node has.
    Never,
}

/// `terminationMessagePolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum TerminationMessagePolicy {
    /// Only the file.
    #[default]
    File,
    /// The log's tail when the file is empty and the container failed.
    FallbackToLogsOnError,
}

/// `containers[].ports[]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerPort {
    /// Name probes and Services may use.
    pub name: Box<str>,
    /// Port in the container.
    pub container_port: i32,
    /// Port on the node; 0 for none.
    pub host_port: i32,
    /// Node address the host port binds to.
    #[serde(rename = "hostIP")]
    pub host_ip: Box<str>,
    /// Transport protocol.
    pub protocol: Protocol,
}

/// Transport protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// One environment variable.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EnvVar {
    /// Name.
    pub name: Box<str>,
    /// Literal value, after `$(VAR)` expansion.
    pub value: Box<str>,
    /// Source of the value instead.
    pub value_from: Option<EnvVarSource>,
}

/// `env[].valueFrom`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EnvVarSource {
    /// A field of the Pod.
    pub field_ref: Option<FieldRef>,
    /// A container's request or limit.
    pub resource_field_ref: Option<ResourceFieldRef>,
    /// A key of a ConfigMap.
    pub config_map_key_ref: Option<KeyRef>,
    /// A key of a Secret.
    pub secret_key_ref: Option<KeyRef>,
}

/// `fieldRef`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FieldRef {
    /// Path, as `status.podIP` or `metadata.labels['app']`.
    pub field_path: Box<str>,
}

/// `resourceFieldRef`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceFieldRef {
    /// Container; required for volumes.
    pub container_name: Box<str>,
    /// As `limits.cpu`.
    pub resource: Box<str>,
    /// Unit of the result.
    pub divisor: Option<Quantity>,
}

/// A key of a ConfigMap or Secret.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct KeyRef {
    /// Object name.
    pub name: Box<str>,
    /// Key.
    pub key: Box<str>,
    /// A missing object or key is not an error.
    pub optional: Option<bool>,
}

/// `envFrom[]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EnvFromSource {
    /// Put before every key.
    pub prefix: Box<str>,
    /// All keys of a ConfigMap.
    pub config_map_ref: Option<OptionalRef>,
    /// All keys of a Secret.
    pub secret_ref: Option<OptionalRef>,
}

/// A named object that may be missing.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct OptionalRef {
    /// Object name.
    pub name: Box<str>,
    /// A missing object is not an error.
    pub optional: Option<bool>,
}

/// A resource quantity as written (`100m`, `1Gi`); parsed where it is used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Quantity(pub Box<str>);

/// `containers[].resources`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Resources {
    /// Upper bounds.
    pub limits: BTreeMap<Box<str>, Quantity>,
    /// What the scheduler reserves.
    pub requests: BTreeMap<Box<str>, Quantity>,
}

/// `volumeMounts[]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeMount {
    /// Volume name.
    pub name: Box<str>,
    /// Path in the container.
    pub mount_path: Box<str>,
    /// Path inside the volume.
    pub sub_path: Box<str>,
    /// `subPath` with `$(VAR)`.
    pub sub_path_expr: Box<str>,
    /// Read-only mount.
    pub read_only: bool,
    /// `None`, `HostToContainer` or `Bidirectional`.
    pub mount_propagation: Option<Box<str>>,
}

/// `volumeDevices[]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct VolumeDevice {
    /// Volume name.
    pub name: Box<str>,
}

/// `livenessProbe`, `readinessProbe` or `startupProbe`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Probe {
    /// HTTP GET.
    pub http_get: Option<HttpGet>,
    /// TCP connect.
    pub tcp_socket: Option<TcpSocket>,
    /// Command in the container.
    pub exec: Option<ExecAction>,
    /// gRPC health check.
    pub grpc: Option<GrpcAction>,
    /// Seconds before the first probe.
    pub initial_delay_seconds: u32,
    /// Seconds a probe may take.
    pub timeout_seconds: u32,
    /// Seconds between probes.
    pub period_seconds: u32,
    /// Successes in a row that make it healthy.
    pub success_threshold: u32,
    /// Failures in a row that make it unhealthy.
    pub failure_threshold: u32,
    /// Grace period when this probe kills the container.
    pub termination_grace_period_seconds: Option<i64>,
}

impl Default for Probe {
    fn default() -> Self {
        Self {
            http_get: None,
            tcp_socket: None,
            exec: None,
            grpc: None,
            initial_delay_seconds: 0,
            timeout_seconds: 1,
            period_seconds: 10,
            success_threshold: 1,
            failure_threshold: 3,
            termination_grace_period_seconds: None,
        }
    }
}

/// `httpGet` of a probe or hook.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpGet {
    /// Path and query; `/` when empty.
    pub path: Box<str>,
    /// Port number or name.
    pub port: IntOrString,
    /// Host instead of the pod IP.
    pub host: Box<str>,
    /// `HTTP` or `HTTPS`.
    pub scheme: Box<str>,
    /// Extra headers.
    pub http_headers: Vec<HttpHeader>,
}

/// A request header.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct HttpHeader {
    /// Name.
    pub name: Box<str>,
    /// Value.
    pub value: Box<str>,
}

/// `tcpSocket`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct TcpSocket {
    /// Port number or name.
    pub port: IntOrString,
    /// Host instead of the pod IP.
    pub host: Box<str>,
}

/// `exec`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct ExecAction {
    /// Command and arguments; no shell.
    pub command: Vec<Box<str>>,
}

/// `grpc`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct GrpcAction {
    /// Port number.
    pub port: i32,
    /// Service name for the health request.
    pub service: Box<str>,
}

/// `lifecycle`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Lifecycle {
    /// Runs right after the container started.
    pub post_start: Option<LifecycleHandler>,
    /// Runs before the container is told to stop.
    pub pre_stop: Option<LifecycleHandler>,
}

/// One lifecycle hook.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LifecycleHandler {
    /// Command in the container.
    pub exec: Option<ExecAction>,
    /// HTTP GET.
    pub http_get: Option<HttpGet>,
    /// Do nothing for some seconds.
    pub sleep: Option<SleepAction>,
}

/// `sleep` hook.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct SleepAction {
    /// Seconds.
    pub seconds: i64,
}

/// A number or a name (`intstr.IntOrString`).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum IntOrString {
    /// A number.
    Int(i32),
    /// A name.
    Name(Box<str>),
}

impl Default for IntOrString {
    fn default() -> Self {
        Self::Int(0)
    }
}

impl fmt::Display for IntOrString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(number) => write!(f, "{number}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// `spec.securityContext`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSecurityContext {
    /// User id of all containers.
    pub run_as_user: Option<i64>,
    /// Group id of all containers.
    pub run_as_group: Option<i64>,
    /// Refuse to run as uid 0.
    pub run_as_non_root: Option<bool>,
    /// Group that owns volumes.
    pub fs_group: Option<i64>,
    /// Extra groups.
    pub supplemental_groups: Vec<i64>,
    /// `Merge` or `Strict`: whether the image's own groups are added.
    pub supplemental_groups_policy: Option<Box<str>>,
    /// AppArmor profile of all containers.
    pub app_armor_profile: Option<SecurityProfile>,
    /// SELinux label of all containers.
    pub se_linux_options: Option<SeLinuxOptions>,
    /// Kernel parameters.
    pub sysctls: Vec<Sysctl>,
    /// Seccomp profile of all containers.
    pub seccomp_profile: Option<SecurityProfile>,
}

/// A kernel parameter.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Sysctl {
    /// As `net.core.somaxconn`.
    pub name: Box<str>,
    /// Value.
    pub value: Box<str>,
}

/// SELinux label.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct SeLinuxOptions {
    /// User part.
    pub user: Box<str>,
    /// Role part.
    pub role: Box<str>,
    /// Type part.
    #[serde(rename = "type")]
    pub kind: Box<str>,
    /// Level part.
    pub level: Box<str>,
}

/// Seccomp or AppArmor profile.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SecurityProfile {
    /// `RuntimeDefault`, `Unconfined` or `Localhost`.
    #[serde(rename = "type")]
    pub kind: Box<str>,
    /// Seccomp: file below the kubelet's seccomp directory. AppArmor: name of a loaded profile.
    pub localhost_profile: Option<Box<str>>,
}

/// `containers[].securityContext`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SecurityContext {
    /// User id.
    pub run_as_user: Option<i64>,
    /// Group id.
    pub run_as_group: Option<i64>,
    /// Refuse to run as uid 0.
    pub run_as_non_root: Option<bool>,
    /// All capabilities and devices.
    pub privileged: Option<bool>,
    /// Root file system read-only.
    pub read_only_root_filesystem: Option<bool>,
    /// Whether a process may gain privileges (no_new_privs is its inverse).
    pub allow_privilege_escalation: Option<bool>,
    /// Capabilities to add and drop.
    pub capabilities: Option<Capabilities>,
    /// Seccomp profile.
    pub seccomp_profile: Option<SecurityProfile>,
    /// AppArmor profile.
    pub app_armor_profile: Option<SecurityProfile>,
    /// SELinux label.
    pub se_linux_options: Option<SeLinuxOptions>,
    /// `Default` or `Unmasked`.
    pub proc_mount: Option<Box<str>>,
}

/// Capabilities to add and drop.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Capabilities {
    /// Added.
    pub add: Vec<Box<str>>,
    /// Dropped.
    pub drop: Vec<Box<str>>,
}

/// Slim `v1.Volume`: a name and one source.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Volume {
    /// Name mounts refer to.
    pub name: Box<str>,
    /// Scratch space.
    pub empty_dir: Option<EmptyDir>,
    /// A path of the node.
    pub host_path: Option<HostPath>,
    /// Files from a ConfigMap.
    pub config_map: Option<ObjectFiles>,
    /// Files from a Secret.
    pub secret: Option<SecretFiles>,
    /// Files from Pod fields.
    #[serde(rename = "downwardAPI")]
    pub downward_api: Option<DownwardFiles>,
    /// Several sources in one directory.
    pub projected: Option<Projected>,
    /// Any source this build does not know, so that it can be refused by name instead of mounted empty.
    #[serde(flatten)]
    pub unknown: BTreeMap<Box<str>, serde_json::Value>,
}

/// `emptyDir`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EmptyDir {
    /// `Memory` for tmpfs; empty for disk.
    pub medium: Box<str>,
    /// Upper bound.
    pub size_limit: Option<Quantity>,
}

/// `hostPath`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct HostPath {
    /// Path on the node.
    pub path: Box<str>,
    /// What must be there.
    #[serde(rename = "type")]
    pub kind: Box<str>,
}

/// Files from a ConfigMap (also as a projected source).
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectFiles {
    /// Object name.
    pub name: Box<str>,
    /// Which keys become which files; all when empty.
    pub items: Vec<KeyToPath>,
    /// File mode; 0644 when unset.
    pub default_mode: Option<i32>,
    /// A missing object or key is not an error.
    pub optional: Option<bool>,
}

/// Files from a Secret.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SecretFiles {
    /// Object name.
    pub secret_name: Box<str>,
    /// Which keys become which files; all when empty.
    pub items: Vec<KeyToPath>,
    /// File mode; 0644 when unset.
    pub default_mode: Option<i32>,
    /// A missing object or key is not an error.
    pub optional: Option<bool>,
}

/// One key as one file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct KeyToPath {
    /// Key of the object.
    pub key: Box<str>,
    /// Relative path of the file.
    pub path: Box<str>,
    /// File mode.
    pub mode: Option<i32>,
}

/// `downwardAPI` volume or projected source.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DownwardFiles {
    /// Files.
    pub items: Vec<DownwardFile>,
    /// File mode; 0644 when unset.
    pub default_mode: Option<i32>,
}

/// One Pod field as one file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DownwardFile {
    /// Relative path of the file.
    pub path: Box<str>,
    /// A field of the Pod.
    pub field_ref: Option<FieldRef>,
    /// A container's request or limit.
    pub resource_field_ref: Option<ResourceFieldRef>,
    /// File mode.
    pub mode: Option<i32>,
}

/// `projected` volume.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Projected {
    /// Sources, later ones win.
    pub sources: Vec<ProjectedSource>,
    /// File mode; 0644 when unset.
    pub default_mode: Option<i32>,
}

/// One projected source.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProjectedSource {
    /// A bound token.
    pub service_account_token: Option<TokenFile>,
    /// Files from a ConfigMap.
    pub config_map: Option<ObjectFiles>,
    /// Files from a Secret; uses `name`, not `secretName`.
    pub secret: Option<ObjectFiles>,
    /// Files from Pod fields.
    #[serde(rename = "downwardAPI")]
    pub downward_api: Option<DownwardFiles>,
    /// Any source this build does not know.
    #[serde(flatten)]
    pub unknown: BTreeMap<Box<str>, serde_json::Value>,
}

/// `serviceAccountToken` source.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TokenFile {
    /// Audience; the API server's when empty.
    pub audience: Box<str>,
    /// Life in seconds; 3600 when unset.
    pub expiration_seconds: Option<i64>,
    /// Relative path of the file.
    pub path: Box<str>,
}

/// The part of a Pod's stored status that carries history.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// `Pending`, `Running`, `Succeeded`, `Failed`.
    pub phase: Box<str>,
    /// Why the Pod as a whole is in this phase, as `DeadlineExceeded`.
    pub reason: Option<Box<str>>,
    /// Words for people.
    pub message: Option<Box<str>>,
    /// When this node first acknowledged the Pod.
    pub start_time: Option<Timestamp>,
    /// Addresses last reported.
    #[serde(rename = "podIPs")]
    pub pod_ips: Vec<PodIp>,
    /// Conditions last reported, ours and other writers'.
    pub conditions: Vec<Condition>,
    /// Container statuses last reported.
    pub container_statuses: Vec<ContainerStatus>,
    /// Init container statuses last reported.
    pub init_container_statuses: Vec<ContainerStatus>,
}

/// One entry of `status.podIPs`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct PodIp {
    /// Address; unset while unknown.
    pub ip: Option<IpAddr>,
}

/// A condition.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    /// Condition type.
    #[serde(rename = "type")]
    pub kind: Box<str>,
    /// `True`, `False` or `Unknown`.
    pub status: Box<str>,
    /// CamelCase reason.
    pub reason: Option<Box<str>>,
    /// Words for people.
    pub message: Option<Box<str>>,
    /// When `status` last changed.
    pub last_transition_time: Option<Timestamp>,
}

/// History of one container.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStatus {
    /// Container name.
    pub name: Box<str>,
    /// Restarts so far.
    pub restart_count: i32,
    /// Last reported readiness.
    pub ready: bool,
    /// Last reported startup-probe result.
    pub started: Option<bool>,
    /// `containerd://…` id last reported; empty until an instance was created.
    #[serde(rename = "containerID")]
    pub container_id: Box<str>,
    /// Image as last reported.
    pub image: Box<str>,
    /// Image digest reference as last reported.
    #[serde(rename = "imageID")]
    pub image_id: Box<str>,
    /// State last reported.
    pub state: ContainerState,
    /// How the instance before ended.
    pub last_state: ContainerState,
}

/// `v1.ContainerState`: at most one of these is set.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct ContainerState {
    /// Not running yet.
    pub waiting: Option<StateWaiting>,
    /// Running.
    pub running: Option<StateRunning>,
    /// Ended.
    pub terminated: Option<StateTerminated>,
}

/// Why a container does not run yet.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct StateWaiting {
    /// CamelCase reason.
    pub reason: Option<Box<str>>,
    /// Words for people.
    pub message: Option<Box<str>>,
}

/// Since when a container runs.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StateRunning {
    /// When it was started.
    pub started_at: Option<Timestamp>,
}

/// How a container ended.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StateTerminated {
    /// Exit code.
    pub exit_code: i32,
    /// CamelCase reason.
    pub reason: Option<Box<str>>,
    /// Last words.
    pub message: Option<Box<str>>,
    /// When it was started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// `containerd://…` id of the instance.
    #[serde(rename = "containerID")]
    pub container_id: Option<Box<str>>,
}

impl Container {
    /// An init container that keeps running beside the Pod's containers.
    pub fn is_sidecar(&self) -> bool {
        self.restart_policy == Some(RestartPolicy::Always)
    }
}

impl Pod {
    /// A container or init container by name; the flag is true for an init container.
    pub fn container(&self, name: &str) -> Option<(&Container, bool)> {
        let init = self.spec.init_containers.iter().map(|c| (c, true));
        init.chain(self.spec.containers.iter().map(|c| (c, false)))
            .find(|(c, _)| &*c.name == name)
    }

    /// What the API server was last told of a container or init container.
    pub fn history(&self, name: &str) -> Option<&ContainerStatus> {
        let PodStatus {
            container_statuses,
            init_container_statuses,
            ..
        } = &self.status;
        container_statuses
            .iter()
            .chain(init_container_statuses)
            .find(|c| &*c.name == name)
    }
}

#[cfg(test)]
mod tests;
