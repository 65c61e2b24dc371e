//! The authorities whose client certificates count: a file that is read again when it has changed.

use crate::kubelet::server::tls;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// How old the last look at the file may be.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// No bundle of authorities is larger; what is, is not read.
const MOST_BYTES: u64 = 4 << 20;

/// The authorities of `clientCAFile`.
#[derive(Debug)]
pub(in crate::kubelet::server) struct ClientCa {
    file: Option<PathBuf>,
    /// Held for a look at the file.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    looked: Option<Instant>,
    /// Size and time of what was read; `None` when there was no file.
    stamp: Option<Option<(u64, SystemTime)>>,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
}

impl ClientCa {
    /// `None`: no certificate counts.
    pub(in crate::kubelet::server) fn new(file: Option<PathBuf>) -> Self {
        let ca = Self {
            file,
            state: Mutex::default(),
        };
        // So that what is wrong with the file is said at start.
        drop(ca.verifier());
        ca
    }

    /// Whether the chain leads to an authority: `Ok(false)` when there is none to judge by.
    ///
    /// # Errors
    /// What is wrong with the certificate.
    pub(in crate::kubelet::server) fn verify(&self, chain: &[CertificateDer<'_>]) -> Result<bool, String> {
        let (Some(verifier), Some((own, others))) = (self.verifier(), chain.split_first()) else {
            return Ok(false);
        };
        verifier
            .verify_client_cert(own, others, UnixTime::now())
            .map(|_| true)
            .map_err(|error| format!("client certificate: {error}"))
    }

    fn verifier(&self) -> Option<Arc<dyn ClientCertVerifier>> {
        let file = self.file.as_deref()?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let fresh = |looked: Instant| now.duration_since(looked) < LOOK_EVERY;
        if !state.looked.is_some_and(fresh) {
            state.looked = Some(now);
            state.look(file);
        }
        state.verifier.clone()
    }
}

impl State {
    fn look(&mut self, file: &Path) {
        let stamp = std::fs::metadata(file)
            .ok()
            .map(|meta| (meta.len(), meta.modified().unwrap_or(SystemTime::UNIX_EPOCH)));
        if self.stamp == Some(stamp) {
            return;
        }
        let first = self.stamp.replace(stamp).is_none();
        let path = file.display();
        match read(file) {
            Ok((verifier, count)) => {
                tracing::info!(file = %path, authorities = count, "client certificates are accepted");
                self.verifier = Some(verifier);
            }
            // Half a file, or none, while somebody replaces it must not shut out everybody.
            Err(problem) if !first && self.verifier.is_some() => {
                tracing::warn!("clientCAFile {path}: {problem}; those read before still count");
            }
            Err(problem) => {
                tracing::warn!(
                    "clientCAFile {path}: {problem}; no client certificate is accepted until it is there"
                );
            }
        }
    }
}

fn read(file: &Path) -> Result<(Arc<dyn ClientCertVerifier>, usize), String> {
    let size = std::fs::metadata(file).map_err(|error| error.to_string())?.len();
    if size > MOST_BYTES {
        return Err(format!("{size} bytes are too many"));
    }
    let text = std::fs::read(file).map_err(|error| error.to_string())?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    let count = roots.len();
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), tls::provider())
        .build()
        .map(|verifier| (verifier, count))
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
