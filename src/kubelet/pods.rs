//! Starts the pod side and feeds it: changes from the API server, marks from the runtime, and the slow rounds
//! (refreshing volumes, sweeping leftovers).

use super::KubeletDeps;
use super::cgroup::names::Names;
use super::cgroup::plan::{Cfs, Rules};
use super::cgroup::{PodCgroups, keeper};
use super::context::{Clock, Context, PARALLEL_STARTS};
use super::eviction::manage::{Care, Evictor};
use super::images::ImageManager;
use super::node::own::OwnNode;
use super::notes::Notes;
use super::observe::{News, Observer};
use super::probe::Probes;
use super::pulse::Pulse;
use super::resources::List;
use super::shutdown::Power;
use super::shutdown::manage::Shutdown;
use super::source::Source;
use super::translate::NodeLimits;
use super::userns::UserRanges;
use super::volume::Volumes;
use super::worker::{Marks, Workers};
use super::{dirs::Dirs, gc, manifest, resize};
use crate::api::Change;
use crate::config::{CgroupDriver, ResourceConfig};
use crate::cri::v1;
use crate::model::machine::Machine;
use crate::model::pod::{Pod, Quantity};
use crate::model::{NamespacedName, PodUid};
use crate::sys::cgroup::{Cgroups, Version};
use crate::sys::systemd::Systemd;
use crate::sys::{heap, machine};
use crate::task::{DrainSignal, SayOnce};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::Instant;

/// Pause between two looks at changed ConfigMaps, Secrets and tokens.
const REFRESH: Duration = Duration::from_secs(60);
/// Pause between two sweeps for leftovers.
const SWEEP: Duration = Duration::from_secs(120);
/// Pause between two looks at whether we make progress.
const BEAT: Duration = Duration::from_secs(10);
/// How long static Pods wait for the API server's first list.
const HISTORY_WAIT: Duration = Duration::from_secs(1);
/// Pause before the runtime is asked again at start.
const RUNTIME_RETRY: Duration = Duration::from_millis(500);

/// What pods know of their node.
pub(super) struct NodeSide {
    /// Its addresses, primary first.
    pub(super) ips: Vec<IpAddr>,
    /// What pods may use of it.
    pub(super) allocatable: BTreeMap<Box<str>, Quantity>,
    /// Its images.
    pub(super) images: Arc<ImageManager>,
    /// What all of them together are held to.
    pub(super) enforced: List,
    /// The machine.
    pub(super) machine: Machine,
    /// Its Node.
    pub(super) own: OwnNode,
    /// Whether it goes down.
    pub(super) power: Power,
}

/// Runs pods until the process ends.
pub(super) async fn run(
    deps: KubeletDeps,
    node: NodeSide,
    (source, pulse, care): (Arc<Source>, Arc<Pulse>, Care),
    changes: mpsc::Receiver<Change<Pod>>,
    drain: DrainSignal,
) {
    let Some((name, systemd)) = drain.unless_draining(ask_runtime(&deps)).await else {
        return;
    };
    let marks = Arc::new(Marks::default());
    let enforced = node.enforced.clone();
    let context = Arc::new(context((deps, care), node, (name, systemd), &marks));
    // Upstream does not start without; what is wrong shows with the first Pod, too.
    if let Err(problem) = keeper::hold_pods(&context, &enforced).await {
        tracing::warn!(problem, "the cgroup of all pods");
    }
    let keep = {
        let (context, source) = (context.clone(), source.clone());
        let drain = drain.clone();
        async move {
            drain
                .unless_draining(keeper::run(&context, &source, &enforced))
                .await
        }
    };
    tokio::join!(keep, serve(context, marks, (source, pulse), changes, drain));
}

/// The runtime's name, and whether it leaves cgroups to systemd; asked until it answers.
async fn ask_runtime(deps: &KubeletDeps) -> (Box<str>, bool) {
    let mut said = SayOnce::new(Duration::from_secs(60));
    let name = loop {
        match deps.runtime.version().await {
            Ok(version) => break version.runtime_name.into(),
            Err(error) => {
                let text = error.to_string();
                if said.say(&text, Instant::now()).is_some() {
                    tracing::warn!(error = %text, socket = %deps.config.runtime_socket.display(), "waiting for the container runtime");
                }
                tokio::time::sleep(RUNTIME_RETRY).await;
            }
        }
    };
    // The runtime knows best; containerd before 2.0 does not say it.
    let told = deps
        .runtime
        .runtime_config()
        .await
        .ok()
        .and_then(|config| config.linux);
    let systemd = told.map_or(
        deps.config.cgroup_driver == Some(CgroupDriver::Systemd),
        |linux| linux.cgroup_driver() == v1::CgroupDriver::Systemd,
    );
    tracing::info!(runtime = %name, systemd, "container runtime answers");
    (name, systemd)
}

