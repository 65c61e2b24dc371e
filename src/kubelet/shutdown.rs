//! Graceful node shutdown: when the machine goes down, Pods end in the order of their priorities before it does.
//!
//! `plan` groups the Pods and `record` remembers begin and end, both pure; `manage` listens to logind and acts. While a
//! shutdown is under way the Node is not ready and new Pods are turned away. The end of the agent itself is none of
//! this: Pods run on.

pub mod manage;
pub mod plan;
pub mod record;

use crate::sys::logind::Logind;
use std::fmt;
use std::sync::Arc;
use tokio::sync::watch;

/// `status.reason` of a Pod that has ended for this.
pub const REASON: &str = "Terminated";
/// Its `status.message`, and that of its `DisruptionTarget` condition.
pub const MESSAGE: &str = "Pod was terminated in response to imminent node shutdown.";
/// Why the Node is not ready.
pub const NOT_READY: &str = "node is shutting down";

/// Whether the machine goes down, and who says so.
#[derive(Clone)]
pub struct Power {
    /// The machine's own service for that.
    pub logind: Arc<dyn Logind>,
    /// A shutdown is under way.
    pub down: watch::Sender<bool>,
}

impl fmt::Debug for Power {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Power")
            .field("down", &self.down)
            .finish_non_exhaustive()
    }
}

impl Power {
    /// As far as is known the machine stays up.
    pub fn new(logind: Arc<dyn Logind>) -> Self {
        Self {
            logind,
            down: watch::Sender::new(false),
        }
    }

    /// A shutdown is under way.
    pub fn goes_down(&self) -> bool {
        *self.down.borrow()
    }
}
