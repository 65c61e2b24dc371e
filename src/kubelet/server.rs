//! The node's HTTPS API on :10250: logs, exec, attach, port-forward, stats, metrics, health, as upstream's kubelet has it.
//!
//! A request passes `listen` (TLS within `limits`) → `door`: `auth` (who is it, may they, with what [`route`] says is
//! needed) → [`route`] (pure: method and path → endpoint) → the endpoint's own file. No endpoint is reachable that has
//! no row in [`route::ROUTES`].

pub mod answer;
mod auth;
mod door;
mod health;
mod limits;
mod listen;
mod logs;
pub mod request;
pub mod route;
mod stats;
pub mod stream;
mod suites;
mod tls;
mod views;

use crate::api::{Pods, Reviews, UserInfo};
use crate::config::{KubeletConfig, ServerConfig};
use crate::cri::Runtime;
use crate::kubelet::dirs::Dirs;
use crate::kubelet::metrics::KubeletMetrics;
use crate::kubelet::pulse::Pulse;
use crate::kubelet::source::Source;
use crate::kubelet::stats::Collector;
use crate::task::DrainSignal;
use answer::Answer;
use auth::Auth;
use door::Door;
use http::Request;
use hyper::body::Incoming;
use jiff::Timestamp;
use route::{Endpoint, Found};
use rustls::server::ResolvesServerCert;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// What endpoints read and call.
#[derive(Clone)]
pub struct Shared {
    /// Our Node's name.
    pub node: Arc<str>,
    /// Settings of the server.
    pub config: Arc<ServerConfig>,
    /// The container runtime.
    pub runtime: Arc<dyn Runtime>,
    /// The Pods of this node.
    pub source: Arc<Source>,
    /// The API server's own view of them.
    pub pods: Arc<dyn Pods>,
    /// When the agent started.
    pub started: Timestamp,
    /// Whether the pod side makes progress.
    pub pulse: Arc<Pulse>,
    /// Settings of the pod side.
    pub settings: Arc<KubeletConfig>,
    /// Where logs are.
    pub dirs: Dirs,
    /// The open exec, attach and port-forward sessions.
    pub streams: Arc<stream::Streams>,
    /// Ends streams that would go on for ever.
    pub drain: DrainSignal,
    /// What runs, and what it uses.
    pub stats: Arc<Collector>,
    /// What is counted.
    pub metrics: KubeletMetrics,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// Who made a request; each request that reaches an endpoint carries it as an extension.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The user.
    pub user: Arc<UserInfo>,
    /// The other end of the connection.
    pub address: IpAddr,
}

/// Serves the node's API until the drain. Nothing that goes wrong here ends the node. `serving` gives the certificate
/// for each connection, `reviews` say who callers are and what they may do.
pub async fn run(
    shared: Shared,
    serving: Arc<dyn ResolvesServerCert>,
    reviews: Arc<dyn Reviews>,
    drain: DrainSignal,
) {
    let health = health::serve(shared.config.healthz, drain.clone());
    let auth = Auth::new(shared.config.clone(), shared.node.clone(), reviews);
    let door = Arc::new(Door::new(Arc::new(shared), auth));
    tokio::join!(listen::run(door, serving, drain), health);
}

/// Answers a request whose caller may make it.
async fn serve(shared: &Arc<Shared>, found: &Found, request: Request<Incoming>) -> Answer {
    match found.route.endpoint {
        Endpoint::ContainerLogs => logs::serve(shared, found, request).await,
        Endpoint::Exec | Endpoint::Attach | Endpoint::PortForward | Endpoint::Run => {
            stream::serve(shared, found, request).await
        }
        Endpoint::Summary
        | Endpoint::Metrics
        | Endpoint::MetricsCadvisor
        | Endpoint::MetricsResource
        | Endpoint::MetricsProbes
        | Endpoint::MetricsSlis => stats::serve(shared, found, request).await,
        Endpoint::Healthz
        | Endpoint::Pods
        | Endpoint::RunningPods
        | Endpoint::Configz
        | Endpoint::Statusz
        | Endpoint::Flagz
        | Endpoint::Checkpoint
        | Endpoint::NodeLogs
        | Endpoint::Profile
        | Endpoint::Verbosity => views::serve(shared, found, request).await,
    }
}
