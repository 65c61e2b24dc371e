//! Plain HTTP on `healthzBindAddress:healthzPort` for the machine's own watchdogs: `/healthz`, and `/healthz/ping`.
//! It tells that the process answers and nothing else, so that it needs no credentials. Anybody on the machine may
//! connect, so that connections are bounded as those of strangers are: too many of them make room for the next.

use super::limits::{self, Limits, Slot};
use super::listen;
use super::views::checks::{self, Check};
use crate::task::DrainSignal;
use axum::Router;
use axum::extract::RawQuery;
use axum::routing::any;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};

/// Bytes of request line and headers.
const HEAD_BYTES: usize = 16 << 10;

/// Serves until the drain; `None` serves nothing.
pub(super) async fn serve(address: Option<SocketAddr>, drain: DrainSignal) {
    let Some(address) = address else { return };
    let Some(listener) = drain.unless_draining(listen::bind(address)).await else {
        return;
    };
    tracing::info!(%address, "serving /healthz");
    drain.unless_draining(accept(&listener, &drain)).await;
}

async fn accept(listener: &TcpListener, drain: &DrainSignal) {
    let limits = Arc::new(Limits::default());
    loop {
        match listener.accept().await {
            Ok((tcp, from)) => {
                if let Some(slot) = limits.admit(from.ip().to_canonical()) {
                    tokio::spawn(connection(tcp, slot, drain.clone()));
                }
            }
            Err(error) => {
                tracing::debug!(%error, "accepting a connection to /healthz");
                tokio::time::sleep(listen::BREATHE).await;
            }
        }
    }
}

async fn connection(tcp: TcpStream, slot: Slot, drain: DrainSignal) {
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::FRESH)
        .max_buf_size(HEAD_BYTES)
        .max_headers(limits::MOST_HEADERS)
        .serve_connection(TokioIo::new(tcp), TowerToHyperService::new(router()));
    tokio::select! {
        result = serving => {
            if let Err(error) = result {
                tracing::debug!(%error, "connection to /healthz");
            }
        }
        () = slot.evicted() => {}
        () = drain.wait() => {}
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Drain;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn connections_that_say_nothing_keep_nobody_out() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let drain = Drain::new();
        let signal = drain.signal();
        let serving = tokio::spawn(async move { signal.unless_draining(accept(&listener, &signal)).await });
        let mut silent = Vec::new();
        for _ in 0..limits::MOST_FRESH_PER_PEER + 10 {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let mut asking = TcpStream::connect(address).await.unwrap();
        let request = b"GET /healthz HTTP/1.1\r\nHost: n\r\nConnection: close\r\n\r\n";
        asking.write_all(request).await.unwrap();
        let mut answer = String::new();
        asking.read_to_string(&mut answer).await.unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("ok"),
            "{answer}"
        );
        // The oldest was closed.
        assert_eq!(silent[0].read(&mut [0]).await.unwrap_or(0), 0);
        drain.start();
        assert!(serving.await.unwrap().is_none());
    }
}
