//! A serving certificate with its key, as files hold it.

use super::super::disk::Disk;
use super::super::request::Wanted;
use super::Error;
use crate::api::kubeconfig;
use jiff::Timestamp;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use time::{Duration, OffsetDateTime};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A certificate that can be served.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) key: Arc<CertifiedKey>,
    pub(super) subject: String,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
    dns: Vec<String>,
    ips: Vec<IpAddr>,
}

impl PartialEq for Pair {
    /// The certificates decide: a key belongs to its certificate.
    fn eq(&self, other: &Self) -> bool {
        self.key.cert == other.key.cert
    }
}

impl Pair {
    /// Whether it has all names and addresses that are wanted, and the right subject.
    pub(super) fn serves(&self, wanted: &Wanted) -> bool {
        self.subject == wanted.user()
            && wanted.dns.iter().all(|name| self.dns.contains(name))
            && wanted.ips.iter().all(|ip| self.ips.contains(ip))
    }

    /// Whether a kubelet has signed it for itself: such a one may be made anew, any other is somebody's property.
    pub(super) fn is_self_made(&self, node: &str) -> bool {
        let time = self
            .subject
            .strip_prefix(node)
            .and_then(|rest| rest.strip_prefix('@'));
        time.is_some_and(|time| time.parse::<i64>().is_ok())
    }
}

/// Reads a pair; certificate and key may be one file. The error is the problem in words, with the file's name.
pub(super) fn read(disk: &dyn Disk, certificate: &Path, key: &Path) -> Result<Pair, String> {
    let content = |path: &Path| match disk.read(path) {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => Err(format!("{}: there is no such file", path.display())),
        Err(error) => Err(error.to_string()),
    };
    let (chain_pem, key_pem) = (content(certificate)?, content(key)?);
    let of_certificate = |problem: String| format!("{}: {problem}", certificate.display());
    let identity = kubeconfig::identity_of(&chain_pem).map_err(of_certificate)?;
    kubeconfig::check_key(&chain_pem, &key_pem).map_err(|problem| {
        format!(
            "{}: {problem} (certificate: {})",
            key.display(),
            certificate.display()
        )
    })?;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&chain_pem)
        .collect::<Result<_, _>>()
        .map_err(|e| of_certificate(e.to_string()))?;
    let (dns, ips) = names(&chain[0]).map_err(of_certificate)?;
    let key = PrivateKeyDer::from_pem_slice(&key_pem)
        .map_err(|e| e.to_string())
        .and_then(|key| rustls::crypto::ring::sign::any_supported_type(&key).map_err(|e| e.to_string()))?;
    Ok(Pair {
        key: Arc::new(CertifiedKey::new(chain, key)),
        subject: identity.common_name.into(),
        not_before: identity.not_before,
        not_after: identity.not_after,
        dns,
        ips,
    })
}

fn names(der: &CertificateDer<'_>) -> Result<(Vec<String>, Vec<IpAddr>), String> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|e| e.to_string())?;
    let found = certificate
        .subject_alternative_name()
        .map_err(|e| e.to_string())?;
    let (mut dns, mut ips) = (Vec::new(), Vec::new());
    for name in found.iter().flat_map(|found| &found.value.general_names) {
        match name {
            GeneralName::DNSName(name) => dns.push((*name).to_owned()),
            GeneralName::IPAddress(bytes) => {
                let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
                ips.extend(v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from)));
            }
            _ => {}
        }
    }
    Ok((dns, ips))
}

/// A self-signed pair, as PEM.
pub(super) struct Made {
    pub(super) certificate: String,
    pub(super) key: String,
}

/// Makes a pair for a year, with upstream's common name.
pub(super) fn self_signed(node: &str, now: Timestamp) -> Result<Made, Error> {
    let failed = |e: rcgen::Error| Error::Key(e.to_string());
    let key = KeyPair::generate().map_err(failed)?;
    let mut params = CertificateParams::new([node.to_owned()]).map_err(failed)?;
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, format!("{node}@{}", now.as_second()));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let begin =
        OffsetDateTime::from_unix_timestamp(now.as_second()).map_err(|e| Error::Key(e.to_string()))?;
    // Clocks differ.
    params.not_before = begin - Duration::hours(1);
    params.not_after = begin + Duration::days(365);
    let certificate = params.self_signed(&key).map_err(failed)?.pem();
    Ok(Made {
        certificate,
        key: key.serialize_pem(),
    })
}
