//! The part of `ObjectMeta` that rustlet reads.

use super::ids::{NamespacedName, PodUid};
use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Slim `metav1.ObjectMeta`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    /// Object name.
    pub name: Arc<str>,
    /// Namespace; empty for cluster-scoped objects.
    pub namespace: Arc<str>,
    /// UID; for a Pod the key of its worker.
    pub uid: PodUid,
    /// Opaque version the API server gives to every write.
    pub resource_version: Box<str>,
    /// Grows by one with every change of the spec.
    pub generation: Option<i64>,
    /// Labels.
    pub labels: BTreeMap<Box<str>, Box<str>>,
    /// Annotations.
    pub annotations: BTreeMap<Box<str>, Box<str>>,
    /// When the object was created, by the API server's clock.
    pub creation_timestamp: Option<Timestamp>,
    /// When the object should be gone; set means deletion was requested.
    pub deletion_timestamp: Option<Timestamp>,
    /// Seconds granted for graceful deletion.
    pub deletion_grace_period_seconds: Option<i64>,
}

impl Meta {
    /// `namespace/name`.
    pub fn key(&self) -> NamespacedName {
        NamespacedName {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }
}

/// An API object an informer can carry.
pub trait Object: DeserializeOwned + Send + Sync + 'static {
    /// The object's metadata.
    fn meta(&self) -> &Meta;
}
