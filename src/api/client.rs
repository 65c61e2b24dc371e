//! The HTTP side: one kube `Client` for requests and one for watches, over our own HTTP/2 connector.
//!
//! kube's stock connector speaks HTTP/1.1 with one TLS connection per watch; ours puts all watches on one connection
//! and all requests on another, so that a server at its stream limit for watches never holds up a Lease. kube's retries
//! are off: a kubelet wants its own timing. Every failure becomes an [`Error`] that names the remedy where one is
//! known ([`words`]).
//!
//! Credentials change while the agent runs: [`Client::replace`] swaps both connections in all clones at once. What is
//! under way (a watch lives for minutes) goes on over the old connection, which closes when its last stream ends.

mod refusal;
pub mod words;

use super::kubeconfig::{self, ClientConfig};
use super::{Error, Result};
use crate::task::{Backoff, DrainSignal, SayOnce};
use arc_swap::ArcSwap;
use futures::{Stream, TryStreamExt};
use http::header::{ACCEPT, CONTENT_TYPE};
use http_body_util::BodyExt;
use hyper::body::Bytes;
use hyper_util::client::legacy::Client as Hyper;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{Body, ConfigExt};
use refusal::{Noting, Refusal};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::codec::{FramedRead, LinesCodec};
use tokio_util::io::StreamReader;
use words::Place;

/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a list may take: lists are large, and slow on a busy server.
const LIST_TIMEOUT: Duration = Duration::from_secs(60);
/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection that is silent for this long is asked whether it still lives.
const PING_AFTER: Duration = Duration::from_secs(15);
/// And closed when it does not answer within this time.
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest line of a watch (one object); the API server's own limit for an object is 3 MiB.
const MAX_WATCH_LINE: usize = 16 << 20;
/// How often an unchanged problem is said.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// Content type of a strategic merge patch.
pub(super) const STRATEGIC_MERGE: &str = "application/strategic-merge-patch+json";
/// Content type of a merge patch.
pub(super) const MERGE: &str = "application/merge-patch+json";
/// Content type of an object.
pub(super) const JSON: &str = "application/json";

/// The way to the API server. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    way: Arc<ArcSwap<Way>>,
    /// Told of each refusal of our credentials.
    refused: Arc<Notify>,
    /// What was said about failures that repeat; shared by all watches, so that one outage is one line a minute.
    said: Arc<Mutex<SayOnce>>,
    observe: Arc<OnceLock<super::Observe>>,
}

/// One set of credentials with its connections.
struct Way {
    requests: kube::Client,
    watches: kube::Client,
    place: Arc<Place>,
    refusal: Refusal,
}

impl Way {
    fn new(config: &ClientConfig) -> std::result::Result<Self, kubeconfig::Error> {
        let unusable = |error: kube::Error| {
            kubeconfig::Error::unusable(
                &config.file,
                format!("cannot be used: {error}"),
                "check the cluster's certificate-authority and tls-server-name and the user's credentials",
            )
        };
        let refusal = Refusal::default();
        Ok(Self {
            requests: connection(&config.kube, &refusal).map_err(unusable)?,
            watches: connection(&config.kube, &refusal).map_err(unusable)?,
            place: Arc::new(Place {
                server: config.server.to_string(),
                file: config.file.clone(),
                cluster: config.cluster.clone(),
                user: config.user.clone(),
            }),
            refusal,
        })
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("place", &self.way.load().place)
            .finish_non_exhaustive()
    }
}

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) verb: &'static str,
    pub(super) path: String,
    pub(super) body: Option<(&'static str, Value)>,
    pub(super) timeout: Duration,
}

impl Call {
    pub(super) fn get(path: impl Into<String>) -> Self {
        Self {
            verb: "GET",
            path: path.into(),
            body: None,
            timeout: REQUEST_TIMEOUT,
        }
    }
    pub(super) fn list(path: impl Into<String>) -> Self {
        Self {
            verb: "GET",
            path: path.into(),
            body: None,
            timeout: LIST_TIMEOUT,
        }
    }
    pub(super) fn post(path: impl Into<String>, body: Value) -> Self {
        Self {
            verb: "POST",
            path: path.into(),
            body: Some((JSON, body)),
            timeout: REQUEST_TIMEOUT,
        }
    }
    pub(super) fn patch(path: impl Into<String>, kind: &'static str, body: Value) -> Self {
        Self {
            verb: "PATCH",
            path: path.into(),
            body: Some((kind, body)),
            timeout: REQUEST_TIMEOUT,
        }
    }
    pub(super) fn delete(path: impl Into<String>, body: Value) -> Self {
        Self {
            verb: "DELETE",
            path: path.into(),
            body: Some((JSON, body)),
            timeout: REQUEST_TIMEOUT,
        }
    }
}

