//! How many streams may be open: in all, and of one client.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Open at once. Each has two connections and at most 64 KiB in flight, about twice that when it is translated.
const TOTAL: usize = 1000;
/// From one address. An API server opens those of all users, so this only keeps room for a second one.
const PER_CLIENT: usize = 800;

/// The open streams: exec, attach and port-forward sessions.
#[derive(Debug, Default)]
pub struct Streams {
    /// How many each address has open; addresses with none are not in it.
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// One open stream; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    streams: Arc<Streams>,
    client: IpAddr,
}

impl Streams {
    /// How many are open.
    pub fn open(&self) -> usize {
        self.lock().values().sum()
    }

    /// A place for one more, unless all are taken.
    pub(super) fn enter(self: &Arc<Self>, client: IpAddr) -> Option<Place> {
        let mut open = self.lock();
        let own = open.get(&client).copied().unwrap_or(0);
        if open.values().sum::<usize>() >= TOTAL || own >= PER_CLIENT {
            return None;
        }
        open.insert(client, own + 1);
        Some(Place {
            streams: self.clone(),
            client,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.streams.lock();
        if let Some(count) = open.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_leaves_room_for_another_and_places_come_back() {
        let streams = Arc::new(Streams::default());
        let [a, b, c] = [1, 2, 3].map(|n| IpAddr::from([10, 0, 0, n]));
        let of_a: Vec<_> = std::iter::from_fn(|| streams.enter(a)).collect();
        assert_eq!(of_a.len(), PER_CLIENT);
        let of_b: Vec<_> = std::iter::from_fn(|| streams.enter(b)).collect();
        assert_eq!(of_b.len(), TOTAL - PER_CLIENT);
        assert!(streams.enter(c).is_none());
        drop(of_a);
        assert_eq!(streams.open(), TOTAL - PER_CLIENT);
        assert!(streams.enter(c).is_some());
        drop(of_b);
        assert_eq!(streams.open(), 0);
        assert!(streams.lock().is_empty());
    }
}
