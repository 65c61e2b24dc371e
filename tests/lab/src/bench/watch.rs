//! When things became true at the API server: a watch whose events are stamped as they arrive.
//!
//! `kubectl get --raw` passes the server's bytes on as they come, a JSON object a line, which `kubectl proxy` would
//! hold back for up to 200 ms.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::cluster::Cluster;

/// One event.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) at: Instant,
    pub(super) gone: bool,
    pub(super) object: Arc<Value>,
}

#[derive(Default)]
struct Log {
    events: Mutex<Vec<Event>>,
    grown: Condvar,
}

/// A watch on one collection; its process ends with it.
pub(super) struct Watch {
    log: Arc<Log>,
    kubectl: Child,
}

impl Watch {
    /// Watches a collection from its present state, which comes first.
    pub(super) fn start(cluster: &Cluster, collection: &str) -> Result<Self> {
        let path = format!("{collection}?watch=1&timeoutSeconds=86400");
        let mut command = cluster.client().command(&["get", "--raw", &path]);
        let mut kubectl = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("start kubectl")?;
        let output = kubectl.stdout.take().context("kubectl has no output")?;
        let log = Arc::<Log>::default();
        let to = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                let (at, Ok(line)) = (Instant::now(), line) else {
                    return;
                };
                let Ok(mut event) = serde_json::from_str::<Value>(&line) else {
                    return;
                };
                let gone = event["type"] == "DELETED";
                let object = Arc::new(event["object"].take());
                lock(&to.events).push(Event { at, gone, object });
                to.grown.notify_all();
            }
        });
        Ok(Self { log, kubectl })
    }

    /// How many events there are: a place to look on from.
    pub(super) fn mark(&self) -> usize {
        lock(&self.log.events).len()
    }

    /// All events from a place on.
    pub(super) fn since(&self, mark: usize) -> Vec<Event> {
        lock(&self.log.events).get(mark..).unwrap_or_default().to_vec()
    }

    /// The first event from a place on that `is` what is waited for.
    pub(super) fn first(
        &self,
        what: &str,
        mark: usize,
        limit: Duration,
        mut is: impl FnMut(&Event) -> bool,
    ) -> Result<Event> {
        let end = Instant::now() + limit;
        let mut next = mark;
        let mut events = lock(&self.log.events);
        loop {
            let fresh = events.get(next..).unwrap_or_default();
            if let Some(found) = fresh.iter().find(|event| is(event)) {
                return Ok(found.clone());
            }
            next = events.len();
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("{what}: not within {} s", limit.as_secs());
            }
            let waited = self.log.grown.wait_timeout(events, left);
            events = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.kubectl.kill().ok();
        self.kubectl.wait().ok();
    }
}

fn lock(events: &Mutex<Vec<Event>>) -> MutexGuard<'_, Vec<Event>> {
    events.lock().unwrap_or_else(PoisonError::into_inner)
}
