//! The runtime's streaming server, asked to stream.

use super::options::{self, Error};
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
pub(super) const AGREE: Duration = Duration::from_secs(30);
/// What is passed on of a refusal.
const MAX_REFUSAL: usize = 16 << 10;

/// What came of asking.
pub(super) enum Asked {
    /// The runtime agrees.
    Agreed(Response<Incoming>, Connection),
    /// It does not, and this is for the client.
    Refused(Answer),
}

/// Asks the runtime at `url`; time is limited.
pub(super) async fn ask(url: &Uri, request: Request<Empty<Bytes>>) -> Result<Asked, Error> {
    let asked = async {
        let (answer, connection) = send(url, request).await?;
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Asked::Agreed(answer, connection));
        }
        refusal(answer).await.map(Asked::Refused)
    };
    let slow = |_| Error::Dial(format!("{url}: no answer within {} s", AGREE.as_secs()));
    timeout(AGREE, asked).await.map_err(slow)?
}

/// The client's and the runtime's connection, once both are handed over.
pub(super) async fn both(
    client: OnUpgrade,
    runtime: OnUpgrade,
) -> Option<(TokioIo<Upgraded>, TokioIo<Upgraded>)> {
    let both = async { tokio::try_join!(client, runtime) };
    match timeout(AGREE, both).await {
        Ok(Ok((client, runtime))) => return Some((TokioIo::new(client), TokioIo::new(runtime))),
        Ok(Err(error)) => tracing::debug!(%error, "stream not begun: the client or the runtime has gone"),
        Err(_) => tracing::debug!("stream not begun: the client has not taken the answer"),
    }
    None
}

/// Lives as long as this is held.
pub(super) type Connection = AbortOnDropHandle<()>;

/// Sends the request; the connection lives as long as the handle.
async fn send(url: &Uri, request: Request<Empty<Bytes>>) -> Result<(Response<Incoming>, Connection), Error> {
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
