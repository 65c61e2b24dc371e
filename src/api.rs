//! The API server behind narrow traits.
//!
//! Components see only the traits of this file; the HTTP client, informers and recorders that implement them live in
//! `api/`. Watches decode straight into slim [`crate::model`] types.

mod certificates;
pub mod client;
pub mod configdata;
pub mod events;
pub mod informer;
pub mod kubeconfig;
mod nodes;
mod pods;
mod reviews;

pub use client::Client;
pub use configdata::ConfigReader;
pub use events::Recorder;

use crate::model::{Meta, NamespacedName, Object, PodUid};
use async_trait::async_trait;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a watch tells its reader. The first message is always `Replaced`: the first full list.
#[derive(Debug)]
pub enum Change<T> {
    /// The complete set after a (re)list; whatever is not in it is gone.
    Replaced(Vec<Arc<T>>),
    /// Added or modified.
    Applied(Arc<T>),
    /// Deleted; carries the last known state.
    Deleted(Arc<T>),
}

impl<T> Clone for Change<T> {
    /// Shares the objects, whatever they are.
    fn clone(&self) -> Self {
        match self {
            Self::Replaced(all) => Self::Replaced(all.clone()),
            Self::Applied(object) => Self::Applied(object.clone()),
            Self::Deleted(object) => Self::Deleted(object.clone()),
        }
    }
}

/// What went wrong with a call to the API server.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The server answered with an error status.
    #[error("{verb} {path}: {code} {reason}: {message}")]
    Status {
        /// HTTP verb.
        verb: &'static str,
        /// Request path.
        path: String,
        /// HTTP code.
        code: u16,
        /// `metav1.Status.reason`, as `NotFound` or `Forbidden`.
        reason: String,
        /// Words of the server.
        message: String,
    },
    /// No answer: connect, TLS or transport failed, or the time limit passed.
    #[error("{verb} {path}: {cause}")]
    Unreachable {
        /// HTTP verb.
        verb: &'static str,
        /// Request path.
        path: String,
        /// What failed, in words that name the remedy where one is known.
        cause: String,
    },
    /// The other end of the TLS connection, the API server or a proxy before it, refuses our certificate.
    #[error("{verb} {path}: {cause}")]
    CertificateRefused {
        /// HTTP verb.
        verb: &'static str,
        /// Request path.
        path: String,
        /// What is refused, and the remedy.
        cause: String,
    },
    /// The answer could not be decoded.
    #[error("{verb} {path}: unexpected answer: {cause}")]
    Decode {
        /// HTTP verb.
        verb: &'static str,
        /// Request path.
        path: String,
        /// Decoder's words.
        cause: String,
    },
}

impl Error {
    /// HTTP status of the answer, if there was one.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Status { code, .. } => Some(*code),
            _ => None,
        }
    }
    /// Our credentials are not accepted, by HTTP (401) or TLS.
    pub fn refuses_us(&self) -> bool {
        self.code() == Some(401) || matches!(self, Self::CertificateRefused { .. })
    }
    /// There was no answer; a later try may have one.
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::CertificateRefused { .. })
    }
    /// The object does not exist.
    pub fn is_not_found(&self) -> bool {
        self.code() == Some(404)
    }
    /// The object exists already, or was changed meanwhile.
    pub fn is_conflict(&self) -> bool {
        self.code() == Some(409)
    }
}

/// Result of an API call.
pub type Result<T> = std::result::Result<T, Error>;

/// Told of every request: verb, host and port of the server, status code (`None`: no answer), and how long it took.
pub type Observe = std::sync::Arc<dyn Fn(&'static str, &str, Option<u16>, std::time::Duration) + Send + Sync>;

/// Writes about Pods.
#[async_trait]
pub trait Pods: Send + Sync {
    /// Patches `status` (strategic merge) with the UID as precondition. `NotFound` or `Conflict` mean that this Pod
    /// is gone (another one may have its name).
    async fn patch_status(&self, pod: &NamespacedName, uid: &PodUid, status: &Value) -> Result<()>;
    /// Creates the mirror of a static Pod. `Conflict` means that there is a Pod of this name.
    async fn create_mirror(&self, pod: &Value) -> Result<()>;
    /// Deletes the object now (grace 0) with the UID as precondition; a Pod that is gone already is a success.
    async fn delete_now(&self, pod: &NamespacedName, uid: &PodUid) -> Result<()>;
    /// Reads the UID of the Pod that has this name now, if any.
    async fn current_uid(&self, pod: &NamespacedName) -> Result<Option<PodUid>>;
    /// All Pods bound to a node as the API server has them: the `PodList` in JSON, every field.
    async fn bound_to(&self, node: &str) -> Result<Vec<u8>>;
}

/// Who makes a request, in the words of `authentication.k8s.io/v1`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
pub struct UserInfo {
    /// Name.
    pub username: Box<str>,
    /// UID; empty when the authentication has none.
    pub uid: Box<str>,
    /// Groups.
    pub groups: Vec<Box<str>>,
    /// What else the authentication told.
    pub extra: BTreeMap<Box<str>, Vec<Box<str>>>,
}

/// What a TokenReview said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reviewed {
    /// The token is this user's.
    Known(UserInfo),
    /// Nobody knows the token.
    Unknown,
    /// The token could not be looked at, or is wrong, in the API server's words.
    Refused(Box<str>),
}

