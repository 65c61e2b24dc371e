//! PURE. What an informer knows, and what each answer of the server changes.

use super::decode::{self, Bad, Event, Item};
use crate::api::Change;
use crate::model::{NamespacedName, Object};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The last known set and its version.
#[derive(Debug)]
pub struct State<T> {
    /// Shared with the readers; kept so that an object that can no longer be decoded stays as it was instead of
    /// looking deleted.
    known: BTreeMap<NamespacedName, Arc<T>>,
    /// Where to watch from; `None`: list first.
    version: Option<Box<str>>,
}

/// What one event of a watch means.
#[derive(Debug)]
pub enum Outcome<T> {
    /// Tell the reader.
    Change(Change<T>),
    /// Only the version moved on.
    Nothing,
    /// The object cannot be decoded.
    Skipped(Bad),
    /// The version is gone: list again.
    Relist,
    /// The server reported something else, or the line makes no sense.
    Failed(String),
}

impl<T: Object> Default for State<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Object> State<T> {
    /// Nothing is known yet.
    pub fn new() -> Self {
        Self {
            known: BTreeMap::new(),
            version: None,
        }
    }

    /// Where to watch from; `None` when the next thing to do is a list.
    pub fn version(&self) -> Option<Box<str>> {
        self.version.clone()
    }

    /// The server no longer has our version.
    pub fn expired(&mut self) {
        self.version = None;
    }

    /// Takes a complete list.
    pub fn listed(&mut self, items: Vec<Item<T>>, version: Box<str>) -> (Change<T>, Vec<Bad>) {
        let mut known = BTreeMap::new();
        let mut skipped = Vec::new();
        for item in items {
            match item {
                Ok(object) => {
                    known.insert(object.meta().key(), Arc::new(object));
                }
                Err(bad) => {
                    if let Some(last) = self.known.get(&bad.key) {
                        known.insert(bad.key.clone(), last.clone());
                    }
                    skipped.push(bad);
                }
            }
        }
        self.known = known;
        self.version = Some(version);
        (Change::Replaced(self.known.values().cloned().collect()), skipped)
    }

    /// Takes one line of a watch.
    pub fn event(&mut self, line: &str) -> Outcome<T> {
        let event: Event<'_> = match serde_json::from_str(line) {
            Ok(event) => event,
            Err(error) => return Outcome::Failed(format!("watch event: {error}")),
        };
        if event.kind == "ERROR" {
            return self.error(&event);
        }
        let head = decode::head(event.object).metadata;
        if !head.resource_version.is_empty() {
            self.version = Some(head.resource_version.clone());
        }
        match event.kind {
            "ADDED" | "MODIFIED" => match decode::item::<T>(event.object) {
                Ok(object) => {
                    let object = Arc::new(object);
                    self.known.insert(object.meta().key(), object.clone());
                    Outcome::Change(Change::Applied(object))
                }
                Err(bad) => Outcome::Skipped(bad),
            },
            "DELETED" => {
                let last = self.known.remove(&head.key());
                match (decode::item::<T>(event.object), last) {
                    (Ok(object), _) => Outcome::Change(Change::Deleted(Arc::new(object))),
                    (Err(_), Some(last)) => Outcome::Change(Change::Deleted(last)),
                    // Never known, so nobody was told of it.
                    (Err(_), None) => Outcome::Nothing,
                }
            }
            _ => Outcome::Nothing,
        }
    }

    fn error(&mut self, event: &Event<'_>) -> Outcome<T> {
        let status: decode::Status = serde_json::from_str(event.object.get()).unwrap_or_default();
        // Whatever it is, the watch is over; only a list is sure to give a version that works.
        self.expired();
        if status.code == 410 || matches!(&*status.reason, "Expired" | "Gone") {
            return Outcome::Relist;
        }
        Outcome::Failed(format!(
            "watch: {} {}: {}",
            status.code, status.reason, status.message
        ))
    }
}

#[cfg(test)]
mod tests;
