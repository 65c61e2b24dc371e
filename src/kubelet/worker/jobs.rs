//! Starts the jobs of a pass. Each one notes how it ended and marks its Pod.

use super::state::{Done, Job, Key, State, Stopping, Work};
use super::{Slot, Workers};
use crate::api::EventType;
use crate::kubelet::env;
use crate::kubelet::execute::{self, Start, Steering, Stop};
use crate::kubelet::observed::Observed;
use crate::kubelet::plan::{Action, seconds};
use crate::kubelet::volume::Paths;
use crate::model::pod::{Pod, ResourceFieldRef};
use crate::model::{ContainerId, PodUid};
use jiff::Timestamp;
use std::sync::{Arc, PoisonError};
use tokio_util::sync::CancellationToken;

impl Workers {
    /// Runs one job; `end` is what it leaves behind.
    pub(super) fn spawn(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        state: &mut State,
        key: Key,
        job: impl Future<Output = Done> + Send + 'static,
    ) {
        let makes = matches!(key, Key::Sandbox | Key::Start(_));
        state.jobs.entry(key).or_insert_with(|| Job {
            cancel: CancellationToken::new(),
            stop: None,
        });
        let (slot, marks, uid) = (slot.clone(), self.marks.clone(), state.pod.metadata.uid.clone());
        if makes {
            marks.make(&uid);
        }
        tokio::spawn(async move {
            let done = job.await;
            if makes {
                marks.made(&uid);
            }
            slot.done
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(done);
            marks.mark(uid);
        });
    }

    /// Starts what was chosen of a plan.
    pub(super) fn start_work(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        state: &mut State,
        observed: &Observed,
        work: Work,
    ) {
        for id in work.turns {
            if let Some(running) = state
                .jobs
                .get_mut(&Key::Stop(id))
                .and_then(|job| job.stop.as_mut())
            {
                running.turn = true;
                running.steering.release();
            }
        }
        for stop in work.stops {
            self.start_stop(slot, state, stop);
        }
        for (id, name) in work.resizes {
            self.start_resize(slot, state, observed, (id, &name));
        }
        match work.sandbox {
            Some(attempt) => self.start_sandbox(slot, state, observed, (work.clean_up, attempt)),
            None if work.clean_up.is_empty() => {}
            None => {
                let (context, pod, observed, steps) = (
                    self.context.clone(),
                    state.pod.clone(),
                    observed.clone(),
                    work.clean_up,
                );
                self.spawn(slot, state, Key::CleanUp, async move {
                    Done::Plain(
                        Key::CleanUp,
                        execute::clean_up(&context, &pod, &observed, &steps).await,
                    )
                });
            }
        }
        for start in work.starts {
            self.start_start(slot, state, observed, start);
        }
    }

    /// Starts to stop a container, or makes a stop that is under way end sooner.
    fn start_stop(self: &Arc<Self>, slot: &Arc<Slot>, state: &mut State, action: Action) {
        let Action::StopContainer {
            id,
            name,
            grace_seconds,
            message,
            hold,
        } = action
        else {
            return;
        };
        let (now, uid) = (self.context.now(), state.pod.metadata.uid.clone());
        // A stop that an earlier agent has begun gets what is left of its grace.
        let noted = self.context.notes.take_stop(&uid, &id);
        let deadline = now + seconds(grace_seconds);
        let deadline = noted.map_or(deadline, |noted| noted.min(deadline));
        let grace_seconds = seconds_between(now, deadline);
        let (key, turn) = (Key::Stop(id.clone()), !hold);
        if let Some(running) = state.jobs.get_mut(&key).and_then(|job| job.stop.as_mut()) {
            running.deadline = running.deadline.min(deadline);
            running.steering.hurry(grace_seconds);
            return;
        }
        let (steering, orders) = Steering::new(grace_seconds, turn);
        let stopping = Stopping {
            deadline,
            turn,
            steering,
        };
        state.jobs.insert(
            key.clone(),
            Job {
                cancel: CancellationToken::new(),
                stop: Some(stopping),
            },
        );
        let (context, pod) = (self.context.clone(), state.pod.clone());
        let stop = Stop { id, name, message };
        self.spawn(slot, state, key.clone(), async move {
            context.notes.note_stop(&uid, &stop.id, deadline).await;
            Done::Plain(key, execute::stop_container(&context, &pod, &stop, orders).await)
        });
    }

