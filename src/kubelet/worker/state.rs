//! PURE. What the worker of one Pod remembers between two passes, and what it makes of finished jobs.
//!
//! A plan knows only what the runtime shows; jobs under way are not visible there yet. So what a plan says about a
//! container whose start is under way is not done a second time, and its memory of that container is not taken over.

use crate::kubelet::cgroup::plan::Rules;
use crate::kubelet::eviction;
use crate::kubelet::execute::{StartError, Steering};
use crate::kubelet::observed::{Observed, RunState};
use crate::kubelet::plan::{
    Action, Intent, Memory, Plan, PodFailure, note_failure, note_sandbox_failure, recall, seconds,
};
use crate::kubelet::qos::{self, Qos};
use crate::kubelet::resize::books::{Entry, Requests, Wish};
use crate::kubelet::resize::{self, DEFERRED, Grants, Pending, Room};
use crate::kubelet::volume::Paths;
use crate::model::cgroup::CgroupSettings;
use crate::model::pod::{Container, Pod};
use crate::model::{ContainerId, Meta};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::PodStatus;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Less is no jump of the clock: it is corrected a little all the time.
const CLOCK_JUMP: SignedDuration = SignedDuration::from_secs(2);

/// A piece of work of one Pod; there is at most one of each key at a time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// Clean up and create the next sandbox.
    Sandbox,
    /// Stop sandboxes, remove containers and sandboxes.
    CleanUp,
    /// Start a container.
    Start(Box<str>),
    /// Stop a container.
    Stop(ContainerId),
    /// Give a container other requests and limits.
    Resize(ContainerId),
    /// Give the Pod's cgroup what its containers will need, or what they have left.
    Cgroup,
    /// Set up volumes.
    Volumes,
    /// Remove the volumes of a Pod that has ended.
    Release,
    /// Remove what is left of a Pod that has ended, and its API object.
    Leftovers,
}

/// How a piece of work ended.
#[derive(Debug)]
pub(super) enum Done {
    /// Work that only succeeds or fails.
    Plain(Key, Result<(), String>),
    /// A container start; `false` when it was cancelled.
    Start(Box<str>, Result<bool, StartError>),
    /// Volumes; `None` when one failed.
    Volumes(Option<Paths>),
}

/// A job under way.
#[derive(Debug)]
pub(super) struct Job {
    /// Asks it to give up where that loses nothing.
    pub(super) cancel: CancellationToken,
    /// For a stop: when the container is killed, and whether that is its turn.
    pub(super) stop: Option<Stopping>,
}

/// A stop under way, and the way to change it.
#[derive(Debug)]
pub(super) struct Stopping {
    /// When the container is killed.
    pub(super) deadline: Timestamp,
    /// It waits for nobody.
    pub(super) turn: bool,
    /// Tells the job of changes.
    pub(super) steering: Steering,
}

/// After a failure: nothing of this key before that time.
#[derive(Clone, Copy, Debug)]
struct Cooldown {
    failures: u32,
    until: Timestamp,
}

/// The volumes of a Pod.
#[derive(Debug, Default)]
pub(super) struct VolumeState {
    /// Where they are, once all are set up.
    pub(super) paths: Option<Paths>,
    /// Labels and annotations they were last set up with.
    pub(super) with: Option<Meta>,
    /// They are gone: the Pod has ended.
    pub(super) released: bool,
}

/// What has become of a wish for other resources.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Resize {
    /// They are granted.
    Started,
    /// There is no room for what the Pod asks for.
    Pending(Arc<Pod>, Pending),
}

/// What the worker of one Pod remembers.
#[derive(Debug)]
pub(super) struct State {
    /// As the API server has it, but with the requests and limits the node has granted.
    pub(super) pod: Arc<Pod>,
    /// Those requests and limits; `None` before the first look at the runtime.
    granted: Option<Grants>,
    /// Why they are not what the Pod asks for.
    pub(super) pending: Option<Pending>,
    /// All it asks for, when it cannot have it.
    wish: Option<Requests>,
    /// What the Pod's cgroup has been given; `None` before the first look.
    pub(super) given: Option<CgroupSettings>,
    /// What it is being given.
    giving: Option<CgroupSettings>,
    /// A resize has been granted, and nobody was told that it is under way.
    pub(super) resize_started: bool,
    /// When that was; `None` once it has come to its end.
    pub(super) resize_began: Option<Timestamp>,
    /// The API server has the Pod.
    pub(super) in_api: bool,
    /// When this agent first saw the Pod.
    pub(super) seen: Timestamp,
    /// `None` before the first look at the runtime.
    pub(super) memory: Option<Memory>,
    /// The status computed last.
    pub(super) computed: Option<PodStatus>,
    pub(super) volumes: VolumeState,
    pub(super) jobs: HashMap<Key, Job>,
    cooldowns: HashMap<Key, Cooldown>,
    /// Why the Pod fails, when somebody else has said so.
    failure: Option<PodFailure>,
    /// The wall clock and the time this agent had run for at the last look.
    looked: Option<(Timestamp, Duration)>,
    /// Once it has ended, its containers go.
    forget: bool,
    /// Set once, never taken back.
    terminating: bool,
    /// Everything is gone; the API server's confirmation is all that is waited for.
    pub(super) finished: bool,
}

