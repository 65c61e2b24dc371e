//! The worker of each Pod: observe → plan → execute → status, driven by marks.
//!
//! A pass is short: it looks, decides, starts jobs and returns. Jobs (pulls, starts, stops, volumes) run beside it and
//! mark the Pod when they end, so a slow pull holds up neither the status nor the end of the same Pod. All a worker
//! remembers is in `state` (pure); whatever is lost with the process is read back from the runtime and the API.

mod admission;
mod ended;
mod jobs;
mod report;
mod resizes;
mod state;
mod statics;

use crate::api::EventType;
use crate::kubelet::context::Context;
use crate::kubelet::last_words;
use crate::kubelet::metrics;
use crate::kubelet::observe::Observer;
use crate::kubelet::observed::{Observed, RunState};
use crate::kubelet::plan::{DEADLINE_EXCEEDED, Input, Intent, Memory, Plan, PodFailure, plan};
use crate::kubelet::probe::Running;
use crate::kubelet::resize::books::Books;
use crate::kubelet::source::Source;
use crate::kubelet::status::{StatusInput, status};
use crate::model::pod::{Pod, PodSpec};
use crate::model::{Meta, NamespacedName, PodUid};
use crate::task::{Keyed, SayOnce};
use jiff::{SignedDuration, Timestamp};
use report::Reporter;
use state::{Done, Key, State, choose};
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Pause after the runtime did not answer.
const RUNTIME_RETRY: Duration = Duration::from_secs(2);

/// Pause before a static Pod looks again whether its predecessor has ended; it is told as well.
const TURN_RETRY: Duration = Duration::from_secs(2);

/// Pause before it is looked again whether there is room for a Pod that asks for more.
const RESIZE_RETRY: SignedDuration = SignedDuration::from_secs(30);

/// Where marks go. They are dropped until the first full lists of both sides are in: before that a Pod that one side
/// lacks may just not have been listed yet.
#[derive(Default)]
pub struct Marks {
    keyed: OnceLock<Keyed<PodUid>>,
    open: AtomicBool,
    /// Sandboxes and containers we are making, by Pod. Protects the counts only.
    making: Mutex<HashMap<PodUid, usize>>,
}

impl fmt::Debug for Marks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Marks")
            .field("open", &self.open)
            .finish_non_exhaustive()
    }
}

impl Marks {
    /// Looks at this Pod soon.
    pub fn mark(&self, uid: PodUid) {
        if let Some(keyed) = self.keyed.get().filter(|_| self.open.load(Ordering::Acquire)) {
            keyed.mark(uid);
        }
    }

    /// The runtime has made or started something of this Pod. Of our own work we hear when it ends, and more.
    pub fn begun(&self, uid: PodUid) {
        if !self.making().contains_key(&uid) {
            self.mark(uid);
        }
    }

    fn make(&self, uid: &PodUid) {
        *self.making().entry(uid.clone()).or_default() += 1;
    }

    fn made(&self, uid: &PodUid) {
        let mut making = self.making();
        if let Some(count) = making.get_mut(uid) {
            *count -= 1;
            if *count == 0 {
                making.remove(uid);
            }
        }
    }

    fn making(&self) -> MutexGuard<'_, HashMap<PodUid, usize>> {
        self.making.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets marks through from now on.
    pub fn open(&self) {
        self.open.store(true, Ordering::Release);
    }

    /// No pass starts any more.
    pub fn close(&self) {
        if let Some(keyed) = self.keyed.get() {
            keyed.close();
        }
    }
}

/// All pod workers.
pub struct Workers {
    context: Arc<Context>,
    observer: Arc<Observer>,
    source: Arc<Source>,
    marks: Arc<Marks>,
    /// Protects which Pods have a worker.
    slots: Mutex<HashMap<PodUid, Arc<Slot>>>,
    said: Mutex<SayOnce>,
    /// Held while a Pod is judged.
    admitting: tokio::sync::Mutex<()>,
    /// Protects who was granted what.
    books: Mutex<Books>,
    begun: Instant,
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers")
            .field("pods", &self.uids())
            .finish_non_exhaustive()
    }
}

