//! The listener: TLS connections in, answers out, everything within the bounds of `limits`.

use super::answer::{Answer, Body};
use super::door::{Door, Peer};
use super::limits::{self, Limits, Slot};
use super::tls;
use crate::sys::tcp;
use crate::task::{DrainSignal, SayOnce};
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Bytes, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustls::pki_types::CertificateDer;
use rustls::server::ResolvesServerCert;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::task::TaskTracker;

/// Before an address that cannot be had is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// After a failed accept: mostly too many open files.
pub(super) const BREATHE: Duration = Duration::from_millis(100);
/// How often an unchanged problem is said.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// Serves until the drain. What is wrong with the settings or the address is said; the node works without its API.
pub(super) async fn run(door: Arc<Door>, serving: Arc<dyn ResolvesServerCert>, drain: DrainSignal) {
    let acceptor = match tls::acceptor(door.config(), serving) {
        Ok(acceptor) => acceptor,
        Err(error) => {
            tracing::error!(%error, "no node API: kubectl logs, exec and metrics do not work on this node");
            return;
        }
    };
    let address = SocketAddr::new(door.config().address, door.config().port);
    let Some(listener) = drain.unless_draining(bind(address)).await else {
        return;
    };
    tracing::info!(%address, "serving the node's API");
    let connections = TaskTracker::new();
    let accepting = accept(&listener, &door, &acceptor, &connections, &drain);
    drain.unless_draining(accepting).await;
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// The listener; tried until it can be had.
pub(super) async fn bind(address: SocketAddr) -> TcpListener {
    let mut said = SayOnce::new(SAY_EVERY);
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(error) => {
                if said.say(&error.to_string(), Instant::now()).is_some() {
                    tracing::error!(%address, %error, "the node's API has no address, trying again");
                }
                sleep(RETRY).await;
            }
        }
    }
}

async fn accept(
    listener: &TcpListener,
    door: &Arc<Door>,
    acceptor: &TlsAcceptor,
    connections: &TaskTracker,
    drain: &DrainSignal,
) {
    let limits = Arc::new(Limits::default());
    let mut said = SayOnce::new(SAY_EVERY);
    loop {
        let (tcp, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                if said.say(&error.to_string(), Instant::now()).is_some() {
                    tracing::warn!(%error, "the node's API cannot accept connections");
                }
                sleep(BREATHE).await;
                continue;
            }
        };
        let Some(slot) = limits.admit(from.ip().to_canonical()) else {
            if said.say("too many", Instant::now()).is_some() {
                tracing::warn!(%from, "too many connections to the node's API, refusing");
            }
            continue;
        };
        let (door, acceptor, drain) = (door.clone(), acceptor.clone(), drain.clone());
        connections.spawn(async move {
            let slot = Arc::new(slot);
            tokio::select! {
                () = connection(door, acceptor, tcp, from, slot.clone(), drain) => {}
                () = slot.evicted() => tracing::debug!(%from, "connection made room for another"),
            }
        });
    }
}

/// One connection, from handshake to end.
async fn connection(
    door: Arc<Door>,
    acceptor: TlsAcceptor,
    tcp: TcpStream,
    from: SocketAddr,
    slot: Arc<Slot>,
    drain: DrainSignal,
) {
    // Both only make things better; a connection that is gone already shows below.
    let _ = tcp.set_nodelay(true);
    let _ = tcp::keep_alive(&tcp);
    let handshake = timeout(limits::HANDSHAKE, acceptor.accept(tcp));
    let stream = match drain.unless_draining(handshake).await {
        Some(Ok(Ok(stream))) => stream,
        Some(Ok(Err(error))) => return tracing::debug!(%from, %error, "TLS handshake"),
        Some(Err(_)) => return tracing::debug!(%from, "TLS handshake took too long"),
        None => return,
    };
    let (_, session) = stream.get_ref();
    let chain = session.peer_certificates().unwrap_or_default();
    let peer = Arc::new(Peer {
        address: from,
        chain: chain.iter().cloned().map(CertificateDer::into_owned).collect(),
        slot: slot.clone(),
    });
    let http2 = session.alpn_protocol() == Some(b"h2");
    let idle = Arc::new(Idle::default());
    let counting = idle.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let (door, peer, busy) = (door.clone(), peer.clone(), Idle::busy(&counting));
        async move {
            let answer = door.answer(&peer, request).await;
            Ok::<_, Infallible>(while_busy(answer, busy))
        }
    });
    let builder = builder(http2);
    let io = TokioIo::new(Held {
        stream,
        _slot: slot.clone(),
    });
    let mut serving = pin!(builder.serve_connection_with_upgrades(io, service));
    let mut ending = None;
    loop {
        let next = ending.unwrap_or_else(|| idle.ends(&slot));
        tokio::select! {
            result = serving.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!(%from, %error, "connection");
                }
                return;
            }
            () = drain.wait(), if ending.is_none() => {
                serving.as_mut().graceful_shutdown();
                ending = Some(Instant::now() + limits::GRACE);
            }
            () = sleep_until(next) => {
                if ending.is_some() {
                    return;
                }
                if idle.ends(&slot) <= Instant::now() {
                    serving.as_mut().graceful_shutdown();
                    ending = Some(Instant::now() + limits::GRACE);
                }
            }
        }
    }
}

/// The protocol was agreed on in the handshake: looking for it in the first bytes would wait for them without a limit.
fn builder(http2: bool) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HEADERS)
        .max_buf_size(limits::HEAD_BYTES)
        .max_headers(limits::MOST_HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits::MOST_STREAMS)
        .max_header_list_size(u32::try_from(limits::HEAD_BYTES).unwrap_or(u32::MAX))
        .keep_alive_interval(limits::PING.0)
        .keep_alive_timeout(limits::PING.1);
    if http2 {
        builder.http2_only()
    } else {
        builder.http1_only()
    }
}

/// Whether a connection has requests under way, and since when not.
#[derive(Debug)]
struct Idle {
    /// Held for a look or a change: requests under way, and when the last one came or ended.
    state: Mutex<(usize, Instant)>,
}

impl Default for Idle {
    fn default() -> Self {
        Self {
            state: Mutex::new((0, Instant::now())),
        }
    }
}

/// One request under way.
#[derive(Debug)]
struct Busy(Arc<Idle>);

impl Idle {
    fn busy(this: &Arc<Self>) -> Busy {
        this.count(|running| running + 1);
        Busy(this.clone())
    }

    fn count(&self, change: impl FnOnce(usize) -> usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = (change(state.0), Instant::now());
    }

    /// When the connection has been idle for too long, as it looks now.
    fn ends(&self, slot: &Slot) -> Instant {
        let (running, since) = *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if running > 0 {
            return Instant::now() + limits::IDLE;
        }
        since
            + if slot.trusted() {
                limits::IDLE
            } else {
                limits::FRESH
            }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.count(|running| running.saturating_sub(1));
    }
}

/// The answer, with its request under way until the body's end.
fn while_busy(answer: Answer, busy: Busy) -> Response<Body> {
    answer.map(|body| BusyBody { body, _busy: busy }.boxed_unsync())
}

struct BusyBody {
    body: Body,
    _busy: Busy,
}

impl hyper::body::Body for BusyBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }
    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection that keeps its place for as long as anybody has it, also as the stream of an upgrade.
struct Held {
    stream: TlsStream<TcpStream>,
    _slot: Arc<Slot>,
}

impl AsyncRead for Held {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Held {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
