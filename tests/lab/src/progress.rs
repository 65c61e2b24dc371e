//! What a bring-up tells the person who waits.

use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

/// One step of the bring-up, as it begins or becomes true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Something that takes a while has begun.
    Doing(String),
    /// Something has become true, and how long it took.
    Done(String, Duration),
}

/// Where threads of the bring-up report to.
#[derive(Debug, Clone)]
pub(crate) struct Reporter(pub(crate) Sender<Step>);

impl Reporter {
    pub(crate) fn doing(&self, what: impl Into<String>) {
        // Nobody listens any more once the bring-up has failed.
        let _ = self.0.send(Step::Doing(what.into()));
    }

    pub(crate) fn done(&self, what: impl Into<String>, since: Instant) {
        let _ = self.0.send(Step::Done(what.into(), since.elapsed()));
    }
}