impl Client {
    /// Sets up connections; nothing is connected yet. Must be called inside a tokio runtime.
    pub fn new(config: &ClientConfig) -> std::result::Result<Self, kubeconfig::Error> {
        Ok(Self::from_way(Way::new(config)?))
    }

    /// A client over services of any kind; tests script them.
    #[cfg(test)]
    pub(super) fn from_services(requests: kube::Client, watches: kube::Client, place: Place) -> Self {
        Self::from_way(Way {
            requests,
            watches,
            place: Arc::new(place),
            refusal: Refusal::default(),
        })
    }

    fn from_way(way: Way) -> Self {
        Self {
            way: Arc::new(ArcSwap::from_pointee(way)),
            refused: Arc::default(),
            said: Arc::new(Mutex::new(SayOnce::new(SAY_EVERY))),
            observe: Arc::default(),
        }
    }

    /// From now on all clones use these credentials for what they begin; what is under way goes on as it was.
    pub fn replace(&self, config: &ClientConfig) -> std::result::Result<(), kubeconfig::Error> {
        self.way.store(Arc::new(Way::new(config)?));
        Ok(())
    }

    /// From now on all clones tell of every request. Only the first observer is told.
    pub fn observe(&self, observe: super::Observe) {
        drop(self.observe.set(observe));
    }

    /// Waits until the API server has refused our credentials, now or since this was last awaited.
    pub async fn refused(&self) {
        self.refused.notified().await;
    }

    /// Waits until the API server answers and knows us, by reading our own Node. An unreachable or unready server is
    /// tried again with backoff and said once a minute; `None` when the drain began first.
    ///
    /// # Errors
    /// What waiting does not heal: a server certificate that does not fit, a server that is not Kubernetes.
    pub async fn wait_until_reachable(&self, node: &str, drain: &DrainSignal) -> Option<Result<()>> {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
        loop {
            let read = self.call::<Value>(Call::get(format!("/api/v1/nodes/{node}")));
            match drain.unless_draining(read).await? {
                Ok(_) => return Some(Ok(())),
                Err(error) if words::is_missing_object(&error) => return Some(Ok(())),
                Err(error) if words::is_for_good(&error) => return Some(Err(error)),
                Err(error) => self.complain("waiting for the API server", &error),
            }
            drain.unless_draining(tokio::time::sleep(backoff.fail())).await?;
        }
    }

    /// Logs a failure that is being retried: an unchanged one once a minute.
    pub fn complain(&self, doing: &str, error: &Error) {
        // The same outage fails every path in the same way, so that the path is no part of what was said.
        let text = match error {
            Error::Unreachable { cause, .. } | Error::CertificateRefused { cause, .. } => cause.clone(),
            Error::Status {
                code: 401, message, ..
            } => message.clone(),
            other => other.to_string(),
        };
        let times = self
            .said
            .lock()
            .expect("saying does not panic")
            .say(&text, Instant::now());
        match times {
            Some(0) => tracing::warn!("{doing}: {text}; trying again"),
            Some(n) => tracing::warn!("{doing}: {text}; still trying (failed {n} times since last said)"),
            None => tracing::debug!("{doing}: {error}"),
        }
    }

    /// Says once that a problem is over, when one had been said.
    pub(super) fn recovered(&self) {
        if self.said.lock().expect("saying does not panic").reset() {
            tracing::info!(server = %self.way.load().place.server, "the API server answers again");
        }
    }

    /// One request with a decoded answer.
    pub(super) async fn call<T: DeserializeOwned>(&self, call: Call) -> Result<T> {
        let (verb, path) = (call.verb, call.path.clone());
        let bytes = self.call_raw(call).await?;
        serde_json::from_slice(&bytes).map_err(|e| Error::Decode {
            verb,
            path,
            cause: e.to_string(),
        })
    }

    /// One request with the answer's bytes.
    pub(super) async fn call_raw(&self, call: Call) -> Result<Bytes> {
        let (verb, path, timeout) = (call.verb, call.path.clone(), call.timeout);
        let way = self.way.load_full();
        let exchange = async {
            let response = self.send(&way, &way.requests, call).await?;
            let body = response.into_body().collect().await;
            Ok(body
                .map_err(|e| words::unreachable(verb, &path, &e, &way.place))?
                .to_bytes())
        };
        tokio::time::timeout(timeout, exchange)
            .await
            .unwrap_or_else(|_| Err(words::timed_out(verb, &path, timeout, &way.place)))
    }

