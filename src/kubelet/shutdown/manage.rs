//! Listens to logind, holds the machine back, and ends the Pods.
//!
//! Two loops: one keeps up the connection and tells whether a shutdown is under way, the other ends Pods while one is.
//! logind waits as long as the lock is held, but not longer than it was told at the start. A shutdown that is called
//! off ends nobody more, and the lock is taken again.

use super::plan::{self, Ending};
use super::record::{self, Record};
use super::{MESSAGE, REASON};
use crate::api::EventType;
use crate::config::ShutdownConfig;
use crate::kubelet::context::Context;
use crate::kubelet::plan::PodFailure;
use crate::kubelet::refs;
use crate::kubelet::worker::Workers;
use crate::sys::fs;
use crate::sys::logind::{self, Lock, Session};
use crate::task::{Backoff, SayOnce};
use std::collections::BTreeSet;
use std::fmt;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

/// Pause between two looks at Pods that are ending.
const STEP: Duration = Duration::from_millis(100);
/// First and longest pause before logind is looked for again.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// First pause before logind is asked whether it waits longer now, and how often it is asked; each pause is twice the
/// one before.
const RELOAD: (Duration, u32) = (Duration::from_millis(100), 5);

/// Ends Pods when the machine goes down.
pub struct Shutdown {
    context: Arc<Context>,
    workers: Arc<Workers>,
    /// While it is there the machine waits for us.
    lock: Mutex<Option<Lock>>,
}

impl fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shutdown")
            .field("lock", &self.lock)
            .finish_non_exhaustive()
    }
}

impl Shutdown {
    /// Holds nothing back yet.
    pub fn new(context: Arc<Context>, workers: Arc<Workers>) -> Self {
        Self {
            context,
            workers,
            lock: Mutex::default(),
        }
    }

    /// Runs for ever, if it is to do anything. `listed` becomes true once all Pods are known.
    pub async fn run(self, listed: watch::Receiver<bool>) {
        if self.config().periods.is_empty() {
            return;
        }
        self.recall();
        tokio::join!(self.listen(), self.end(listed));
    }

    fn config(&self) -> &ShutdownConfig {
        &self.context.config.shutdown
    }

    /// Keeps up the connection to logind.
    async fn listen(&self) {
        let mut backoff = Backoff::new(RETRY.0, RETRY.1);
        // A machine without logind is no worse for being told every minute.
        let mut said = SayOnce::new(Duration::MAX);
        loop {
            match self.attach().await {
                Ok(session) => {
                    backoff.reset();
                    said.reset();
                    tracing::info!("shutdowns of the machine wait for pods");
                    self.follow(session).await;
                    tracing::warn!("the connection to logind is gone");
                }
                Err(error) => {
                    let text = error.to_string();
                    if said.say(&text, Instant::now()).is_some() {
                        tracing::warn!(error = %text, "shutdowns of the machine do not wait for pods");
                    }
                }
            }
            sleep(backoff.fail()).await;
        }
    }

    /// Connects, sees to it that logind waits long enough, and takes the lock.
    async fn attach(&self) -> logind::Result<Box<dyn Session>> {
        let mut session = self.context.power.logind.attach().await?;
        self.lengthen(&mut *session).await?;
        let down = session.going_down().await?;
        // One that has begun before waits for nobody new; what an earlier connection holds stays.
        if !down {
            self.hold(session.inhibit().await?);
        }
        self.tell(down);
        Ok(session)
    }

    async fn lengthen(&self, session: &mut dyn Session) -> logind::Result<()> {
        let wanted = self.config().total();
        let mut delay = session.longest_delay().await?;
        if delay >= wanted {
            return Ok(());
        }
        session.lengthen_delay(wanted).await?;
        let (mut pause, tries) = RELOAD;
        for _ in 0..tries {
            delay = session.longest_delay().await?;
            if delay >= wanted {
                return Ok(());
            }
            sleep(pause).await;
            pause *= 2;
        }
        Err(logind::Error::Delay { delay, wanted })
    }

    /// Takes over what logind says, until it says nothing more.
    async fn follow(&self, mut session: Box<dyn Session>) {
        while let Some(down) = session.next().await {
            self.tell(down);
            if down {
                continue;
            }
            match session.inhibit().await {
                Ok(lock) => self.hold(lock),
                Err(error) => {
                    tracing::warn!(%error, "the next shutdown would not wait for pods");
                    return;
                }
            }
        }
    }

