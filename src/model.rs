//! Pure domain types that components share. No IO, no async, no imports of ours.
//!
//! API objects are *slim*: they decode only the fields rustlet acts on and skip the rest without allocating, which is
//! what keeps the agent small. A field is added here the day something uses it.

pub mod cgroup;
pub mod ids;
pub mod machine;
pub mod meta;
pub mod net;
pub mod pod;
pub mod service;
pub mod sysctl;
pub mod tables;
pub mod usage;

pub use ids::{ContainerId, NamespacedName, PodUid, SandboxId};
pub use meta::{Meta, Object};
