//! How long the node took from the machine's boot to its first readiness; each step counts once, and only for a Node
//! that this process has registered anew.

use super::KubeletMetrics;
use jiff::Timestamp;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};

type Seconds = Gauge<f64, AtomicU64>;

pub(super) struct Startup {
    before_us: Seconds,
    before_registration: Seconds,
    registration: Seconds,
    after_registration: Seconds,
    whole: Seconds,
    /// When we started.
    start: Timestamp,
    /// Protects the steps that are done.
    steps: Mutex<Steps>,
}

#[derive(Default)]
struct Steps {
    tried: Option<Timestamp>,
    registered: Option<Timestamp>,
    ready: bool,
}

impl Default for Startup {
    fn default() -> Self {
        Self {
            before_us: Seconds::default(),
            before_registration: Seconds::default(),
            registration: Seconds::default(),
            after_registration: Seconds::default(),
            whole: Seconds::default(),
            start: Timestamp::now(),
            steps: Mutex::default(),
        }
    }
}

/// Not negative, whatever the clock did.
fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}

impl Startup {
    #[rustfmt::skip]
    pub(super) fn register(&self, all: &mut Registry) {
        all.register("kubelet_node_startup_duration_seconds", "[ALPHA] Duration in seconds of node startup in total.", self.whole.clone());
        all.register("kubelet_node_startup_post_registration_duration_seconds", "[ALPHA] Duration in seconds of node startup after registration.", self.after_registration.clone());
        all.register("kubelet_node_startup_pre_kubelet_duration_seconds", "[ALPHA] Duration in seconds of node startup before kubelet starts.", self.before_us.clone());
        all.register("kubelet_node_startup_pre_registration_duration_seconds", "[ALPHA] Duration in seconds of node startup before registration.", self.before_registration.clone());
        all.register("kubelet_node_startup_registration_duration_seconds", "[ALPHA] Duration in seconds of node startup during registration.", self.registration.clone());
    }

    fn steps(&self) -> std::sync::MutexGuard<'_, Steps> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KubeletMetrics {
    /// The Node's registration is tried.
    pub fn registering(&self, now: Timestamp) {
        self.0.startup.steps().tried.get_or_insert(now);
    }

    /// The Node was made by us; the machine has run since `booted`.
    pub fn registered(&self, booted: Timestamp, now: Timestamp) {
        let startup = &self.0.startup;
        let mut steps = startup.steps();
        let Some(tried) = steps.tried else { return };
        if steps.registered.is_none() {
            steps.registered = Some(now);
            startup.before_us.set(seconds(booted, startup.start));
            startup.before_registration.set(seconds(startup.start, tried));
            startup.registration.set(seconds(tried, now));
        }
    }

    /// The Node is ready, as the API server knows now.
    pub fn node_ready(&self, booted: Timestamp, now: Timestamp) {
        let startup = &self.0.startup;
        let mut steps = startup.steps();
        let Some(registered) = steps.registered else {
            return;
        };
        if !std::mem::replace(&mut steps.ready, true) {
            startup.after_registration.set(seconds(registered, now));
            startup.whole.set(seconds(booted, now));
        }
    }
}
