//! What containers can mount.

use super::container::{FieldRef, PullPolicy, Quantity, ResourceFieldRef};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Slim `v1.Volume`: a name and one source.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Volume {
    /// Name mounts refer to.
    pub name: Box<str>,
    /// Scratch space.
    pub empty_dir: Option<EmptyDir>,
    /// A path of the node.
    pub host_path: Option<HostPath>,
    /// Files from a ConfigMap.
    pub config_map: Option<ObjectFiles>,
    /// Files from a Secret.
    pub secret: Option<SecretFiles>,
    /// Files from Pod fields.
    #[serde(rename = "downwardAPI")]
    pub downward_api: Option<DownwardFiles>,
    /// Several sources in one directory.
    pub projected: Option<Projected>,
    /// The files of an image.
    pub image: Option<ImageVolume>,
    /// Any source this build does not know, so that it can be refused by name instead of mounted empty.
    #[serde(flatten)]
    pub unknown: BTreeMap<Box<str>, serde_json::Value>,
}

/// `emptyDir`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EmptyDir {
    /// `Memory` for tmpfs; empty for disk.
    pub medium: Box<str>,
    /// Upper bound.
    pub size_limit: Option<Quantity>,
}

/// `image`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ImageVolume {
    /// Image reference as the user wrote it.
    pub reference: Box<str>,
    /// When to pull.
    pub pull_policy: PullPolicy,
}

/// `hostPath`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct HostPath {
    /// Path on the node.
    pub path: Box<str>,
    /// What must be there.
    #[serde(rename = "type")]
    pub kind: Box<str>,
}

/// Files from a ConfigMap (also as a projected source).
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectFiles {
    /// Object name.
    pub name: Box<str>,
    /// Which keys become which files; all when empty.
    pub items: Vec<KeyToPath>,
    /// File mode; 0644 when unset.
    pub default_mode: Option<i32>,
    /// A missing object or key is not an error.
    pub optional: Option<bool>,
}

/// Files from a Secret.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SecretFiles {
    /// Object name.
    pub secret_name: Box<str>,
    /// Which keys become which files; all when empty.
    pub items: Vec<KeyToPath>,
    /// File mode; 0644 when unset.
    pub default_mode: Option<i32>,
    /// A missing object or key is not an error.
    pub optional: Option<bool>,
}

/// One key as one file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct KeyToPath {
    /// Key of the object.
    pub key: Box<str>,
    /// Relative path of the file.
    pub path: Box<str>,
    /// File mode.
    pub mode: Option<i32>,
}

/// `downwardAPI` volume or projected source.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DownwardFiles {
    /// Files.
    pub items: Vec<DownwardFile>,
    /// File mode; 0644 when unset.
    pub default_mode: Option<i32>,
}

/// One Pod field as one file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DownwardFile {
    /// Relative path of the file.
    pub path: Box<str>,
    /// A field of the Pod.
    pub field_ref: Option<FieldRef>,
    /// A container's request or limit.
    pub resource_field_ref: Option<ResourceFieldRef>,
    /// File mode.
    pub mode: Option<i32>,
}

/// `projected` volume.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Projected {
    /// Sources, later ones win.
    pub sources: Vec<ProjectedSource>,
    /// File mode; 0644 when unset.
    pub default_mode: Option<i32>,
}

/// One projected source.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProjectedSource {
    /// A bound token.
    pub service_account_token: Option<TokenFile>,
    /// Files from a ConfigMap.
    pub config_map: Option<ObjectFiles>,
    /// Files from a Secret; uses `name`, not `secretName`.
    pub secret: Option<ObjectFiles>,
    /// Files from Pod fields.
    #[serde(rename = "downwardAPI")]
    pub downward_api: Option<DownwardFiles>,
    /// Any source this build does not know.
    #[serde(flatten)]
    pub unknown: BTreeMap<Box<str>, serde_json::Value>,
}

/// `serviceAccountToken` source.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TokenFile {
    /// Audience; the API server's when empty.
    pub audience: Box<str>,
    /// Life in seconds; 3600 when unset.
    pub expiration_seconds: Option<i64>,
    /// Relative path of the file.
    pub path: Box<str>,
}
