//! [`Runtime`] and [`Images`](super::Images) over the runtime's unix socket.
//!
//! One lazy HTTP/2 channel carries every call. It reconnects by itself: after a restart of the runtime the next call
//! dials again, and only calls that were under way fail. Every call has kubelet's time limit, except a pull and an
//! exec without one.

mod images;
mod runtime;

use super::v1::image_service_client::ImageServiceClient;
use super::v1::runtime_service_client::RuntimeServiceClient;
use super::{Error, Result, Runtime};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status};

/// Largest message taken, as kubelet's.
const MAX_MESSAGE: usize = 16 << 20;
/// Default of kubelet's `runtimeRequestTimeout`.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);
/// How long [`GrpcCri::connect`] waits for the first answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The runtime cannot be used. Each says what to look at.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The endpoint is no unix socket.
    #[error("container runtime endpoint {endpoint:?}: want unix:///path/to.sock or an absolute path")]
    Endpoint {
        /// As given.
        endpoint: String,
    },
    /// Nothing is there.
    #[error("container runtime socket {} does not exist: start containerd, or give the right --container-runtime-endpoint", path.display())]
    Missing {
        /// Socket.
        path: PathBuf,
    },
    /// Something is there that does not answer.
    #[error("container runtime socket {} does not answer: {source}: is containerd running, and are we root?", path.display())]
    NoAnswer {
        /// Socket.
        path: PathBuf,
        /// What the first call came back with.
        source: Error,
    },
    /// It answers, but its CRI service is off.
    #[error("the runtime at {} has no CRI v1 service: remove \"cri\" from disabled_plugins in its config.toml", path.display())]
    NoCri {
        /// Socket.
        path: PathBuf,
    },
}

/// The runtime behind a unix socket. Clones share the connection.
#[derive(Clone)]
pub struct GrpcCri {
    runtime: RuntimeServiceClient<Channel>,
    images: ImageServiceClient<Channel>,
    socket: PathBuf,
    timeout: Duration,
    observe: Option<super::Observe>,
}

impl GrpcCri {
    /// A client that dials at its first call. `endpoint` is `unix:///path` or an absolute path; `timeout` is the limit
    /// of ordinary calls ([`REQUEST_TIMEOUT`], or what the configuration says). Must be called on a tokio runtime.
    pub fn lazy(endpoint: &str, timeout: Duration) -> std::result::Result<Self, ConnectError> {
        let wrong = || ConnectError::Endpoint {
            endpoint: endpoint.to_owned(),
        };
        let path = endpoint.strip_prefix("unix://").unwrap_or(endpoint);
        if !path.starts_with('/') {
            return Err(wrong());
        }
        let dial = Endpoint::from_shared(format!("unix://{path}")).map_err(|_| wrong())?;
        let channel = dial.connect_timeout(CONNECT_TIMEOUT).connect_lazy();
        Ok(Self {
            runtime: RuntimeServiceClient::new(channel.clone()).max_decoding_message_size(MAX_MESSAGE),
            images: ImageServiceClient::new(channel).max_decoding_message_size(MAX_MESSAGE),
            socket: path.into(),
            timeout,
            observe: None,
        })
    }

    /// As [`GrpcCri::lazy`], and makes sure that a CRI runtime answers.
    pub async fn connect(endpoint: &str, timeout: Duration) -> std::result::Result<Self, ConnectError> {
        let client = Self::lazy(endpoint, timeout)?;
        let path = client.socket.clone();
        if !path.exists() {
            return Err(ConnectError::Missing { path });
        }
        let probe = Self {
            timeout: CONNECT_TIMEOUT.min(timeout),
            ..client.clone()
        };
        match probe.version().await {
            Ok(_) => Ok(client),
            Err(e) if e.is_unimplemented() => Err(ConnectError::NoCri { path }),
            Err(source) => Err(ConnectError::NoAnswer { path, source }),
        }
    }

    /// The same, that tells of every call.
    pub fn observed(mut self, observe: super::Observe) -> Self {
        self.observe = Some(observe);
        self
    }

    /// The socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Ordinary time limit.
    async fn call<T>(
        &self,
        name: &'static str,
        answer: impl Future<Output = std::result::Result<Response<T>, Status>>,
    ) -> Result<T> {
        self.within(name, Some(self.timeout), answer).await
    }

    /// A time limit of its own.
    async fn within<T>(
        &self,
        name: &'static str,
        limit: Option<Duration>,
        answer: impl Future<Output = std::result::Result<Response<T>, Status>>,
    ) -> Result<T> {
        let begin = tokio::time::Instant::now();
        let result = within(name, limit, answer).await;
        if let Some(observe) = &self.observe {
            observe(name, begin.elapsed(), result.is_err());
        }
        result
    }
}

/// Awaits an answer for at most `limit`. Giving up cancels the call at the runtime too.
async fn within<T>(
    call: &'static str,
    limit: Option<Duration>,
    answer: impl Future<Output = std::result::Result<Response<T>, Status>>,
) -> Result<T> {
    let answer = match limit {
        None => answer.await,
        Some(limit) => tokio::time::timeout(limit, answer).await.map_err(|_| Error {
            call,
            code: Code::DeadlineExceeded,
            message: format!("the runtime did not answer within {} s", limit.as_secs_f32()),
        })?,
    };
    answer
        .map(Response::into_inner)
        .map_err(|status| from_status(call, &status))
}

/// Keeps the runtime's words; a failure to reach it is told with all its causes.
fn from_status(call: &'static str, status: &Status) -> Error {
    let mut message = status.message().to_owned();
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        let text = error.to_string();
        if !message.contains(&text) {
            message = if message.is_empty() {
                text
            } else {
                format!("{message}: {text}")
            };
        }
        cause = error.source();
    }
    Error {
        call,
        code: status.code(),
        message,
    }
}

/// Stop and remove are done when there is nothing to stop or remove.
fn gone_is_done<T>(result: Result<T>) -> Result<()> {
    match result {
        Err(e) if e.is_not_found() => Ok(()),
        other => other.map(drop),
    }
}

impl fmt::Debug for GrpcCri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrpcCri")
            .field("socket", &self.socket)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