    fn tell(&self, down: bool) {
        if self.context.power.down.send_replace(down) == down {
            return;
        }
        let text = if down {
            "Shutdown manager detected shutdown event"
        } else {
            "Shutdown manager detected shutdown cancellation"
        };
        tracing::info!(down, "the machine's shutdown");
        let node = refs::node(&self.context.config.node);
        self.context
            .events
            .emit(&node, EventType::Normal, "Shutdown", text.into());
    }

    fn hold(&self, lock: Lock) {
        *self.lock() = Some(lock);
    }

    /// Lets the machine go, unless the shutdown has been called off.
    fn release(&self) {
        let mut lock = self.lock();
        // A new lock is taken after that is told.
        if self.context.power.goes_down() {
            lock.take();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Lock>> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends Pods whenever a shutdown is under way.
    async fn end(&self, mut listed: watch::Receiver<bool>) {
        let mut down = self.context.power.down.subscribe();
        // Their senders live as long as this.
        while listed.wait_for(|listed| *listed).await.is_ok() && down.wait_for(|down| *down).await.is_ok() {
            let start = self.context.now();
            self.record(Record {
                start: Some(start),
                end: None,
            })
            .await;
            let done = tokio::select! {
                () = self.end_pods() => true,
                _ = down.wait_for(|down| !down) => false,
            };
            self.record(Record {
                start: Some(start),
                end: Some(self.context.now()),
            })
            .await;
            if done {
                self.release();
                tracing::info!("all pods have had their time: the machine may go down");
            }
            if down.wait_for(|down| !down).await.is_err() {
                return;
            }
        }
    }

    /// One group after the other. Who comes late, because it was just being let in, ends with the next one.
    async fn end_pods(&self) {
        let periods = &self.config().periods;
        let mut told = BTreeSet::new();
        for at in 0..periods.len() {
            let mut groups = plan::groups(periods, &self.workers.active());
            groups.truncate(at + 1);
            let Some((priority, wait)) = groups.last().map(|group| (group.priority, group.wait)) else {
                continue;
            };
            let pods = groups.into_iter().flat_map(|group| group.pods);
            let pods: Vec<Ending> = pods
                .filter(|ending| told.insert(ending.pod.metadata.uid.clone()))
                .collect();
            if pods.is_empty() {
                continue;
            }
            tracing::info!(priority, pods = pods.len(), ?wait, "pods end for the shutdown");
            for ending in &pods {
                let failure = PodFailure {
                    reason: REASON.into(),
                    message: MESSAGE.into(),
                    grace_seconds: Some(ending.grace_seconds),
                    disruption: Some(MESSAGE.into()),
                };
                self.workers.fail(&ending.pod.metadata.uid, failure).await;
            }
            if timeout(wait, self.over(&pods)).await.is_err() {
                tracing::warn!(priority, ?wait, "not all pods have ended in their time");
            }
        }
    }

    /// Waits until these Pods have ended, and the API server knows.
    async fn over(&self, pods: &[Ending]) {
        for Ending { pod, .. } in pods {
            let uid = &pod.metadata.uid;
            while !self.workers.is_over(uid).await {
                sleep(STEP).await;
            }
            self.workers.told(uid).await;
        }
    }

    fn file(&self) -> PathBuf {
        self.context.dirs.root.join(record::FILE)
    }

    /// Takes over when the last shutdown was.
    fn recall(&self) {
        if !self.config().recorded {
            return;
        }
        let file = self.file();
        let record = match std::fs::read_to_string(&file) {
            Ok(text) => Record::parse(&text),
            Err(error) if error.kind() == ErrorKind::NotFound => return,
            Err(error) => Err(error.to_string()),
        };
        match record {
            Ok(record) => self.context.metrics.shutdown(record),
            Err(problem) => tracing::warn!(file = %file.display(), problem, "the last shutdown is not known"),
        }
    }

    async fn record(&self, record: Record) {
        if !self.config().recorded {
            return;
        }
        self.context.metrics.shutdown(record);
        let file = self.file();
        let write = move || fs::write_atomic(&file, record.render().as_bytes(), 0o644);
        let written = tokio::task::spawn_blocking(write).await;
        if let Some(problem) = written.map_or_else(
            |panic| Some(panic.to_string()),
            |written| written.err().map(|e| e.to_string()),
        ) {
            tracing::warn!(problem, "the shutdown is not recorded");
        }
    }
}
