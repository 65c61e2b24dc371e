//! Our Node object and its Lease: registered, kept true, and registered again when somebody deletes it.
//!
//! Two loops that never wait for each other: the Lease (four times in its life, with a time limit of its own), and the status
//! (looked at every 10 s and whenever the runtime's readiness changes; written when something changed, or every
//! 5 minutes). `status` and `register` decide, purely.

pub mod allocatable;
pub mod extras;
mod keeper;
pub mod own;
pub mod register;
pub mod status;

use crate::api::{EventType, Events, Nodes};
use crate::config::{KubeletConfig, Taint};
use crate::cri::{Runtime, v1};
use crate::kubelet::eviction::Pressures;
use crate::kubelet::metrics::KubeletMetrics;
use crate::kubelet::refs;
use crate::model::machine::Disk;
use crate::model::net::{Node, NodeTaint};
use crate::model::pod::Quantity;
use crate::sys::machine;
use crate::task::{DrainSignal, SayOnce};
use extras::{Extras, RuntimeAbilities};
use jiff::Timestamp;
use status::Facts;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// A Lease is renewed this often in its life; a renewal may take as long as the pause between two.
const RENEWALS: u32 = 4;
/// How often the runtime is asked while the node is ready, and while it is not.
const ASK_READY: Duration = Duration::from_secs(5);
const ASK_NOT_READY: Duration = Duration::from_millis(500);

/// What cannot be found out about the machine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no default route to take an address from.
    #[error("node address: no default route ({0}): give the address with --node-ip")]
    Address(#[source] std::io::Error),
    /// What is reserved is not there.
    #[error("node allocatable: {0}")]
    Reserved(#[from] allocatable::TooMuch),
}

/// What others find out that our Node tells.
#[derive(Clone, Debug)]
pub struct Views {
    /// Pressure conditions that hold.
    pub pressures: watch::Receiver<Pressures>,
    /// Images of the node.
    pub images: watch::Receiver<Arc<[v1::Image]>>,
    /// The machine goes down.
    pub down: watch::Receiver<bool>,
}

impl Default for Views {
    /// Nobody finds out anything.
    fn default() -> Self {
        Self {
            pressures: watch::Sender::default().subscribe(),
            images: watch::channel(Arc::new([]) as Arc<[_]>).1,
            down: watch::Sender::default().subscribe(),
        }
    }
}

/// Keeps our Node and its Lease.
pub struct NodeAgent {
    nodes: Arc<dyn Nodes>,
    events: Arc<dyn Events>,
    runtime: Arc<dyn Runtime>,
    config: Arc<KubeletConfig>,
    facts: Facts,
    views: Views,
    metrics: KubeletMetrics,
}

impl fmt::Debug for NodeAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeAgent")
            .field("node", &self.config.node)
            .finish_non_exhaustive()
    }
}

/// The node's addresses: those of the configuration, else that of the default route.
pub fn addresses(config: &KubeletConfig) -> Result<Vec<IpAddr>, Error> {
    if config.node_ips.is_empty() {
        Ok(vec![machine::default_route_ip().map_err(Error::Address)?])
    } else {
        Ok(config.node_ips.clone())
    }
}

impl NodeAgent {
    /// Reads the machine. `ips` are the node's addresses, primary first. Fails when more is reserved than there is.
    pub fn new(
        config: Arc<KubeletConfig>,
        ips: Vec<IpAddr>,
        runtime: Arc<dyn Runtime>,
        nodes: Arc<dyn Nodes>,
        events: Arc<dyn Events>,
    ) -> Result<Self, Error> {
        let facts = Facts {
            name: (&*config.node).into(),
            machine: machine::read(),
            disk: disk(&config.root_dir),
            ips: if config.external_cloud {
                // What others find out is not ours to guess.
                config.node_ips.clone()
            } else {
                ips
            },
            external_cloud: config.external_cloud,
            max_pods: config.max_pods,
            resources: config.resources.clone(),
            eviction: config.eviction.clone(),
            port: config.port,
            runtime: "unknown://Unknown".into(),
            extras: Extras {
                declared: config.declared_features.clone(),
                ..Extras::default()
            },
        };
        allocatable::check(&facts)?;
        Ok(Self {
            nodes,
            events,
            runtime,
            config,
            facts,
            views: Views::default(),
            metrics: KubeletMetrics::default(),
        })
    }

    /// Tells of what others find out as well.
    #[must_use]
    pub fn showing(self, views: Views) -> Self {
        Self { views, ..self }
    }

