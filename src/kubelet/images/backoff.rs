//! Pauses after failed pulls: 10 s, 20 s, … 300 s for one Pod's image. The only place that counts them.

use crate::model::PodUid;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// First pause.
const BASE: Duration = Duration::from_secs(10);
/// Longest pause.
const MAX: Duration = Duration::from_secs(300);

/// A Pod's image, as its spec writes it.
pub(super) type Key = (PodUid, Box<str>);

#[derive(Clone, Debug)]
struct Failed {
    at: Instant,
    pause: Duration,
    /// `ErrImagePull: …` of the last try.
    error: Box<str>,
}

/// The pauses of all Pods; those that are long over are forgotten with the next failure.
#[derive(Debug, Default)]
pub(super) struct Backoff(Mutex<HashMap<Key, Failed>>);

impl Backoff {
    /// The rest of a pause, and the error it comes from.
    pub(super) fn rest(&self, key: &Key) -> Option<(Duration, Box<str>)> {
        let failures = self.lock();
        let failed = failures.get(key)?;
        let rest = failed.pause.checked_sub(failed.at.elapsed())?;
        (!rest.is_zero()).then(|| (rest, failed.error.clone()))
    }

    /// Counts a failure and returns the pause it earns.
    pub(super) fn failed(&self, key: Key, error: Box<str>) -> Duration {
        let at = Instant::now();
        let mut failures = self.lock();
        failures.retain(|_, failed| at < failed.at + 2 * MAX);
        let pause = failures.get(&key).map_or(BASE, |f| (f.pause * 2).min(MAX));
        failures.insert(key, Failed { at, pause, error });
        pause
    }

    /// The next failure is the first again.
    pub(super) fn succeeded(&self, key: &Key) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Failed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