fn context(
    (deps, care): (KubeletDeps, Care),
    node: NodeSide,
    (runtime_name, systemd): (Box<str>, bool),
    marks: &Arc<Marks>,
) -> Context {
    let dirs = Dirs {
        root: deps.config.root_dir.clone(),
        pod_logs: deps.config.pod_logs_dir.clone(),
    };
    let cgroups = Cgroups::detect()
        .inspect_err(|error| tracing::warn!(%error, "pods get no cgroup of their own"))
        .ok();
    let (config, machine) = (&deps.config.resources, &node.machine);
    let missing = cgroups.as_ref().map(Cgroups::missing).unwrap_or_default();
    if !missing.is_empty() {
        tracing::warn!(
            ?missing,
            "cgroup controllers are missing: pods are not held to what these count"
        );
    }
    let names = config.cgroups_per_qos.then(|| Names {
        root: deps.config.cgroup_root.clone(),
        systemd,
    });
    let limits = NodeLimits {
        lowest_oom_score: deps.host.lowest_oom_score,
        ..node_limits(config, machine, cgroups.as_ref())
    };
    let rules = Rules {
        cfs: limits.cfs,
        pids: config.pod_pids,
        page_sizes: limits.page_sizes.clone(),
    };
    let mut cgroups = PodCgroups::new(cgroups.map(Arc::new), names, rules);
    if systemd {
        cgroups = cgroups.with_systemd(Systemd::default());
    }
    let users = Arc::new(UserRanges::new(dirs.clone(), deps.host.ids));
    let clock: Clock = Arc::new(Timestamp::now);
    let marks = marks.clone();
    let mark = Arc::new(move |uid| marks.mark(uid));
    let notes = Arc::new(Notes::new(dirs.clone()));
    Context {
        images: node.images,
        volumes: Volumes::new(dirs.clone(), deps.config_data.clone()).with_metrics(deps.metrics.clone()),
        probes: Probes::new(deps.runtime.clone(), deps.events.clone(), mark, clock())
            .with_metrics(deps.metrics.clone())
            .with_notes(notes.clone()),
        notes,
        metrics: deps.metrics,
        runtime: deps.runtime,
        image_service: deps.images,
        pods: deps.pods,
        data: deps.config_data,
        events: deps.events,
        config: deps.config,
        dirs,
        host_ips: node.ips,
        limits,
        allocatable: node.allocatable,
        own_node: node.own,
        confinement: machine::confinement(),
        users,
        runtime_name,
        cgroups,
        services: deps.services,
        care,
        power: node.power,
        starts: Semaphore::new(PARALLEL_STARTS),
        clock,
    }
}

/// What the node does about resources, of its settings and what the machine can do.
fn node_limits(config: &ResourceConfig, machine: &Machine, cgroups: Option<&Cgroups>) -> NodeLimits {
    let bytes = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let v2 = cgroups.is_some_and(|c| c.version() == Version::V2);
    NodeLimits {
        memory: bytes(machine.memory_bytes),
        swap: bytes(machine.swap_bytes),
        v2,
        swap_counted: cgroups.is_some_and(Cgroups::counts_swap),
        limited_swap: config.limited_swap,
        single_process_oom_kill: config.single_process_oom_kill.unwrap_or(!v2),
        cfs: Cfs {
            enforced: config.cfs_quota,
            period: u64::try_from(config.cfs_period.as_micros()).unwrap_or(u64::MAX),
        },
        page_sizes: machine.hugepages.iter().map(|(size, _)| size * 1024).collect(),
        lowest_oom_score: None,
    }
}

/// The pod side over a finished context.
pub(super) async fn serve(
    context: Arc<Context>,
    marks: Arc<Marks>,
    (source, pulse): (Arc<Source>, Arc<Pulse>),
    changes: mpsc::Receiver<Change<Pod>>,
    drain: DrainSignal,
) {
    let dirty = marks.clone();
    let mark = move |uid, news| match news {
        News::Begun => dirty.begun(uid),
        News::Other => dirty.mark(uid),
    };
    let observer = Observer::counted(context.runtime.clone(), context.metrics.clone(), mark);
    let workers = Workers::new(context.clone(), observer.clone(), source.clone(), marks.clone());
    let (tell_listed, listed) = watch::channel(false);
    let (tell_read, read) = watch::channel(false);
    let side = Side {
        context,
        marks,
        observer,
        source,
        workers,
    };
    let loops = async {
        tokio::join!(
            side.observer.run(drain.clone()),
            side.feed(changes, tell_listed),
            side.read_manifests(tell_read),
            side.keep_mirrors(),
            side.rounds(read, listed.clone()),
            Shutdown::new(side.context.clone(), side.workers.clone()).run(listed),
            Evictor::new(side.context.clone(), side.workers.clone()).run(),
            side.beat(&pulse)
        )
    };
    drain.unless_draining(loops).await;
    side.marks.close();
}

