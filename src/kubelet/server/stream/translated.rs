//! A client that speaks WebSocket, and a runtime that is spoken to in SPDY: exec and attach by `v5.channel.k8s.io`, and
//! port-forwards by tunnel, as upstream's kubelet serves them with the feature `ExtendWebSocketsToKubelet`.

use super::copy::{BUFFER, LINGER};
use super::dial::{self, AGREE, Asked, Connection};
use super::limit::Place;
use super::options::{self, Error};
use super::relay::{discard, relay};
use super::spawn;
use super::translate::{self, Down, Half, Streams, Unwrap, Wrap};
use super::{verdict, websocket};
use crate::kubelet::server::Shared;
use crate::kubelet::server::answer::Answer;
use bytes::BytesMut;
use http::{Request, Uri};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// What SPDY's side of an exec or attach is: the newest version streaming servers have there.
const SPDY_VERSION: &str = "v4.channel.k8s.io";

/// An exec or attach. The client is answered first, as upstream does it: what goes wrong with the runtime is told on
/// the error channel.
pub(super) fn open(
    url: Uri,
    mut request: Request<Incoming>,
    streams: Streams,
    place: Place,
    shared: &Shared,
) -> Result<Answer, Error> {
    let accept = websocket::accept(request.method(), request.headers())?;
    let client = hyper::upgrade::on(&mut request);
    spawn(
        shared,
        place,
        run(client, url, streams, shared.config.idle_timeout),
    );
    Ok(options::switched(accept, Some(options::V5)))
}

async fn run(client: OnUpgrade, url: Uri, streams: Streams, idle: Duration) {
    let Ok(Ok(client)) = timeout(AGREE, client).await else {
        tracing::debug!("stream not begun: the client has gone, or has not taken the answer");
        return;
    };
    let mut client = TokioIo::new(client);
    let (up, mut down, ask, mut hello) = translate::session(streams);
    let begun = timeout(AGREE, begin(&url, &ask, &mut down, &mut hello)).await;
    let slow = |_| {
        Error::Dial(format!(
            "{url}: not all streams are open within {} s",
            AGREE.as_secs()
        ))
    };
    match begun.map_err(slow).flatten() {
        Ok((runtime, connection)) if !down.is_over() => {
            let end = relay(client, runtime, (up, down), hello, idle).await;
            tracing::debug!(?end, "stream ended");
            drop(connection);
        }
        begun => {
            if let Err(error) = begun {
                tracing::debug!(%error, "no stream");
                translate::farewell(&verdict::failed(&error.to_string()), &mut hello);
            }
            let last_words = async {
                tell(&mut client, &mut hello).await?;
                client.shutdown().await?;
                discard(&mut client).await;
                Ok::<_, std::io::Error>(())
            };
            // A client that does not hang up is hung up on.
            drop(timeout(LINGER, last_words).await);
        }
    }
}

async fn tell(to: &mut (impl AsyncWrite + Unpin), bytes: &mut BytesMut) -> std::io::Result<()> {
    to.write_all_buf(bytes).await?;
    to.flush().await
}

/// A connection to the runtime with all streams open. `hello` grows by what came on them already.
async fn begin(
    url: &Uri,
    open: &[u8],
    down: &mut Down,
    hello: &mut BytesMut,
) -> Result<(TokioIo<Upgraded>, Connection), Error> {
    let (answer, connection) = match dial::ask(url, options::spdy(url, [SPDY_VERSION])).await? {
        Asked::Agreed(answer, connection) => (answer, connection),
        Asked::Refused(answer) => {
            let said = answer.into_body().collect().await;
            let said = said.map(|body| body.to_bytes()).unwrap_or_default();
            return Err(Error::Refused(String::from_utf8_lossy(&said).trim().to_owned()));
        }
    };
    let gone = |error: &dyn std::fmt::Display| Error::Dial(error.to_string());
    let runtime = hyper::upgrade::on(answer).await.map_err(|e| gone(&e))?;
    let mut runtime = TokioIo::new(runtime);
    let (mut buffer, mut say) = (vec![0; BUFFER], BytesMut::from(open));
    while !down.is_open() && hello.len() < BUFFER {
        tell(&mut runtime, &mut say).await.map_err(|e| gone(&e))?;
        match runtime.read(&mut buffer).await.map_err(|e| gone(&e))? {
            0 => down.end(hello),
            count => {
                let taken = down.take(&mut buffer[..count], hello, &mut say);
                taken.map_err(|e| gone(&e))?;
            }
        }
    }
    Ok((runtime, connection))
}

/// A port-forward whose SPDY is carried by a WebSocket (KEP-4006). The runtime is asked first.
pub(super) async fn tunnel(
    url: Uri,
    mut request: Request<Incoming>,
    place: Place,
    shared: &Shared,
) -> Result<Answer, Error> {
    let accept = websocket::accept(request.method(), request.headers())?;
    let asked = options::spdy(&url, options::tunnelled(request.headers()));
    let (answer, connection) = match dial::ask(&url, asked).await? {
        Asked::Agreed(answer, connection) => (answer, connection),
        Asked::Refused(answer) => return Ok(answer),
    };
    let protocol = options::tunnel(answer.headers(), request.headers())?;
    let (client, runtime) = (hyper::upgrade::on(&mut request), hyper::upgrade::on(answer));
    let idle = shared.config.idle_timeout;
    spawn(shared, place, async move {
        if let Some((client, runtime)) = dial::both(client, runtime).await {
            let halves = (Unwrap::default(), Wrap);
            let end = relay(client, runtime, halves, BytesMut::new(), idle).await;
            tracing::debug!(?end, "stream ended");
        }
        drop(connection);
    });
    Ok(options::switched(accept, protocol.as_deref()))
}

#[cfg(test)]
mod tests;