    /// Opens a watch: a stream of lines, each one event. A stream that stays silent for `idle` ends with an error.
    pub(super) async fn watch_lines(
        &self,
        path: &str,
        idle: Duration,
    ) -> Result<impl Stream<Item = Result<String>> + use<>> {
        let way = self.way.load_full();
        let sent = self.send(&way, &way.watches, Call::get(path));
        let opened = tokio::time::timeout(REQUEST_TIMEOUT, sent).await;
        let response =
            opened.unwrap_or_else(|_| Err(words::timed_out("GET", path, REQUEST_TIMEOUT, &way.place)))?;
        let bytes = response
            .into_body()
            .into_data_stream()
            .map_err(std::io::Error::other);
        let lines = FramedRead::new(
            StreamReader::new(bytes),
            LinesCodec::new_with_max_length(MAX_WATCH_LINE),
        );
        // Not the connection itself: only the stream keeps an old one open.
        let (path, place) = (path.to_owned(), way.place.clone());
        Ok(futures::stream::try_unfold(Box::pin(lines), move |mut lines| {
            let (path, place) = (path.clone(), place.clone());
            async move {
                match tokio::time::timeout(idle, lines.try_next()).await {
                    Ok(Ok(Some(line))) => Ok(Some((line, lines))),
                    Ok(Ok(None)) => Ok(None),
                    Ok(Err(error)) => Err(words::unreachable("GET", &path, &error, &place)),
                    Err(_) => Err(words::timed_out("GET", &path, idle, &place)),
                }
            }
        }))
    }

    /// Sends, and turns an answer that is no success into an [`Error`].
    async fn send(&self, way: &Way, through: &kube::Client, call: Call) -> Result<http::Response<Body>> {
        let (verb, path, place) = (call.verb, call.path, &*way.place);
        let mut request = http::Request::builder()
            .method(verb)
            .uri(&path)
            .header(ACCEPT, JSON);
        let mut body = Vec::new();
        if let Some((kind, value)) = call.body {
            request = request.header(CONTENT_TYPE, kind);
            body = value.to_string().into_bytes();
        }
        let request = request.body(Body::from(body)).map_err(|e| Error::Decode {
            verb,
            path: path.clone(),
            cause: e.to_string(),
        })?;
        let begin = Instant::now();
        let response = through.send(request).await;
        if let Some(observe) = self.observe.get() {
            let host = place
                .server
                .split("://")
                .last()
                .unwrap_or_default()
                .trim_end_matches('/');
            let code = response.as_ref().ok().map(|r| r.status().as_u16());
            observe(verb, host, code, begin.elapsed());
        }
        let response = response.map_err(|e| {
            let alert = words::refusal(&e).or_else(|| way.refusal.since(begin));
            let Some(alert) = alert else {
                return words::unreachable(verb, &path, &e, place);
            };
            self.refused.notify_one();
            words::certificate_refused(verb, &path, alert, place)
        })?;
        let code = response.status().as_u16();
        if response.status().is_success() {
            return Ok(response);
        }
        // The answer is an error whether or not its body can be read.
        let bytes = response
            .into_body()
            .collect()
            .await
            .map(|body| body.to_bytes())
            .unwrap_or_default();
        if code == 401 {
            self.refused.notify_one();
        }
        Err(words::status(verb, path, code, &bytes, place))
    }
}

/// One HTTP/2 connection (HTTP/1.1 where the server has no HTTP/2) with authentication, as a kube client.
fn connection(config: &kube::Config, refusal: &Refusal) -> std::result::Result<kube::Client, kube::Error> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    let mut tls = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(config.rustls_client_config()?)
        .https_or_http();
    if let Some(name) = &config.tls_server_name {
        let name = name
            .clone()
            .try_into()
            .map_err(|e: rustls::pki_types::InvalidDnsNameError| {
                kube::Error::Service(format!("tls-server-name {name:?}: {e}").into())
            })?;
        tls = tls.with_server_name_resolver(hyper_rustls::FixedServerNameResolver::new(name));
    }
    let hyper: Hyper<_, Body> = Hyper::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .http2_keep_alive_interval(PING_AFTER)
        .http2_keep_alive_timeout(PING_TIMEOUT)
        .http2_keep_alive_while_idle(true)
        .http2_adaptive_window(true)
        .build(Noting {
            connector: tls.enable_all_versions().wrap_connector(tcp),
            refusal: refusal.clone(),
        });
    let service = tower::ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .map_err(tower::BoxError::from)
        .service(hyper);
    Ok(kube::Client::new(service, "default"))
}

#[cfg(test)]
pub(in crate::api) mod script;
#[cfg(test)]
mod tests;
