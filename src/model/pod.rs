//! Slim Pod: the fields of `v1.Pod` that rustlet acts on. Semantics are those of the Kubernetes API reference.
//!
//! Decoding is lenient where the API server already validated; what rustlet cannot act on is refused later, per
//! container or volume, with the field's name.

mod container;
mod probe;
mod scheduling;
mod security;
mod status;
#[cfg(test)]
mod tests;
mod volume;

pub use container::*;
pub use probe::*;
pub use scheduling::*;
pub use security::*;
pub use status::*;
pub use volume::*;

use super::meta::{Meta, Object};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
    /// Containers added to look into a running Pod: started once, and no part of what the Pod is or becomes.
    pub ephemeral_containers: Vec<Container>,
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
    /// Hostname instead of all that makes one.
    pub hostname_override: Option<Box<str>>,
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
    /// The system it is made for.
    pub os: Option<PodOs>,
    /// Labels its node must have.
    pub node_selector: BTreeMap<Box<str>, Box<str>>,
    /// More about its node.
    pub affinity: Option<Affinity>,
    /// Taints it may run beside.
    pub tolerations: Vec<Toleration>,
    /// What the RuntimeClass says running the Pod itself takes.
    pub overhead: BTreeMap<Box<str>, Quantity>,
    /// Requests and limits of the Pod as a whole.
    pub resources: Option<Resources>,
    /// Extra condition types that must be true for Ready.
    pub readiness_gates: Vec<ReadinessGate>,
}

impl Default for PodSpec {
    fn default() -> Self {
        Self {
            node_name: "".into(),
            init_containers: Vec::new(),
            containers: Vec::new(),
            ephemeral_containers: Vec::new(),
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
            hostname_override: None,
            os: None,
            node_selector: BTreeMap::new(),
            affinity: None,
            subdomain: None,
            set_hostname_as_fqdn: None,
            host_aliases: Vec::new(),
            enable_service_links: None,
            image_pull_secrets: Vec::new(),
            security_context: PodSecurityContext::default(),
            runtime_class_name: None,
            priority: None,
            tolerations: Vec::new(),
            overhead: BTreeMap::new(),
            resources: None,
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

impl PodSpec {
    /// Init containers, containers and ephemeral containers; their names are unique.
    pub fn every_container(&self) -> impl Iterator<Item = &Container> {
        let init = self.init_containers.iter();
        init.chain(&self.containers).chain(&self.ephemeral_containers)
    }
}

/// `spec.tolerations[]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Toleration {
    /// Key of the taint; empty for all, with `Exists`.
    pub key: Box<str>,
    /// `Exists`, or `Equal`, which an empty one stands for; others are not known to this build and tolerate nothing.
    pub operator: Box<str>,
    /// The taint's value, for `Equal`.
    pub value: Box<str>,
    /// The taint's effect; empty for all.
    pub effect: Box<str>,
}

impl Toleration {
    /// Whether it lets a Pod run beside this taint.
    pub fn tolerates(&self, key: &str, value: &str, effect: &str) -> bool {
        let is = |ours: &str, theirs: &str| ours.is_empty() || ours == theirs;
        is(&self.effect, effect)
            && is(&self.key, key)
            && match &*self.operator {
                "" | "Equal" => *self.value == *value,
                "Exists" => true,
                _ => false,
            }
    }
}

/// Annotation: where a Pod comes from: `file`, or `api`.
pub const CONFIG_SOURCE: &str = "kubernetes.io/config.source";
/// Annotation: when the node first saw the Pod.
pub const CONFIG_SEEN: &str = "kubernetes.io/config.seen";
/// Annotation of a static Pod: the hash of its manifest.
pub const CONFIG_HASH: &str = "kubernetes.io/config.hash";
/// Annotation that makes a Pod a mirror: the hash of the manifest whose static Pod it shows.
pub const CONFIG_MIRROR: &str = "kubernetes.io/config.mirror";

/// From this priority on a Pod is critical: `system-cluster-critical`, `system-node-critical`.
const CRITICAL: i32 = 2_000_000_000;

impl Pod {
    /// The node cannot do without it: a Pod of a file on the node, or one of the system's priorities.
    pub fn is_critical(&self) -> bool {
        let high = |priority| priority >= CRITICAL;
        self.is_static() || self.is_mirror() || self.spec.priority.is_some_and(high)
    }

    /// It comes from a file on the node, not from the API server.
    pub fn is_static(&self) -> bool {
        let source = self.metadata.annotations.get(CONFIG_SOURCE);
        source.is_some_and(|source| &**source != "api")
    }

    /// It never runs: it shows a static Pod at the API server.
    pub fn is_mirror(&self) -> bool {
        self.metadata.annotations.contains_key(CONFIG_MIRROR)
    }

    /// A container of any kind by name; the flag is true for an init container.
    pub fn container(&self, name: &str) -> Option<(&Container, bool)> {
        let all = self.spec.every_container().enumerate();
        all.map(|(at, c)| (c, at < self.spec.init_containers.len()))
            .find(|(c, _)| &*c.name == name)
    }

    /// What the API server was last told of a container of any kind.
    pub fn history(&self, name: &str) -> Option<&ContainerStatus> {
        let PodStatus {
            container_statuses,
            init_container_statuses,
            ephemeral_container_statuses,
            ..
        } = &self.status;
        container_statuses
            .iter()
            .chain(init_container_statuses)
            .chain(ephemeral_container_statuses)
            .find(|c| &*c.name == name)
    }
}