impl State {
    pub(super) fn new(pod: Arc<Pod>, in_api: bool, now: Timestamp) -> Self {
        Self {
            pod,
            granted: None,
            pending: None,
            wish: None,
            given: None,
            giving: None,
            resize_started: false,
            resize_began: None,
            in_api,
            seen: now,
            memory: None,
            computed: None,
            volumes: VolumeState::default(),
            jobs: HashMap::new(),
            cooldowns: HashMap::new(),
            failure: None,
            looked: None,
            forget: false,
            terminating: false,
            finished: false,
        }
    }

    /// Moves what is waited for with a wall clock that was set forwards or back: waits are as long as they were.
    pub(super) fn follow_clock(&mut self, now: Timestamp, uptime: Duration) {
        let Some((then, before)) = self.looked.replace((now, uptime)) else {
            return;
        };
        let passed = SignedDuration::try_from(uptime.saturating_sub(before)).unwrap_or_default();
        let jump = now.duration_since(then) - passed;
        if jump.abs() < CLOCK_JUMP {
            return;
        }
        let move_on = |at: &mut Timestamp| *at = at.saturating_add(jump).unwrap_or(*at);
        if let Some(memory) = &mut self.memory {
            memory.waiting.values_mut().for_each(|w| move_on(&mut w.retry_at));
            memory
                .sandbox_retry
                .iter_mut()
                .for_each(|w| move_on(&mut w.retry_at));
            memory.backoff.values_mut().for_each(|b| move_on(&mut b.updated));
        }
        self.cooldowns.values_mut().for_each(|c| move_on(&mut c.until));
        let stops = self.jobs.values_mut().filter_map(|job| job.stop.as_mut());
        stops.for_each(|stop| move_on(&mut stop.deadline));
    }

    /// The node needs the space: once the Pod has ended, its containers go.
    pub(super) fn forget(&mut self) {
        self.forget = true;
    }

    /// Fails the Pod as a whole, if nothing has done so before.
    pub(super) fn fail(&mut self, failure: PodFailure) {
        self.failure.get_or_insert(failure);
    }

    /// What the worker remembers, with what others have said since.
    pub(super) fn memory_for(&mut self, observed: &Observed) -> &mut Memory {
        let (pod, failure, pending) = (&self.pod, &self.failure, &self.pending);
        let memory = self.memory.get_or_insert_with(|| recall(pod, observed));
        if memory.failed.is_none() && !memory.ended {
            memory.failed = failure.clone();
        }
        memory.resize_pending = pending.clone();
        memory.forget = self.forget || evicted(pod);
        memory
    }

    /// Takes over what the API server has now; `None`: it has the Pod no more.
    pub(super) fn update(&mut self, pod: Option<Arc<Pod>>) {
        self.in_api = pod.is_some();
        let Some(pod) = pod else { return };
        let image = |pod: &Pod, name: &str| pod.container(name).map(|(spec, _)| spec.image.clone());
        let changed = pod
            .spec
            .every_container()
            .filter(|c| image(&self.pod, &c.name).is_some_and(|i| i != c.image));
        let changed: Vec<_> = changed.map(|c| c.name.clone()).collect();
        self.start_afresh(&changed);
        self.pod = pod;
    }

    /// Forgets why containers had to wait: they are not the same any more.
    fn start_afresh(&mut self, containers: &[Box<str>]) {
        let Some(memory) = &mut self.memory else { return };
        for name in containers {
            memory.waiting.remove(name);
            memory.backoff.remove(name);
        }
    }

    /// Before the first grant: what the Pod's cgroup was given by whoever made it.
    pub(super) fn recall_cgroup(&mut self, rules: &Rules) {
        if self.given.is_none() {
            let told = resize::with(&self.pod, &resize::told(&self.pod));
            self.given = Some(rules.pod(&told));
        }
    }

    /// What the Pod's cgroup is to be given now. Containers are not resized before it has that.
    pub(super) fn next_cgroup(&self, wanted: &CgroupSettings, resizing: bool) -> Option<CgroupSettings> {
        resize::next(self.given.as_ref()?, wanted, resizing)
    }

