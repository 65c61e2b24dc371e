//! Notices that the other end of a TLS connection refuses our certificate.
//!
//! With TLS 1.3 that is an alert after the handshake, when the connection counts as made; HTTP above it passes on a
//! text of it at best, and often only that the connection is over. So the alert is noted where it is read.

use super::words;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use rustls::AlertDescription;
use std::error::Error as StdError;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::time::Instant;
use tower::{BoxError, Service};

/// The last refusal of our certificate, on any of the connections that share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Refusal(Arc<Mutex<Option<(Instant, AlertDescription)>>>);

impl Refusal {
    /// The alert, when it came at this moment or later.
    pub(super) fn since(&self, moment: Instant) -> Option<AlertDescription> {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.filter(|(at, _)| *at >= moment).map(|(_, alert)| alert)
    }

    fn note(&self, error: &(dyn StdError + 'static)) {
        if let Some(alert) = words::refusal(error) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), alert));
        }
    }
}

/// Makes connections that note refusals.
#[derive(Clone, Debug)]
pub(super) struct Noting<C> {
    pub(super) connector: C,
    pub(super) refusal: Refusal,
}

impl<C> Service<Uri> for Noting<C>
where
    C: Service<Uri, Error = BoxError>,
    C::Future: Send + 'static,
{
    type Response = Noted<C::Response>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connector.poll_ready(cx)
    }
    fn call(&mut self, to: Uri) -> Self::Future {
        let (connecting, refusal) = (self.connector.call(to), self.refusal.clone());
        async move {
            match connecting.await {
                Ok(stream) => Ok(Noted { stream, refusal }),
                Err(error) => {
                    refusal.note(&*error);
                    Err(error)
                }
            }
        }
        .boxed()
    }
}

/// A connection that notes refusals.
#[derive(Debug)]
pub(super) struct Noted<S> {
    stream: S,
    refusal: Refusal,
}

impl<S: Read + Unpin> Read for Noted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, into);
        if let Poll::Ready(Err(error)) = &read {
            self.refusal.note(error);
        }
        read
    }
}

impl<S: Write + Unpin> Write for Noted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }
}

impl<S: Connection> Connection for Noted<S> {
    fn connected(&self) -> Connected {
        self.stream.connected()
    }
}
