//! Who the start still waits for, by name.
//!
//! Every part that must be up before the process calls itself ready takes a [`ReadyGuard`] and calls
//! [`ReadyGuard::done`]. A part that dies with its guard is waited for until the end: it was never ready.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// The set of parts that are not ready yet. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Ready {
    pending: Arc<watch::Sender<BTreeMap<&'static str, Instant>>>,
}

impl Default for Ready {
    fn default() -> Self {
        Self {
            pending: Arc::new(watch::Sender::new(BTreeMap::new())),
        }
    }
}

/// Held by a part until it is ready.
#[must_use = "without `done` this part is never ready"]
#[derive(Debug)]
pub struct ReadyGuard {
    name: &'static str,
    ready: Ready,
}

impl Ready {
    /// Nothing is waited for yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits for one more part; names must be unique.
    pub fn wait_for(&self, name: &'static str) -> ReadyGuard {
        self.pending.send_modify(|pending| {
            pending.insert(name, Instant::now());
        });
        ReadyGuard {
            name,
            ready: self.clone(),
        }
    }

    /// What is still waited for, sorted, with how long it has been.
    pub fn pending(&self) -> Vec<(&'static str, Duration)> {
        self.pending
            .borrow()
            .iter()
            .map(|(name, since)| (*name, since.elapsed()))
            .collect()
    }

    /// True when nothing is waited for.
    pub fn is_ready(&self) -> bool {
        self.pending.borrow().is_empty()
    }

    /// Waits until everything is ready.
    pub async fn wait(&self) {
        // The sender lives in self, so waiting cannot end with an error.
        let _ = self
            .pending
            .subscribe()
            .wait_for(|pending| pending.is_empty())
            .await;
    }
}

impl ReadyGuard {
    /// Says that this part is ready.
    pub fn done(self) {
        self.ready.pending.send_modify(|pending| {
            let since = pending.remove(self.name);
            let took_ms = since.map_or(0, |since| since.elapsed().as_millis());
            let left: Vec<&str> = pending.keys().copied().collect();
            tracing::info!(
                part = self.name,
                took_ms,
                waiting_for = left.join(", "),
                "part is ready"
            );
        });
    }
}

#[cfg(test)]
mod tests;
