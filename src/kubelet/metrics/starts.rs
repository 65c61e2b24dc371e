//! How far the start of each Pod is, for the metrics about starts. Time is an argument.

use super::Labels;
use crate::model::PodUid;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;
use tokio::time::Instant;

/// Starts under way and done. One entry for each Pod of the node.
#[derive(Debug, Default)]
pub(super) struct Starts {
    pods: HashMap<PodUid, Start>,
    probes: HashMap<PodUid, ProbeLabels>,
    /// Those with users of their own that have a sandbox and nothing failed since.
    users: HashSet<PodUid>,
}

/// Labels that a Pod's probes were counted under: durations, and results.
type ProbeLabels = (BTreeSet<Labels>, BTreeSet<Labels>);

#[derive(Debug)]
struct Start {
    seen: Instant,
    worker: bool,
    running: bool,
    /// First begin and last end of image pulls.
    pulls: Option<(Instant, Instant)>,
}

/// A start that is complete.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Started {
    pub(super) since_seen: Duration,
    pub(super) pulling: Duration,
}

impl Starts {
    pub(super) fn seen(&mut self, uid: &PodUid, now: Instant) {
        self.pods.entry(uid.clone()).or_insert(Start {
            seen: now,
            worker: false,
            running: false,
            pulls: None,
        });
    }

    /// How long the worker took to start, the first time.
    pub(super) fn worker(&mut self, uid: &PodUid, now: Instant) -> Option<Duration> {
        let start = self.pods.get_mut(uid)?;
        (!std::mem::replace(&mut start.worker, true)).then(|| now - start.seen)
    }

    pub(super) fn pulled(&mut self, uid: &PodUid, end: Instant, took: Duration) {
        let Some(start) = self.pods.get_mut(uid) else {
            return;
        };
        let begin = end.checked_sub(took).unwrap_or(end);
        let first = start.pulls.map_or(begin, |(first, _)| first.min(begin));
        start.pulls = Some((first, end));
    }

    /// What the whole start took, the first time.
    pub(super) fn running(&mut self, uid: &PodUid, now: Instant) -> Option<Started> {
        self.users.remove(uid);
        let start = self.pods.get_mut(uid)?;
        (!std::mem::replace(&mut start.running, true)).then(|| Started {
            since_seen: now - start.seen,
            pulling: start.pulls.map_or(Duration::ZERO, |(first, last)| last - first),
        })
    }

    /// A Pod with users of its own has a sandbox.
    pub(super) fn own_users(&mut self, uid: &PodUid) {
        self.users.insert(uid.clone());
    }

    /// A container could not be started; true when that is the first thing to fail of a Pod with users of its own.
    pub(super) fn failed(&mut self, uid: &PodUid) -> bool {
        self.users.remove(uid)
    }

    pub(super) fn probed(&mut self, uid: &PodUid, took: Labels, result: Labels) {
        let known = self.probes.entry(uid.clone()).or_default();
        known.0.insert(took);
        known.1.insert(result);
    }

    /// Forgets the Pod; returns what its probes were counted under.
    pub(super) fn gone(&mut self, uid: &PodUid) -> ProbeLabels {
        self.pods.remove(uid);
        self.users.remove(uid);
        self.probes.remove(uid).unwrap_or_default()
    }
}