    fn start_resize(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        state: &mut State,
        observed: &Observed,
        (id, name): (ContainerId, &str),
    ) {
        let Some((spec, _)) = state.pod.container(name) else {
            return;
        };
        let (resources, pod) = (self.context.limits.update(&state.pod, spec), state.pod.clone());
        let has = observed
            .containers
            .iter()
            .find(|c| c.id == id)
            .and_then(|c| c.limits);
        let gets = u64::try_from(resources.memory_limit_in_bytes).ok();
        let lowers = gets
            .filter(|gets| has.is_some_and(|has| has.memory == 0 || i128::from(*gets) < has.memory.into()));
        let (lowers_pod, name) = (self.lowers_pod(state), name.to_owned());
        let (context, observer) = (self.context.clone(), self.observer.clone());
        let key = Key::Resize(id.clone());
        self.spawn(slot, state, key.clone(), async move {
            let done = async {
                execute::check_pod_memory(&context, &pod, lowers_pod)?;
                execute::check_memory(&context, &pod, (&id, &name), lowers)?;
                execute::resize_container(&context, &id, resources).await
            };
            let done = done.await;
            observer.doubt(&pod.metadata.uid, &id);
            Done::Plain(key, done)
        });
    }

    fn start_sandbox(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        state: &mut State,
        observed: &Observed,
        (steps, attempt): (Vec<Action>, u32),
    ) {
        let (context, pod, seen) = (self.context.clone(), state.pod.clone(), state.seen);
        let observed = observed.clone();
        if steps
            .iter()
            .any(|step| matches!(step, Action::StopSandbox { .. }))
        {
            let text = "Pod sandbox changed, it will be killed and re-created.".to_owned();
            context.tell(&pod, EventType::Normal, "SandboxChanged", text);
        }
        let cancel = slot.unwanted.child_token();
        state.jobs.insert(
            Key::Sandbox,
            Job {
                cancel: cancel.clone(),
                stop: None,
            },
        );
        self.spawn(slot, state, Key::Sandbox, async move {
            let made = async {
                execute::clean_up(&context, &pod, &observed, &steps).await?;
                execute::create_sandbox(&context, &pod, (attempt, seen), &cancel).await
            };
            Done::Plain(Key::Sandbox, made.await)
        });
    }

    fn start_start(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        state: &mut State,
        observed: &Observed,
        action: Action,
    ) {
        let Action::StartContainer {
            name,
            attempt,
            sandbox,
            ..
        } = action
        else {
            return;
        };
        let spec = state.pod.container(&name).map(|(spec, _)| spec);
        let target = spec.and_then(|spec| observed.latest(spec.target_container_name.as_deref()?));
        let place = observed.sandboxes.iter().find(|s| s.id == sandbox);
        let backoff = state.memory.as_ref().and_then(|memory| memory.backoff.get(&name));
        let start = Start {
            pod: state.pod.clone(),
            name: name.clone(),
            attempt,
            crash_backoff: backoff.map_or(0, |backoff| backoff.delay_seconds),
            sandbox,
            sandbox_attempt: place.map_or(0, |s| s.attempt),
            target: target.map(|c| c.id.clone()),
            ips: place.map(|s| s.ips.clone()).unwrap_or_default(),
            volumes: state.volumes.paths.clone().unwrap_or_default(),
            seen: state.seen,
        };
        let (context, cancel) = (self.context.clone(), slot.unwanted.child_token());
        let key = Key::Start(name.clone());
        state.jobs.insert(
            key.clone(),
            Job {
                cancel: cancel.clone(),
                stop: None,
            },
        );
        self.spawn(slot, state, key, async move {
            let outcome = execute::start_container(&context, &start, &cancel).await;
            let count = |outcome| context.metrics.container_started(&start.pod, &name, outcome);
            match &outcome {
                Ok(true) => count(Ok(())),
                Ok(false) => {}
                Err(error) => count(Err(error.reason)),
            }
            Done::Start(name, outcome)
        });
    }

