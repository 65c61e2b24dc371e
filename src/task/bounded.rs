//! When to do work that many events ask for: at once, but not too often, again after a failure, and now and then anyway.

use super::Backoff;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Bounds of a [`BoundedRunner`].
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Shortest time between the end of one run and the start of the next.
    pub min_interval: Duration,
    /// Longest time without a run.
    pub max_interval: Duration,
    /// Longest wait after failures in a row; the first wait is `min_interval`.
    pub max_backoff: Duration,
}

/// Why a run starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Something asked for it.
    Request,
    /// The last run failed.
    Retry,
    /// The longest interval is over.
    Interval,
}

/// Decides when the next run is due. Never runs anything itself: a loop selects on [`BoundedRunner::due`], does the
/// work and reports it with [`BoundedRunner::done`]. The same work is therefore never done twice at once.
#[derive(Debug)]
pub struct BoundedRunner {
    bounds: Bounds,
    backoff: Backoff,
    /// End of the last run; none yet means that the first request is due at once.
    last: Option<Instant>,
    requested: bool,
    retry_at: Option<Instant>,
    started: Instant,
}

impl BoundedRunner {
    /// Nothing is requested; the first run is due after `max_interval` at the latest.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            backoff: Backoff::new(bounds.min_interval, bounds.max_backoff),
            last: None,
            requested: false,
            retry_at: None,
            started: Instant::now(),
        }
    }

    /// Asks for a run. Requests between two runs are one.
    pub fn request(&mut self) {
        self.requested = true;
    }

    /// When the next run is due.
    pub fn due_at(&self) -> Instant {
        let earliest = self
            .last
            .map_or(self.started, |last| last + self.bounds.min_interval);
        let latest = self.last.unwrap_or(self.started) + self.bounds.max_interval;
        if self.requested {
            earliest
        } else {
            self.retry_at.unwrap_or(latest).min(latest).max(earliest)
        }
    }

    /// Waits until a run is due. Can be dropped and asked again at any time.
    pub async fn due(&self) {
        sleep_until(self.due_at()).await;
    }

    /// Takes the requests that the run which starts now answers, and says why it starts. Later requests count for
    /// the next run.
    pub fn start(&mut self) -> Reason {
        let requested = std::mem::take(&mut self.requested);
        match (requested, self.retry_at) {
            (true, _) => Reason::Request,
            (false, Some(_)) => Reason::Retry,
            (false, None) => Reason::Interval,
        }
    }

    /// A run has ended. After a failure the next one is due after a backoff, or earlier when something new is
    /// requested.
    pub fn done(&mut self, success: bool) {
        let now = Instant::now();
        self.last = Some(now);
        if success {
            self.backoff.reset();
            self.retry_at = None;
        } else {
            self.retry_at = Some(now + self.backoff.fail());
        }
    }
}

#[cfg(test)]
mod tests;
