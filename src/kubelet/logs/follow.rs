//! A log as a stream of pieces: to its end, or on and on as the container writes.
//!
//! The stream is all there is of a request: no task, one piece in memory, and when it is dropped its files and its
//! watch are closed with it. Nothing is read before the piece before was taken. Rotation is followed by what the
//! directory holds; notifications of the kernel only say when to look, and once a second we look without them.

use super::read::{End, Reader, Turn};
use crate::kubelet::volume::blocking;
use crate::sys::watch::Watch;
use crate::task::DrainSignal;
use async_trait::async_trait;
use bytes::Bytes;
use futures::Stream;
use std::collections::VecDeque;
use std::io;
use std::time::Duration;
use tokio::time::Instant;

/// Pause between two looks at a log when nothing tells of a change; also how long a rotated log must be quiet before
/// we believe that the runtime has left it, when it was not seen to close it.
const LOOK: Duration = Duration::from_secs(1);
/// Looks between two questions to the runtime whether the container runs.
const ASK: u32 = 10;
/// Names of closed files that are remembered.
const CLOSED: usize = 8;

/// The container that writes a log.
#[async_trait]
pub trait Writer: Send + Sync {
    /// Waits for a reason to ask whether it runs.
    async fn news(&mut self);
    /// Whether it runs, and so may write more.
    async fn runs(&self) -> bool;
}

/// How a log is followed.
struct Following {
    writer: Box<dyn Writer>,
    /// Without one the log is looked at once a second.
    watch: Option<Watch>,
    /// Files that a writer has closed lately.
    closed: VecDeque<String>,
    /// Since when the file is rotated and did not grow.
    rotated: Option<Instant>,
    /// The container has ended: what is there now is all there will be.
    ended: bool,
    /// It was asked whether the container runs, and how many looks ago.
    asked: Option<u32>,
}

struct State {
    /// `None` while it is read from.
    reader: Option<Reader>,
    following: Option<Following>,
    drain: DrainSignal,
    said_garbage: bool,
}

/// A log to its end; with a writer, to the writer's end. Ends early with the drain.
pub fn stream(
    reader: Reader,
    writer: Option<Box<dyn Writer>>,
    drain: DrainSignal,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let following = writer.map(|writer| {
        let watch = reader.place().dir.watch();
        // Too many watches on the machine, as a rule.
        let watch = watch.inspect_err(|error| tracing::debug!(%error, "log is followed without a watch"));
        Following::new(writer, watch.ok())
    });
    State::new(reader, following, drain).stream()
}

impl State {
    fn new(reader: Reader, following: Option<Following>, drain: DrainSignal) -> Self {
        Self {
            reader: Some(reader),
            following,
            drain,
            said_garbage: false,
        }
    }

    fn stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send {
        futures::stream::unfold(self, |mut state| async move {
            let piece = state.next().await.transpose()?;
            Some((piece, state))
        })
    }

    /// The next piece; none after the last one.
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        while !self.drain.is_draining() {
            let piece = self.work(Reader::read).await?;
            self.say_garbage();
            if piece.moved
                && let Some(following) = &mut self.following
            {
                following.rotated = None;
            }
            if !piece.bytes.is_empty() {
                return Ok(Some(piece.bytes.into()));
            }
            let go_on = match piece.end {
                End::More => true,
                End::Done => false,
                End::Eof => self.wait().await?,
            };
            if !go_on {
                break;
            }
        }
        Ok(None)
    }

    /// At the end of a file: true when it is worth reading again.
    async fn wait(&mut self) -> io::Result<bool> {
        let Some(following) = &mut self.following else {
            return Ok(false);
        };
        let closed = std::mem::take(&mut following.closed);
        let quiet = following.rotated.is_some_and(|since| since.elapsed() >= LOOK);
        let believed = quiet || following.ended;
        let (turn, closed) = self
            .work(move |reader| {
                let seen = |name: Option<&str>| name.is_none_or(|name| closed.iter().any(|c| c == name));
                let turn = reader.turn(|name| believed || seen(name))?;
                Ok((turn, closed))
            })
            .await?;
        let Some(following) = &mut self.following else {
            return Ok(false);
        };
        following.closed = closed;
        match turn {
            Turn::Next => {
                following.rotated = None;
                return Ok(true);
            }
            Turn::Rotated if !following.ended => {
                following.rotated.get_or_insert_with(Instant::now);
            }
            Turn::Same | Turn::Rotated if following.ended => return Ok(false),
            Turn::Same | Turn::Rotated => {}
        }
        Ok(self.drain.unless_draining(following.wait()).await.is_some())
    }

    /// Work on the reader that may wait for the disk.
    async fn work<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Reader) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let mut reader = self
            .reader
            .take()
            .ok_or_else(|| io::Error::other("an earlier read was given up"))?;
        let (reader, result) = blocking(move || {
            let result = work(&mut reader);
            Ok((reader, result))
        })
        .await?;
        self.reader = Some(reader);
        result
    }

    fn say_garbage(&mut self) {
        let garbage = self.reader.as_ref().map_or(0, Reader::garbage);
        if garbage > 0 && !std::mem::replace(&mut self.said_garbage, true) {
            let log = self.reader.as_ref().map(|reader| &*reader.place().name);
            tracing::warn!(
                log,
                "log has lines that are not in the runtime's format; they are left out"
            );
        }
    }
}

impl Following {
    fn new(writer: Box<dyn Writer>, watch: Option<Watch>) -> Self {
        Self {
            writer,
            watch,
            closed: VecDeque::new(),
            rotated: None,
            ended: false,
            asked: None,
        }
    }

    /// Waits for anything that may have changed the log or ended the container.
    async fn wait(&mut self) {
        let ask = match &mut self.asked {
            None => true,
            Some(looks) if *looks >= ASK => true,
            Some(looks) => {
                let Self { watch, writer, .. } = self;
                tokio::select! {
                    changed = changed(watch) => {
                        for name in changed {
                            self.closed.push_back(name);
                        }
                        self.closed.drain(..self.closed.len().saturating_sub(CLOSED));
                        false
                    }
                    () = writer.news() => true,
                    () = tokio::time::sleep(LOOK) => {
                        *looks += 1;
                        false
                    }
                }
            }
        };
        if ask {
            self.asked = Some(0);
            // The file is read once more after this: what the container wrote before its end is in it.
            self.ended = !self.writer.runs().await;
        }
    }
}

/// Waits for a change; for ever without a watch. A watch that fails is given up.
async fn changed(watch: &mut Option<Watch>) -> Vec<String> {
    let Some(working) = watch else {
        return std::future::pending().await;
    };
    match working.changed().await {
        Ok(closed) => closed,
        Err(error) => {
            tracing::debug!(%error, "log is followed without a watch from now on");
            *watch = None;
            Vec::new()
        }
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("reader", &self.reader)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
