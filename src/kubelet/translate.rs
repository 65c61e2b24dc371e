//! PURE. Pod → CRI: what a sandbox and a container are created from.
//!
//! Labels, annotations and log paths are kubelet's, so that either agent reads what the other made. What this build
//! cannot honour is refused with the field's name; nothing is silently weakened.

mod container;
mod resources;
mod sandbox;
mod security;
#[cfg(test)]
mod tests;

pub use container::{ContainerInput, ImageUser, container};
pub use resources::NodeLimits;
pub use sandbox::{SandboxInput, sandbox};
pub use security::apparmor_profile;

/// Labels and annotations by which a node agent finds its Pods again.
pub mod keys {
    /// Label: Pod name.
    pub const POD_NAME: &str = "io.kubernetes.pod.name";
    /// Label: Pod namespace.
    pub const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
    /// Label: Pod UID.
    pub const POD_UID: &str = "io.kubernetes.pod.uid";
    /// Label: container name.
    pub const CONTAINER_NAME: &str = "io.kubernetes.container.name";
    /// Annotation: hash of the container's spec, hex.
    pub const HASH: &str = "io.kubernetes.container.hash";
    /// Annotation: restarts before this instance.
    pub const RESTART_COUNT: &str = "io.kubernetes.container.restartCount";
    /// Annotation: file the container may leave its last words in.
    pub const TERMINATION_PATH: &str = "io.kubernetes.container.terminationMessagePath";
    /// Annotation: `File` or `FallbackToLogsOnError`.
    pub const TERMINATION_POLICY: &str = "io.kubernetes.container.terminationMessagePolicy";
    /// Annotation: the preStop hook as JSON.
    pub const PRE_STOP: &str = "io.kubernetes.container.preStopHandler";
    /// Annotation: the container's ports as JSON.
    pub const PORTS: &str = "io.kubernetes.container.ports";
    /// Annotation: grace period of the deletion, seconds.
    pub const DELETION_GRACE: &str = "io.kubernetes.pod.deletionGracePeriod";
    /// Annotation: grace period of the spec, seconds.
    pub const TERMINATION_GRACE: &str = "io.kubernetes.pod.terminationGracePeriod";
    /// Annotation, ours alone: seconds the next instance waits for when this one crashes soon; 0 for none.
    pub const CRASH_BACKOFF: &str = "rustlet.dev/crash-backoff-seconds";
}

/// Why a Pod or container cannot be translated; for a container the reason is `CreateContainerConfigError`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A field this build cannot honour.
    #[error("{field}: {cause}")]
    Field {
        /// Path in the Pod, as `spec.hostUsers`.
        field: String,
        /// What is wrong with it.
        cause: String,
    },
    /// `runAsNonRoot`, and the container would run as root or as who knows whom.
    #[error("{cause} (pod: \"{pod}\", container: {container})")]
    NonRoot {
        /// What would happen.
        cause: String,
        /// Pod as `name_namespace(uid)`.
        pod: String,
        /// Container name.
        container: Box<str>,
    },
    /// Host name or domain.
    #[error(transparent)]
    Names(#[from] crate::kubelet::hosts::Error),
}

fn field(field: impl Into<String>, cause: impl Into<String>) -> Error {
    Error::Field {
        field: field.into(),
        cause: cause.into(),
    }
}
