//! Services: kube-proxy's job, with kube-proxy's chains.
//!
//! ```text
//! Service, EndpointSlice ──▶ tracker ──▶ ServiceMap ──▶ ruleset ──▶ iptables::render ──▶ sync ──▶ iptables-restore
//!      (watches)              PURE        (merged)       PURE            PURE             IO       one per family
//! ```
//! Owns the `KUBE-*` chains that kube-proxy owns, and the jumps to them; touches nothing else. Nothing is programmed
//! before both watches have listed once. What it keeps in memory of the kernel is a digest per chain; a failure or a
//! foreign change throws that away and everything is written anew. The rules stay when the agent ends: Services go on
//! working while it restarts, and [`Proxy::clean`] removes them when the proxy is switched off.

pub mod conntrack;
pub mod endpoints;
pub mod iptables;
pub mod metrics;
mod quarantine;
pub mod ruleset;
pub mod service_map;
mod sync;
pub mod tracker;

use crate::api::{Change, EventType, Events, ObjectRef};
use crate::model::net::IpFamily;
use crate::model::service::{EndpointSlice, Service};
use crate::sys::conntrack::{Conntrack, Netlink};
use crate::sys::iptables::{Process, Restore};
use crate::task::{BoundedRunner, Bounds, SayOnce};
use crate::telemetry::Metrics;
use ipnet::IpNet;
use jiff::Timestamp;
use metrics::ProxyMetrics;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use sync::{Synced, Syncer};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tracker::{Problem, Tracker};

/// Longest time without a full sync.
const FULL_SYNC: Duration = Duration::from_secs(3600);
/// Longest wait between attempts that fail.
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// How many times its own duration an audit waits at least before the next: it may cost 0.5 % of one CPU.
const AUDIT_COST: u32 = 200;
/// Most changes of each kind that one sync takes in from the queues.
const MAX_BURST: usize = 10_000;
/// The same failure is said once in this time.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// What went wrong while programming Services.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// iptables did not do what it should.
    #[error("program {family} service rules")]
    Iptables {
        /// Family.
        family: IpFamily,
        /// iptables' words.
        #[source]
        source: crate::sys::iptables::Error,
    },
    /// The kernel refuses one Service after the other; something else must be wrong.
    #[error("program {family} service rules: more than {count} Services were refused one after the other")]
    ManyRefused {
        /// Family.
        family: IpFamily,
        /// How many.
        count: usize,
    },
}

/// An error with all its causes in one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Settings that do not change while the agent runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our Node's name: decides which endpoints are local.
    pub node_name: Box<str>,
    /// Shortest time between two syncs; kube-proxy's default is 1 s.
    pub min_sync: Duration,
    /// Time between two looks at what the kernel holds; kube-proxy's default is 30 s.
    pub audit: Duration,
}

impl Settings {
    /// kube-proxy's defaults.
    pub fn new(node_name: &str) -> Self {
        Self {
            node_name: node_name.into(),
            min_sync: Duration::from_secs(1),
            audit: Duration::from_secs(30),
        }
    }
}

/// What the proxy must know of its node. May change while it runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeFacts {
    /// This node's pod CIDRs: traffic from there is local. Empty until the node has them; then cluster IPs are not
    /// masqueraded for anybody.
    pub pod_cidrs: Vec<IpNet>,
    /// The node's addresses, the main one of each family first.
    pub node_ips: Vec<IpAddr>,
}

/// What the proxy tells about itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// Rules were programmed at least once since start.
    pub ready: bool,
    /// Successful syncs so far.
    pub syncs: u64,
    /// Service ports in the map.
    pub service_ports: usize,
    /// Their endpoints.
    pub endpoints: usize,
    /// Rules in the kernel.
    pub rules: usize,
    /// When the last successful sync ended.
    pub last_sync: Option<Timestamp>,
    /// Why the last sync failed, if it did.
    pub last_error: Option<String>,
}

