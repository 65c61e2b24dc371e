//! # The lab: a real cluster on one machine
//!
//! ```text
//!  host ──127.0.0.1:port──▶ control (172.30.0.1): etcd · kube-apiserver · -controller-manager · -scheduler · registry
//!                              │ lab0
//!              ┌───────────────┼─────────────────┐
//!        worker-1 (.11)   worker-2 (.12)     outside (.200)
//!        containerd       containerd         knows no pods
//!        agent            agent
//! ```
//!
//! One implementation for the demo, the tests and the benchmarks; real components only.
//!
//! - [`packages`], [`binaries`]: what must be on the machine; installed or built when missing.
//! - [`ns`], [`proc`]: machines made of namespaces, and processes in them.
//! - [`net`], [`forward`]: their network, and the host's way in.
//! - [`images`], [`registry`]: what pods run, and where nodes pull it from.
//! - [`certs`], [`control`]: the control plane.
//! - [`node`]: a node's directories, containerd and agent.
//! - [`kubeadm`]: `kubeadm join` of a fresh machine; systemd is a stand-in there.
//! - [`site`], [`signals`]: what exists, so that it can be taken down, however the lab ends.
//! - [`kube`], [`http`]: talking to the API server and to servers under test.
//! - [`inside`], [`rules`]: what pods and Services have on a node.
//! - [`demo`]: the walkthrough, for people to watch; [`bench`]: footprint and pod start beside upstream.
//! - [`conformance`]: upstream's own suite against the nodes, and the table of what came of it.
//! - [`cluster`]: all of it, up and down. Start reading there.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! use rustlet_lab::cluster::{Cluster, Options};
//! use rustlet_lab::node::AgentKind;
//! let agent = AgentKind::rustlet();
//! let progress = &mut |step| println!("{step:?}");
//! let cluster = Cluster::up(Options { nodes: 2, agent, agent_args: Vec::new(), keep_logs: false, progress })?;
//! println!("{}", cluster.kubectl(&["get", "nodes"])?);
//! assert!(cluster.down().is_empty());
//! # Ok(())
//! # }
//! ```
#![warn(missing_docs)]

mod cgroup;
pub mod bench;
pub mod binaries;
pub mod certs;
pub mod cluster;
pub mod conformance;
pub mod control;
pub mod demo;
pub mod dirs;
pub mod forward;
pub mod http;
pub mod images;
pub mod inside;
pub mod kube;
pub mod kubeadm;
pub mod kubectl;
pub mod net;
pub mod node;
pub mod ns;
pub mod packages;
pub mod proc;
pub mod progress;
pub mod registry;
pub mod rules;
pub mod signals;
pub mod site;