/// One Pod's worker.
struct Slot {
    /// The Pod's name.
    key: NamespacedName,
    /// Held for a pass; passes of one Pod never overlap.
    state: tokio::sync::Mutex<State>,
    /// Ends of jobs, not yet taken over.
    done: Mutex<Vec<Done>>,
    reporter: Arc<Reporter>,
    /// Held while the Pod's volumes are set up or removed; true once they are removed for good.
    volumes: tokio::sync::Mutex<bool>,
    /// The Pod may run here; set once.
    admitted: AtomicBool,
    /// The Pod is to go: what has not begun to start need not.
    unwanted: CancellationToken,
}

impl Workers {
    /// Workers that are run by `marks`.
    pub fn new(
        context: Arc<Context>,
        observer: Arc<Observer>,
        source: Arc<Source>,
        marks: Arc<Marks>,
    ) -> Arc<Self> {
        let said = Mutex::new(SayOnce::new(Duration::from_secs(60)));
        let workers = Arc::new(Self {
            context,
            observer,
            source,
            marks,
            slots: Mutex::default(),
            said,
            admitting: tokio::sync::Mutex::default(),
            books: Mutex::default(),
            begun: Instant::now(),
        });
        let runner = Arc::downgrade(&workers);
        let keyed = Keyed::new(move |uid: PodUid| {
            let runner = runner.upgrade();
            async move {
                match runner {
                    Some(workers) => workers.pass(uid).await,
                    None => None,
                }
            }
        });
        drop(workers.marks.keyed.set(keyed));
        workers
    }

    /// Pods that have a worker.
    pub fn uids(&self) -> Vec<PodUid> {
        self.slots().keys().cloned().collect()
    }

    /// Ends a Pod as failed, because the node cannot keep it: eviction, preemption, shutdown. Its containers get the
    /// failure's grace, then its status tells the failure; false when there is no such Pod here.
    pub async fn fail(&self, uid: &PodUid, failure: PodFailure) -> bool {
        let Some(slot) = self.slots().get(uid).cloned() else {
            return false;
        };
        slot.state.lock().await.fail(failure);
        self.marks.mark(uid.clone());
        true
    }

