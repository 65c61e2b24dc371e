//! One stream: the client's connection and one to the runtime's streaming server, joined once both have agreed to
//! another protocol. What they speak then (SPDY/3.1, WebSocket) is theirs alone.

use super::copy;
use super::limit::Place;
use super::options::{self, Error};
use crate::kubelet::server::Shared;
use crate::kubelet::server::answer::{Answer, full};
use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

/// How long the runtime may take to agree, and both connections to be handed over.
const AGREE: Duration = Duration::from_secs(30);
/// What is passed on of a refusal.
const MAX_REFUSAL: usize = 16 << 10;

/// Asks the runtime at `url` as the client has asked us, and passes its answer on; when it agrees, the stream runs
/// beside, and holds its place, until it is over.
pub(super) async fn open(
    url: Uri,
    mut request: Request<Incoming>,
    place: Place,
    shared: &Shared,
) -> Result<Answer, Error> {
    let client = hyper::upgrade::on(&mut request);
    let asked = options::forwarded(&request, &url);
    let slow = |_| Error::Dial(format!("{url}: no answer within {} s", AGREE.as_secs()));
    let (answer, connection) = timeout(AGREE, ask(&url, asked)).await.map_err(slow)??;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        return timeout(AGREE, refusal(answer)).await.map_err(slow)?;
    }
    let mut agreed = Response::new(full(Bytes::new()));
    *agreed.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *agreed.headers_mut() = options::agreed(answer.headers());
    let runtime = hyper::upgrade::on(answer);
    let (drain, idle) = (shared.drain.clone(), shared.config.idle_timeout);
    tokio::spawn(async move {
        drain.unless_draining(run(client, runtime, idle)).await;
        drop((place, connection));
    });
    Ok(agreed)
}

/// The stream, from the moment both connections are handed over.
async fn run(client: OnUpgrade, runtime: OnUpgrade, idle: Duration) {
    let both = async { tokio::try_join!(client, runtime) };
    match timeout(AGREE, both).await {
        Ok(Ok((client, runtime))) => {
            let end = copy::both_ways(io(client), io(runtime), idle).await;
            tracing::debug!(?end, "stream ended");
        }
        Ok(Err(error)) => tracing::debug!(%error, "stream not begun: the client or the runtime has gone"),
        Err(_) => tracing::debug!("stream not begun: the client has not taken the answer"),
    }
}

fn io(upgraded: Upgraded) -> TokioIo<Upgraded> {
    TokioIo::new(upgraded)
}

type Connection = AbortOnDropHandle<()>;

/// Sends the request; the connection lives as long as the handle.
async fn ask(url: &Uri, request: Request<Empty<Bytes>>) -> Result<(Response<Incoming>, Connection), Error> {
    let dial = |error: &dyn std::fmt::Display| Error::Dial(error.to_string());
    let address = options::runtime_address(url)?;
    let stream = TcpStream::connect(address)
        .await
        .map_err(|e| dial(&format!("dial tcp {address}: connect: {e}")))?;
    // Key strokes are small and must not wait for each other.
    stream.set_nodelay(true).map_err(|e| dial(&e))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| dial(&e))?;
    let connection = AbortOnDropHandle::new(tokio::spawn(async move {
        // Its error is told to whoever waits for the answer.
        drop(connection.with_upgrades().await);
    }));
    let answer = sender.send_request(request).await.map_err(|e| dial(&e))?;
    Ok((answer, connection))
}

/// An error of the runtime is the client's to read; anything else that does not agree makes no sense, least of all a
/// redirect.
async fn refusal(answer: Response<Incoming>) -> Result<Answer, Error> {
    let (parts, body) = answer.into_parts();
    if !parts.status.is_client_error() && !parts.status.is_server_error() {
        return Err(Error::NotUpgraded(parts.status));
    }
    let body = Limited::new(body, MAX_REFUSAL).collect().await;
    let mut refused = Response::new(full(body.map(|b| b.to_bytes()).unwrap_or_default()));
    *refused.status_mut() = parts.status;
    *refused.headers_mut() = options::refused(&parts.headers);
    Ok(refused)
}
