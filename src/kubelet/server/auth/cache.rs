//! PURE. Answers that hold for a while: bounded, and aged by the caller's clock.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::time::Duration;

/// Answers by question. Times are since a start of the caller's choice.
#[derive(Debug)]
pub(in crate::kubelet::server) struct Cache<K, V> {
    most: usize,
    kept: HashMap<K, Kept<V>>,
    /// Questions by the end of their answers, so that the one that ends first makes room.
    ends: BTreeMap<(Duration, u64), K>,
    next: u64,
}

#[derive(Debug)]
struct Kept<V> {
    value: V,
    end: (Duration, u64),
}

impl<K: Clone + Eq + Hash, V: Clone> Cache<K, V> {
    /// Holds at most `most` answers.
    pub(in crate::kubelet::server) fn new(most: usize) -> Self {
        Self {
            most,
            kept: HashMap::new(),
            ends: BTreeMap::new(),
            next: 0,
        }
    }

    /// The answer, while it holds.
    pub(in crate::kubelet::server) fn get(&self, key: &K, now: Duration) -> Option<V> {
        let kept = self.kept.get(key)?;
        (now < kept.end.0).then(|| kept.value.clone())
    }

    /// Keeps an answer for `ttl`; zero keeps nothing.
    pub(in crate::kubelet::server) fn put(&mut self, key: K, value: V, now: Duration, ttl: Duration) {
        if let Some(old) = self.kept.remove(&key) {
            self.ends.remove(&old.end);
        }
        self.forget_before(now);
        if ttl.is_zero() || self.most == 0 {
            return;
        }
        while self.kept.len() >= self.most {
            let Some((_, first)) = self.ends.pop_first() else {
                return;
            };
            self.kept.remove(&first);
        }
        let end = (now.saturating_add(ttl), self.next);
        self.next += 1;
        self.ends.insert(end, key.clone());
        self.kept.insert(key, Kept { value, end });
    }

    fn forget_before(&mut self, now: Duration) {
        while let Some(entry) = self.ends.first_entry() {
            if entry.key().0 > now {
                return;
            }
            self.kept.remove(&entry.remove());
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        assert_eq!(self.kept.len(), self.ends.len());
        self.kept.len()
    }
}

#[cfg(test)]
mod tests;
