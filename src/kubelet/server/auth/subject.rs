//! PURE. The user a client certificate names: CN is the name, O are the groups, as everywhere in Kubernetes.

use crate::api::UserInfo;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Kubernetes' own attribute of a subject: the user's UID.
const UID: &str = "1.3.6.1.4.1.57683.2";
/// Key of the certificate's fingerprint in what is told about the user.
const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

/// A certificate that names nobody.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::kubelet::server) enum Error {
    /// No X.509.
    #[error("client certificate cannot be read: {0}")]
    Unreadable(String),
    /// More than one UID, an empty one, or one that is no text.
    #[error("client certificate: the UID of its subject is not one text")]
    Uid,
}

/// The user; `None` when the certificate has no common name.
pub(in crate::kubelet::server) fn user(der: &[u8]) -> Result<Option<UserInfo>, Error> {
    let (_, certificate) =
        X509Certificate::from_der(der).map_err(|error| Error::Unreadable(error.to_string()))?;
    let subject = certificate.subject();
    // Go, and so upstream, takes the last common name of a subject that has several.
    let Some(name) = subject
        .iter_common_name()
        .filter_map(|name| name.as_str().ok())
        .last()
        .filter(|name| !name.is_empty())
    else {
        return Ok(None);
    };
    let groups = subject
        .iter_organization()
        .filter_map(|group| group.as_str().ok())
        .map(Into::into)
        .collect();
    let mut uids = subject
        .iter_attributes()
        .filter(|attribute| attribute.attr_type().to_id_string() == UID)
        .map(|attribute| attribute.as_str().map_err(|_| Error::Uid));
    let uid = uids.next().transpose()?;
    if uids.next().is_some() || uid == Some("") {
        return Err(Error::Uid);
    }
    let mut credential = "X509SHA256=".to_owned();
    for byte in Sha256::digest(der) {
        // Writing to a String cannot fail.
        let _ = write!(credential, "{byte:02x}");
    }
    Ok(Some(UserInfo {
        username: name.into(),
        uid: uid.unwrap_or_default().into(),
        groups,
        extra: BTreeMap::from([(CREDENTIAL_ID.into(), vec![credential.into()])]),
    }))
}

#[cfg(test)]
mod tests;