/// The iptables proxy. Make one with [`Proxy::new`] and drive it with [`Proxy::run`].
pub struct Proxy {
    services: mpsc::Receiver<Change<Service>>,
    slices: mpsc::Receiver<Change<EndpointSlice>>,
    facts: watch::Receiver<NodeFacts>,
    tracker: Tracker,
    syncer: Syncer,
    runner: BoundedRunner,
    events: Option<Arc<dyn Events>>,
    metrics: ProxyMetrics,
    status: watch::Sender<Status>,
    said: SayOnce,
    audit_interval: Duration,
    next_audit: Instant,
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy")
            .field("status", &*self.status.borrow())
            .finish_non_exhaustive()
    }
}

impl Proxy {
    /// A proxy for the network namespace of the thread that runs it. `services` and `slices` each begin with
    /// [`Change::Replaced`].
    pub fn new(
        settings: &Settings,
        services: mpsc::Receiver<Change<Service>>,
        slices: mpsc::Receiver<Change<EndpointSlice>>,
        facts: watch::Receiver<NodeFacts>,
    ) -> Self {
        let metrics = ProxyMetrics::default();
        let bounds = Bounds {
            min_interval: settings.min_sync,
            max_interval: FULL_SYNC,
            max_backoff: MAX_BACKOFF,
        };
        Self {
            services,
            slices,
            facts,
            tracker: Tracker::new(&settings.node_name),
            syncer: Syncer::new(Arc::new(Process), Arc::new(Netlink), metrics.clone()),
            runner: BoundedRunner::new(bounds),
            events: None,
            metrics,
            status: watch::Sender::default(),
            said: SayOnce::new(SAY_AGAIN),
            audit_interval: settings.audit,
            next_audit: Instant::now() + settings.audit,
        }
    }

    /// With another way to the kernel than child processes and netlink.
    #[must_use]
    pub fn with_kernel(mut self, tables: Arc<dyn Restore>, conntrack: Arc<dyn Conntrack>) -> Self {
        self.syncer = Syncer::new(tables, conntrack, self.metrics.clone());
        self
    }

    /// Tells about objects that cannot be programmed also by Events on them.
    #[must_use]
    pub fn with_events(mut self, events: Arc<dyn Events>) -> Self {
        self.events = Some(events);
        self
    }

    /// Shows kube-proxy's metrics.
    #[must_use]
    pub fn with_metrics(self, metrics: &Metrics) -> Self {
        self.metrics.register(metrics);
        self
    }