/// May this user do this with a subresource of a Node?
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AccessQuestion {
    /// Who.
    pub user: Arc<UserInfo>,
    /// API verb, as `get`.
    pub verb: &'static str,
    /// The Node.
    pub node: Arc<str>,
    /// Subresource, as `proxy`.
    pub subresource: &'static str,
}

/// Questions about who calls the node's API and what they may do.
#[async_trait]
pub trait Reviews: Send + Sync {
    /// Whose bearer token is this?
    async fn token(&self, token: &str) -> Result<Reviewed>;
    /// Is it allowed?
    async fn access(&self, question: &AccessQuestion) -> Result<bool>;
}

/// Slim ConfigMap or Secret.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConfigObject {
    /// Metadata.
    pub metadata: Meta,
    /// ConfigMap: text by key. Secret: base64 by key.
    pub data: BTreeMap<Box<str>, Box<str>>,
    /// ConfigMap: base64 by key.
    pub binary_data: BTreeMap<Box<str>, Box<str>>,
    /// Secret type, as `kubernetes.io/dockerconfigjson`.
    #[serde(rename = "type")]
    pub kind: Box<str>,
}

impl Object for ConfigObject {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

/// A bound service account token.
#[derive(Clone, Debug)]
pub struct Token {
    /// The JWT.
    pub token: Box<str>,
    /// When it ends.
    pub expires: Timestamp,
}

/// What a token is asked for.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    /// The service account.
    pub service_account: NamespacedName,
    /// Audience; empty means the API server's default.
    pub audience: Box<str>,
    /// Life in seconds.
    pub expiration_seconds: i64,
    /// Pod the token is bound to.
    pub pod_name: Box<str>,
    /// Its UID.
    pub pod_uid: PodUid,
}

/// Reads of configuration data for sandboxes, volumes, environment and pulls.
#[async_trait]
pub trait ConfigData: Send + Sync {
    /// The handler that a RuntimeClass names, empty for the runtime's default; `None` when there is no such class.
    async fn runtime_handler(&self, class: &str) -> Result<Option<Box<str>>>;
    /// A ConfigMap; `None` when it does not exist.
    async fn config_map(&self, name: &NamespacedName) -> Result<Option<Arc<ConfigObject>>>;
    /// A Secret; `None` when it does not exist.
    async fn secret(&self, name: &NamespacedName) -> Result<Option<Arc<ConfigObject>>>;
    /// A ServiceAccount, its metadata only; `None` when it does not exist.
    async fn service_account(&self, name: &NamespacedName) -> Result<Option<Arc<ConfigObject>>>;
    /// A bound token by TokenRequest.
    async fn token(&self, request: &TokenRequest) -> Result<Token>;
}

/// Reads and writes of our own Node and Lease.
#[async_trait]
pub trait Nodes: Send + Sync {
    /// Our Node as JSON, if it exists.
    async fn get(&self, name: &str) -> Result<Option<Value>>;
    /// Creates the Node.
    async fn create(&self, node: &Value) -> Result<Value>;
    /// Merge-patches metadata/spec.
    async fn patch(&self, name: &str, patch: &Value) -> Result<Value>;
    /// Strategic-merge-patches `status`.
    async fn patch_status(&self, name: &str, patch: &Value) -> Result<Value>;
    /// Creates or renews the Lease of this name in `kube-node-lease`.
    async fn renew_lease(&self, name: &str, lease_duration_seconds: i32, now: Timestamp) -> Result<()>;
}

/// Certificate signing requests (`certificates.k8s.io/v1`).
#[async_trait]
pub trait SigningRequests: Send + Sync {
    /// Creates one and returns what was stored.
    async fn create(&self, request: &Value) -> Result<Value>;
    /// Reads one; `None` when it does not exist.
    async fn get(&self, name: &str) -> Result<Option<Value>>;
}

/// `Normal` or `Warning`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventType {
    /// Information.
    Normal,
    /// Something is wrong.
    Warning,
}

/// The object an Event is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ObjectRef {
    /// `Pod`, `Node`, `Service`, …
    pub kind: Box<str>,
    /// `v1`, `discovery.k8s.io/v1`, …
    pub api_version: Box<str>,
    /// Namespace and name.
    pub key: NamespacedName,
    /// UID; for a Node kubelet uses the node's name.
    pub uid: PodUid,
    /// As `spec.containers{web}`; empty for the whole object.
    pub field_path: Box<str>,
}

/// Takes Events without blocking; delivery is best effort, repeated Events are counted up, not repeated.
pub trait Events: Send + Sync {
    /// Records one Event.
    fn emit(&self, object: &ObjectRef, kind: EventType, reason: &str, message: String);
}