    /// The Pod's cgroup is being given this.
    pub(super) fn give(&mut self, settings: CgroupSettings) {
        self.giving = Some(settings);
    }

    fn given(&mut self) {
        let (Some(new), Some(all)) = (self.giving.take(), self.given.as_mut()) else {
            return;
        };
        all.cpu_shares = new.cpu_shares.or(all.cpu_shares);
        all.cpu_max = new.cpu_max.or(all.cpu_max);
        all.memory = new.memory.or(all.memory);
    }

    /// For the books of the node.
    pub(super) fn entry(&self, now: Timestamp) -> Entry {
        let wish = self.wish.map(|requests| Wish {
            requests,
            priority: self.pod.spec.priority.unwrap_or(0),
            guaranteed: qos::class(&self.pod) == Qos::Guaranteed,
            since: now,
            trigger: None,
        });
        Entry {
            granted: resize::requests(&self.pod),
            wish,
        }
    }

    /// Grants the requests and limits the Pod asks for, as far as there is room. Returns what is to be told of that.
    /// `may_swap` tells which containers have a part of the swap.
    pub(super) fn grant(
        &mut self,
        room: impl FnOnce() -> Room,
        may_swap: impl Fn(&Pod, &Container) -> bool,
    ) -> Option<Resize> {
        if !self.in_api {
            return None;
        }
        let asked = self.pod.clone();
        let granted = self.granted.take().unwrap_or_else(|| resize::told(&asked));
        self.wish = None;
        if resize::settled(&asked, &granted) {
            self.pending = None;
            self.granted = Some(resize::asked(&asked));
            return None;
        }
        match resize::refusal(&asked, &granted, &room(), may_swap) {
            None => {
                let new = resize::asked(&asked);
                let other = new.iter().filter(|(name, new)| granted.get(*name) != Some(*new));
                let other: Vec<_> = other.map(|(name, _)| name.clone()).collect();
                self.start_afresh(&other);
                self.pending = None;
                self.granted = Some(new);
                self.resize_started = true;
                Some(Resize::Started)
            }
            Some(pending) => {
                self.pod = Arc::new(resize::with(&asked, &granted));
                self.granted = Some(granted);
                // What can never be is no reason for others to wait.
                self.wish = (pending.reason == DEFERRED).then(|| resize::requests(&asked));
                let new = self.pending.as_ref() != Some(&pending);
                self.pending = Some(pending.clone());
                new.then_some(Resize::Pending(asked, pending))
            }
        }
    }

    /// It waits for room for what it asks for.
    pub(super) fn is_deferred(&self) -> bool {
        self.pending
            .as_ref()
            .is_some_and(|pending| pending.reason == DEFERRED)
    }

    /// What should become of the Pod. Once it is to go, it goes.
    pub(super) fn intent(&mut self) -> Intent {
        let meta = &self.pod.metadata;
        self.terminating |= !self.in_api || meta.deletion_timestamp.is_some();
        if !self.terminating {
            return Intent::Run;
        }
        let own = self.pod.spec.termination_grace_period_seconds;
        let asked = meta.deletion_grace_period_seconds.unwrap_or(own);
        // Grace only ever gets shorter, and is never nothing at all.
        let failed = self.failure.as_ref().and_then(|failure| failure.grace_seconds);
        Intent::Terminate {
            grace_seconds: failed.map_or(asked, |failed| asked.min(failed)).max(1),
        }
    }

    /// Takes over how jobs ended.
    pub(super) fn settle(&mut self, done: Vec<Done>, now: Timestamp) {
        for done in done {
            match done {
                Done::Plain(key, result) => self.settle_plain(key, result, now),
                Done::Start(name, result) => {
                    self.jobs.remove(&Key::Start(name.clone()));
                    let memory = self.memory.get_or_insert_default();
                    match result {
                        Ok(true) => drop(memory.waiting.remove(&name)),
                        Ok(false) => {}
                        Err(error) => {
                            let told = (error.reason, &*error.message);
                            let pause =
                                SignedDuration::try_from(error.retry_after).unwrap_or(SignedDuration::MAX);
                            note_failure(memory, &name, told, now + pause);
                        }
                    }
                }
                Done::Volumes(paths) => {
                    self.jobs.remove(&Key::Volumes);
                    match paths {
                        Some(paths) => {
                            self.cooldowns.remove(&Key::Volumes);
                            self.volumes.paths = Some(paths);
                        }
                        None => self.cool(Key::Volumes, now),
                    }
                }
            }
        }
    }

