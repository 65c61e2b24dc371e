//! What the runtime has, by Pod (kubelet calls this PLEG).
//!
//! [`Observer::observe`] asks the runtime about one Pod, afresh, and is the only source of [`Observed`]. Beside it two
//! loops find out *which* Pods to look at: the runtime's event stream, and a relist that audits it (every 10 s while
//! events flow, every second while they do not, as with containerd 1.6). Both only call back with a Pod's UID; also for
//! Pods the API server does not know, so that orphans are found.

mod convert;

use crate::cri::{self, Runtime, v1};
use crate::kubelet::metrics::KubeletMetrics;
use crate::kubelet::observed::{ContainerState, Observed, Sandbox};
use crate::model::{ContainerId, PodUid, SandboxId};
use crate::task::{DrainSignal, SayOnce};
use convert::Fingerprint;
use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Pause between relists while events flow.
const AUDIT: Duration = Duration::from_secs(10);
/// Pause between relists while they do not, or have only just begun to.
const RELIST: Duration = Duration::from_secs(1);
/// An event stream this old is trusted.
const TRUSTED: Duration = Duration::from_secs(3);
/// Pause before a broken event stream is opened again.
const REOPEN: Duration = Duration::from_secs(1);
/// Pause before a runtime without events is asked again; it may have been upgraded.
const REASK: Duration = Duration::from_secs(60);
/// Status calls in flight for one Pod.
const PARALLEL: usize = 8;

type Callback = Box<dyn Fn(PodUid, News) + Send + Sync>;

/// What may have changed of a Pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Something was made or started.
    Begun,
    /// Anything.
    Other,
}

/// See the module's words.
pub struct Observer {
    runtime: Arc<dyn Runtime>,
    dirty: Callback,
    metrics: KubeletMetrics,
    state: Mutex<State>,
    /// Asks for a relist now.
    relist_now: Notify,
}

#[derive(Default)]
struct State {
    pods: HashMap<PodUid, View>,
    /// When the last relist came through.
    relisted: Option<Instant>,
    /// Since when the event stream is open.
    events_since: Option<Instant>,
    said: Option<SayOnce>,
}

/// What is known of one Pod.
#[derive(Default)]
struct View {
    fingerprint: Fingerprint,
    /// From the last observation: what has not changed state need not be asked again.
    observed: Observed,
}

impl Observer {
    /// An observer that calls `dirty` for every Pod whose sandboxes or containers may have changed. The callback must
    /// not block; it may be called several times for one change.
    pub fn new(runtime: Arc<dyn Runtime>, dirty: impl Fn(PodUid, News) + Send + Sync + 'static) -> Arc<Self> {
        Self::counted(runtime, KubeletMetrics::default(), dirty)
    }

