//! PURE. Which Events are new, which only count an earlier one up, and which are too many.
//!
//! As client-go does it: the same object, reason and message is one series; each object may tell 25 Events at once and
//! then one every five minutes.

use super::Event;
use crate::api::{EventType, ObjectRef};
use jiff::Timestamp;
use std::collections::HashMap;

/// Series and objects remembered at once.
const REMEMBERED: usize = 4096;
/// Events an object may tell at once.
const BURST: f64 = 25.0;
/// And then one per this many seconds.
const REFILL_SECONDS: f64 = 300.0;

/// An Event and its repetitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    /// Name of the Event object.
    pub name: String,
    /// How often it has happened.
    pub count: u32,
    /// First time.
    pub first: Timestamp,
}

/// What to do with an Event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Post it.
    Create(Series),
    /// Patch count and time of the one that was posted.
    Count(Series),
    /// The object tells too much.
    Suppress,
}

type Key = (ObjectRef, EventType, Box<str>, String);

/// What was told before.
#[derive(Debug, Default)]
pub struct Correlator {
    series: HashMap<Key, (Series, Timestamp)>,
    budgets: HashMap<ObjectRef, (f64, Timestamp)>,
}

impl Correlator {
    /// Nothing was told yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next Event.
    pub fn next(&mut self, event: &Event) -> Step {
        if !self.pay(event) {
            return Step::Suppress;
        }
        let key = key(event);
        if let Some((series, last)) = self.series.get_mut(&key) {
            series.count += 1;
            *last = event.at;
            return Step::Count(series.clone());
        }
        make_room(&mut self.series, |(_, last)| *last);
        // As client-go names them: unique enough, and sorted by time.
        let name = format!("{}.{:x}", event.object.key.name, event.at.as_nanosecond());
        let series = Series {
            name,
            count: 1,
            first: event.at,
        };
        self.series.insert(key, (series.clone(), event.at));
        Step::Create(series)
    }

    /// The Event could not be posted: the next one like it starts anew.
    pub fn forget(&mut self, event: &Event) {
        self.series.remove(&key(event));
    }

    /// Takes one from the object's budget, if there is one left.
    fn pay(&mut self, event: &Event) -> bool {
        // Containers of a Pod share the Pod's budget.
        let object = ObjectRef {
            field_path: "".into(),
            ..event.object.clone()
        };
        if !self.budgets.contains_key(&object) {
            make_room(&mut self.budgets, |(_, last)| *last);
        }
        let (left, last) = self.budgets.entry(object).or_insert((BURST, event.at));
        let seconds = event.at.duration_since(*last).as_secs_f64().max(0.0);
        *left = (*left + seconds / REFILL_SECONDS).min(BURST);
        *last = event.at;
        if *left < 1.0 {
            return false;
        }
        *left -= 1.0;
        true
    }
}

fn key(event: &Event) -> Key {
    (
        event.object.clone(),
        event.kind,
        event.reason.clone(),
        event.message.clone(),
    )
}

/// Forgets the older half when the map is full.
fn make_room<K, V>(map: &mut HashMap<K, V>, last: impl Fn(&V) -> Timestamp) {
    if map.len() < REMEMBERED {
        return;
    }
    let mut times: Vec<Timestamp> = map.values().map(&last).collect();
    let middle = times.len() / 2;
    let (_, median, _) = times.select_nth_unstable(middle);
    let median = *median;
    map.retain(|_, value| last(value) > median);
}

#[cfg(test)]
mod tests;
