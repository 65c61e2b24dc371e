//! The certificate the node's API shows.

use anyhow::Context;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose,
};
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::net::IpAddr;
use std::sync::Arc;
use time::{Duration, OffsetDateTime};

/// How long a certificate of our own making lasts; upstream's kubelet makes its for a year, too.
const LIFE: Duration = Duration::days(365);

/// A certificate of our own making for this node's name and addresses, new at each start.
pub fn certificate(node: &str, ips: &[IpAddr]) -> anyhow::Result<Arc<dyn ResolvesServerCert>> {
    let now = OffsetDateTime::now_utc();
    let mut names: Vec<String> = vec![node.to_owned()];
    names.extend(ips.iter().map(ToString::to_string));
    let mut params = CertificateParams::new(names).context("names of the serving certificate")?;
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, format!("{node}@{}", now.unix_timestamp()));
    params.not_before = now - Duration::hours(1);
    params.not_after = now + LIFE;
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyEncipherment,
    ];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate().context("key of the serving certificate")?;
    let certificate = params.self_signed(&key).context("serving certificate")?;
    let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let signer = any_supported_type(&der).context("key of the serving certificate")?;
    let certified = CertifiedKey::new(vec![certificate.der().clone()], signer);
    Ok(Arc::new(Always(Arc::new(certified))))
}

/// The same certificate for everybody.
#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}
