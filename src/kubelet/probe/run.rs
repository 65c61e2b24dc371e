//! Runs one probe once: HTTP, TCP, a command in the container, or gRPC health.

use super::http;
use super::state::Outcome;
use crate::cri::{self, Runtime};
use crate::kubelet::env::expand;
use crate::kubelet::plan::go_duration;
use crate::model::ContainerId;
use crate::model::pod::{Container, ExecAction, GrpcAction, IntOrString, Probe};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Instant;

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
    let Some(number) = number else {
        return Err(Outcome::Error(format!(
            "strconv.Atoi: parsing {:?}: invalid syntax",
            wanted.to_string()
        )));
    };
    u16::try_from(number)
        .ok()
        .filter(|n| *n > 0)
        .ok_or_else(|| Outcome::Error(format!("invalid port number: {number}")))
}

/// PURE. `host:port`, with brackets where they are needed.
fn joined(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// Connects; the error is in Go's words.
pub(super) async fn dial(host: &str, port: u16) -> Result<TcpStream, String> {
    let address = joined(host, port);
    TcpStream::connect(&address)
        .await
        .map_err(|error| http::dial_error(&address, &error))
}

/// Healthy when a connection can be opened.
pub(super) async fn tcp(host: &str, port: u16, timeout: Duration) -> Outcome {
    match tokio::time::timeout(timeout, dial(host, port)).await {
        Ok(Ok(_)) => Outcome::Success,
        Ok(Err(why)) => Outcome::Failure(why),
        Err(_) => Outcome::Failure(format!("dial tcp {}: i/o timeout", joined(host, port))),
    }
}

/// PURE. The command, with the variables the container's spec gives a value to.
fn command(action: &ExecAction, container: &Container) -> Vec<String> {
    let value = |name: &str| {
        let mut env = container.env.iter().rev();
        env.find(|e| &*e.name == name).map(|e| e.value.to_string())
    };
    action.command.iter().map(|word| expand(word, value)).collect()
}

/// Healthy when the command exits with 0.
async fn exec(action: &ExecAction, target: &Target, timeout: Duration) -> Outcome {
    let command = command(action, &target.container);
    match target.runtime.exec_sync(&target.id, &command, timeout).await {
        Ok(done) if done.exit_code == 0 => Outcome::Success,
        Ok(done) => {
            let mut output = done.stdout;
            output.extend(done.stderr);
            output.truncate(MAX_OUTPUT);
            Outcome::Failure(String::from_utf8_lossy(&output).into_owned())
        }
        Err(error) if error.is_timeout() => Outcome::Failure(format!(
            "command timed out: {:?} timed out after {}",
            command.join(" "),
            words(timeout)
        )),
        Err(error) => Outcome::Error(cri::go_status(error.code, &error.message)),
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

/// Pause before a server that refuses the connection is asked again.
const RECONNECT: Duration = Duration::from_secs(1);

/// Healthy when `grpc.health.v1.Health/Check` says SERVING. A server that is not there yet is waited for.
async fn grpc(action: &GrpcAction, host: &str, port: u16, timeout: Duration) -> Outcome {
    let (address, end) = (joined(host, port), Instant::now() + timeout);
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}"))
        .and_then(|endpoint| endpoint.user_agent(http::AGENT));
    let endpoint = match endpoint {
        Ok(endpoint) => endpoint,
        Err(error) => {
            let text = format!("error: failed to connect service at {address:?}: {error}");
            return Outcome::Failure(text);
        }
    };
    let connected = async {
        loop {
            match endpoint.connect().await {
                Ok(channel) => return channel,
                Err(_) => tokio::time::sleep(RECONNECT).await,
            }
        }
    };
    let Ok(channel) = tokio::time::timeout_at(end, connected).await else {
        return Outcome::Failure(format!(
            "timeout: failed to connect service {address:?} within {}: context deadline exceeded",
            words(timeout)
        ));
    };
    let status = tokio::time::timeout_at(end, health(channel, &action.service)).await;
    let status = status.unwrap_or_else(|_| Err(tonic::Status::deadline_exceeded("")));
    judged(status, timeout)
}

/// PURE. What the answer means.
fn judged(answer: Result<i32, tonic::Status>, timeout: Duration) -> Outcome {
    let failure = match answer {
        Ok(SERVING) => return Outcome::Success,
        Ok(status) => {
            let word = match status {
                0 => "UNKNOWN".to_owned(),
                2 => "NOT_SERVING".to_owned(),
                3 => "SERVICE_UNKNOWN".to_owned(),
                other => other.to_string(),
            };
            format!("service unhealthy (responded with {word:?})")
        }
        Err(status) => match status.code() {
            tonic::Code::Unimplemented => format!(
                "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {}",
                status.message()
            ),
            tonic::Code::DeadlineExceeded => {
                format!("timeout: health rpc did not complete within {}", words(timeout))
            }
            code => format!(
                "error: health rpc probe failed: {}",
                cri::go_status(code, status.message())
            ),
        },
    };
    Outcome::Failure(failure)
}

async fn health(channel: tonic::transport::Channel, service: &str) -> Result<i32, tonic::Status> {
    let mut client = tonic::client::Grpc::new(channel);
    client
        .ready()
        .await
        .map_err(|error| tonic::Status::unavailable(error.to_string()))?;
    let request = tonic::Request::new(HealthRequest {
        service: service.to_owned(),
    });
    let path = ::http::uri::PathAndQuery::from_static(HEALTH_CHECK);
    let codec = tonic_prost::ProstCodec::<HealthRequest, HealthResponse>::default();
    Ok(client.unary(request, path, codec).await?.into_inner().status)
}

/// PURE. Go's way to print whole seconds.
fn words(timeout: Duration) -> String {
    go_duration(i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