    fn settle_plain(&mut self, key: Key, result: Result<(), String>, now: Timestamp) {
        self.jobs.remove(&key);
        if let Key::Resize(_) | Key::Cgroup = key {
            let error = result.as_ref().err().map(|message| message.as_str().into());
            self.memory.get_or_insert_default().resize_error = error;
        }
        match (key, result) {
            (Key::Sandbox, Err(message)) => {
                note_sandbox_failure(self.memory.get_or_insert_default(), &message, now);
            }
            (Key::Leftovers, Ok(())) => self.finished = true,
            (Key::Release, Ok(())) => self.volumes.released = true,
            (Key::Cgroup, Ok(())) => {
                self.cooldowns.remove(&Key::Cgroup);
                self.given();
            }
            // Should the runtime not do what it says, it is not asked in a loop.
            (key @ Key::Resize(_), Ok(())) => self.cool(key, now),
            (key, Ok(())) => drop(self.cooldowns.remove(&key)),
            (key, Err(_)) => self.cool(key, now),
        }
    }

    /// 1, 2, 4, 8 and then 10 s.
    fn cool(&mut self, key: Key, now: Timestamp) {
        let failures = self
            .cooldowns
            .get(&key)
            .map_or(0, |c| c.failures)
            .saturating_add(1);
        let seconds = (1_i64 << failures.saturating_sub(1).min(4)).min(10);
        self.cooldowns.insert(
            key,
            Cooldown {
                failures,
                until: now + SignedDuration::from_secs(seconds),
            },
        );
    }

    /// Forgets the pauses of resizes that are no longer planned: they have come to their end.
    pub(super) fn resized(&mut self, plan: &Plan) {
        let planned = |id: &ContainerId| {
            let same = |a: &Action| matches!(a, Action::ResizeContainer { id: other, .. } if other == id);
            plan.actions.iter().any(same)
        };
        self.cooldowns
            .retain(|key, _| !matches!(key, Key::Resize(id) if !planned(id)));
    }

    /// Nothing of this key is under way or has to wait.
    pub(super) fn free(&self, key: &Key, now: Timestamp) -> bool {
        !self.jobs.contains_key(key) && self.cooldowns.get(key).is_none_or(|c| c.until <= now)
    }

    /// When the next pause after a failure is over.
    pub(super) fn cooled(&self, now: Timestamp) -> Option<Timestamp> {
        self.cooldowns
            .values()
            .map(|c| c.until)
            .filter(|until| *until > now)
            .min()
    }

    /// A container counts as running when its start is done, with the postStart hook.
    pub(super) fn hide_unfinished(&self, observed: &mut Observed) {
        for c in &mut observed.containers {
            if c.state == RunState::Running && self.jobs.contains_key(&Key::Start(c.name.clone())) {
                c.state = RunState::Starting;
            }
        }
    }

    /// A container start is under way.
    pub(super) fn starting(&self) -> bool {
        self.jobs.keys().any(|key| matches!(key, Key::Start(_)))
    }

    /// The volumes this container mounts are set up; one of an ephemeral container may be new.
    fn mountable(&self, container: &str) -> bool {
        let Some(paths) = &self.volumes.paths else {
            return false;
        };
        let image = |name: &str| {
            let volumes = &self.pod.spec.volumes;
            volumes.iter().any(|v| &*v.name == name && v.image.is_some())
        };
        let spec = self.pod.container(container);
        spec.is_none_or(|(spec, _)| {
            let mut mounts = spec.volume_mounts.iter();
            mounts.all(|m| paths.contains_key(&m.name) || image(&m.name))
        })
    }

    /// The volumes have to be set up: for the first time, because a label they may show has changed, or because a new
    /// container may mount more of them.
    pub(super) fn wants_volumes(&self, now: Timestamp) -> bool {
        let meta = &self.pod.metadata;
        let current = self.volumes.with.as_ref().is_some_and(|with| {
            with.labels == meta.labels
                && with.annotations == meta.annotations
                && with.generation == meta.generation
        });
        let ended = self.memory.as_ref().is_some_and(|memory| memory.ended);
        !ended && (self.volumes.paths.is_none() || !current) && self.free(&Key::Volumes, now)
    }

    /// Takes over a plan's memory, but for the containers whose step is not done now (`held`).
    pub(super) fn remember(&mut self, mut new: Memory, held: &BTreeSet<Box<str>>) {
        let old = self.memory.take().unwrap_or_default();
        for name in held {
            restore(&mut new.waiting, &old.waiting, name);
            restore(&mut new.backoff, &old.backoff, name);
            if old.replacing.contains(name) {
                new.replacing.insert(name.clone());
            }
        }
        self.memory = Some(new);
    }
}

