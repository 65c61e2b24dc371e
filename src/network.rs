//! The node's side of the pod network: what one agent does once for all pods of its node.
//!
//! From the Nodes of the cluster to routes to the other nodes' pods, masquerade for pods that leave the cluster,
//! kernel settings, and last of all the configuration that lets the container runtime start pods. Level-triggered:
//! any change leads to one comparison of everything with the kernel; a slow audit heals what others break.
//!
//! Never touches a pod's link or address: those are the plugin's ([`crate`]'s `cni`), which works while we are down.

pub mod conflist;
pub mod desired;
pub mod install;
pub mod kernel;
pub mod masquerade;
pub mod routes;

use crate::api::Change;
use crate::config::NetworkConfig;
use crate::model::net::{IpFamily, Node};
use crate::sys::iptables::Restore;
use crate::task::{Backoff, SayOnce};
use desired::Facts;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often the kernel is compared without any event.
const AUDIT: Duration = Duration::from_secs(30);
/// First and longest wait after a failed sync.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// The same warning is not repeated more often than this.
const REPEAT_WARNING: Duration = Duration::from_secs(600);

/// What went wrong with the node's network.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// In the kernel.
    #[error(transparent)]
    Kernel(#[from] kernel::Error),
    /// In the runtime's directories.
    #[error(transparent)]
    Install(#[from] install::Error),
    /// A blocking step panicked.
    #[error("network step ended abnormally: {0}")]
    Step(#[from] tokio::task::JoinError),
}

/// Can pods be started on this node, as far as the network is concerned?
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Not yet, or not any more, with the reason for the Node's condition.
    NotReady(String),
    /// Yes.
    Ready,
}

/// The node's network; see the module.
pub struct Network {
    config: NetworkConfig,
    changes: mpsc::Receiver<Change<Node>>,
    iptables: Arc<dyn Restore>,
    state: watch::Sender<State>,
    nodes: BTreeMap<Arc<str>, Arc<Node>>,
    /// The first full list has come; before it, a missing Node means nothing.
    listed: bool,
    warnings: SayOnce,
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Network {
    /// Nothing is done before [`Network::run`].
    pub fn new(
        config: NetworkConfig,
        changes: mpsc::Receiver<Change<Node>>,
        iptables: Arc<dyn Restore>,
    ) -> Self {
        let state = watch::Sender::new(State::NotReady("waiting for the first list of Nodes".to_owned()));
        let warnings = SayOnce::new(REPEAT_WARNING);
        Self {
            config,
            changes,
            iptables,
            state,
            nodes: BTreeMap::new(),
            listed: false,
            warnings,
        }
    }

    /// Whether pods can be started; follows what [`Network::run`] finds.
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Keeps the network right until the shutdown or the end of the changes. Leaves everything in place when it ends:
    /// pods go on without an agent.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut backoff = Backoff::new(RETRY.0, RETRY.1);
        let mut synced: Option<Facts> = None;
        let mut next = Instant::now();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                change = self.changes.recv() => {
                    let Some(change) = change else { return };
                    self.take(change);
                    while let Ok(change) = self.changes.try_recv() {
                        self.take(change);
                    }
                    // Heartbeats change Nodes all the time, but nothing for us.
                    let facts = desired::facts(&self.config.node, &self.nodes);
                    if !self.listed || synced.as_ref() == Some(&facts) {
                        continue;
                    }
                }
                () = tokio::time::sleep_until(next), if self.listed => {}
            }
            let facts = desired::facts(&self.config.node, &self.nodes);
            match self.sync(&facts).await {
                Ok(()) => {
                    synced = Some(facts);
                    backoff.reset();
                    next = Instant::now() + AUDIT;
                }
                Err(e) => {
                    synced = None;
                    self.failed(&e);
                    next = Instant::now() + backoff.fail();
                }
            }
        }
    }

    fn take(&mut self, change: Change<Node>) {
        match change {
            Change::Replaced(nodes) => {
                self.listed = true;
                self.nodes = nodes
                    .into_iter()
                    .map(|node| (node.metadata.name.clone(), node))
                    .collect();
            }
            Change::Applied(node) => {
                self.nodes.insert(node.metadata.name.clone(), node);
            }
            Change::Deleted(node) => {
                self.nodes.remove(&node.metadata.name);
            }
        }
    }

    /// One comparison of everything. The configuration comes last: it is what lets pods start.
    async fn sync(&mut self, facts: &Facts) -> Result<(), Error> {
        self.warn(&facts.problems);
        if facts.own_cidrs.is_empty() {
            let why = format!("node {} has no pod CIDR (spec.podCIDRs) yet", self.config.node);
            self.become_state(State::NotReady(why));
            return Ok(());
        }
        let for_kernel = facts.clone();
        let kernel = move || -> Result<_, kernel::Error> {
            Ok((
                kernel::settings(&for_kernel.own_cidrs)?,
                kernel::routes(&for_kernel)?,
            ))
        };
        let (problems, done) = tokio::task::spawn_blocking(kernel).await??;
        self.warn(&problems);
        self.warn(&done.problems);
        for (dst, gateway) in &done.set {
            tracing::info!(%dst, %gateway, "route to another node's pods set");
        }
        for dst in &done.deleted {
            tracing::info!(%dst, "route to another node's pods deleted");
        }
        for family in IpFamily::ALL {
            if kernel::chains(&*self.iptables, facts, family).await? {
                tracing::info!(%family, "masquerade rules written");
            }
        }
        self.install(facts, done.mtu).await?;
        self.become_state(State::Ready);
        Ok(())
    }

    async fn install(&self, facts: &Facts, mtu: u32) -> Result<(), Error> {
        let text = conflist::render(&facts.own_cidrs, mtu);
        let (conf_dir, bin_dir) = (self.config.cni_conf_dir.clone(), self.config.cni_bin_dir.clone());
        let step = move || -> Result<_, install::Error> {
            Ok((install::plugin(&bin_dir)?, install::conflist(&conf_dir, &text)?))
        };
        let (links, written) = tokio::task::spawn_blocking(step).await??;
        for path in links {
            tracing::info!(path = %path.display(), "CNI plugin installed");
        }
        if written {
            let path = self.config.cni_conf_dir.join(conflist::FILE);
            tracing::info!(path = %path.display(), cidrs = ?facts.own_cidrs, mtu, "CNI configuration written");
        }
        Ok(())
    }

    fn become_state(&self, state: State) {
        self.state.send_if_modified(|now| {
            let changed = *now != state;
            if changed {
                match &state {
                    State::Ready => tracing::info!("pod network is ready"),
                    State::NotReady(why) => tracing::info!(why, "pod network is not ready"),
                }
                *now = state;
            }
            changed
        });
    }

    /// A network that works goes on working when a comparison fails; another owner ends it.
    fn failed(&mut self, error: &Error) {
        let foreign = matches!(error, Error::Install(install::Error::Foreign(_)));
        let text = with_causes(error);
        if foreign || *self.state.borrow() != State::Ready {
            self.become_state(State::NotReady(text.clone()));
        }
        self.warn(&[text]);
    }

    fn warn(&mut self, problems: &[String]) {
        let now = Instant::now();
        for problem in problems {
            if self.warnings.say(problem, now).is_some() {
                tracing::warn!("{problem}");
            }
        }
    }

    /// Removes routes, chains, configuration and plugin links, and the bridge when no pod is connected to it. Goes on
    /// after a failure and returns all of them.
    pub async fn clean(config: &NetworkConfig, iptables: &dyn Restore) -> Vec<Error> {
        let mut errors: Vec<Error> = Vec::new();
        errors.extend(
            install::clean(&config.cni_conf_dir, &config.cni_bin_dir)
                .err()
                .map(Error::from),
        );
        for family in IpFamily::ALL {
            errors.extend(
                kernel::chains(iptables, &Facts::default(), family)
                    .await
                    .err()
                    .map(Error::from),
            );
        }
        match tokio::task::spawn_blocking(kernel::clean).await {
            Ok(done) => errors.extend(done.err().map(Error::from)),
            Err(e) => errors.push(e.into()),
        }
        errors
    }
}

/// An error with everything below it in one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(cause) = below {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        below = cause.source();
    }
    text
}
