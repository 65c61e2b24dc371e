//! Runs one probe once: HTTP, TCP, a command in the container, or gRPC health.

use super::http;
use super::state::Outcome;
use crate::cri::Runtime;
use crate::model::ContainerId;
use crate::model::pod::{Container, ExecAction, GrpcAction, IntOrString, Probe};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;

const MAX_OUTPUT: usize = 10 << 10;
/// A probe that could not be made is tried this often before it is given up for this time.
const TRIES: usize = 3;

/// What a probe is made against.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// The runtime, for commands.
    pub(super) runtime: Arc<dyn Runtime>,
    /// The container.
    pub(super) container: Arc<Container>,
    /// Its id.
    pub(super) id: ContainerId,
    /// The Pod's address; the node's for host-network Pods.
    pub(super) ip: Option<IpAddr>,
}

/// Runs the probe; errors of the probe itself are retried at once.
pub(super) async fn run(probe: &Probe, target: &Target) -> Outcome {
    let mut outcome = once(probe, target).await;
    for _ in 1..TRIES {
        if !matches!(outcome, Outcome::Error(_)) {
            break;
        }
        outcome = once(probe, target).await;
    }
    outcome
}

async fn once(probe: &Probe, target: &Target) -> Outcome {
    let timeout = Duration::from_secs(u64::from(probe.timeout_seconds.max(1)));
    if let Some(action) = &probe.exec {
        return exec(action, target, timeout).await;
    }
    let ip = || {
        target
            .ip
            .map(|ip| ip.to_string())
            .ok_or_else(|| Outcome::Error("the pod has no address".into()))
    };
    let host = |named: &str| {
        if named.is_empty() {
            ip()
        } else {
            Ok(named.to_owned())
        }
    };
    let ports = &target.container;
    let made = async {
        if let Some(action) = &probe.http_get {
            return Ok(http::get(action, &host(&action.host)?, port(&action.port, ports)?, timeout).await);
        }
        if let Some(action) = &probe.tcp_socket {
            return Ok(tcp(&host(&action.host)?, port(&action.port, ports)?, timeout).await);
        }
        if let Some(action) = &probe.grpc {
            let port = port(&IntOrString::Int(action.port), ports)?;
            return Ok(grpc(action, &ip()?, port, timeout).await);
        }
        Err(Outcome::Error("missing probe handler".into()))
    };
    made.await.unwrap_or_else(|error| error)
}

/// PURE. A number, or the name of one of the container's ports.
pub(crate) fn port(wanted: &IntOrString, container: &Container) -> Result<u16, Outcome> {
    let number = match wanted {
        IntOrString::Int(number) => Some(*number),
        IntOrString::Name(name) => match container.ports.iter().find(|p| p.name == *name) {
            Some(port) => Some(port.container_port),
            None => name.parse().ok(),
        },
    };
    number
        .and_then(|n| u16::try_from(n).ok())
        .filter(|n| *n > 0)
        .ok_or_else(|| Outcome::Error(format!("invalid port number: {wanted}")))
}

/// Connects; the error is in Go's words.
pub(super) async fn dial(host: &str, port: u16) -> Result<TcpStream, String> {
    let address = match host.parse::<IpAddr>() {
        Ok(ip) => std::net::SocketAddr::new(ip, port).to_string(),
        Err(_) => format!("{host}:{port}"),
    };
    TcpStream::connect(&address)
        .await
        .map_err(|error| http::dial_error(&address, &error))
}

/// Healthy when a connection can be opened.
pub(super) async fn tcp(host: &str, port: u16, timeout: Duration) -> Outcome {
    match tokio::time::timeout(timeout, dial(host, port)).await {
        Ok(Ok(_)) => Outcome::Success,
        Ok(Err(why)) => Outcome::Failure(why),
        Err(_) => Outcome::Failure(format!("dial tcp {host}:{port}: i/o timeout")),
    }
}

/// Healthy when the command exits with 0.
async fn exec(action: &ExecAction, target: &Target, timeout: Duration) -> Outcome {
    let command: Vec<String> = action.command.iter().map(|word| word.to_string()).collect();
    match target.runtime.exec_sync(&target.id, &command, timeout).await {
        Ok(done) if done.exit_code == 0 => Outcome::Success,
        Ok(done) => {
            let mut output = done.stdout;
            output.extend(done.stderr);
            output.truncate(MAX_OUTPUT);
            Outcome::Failure(String::from_utf8_lossy(&output).into_owned())
        }
        Err(error) if error.is_timeout() => Outcome::Failure(format!(
            "command timed out: {:?} timed out after {}s",
            command.join(" "),
            timeout.as_secs()
        )),
        Err(error) => Outcome::Error(error.message),
    }
}

/// `grpc.health.v1.HealthCheckRequest`.
#[derive(Clone, PartialEq, prost::Message)]
struct HealthRequest {
    #[prost(string, tag = "1")]
    service: String,
}

/// `grpc.health.v1.HealthCheckResponse`.
#[derive(Clone, PartialEq, prost::Message)]
struct HealthResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

const SERVING: i32 = 1;
const HEALTH_CHECK: &str = "/grpc.health.v1.Health/Check";

/// Healthy when `grpc.health.v1.Health/Check` says SERVING.
async fn grpc(action: &GrpcAction, host: &str, port: u16, timeout: Duration) -> Outcome {
    let address = if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    };
    match tokio::time::timeout(timeout, health(&address, &action.service)).await {
        Ok(Ok(SERVING)) => Outcome::Success,
        Ok(Ok(status)) => {
            let word = match status {
                2 => "NOT_SERVING",
                3 => "SERVICE_UNKNOWN",
                _ => "UNKNOWN",
            };
            Outcome::Failure(format!("service unhealthy (responded with {word:?})"))
        }
        Ok(Err(why)) => Outcome::Failure(why),
        Err(_) => Outcome::Failure(format!(
            "timeout: health rpc did not complete within {}s",
            timeout.as_secs()
        )),
    }
}

async fn health(address: &str, service: &str) -> Result<i32, String> {
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}"))
        .and_then(|e| e.user_agent(http::AGENT))
        .map_err(|e| e.to_string())?;
    let unreachable = |e: tonic::transport::Error| {
        let cause = std::error::Error::source(&e).map_or_else(|| e.to_string(), ToString::to_string);
        format!("error: failed to connect service at {address:?}: {cause}")
    };
    let channel = endpoint.connect().await.map_err(unreachable)?;
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.map_err(unreachable)?;
    let request = tonic::Request::new(HealthRequest {
        service: service.to_owned(),
    });
    let path = ::http::uri::PathAndQuery::from_static(HEALTH_CHECK);
    let codec = tonic_prost::ProstCodec::<HealthRequest, HealthResponse>::default();
    match client.unary(request, path, codec).await {
        Ok(answer) => Ok(answer.into_inner().status),
        Err(status) if status.code() == tonic::Code::Unimplemented => Err(format!(
            "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {}",
            status.message()
        )),
        Err(status) => Err(format!("error: health rpc probe failed: {}", status.message())),
    }
}

#[cfg(test)]
mod tests;
