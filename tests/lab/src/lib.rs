//! The lab: a real control plane and nodes in namespaces.
#![allow(
    clippy::disallowed_methods,
    reason = "the lab is synchronous: it sleeps, spawns and measures on purpose"
)]

pub mod http;
pub mod images;
pub mod kube;
pub mod registry;
