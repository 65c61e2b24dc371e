//! TLS of the node's API.
//!
//! A client's certificate is asked for and not judged in the handshake: it only has to be the client's own. Each
//! request judges it anew against the CA file as it is then, so that a new CA, and an end of life, count for
//! connections that are open already; and a stranger's certificate is a clear 401 instead of a broken handshake.

use super::suites;
use crate::config::ServerConfig;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ResolvesServerCert;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureScheme};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// What takes connections. `serving` gives the certificate for each of them.
pub(super) fn acceptor(
    config: &ServerConfig,
    serving: Arc<dyn ResolvesServerCert>,
) -> Result<TlsAcceptor, rustls::Error> {
    let mut provider = ring::default_provider();
    provider.cipher_suites = suites::choose(&config.tls_cipher_suites, provider.cipher_suites);
    provider.kx_groups = suites::exchanges(&config.tls_curves, provider.kx_groups);
    let versions: &[_] = if config.tls13_only {
        &[&TLS13]
    } else {
        &[&TLS13, &TLS12]
    };
    let asks = AskOnly(provider.signature_verification_algorithms);
    let mut tls = rustls::ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)?
        .with_client_cert_verifier(Arc::new(asks))
        .with_cert_resolver(serving);
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(tls)))
}

/// The library's own algorithms.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Asks for a certificate and proves that the client has its key, no more: `ClientCa` judges it.
#[derive(Debug)]
struct AskOnly(WebPkiSupportedAlgorithms);

impl ClientCertVerifier for AskOnly {
    fn client_auth_mandatory(&self) -> bool {
        false
    }
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }
    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, signed, &self.0)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, signed, &self.0)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