    /// As [`Observer::new`], counting relists.
    pub fn counted(
        runtime: Arc<dyn Runtime>,
        metrics: KubeletMetrics,
        dirty: impl Fn(PodUid, News) + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            runtime,
            dirty: Box::new(dirty),
            metrics,
            state: Mutex::default(),
            relist_now: Notify::new(),
        })
    }

    /// Asks the runtime about one Pod. A Pod it has nothing of gives an empty [`Observed`].
    pub async fn observe(&self, uid: &PodUid) -> cri::Result<Observed> {
        let (sandboxes, containers) = tokio::try_join!(
            self.runtime.list_pod_sandboxes(Some(uid)),
            self.runtime.list_containers(Some(uid))
        )?;
        let known = self
            .lock()
            .pods
            .get(uid)
            .map(|view| view.observed.clone())
            .unwrap_or_default();
        let observed = Observed {
            sandboxes: self.sandboxes(&sandboxes, &known).await?,
            containers: self.containers(&containers, &known).await?,
        };
        let observed = convert::sorted(observed);
        let fingerprint = convert::fingerprint(&sandboxes, &containers);
        let mut state = self.lock();
        if fingerprint.is_empty() {
            state.pods.remove(uid);
        } else {
            let observed = observed.clone();
            state.pods.insert(
                uid.clone(),
                View {
                    fingerprint,
                    observed,
                },
            );
        }
        Ok(observed)
    }

    /// Asks about this container afresh next time: it may have changed without changing its state.
    pub fn doubt(&self, uid: &PodUid, id: &ContainerId) {
        if let Some(view) = self.lock().pods.get_mut(uid) {
            view.observed.containers.retain(|c| c.id != *id);
        }
    }

    /// UIDs of all Pods the runtime has something of, sorted; complete after the first [`Observer::relist`].
    pub fn known_uids(&self) -> Vec<PodUid> {
        let mut uids: Vec<_> = self.lock().pods.keys().cloned().collect();
        uids.sort();
        uids
    }

    /// When the runtime last answered a relist. kubelet calls a node unhealthy after three minutes without one.
    pub fn last_relist(&self) -> Option<Instant> {
        self.lock().relisted
    }

    /// Lists everything and calls back for every Pod that differs from what was known.
    pub async fn relist(&self) -> cri::Result<()> {
        let begin = Instant::now();
        let interval = self.last_relist().map(|last| begin - last);
        let (sandboxes, containers) = tokio::try_join!(
            self.runtime.list_pod_sandboxes(None),
            self.runtime.list_containers(None)
        )?;
        self.metrics.relisted(begin.elapsed(), interval);
        let listed = convert::fingerprints(&sandboxes, &containers);
        for uid in self.merge(listed) {
            tracing::debug!(pod.uid = %uid, "relist found a change");
            (self.dirty)(uid, News::Other);
        }
        Ok(())
    }

    /// Runs both loops until the process ends.
    pub async fn run(&self, drain: DrainSignal) {
        drain
            .unless_draining(async { tokio::join!(self.watch(), self.audit()) })
            .await;
    }

    /// Takes over the lists and returns the Pods that differ.
    fn merge(&self, listed: BTreeMap<PodUid, Fingerprint>) -> Vec<PodUid> {
        let mut state = self.lock();
        state.relisted = Some(Instant::now());
        let changed = convert::changed(
            state.pods.iter().map(|(uid, view)| (uid, &view.fingerprint)),
            &listed,
        );
        state.pods.retain(|uid, _| listed.contains_key(uid));
        for (uid, fingerprint) in listed {
            state.pods.entry(uid).or_default().fingerprint = fingerprint;
        }
        changed
    }

    async fn audit(&self) {
        loop {
            let pause = match self.relist().await {
                Ok(()) => self.pause(),
                Err(e) => {
                    self.warn(&format!("list pods in the runtime: {e}"));
                    RELIST
                }
            };
            // An elapsed pause is as good as a wish.
            tokio::time::timeout(pause, self.relist_now.notified()).await.ok();
        }
    }

    fn pause(&self) -> Duration {
        match self.lock().events_since {
            Some(since) if since.elapsed() >= TRUSTED => AUDIT,
            _ => RELIST,
        }
    }

    async fn watch(&self) {
        loop {
            let end = match self.runtime.container_events().await {
                Ok(events) => self.follow(events).await,
                Err(e) => Some(e),
            };
            self.lock().events_since = None;
            self.relist_now.notify_one();
            let pause = match end {
                Some(e) if e.is_unimplemented() => {
                    self.warn("the runtime has no container events, listing every second instead");
                    REASK
                }
                Some(e) => {
                    self.warn(&format!("container events: {e}"));
                    REOPEN
                }
                None => REOPEN,
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Reads events until the stream ends, with the error it ended with.
    async fn follow(
        &self,
        mut events: stream::BoxStream<'_, cri::Result<v1::ContainerEventResponse>>,
    ) -> Option<cri::Error> {
        self.lock().events_since = Some(Instant::now());
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => self.take(&event),
                Err(e) => return Some(e),
            }
        }
        None
    }

    fn take(&self, event: &v1::ContainerEventResponse) {
        let uid = convert::event_uid(event).or_else(|| self.owner(&event.container_id));
        tracing::trace!(
            id = event.container_id,
            kind = event.container_event_type,
            ?uid,
            "runtime event"
        );
        let news = match event.container_event_type() {
            v1::ContainerEventType::ContainerCreatedEvent | v1::ContainerEventType::ContainerStartedEvent => {
                News::Begun
            }
            _ => News::Other,
        };
        match uid {
            Some(uid) => (self.dirty)(uid, news),
            // Somebody else's container, or one whose sandbox is gone: the lists know.
            None => self.relist_now.notify_one(),
        }
    }

    /// The Pod a container or sandbox id was last seen in.
    fn owner(&self, id: &str) -> Option<PodUid> {
        let state = self.lock();
        let found = state.pods.iter().find(|(_, view)| view.fingerprint.has(id));
        found.map(|(uid, _)| uid.clone())
    }

    async fn sandboxes(&self, listed: &[v1::PodSandbox], known: &Observed) -> cri::Result<Vec<Sandbox>> {
        // Collected, because a closure held across an await may not borrow and be `Send`.
        let asked: Vec<_> = listed
            .iter()
            .map(|item| async move {
                if let Some(same) = convert::unchanged_sandbox(item, known) {
                    return Ok(Some(same));
                }
                let status = self.runtime.pod_sandbox_status(&SandboxId::from(&*item.id)).await;
                gone_is_none(status.map(|status| convert::sandbox(&status)))
            })
            .collect();
        collect(asked.into_iter()).await
    }

    async fn containers(
        &self,
        listed: &[v1::Container],
        known: &Observed,
    ) -> cri::Result<Vec<ContainerState>> {
        let now = Timestamp::now();
        let asked: Vec<_> = listed
            .iter()
            .map(|item| async move {
                if let Some(same) = convert::unchanged_container(item, known, now) {
                    return Ok(Some(same));
                }
                let status = self.runtime.container_status(&ContainerId::from(&*item.id)).await;
                gone_is_none(status.map(|status| convert::container(&status, &item.pod_sandbox_id)))
            })
            .collect();
        collect(asked.into_iter()).await
    }

    /// Says the same thing once a minute.
    fn warn(&self, text: &str) {
        let mut state = self.lock();
        let said = state
            .said
            .get_or_insert_with(|| SayOnce::new(Duration::from_secs(60)));
        if let Some(held_back) = said.say(text, Instant::now()) {
            tracing::warn!(held_back, "{text}");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// What was removed between the list and the question is simply not there.
fn gone_is_none<T>(result: cri::Result<T>) -> cri::Result<Option<T>> {
    match result {
        Err(e) if e.is_not_found() => Ok(None),
        other => other.map(Some),
    }
}

async fn collect<T>(
    asked: impl Iterator<Item = impl Future<Output = cri::Result<Option<T>>>>,
) -> cri::Result<Vec<T>> {
    stream::iter(asked)
        .buffered(PARALLEL)
        .try_filter_map(|found| async { Ok(found) })
        .try_collect()
        .await
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("Observer")
            .field("pods", &state.pods.keys().collect::<BTreeSet<_>>())
            .field("events", &state.events_since.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