    /// Sets the volumes up, or brings them up to date with the Pod.
    pub(super) fn start_volumes(self: &Arc<Self>, slot: &Arc<Slot>, state: &mut State, now: Timestamp) {
        state.volumes.with = Some(state.pod.metadata.clone());
        let (workers, place, pod) = (self.clone(), slot.clone(), state.pod.clone());
        self.spawn(slot, state, Key::Volumes, async move {
            Done::Volumes(workers.prepare(&place, &pod, now).await)
        });
    }

    /// Sets up volumes unless they are removed for good; tells of those that fail.
    async fn prepare(&self, slot: &Slot, pod: &Pod, now: Timestamp) -> Option<Paths> {
        let removed = slot.volumes.lock().await;
        if *removed {
            return None;
        }
        let context = &self.context;
        let resource = |field: &ResourceFieldRef| env::resource_field(pod, None, field, &context.allocatable);
        match context.volumes.prepare(pod, now, &resource).await {
            Ok(paths) => Some(paths),
            Err(errors) => {
                for error in errors {
                    context.tell(pod, EventType::Warning, "FailedMount", error.to_string());
                }
                None
            }
        }
    }

    /// Follows changed ConfigMaps and Secrets and renews tokens of one running Pod.
    pub async fn refresh_volumes(&self, uid: &PodUid) {
        let Some(slot) = self.slots().get(uid).cloned() else {
            return;
        };
        let pod = {
            let state = slot.state.lock().await;
            let ended = state.memory.as_ref().is_some_and(|memory| memory.ended);
            let changes = state
                .pod
                .spec
                .volumes
                .iter()
                .any(|v| v.config_map.is_some() || v.secret.is_some() || v.projected.is_some());
            if ended || !changes || !state.in_api || state.volumes.paths.is_none() {
                return;
            }
            state.pod.clone()
        };
        self.prepare(&slot, &pod, self.context.now()).await;
    }

    /// Nothing of the Pod runs any more: remove what it left, tell its last status, and let its API object go.
    pub(super) fn start_leftovers(self: &Arc<Self>, slot: &Arc<Slot>, state: &mut State) {
        let (context, place, pod, in_api) = (
            self.context.clone(),
            slot.clone(),
            state.pod.clone(),
            // A mirror goes when its static Pod is gone from the node.
            state.in_api && !state.pod.is_static(),
        );
        self.spawn(slot, state, Key::Leftovers, async move {
            let gone = async {
                *place.volumes.lock().await = true;
                execute::remove_leftovers(&context, &pod).await?;
                if in_api {
                    place.reporter.flush().await;
                    let meta = &pod.metadata;
                    context.pods.delete_now(&meta.key(), &meta.uid).await.map_err(|e| e.to_string())?;
                }
                tracing::info!(pod.uid = %pod.metadata.uid, ns = %pod.metadata.namespace, name = %pod.metadata.name, "pod is gone");
                Ok(())
            };
            let gone = gone.await;
            if let Err(problem) = &gone {
                tracing::warn!(pod.uid = %pod.metadata.uid, problem, "something of the pod is left, trying again");
            }
            Done::Plain(Key::Leftovers, gone)
        });
    }
}

/// Whole seconds until then, the last one begun counted; none when it is over.
fn seconds_between(now: Timestamp, then: Timestamp) -> i64 {
    let millis = then.duration_since(now).as_millis().max(0);
    i64::try_from((millis + 999) / 1000).unwrap_or(i64::MAX)
}
