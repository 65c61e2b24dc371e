//! Exponential backoff with jitter. Pure: it computes delays and never waits.

use std::time::Duration;

/// Delays that double from `base` up to `cap`, each spread by jitter so that many nodes do not return at once.
#[derive(Clone, Debug)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    failures: u32,
}

impl Backoff {
    /// A backoff that starts at `base` and never exceeds `cap`.
    pub fn new(base: Duration, cap: Duration) -> Self {
        Self {
            base,
            cap,
            failures: 0,
        }
    }

    /// Counts a failure and returns how long to wait: between half and all of the current step.
    pub fn fail(&mut self) -> Duration {
        self.fail_with(jitter())
    }

    /// As [`Backoff::fail`], with the jitter given: 0.0 is the shortest wait, 1.0 the longest.
    pub fn fail_with(&mut self, jitter: f64) -> Duration {
        let doublings = self.failures.min(31);
        self.failures = self.failures.saturating_add(1);
        let step = self.base.saturating_mul(1 << doublings).min(self.cap);
        step.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0))
    }

    /// Forgets all failures.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Failures since the last reset.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

/// A number in 0.0..1.0, different for every call and process: good enough to spread retries, not for secrets.
pub fn jitter() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    // RandomState is seeded by the system per thread and differs from call to call.
    let bits = RandomState::new().hash_one(0u8) >> 40;
    f64::from(u32::try_from(bits).expect("24 bits fit")) / f64::from(1u32 << 24)
}

#[cfg(test)]
mod tests;