    /// The API server may want this Pod to go: then its starts give up at once, also while a pass waits for the runtime.
    pub fn give_up_unwanted(&self, uid: &PodUid) {
        let pod = self.source.get(uid);
        if pod.is_none_or(|pod| pod.metadata.deletion_timestamp.is_some())
            && let Some(slot) = self.slots().get(uid)
        {
            slot.unwanted.cancel();
        }
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<PodUid, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One look at one Pod. Returns when to look again without a mark.
    async fn pass(self: Arc<Self>, uid: PodUid) -> Option<Instant> {
        if !self.source.decided(&uid) {
            return None;
        }
        let begin = Instant::now();
        // Before the look at the runtime: what ended until now is visible there, what ends later marks us again.
        let known = self.slots().get(&uid).cloned();
        let mut kind = if known.is_some() { "sync" } else { "create" };
        if let Some(slot) = known {
            let done = std::mem::take(&mut *slot.done.lock().unwrap_or_else(PoisonError::into_inner));
            let (mut state, now) = (slot.state.lock().await, self.context.now());
            // First, or a clock that was set would move what is noted now as well.
            state.follow_clock(now, self.begun.elapsed());
            state.settle(done, now);
        }
        let mut observed = match self.observer.observe(&uid).await {
            Ok(observed) => observed,
            Err(error) => {
                let text = error.to_string();
                let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
                if said.say(&text, Instant::now()).is_some() {
                    tracing::warn!(pod.uid = %uid, error = %text, "the runtime does not answer");
                }
                return Some(Instant::now() + RUNTIME_RETRY);
            }
        };
        if !self.has_its_turn(&uid).await {
            return Some(Instant::now() + TURN_RETRY);
        }
        let slot = self.slot(&uid, &observed).await?;
        let mut state = slot.state.lock().await;
        let now = self.context.now();
        state.follow_clock(now, self.begun.elapsed());
        state.update(self.source.get(&uid));
        if let Some(told) = self.grant(&mut state, now) {
            self.tell_resize(&state.pod, &told);
        }
        state.hide_unfinished(&mut observed);
        last_words::add(&self.context, &state.pod, &mut observed).await;
        if state.finished {
            self.context.probes.forget(&uid);
            self.context.notes.close(&uid);
            if !state.in_api || state.pod.is_static() {
                self.slots().remove(&uid);
                slot.reporter.close();
                self.context.metrics.gone(&uid);
                self.pass_on(&slot.key);
            }
            self.context.metrics.worked("terminated", begin.elapsed());
            return None;
        }
        self.admit(&slot, &mut state, &observed).await;
        if matches!(state.intent(), Intent::Terminate { .. }) {
            kind = "terminating";
        }
        let wake = self.advance(&slot, &mut state, &observed, now);
        self.context.metrics.worked(kind, begin.elapsed());
        let pause = wake.map(|at| Duration::try_from(at.duration_since(now)).unwrap_or_default());
        // A millisecond more, so that a wait of the plan is really over.
        pause.map(|pause| Instant::now() + pause + Duration::from_millis(1))
    }

    /// The Pod's worker; made for a Pod of the API server and for one that only the runtime knows. None for neither.
    async fn slot(&self, uid: &PodUid, observed: &Observed) -> Option<Arc<Slot>> {
        if let Some(slot) = self.slots().get(uid) {
            return Some(slot.clone());
        }
        let known = self.source.get(uid);
        let in_api = known.is_some();
        let pod = match known {
            Some(pod) => pod,
            None if observed.sandboxes.is_empty() && observed.containers.is_empty() => return None,
            None => Arc::new(self.orphan(uid).await?),
        };
        self.context.notes.open(uid).await;
        let containers = pod.spec.containers.len();
        let (key, state) = (pod.metadata.key(), State::new(pod, in_api, self.context.now()));
        let slot = Arc::new(Slot {
            key: key.clone(),
            state: tokio::sync::Mutex::new(state),
            done: Mutex::default(),
            reporter: Reporter::new(self.context.clone(), key, uid.clone()),
            volumes: tokio::sync::Mutex::new(false),
            admitted: AtomicBool::new(false),
            unwanted: CancellationToken::new(),
        });
        self.slots().insert(uid.clone(), slot.clone());
        self.source.wake_mirrors();
        self.context.metrics.worker_started(uid);
        if in_api {
            self.context.metrics.pod_begun(containers);
        }
        Some(slot)
    }

    /// What the runtime still tells about a Pod the API server does not have.
    async fn orphan(&self, uid: &PodUid) -> Option<Pod> {
        let sandboxes = self.context.runtime.list_pod_sandboxes(Some(uid)).await.ok()?;
        let name = sandboxes.into_iter().find_map(|s| s.metadata).unwrap_or_default();
        tracing::info!(pod.uid = %uid, ns = %name.namespace, name = %name.name, "pod without API object: it is ended");
        let metadata = Meta {
            name: name.name.into(),
            namespace: name.namespace.into(),
            uid: uid.clone(),
            ..Meta::default()
        };
        // What it asked for is not known any more.
        let spec = PodSpec {
            termination_grace_period_seconds: 1,
            ..PodSpec::default()
        };
        Some(Pod {
            metadata,
            spec,
            ..Pod::default()
        })
    }

    /// Plans, starts jobs, reports. Returns when to look again.
    fn advance(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        state: &mut State,
        observed: &Observed,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let intent = state.intent();
        let pod = state.pod.clone();
        self.context.notes.retain(&pod.metadata.uid, observed);
        let probes = self.context.probes.view(&pod.metadata.uid);
        let memory = state.memory_for(observed);
        memory.cfs = self.context.limits.cfs;
        let memory = memory.clone();
        let input = Input {
            pod: &pod,
            intent: &intent,
            observed,
            probes: &probes,
            memory: &memory,
            longest_pause: i64::try_from(self.context.config.longest_restart_pause.as_secs())
                .unwrap_or(i64::MAX),
            now,
        };
        // While a sandbox is being made, the runtime shows something between none and one.
        let plan = if state.jobs.contains_key(&Key::Sandbox) {
            Plan {
                memory: memory.clone(),
                ..Plan::default()
            }
        } else {
            plan(input)
        };
        state.resized(&plan);
        let mut work = choose(&plan, state, observed, now);
        let running = intent == Intent::Run && observed.newest_sandbox().is_some_and(|s| s.ready);
        let cgroup = running && self.give_cgroup(slot, state, &plan);
        if cgroup {
            work.resizes.clear();
        }
        state.remember(plan.memory, &work.held);
        let mut memory = state.memory.clone().unwrap_or_default();
        memory.cgroup = state.given.clone().unwrap_or_default();
        // Told once, even of what takes no time.
        let started = std::mem::take(&mut state.resize_started);
        memory.resizing = running && (cgroup || started);
        self.announce(&pod, input.memory, &memory);
        self.set_probes(&pod, observed, now);
        if memory.ended || intent != Intent::Run {
            self.context.probes.quiet(&pod.metadata.uid);
        }
        let new = status(StatusInput {
            pod: &pod,
            intent: &intent,
            observed,
            probes: &self.context.probes.view(&pod.metadata.uid),
            memory: &memory,
            previous: state.computed.as_ref(),
            host_ips: &self.context.host_ips,
            runtime: &self.context.runtime_name,
            now,
        });
        self.source.tell(&pod.metadata.uid, &new);
        if let Some(init) = metrics::started(&pod, observed) {
            let age = now.duration_since(pod.metadata.creation_timestamp.unwrap_or(now));
            let age = Duration::try_from(age).unwrap_or_default();
            self.context.metrics.running(&pod.metadata.uid, age, init);
        }
        if let Some(before) = &state.computed {
            self.context.metrics.containers_ended(before, &new);
        }
        self.tell_resized(&pod, &mut state.resize_began, state.computed.as_ref(), &new);
        let retry = memory.resize_pending.as_ref().map(|_| now + RESIZE_RETRY);
        state.computed = Some(new.clone());
        let mut echo = None;
        // The mirror of a static Pod that ends shows it as it was.
        let frozen = pod.is_static() && intent != Intent::Run;
        if state.in_api && !frozen && !forgotten(&pod, observed) {
            let again = self.report(slot, &pod, new);
            echo = again.and_then(|pause| Some(now + SignedDuration::try_from(pause).ok()?));
        }
        if memory.ended || matches!(intent, Intent::Terminate { .. }) {
            state.jobs.values().for_each(|job| job.cancel.cancel());
        } else if state.wants_volumes(now) {
            self.start_volumes(slot, state, now);
        }
        self.start_work(slot, state, observed, work);
        if memory.ended && intent == Intent::Run {
            self.release_volumes(slot, state, observed);
        }
        if plan.finished && state.jobs.is_empty() && state.free(&Key::Leftovers, now) {
            self.start_leftovers(slot, state);
        }
        [
            plan.wake_at,
            state.cooled(now),
            retry,
            echo,
            started.then_some(now),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Events about a deadline that is over, and about containers that have to wait, once for each wait.
    fn announce(&self, pod: &Pod, old: &Memory, new: &Memory) {
        if let Some(failed) = new
            .failed
            .as_ref()
            .filter(|f| old.failed.is_none() && &*f.reason == DEADLINE_EXCEEDED)
        {
            self.context.tell(
                pod,
                EventType::Normal,
                DEADLINE_EXCEEDED,
                failed.message.to_string(),
            );
        }
        for (name, wait) in &new.waiting {
            let before = old.waiting.get(name);
            if before.is_some_and(|b| b.reason == wait.reason && b.retry_at == wait.retry_at) {
                continue;
            }
            if &*wait.reason != "CrashLoopBackOff" {
                continue;
            }
            let meta = &pod.metadata;
            let text = format!(
                "Back-off restarting failed container {name} in pod {}_{}({})",
                meta.name, meta.namespace, meta.uid
            );
            self.context
                .tell_container(pod, name, EventType::Warning, ("BackOff", text));
        }
    }

    fn set_probes(&self, pod: &Arc<Pod>, observed: &Observed, now: Timestamp) {
        let running: Vec<Running> = observed
            .containers
            .iter()
            .filter(|c| c.state == RunState::Running)
            .map(|c| Running {
                id: c.id.clone(),
                name: c.name.clone(),
                started: c.started.unwrap_or(c.created),
            })
            .collect();
        let ip = if pod.spec.host_network {
            self.context.host_ips.first().copied()
        } else {
            observed.newest_sandbox().and_then(|s| s.ips.first().copied())
        };
        self.context.probes.set(pod, &running, ip, now);
    }
}

/// A Pod that ended before this agent knew it, and of which the runtime has nothing: what the API server has is all
/// there is to tell.
fn forgotten(pod: &Pod, observed: &Observed) -> bool {
    matches!(&*pod.status.phase, "Succeeded" | "Failed") && observed.containers.is_empty()
}
