//! Keeps a reader up to date with one kind of object, for ever.
//!
//! List, then watch from the list's version; a watch that ends is taken up where it was (bookmarks move the version
//! on), a version the server no longer has means listing again. Failures are retried with backoff and jitter. The
//! decisions are in [`state`] and [`decode`], which do no IO.

pub mod decode;
pub mod state;

use super::client::{Call, Client};
use super::{Change, Error};
use crate::model::Object;
use crate::task::backoff::jitter;
use crate::task::{Backoff, DrainSignal, ReadyGuard, SayOnce};
use decode::{Bad, Page};
use futures::TryStreamExt;
use state::{Outcome, State};
use std::fmt::Write;
use std::pin::pin;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Changes a slow reader may be behind before the watch waits for it.
const QUEUE: usize = 64;
/// Objects per page of a list.
const PAGE: u32 = 500;
/// A watch is ended by the server after this many seconds, or up to twice as many, so that they do not all end at once.
const WATCH_SECONDS: f64 = 240.0;
/// And is given up when nothing at all came for this much longer.
const WATCH_SLACK: Duration = Duration::from_secs(30);
/// A watch that ends sooner than this without an event counts as a failure, so that it cannot spin.
const SHORT_WATCH: Duration = Duration::from_secs(5);

/// Which objects.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// As `/api/v1/pods`.
    pub path: String,
    /// As `spec.nodeName=worker-1`; empty for all.
    pub field_selector: String,
    /// Label selector; empty for all.
    pub label_selector: String,
}

impl Query {
    /// All objects of a kind.
    pub fn all(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            ..Self::default()
        }
    }

    /// Those that match a field selector.
    pub fn with_fields(path: impl Into<String>, field_selector: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            field_selector: field_selector.into(),
            ..Self::default()
        }
    }

    fn url(&self, parameters: &[(&str, &str)]) -> String {
        let selectors = [
            ("fieldSelector", &*self.field_selector),
            ("labelSelector", &*self.label_selector),
        ];
        let mut url = self.path.clone();
        let mut separator = '?';
        for (name, value) in selectors
            .iter()
            .chain(parameters)
            .filter(|(_, value)| !value.is_empty())
        {
            url.push(separator);
            separator = '&';
            url.push_str(name);
            url.push('=');
            for byte in value.bytes() {
                if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
                    url.push(char::from(byte));
                } else {
                    write!(url, "%{byte:02X}").expect("writing to a String cannot fail");
                }
            }
        }
        url
    }
}

/// Starts an informer. The first message is the full list, and `listed` is done once it is sent; the informer ends when
/// the receiver is dropped or the drain begins.
pub fn watch<T: Object>(
    client: Client,
    query: Query,
    drain: DrainSignal,
    listed: ReadyGuard,
) -> mpsc::Receiver<Change<T>> {
    let (out, changes) = mpsc::channel(QUEUE);
    let informer = Informer::<T> {
        client,
        query,
        state: State::new(),
        out,
        skipped: SayOnce::new(Duration::from_secs(60)),
        unreachable: false,
        listed: Some(listed),
    };
    tokio::spawn(async move { drain.unless_draining(informer.run()).await });
    changes
}

struct Informer<T> {
    client: Client,
    query: Query,
    state: State<T>,
    out: mpsc::Sender<Change<T>>,
    /// Limits the warnings about objects that cannot be decoded.
    skipped: SayOnce,
    /// The last attempt found no server.
    unreachable: bool,
    /// Done when the first list is in.
    listed: Option<ReadyGuard>,
}

/// Why a list or watch is over.
enum End {
    /// The reader is gone.
    NoReader,
    /// Try again, from where the state says.
    Again(Option<Error>),
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        Self::Again(Some(error))
    }
}

impl<T: Object> Informer<T> {
    async fn run(mut self) {
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
        let doing = format!("watching {}", self.query.path);
        loop {
            let begin = Instant::now();
            let result = match self.state.version() {
                None => self.list().await,
                Some(version) => self.watch(&version, &mut backoff).await,
            };
            match result {
                Ok(()) => backoff.reset(),
                Err(End::NoReader) => return,
                Err(End::Again(error)) => {
                    if let Some(error) = error {
                        self.unreachable |= error.is_away();
                        self.client.complain(&doing, &error);
                    } else if begin.elapsed() >= SHORT_WATCH {
                        backoff.reset();
                        continue;
                    }
                    tokio::time::sleep(backoff.fail()).await;
                }
            }
        }
    }

    async fn list(&mut self) -> std::result::Result<(), End> {
        let mut items = Vec::new();
        let mut next = String::new();
        let page_size = PAGE.to_string();
        loop {
            let url = self.query.url(&[("limit", &page_size), ("continue", &next)]);
            let bytes = self.client.call_raw(Call::list(url)).await?;
            let page: Page<T> = decode::page(&bytes).map_err(|cause| Error::Decode {
                verb: "GET",
                path: self.query.path.clone(),
                cause,
            })?;
            self.answered();
            items.extend(page.items);
            if page.next.is_empty() {
                let (change, bad) = self.state.listed(items, page.version);
                for bad in &bad {
                    self.warn(bad);
                }
                self.out.send(change).await.map_err(|_| End::NoReader)?;
                if let Some(listed) = self.listed.take() {
                    listed.done();
                }
                return Ok(());
            }
            next = page.next.into();
        }
    }

    async fn watch(&mut self, version: &str, backoff: &mut Backoff) -> std::result::Result<(), End> {
        let life = Duration::from_secs_f64(WATCH_SECONDS * (1.0 + jitter()));
        let seconds = life.as_secs().to_string();
        let url = self.query.url(&[
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", version),
            ("timeoutSeconds", &seconds),
        ]);
        let lines = match self.client.watch_lines(&url, life + WATCH_SLACK).await {
            Ok(lines) => lines,
            Err(error) => {
                if error.code() == Some(410) {
                    self.state.expired();
                    return Err(End::Again(None));
                }
                return Err(error.into());
            }
        };
        self.answered();
        let mut lines = pin!(lines);
        while let Some(line) = lines.try_next().await? {
            match self.state.event(&line) {
                Outcome::Change(change) => {
                    backoff.reset();
                    self.out.send(change).await.map_err(|_| End::NoReader)?;
                }
                Outcome::Nothing => backoff.reset(),
                Outcome::Skipped(bad) => self.warn(&bad),
                Outcome::Relist => return Err(End::Again(None)),
                Outcome::Failed(cause) => {
                    return Err(Error::Decode {
                        verb: "GET",
                        path: self.query.path.clone(),
                        cause,
                    }
                    .into());
                }
            }
        }
        Err(End::Again(None))
    }

    /// The server answered: an outage this informer saw is over.
    fn answered(&mut self) {
        if std::mem::take(&mut self.unreachable) {
            self.client.recovered();
        }
    }

    fn warn(&mut self, bad: &Bad) {
        let text = bad.to_string();
        if self.skipped.say(&text, Instant::now()).is_some() {
            tracing::warn!(kind = %self.query.path, "{text}; it is left as it was, others go on");
        }
    }
}

#[cfg(test)]
mod tests;
