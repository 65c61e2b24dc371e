//! The node agent's pod side: from watched Pods to running containers and back to status.
//!
//! One worker per pod UID runs observe → plan → execute → status. The pure files (`plan`, `status`, `resize`, `translate`,
//! `dns`, `hosts`, `dirs`, `manifest/*` but its shells, `volume/content`, `probe/state`) decide; `worker`, `execute`, `observe`, `volume`, `probe`
//! and `node` do.

pub mod admit;
pub mod cgroup;
pub mod context;
pub mod dirs;
pub mod dns;
pub mod env;
pub mod eviction;
pub mod execute;
pub mod gc;
pub mod hash;
pub mod host;
pub mod hosts;
pub mod images;
pub mod last_words;
pub mod manifest;
pub mod metrics;
pub mod logs;
pub mod node;
pub mod notes;
pub mod observe;
pub mod observed;
pub mod plan;
mod pods;
pub mod probe;
pub mod pulse;
pub mod qos;
pub mod quantity;
pub mod refs;
pub mod resize;
pub mod resources;
pub mod server;
pub mod shutdown;
pub mod source;
pub mod stats;
pub mod status;
pub mod translate;
pub mod userns;
pub mod volume;
pub mod worker;

use crate::api::{Change, ConfigData, Events, Nodes, Pods, Reviews};
use crate::config::{KubeletConfig, ServerConfig};
use crate::cri::{self, Runtime};
use crate::model::net::Node;
use crate::model::pod::Pod;
use crate::sys::logind::SystemBus;
use crate::task::DrainSignal;
use dirs::Dirs;
use env::ServiceEnv;
use eviction::Pressures;
use eviction::manage::Care;
use host::Host;
use images::ImageManager;
use images::gc::ImageGc;
use images::providers::{self, Providers};
use images::sources::Sources;
use jiff::Timestamp;
use metrics::KubeletMetrics;
use node::own::OwnNode;
use node::{NodeAgent, Views};
use pulse::Pulse;
use rustls::server::ResolvesServerCert;
use shutdown::Power;
use source::Source;
use stats::Collector;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// The seams to the rest of the world, and the settings.
#[derive(Clone)]
pub struct KubeletDeps {
    /// Sandboxes and containers.
    pub runtime: Arc<dyn Runtime>,
    /// Images.
    pub images: Arc<dyn cri::Images>,
    /// Pod status and final deletion.
    pub pods: Arc<dyn Pods>,
    /// ConfigMaps, Secrets, tokens.
    pub config_data: Arc<dyn ConfigData>,
    /// Our Node and Lease.
    pub nodes: Arc<dyn Nodes>,
    /// Events.
    pub events: Arc<dyn Events>,
    /// Settings.
    pub config: Arc<KubeletConfig>,
    /// Settings of the HTTPS API.
    pub server: Arc<ServerConfig>,
    /// The API's certificate, asked for at each connection, so that it may change.
    pub serving: Arc<dyn ResolvesServerCert>,
    /// The open exec, attach and port-forward sessions.
    pub streams: Arc<server::stream::Streams>,
    /// Who calls the API, and may they.
    pub reviews: Arc<dyn Reviews>,
    /// What is counted.
    pub metrics: KubeletMetrics,
    /// Services with a cluster IP, for environment variables; may change while the agent runs.
    pub services: watch::Receiver<Arc<Vec<ServiceEnv>>>,
    /// Our Node as the API server has it; nothing until it is known.
    pub own_node: watch::Receiver<Option<Arc<Node>>>,
    /// What the machine lets this agent do.
    pub host: Host,
}

