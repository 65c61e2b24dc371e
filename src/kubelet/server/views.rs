//! The node's own views: health, Pods, settings.

use super::Shared;
use super::answer::{Answer, text};
use super::route::{Endpoint, Found};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use std::sync::Arc;

pub(super) async fn serve(_shared: &Arc<Shared>, found: &Found, _request: Request<Incoming>) -> Answer {
    match found.route.endpoint {
        Endpoint::Healthz => text(StatusCode::OK, "ok"),
        _ => text(StatusCode::NOT_IMPLEMENTED, "not served yet"),
    }
}
