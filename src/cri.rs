//! The container runtime behind two narrow traits, [`Runtime`] and [`Images`].
//!
//! Messages are the generated CRI v1 types ([`v1`]): they are plain data, and the pure translation builds them
//! directly. `cri/grpc.rs` implements the traits over the runtime's socket; `testing::fake_cri` is a stateful model.

use async_trait::async_trait;
use futures::stream::BoxStream;
use std::time::Duration;

/// Generated from `proto/cri.proto`.
#[allow(missing_docs, missing_debug_implementations, unreachable_pub, clippy::all, reason = "generated code")]
pub mod v1 {
    tonic::include_proto!("runtime.v1");
}

/// A failed CRI call.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{call}: {message}")]
pub struct Error {
    /// RPC name.
    pub call: &'static str,
    /// gRPC status code.
    pub code: tonic::Code,
    /// The runtime's own words.
    pub message: String,
}

impl Error {
    /// The sandbox, container or image does not exist.
    pub fn is_not_found(&self) -> bool {
        self.code == tonic::Code::NotFound
    }
    /// The runtime does not have this call.
    pub fn is_unimplemented(&self) -> bool {
        self.code == tonic::Code::Unimplemented
    }
}

/// Result of a CRI call.
pub type Result<T> = std::result::Result<T, Error>;
