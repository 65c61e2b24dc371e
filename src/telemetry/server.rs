//! The admin server: `/metrics`, `/healthz`, `/livez`, `/readyz`, `/debug/state`. Meant for the loopback address; it
//! changes nothing and needs no credentials.

use super::{DebugState, Metrics};
use crate::task::{DrainSignal, Ready};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// What the server shows.
#[derive(Clone, Debug)]
pub struct Admin {
    /// For `/metrics`.
    pub metrics: Metrics,
    /// For `/debug/state`.
    pub state: DebugState,
    /// For `/readyz`.
    pub ready: Ready,
}

/// Serves until the drain begins. An address that cannot be had is said and is not fatal: the node works without.
pub async fn serve(address: SocketAddr, admin: Admin, drain: DrainSignal) {
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!(
                "--metrics-bind-address: {address} cannot be had ({error}): no /metrics and /healthz; give another \
                 address, or none"
            );
            return;
        }
    };
    tracing::info!(%address, "serving /metrics, /healthz and /debug/state");
    let server =
        axum::serve(listener, router(admin)).with_graceful_shutdown(async move { drain.wait().await });
    if let Err(error) = server.await {
        tracing::warn!(%address, %error, "admin server ended");
    }
}

/// The server's routes.
pub fn router(admin: Admin) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(ok))
        .route("/livez", get(ok))
        .route("/readyz", get(readyz))
        .route("/debug/state", get(state))
        .with_state(admin)
}

async fn metrics(State(admin): State<Admin>) -> impl IntoResponse {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], admin.metrics.encode())
}

async fn ok() -> &'static str {
    "ok"
}

async fn readyz(State(admin): State<Admin>) -> (StatusCode, String) {
    let pending = admin.ready.pending();
    if pending.is_empty() {
        return (StatusCode::OK, "ok".to_owned());
    }
    let parts: Vec<String> = pending
        .iter()
        .map(|(name, since)| format!("{name} ({} s)", since.as_secs()))
        .collect();
    (
        StatusCode::SERVICE_UNAVAILABLE,
        format!("waiting for {}", parts.join(", ")),
    )
}

async fn state(State(admin): State<Admin>) -> Json<serde_json::Value> {
    Json(admin.state.dump())
}
