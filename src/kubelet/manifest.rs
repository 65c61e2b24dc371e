//! Static Pods: those of manifests on the node, which run without the API server, and their mirrors there.
//!
//! ```text
//!  files ──▶ parse (defaults, check, uid) ──▶ shelf ──▶ source ──▶ workers
//!                                                        │ ▲
//!                                              keeper ◀──┘ └── mirrors, from the API server's watch
//!                                                └▶ mirror: create and delete them
//! ```
//!
//! `files` looks at the path that the configuration names, `parse` turns one file into a [`Manifest`] or says what is
//! wrong with it, `shelf` remembers what each file last said. A static Pod's UID is a hash of what its manifest says,
//! so an edit is another Pod of the same name; it starts when its predecessor has ended. The API server learns of
//! static Pods by *mirrors*: Pods of the same name that never run and only show the status. `keeper` makes and removes
//! them by the pure plan of `mirror`.

pub mod check;
pub mod defaults;
pub mod files;
pub mod keeper;
pub mod mirror;
pub mod parse;
pub mod refers;
pub mod shelf;
pub mod uid;

use crate::model::pod::Pod;
use serde_json::Value;
use std::sync::Arc;

/// One static Pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// What runs.
    pub pod: Arc<Pod>,
    /// All of it as JSON, which its mirror is made of: slim Pods lack what does not concern a node.
    pub object: Arc<Value>,
}
