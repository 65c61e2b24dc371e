//! Flags, validated once into one immutable [`Config`] with a section per component.
//!
//! Flags carry kubelet's and kube-proxy's names where those exist. Parsing reads nothing but the flags and what the
//! [`Source`] gives, so every rule is tested without touching the machine. Whoever needs a setting gets its section.

mod flags;
mod names;
mod sections;
mod types;

pub use flags::{Cli, Command, Flags};
pub use types::{
    ApiConfig, AuthorizationMode, CgroupDriver, IdentityConfig, KubeletConfig, LogFormat, NetworkConfig,
    NetworkMode, ProxyConfig, ProxyMode, ServerConfig, Taint, TaintEffect, TelemetryConfig,
};

use std::sync::Arc;

/// What the configuration may read of the machine.
pub trait Source {
    /// The machine's host name.
    fn hostname(&self) -> std::io::Result<String>;
    /// An environment variable.
    fn env(&self, name: &str) -> Option<String>;
}

/// Everything the agent was told, valid and immutable.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Name of our Node object.
    pub node: Arc<str>,
    /// For `kubelet`.
    pub kubelet: KubeletConfig,
    /// For the node's HTTPS API.
    pub server: ServerConfig,
    /// For the node's credentials.
    pub identity: IdentityConfig,
    /// For `network`.
    pub network: NetworkConfig,
    /// For `proxy`.
    pub proxy: ProxyConfig,
    /// For `api`.
    pub api: ApiConfig,
    /// For `telemetry`.
    pub telemetry: TelemetryConfig,
}

/// A flag whose value cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{flag}: {problem}")]
pub struct Error {
    /// The flag, as `--node-ip`.
    pub flag: &'static str,
    /// What is wrong, and what would be right.
    pub problem: String,
}

impl Error {
    fn new(flag: &'static str, problem: impl Into<String>) -> Self {
        Self {
            flag,
            problem: problem.into(),
        }
    }
}

impl Config {
    /// Validates flags.
    pub fn new(flags: &Flags, source: &dyn Source) -> Result<Arc<Self>, Error> {
        let node: Arc<str> = sections::node_name(flags, source)?.into();
        Ok(Arc::new(Self {
            kubelet: sections::kubelet(flags, &node)?,
            server: ServerConfig::default(),
            identity: sections::identity(flags, &node)?,
            network: sections::network(flags, &node)?,
            proxy: sections::proxy(flags, &node),
            api: sections::api(flags),
            telemetry: sections::telemetry(flags, source)?,
            node,
        }))
    }
}

#[cfg(test)]
mod tests;
