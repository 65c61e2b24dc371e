//! PURE. Thresholds × observations × time → the Node's pressure conditions, and what there is too little of.

use super::signals::{Pressures, pressure, resource};
use super::{Pressure, Resource};
use crate::config::{Signal, Threshold};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How much of something there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// Bytes, inodes or process ids that are free.
    pub available: i64,
    /// All there are.
    pub capacity: i64,
    /// When it was looked at, Unix nanoseconds.
    pub at: i64,
}

/// What was seen, by signal; what could not be seen is missing.
pub type Observations = BTreeMap<Signal, Observation>;

/// What is remembered between two looks.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Thresholds that are crossed, by index: since when.
    crossed: BTreeMap<usize, Timestamp>,
    /// Those whose grace period is over.
    met: BTreeSet<usize>,
    /// When conditions were last caused.
    caused: BTreeMap<Pressure, Timestamp>,
    last: Observations,
}

/// What follows from a look.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// The conditions that hold.
    pub pressures: Pressures,
    /// Thresholds to act upon, by index; the most urgent first.
    pub starved: Vec<usize>,
}

impl State {
    /// Takes over what was seen. `thresholds` are the same at every look.
    pub fn look(
        &mut self,
        thresholds: &[Threshold],
        transition: Duration,
        seen: Observations,
        now: Timestamp,
    ) -> Verdict {
        let mut crossed: BTreeSet<usize> = crossed(thresholds, &seen, false).collect();
        // A shortage is over only when as much was reclaimed as was asked for.
        let met = std::mem::take(&mut self.met);
        crossed.extend(self::crossed(thresholds, &seen, true).filter(|at| met.contains(at)));
        self.crossed = crossed
            .iter()
            .map(|at| (*at, self.crossed.get(at).copied().unwrap_or(now)))
            .collect();
        let caused = crossed.iter().map(|at| (pressure(thresholds[*at].signal), now));
        self.caused.extend(caused);
        let transition = signed(transition);
        let pressures = self
            .caused
            .iter()
            .filter(|(_, at)| now.duration_since(**at) < transition);
        let pressures = pressures.map(|(pressure, _)| *pressure).collect();
        self.met = self
            .crossed
            .iter()
            .filter(|(at, since)| now.duration_since(**since) >= signed(thresholds[**at].grace))
            .map(|(at, _)| *at)
            .collect();
        // An observation that is no newer says nothing about what was done since.
        let newer = |signal: Signal| {
            let seen = seen.get(&signal)?;
            let known = self.last.get(&signal).is_some_and(|last| seen.at <= last.at);
            (seen.at == 0 || !known).then_some(())
        };
        let mut starved: Vec<usize> = self
            .met
            .iter()
            .copied()
            .filter(|at| newer(thresholds[*at].signal).is_some())
            .collect();
        starved.sort_by_key(|at| resource(thresholds[*at].signal) != Resource::Memory);
        self.last = seen;
        Verdict { pressures, starved }
    }
}

/// Indices of the thresholds that are crossed, whatever their grace period; with `reclaim`, those that are not yet as
/// far from it as they should be.
pub fn crossed(thresholds: &[Threshold], seen: &Observations, reclaim: bool) -> impl Iterator<Item = usize> {
    let is_crossed = move |threshold: &Threshold| {
        let Some(seen) = seen.get(&threshold.signal) else {
            return false;
        };
        let more = threshold.reclaim.as_ref().filter(|_| reclaim);
        let more = more.map_or(0, |more| more.of(seen.capacity));
        threshold.level.of(seen.capacity).saturating_add(more) > seen.available
    };
    let all = thresholds.iter().enumerate();
    all.filter(move |(_, threshold)| is_crossed(threshold))
        .map(|(at, _)| at)
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
mod tests;