    /// What the proxy tells about itself; `ready` turns true with the first sync.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Programs Services until `shutdown` ends. A sync that has begun is finished first; the rules stay.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        tokio::pin!(shutdown);
        loop {
            let may_sync = self.tracker.is_complete();
            tokio::select! {
                () = &mut shutdown => return,
                Some(change) = self.services.recv() => self.take_service(change),
                Some(change) = self.slices.recv() => self.take_slice(change),
                Ok(()) = self.facts.changed() => self.runner.request(),
                () = self.runner.due(), if may_sync => self.sync().await,
                () = sleep_until(self.next_audit), if may_sync => self.audit().await,
            }
        }
    }

    /// Removes every chain and jump of ours from this network namespace, for when the proxy is switched off. Doing it
    /// twice is fine.
    pub async fn clean() -> Result<(), Error> {
        sync::clean(&Process).await
    }

    fn take_service(&mut self, change: Change<Service>) {
        self.metrics.service_change();
        let first = matches!(change, Change::Replaced(_));
        self.tracker.service_changed(change);
        self.request_if_dirty(first);
    }

    fn take_slice(&mut self, change: Change<EndpointSlice>) {
        self.metrics.endpoint_change();
        let first = matches!(change, Change::Replaced(_));
        self.tracker.slice_changed(change);
        self.request_if_dirty(first);
    }

    /// A list asks for a sync even if it is empty: the first one makes the chains and removes stale ones.
    fn request_if_dirty(&mut self, list: bool) {
        if list || self.tracker.is_dirty() {
            self.runner.request();
        }
    }

    async fn sync(&mut self) {
        if self.runner.start() == crate::task::bounded::Reason::Interval {
            self.syncer.forget();
        }
        self.take_waiting();
        let update = self.tracker.update();
        for problem in &update.problems {
            self.report(problem);
        }
        self.metrics.problems(self.tracker.problem_count());
        let facts = self.facts.borrow_and_update().clone();
        let (synced, result) = self.syncer.sync(self.tracker.map(), &facts).await;
        self.runner.done(result.is_ok());
        for (name, words) in &synced.refused {
            self.report(&tracker::refused(name, words));
        }
        match result {
            Ok(()) => self.synced(&synced, &update.triggers),
            Err(error) => self.failed(&error),
        }
    }

    /// Takes the changes that wait already, so that a burst becomes one transaction.
    fn take_waiting(&mut self) {
        for _ in 0..MAX_BURST {
            let service = self.services.try_recv().map(|change| self.take_service(change));
            let slice = self.slices.try_recv().map(|change| self.take_slice(change));
            if service.is_err() && slice.is_err() {
                break;
            }
        }
        self.runner.start();
    }

    fn synced(&mut self, synced: &Synced, triggers: &[Timestamp]) {
        let now = Timestamp::now();
        for trigger in triggers {
            self.metrics
                .programmed(now.duration_since(*trigger).as_secs_f64());
        }
        let map = self.tracker.map();
        let status = Status {
            ready: true,
            syncs: self.status.borrow().syncs + 1,
            service_ports: map.len(),
            endpoints: map.values().map(|port| port.endpoints.len()).sum(),
            rules: synced.rules,
            last_sync: Some(now),
            last_error: None,
        };
        let before = self.status.send_replace(status.clone());
        if !before.ready || before.last_error.is_some() {
            let Status {
                service_ports,
                endpoints,
                rules,
                ..
            } = status;
            tracing::info!(service_ports, endpoints, rules, "service rules are programmed");
        }
    }

    fn failed(&mut self, error: &Error) {
        let words = chain(error);
        if let Some(repeated) = self.said.say(&words, Instant::now()) {
            tracing::error!(
                error = words,
                repeated,
                "service rules are not programmed, trying again"
            );
        }
        self.status.send_modify(|status| status.last_error = Some(words));
    }

    /// Looks whether the kernel still holds what was committed, and has it repaired if not.
    async fn audit(&mut self) {
        let started = Instant::now();
        match self.syncer.audit().await {
            Ok(differences) if differences.is_empty() => {}
            Ok(differences) => {
                let (count, first) = (differences.len(), &differences[0]);
                let hint =
                    "another program changed our rules, writing them again; is a kube-proxy running here?";
                tracing::warn!(count, first, "{hint}");
                self.runner.request();
            }
            Err(error) => {
                let words = chain(&error);
                if let Some(repeated) = self.said.say(&words, Instant::now()) {
                    tracing::warn!(error = words, repeated, "cannot check service rules");
                }
            }
        }
        self.next_audit = Instant::now() + self.audit_interval.max(started.elapsed() * AUDIT_COST);
    }

    /// Tells about one thing that is left out.
    fn report(&self, problem: &Problem) {
        let (ns, name) = (&*problem.object.namespace, &*problem.object.name);
        tracing::warn!(
            ns,
            name,
            kind = problem.kind.object_kind(),
            "{}: {}",
            problem.field,
            problem.message
        );
        if let Some(events) = &self.events {
            let object = ObjectRef {
                kind: problem.kind.object_kind().into(),
                api_version: problem.kind.api_version().into(),
                key: problem.object.clone(),
                uid: problem.uid.clone(),
                field_path: "".into(),
            };
            let message = format!("{}: {}", problem.field, problem.message);
            events.emit(&object, EventType::Warning, "NotProgrammed", message);
        }
    }
}

#[cfg(test)]
mod tests;
