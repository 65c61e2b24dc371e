//! What every pod worker shares: the seams to the runtime and the API server, and facts about the node.

use crate::api::{ConfigData, EventType, Events, Pods};
use crate::config::KubeletConfig;
use crate::cri::{self, Runtime};
use crate::kubelet::cgroup::PodCgroups;
use crate::kubelet::dirs::Dirs;
use crate::kubelet::env::ServiceEnv;
use crate::kubelet::eviction::manage::Care;
use crate::kubelet::images::ImageManager;
use crate::kubelet::metrics::KubeletMetrics;
use crate::kubelet::node::own::OwnNode;
use crate::kubelet::notes::Notes;
use crate::kubelet::probe::Probes;
use crate::kubelet::refs;
use crate::kubelet::shutdown::Power;
use crate::kubelet::translate::NodeLimits;
use crate::kubelet::userns::UserRanges;
use crate::kubelet::volume::Volumes;
use crate::model::machine::Confinement;
use crate::model::pod::{Pod, Quantity};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};

/// The wall clock; a test puts its own here.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Sandbox and container creations in flight on the node: more than this only makes each of them slower.
pub const PARALLEL_STARTS: usize = 10;

/// Shared by all workers.
pub struct Context {
    /// Sandboxes and containers.
    pub runtime: Arc<dyn Runtime>,
    /// Images as the runtime has them.
    pub image_service: Arc<dyn cri::Images>,
    /// Pull policy, credentials, parallel pulls, backoff.
    pub images: Arc<ImageManager>,
    /// Pod status and final deletion.
    pub pods: Arc<dyn Pods>,
    /// ConfigMaps, Secrets, tokens.
    pub data: Arc<dyn ConfigData>,
    /// Events.
    pub events: Arc<dyn Events>,
    /// Volumes.
    pub volumes: Volumes,
    /// Probes.
    pub probes: Probes,
    /// What outlives this process.
    pub notes: Arc<Notes>,
    /// Settings.
    pub config: Arc<KubeletConfig>,
    /// Directory layout.
    pub dirs: Dirs,
    /// The node's addresses, primary first.
    pub host_ips: Vec<IpAddr>,
    /// What the node does about resources.
    pub limits: NodeLimits,
    /// What pods may use of the node.
    pub allocatable: BTreeMap<Box<str>, Quantity>,
    /// Our Node.
    pub own_node: OwnNode,
    /// How this machine keeps containers apart.
    pub confinement: Confinement,
    /// User ids of Pods with a user namespace.
    pub users: Arc<UserRanges>,
    /// Name of the runtime, as `containerd`.
    pub runtime_name: Box<str>,
    /// Cgroups of Pods.
    pub cgroups: PodCgroups,
    /// Services for environment variables.
    pub services: watch::Receiver<Arc<Vec<ServiceEnv>>>,
    /// One permit for each sandbox or container that is being created.
    pub starts: Semaphore,
    /// What keeps the node alive when it runs out of something.
    pub care: Care,
    /// Whether the machine goes down.
    pub power: Power,
    /// What is counted.
    pub metrics: KubeletMetrics,
    /// Now.
    pub clock: Clock,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("dirs", &self.dirs)
            .finish_non_exhaustive()
    }
}

impl Context {
    /// Now, by the wall clock.
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Where links to container logs are: `containers` beside the Pods' log directory.
    pub fn link_dir(&self) -> PathBuf {
        self.dirs.pod_logs.with_file_name("containers")
    }

    /// An Event about the whole Pod.
    pub fn tell(&self, pod: &Pod, kind: EventType, reason: &str, message: String) {
        self.events.emit(&refs::pod(pod), kind, reason, message);
    }

    /// An Event about one container.
    pub fn tell_container(&self, pod: &Pod, name: &str, kind: EventType, told: (&'static str, String)) {
        self.events
            .emit(&refs::container(pod, name), kind, told.0, told.1);
    }
}
