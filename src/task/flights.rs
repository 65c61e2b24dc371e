//! Work that is done once for all who want the same at the same time.

use futures::future::{BoxFuture, FutureExt, Shared, WeakShared};
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// Work under way, by key. Whoever comes while it lasts shares its result; it stops when nobody waits for it any more.
pub struct Flights<K, V: Clone>(Mutex<Vec<Flight<K, V>>>);

/// Work whose waiters are all gone is swept by the next caller.
type Flight<K, V> = (K, WeakShared<BoxFuture<'static, V>>);

impl<K: PartialEq, V: Clone + Send + Sync + 'static> Flights<K, V> {
    /// Joins the work of a key, or starts it.
    pub fn join<F>(&self, key: K, start: impl FnOnce(&K) -> F) -> Shared<BoxFuture<'static, V>>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        flights.retain(|(_, flight)| flight.upgrade().is_some_and(|f| f.peek().is_none()));
        let running = flights.iter().find(|(other, _)| *other == key);
        if let Some(flight) = running.and_then(|(_, flight)| flight.upgrade()) {
            return flight;
        }
        let flight = start(&key).boxed().shared();
        flights.extend(flight.downgrade().map(|weak| (key, weak)));
        flight
    }
}

impl<K, V: Clone> Default for Flights<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K, V: Clone> fmt::Debug for Flights<K, V> {
    /// Keys may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.lock().unwrap_or_else(PoisonError::into_inner).len();
        f.debug_struct("Flights").field("count", &count).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::sync::Semaphore;

    #[tokio::test]
    async fn the_same_is_done_once_at_a_time() {
        let flights: Flights<&str, u32> = Flights::default();
        let (started, gate) = (Arc::new(AtomicU32::new(0)), Arc::new(Semaphore::new(0)));
        let start = |_: &&str| {
            let (started, gate) = (started.clone(), gate.clone());
            async move {
                let number = started.fetch_add(1, Ordering::Relaxed);
                gate.acquire().await.unwrap().forget();
                number
            }
        };
        let (a, again, b) = (
            flights.join("a", start),
            flights.join("a", start),
            flights.join("b", start),
        );
        gate.add_permits(2);
        let (a, again, b) = tokio::join!(a, again, b);
        assert_eq!(
            (a == again, a == b, started.load(Ordering::Relaxed)),
            (true, false, 2)
        );
        gate.add_permits(1);
        assert_eq!(flights.join("a", start).await, 2, "what has ended is done anew");
        drop(flights.join("a", start));
        gate.add_permits(1);
        assert_eq!(
            flights.join("a", start).await,
            3,
            "what was given up is not joined"
        );
    }
}
