//! The container runtime behind two narrow traits, [`Runtime`] and [`Images`].
//!
//! Messages are the generated CRI v1 types ([`v1`]): they are plain data, and the pure translation builds them
//! directly. `cri/grpc.rs` implements the traits over the runtime's socket; `testing::fake_cri` is a stateful model.

pub mod grpc;

use crate::model::{ContainerId, PodUid, SandboxId};
use async_trait::async_trait;
use futures::stream::BoxStream;
use std::fmt;
use std::time::Duration;

/// Generated from `proto/cri.proto`.
#[allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
pub mod v1 {
    tonic::include_proto!("runtime.v1");
}

/// Label the kubelet puts on every sandbox and container: the Pod's UID. Lists are filtered by it.
pub const POD_UID_LABEL: &str = "io.kubernetes.pod.uid";

/// A failed CRI call.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{call}: {message}")]
pub struct Error {
    /// RPC name.
    pub call: &'static str,
    /// gRPC status code.
    pub code: tonic::Code,
    /// The runtime's own words.
    pub message: String,
}

impl Error {
    /// The sandbox, container or image does not exist.
    pub fn is_not_found(&self) -> bool {
        self.code == tonic::Code::NotFound
    }
    /// The runtime does not have this call.
    pub fn is_unimplemented(&self) -> bool {
        self.code == tonic::Code::Unimplemented
    }
    /// The error as Go programs print it, which is what people search for: `rpc error: code = NotFound desc = …`. The
    /// code Unknown adds nothing and is left out, as kubelet does.
    pub fn grpc_text(&self) -> String {
        match self.code {
            tonic::Code::Unknown => self.message.clone(),
            code => go_status(code, &self.message),
        }
    }
    /// The call took longer than it may. For [`Runtime::exec_sync`]: the command did.
    pub fn is_timeout(&self) -> bool {
        self.code == tonic::Code::DeadlineExceeded
    }
}

/// A gRPC status as Go programs print it.
pub fn go_status(code: tonic::Code, message: &str) -> String {
    match code {
        tonic::Code::Cancelled => format!("rpc error: code = Canceled desc = {message}"),
        tonic::Code::Ok => format!("rpc error: code = OK desc = {message}"),
        code => format!("rpc error: code = {code:?} desc = {message}"),
    }
}

/// Told of every finished call: its RPC name, how long it took, and whether it failed.
pub type Observe = std::sync::Arc<dyn Fn(&'static str, std::time::Duration, bool) + Send + Sync>;

/// Result of a CRI call.
pub type Result<T> = std::result::Result<T, Error>;

/// What a command run by [`Runtime::exec_sync`] left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecOutput {
    /// Standard output; runtimes cut it at 16 MiB.
    pub stdout: Vec<u8>,
    /// Standard error; runtimes cut it at 16 MiB.
    pub stderr: Vec<u8>,
    /// Exit code; not zero is no [`Error`].
    pub exit_code: i32,
}

/// Sandboxes and containers. Stop and remove calls are idempotent: what does not exist is a success.
#[async_trait]
pub trait Runtime: Send + Sync + fmt::Debug {
    /// Name and versions of the runtime.
    async fn version(&self) -> Result<v1::VersionResponse>;
    /// Conditions `RuntimeReady` and `NetworkReady`, handlers and features; `verbose` adds the runtime's own info.
    async fn status(&self, verbose: bool) -> Result<v1::StatusResponse>;
    /// The cgroup driver; Unimplemented before containerd 2.0.
    async fn runtime_config(&self) -> Result<v1::RuntimeConfigResponse>;

    /// Creates and starts a sandbox, with its network.
    async fn run_pod_sandbox(
        &self,
        config: &v1::PodSandboxConfig,
        runtime_handler: &str,
    ) -> Result<SandboxId>;
    /// Kills what runs in the sandbox and takes its network down.
    async fn stop_pod_sandbox(&self, id: &SandboxId) -> Result<()>;
    /// Removes the sandbox with all its containers.
    async fn remove_pod_sandbox(&self, id: &SandboxId) -> Result<()>;
    /// All sandboxes, or those of one Pod.
    async fn list_pod_sandboxes(&self, pod: Option<&PodUid>) -> Result<Vec<v1::PodSandbox>>;
    /// State and addresses of a sandbox.
    async fn pod_sandbox_status(&self, id: &SandboxId) -> Result<v1::PodSandboxStatus>;

