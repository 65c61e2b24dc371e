//! Events about objects, told to the API server without ever holding up the teller.
//!
//! `emit` puts an Event into a bounded queue; one task posts them. A repeated Event is counted up on the API server
//! instead of being posted again ([`correlate`]); an object that talks too much is cut short; what does not fit the
//! queue is dropped and counted.

pub mod correlate;

use super::client::{Call, Client, STRATEGIC_MERGE};
use super::{Error, EventType, Events, ObjectRef};
use crate::task::DrainSignal;
use correlate::{Correlator, Step};
use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Events that may wait to be posted.
const QUEUE: usize = 1000;
/// How often a post is tried while the API server is away, and how long after each other.
const TRIES: u32 = 12;
const TRY_EVERY: Duration = Duration::from_secs(10);
/// Longest message, in bytes.
const MAX_MESSAGE: usize = 1024;

/// Who tells.
#[derive(Clone, Debug)]
pub struct Source {
    /// As `kubelet`.
    pub component: &'static str,
    /// The node's name.
    pub host: Arc<str>,
}

/// Records Events. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Recorder {
    queue: mpsc::Sender<Event>,
    dropped: Counter,
}

/// One Event as it was told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Event {
    /// What it is about.
    pub object: ObjectRef,
    /// Normal or Warning.
    pub kind: EventType,
    /// CamelCase reason.
    pub reason: Box<str>,
    /// Words for people.
    pub message: String,
    /// When it happened.
    pub at: Timestamp,
}

impl Recorder {
    /// A recorder, and the poster to run. The poster ends when all clones of the recorder are gone, or when the drain
    /// has begun and the queue is empty.
    pub fn new(
        client: Client,
        source: Source,
        drain: DrainSignal,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (recorder, events) = Self::queue();
        let poster = Poster {
            client,
            source,
            correlator: Correlator::new(),
            drain,
        };
        (recorder, poster.run(events))
    }

    fn queue() -> (Self, mpsc::Receiver<Event>) {
        let (queue, events) = mpsc::channel(QUEUE);
        (
            Self {
                queue,
                dropped: Counter::default(),
            },
            events,
        )
    }

    /// Counts Events that did not fit the queue; to be registered as a metric.
    pub fn dropped(&self) -> Counter {
        self.dropped.clone()
    }
}

impl Events for Recorder {
    fn emit(&self, object: &ObjectRef, kind: EventType, reason: &str, mut message: String) {
        tracing::debug!(kind = %object.kind, object = %object.key, reason, message, "event");
        let whole = (0..=MAX_MESSAGE).rev().find(|end| message.is_char_boundary(*end));
        message.truncate(whole.unwrap_or_default());
        let event = Event {
            object: object.clone(),
            kind,
            reason: reason.into(),
            message,
            at: Timestamp::now(),
        };
        if self.queue.try_send(event).is_err() {
            self.dropped.inc();
        }
    }
}

struct Poster {
    client: Client,
    source: Source,
    correlator: Correlator,
    drain: DrainSignal,
}

impl Poster {
    async fn run(mut self, mut events: mpsc::Receiver<Event>) {
        loop {
            let next = tokio::select! {
                biased;
                event = events.recv() => event,
                () = self.drain.wait() => None,
            };
            let Some(event) = next else { return };
            if let Err(error) = self.post(&event).await {
                tracing::debug!(object = %event.object.key, reason = %event.reason, %error, "event was not recorded");
                self.correlator.forget(&event);
            }
        }
    }

    async fn post(&mut self, event: &Event) -> Result<(), Error> {
        let namespace = namespace(&event.object);
        let events = format!("/api/v1/namespaces/{namespace}/events");
        match self.correlator.next(event) {
            Step::Suppress => Ok(()),
            Step::Create(series) => {
                self.send(Call::post(events, body(event, &series, &self.source)))
                    .await
            }
            Step::Count(series) => {
                let patch = json!({"count": series.count, "lastTimestamp": seconds(event.at), "message": event.message});
                match self
                    .send(Call::patch(
                        format!("{events}/{}", series.name),
                        STRATEGIC_MERGE,
                        patch,
                    ))
                    .await
                {
                    // Events live for an hour; then the count goes on in a new one.
                    Err(error) if error.is_not_found() => {
                        self.send(Call::post(events, body(event, &series, &self.source)))
                            .await
                    }
                    result => result,
                }
            }
        }
    }

    /// Sends, and tries again while the API server is away, unless the process is ending.
    async fn send(&self, call: Call) -> Result<(), Error> {
        let mut tries = 1;
        loop {
            let error = match self.client.call_raw(call.clone()).await {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            let away = match error.code() {
                None => error.is_away(),
                Some(code) => code == 429 || code >= 500,
            };
            if !away || tries >= TRIES {
                return Err(error);
            }
            tries += 1;
            if self
                .drain
                .unless_draining(tokio::time::sleep(TRY_EVERY))
                .await
                .is_none()
            {
                return Err(error);
            }
        }
    }
}

/// Events about cluster-scoped objects live in `default`.
fn namespace(object: &ObjectRef) -> &str {
    if object.key.namespace.is_empty() {
        "default"
    } else {
        &object.key.namespace
    }
}

/// `metav1.Time`: whole seconds.
fn seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn body(event: &Event, series: &correlate::Series, source: &Source) -> Value {
    let object = &event.object;
    let mut about = json!({
        "kind": object.kind, "apiVersion": object.api_version, "name": object.key.name, "uid": object.uid,
    });
    for (field, value) in [
        ("namespace", &*object.key.namespace),
        ("fieldPath", &*object.field_path),
    ] {
        if !value.is_empty() {
            about[field] = value.into();
        }
    }
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": series.name, "namespace": namespace(object)},
        "involvedObject": about,
        "reason": event.reason,
        "message": event.message,
        "type": match event.kind { EventType::Normal => "Normal", EventType::Warning => "Warning" },
        "source": {"component": source.component, "host": source.host},
        "reportingComponent": source.component,
        "reportingInstance": source.host,
        "firstTimestamp": seconds(series.first),
        "lastTimestamp": seconds(event.at),
        "count": series.count,
    })
}

#[cfg(test)]
mod tests;
