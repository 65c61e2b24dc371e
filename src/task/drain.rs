//! Ending in order: first asked nicely, then forced.
//!
//! Tasks that must finish something before the process ends are spawned through [`Drain`] and watch a [`DrainSignal`].
//! `finish` asks all of them to end, waits for a while, then drops those that are left and says their names.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Owns the end of the process; kept by the composition root.
#[derive(Debug, Default)]
pub struct Drain {
    graceful: CancellationToken,
    forced: CancellationToken,
    tracker: TaskTracker,
    /// How many tasks of each name still run.
    running: Arc<Mutex<BTreeMap<&'static str, usize>>>,
}

/// Tells a task that the process is ending. Cheap to clone.
#[derive(Clone, Debug)]
pub struct DrainSignal(CancellationToken);

impl DrainSignal {
    /// Waits until the process should end.
    pub async fn wait(&self) {
        self.0.cancelled().await;
    }
    /// True once the process should end.
    pub fn is_draining(&self) -> bool {
        self.0.is_cancelled()
    }
    /// The signal as a token, for code that knows tokio's own type.
    pub fn token(&self) -> CancellationToken {
        self.0.child_token()
    }
    /// Runs `work` until it is done or the process should end, whichever comes first (`None`).
    pub async fn unless_draining<F: Future>(&self, work: F) -> Option<F::Output> {
        self.0.run_until_cancelled(work).await
    }
}

impl Drain {
    /// Nothing is running yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A signal for a task.
    pub fn signal(&self) -> DrainSignal {
        DrainSignal(self.graceful.clone())
    }

    /// Asks everything to end; returns at once.
    pub fn start(&self) {
        self.graceful.cancel();
    }

    /// As [`Drain::start`], for someone else to call.
    pub fn starter(&self) -> impl Fn() + Send + 'static {
        let graceful = self.graceful.clone();
        move || graceful.cancel()
    }

    /// Runs a task that the end of the process waits for. `name` is what the log calls it.
    pub fn spawn<F>(&self, name: &'static str, work: F) -> tokio::task::JoinHandle<Option<F::Output>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let forced = self.forced.clone();
        let running = Running::start(&self.running, name);
        self.tracker.spawn(async move {
            let _running = running;
            forced.run_until_cancelled(work).await
        })
    }

    /// Asks everything to end and waits up to `grace`; then forces the rest and returns their names, sorted.
    pub async fn finish(self, grace: Duration) -> Vec<&'static str> {
        self.graceful.cancel();
        self.tracker.close();
        if tokio::time::timeout(grace, self.tracker.wait()).await.is_ok() {
            return Vec::new();
        }
        let late = self.running.lock().expect(NOT_POISONED).keys().copied().collect();
        self.forced.cancel();
        self.tracker.wait().await;
        late
    }
}

const NOT_POISONED: &str = "nothing panics while holding this lock";

/// Counts a named task for as long as it lives, also when it panics.
struct Running {
    name: &'static str,
    all: Arc<Mutex<BTreeMap<&'static str, usize>>>,
}

impl Running {
    fn start(all: &Arc<Mutex<BTreeMap<&'static str, usize>>>, name: &'static str) -> Self {
        *all.lock().expect(NOT_POISONED).entry(name).or_default() += 1;
        Self {
            name,
            all: all.clone(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut all = self.all.lock().expect(NOT_POISONED);
        if let Some(count) = all.get_mut(self.name) {
            *count -= 1;
            if *count == 0 {
                all.remove(self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests;
