//! The node's credentials look after themselves: client certificate by TLS bootstrap and rotation, serving certificate
//! self-signed, signed by the cluster, or the operator's own.
//!
//! [`client`] owns what the agent shows the API server, [`serving`] what it shows its own callers. Both look at files
//! again and again, decide by pure functions ([`plan`], [`request`]), and keep everything on disk where upstream's
//! kubelet and kubeadm have it ([`disk`]), so that either can follow the other. Whatever is wrong with a credential is
//! said once a minute and tried again; containers run on meanwhile.

pub mod bootstrap;
pub mod client;
pub mod disk;
pub mod metrics;
mod obtain;
pub mod plan;
pub mod request;
pub mod serving;

use crate::api::{self, kubeconfig};

/// Names of client certificates in the certificate directory.
pub const CLIENT: &str = "kubelet-client";
/// Names of serving certificates the cluster has signed.
pub const SERVER: &str = "kubelet-server";

/// What can go wrong with getting a certificate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A kubeconfig cannot be used.
    #[error(transparent)]
    Kubeconfig(#[from] kubeconfig::Error),
    /// The API server refused or did not answer.
    #[error(transparent)]
    Api(#[from] api::Error),
    /// A file cannot be read or written.
    #[error(transparent)]
    Disk(#[from] std::io::Error),
    /// No key can be made.
    #[error("make a key for a certificate: {0}")]
    Key(String),
    /// Somebody decided against us.
    #[error("certificate signing request {name} is denied ({words})")]
    Denied {
        /// The request.
        name: String,
        /// Reason and message.
        words: String,
    },
    /// The signer would not sign.
    #[error("certificate signing request {name} failed ({words})")]
    Failed {
        /// The request.
        name: String,
        /// Reason and message.
        words: String,
    },
    /// The request was deleted before it was decided.
    #[error("certificate signing request {0} is gone")]
    Gone(String),
    /// What was issued is not what was asked for.
    #[error("the certificate of the signing request {name} cannot be used: it {problem}")]
    Unusable {
        /// The request.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl Error {
    /// True when the same request would end in the same way again.
    fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Denied { .. } | Self::Failed { .. } | Self::Gone(_) | Self::Unusable { .. }
        )
    }
}