fn restore<V: Clone>(
    new: &mut std::collections::BTreeMap<Box<str>, V>,
    old: &std::collections::BTreeMap<Box<str>, V>,
    name: &str,
) {
    match old.get(name) {
        Some(value) => drop(new.insert(name.into(), value.clone())),
        None => drop(new.remove(name)),
    }
}

/// The API server knows that the Pod was evicted.
fn evicted(pod: &Pod) -> bool {
    &*pod.status.phase == "Failed" && pod.status.reason.as_deref() == Some(eviction::REASON)
}

/// The steps of a plan that are done now, sorted into the waves they are done in.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// `StopContainer`s.
    pub(super) stops: Vec<Action>,
    /// Containers whose stop is under way and has nobody to wait for any more.
    pub(super) turns: Vec<ContainerId>,
    /// Containers to resize, with their names.
    pub(super) resizes: Vec<(ContainerId, Box<str>)>,
    /// Stops of sandboxes and removals, in order.
    pub(super) clean_up: Vec<Action>,
    /// Attempt number of the sandbox to create after that.
    pub(super) sandbox: Option<u32>,
    /// `StartContainer`s.
    pub(super) starts: Vec<Action>,
    /// Containers whose step has to wait for a job or for volumes.
    pub(super) held: BTreeSet<Box<str>>,
}

/// Chooses what to do of a plan, given what is under way.
pub(super) fn choose(plan: &Plan, state: &State, observed: &Observed, now: Timestamp) -> Work {
    let mut work = Work {
        turns: turns(plan, state),
        ..Work::default()
    };
    work.held.extend(state.jobs.keys().filter_map(|key| match key {
        Key::Start(name) => Some(name.clone()),
        _ => None,
    }));
    let name_of = |id: &ContainerId| observed.containers.iter().find(|c| c.id == *id).map(|c| &c.name);
    let stopping = |name: &str| {
        state
            .jobs
            .keys()
            .any(|key| matches!(key, Key::Stop(id) if name_of(id).is_some_and(|n| **n == *name)))
    };
    // A Pod that goes or has ended is cleaned up when nothing of it is being started any more.
    let settled = !((state.terminating || plan.memory.ended) && state.starting());
    let may_clean = settled && state.free(&Key::CleanUp, now) && state.free(&Key::Sandbox, now);
    for action in &plan.actions {
        match action {
            Action::StopContainer {
                id, grace_seconds, ..
            } => {
                if may_stop(state, id, now + seconds(*grace_seconds), now) {
                    work.stops.push(action.clone());
                }
            }
            Action::ResizeContainer { id, name } => {
                if state.free(&Key::Resize(id.clone()), now) {
                    work.resizes.push((id.clone(), name.clone()));
                }
            }
            Action::RemoveContainer { id, .. }
                if name_of(id).is_some_and(|name| work.held.contains(name)) => {}
            Action::StopSandbox { .. } | Action::RemoveContainer { .. } | Action::RemoveSandbox { .. } => {
                if may_clean {
                    work.clean_up.push(action.clone());
                }
            }
            Action::CreateSandbox { attempt } => work.sandbox = may_clean.then_some(*attempt),
            Action::StartContainer { name, .. } => {
                if work.held.contains(name) || stopping(name) || !state.mountable(name) {
                    work.held.insert(name.clone());
                } else {
                    work.starts.push(action.clone());
                }
            }
        }
    }
    work
}

/// Stops under way that wait for their turn, where the plan does not say so: others have ended, or the container has.
fn turns(plan: &Plan, state: &State) -> Vec<ContainerId> {
    let held = |id: &ContainerId| {
        let holds =
            |a: &Action| matches!(a, Action::StopContainer { id: other, hold: true, .. } if other == id);
        plan.actions.iter().any(holds)
    };
    let waiting = state.jobs.iter().filter_map(|(key, job)| match key {
        Key::Stop(id) if job.stop.as_ref().is_some_and(|stop| !stop.turn) => Some(id),
        _ => None,
    });
    waiting.filter(|id| !held(id)).cloned().collect()
}

/// A stop under way is changed only when it is to end clearly sooner (`kubectl delete --now`).
fn may_stop(state: &State, id: &ContainerId, deadline: Timestamp, now: Timestamp) -> bool {
    let key = Key::Stop(id.clone());
    match state.jobs.get(&key).and_then(|job| job.stop.as_ref()) {
        Some(running) => deadline + SignedDuration::from_secs(1) < running.deadline,
        None => state.free(&key, now),
    }
}

#[cfg(test)]
mod tests;
