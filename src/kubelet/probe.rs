//! Probes: one task for each probe of each running container instance, at most one run of it at a time.
//!
//! The worker tells which instances run ([`Probes::set`]), the tasks keep the view the plan reads
//! ([`Probes::view`]) and mark the Pod dirty when it changes. `state` decides what results mean and when the next run
//! is (pure), `run` and `http` make the probe.

mod http;
mod run;
pub mod state;

pub(crate) use http::{Called, call as http_call};
use run::dial;
pub(crate) use run::port;

use crate::api::{EventType, Events};
use crate::cri::Runtime;
use crate::kubelet::metrics::{KubeletMetrics, ProbeOf};
use crate::kubelet::notes::Notes;
use crate::kubelet::plan::ProbeView;
use crate::kubelet::refs;
use crate::model::pod::{Container, ContainerStatus, Pod, Probe};
use crate::model::{ContainerId, PodUid};
use jiff::Timestamp;
use run::Target;
use state::{Kind, Outcome, Schedule, State, Tick, done};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// Marks a Pod as changed.
pub type Mark = Arc<dyn Fn(PodUid) + Send + Sync>;

/// A running container instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// Its id.
    pub id: ContainerId,
    /// Its name in the spec.
    pub name: Box<str>,
    /// When it started.
    pub started: Timestamp,
}

/// All probes of the node.
#[derive(Clone)]
pub struct Probes(Arc<Inner>);

struct Inner {
    runtime: Arc<dyn Runtime>,
    events: Arc<dyn Events>,
    mark: Mark,
    /// Instances that started before this were there before this agent.
    agent_start: Timestamp,
    metrics: KubeletMetrics,
    notes: Option<Arc<Notes>>,
    /// Protects the instances only; never held over an await.
    pods: Mutex<HashMap<PodUid, HashMap<ContainerId, Instance>>>,
}

struct Instance {
    view: ProbeView,
    tasks: Vec<(Kind, AbortHandle)>,
}

impl Drop for Instance {
    fn drop(&mut self) {
        for (_, task) in &self.tasks {
            task.abort();
        }
    }
}

impl fmt::Debug for Probes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probes")
            .field("pods", &self.0.lock().len())
            .finish()
    }
}

impl Probes {
    /// No probes yet. `mark` is called when the view of a Pod changes.
    pub fn new(runtime: Arc<dyn Runtime>, events: Arc<dyn Events>, mark: Mark, now: Timestamp) -> Self {
        Self(Arc::new(Inner {
            runtime,
            events,
            mark,
            agent_start: now,
            metrics: KubeletMetrics::default(),
            notes: None,
            pods: Mutex::default(),
        }))
    }

