//! One stream: the client's connection and one to the runtime's streaming server, joined once both have agreed to
//! another protocol. What they speak then (SPDY/3.1, WebSocket) is theirs alone.

use super::dial::{self, Asked};
use super::limit::Place;
use super::options::{self, Error};
use super::{copy, spawn};
use crate::kubelet::server::Shared;
use crate::kubelet::server::answer::{Answer, full};
use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri};
use hyper::body::Incoming;

/// Asks the runtime at `url` as the client has asked us, and passes its answer on; when it agrees, the stream runs
/// beside, and holds its place, until it is over.
pub(super) async fn open(
    url: Uri,
    mut request: Request<Incoming>,
    place: Place,
    shared: &Shared,
) -> Result<Answer, Error> {
    let client = hyper::upgrade::on(&mut request);
    let (answer, connection) = match dial::ask(&url, options::forwarded(&request, &url)).await? {
        Asked::Agreed(answer, connection) => (answer, connection),
        Asked::Refused(answer) => return Ok(answer),
    };
    let mut agreed = Response::new(full(Bytes::new()));
    *agreed.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *agreed.headers_mut() = options::agreed(answer.headers());
    let (runtime, idle) = (hyper::upgrade::on(answer), shared.config.idle_timeout);
    spawn(shared, place, async move {
        if let Some((client, runtime)) = dial::both(client, runtime).await {
            let end = copy::both_ways(client, runtime, idle).await;
            tracing::debug!(?end, "stream ended");
        }
        drop(connection);
    });
    Ok(agreed)
}