impl fmt::Debug for KubeletDeps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KubeletDeps")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// Why the pod side cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The node.
    #[error(transparent)]
    Node(#[from] node::Error),
    /// Credential providers.
    #[error(transparent)]
    Providers(#[from] providers::Error),
}

/// The node agent's pod side.
#[derive(Debug)]
pub struct Kubelet {
    deps: KubeletDeps,
    changes: mpsc::Receiver<Change<Pod>>,
    ips: Vec<IpAddr>,
    agent: NodeAgent,
    images: Arc<ImageManager>,
}

impl Kubelet {
    /// Takes the seams and the watch on this node's Pods. Fails when the node has no address to report, or less than
    /// is reserved of it, and when its credential providers cannot be used.
    pub fn new(deps: KubeletDeps, changes: mpsc::Receiver<Change<Pod>>) -> Result<Self, Error> {
        let ips = node::addresses(&deps.config)?;
        let (runtime, nodes, events) = (deps.runtime.clone(), deps.nodes.clone(), deps.events.clone());
        let agent = NodeAgent::new(deps.config.clone(), ips.clone(), runtime, nodes, events)?;
        let providers = match &deps.config.credential_providers {
            Some((file, dir)) => Providers::load((file, dir), &deps.config_data, &deps.metrics)?,
            None => Providers::default(),
        };
        let sources = Sources::new(&deps.config.root_dir, providers);
        let images =
            ImageManager::new(deps.images.clone(), &deps.config, sources).with_metrics(deps.metrics.clone());
        Ok(Self {
            deps,
            changes,
            ips,
            agent,
            images: Arc::new(images),
        })
    }

    /// Runs pods and keeps the Node until the process ends. Containers keep running after that.
    pub async fn run(self, drain: DrainSignal) {
        let Self {
            deps,
            changes,
            ips,
            agent,
            images,
        } = self;
        let power = Power::new(Arc::new(SystemBus));
        let down = power.down.subscribe();
        let node = pods::NodeSide {
            ips,
            allocatable: agent.allocatable(),
            enforced: node::allocatable::enforced(agent.facts()),
            machine: agent.facts().machine.clone(),
            own: OwnNode::new(deps.nodes.clone(), deps.own_node.clone(), agent.registered()),
            images: images.clone(),
            power,
        };
        let source = Arc::new(Source::default());
        let image_gc = Arc::new(ImageGc::new(
            (deps.runtime.clone(), deps.images.clone(), images),
            deps.events.clone(),
            source.clone(),
            deps.config.clone(),
            deps.metrics.clone(),
        ));
        let pressures = watch::Sender::new(Pressures::new());
        let views = Views {
            pressures: pressures.subscribe(),
            images: image_gc.listed(),
            down,
        };
        let agent = agent.showing(views).with_metrics(deps.metrics.clone());
        let pulse = Arc::new(Pulse::default());
        let shared = shared(&deps, &source, &pulse, drain.clone());
        let care = Care {
            usage: shared.stats.clone(),
            image_gc: image_gc.clone(),
            pressures,
        };
        let (serving, reviews) = (deps.serving.clone(), deps.reviews.clone());
        let (dirs, log_rotation) = (shared.dirs.clone(), deps.config.log_rotation);
        let rotation = logs::rotation::run(deps.runtime.clone(), dirs, log_rotation, drain.clone());
        let (collecting, checking) = (drain.clone(), drain.clone());
        let dns_limits = dns::limits::watch(deps.config.clone(), deps.events.clone());
        tokio::join!(
            agent.run(drain.clone()),
            rotation,
            collecting.unless_draining(image_gc.run()),
            checking.unless_draining(dns_limits),
            server::run(shared, serving, reviews, drain.clone()),
            pods::run(deps, node, (source, pulse, care), changes, drain)
        );
    }
}

/// What the node's API reads and calls.
fn shared(
    deps: &KubeletDeps,
    source: &Arc<Source>,
    pulse: &Arc<Pulse>,
    drain: DrainSignal,
) -> server::Shared {
    let dirs = Dirs {
        root: deps.config.root_dir.clone(),
        pod_logs: deps.config.pod_logs_dir.clone(),
    };
    let cri = (deps.runtime.clone(), deps.images.clone());
    let who = (deps.config.node.clone(), deps.config.cgroup_root.clone());
    let stats = Collector::new(cri, source.clone(), who, (dirs.clone(), deps.config.volume_stats));
    server::Shared {
        node: deps.config.node.clone(),
        config: deps.server.clone(),
        runtime: deps.runtime.clone(),
        source: source.clone(),
        started: Timestamp::now(),
        pulse: pulse.clone(),
        settings: deps.config.clone(),
        pods: deps.pods.clone(),
        streams: deps.streams.clone(),
        stats: Arc::new(stats),
        metrics: deps.metrics.clone(),
        dirs,
        drain,
    }
}