    /// Creates a container; its image must be present.
    async fn create_container(
        &self,
        sandbox: &SandboxId,
        config: &v1::ContainerConfig,
        sandbox_config: &v1::PodSandboxConfig,
    ) -> Result<ContainerId>;
    /// Starts a created container.
    async fn start_container(&self, id: &ContainerId) -> Result<()>;
    /// Stop signal, then SIGKILL after `timeout_seconds`. Returns when the container has stopped.
    async fn stop_container(&self, id: &ContainerId, timeout_seconds: i64) -> Result<()>;
    /// Removes a container, also a running one.
    async fn remove_container(&self, id: &ContainerId) -> Result<()>;
    /// All containers, or those of one Pod, in any state.
    async fn list_containers(&self, pod: Option<&PodUid>) -> Result<Vec<v1::Container>>;
    /// Times, exit code and reason of one container.
    async fn container_status(&self, id: &ContainerId) -> Result<v1::ContainerStatus>;
    /// Changes the limits of a running container.
    async fn update_container_resources(
        &self,
        id: &ContainerId,
        resources: &v1::LinuxContainerResources,
    ) -> Result<()>;
    /// Makes the runtime write to a new log file after the old one was renamed.
    async fn reopen_container_log(&self, id: &ContainerId) -> Result<()>;
    /// Writes a container's state into an archive at `location`. `timeout` has a resolution of seconds; zero is the
    /// runtime's own limit.
    async fn checkpoint_container(&self, id: &ContainerId, location: &str, timeout: Duration) -> Result<()>;

    /// Runs a command in a container and waits for it. `timeout` has a resolution of seconds; zero waits for ever.
    /// A command that takes longer gives an error with [`Error::is_timeout`].
    async fn exec_sync(&self, id: &ContainerId, command: &[String], timeout: Duration) -> Result<ExecOutput>;
    /// Prepares an exec session; the answer is the streaming server's URL.
    async fn exec(&self, request: v1::ExecRequest) -> Result<String>;
    /// Prepares an attach session; the answer is the streaming server's URL.
    async fn attach(&self, request: v1::AttachRequest) -> Result<String>;
    /// Prepares a port-forward session; the answer is the streaming server's URL.
    async fn port_forward(&self, request: v1::PortForwardRequest) -> Result<String>;

    /// CPU, memory and disk use of containers.
    async fn list_container_stats(&self, pod: Option<&PodUid>) -> Result<Vec<v1::ContainerStats>>;
    /// CPU, memory and network use of sandboxes.
    async fn list_pod_sandbox_stats(&self, pod: Option<&PodUid>) -> Result<Vec<v1::PodSandboxStats>>;

    /// Changes from now on. Ends when the runtime goes away. A runtime without events (containerd before 1.7) answers
    /// with Unimplemented as the first item: the call itself returns before the runtime was asked.
    async fn container_events(&self) -> Result<BoxStream<'static, Result<v1::ContainerEventResponse>>>;
}

/// Images on the node.
#[async_trait]
pub trait Images: Send + Sync + fmt::Debug {
    /// All images.
    async fn list_images(&self) -> Result<Vec<v1::Image>>;
    /// One image by name, digest reference or id; `None` when it is not present.
    async fn image_status(&self, image: &str) -> Result<Option<v1::Image>>;
    /// Downloads an image and returns the runtime's reference to it. No time limit: the caller drops it to give up.
    async fn pull_image(
        &self,
        image: &v1::ImageSpec,
        auth: Option<&v1::AuthConfig>,
        sandbox_config: Option<&v1::PodSandboxConfig>,
    ) -> Result<String>;
    /// Removes an image; one that is not present is a success.
    async fn remove_image(&self, image: &str) -> Result<()>;
    /// Where images and writable layers are stored, and how much they take.
    async fn image_fs_info(&self) -> Result<v1::ImageFsInfoResponse>;
}

/// Prints which credentials are there, never what they are.
impl fmt::Debug for v1::AuthConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthConfig")
            .field("username", &self.username)
            .field("server_address", &self.server_address)
            .finish_non_exhaustive()
    }
}

/// Prints the name of an environment variable, never its value: it may come from a Secret.
impl fmt::Debug for v1::KeyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=…", self.key)
    }
}
