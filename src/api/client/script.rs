//! A scripted API server for this module's tests: each request is answered by the test, one by one.

use super::words::Place;
use super::{Body, Client};
use futures::channel::mpsc;
use http_body_util::BodyExt;
use serde_json::Value;
use tower_test::mock::{self, Handle, SendResponse};

type Answer = http::Response<axum::body::Body>;

pub(in crate::api) struct Server(Handle<http::Request<Body>, Answer>);

/// A request as the server sees it.
#[derive(Debug)]
pub(in crate::api) struct Seen {
    /// `GET /path?query`.
    pub(in crate::api) line: String,
    pub(in crate::api) content_type: String,
    /// JSON body; null without one.
    pub(in crate::api) body: Value,
}

/// A client whose every request waits for the script.
pub(in crate::api) fn scripted() -> (Client, Server) {
    let (service, server) = mock::pair();
    let client = kube::Client::new(service, "default");
    let place = Place {
        server: "https://cp/".into(),
        ..Place::default()
    };
    (
        Client::from_services(client.clone(), client, place),
        Server(server),
    )
}

impl Server {
    /// The next request, to be answered later (or never).
    pub(in crate::api) async fn next(&mut self) -> (Seen, SendResponse<Answer>) {
        let (request, send) = self.0.next_request().await.expect("a request comes");
        let (parts, body) = request.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let content_type = parts.headers.get(http::header::CONTENT_TYPE);
        let seen = Seen {
            line: format!("{} {}", parts.method, parts.uri),
            content_type: content_type
                .map(|kind| kind.to_str().unwrap().to_owned())
                .unwrap_or_default(),
            body: if bytes.is_empty() {
                Value::Null
            } else {
                serde_json::from_slice(&bytes).unwrap()
            },
        };
        (seen, send)
    }

    /// True when no request can come any more, because all clients are gone.
    pub(in crate::api) async fn is_over(&mut self) -> bool {
        self.0.next_request().await.is_none()
    }

    /// Answers the next request.
    pub(in crate::api) async fn answer(&mut self, code: u16, body: &str) -> Seen {
        let (seen, send) = self.next().await;
        let body = axum::body::Body::from(body.to_owned());
        send.send_response(http::Response::builder().status(code).body(body).unwrap());
        seen
    }

    /// Answers the next request with success and JSON.
    pub(in crate::api) async fn ok(&mut self, body: Value) -> Seen {
        self.answer(200, &body.to_string()).await
    }

    /// Lets the next request fail below HTTP.
    pub(in crate::api) async fn fail(&mut self, error: std::io::Error) -> Seen {
        let (seen, send) = self.next().await;
        send.send_error(error);
        seen
    }

    /// Opens the next request as a stream whose parts the test sends; dropping the sender ends it.
    pub(in crate::api) async fn stream(&mut self) -> (Seen, mpsc::UnboundedSender<std::io::Result<String>>) {
        let (seen, send) = self.next().await;
        let (parts, body) = mpsc::unbounded();
        send.send_response(http::Response::new(axum::body::Body::from_stream(body)));
        (seen, parts)
    }
}