    /// The same, counted.
    pub fn with_metrics(self, metrics: KubeletMetrics) -> Self {
        Self { metrics, ..self }
    }

    /// What pods may use of the node.
    pub fn allocatable(&self) -> BTreeMap<Box<str>, Quantity> {
        let all = allocatable::json(&allocatable::allocatable(&self.facts));
        let resources = all.as_object().into_iter().flatten();
        let text = |amount: &serde_json::Value| Quantity(amount.as_str().unwrap_or_default().into());
        resources
            .map(|(name, amount)| (name.as_str().into(), text(amount)))
            .collect()
    }

    /// Our Node as far as Pods meet it, as we register it.
    pub fn registered(&self) -> Node {
        let taint = |taint: &Taint| NodeTaint {
            key: taint.key.clone(),
            value: taint.value.clone(),
            effect: format!("{:?}", taint.effect).into(),
        };
        let mut node = Node::default();
        node.metadata.name = (&*self.config.node).into();
        node.metadata.labels = register::labels(&self.facts, &self.config.labels);
        node.spec.taints = self.config.taints.iter().map(taint).collect();
        node
    }

    /// What the node is, as far as cgroups depend on it.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Registers and keeps the Node until the process ends.
    pub async fn run(self, drain: DrainSignal) {
        let object = refs::node(&self.config.node);
        self.events
            .emit(&object, EventType::Normal, "Starting", "Starting kubelet.".into());
        let (tell, problem) = watch::channel(None);
        let (registered, on_registered) = watch::channel(false);
        let lease = lease_loop(self.nodes.clone(), self.config.clone(), on_registered);
        let ask = ask_loop(self.runtime.clone(), tell);
        let status = keeper::Keeper::new(self, problem, registered).run();
        drain
            .unless_draining(async { tokio::join!(lease, ask, status) })
            .await;
    }
}

fn disk(path: &Path) -> Disk {
    // The root directory may not exist yet.
    path.ancestors()
        .find_map(|p| machine::disk(p).ok())
        .unwrap_or_default()
}

/// Renews the Lease, forever, once the Node is ours. A renewal that hangs is given up so that the next is on time.
async fn lease_loop(
    nodes: Arc<dyn Nodes>,
    config: Arc<KubeletConfig>,
    mut registered: watch::Receiver<bool>,
) {
    let (node, life) = (&config.node, config.lease_seconds);
    let period = Duration::from_secs(u64::from(life.unsigned_abs())) / RENEWALS;
    if registered.wait_for(|registered| *registered).await.is_err() {
        return;
    }
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut said = SayOnce::new(Duration::from_secs(60));
    loop {
        ticks.tick().await;
        let renewal = nodes.renew_lease(node, life, Timestamp::now());
        let problem = match tokio::time::timeout(period, renewal).await {
            Ok(Ok(())) => {
                if said.reset() {
                    tracing::info!(%node, "lease renewed again");
                }
                continue;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {period:?}"),
        };
        if said.say(&problem, Instant::now()).is_some() {
            tracing::warn!(%node, %problem, "lease not renewed");
        }
    }
}

/// What the runtime says: why the node is not ready, if it is not.
#[derive(Clone, Debug, Default, PartialEq)]
struct Health {
    problems: Vec<String>,
    /// `containerd://2.4.2`, once known.
    runtime: Option<Box<str>>,
    /// What the runtime can do, while it answers.
    abilities: Option<RuntimeAbilities>,
}

/// Asks the runtime how it is, forever; quickly while the node waits for it.
async fn ask_loop(runtime: Arc<dyn Runtime>, tell: watch::Sender<Option<Health>>) {
    let mut version = None;
    loop {
        let status = runtime.status(false).await;
        let problems = match &status {
            Ok(answer) => status::problems(Ok(answer.status.as_ref().unwrap_or(&Default::default()))),
            Err(error) => {
                version = None;
                status::problems(Err(&error.to_string()))
            }
        };
        if version.is_none() && status.is_ok() {
            version = runtime
                .version()
                .await
                .ok()
                .map(|v| format!("{}://{}", v.runtime_name, v.runtime_version).into());
        }
        let pause = if problems.is_empty() {
            ASK_READY
        } else {
            ASK_NOT_READY
        };
        let health = Some(Health {
            problems,
            runtime: version.clone(),
            abilities: status.as_ref().ok().map(RuntimeAbilities::new),
        });
        tell.send_if_modified(|before| {
            let changed = *before != health;
            *before = health;
            changed
        });
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests;
