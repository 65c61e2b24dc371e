//! From a request to its endpoint: who is it, may they, is there such a thing. Nothing is served before all three.

use super::answer::{Answer, text};
use super::auth::{Auth, Permission};
use super::limits::{self, Slot};
use super::request::{Judged, judge};
use super::route::Lookup;
use super::{Caller, Shared, serve};
use crate::config::ServerConfig;
use crate::kubelet::metrics::RequestLabels;
use futures::FutureExt;
use http::header::ALLOW;
use http::{HeaderValue, Request, StatusCode};
use hyper::body::Incoming;
use rustls::pki_types::CertificateDer;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

/// Lets requests in, or not.
#[derive(Debug)]
pub(super) struct Door {
    shared: Arc<Shared>,
    auth: Auth,
}

/// The other end of a connection.
#[derive(Debug)]
pub(super) struct Peer {
    /// Its address.
    pub(super) address: SocketAddr,
    /// The certificates it showed, its own first; not judged yet.
    pub(super) chain: Vec<CertificateDer<'static>>,
    /// The connection's place.
    pub(super) slot: Arc<Slot>,
}

impl Door {
    pub(super) fn new(shared: Arc<Shared>, auth: Auth) -> Self {
        Self { shared, auth }
    }

    pub(super) fn config(&self) -> &ServerConfig {
        &self.shared.config
    }

    /// Answers a request, whatever happens.
    pub(super) async fn answer(&self, peer: &Peer, request: Request<Incoming>) -> Answer {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let answer = AssertUnwindSafe(self.pass(peer, request)).catch_unwind().await;
        let answer = answer.unwrap_or_else(|_| {
            text(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the node's API broke; see its log",
            )
        });
        tracing::debug!(from = %peer.address, %method, path, code = answer.status().as_u16(), "request");
        answer
    }

    async fn pass(&self, peer: &Peer, mut request: Request<Incoming>) -> Answer {
        let (method, uri, headers) = (request.method(), request.uri(), request.headers());
        let Judged {
            need,
            lookup,
            token,
            body,
        } = judge(method, uri, headers, self.config().debugging_handlers);
        let turn = peer.slot.turn().await;
        let user = match self.auth.who(&peer.chain, token.as_deref()).await {
            Ok(user) => user,
            Err(why) => {
                tracing::debug!(from = %peer.address, %why, "unauthorized");
                return text(StatusCode::UNAUTHORIZED, "Unauthorized");
            }
        };
        drop(turn);
        match self.auth.may(&user, need.verb, need.subresources).await {
            Permission::Yes => {}
            Permission::No => return text(StatusCode::FORBIDDEN, need.forbidden(&user.username)),
            Permission::Unclear(subresource, error) => {
                tracing::warn!(user = %user.username, %error, "permission unknown, so it is not given");
                let message = need.unclear(&user.username, subresource);
                return text(StatusCode::INTERNAL_SERVER_ERROR, message);
            }
        }
        peer.slot.trust();
        if body > limits::MOST_BODY {
            return text(StatusCode::PAYLOAD_TOO_LARGE, "request body too large");
        }
        let found = match lookup {
            Lookup::Found(found) => found,
            Lookup::WrongMethod(allowed) => return wrong_method(&allowed),
            Lookup::Nothing => return text(StatusCode::NOT_FOUND, "404: Page Not Found"),
            Lookup::Disabled => {
                return text(StatusCode::METHOD_NOT_ALLOWED, "Debug endpoints are disabled.\n");
            }
        };
        let address = peer.address.ip().to_canonical();
        request.extensions_mut().insert(Caller { user, address });
        let counted = RequestLabels::new(request.method(), found.route.pattern);
        let _under_way = self.shared.metrics.request(counted);
        serve(&self.shared, &found, request).await
    }
}

fn wrong_method(allowed: &str) -> Answer {
    let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "405: Method Not Allowed");
    if let Ok(allowed) = HeaderValue::from_str(allowed) {
        answer.headers_mut().insert(ALLOW, allowed);
    }
    answer
}
