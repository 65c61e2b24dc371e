//! Security settings of Pods and containers.

use serde::{Deserialize, Serialize};

/// `spec.securityContext`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSecurityContext {
    /// User id of all containers.
    pub run_as_user: Option<i64>,
    /// Group id of all containers.
    pub run_as_group: Option<i64>,
    /// Refuse to run as uid 0.
    pub run_as_non_root: Option<bool>,
    /// Group that owns volumes.
    pub fs_group: Option<i64>,
    /// Extra groups.
    pub supplemental_groups: Vec<i64>,
    /// `Merge` or `Strict`: whether the image's own groups are added.
    pub supplemental_groups_policy: Option<Box<str>>,
    /// AppArmor profile of all containers.
    pub app_armor_profile: Option<SecurityProfile>,
    /// SELinux label of all containers.
    pub se_linux_options: Option<SeLinuxOptions>,
    /// Kernel parameters.
    pub sysctls: Vec<Sysctl>,
    /// Seccomp profile of all containers.
    pub seccomp_profile: Option<SecurityProfile>,
}

/// A kernel parameter.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Sysctl {
    /// As `net.core.somaxconn`.
    pub name: Box<str>,
    /// Value.
    pub value: Box<str>,
}

/// SELinux label.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct SeLinuxOptions {
    /// User part.
    pub user: Box<str>,
    /// Role part.
    pub role: Box<str>,
    /// Type part.
    #[serde(rename = "type")]
    pub kind: Box<str>,
    /// Level part.
    pub level: Box<str>,
}

/// Seccomp or AppArmor profile.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SecurityProfile {
    /// `RuntimeDefault`, `Unconfined` or `Localhost`.
    #[serde(rename = "type")]
    pub kind: Box<str>,
    /// Seccomp: file below the kubelet's seccomp directory. AppArmor: name of a loaded profile.
    pub localhost_profile: Option<Box<str>>,
}

/// `containers[].securityContext`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SecurityContext {
    /// User id.
    pub run_as_user: Option<i64>,
    /// Group id.
    pub run_as_group: Option<i64>,
    /// Refuse to run as uid 0.
    pub run_as_non_root: Option<bool>,
    /// All capabilities and devices.
    pub privileged: Option<bool>,
    /// Root file system read-only.
    pub read_only_root_filesystem: Option<bool>,
    /// Whether a process may gain privileges (no_new_privs is its inverse).
    pub allow_privilege_escalation: Option<bool>,
    /// Capabilities to add and drop.
    pub capabilities: Option<Capabilities>,
    /// Seccomp profile.
    pub seccomp_profile: Option<SecurityProfile>,
    /// AppArmor profile.
    pub app_armor_profile: Option<SecurityProfile>,
    /// SELinux label.
    pub se_linux_options: Option<SeLinuxOptions>,
    /// `Default` or `Unmasked`.
    pub proc_mount: Option<Box<str>>,
}

/// Capabilities to add and drop.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Capabilities {
    /// Added.
    pub add: Vec<Box<str>>,
    /// Dropped.
    pub drop: Vec<Box<str>>,
}
