//! Probes and lifecycle hooks.

use serde::{Deserialize, Serialize};
use std::fmt;

/// `livenessProbe`, `readinessProbe` or `startupProbe`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Probe {
    /// HTTP GET.
    pub http_get: Option<HttpGet>,
    /// TCP connect.
    pub tcp_socket: Option<TcpSocket>,
    /// Command in the container.
    pub exec: Option<ExecAction>,
    /// gRPC health check.
    pub grpc: Option<GrpcAction>,
    /// Seconds before the first probe.
    pub initial_delay_seconds: u32,
    /// Seconds a probe may take.
    pub timeout_seconds: u32,
    /// Seconds between probes.
    pub period_seconds: u32,
    /// Successes in a row that make it healthy.
    pub success_threshold: u32,
    /// Failures in a row that make it unhealthy.
    pub failure_threshold: u32,
    /// Grace period when this probe kills the container.
    pub termination_grace_period_seconds: Option<i64>,
}

impl Default for Probe {
    fn default() -> Self {
        Self {
            http_get: None,
            tcp_socket: None,
            exec: None,
            grpc: None,
            initial_delay_seconds: 0,
            timeout_seconds: 1,
            period_seconds: 10,
            success_threshold: 1,
            failure_threshold: 3,
            termination_grace_period_seconds: None,
        }
    }
}

/// `httpGet` of a probe or hook.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpGet {
    /// Path and query; `/` when empty.
    pub path: Box<str>,
    /// Port number or name.
    pub port: IntOrString,
    /// Host instead of the pod IP.
    pub host: Box<str>,
    /// `HTTP` or `HTTPS`.
    pub scheme: Box<str>,
    /// Extra headers.
    pub http_headers: Vec<HttpHeader>,
}

/// A request header.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct HttpHeader {
    /// Name.
    pub name: Box<str>,
    /// Value.
    pub value: Box<str>,
}

/// `tcpSocket`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct TcpSocket {
    /// Port number or name.
    pub port: IntOrString,
    /// Host instead of the pod IP.
    pub host: Box<str>,
}

/// `exec`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct ExecAction {
    /// Command and arguments; no shell.
    pub command: Vec<Box<str>>,
}

/// `grpc`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct GrpcAction {
    /// Port number.
    pub port: i32,
    /// Service name for the health request.
    pub service: Box<str>,
}

/// `lifecycle`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Lifecycle {
    /// Runs right after the container started.
    pub post_start: Option<LifecycleHandler>,
    /// Runs before the container is told to stop.
    pub pre_stop: Option<LifecycleHandler>,
}

/// One lifecycle hook.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LifecycleHandler {
    /// Command in the container.
    pub exec: Option<ExecAction>,
    /// HTTP GET.
    pub http_get: Option<HttpGet>,
    /// Do nothing for some seconds.
    pub sleep: Option<SleepAction>,
}

/// `sleep` hook.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct SleepAction {
    /// Seconds.
    pub seconds: i64,
}

/// A number or a name (`intstr.IntOrString`).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum IntOrString {
    /// A number.
    Int(i32),
    /// A name.
    Name(Box<str>),
}

impl Default for IntOrString {
    fn default() -> Self {
        Self::Int(0)
    }
}

impl fmt::Display for IntOrString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(number) => write!(f, "{number}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}
