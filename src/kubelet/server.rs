//! The node's HTTPS API on :10250: logs, exec, attach, port-forward, stats, metrics, health, as upstream's kubelet has it.
//!
//! A request passes `listen` (TLS, limits) → [`route`] (pure: path and verb → endpoint and what it needs) → `auth`
//! (who is it, may they) → the endpoint's own file. No endpoint is reachable that has no row in [`route::ROUTES`].

pub mod answer;
mod logs;
pub mod route;
mod stats;
pub mod stream;
mod views;

use crate::config::ServerConfig;
use crate::cri::Runtime;
use crate::kubelet::dirs::Dirs;
use crate::kubelet::source::Source;
use answer::Answer;
use http::Request;
use hyper::body::Incoming;
use route::{Endpoint, Found};
use std::fmt;
use std::sync::Arc;

/// What endpoints read and call.
#[derive(Clone)]
pub struct Shared {
    /// Settings of the server.
    pub config: Arc<ServerConfig>,
    /// The container runtime.
    pub runtime: Arc<dyn Runtime>,
    /// The Pods of this node.
    pub source: Arc<Source>,
    /// Where logs are.
    pub dirs: Dirs,
    /// The open exec, attach and port-forward sessions.
    pub streams: Arc<stream::Streams>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
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
        | Endpoint::MetricsProbes => stats::serve(shared, found, request).await,
        Endpoint::Healthz
        | Endpoint::Pods
        | Endpoint::RunningPods
        | Endpoint::Configz
        | Endpoint::Statusz
        | Endpoint::Flagz
        | Endpoint::Checkpoint => views::serve(shared, found, request).await,
    }
}
