//! Logs and metrics, and the small local server that shows them.
//!
//! Nothing here decides anything: components register what they count ([`Metrics`]) and what they know
//! ([`DebugState`]); the server only reads.

pub mod server;
pub mod text;

use prometheus_client::registry::Registry;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

const NOT_POISONED: &str = "registering and encoding do not panic";

/// What is logged, to be changed while we run.
static LEVELS: OnceLock<reload::Handle<Targets, tracing_subscriber::Registry>> = OnceLock::new();

/// Starts logging to standard error, once per process; a second call changes nothing.
pub fn init_logs(levels: Targets, json: bool) {
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let (levels, handle) = reload::Layer::new(levels);
    let registry = tracing_subscriber::registry().with(levels);
    let result = if json {
        registry.with(lines.json().flatten_event(true)).try_init()
    } else {
        let colour = std::io::IsTerminal::is_terminal(&std::io::stderr());
        registry.with(lines.with_ansi(colour)).try_init()
    };
    // The only error is that a subscriber is there already; then it keeps working.
    if result.is_ok() {
        drop(LEVELS.set(handle));
    }
}

/// Changes what is logged from now on; `false` when [`init_logs`] has not started the log.
pub fn set_levels(levels: Targets) -> bool {
    LEVELS.get().is_some_and(|handle| handle.reload(levels).is_ok())
}

/// The process's metrics. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
}

impl Metrics {
    /// No metrics yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers metrics; keep a clone of each to count with. Counter names get `_total` appended.
    pub fn register<T>(&self, register: impl FnOnce(&mut Registry) -> T) -> T {
        register(&mut self.registry.lock().expect(NOT_POISONED))
    }

    /// All metrics as OpenMetrics text.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        let registry = self.registry.lock().expect(NOT_POISONED);
        prometheus_client::encoding::text::encode(&mut text, &registry)
            .expect("writing to a String cannot fail");
        text
    }
}

type Dump = Box<dyn Fn() -> Value + Send + Sync>;

/// What components tell about themselves at `/debug/state`. Cheap to clone.
#[derive(Clone, Default)]
pub struct DebugState {
    dumps: Arc<Mutex<BTreeMap<&'static str, Dump>>>,
}

impl fmt::Debug for DebugState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.dumps.lock().expect(NOT_POISONED).keys())
            .finish()
    }
}

impl DebugState {
    /// Nothing to tell yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// `dump` is called for every request; it must be quick and must not block on IO.
    pub fn register(&self, component: &'static str, dump: impl Fn() -> Value + Send + Sync + 'static) {
        self.dumps
            .lock()
            .expect(NOT_POISONED)
            .insert(component, Box::new(dump));
    }

    /// Everything, by component, sorted.
    pub fn dump(&self) -> Value {
        let dumps = self.dumps.lock().expect(NOT_POISONED);
        Value::Object(
            dumps
                .iter()
                .map(|(name, dump)| ((*name).to_owned(), dump()))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests;
