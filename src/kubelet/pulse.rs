//! Whether the pod side makes progress: when its view of the runtime was last complete. What `/healthz/syncloop` tells.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Without progress for this long the pod side is not healthy, as upstream has it.
const LIMIT: Duration = Duration::from_secs(5 * 60);

/// The last sign of progress; none before the first.
#[derive(Debug, Default)]
pub struct Pulse(Mutex<Option<Instant>>);

impl Pulse {
    /// There was progress.
    pub fn beat(&self, at: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
    }

    /// False when the last progress is too long ago. Before the first the runtime is still waited for, which the Node's
    /// conditions tell.
    pub fn healthy(&self, now: Instant) -> bool {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_none_or(|last| now.duration_since(last) <= LIMIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_minutes_without_progress_are_unhealthy() {
        let (pulse, start) = (Pulse::default(), Instant::now());
        assert!(pulse.healthy(start + 10 * LIMIT), "nothing has begun");
        pulse.beat(start);
        assert!(pulse.healthy(start + LIMIT));
        assert!(!pulse.healthy(start + LIMIT + Duration::from_secs(1)));
        pulse.beat(start + LIMIT);
        assert!(pulse.healthy(start + LIMIT + Duration::from_secs(1)));
    }
}
