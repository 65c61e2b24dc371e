//! Services: kube-proxy's job, with kube-proxy's chains.
//!
//! ```text
//! Service, EndpointSlice ──▶ tracker ──▶ ServiceMap ──▶ ruleset ──▶ iptables::render ──▶ sync ──▶ iptables-restore
//!      (watches)              PURE        (merged)       PURE            PURE             IO       one per family
//! ```
//! Owns the `KUBE-*` chains that kube-proxy owns, and the jumps to them; touches nothing else. Nothing is programmed
//! before both watches have listed once. What it keeps in memory of the kernel is a digest per chain; a failure or a
//! foreign change throws that away and everything is written anew.

pub mod endpoints;
pub mod iptables;
pub mod ruleset;
pub mod service_map;
pub mod tracker;
