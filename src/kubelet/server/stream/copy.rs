//! Bytes both ways between two connections, with bounded buffers and no idea of what they mean.
//!
//! A side that ends its half has it ended at the other side too; what still comes the other way is passed on, for a
//! while: neither SPDY nor WebSocket goes on with half a connection, so the end of one half mostly means that the whole
//! is gone. A stream on which nothing moves for the idle time is over.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep_until, timeout};

/// Bytes in flight in one direction.
pub(super) const BUFFER: usize = 32 << 10;
/// How long the client may take to hang up after the runtime has: closing at once, with bytes of the client unread,
/// would reset the connection and could cost it the last words of the runtime, which say the exit code.
pub(super) const LINGER: Duration = Duration::from_secs(3);
/// How long the runtime may say nothing after the client has ended.
const LAST_WORDS: Duration = Duration::from_secs(30);

/// Why a stream is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Both sides have ended.
    Both,
    /// The client cannot be reached any more.
    Client,
    /// Nothing has moved for the idle time.
    Idle,
    /// The client has ended, and the runtime neither says anything nor ends.
    Mute,
    /// The runtime has ended, and the client goes on talking.
    Deaf,
}

/// Copies until it is over; both connections are closed when this returns.
pub(super) async fn both_ways<C, R>(client: C, runtime: R, idle: Duration) -> End
where
    C: AsyncRead + AsyncWrite,
    R: AsyncRead + AsyncWrite,
{
    let (client_read, client_write) = tokio::io::split(client);
    let (runtime_read, runtime_write) = tokio::io::split(runtime);
    let moved = Moved::now();
    let up = to_runtime(client_read, runtime_write, &moved);
    let down = to_client(runtime_read, client_write, &moved);
    tokio::pin!(up, down);
    tokio::select! {
        () = moved.silence(idle) => End::Idle,
        end = async {
            tokio::select! {
                () = &mut up => tokio::select! {
                    said = down => said.map_or(End::Client, |()| End::Both),
                    () = moved.silence(LAST_WORDS) => End::Mute,
                },
                said = &mut down => match said {
                    Err(_) => End::Client,
                    Ok(()) => timeout(LINGER, up).await.map_or(End::Deaf, |()| End::Both),
                },
            }
        } => end,
    }
}

/// Until the client ends. What it says to a runtime that does not listen any more is read and forgotten.
async fn to_runtime(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, moved: &Moved) {
    let mut buffer = vec![0; BUFFER];
    let mut listens = true;
    // An error of the client's connection is its end, as far as the runtime is concerned.
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        moved.touch();
        listens = listens && write(&mut to, &buffer[..count], moved).await.is_ok();
    }
    // The runtime may have closed first.
    to.shutdown().await.ok();
}

/// Until the runtime ends; an error is the client's.
async fn to_client(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    moved: &Moved,
) -> std::io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    // An error of the runtime's connection is its end, as far as the client is concerned.
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        moved.touch();
        write(&mut to, &buffer[..count], moved).await?;
    }
    to.shutdown().await
}

/// As `write_all` and `flush`; every part that was taken counts as movement.
async fn write(to: &mut (impl AsyncWrite + Unpin), mut bytes: &[u8], moved: &Moved) -> std::io::Result<()> {
    while !bytes.is_empty() {
        let count = to.write(bytes).await?;
        if count == 0 {
            return Err(std::io::ErrorKind::WriteZero.into());
        }
        moved.touch();
        bytes = &bytes[count..];
    }
    to.flush().await
}

/// When something last moved, in either direction.
pub(super) struct Moved {
    start: Instant,
    /// Milliseconds after `start`.
    last: AtomicU64,
}

impl Moved {
    pub(super) fn now() -> Self {
        Self {
            start: Instant::now(),
            last: AtomicU64::new(0),
        }
    }

    pub(super) fn touch(&self) {
        let elapsed = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(elapsed, Ordering::Relaxed);
    }

    /// Waits until nothing has moved for this long.
    pub(super) async fn silence(&self, limit: Duration) {
        loop {
            let end = self.start + Duration::from_millis(self.last.load(Ordering::Relaxed)) + limit;
            if Instant::now() >= end {
                return;
            }
            sleep_until(end).await;
        }
    }
}

#[cfg(test)]
mod tests;