struct Side {
    context: Arc<Context>,
    marks: Arc<Marks>,
    observer: Arc<Observer>,
    source: Arc<Source>,
    workers: Arc<Workers>,
}

impl Side {
    /// Passes on what the watch tells.
    async fn feed(&self, mut changes: mpsc::Receiver<Change<Pod>>, listed: watch::Sender<bool>) {
        while let Some(change) = changes.recv().await {
            self.count_resizes(&change);
            for uid in self.source.apply(change) {
                if self.source.get(&uid).is_some() {
                    self.context.metrics.seen(&uid);
                }
                self.workers.give_up_unwanted(&uid);
                self.marks.mark(uid);
            }
            if self.source.listed() {
                listed.send_if_modified(|listed| !std::mem::replace(listed, true));
            }
        }
    }

    /// Counts what a change asks for of requests and limits.
    fn count_resizes(&self, change: &Change<Pod>) {
        let Change::Applied(new) = change else { return };
        let old = self.source.get(&new.metadata.uid);
        if let Some(old) = old.filter(|old| old.metadata.generation != new.metadata.generation) {
            for request in resize::requested(&old, new) {
                self.context.metrics.resize_requested(&request);
            }
        }
    }

    /// Passes on what manifests say.
    async fn read_manifests(&self, read: watch::Sender<bool>) {
        let tell = |manifests| {
            for uid in self.source.set_manifests(manifests) {
                self.marks.mark(uid);
            }
            read.send_if_modified(|read| !std::mem::replace(read, true));
        };
        let context = &self.context;
        manifest::files::run(&context.config, || context.now(), tell).await;
    }

    async fn keep_mirrors(&self) {
        let working = |key: &NamespacedName| self.workers.working(key);
        manifest::keeper::run(&self.context, &self.source, working).await;
    }

    /// Opens the gate: for static Pods once manifests and runtime are known, for all once the API server's Pods are,
    /// too. Then makes the slow rounds.
    async fn rounds(&self, mut read: watch::Receiver<bool>, mut listed: watch::Receiver<bool>) {
        if read.wait_for(|read| *read).await.is_err() {
            return;
        }
        // What the API server was told of static Pods is worth a moment: it holds their past.
        drop(tokio::time::timeout(HISTORY_WAIT, listed.wait_for(|listed| *listed)).await);
        // What the runtime has of static Pods is told from other Pods, which still have to wait.
        let alone = !self.source.listed();
        while self.observer.relist().await.is_err() || alone && self.workers.recall_statics().await.is_err() {
            tokio::time::sleep(RUNTIME_RETRY).await;
        }
        self.marks.open();
        self.mark_known();
        if alone {
            tracing::info!("no answer of the API server yet: static pods only");
        }
        if listed.wait_for(|listed| *listed).await.is_err() {
            return;
        }
        tracing::info!(pods = self.known().len(), "pods known on both sides, working");
        self.mark_known();
        tokio::join!(self.refresh(), self.sweep());
    }

    fn mark_known(&self) {
        for uid in self.known() {
            self.marks.mark(uid);
        }
    }

    /// Tells how fresh our view of the runtime is. One task runs all these loops, so that any of them that hangs shows.
    async fn beat(&self, pulse: &Pulse) {
        loop {
            if let Some(at) = self.observer.last_relist() {
                pulse.beat(at);
            }
            tokio::time::sleep(BEAT).await;
        }
    }

    fn known(&self) -> BTreeSet<PodUid> {
        let mut known: BTreeSet<PodUid> = self.source.uids().into_iter().collect();
        known.extend(self.observer.known_uids());
        known.extend(self.workers.uids());
        known
    }

    /// Each Pod's volumes once in [`REFRESH`], spread over it.
    async fn refresh(&self) {
        loop {
            let uids = self.workers.uids();
            let pause = REFRESH / u32::try_from(uids.len().max(1)).unwrap_or(u32::MAX);
            if uids.is_empty() {
                tokio::time::sleep(pause).await;
            }
            for uid in uids {
                tokio::time::sleep(pause).await;
                self.workers.refresh_volumes(&uid).await;
            }
        }
    }

    async fn sweep(&self) {
        loop {
            gc::sweep(&self.context, || self.known()).await;
            heap::give_back();
            tokio::time::sleep(SWEEP).await;
        }
    }
}

#[cfg(test)]
mod tests;
