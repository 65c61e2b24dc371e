//! # rustlet: one binary that makes a Linux machine a Kubernetes node
//!
//! ```text
//!                  kube-apiserver
//!    watch pods ┃ watch services, slices, nodes ┃ status, lease, events, tokens, CSRs, reviews
//!               ▼                               ▲
//!  ┌──────────────────────────── rustlet (agent) ────────────────────────────┐
//!  │ api ──▶ app ──▶ kubelet  pod workers: observe → plan → execute → status │──CRI──▶ containerd ──▶ runc
//!  │           │       └─ volumes · probes · images · node · server :10250   │◀─events───┘   │ exec
//!  │           ├──▶ proxy    Services + Slices → Ruleset → iptables-restore  │               ▼
//!  │           └──▶ network  Node.podCIDRs → conflist, routes, masquerade    │      rustlet (CNI plugin)
//!  └─────────────────────────────────────────────────────────────────────────┘      plan → netlink → result
//! ```
//!
//! ## One file, several roles
//! `main` looks at how it was started. With `CNI_COMMAND` in the environment it is the CNI plugin ([`cni`]): no
//! threads, no async runtime, gone in milliseconds, and it works while the agent is down. Otherwise it is the node
//! agent or one of its tools ([`app`]).
//!
//! ## The rooms, from the ground up
//! - [`model`]: pure domain types every component speaks: ids, pods, services, networks. Knows nothing else of ours.
//! - [`task`]: the concurrency kit: drain, readiness, backoff, keyed workers, bounded runner. Knows no domain.
//! - [`telemetry`]: logs and metrics.
//! - [`config`]: flags and files, validated once into one immutable `Config`.
//! - [`sys`]: the only room that touches the kernel: namespaces, netlink, iptables, mounts, cgroups, processes.
//! - [`cri`]: the container runtime behind two narrow traits, and the gRPC client that implements them.
//! - [`api`]: the API server behind narrow traits: watches, patches, lease, events, tokens.
//! - [`identity`]: the node's credentials: TLS bootstrap, rotation, serving certificate.
//! - [`kubelet`], [`proxy`], [`network`], [`cni`]: the components. They are siblings and never import each other.
//! - [`app`]: the composition root. The only place where components meet, through channels of [`model`] types.
//!
//! ## How every component is built
//! observe → plan → execute. Decisions are pure functions in files that do no IO (`plan`, `status`, `translate`,
//! `ruleset`, `ipam`, `conflist`, …); thin shells apply them and report what they saw. Events only mark work as
//! dirty; the state of the world decides what is done; a slow audit catches what events missed. Anything may crash at
//! any line: the next start rebuilds its view from the runtime, the kernel and a few small files.
//!
//! `tests/architecture.rs` holds this page against the code.

pub mod model;
pub mod task;
pub mod telemetry;
pub mod config;
pub mod sys;
pub mod cri;
pub mod api;
pub mod identity;
pub mod kubelet;
pub mod proxy;
pub mod network;
pub mod cni;
pub mod app;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
