//! Not served yet.

use super::Shared;
use super::answer::{Answer, text};
use super::route::Found;
use http::{Request, StatusCode};
use hyper::body::Incoming;
use std::sync::Arc;

pub(super) async fn serve(_shared: &Arc<Shared>, _found: &Found, _request: Request<Incoming>) -> Answer {
    text(StatusCode::NOT_IMPLEMENTED, "not served yet")
}
