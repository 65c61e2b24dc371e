//! What the end of one component means for the others.
//!
//! A component runs until the drain. One that ends or panics before takes the process with it: its state is in no
//! defined place any more, the agent keeps nothing that a restart does not find again in the runtime, the kernel and
//! its small files, and containers run on meanwhile. So the process drains, exits non-zero, and systemd starts it anew.
//! (A panic of one pod's worker is not the end of a component: that is contained where the worker runs.)

use crate::task::{Drain, DrainSignal};
use std::future::Future;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;

/// Watches over components.
#[derive(Debug)]
pub struct Supervisor {
    drain: Drain,
    failures: mpsc::UnboundedSender<String>,
    /// Locked by the one who waits.
    failed: Mutex<mpsc::UnboundedReceiver<String>>,
}

impl Supervisor {
    /// Nothing runs yet.
    pub fn new(drain: Drain) -> Self {
        let (failures, failed) = mpsc::unbounded_channel();
        Self {
            drain,
            failures,
            failed: Mutex::new(failed),
        }
    }

    /// A signal for a component.
    pub fn signal(&self) -> DrainSignal {
        self.drain.signal()
    }

    /// Begins the drain when called.
    pub fn drain_starter(&self) -> impl Fn() + Send + 'static {
        self.drain.starter()
    }

    /// Runs a component that must not end before the drain.
    pub fn component<F>(&self, name: &'static str, work: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let task = self.drain.spawn(name, work);
        tokio::spawn(watch(name, task, self.drain.signal(), self.failures.clone()));
    }

    /// Waits for the drain or the first failed component, which is returned.
    pub async fn wait(&self) -> Option<String> {
        let drain = self.drain.signal();
        let mut failed = self.failed.lock().await;
        tokio::select! {
            biased;
            failure = failed.recv() => failure,
            () = drain.wait() => None,
        }
    }

    /// What ends everything.
    pub fn into_drain(self) -> Drain {
        self.drain
    }
}

async fn watch(
    name: &'static str,
    task: JoinHandle<Option<()>>,
    drain: DrainSignal,
    failures: mpsc::UnboundedSender<String>,
) {
    let end = match task.await {
        Err(error) if error.is_panic() => format!("{name} panicked"),
        _ if drain.is_draining() => return,
        _ => format!("{name} ended by itself"),
    };
    // Without a receiver the process is ending already.
    let _ = failures.send(end);
}

#[cfg(test)]
mod tests;
