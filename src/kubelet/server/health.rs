//! Plain HTTP on `healthzBindAddress:healthzPort` for the machine's own watchdogs: `/healthz`, and `/healthz/ping`.
//! It tells that the process answers and nothing else, so that it needs no credentials.

use super::listen;
use super::views::checks::{self, Check};
use crate::task::DrainSignal;
use axum::Router;
use axum::extract::RawQuery;
use axum::routing::any;
use std::net::SocketAddr;

/// Serves until the drain; `None` serves nothing.
pub(super) async fn serve(address: Option<SocketAddr>, drain: DrainSignal) {
    let Some(address) = address else { return };
    let Some(listener) = drain.unless_draining(listen::bind(address)).await else {
        return;
    };
    tracing::info!(%address, "serving /healthz");
    let waits = drain.clone();
    let server = axum::serve(listener, router()).with_graceful_shutdown(async move { waits.wait().await });
    if let Err(error) = server.await {
        tracing::warn!(%address, %error, "no /healthz");
    }
}

fn router() -> Router {
    let ping = [Check {
        name: "ping",
        problem: None,
    }];
    Router::new()
        .route(
            "/healthz",
            any(async move |RawQuery(query): RawQuery| checks::all(&ping, query.as_deref())),
        )
        .route("/healthz/ping", any(async || "ok"))
}
