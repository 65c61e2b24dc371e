//! Says a thing once a minute, not a thousand times. Pure: the caller brings the time.

use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// Most texts remembered at once; beyond that the oldest is forgotten.
const MAX_TEXTS: usize = 64;

/// Limits how often the same text is said.
#[derive(Debug)]
pub struct SayOnce {
    interval: Duration,
    said: BTreeMap<Box<str>, Said>,
}

#[derive(Debug)]
struct Said {
    at: Instant,
    held_back: u64,
}

impl SayOnce {
    /// The same text is said at most once per `interval`.
    pub fn new(interval: Duration) -> Self {
        Self {
            interval,
            said: BTreeMap::new(),
        }
    }

    /// `Some(n)` when `text` should be said now, having been held back `n` times since it was last said.
    pub fn say(&mut self, text: &str, now: Instant) -> Option<u64> {
        if let Some(said) = self.said.get_mut(text) {
            if now.duration_since(said.at) < self.interval {
                said.held_back += 1;
                return None;
            }
            said.at = now;
            return Some(std::mem::take(&mut said.held_back));
        }
        if self.said.len() >= MAX_TEXTS {
            let oldest = self
                .said
                .iter()
                .min_by_key(|(_, said)| said.at)
                .map(|(text, _)| text.clone());
            self.said
                .remove(&oldest.expect("the map is full, so it has an oldest entry"));
        }
        self.said.insert(
            text.into(),
            Said {
                at: now,
                held_back: 0,
            },
        );
        Some(0)
    }

    /// Forgets everything, so that the next failure is said at once. True when anything had been said.
    pub fn reset(&mut self) -> bool {
        let had = !self.said.is_empty();
        self.said.clear();
        had
    }
}

#[cfg(test)]
mod tests;
