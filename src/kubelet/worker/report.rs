//! Tells the API server a Pod's status: the latest one wins, at most one patch is under way, failures are retried. What is
//! no news waits a moment for what comes next.

use crate::kubelet::context::Context;
use crate::kubelet::status;
use crate::model::pod::PodStatus as History;
use crate::model::{NamespacedName, PodUid};
use crate::task::{Backoff, SayOnce};
use k8s_openapi::api::core::v1::PodStatus;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

/// How long a status that is no news waits for the next one.
const PATIENCE: Duration = Duration::from_millis(500);

/// What was told comes back from the API server's watch within this time.
const ECHO: Duration = Duration::from_secs(1);

/// The status of one Pod on its way to the API server.
pub(super) struct Reporter {
    context: Arc<Context>,
    key: NamespacedName,
    /// Protects the statuses; never held over a call.
    state: Mutex<State>,
    busy: watch::Sender<bool>,
    /// Nothing waits any longer.
    hurry: Notify,
}

struct State {
    /// The Pod at the API server that shows the status.
    uid: PodUid,
    told: Option<PodStatus>,
    /// When that was told.
    told_at: Option<Instant>,
    /// What to tell, and since when it differs from what was told.
    wanted: Option<(PodStatus, Instant)>,
    /// The API server no longer has this Pod; nothing more is told.
    gone: bool,
}

impl Reporter {
    pub(super) fn new(context: Arc<Context>, key: NamespacedName, uid: PodUid) -> Arc<Self> {
        Arc::new(Self {
            context,
            key,
            state: Mutex::new(State {
                uid,
                told: None,
                told_at: None,
                wanted: None,
                gone: false,
            }),
            busy: watch::Sender::new(false),
            hurry: Notify::new(),
        })
    }

    /// From now on this Pod shows the status: the mirror of a static Pod. A new one has been told nothing.
    pub(super) fn aim(&self, uid: PodUid) {
        let mut state = self.lock();
        if state.uid != uid {
            state.uid = uid;
            state.told = None;
            state.told_at = None;
            state.gone = false;
        }
    }

    /// Tells nothing more: another one may tell of the same Pod by now.
    pub(super) fn close(&self) {
        self.lock().gone = true;
    }

    /// Sees to it that this status, or a later one, is told.
    pub(super) fn report(self: &Arc<Self>, status: PodStatus) {
        let mut state = self.lock();
        if state.gone || state.told.as_ref() == Some(&status) && state.wanted.is_none() {
            return;
        }
        let since = state
            .wanted
            .as_ref()
            .map_or_else(Instant::now, |(_, since)| *since);
        if status::is_news(&status) {
            self.hurry.notify_one();
        }
        state.wanted = Some((status, since));
        // Under the lock, as the end of `work`: a wish never finds a worker that has just decided to stop.
        if !self.busy.send_replace(true) {
            tokio::spawn(self.clone().work());
        }
    }

    /// The API server has this. What contradicts what it was told some time ago is somebody else's, and it is told again;
    /// what was told just now may not have come back yet: the answer is when to compare again.
    pub(super) fn compare(self: &Arc<Self>, has: &History) -> Option<Duration> {
        let mut state = self.lock();
        let told = state.told.clone().filter(|told| status::contradicts(told, has))?;
        if state.gone || state.wanted.is_some() || *self.busy.borrow() {
            return None;
        }
        let age = state.told_at.map_or(ECHO, |at| at.elapsed());
        if age < ECHO {
            return Some(ECHO - age);
        }
        tracing::info!(pod.uid = %state.uid, "the API server has another status, telling again");
        state.told = None;
        drop(state);
        self.report(told);
        None
    }

    /// Waits until all that was reported is told, or the Pod is gone.
    pub(super) async fn flush(&self) {
        self.hurry.notify_one();
        // The sender is our own: it cannot be gone.
        drop(self.busy.subscribe().wait_for(|busy| !busy).await);
    }

    async fn work(self: Arc<Self>) {
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(10));
        let mut said = SayOnce::new(Duration::from_secs(60));
        loop {
            if let Some(until) = self.waits() {
                tokio::select! {
                    () = sleep_until(until) => {}
                    () = self.hurry.notified() => {}
                }
            }
            let Some((uid, told, (wanted, since))) = self.next() else {
                return;
            };
            let Some(patch) = status::patch(told.as_ref(), &wanted) else {
                self.settle(&uid, |state| state.told = Some(wanted));
                continue;
            };
            match self.context.pods.patch_status(&self.key, &uid, &patch).await {
                Ok(()) => {
                    backoff.reset();
                    self.context.metrics.status_told(since.elapsed());
                    self.settle(&uid, |state| {
                        state.told = Some(wanted);
                        state.told_at = Some(Instant::now());
                    });
                }
                Err(error) if error.is_not_found() || error.is_conflict() => {
                    tracing::debug!(pod.uid = %uid, %error, "the pod is gone from the API server");
                    self.settle(&uid, |state| state.gone = true);
                }
                Err(error) => {
                    let text = error.to_string();
                    if said.say(&text, Instant::now()).is_some() {
                        tracing::warn!(pod.uid = %uid, ns = %self.key.namespace, name = %self.key.name, error = %text, "status not told");
                    }
                    self.lock().wanted.get_or_insert((wanted, since)).1 = since;
                    tokio::time::sleep(backoff.fail()).await;
                }
            }
        }
    }

    /// Until when what is to be told next is kept back.
    fn waits(&self) -> Option<Instant> {
        let state = self.lock();
        let (status, since) = state.wanted.as_ref()?;
        (!status::is_news(status)).then(|| *since + PATIENCE)
    }

    /// Takes over what became of a call, unless another Pod shows the status by now.
    fn settle(&self, uid: &PodUid, outcome: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        if state.uid == *uid {
            outcome(&mut state);
        }
    }

    /// Whom to tell what next, after what; without anything the work ends.
    fn next(&self) -> Option<(PodUid, Option<PodStatus>, (PodStatus, Instant))> {
        let mut state = self.lock();
        let wanted = if state.gone { None } else { state.wanted.take() };
        if wanted.is_none() {
            self.busy.send_replace(false);
        }
        Some((state.uid.clone(), state.told.clone(), wanted?))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
