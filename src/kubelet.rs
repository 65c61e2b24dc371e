//! The node agent's pod side: from watched Pods to running containers and back to status.
//!
//! One worker per pod UID runs observe → plan → execute → status. The pure files (`plan`, `status`, `translate`,
//! `dns`, `hosts`, `dirs`, `volume/content`, `probe/state`) decide; `worker`, `execute`, `observe`, `volume`, `probe`
//! and `node` do.

pub mod dirs;
pub mod dns;
pub mod env;
pub mod hash;
pub mod hosts;
pub mod images;
pub mod observe;
pub mod node;
pub mod observed;
pub mod plan;
pub mod qos;
pub mod quantity;
pub mod status;
pub mod translate;
pub mod probe;
pub mod refs;
pub mod volume;
