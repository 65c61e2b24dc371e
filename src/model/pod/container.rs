//! Containers, their environment and resources.

use super::RestartPolicy;
use super::probe::{Lifecycle, Probe};
use super::security::SecurityContext;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Slim `v1.Container`; init and ephemeral containers use the same type.
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
    /// Whether they can change while the container runs.
    pub resize_policy: Vec<ResizePolicy>,
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
    /// Container whose processes an ephemeral container shares; others never have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_container_name: Option<Box<str>>,
}

/// `resizePolicy[]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResizePolicy {
    /// `cpu` or `memory`.
    pub resource_name: Box<str>,
    /// `NotRequired` or `RestartContainer`.
    pub restart_policy: Box<str>,
}

/// `restartPolicyRules[]`: what to do after certain exit codes.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RestartRule {
    /// `Restart` or [`RESTART_ALL`]; others have no effect.
    pub action: Box<str>,
    /// When it applies.
    pub exit_codes: Option<ExitCodes>,
}

/// The action that starts all containers of the Pod over.
pub const RESTART_ALL: &str = "RestartAllContainers";

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
    /// A variable of a file in a volume.
    pub file_key_ref: Option<FileKeyRef>,
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

/// `fileKeyRef`: a variable of a file that a container has written into a volume (KEP-3721).
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FileKeyRef {
    /// Volume the file is in.
    pub volume_name: Box<str>,
    /// Relative path of the file.
    pub path: Box<str>,
    /// Variable in the file.
    pub key: Box<str>,
    /// A variable that is missing in the file is not an error.
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
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<Box<str>, Quantity>,
    /// What the scheduler reserves.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
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

impl Container {
    /// An init container that keeps running beside the Pod's containers.
    pub fn is_sidecar(&self) -> bool {
        self.restart_policy == Some(RestartPolicy::Always)
    }
}
