//! Flags and kubelet's configuration file, validated once into one immutable [`Config`] with a section per component.
//!
//! Flags carry kubelet's and kube-proxy's names where those exist. `fields` is the table of everything a
//! `KubeletConfiguration` may hold and what we do with it; a flag stands for its field and goes before the drop-ins,
//! those before the file. What has no effect here is named in one warning, what does not exist is refused. Parsing
//! reads nothing but the flags and what the [`Source`] gives, so every rule is tested without touching the machine.
//! Whoever needs a setting gets its section.

mod check;
mod document;
mod eviction;
mod fields;
mod flags;
mod gates;
mod images;
mod kubelet_flags;
mod names;
mod resources;
mod sections;
mod settings;
mod shutdown;
mod tls;
mod types;
mod values;

pub use eviction::{EvictionConfig, Level, Signal, Threshold};
pub use flags::{Cli, Command, Flags};
pub use kubelet_flags::KubeletFlags;
pub use resources::{Amounts, Enforce, Reserved, ResourceConfig};
pub use sections::levels_of_klog;
pub use shutdown::{ShutdownConfig, ShutdownPeriod};
pub use tls::{CIPHER_SUITES, CURVES};
pub use types::{
    ApiConfig, AuthorizationMode, CgroupDriver, HostConfig, IdentityConfig, ImageGcConfig, KubeletConfig,
    LogFormat, LogRotation, NetworkConfig, NetworkMode, ProxyConfig, ProxyMode, PullLimits, PullVerification,
    ServerConfig, Taint, TaintEffect, TelemetryConfig,
};
pub use values::duration as parse_duration;

use settings::Settings;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the configuration may read of the machine.
pub trait Source {
    /// The machine's host name.
    fn hostname(&self) -> std::io::Result<String>;
    /// An environment variable.
    fn env(&self, name: &str) -> Option<String>;
    /// A file's text.
    fn read(&self, file: &Path) -> std::io::Result<String>;
    /// All files in a directory and below, in the order of their names.
    fn files(&self, dir: &Path) -> std::io::Result<Vec<PathBuf>>;
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
    /// What was asked for and has no effect, in one sentence.
    pub warning: Option<String>,
}

/// A setting that cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct Error {
    /// The flag, as `--node-ip`, or the file and the field, as `config.yaml: authentication.webhook.cacheTTL`.
    pub place: String,
    /// What is wrong, and what would be right.
    pub problem: String,
}

impl Error {
    fn new(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            problem: problem.into(),
        }
    }
}

impl Config {
    /// Validates flags and the files they name.
    pub fn new(flags: &Flags, source: &dyn Source) -> Result<Arc<Self>, Error> {
        let node: Arc<str> = sections::node_name(flags, source)?.into();
        let settings = Settings::read(flags, source)?;
        Ok(Arc::new(Self {
            kubelet: sections::kubelet(flags, &settings, &node)?,
            server: sections::server(&settings),
            identity: sections::identity(flags, &settings, &node)?,
            network: sections::network(flags, &node)?,
            proxy: sections::proxy(flags, &node),
            api: sections::api(flags),
            telemetry: sections::telemetry(flags, &settings, source)?,
            warning: settings.warning(),
            node,
        }))
    }
}

#[cfg(test)]
mod tests;