    /// The same, with what earlier agents have counted; before the first probe.
    pub fn with_notes(mut self, notes: Arc<Notes>) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.notes = Some(notes);
        }
        self
    }

    /// The same, counted; before the first probe.
    pub fn with_metrics(mut self, metrics: KubeletMetrics) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.metrics = metrics;
        }
        self
    }

    /// Says which instances of a Pod run now: probes of new ones start, of others end. Must be called on a tokio
    /// runtime.
    pub fn set(&self, pod: &Arc<Pod>, running: &[Running], ip: Option<IpAddr>, now: Timestamp) {
        let uid = &pod.metadata.uid;
        let mut pods = self.0.lock();
        let instances = pods.entry(uid.clone()).or_default();
        instances.retain(|id, _| running.iter().any(|r| r.id == *id));
        for instance in running {
            if !instances.contains_key(&instance.id) {
                let started = self.start(pod, instance, ip, now);
                instances.insert(instance.id.clone(), started);
            }
        }
        if instances.is_empty() {
            pods.remove(uid);
        }
    }

    /// The Pod comes to its end: it is only asked for readiness from now on.
    pub fn quiet(&self, uid: &PodUid) {
        let mut pods = self.0.lock();
        let instances = pods.get_mut(uid).into_iter().flatten();
        instances.for_each(|(_, instance)| instance.quiet());
    }

    /// Ends all probes of a Pod.
    pub fn forget(&self, uid: &PodUid) {
        self.0.lock().remove(uid);
    }

    /// What the probes of a Pod say, by container instance.
    pub fn view(&self, uid: &PodUid) -> BTreeMap<ContainerId, ProbeView> {
        let pods = self.0.lock();
        let instances = pods.get(uid).into_iter().flatten();
        instances
            .map(|(id, instance)| (id.clone(), instance.view.clone()))
            .collect()
    }

    fn start(&self, pod: &Arc<Pod>, running: &Running, ip: Option<IpAddr>, now: Timestamp) -> Instance {
        let specs = pod.spec.init_containers.iter().chain(&pod.spec.containers);
        let mut instance = Instance {
            view: ProbeView::default(),
            tasks: Vec::new(),
        };
        let Some(container) = specs.into_iter().find(|c| c.name == running.name) else {
            return instance;
        };
        let was_started = container.startup_probe.is_none()
            || reported(pod, &running.id).is_some_and(|s| s.started == Some(true));
        let (started, on_started) = watch::channel(was_started);
        let started = Arc::new(started);
        let container = Arc::new(container.clone());
        for (kind, probe) in probes_of(&container) {
            if kind == Kind::Startup && was_started {
                instance.view.started = Some(true);
                continue;
            }
            let task = Task {
                probes: self.clone(),
                pod: pod.clone(),
                kind,
                probe,
                target: Target {
                    runtime: self.0.runtime.clone(),
                    container: container.clone(),
                    id: running.id.clone(),
                    ip,
                },
                started: started.clone(),
            };
            let age = Duration::try_from(now.duration_since(running.started)).unwrap_or_default();
            let resumed = running.started < self.0.agent_start;
            let handle = tokio::spawn(task.run(on_started.clone(), age, resumed)).abort_handle();
            instance.tasks.push((kind, handle));
        }
        instance
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, HashMap<PodUid, HashMap<ContainerId, Instance>>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Instance {
    /// A container that is being stopped is not restarted for failing.
    fn quiet(&mut self) {
        self.tasks.retain(|(kind, task)| {
            let keep = *kind == Kind::Readiness;
            if !keep {
                task.abort();
            }
            keep
        });
        self.view.unhealthy = None;
    }
}

/// What was last told to the API server about this very instance (KEP-4781).
fn reported<'a>(pod: &'a Pod, id: &ContainerId) -> Option<&'a ContainerStatus> {
    let status = &pod.status;
    let mut statuses = status
        .container_statuses
        .iter()
        .chain(&status.init_container_statuses);
    statuses.find(|s| s.container_id.ends_with(id.as_str()))
}

fn probes_of(container: &Container) -> impl Iterator<Item = (Kind, Probe)> {
    [
        (Kind::Startup, &container.startup_probe),
        (Kind::Readiness, &container.readiness_probe),
        (Kind::Liveness, &container.liveness_probe),
    ]
    .into_iter()
    .filter_map(|(kind, probe)| Some((kind, probe.clone()?)))
}

/// One probe of one instance.
struct Task {
    probes: Probes,
    pod: Arc<Pod>,
    kind: Kind,
    probe: Probe,
    target: Target,
    started: Arc<watch::Sender<bool>>,
}

impl Task {
    async fn run(self, mut on_started: watch::Receiver<bool>, age: Duration, resumed: bool) {
        let delay = Duration::from_secs(u64::from(self.probe.initial_delay_seconds)).saturating_sub(age);
        let begin = Instant::now() + delay;
        if self.kind != Kind::Startup && on_started.wait_for(|started| *started).await.is_err() {
            return;
        }
        let begin = begin.max(Instant::now());
        let mut state = if resumed { self.recall() } else { State::default() };
        if state.verdict == Some(false) && done(self.kind, state.verdict) {
            self.publish(false, Some(format!("{} probe failed before", self.kind.word())));
        }
        // Whoever waits for a success does not wait longer because the agent has changed.
        let waits = self.kind != Kind::Liveness && state.verdict != Some(true);
        let schedule = if resumed && !waits {
            Schedule::resumed(&self.probe, self.seed())
        } else {
            Schedule::fresh(self.kind, &self.probe)
        };
        let mut tick = schedule.first();
        while !done(self.kind, state.verdict) {
            tokio::time::sleep_until(begin + tick.at).await;
            let asked = Instant::now();
            let outcome = run::run(&self.probe, &self.target).await;
            self.count(&outcome, asked.elapsed());
            let now = begin.elapsed();
            tick = if self.take(&mut state, tick, outcome).await && tick.early {
                schedule.settle(now)
            } else {
                schedule.next(tick, now)
            };
        }
    }

