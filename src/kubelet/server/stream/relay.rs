//! A session under way: two connections, and the two halves that translate between them.
//!
//! Memory is bounded: of each side one buffer is read, and nothing more until what became of it is written. A client
//! that reads slowly thus holds back its own session's runtime, and a command that does not read its input holds back
//! the client. Answers to pings wait for their turn, a few of them.

use super::copy::{BUFFER, LINGER, Moved};
use super::translate::{Error, Flow, Half};
use bytes::{Bytes, BytesMut};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Answers of one side that wait until its other half has written what it is at; those beyond are not given.
const ANSWERS: usize = 8;

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The runtime has said its last.
    Runtime,
    /// The client has said its last.
    Client,
    /// The client cannot be reached any more.
    Unreachable,
    /// Nothing has moved for the idle time.
    Idle,
    /// One of them does not keep to its protocol.
    Broken(Error),
}

/// Runs a session until it is over; both connections are closed when this returns. `hello` is for the client.
pub(super) async fn relay(
    client: impl AsyncRead + AsyncWrite,
    runtime: impl AsyncRead + AsyncWrite,
    (up, down): (impl Half, impl Half),
    hello: BytesMut,
    idle: Duration,
) -> End {
    let (client_read, client_write) = tokio::io::split(client);
    let (runtime_read, runtime_write) = tokio::io::split(runtime);
    let (to_client, for_client) = mpsc::channel(ANSWERS);
    let (to_runtime, for_runtime) = mpsc::channel(ANSWERS);
    let moved = Moved::now();
    let mut up = Way::new(client_read, up, runtime_write, to_client, for_runtime);
    let mut down = Way::new(runtime_read, down, client_write, to_runtime, for_client);
    down.out.bytes = hello;
    let end = tokio::select! {
        () = moved.silence(idle) => End::Idle,
        end = up.run(&moved, Deaf::IsLeftAlone) => match end {
            Ok(()) => End::Client,
            Err(Stop::Broken(error)) => End::Broken(error),
            Err(Stop::Io) => End::Client,
        },
        end = down.run(&moved, Deaf::EndsIt) => match end {
            Ok(()) => End::Runtime,
            Err(Stop::Broken(error)) => End::Broken(error),
            Err(Stop::Io) => End::Unreachable,
        },
    };
    let close = async {
        match end {
            // Closing at once, with bytes of the client unread, could cost it the last words.
            End::Runtime => tokio::join!(down.out.close(&moved), discard(&mut up.from)).1,
            End::Client | End::Broken(_) => {
                while let Ok(answer) = down.aside.try_recv() {
                    down.out.bytes.extend_from_slice(&answer);
                }
                if let End::Broken(error) = end {
                    error.tell(&mut down.out.bytes);
                }
                let runtime = async { tokio::join!(up.out.close(&moved), discard(&mut down.from)).1 };
                tokio::join!(down.out.close(&moved), runtime).1
            }
            End::Unreachable | End::Idle => {}
        }
    };
    // Whoever does not hang up in time is hung up on.
    timeout(LINGER, close).await.ok();
    end
}

/// One direction.
struct Way<R, H, W> {
    from: R,
    half: H,
    out: Out<W>,
    /// Where answers for `from`'s own side go.
    answers: mpsc::Sender<Bytes>,
    /// What the other direction wants said here.
    aside: mpsc::Receiver<Bytes>,
}

/// What it means that a side takes no more bytes.
#[derive(Clone, Copy)]
enum Deaf {
    /// It may still speak; what it is told is forgotten.
    IsLeftAlone,
    EndsIt,
}

/// Why a direction stops before its side has ended.
enum Stop {
    Io,
    Broken(Error),
}

impl<R: AsyncRead + Unpin, H: Half, W: AsyncWrite + Unpin> Way<R, H, W> {
    fn new(from: R, half: H, to: W, answers: mpsc::Sender<Bytes>, aside: mpsc::Receiver<Bytes>) -> Self {
        let out = Out {
            to,
            bytes: BytesMut::new(),
            counts: false,
            deaf: false,
        };
        Self {
            from,
            half,
            out,
            answers,
            aside,
        }
    }

    /// Until its side has said its last, and that is written.
    async fn run(&mut self, moved: &Moved, deaf: Deaf) -> Result<(), Stop> {
        let mut buffer = vec![0; BUFFER];
        let mut back = BytesMut::new();
        loop {
            match (self.out.write(moved).await, deaf) {
                (Ok(()), _) => {}
                (Err(_), Deaf::IsLeftAlone) => self.out.deaf = true,
                (Err(_), Deaf::EndsIt) => return Err(Stop::Io),
            }
            let count = tokio::select! {
                Some(answer) = self.aside.recv() => {
                    self.out.bytes.extend_from_slice(&answer);
                    continue;
                }
                // An error of a connection is its end.
                read = self.from.read(&mut buffer) => read.unwrap_or(0),
            };
            let flow = match count {
                0 => {
                    self.half.end(&mut self.out.bytes);
                    Flow::Over
                }
                _ => {
                    let taken = self
                        .half
                        .take(&mut buffer[..count], &mut self.out.bytes, &mut back);
                    self.out.counts = !self.out.bytes.is_empty();
                    taken.map_err(Stop::Broken)?
                }
            };
            if self.out.counts {
                moved.touch();
            }
            if !back.is_empty() {
                // Whoever pings more often than it listens misses answers.
                self.answers.try_send(back.split().freeze()).ok();
            }
            if flow == Flow::Over {
                return self.out.write(moved).await.map_err(|_| Stop::Io);
            }
        }
    }
}

/// What is to be written to a side. Writing may be broken off and gone on with.
struct Out<W> {
    to: W,
    bytes: BytesMut,
    /// They are more than answers to pings, which keep no session alive.
    counts: bool,
    deaf: bool,
}

impl<W: AsyncWrite + Unpin> Out<W> {
    async fn write(&mut self, moved: &Moved) -> io::Result<()> {
        if self.deaf {
            self.bytes.clear();
            return Ok(());
        }
        while !self.bytes.is_empty() {
            if self.to.write_buf(&mut self.bytes).await? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            if self.counts {
                moved.touch();
            }
        }
        self.to.flush().await
    }

    /// Writes what is left, and ends.
    async fn close(&mut self, moved: &Moved) {
        // The other side may have gone.
        if self.write(moved).await.is_ok() {
            self.to.shutdown().await.ok();
        }
    }
}

/// Until the side ends.
pub(super) async fn discard(from: &mut (impl AsyncRead + Unpin)) {
    let mut buffer = vec![0; BUFFER];
    while let Ok(1..) = from.read(&mut buffer).await {}
}

#[cfg(test)]
mod tests;
