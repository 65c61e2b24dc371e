//! PURE. Who has been granted what on this node, and who waits for more, in the order they get it.

use crate::kubelet::quantity::Amount;
use crate::model::PodUid;
use jiff::Timestamp;
use std::cmp::Reverse;
use std::collections::BTreeMap;

#[cfg(test)]
mod tests;

/// CPU and memory.
pub type Requests = [Amount; 2];

/// One Pod.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Entry {
    /// What it was granted.
    pub granted: Requests,
    /// What it asks for, when that is more than there was room for.
    pub wish: Option<Wish>,
}

/// A wish that waits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wish {
    /// All it asks for.
    pub requests: Requests,
    /// `spec.priority`.
    pub priority: i32,
    /// Its class is the best one.
    pub guaranteed: bool,
    /// Since when it waits.
    pub since: Timestamp,
    /// What has left room since it was last looked at, in upstream's words.
    pub trigger: Option<&'static str>,
}

/// All Pods of the node that have a worker.
#[derive(Clone, Debug, Default)]
pub struct Books(BTreeMap<PodUid, Entry>);

impl Books {
    /// The Pod is known.
    pub fn has(&self, uid: &PodUid) -> bool {
        self.0.contains_key(uid)
    }

    /// Enters what is true of a Pod now; true when it left room for others. A wish waits since it was first entered.
    pub fn set(&mut self, uid: &PodUid, mut entry: Entry) -> bool {
        let old = self.0.get(uid).copied().unwrap_or_default();
        if let (Some(wish), Some(before)) = (&mut entry.wish, old.wish) {
            wish.since = before.since;
        }
        let freed = (0..2).any(|at| entry.granted[at] < old.granted[at]);
        self.0.insert(uid.clone(), entry);
        freed
    }

    /// What a Pod waits for.
    pub fn wish(&self, uid: &PodUid) -> Option<Requests> {
        Some(self.0.get(uid)?.wish?.requests)
    }

    /// Notes for all who wait what has left room.
    pub fn freed_by(&mut self, what: &'static str) {
        for wish in self.0.values_mut().filter_map(|entry| entry.wish.as_mut()) {
            wish.trigger = Some(what);
        }
    }

    /// Why a Pod that waits is looked at again.
    pub fn trigger(&self, uid: &PodUid) -> &'static str {
        let noted = self.0.get(uid).and_then(|entry| entry.wish?.trigger);
        noted.unwrap_or("periodic_retry")
    }

    /// Forgets a Pod; true when it left room for others.
    pub fn remove(&mut self, uid: &PodUid) -> bool {
        let old = self.0.remove(uid);
        old.is_some_and(|entry| entry.granted.iter().any(|amount| amount.is_positive()))
    }

    /// Pods that wait, the first to get something first: by priority, then class, then time.
    pub fn waiting(&self) -> Vec<PodUid> {
        let wishes = self.0.iter().filter_map(|(uid, entry)| Some((uid, entry.wish?)));
        let mut all: Vec<_> = wishes.collect();
        all.sort_by_key(|(_, wish)| (Reverse(wish.priority), Reverse(wish.guaranteed), wish.since));
        all.into_iter().map(|(uid, _)| uid.clone()).collect()
    }

    /// What is not for this Pod of `all` there is: what the others were granted, and what those who wait before it
    /// will be.
    pub fn others(&self, uid: &PodUid, all: &Requests, elsewhere: &Requests) -> Requests {
        let mut used = *elsewhere;
        for entry in self.0.values() {
            used = plus(&used, &entry.granted);
        }
        for before in self.waiting().iter().take_while(|before| *before != uid) {
            let Some(Entry {
                granted,
                wish: Some(wish),
            }) = self.0.get(before)
            else {
                continue;
            };
            let grown: Requests = [0, 1].map(|at| wish.requests[at].minus(granted[at]));
            let with = plus(&used, &grown);
            if (0..2).all(|at| with[at] <= all[at]) {
                used = with;
            }
        }
        let own = self.0.get(uid).copied().unwrap_or_default();
        [0, 1].map(|at| used[at].minus(own.granted[at]))
    }
}

fn plus(a: &Requests, b: &Requests) -> Requests {
    [a[0].plus(b[0]), a[1].plus(b[1])]
}
