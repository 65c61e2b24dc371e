//! PURE. What PEM files say: CA certificates, client certificates and keys.

use jiff::Timestamp;
use k8s_openapi::ByteString;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Who a client certificate says we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Subject common name: the user.
    pub common_name: Box<str>,
    /// Subject organizations: the groups.
    pub organizations: Vec<Box<str>>,
    /// Begin of validity.
    pub not_before: Timestamp,
    /// End of validity.
    pub not_after: Timestamp,
}

impl Identity {
    /// Why the API server will not treat this as node `node`, if so.
    pub(super) fn warning(&self, node: &str) -> Option<String> {
        let wanted = format!("system:node:{node}");
        if *self.common_name != *wanted {
            let hint = match self.common_name.strip_prefix("system:node:") {
                Some(other) => format!("give --node {other}, or a certificate for {wanted}"),
                None => format!("give a certificate with CN={wanted}, O=system:nodes"),
            };
            return Some(format!(
                "is for {:?}, so the API server will refuse what node {node} may do; {hint}",
                self.common_name
            ));
        }
        if !self.organizations.iter().any(|o| &**o == "system:nodes") {
            return Some(format!(
                "is not in the group system:nodes (O={:?}), so the API server will refuse what nodes may do; give a \
                 certificate with O=system:nodes",
                self.organizations
            ));
        }
        None
    }
}

pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    let packed: String = text.split_ascii_whitespace().collect();
    serde_json::from_value::<ByteString>(packed.into())
        .ok()
        .map(|bytes| bytes.0)
}

pub(super) fn to_base64(bytes: Vec<u8>) -> serde_json::Value {
    serde_json::to_value(ByteString(bytes)).expect("bytes serialize")
}

/// All certificates of a PEM text, as DER. The error is the problem in words.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err("holds no PEM certificate".to_owned()),
        Err(error) => Err(format!("is not PEM ({error})")),
    }
}

/// CA certificates, each one usable as trust anchor.
pub(super) fn roots(pem: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let found = certificates(pem)?;
    let mut store = rustls::RootCertStore::empty();
    for certificate in &found {
        store
            .add(certificate.clone())
            .map_err(|e| format!("is not a usable CA certificate ({e})"))?;
    }
    Ok(found.iter().map(|certificate| certificate.to_vec()).collect())
}

/// What the first certificate of a PEM text says. The error is the problem in words.
pub fn identity(pem: &[u8]) -> Result<Identity, String> {
    let found = certificates(pem)?;
    let (_, certificate) =
        X509Certificate::from_der(&found[0]).map_err(|e| format!("is not an X.509 certificate ({e})"))?;
    let subject = certificate.subject();
    let time = |seconds| Timestamp::from_second(seconds).map_err(|e| format!("has an impossible date ({e})"));
    Ok(Identity {
        common_name: subject
            .iter_common_name()
            .find_map(|cn| cn.as_str().ok())
            .unwrap_or_default()
            .into(),
        organizations: subject
            .iter_organization()
            .filter_map(|o| o.as_str().ok())
            .map(Into::into)
            .collect(),
        not_before: time(certificate.validity().not_before.timestamp())?,
        not_after: time(certificate.validity().not_after.timestamp())?,
    })
}

/// Whether the key is one, and belongs to the certificate. The error is the problem in words.
pub fn check_key(certificate: &[u8], key: &[u8]) -> Result<(), String> {
    let chain = certificates(certificate)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|e| match e {
        rustls::pki_types::pem::Error::NoItemsFound => "holds no PEM private key".to_owned(),
        other => format!("is not PEM ({other})"),
    })?;
    let key = rustls::crypto::ring::sign::any_supported_type(&key)
        .map_err(|e| format!("is not a usable private key ({e})"))?;
    CertifiedKey::new(chain, key)
        .keys_match()
        .map_err(|_| "does not belong to the certificate".to_owned())
}