    fn count(&self, outcome: &Outcome, took: Duration) {
        let meta = &self.pod.metadata;
        let of = ProbeOf {
            container: &self.target.container.name,
            namespace: &meta.namespace,
            pod: &meta.name,
            kind: self.kind.word(),
        };
        let success = match outcome {
            Outcome::Success | Outcome::Warning(_) => true,
            Outcome::Failure(_) => false,
            Outcome::Error(_) => return,
        };
        self.probes.0.metrics.probed(&meta.uid, &of, success, took);
    }

    /// Counts one outcome, tells about it, and answers whether it was a success.
    async fn take(&self, state: &mut State, tick: Tick, outcome: Outcome) -> bool {
        let success = match &outcome {
            Outcome::Success | Outcome::Warning(_) => true,
            Outcome::Failure(_) | Outcome::Error(_) => false,
        };
        if tick.early && !success {
            return false;
        }
        let word = self.kind.word();
        let message = match outcome {
            Outcome::Success => None,
            Outcome::Warning(text) => {
                self.event("ProbeWarning", format!("{word} probe warning: {text}"));
                None
            }
            Outcome::Failure(text) => Some(format!("{word} probe failed: {text}")),
            Outcome::Error(text) => {
                self.event(
                    "Unhealthy",
                    format!("{word} probe errored and resulted in unknown state: {text}"),
                );
                return false;
            }
        };
        if let Some(message) = &message {
            self.event("Unhealthy", message.clone());
        }
        let decided = state.step(success, &self.probe);
        // Before anybody acts on it.
        self.note(state).await;
        if decided {
            self.publish(success, message);
        }
        success
    }

    /// Where an earlier agent has left off.
    fn recall(&self) -> State {
        let uid = &self.pod.metadata.uid;
        let told = match self.kind {
            Kind::Readiness => reported(&self.pod, &self.target.id).map(|s| s.ready),
            Kind::Liveness | Kind::Startup => None,
        };
        let notes = self.probes.0.notes.as_ref();
        let noted = notes.and_then(|notes| notes.count(uid, &self.target.id, self.kind.word()));
        State::recall(self.kind, told, noted, &self.probe)
    }

    async fn note(&self, state: &State) {
        if let Some(notes) = &self.probes.0.notes {
            let count = state.unsaid(self.kind, &self.probe);
            let uid = &self.pod.metadata.uid;
            notes
                .note_count(uid, &self.target.id, self.kind.word(), count)
                .await;
        }
    }

    fn publish(&self, success: bool, message: Option<String>) {
        let uid = &self.pod.metadata.uid;
        {
            let mut pods = self.probes.0.lock();
            let instance = pods
                .get_mut(uid)
                .and_then(|instances| instances.get_mut(&self.target.id));
            let Some(instance) = instance else { return };
            match self.kind {
                Kind::Readiness => instance.view.ready = Some(success),
                Kind::Startup if success => instance.view.started = Some(true),
                Kind::Startup | Kind::Liveness => instance.view.unhealthy = message.map(Into::into),
            }
        }
        if self.kind == Kind::Startup && success {
            self.started.send_replace(true);
        }
        tracing::info!(pod.uid = %uid, container = %self.target.container.name, probe = self.kind.word(), success, "probe verdict");
        (self.probes.0.mark)(uid.clone());
    }

    fn event(&self, reason: &'static str, message: String) {
        let object = refs::container(&self.pod, &self.target.container.name);
        self.probes
            .0
            .events
            .emit(&object, EventType::Warning, reason, message);
    }

    /// The same for every agent that finds this instance; different for its neighbours.
    fn seed(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.target.id, self.kind).hash(&mut hasher);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests;
