//! Keys, certificates and kubeconfigs of the lab's cluster.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};

use crate::net;

/// A certificate authority that signs for the lab.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority")
    }
}

/// A certificate and its key, in PEM.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// The key, PKCS#8.
    pub key: String,
}

/// Who a certificate is for.
#[derive(Debug, Clone, Default)]
pub struct Subject<'a> {
    /// Common name: the user.
    pub name: &'a str,
    /// Organization: the group.
    pub group: Option<&'a str>,
    /// Host names and addresses; with any the certificate is a server's as well.
    pub hosts: &'a [String],
    /// When it ends, from now; `None` is a year. Negative is already expired.
    pub lifetime: Option<Duration>,
}

impl Authority {
    /// A new authority.
    pub fn new(name: &str) -> Result<Self> {
        let key = KeyPair::generate().context("make a key")?;
        let mut params = params(&Subject {
            name,
            lifetime: Some(Duration::days(3650)),
            ..Subject::default()
        })?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
        params.extended_key_usages.clear();
        let certificate = params
            .self_signed(&key)
            .context("sign the authority's certificate")?
            .pem();
        Ok(Self {
            issuer: Issuer::new(params, key),
            certificate,
        })
    }

    /// The authority's certificate, PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Makes a key and signs a certificate for it.
    pub fn issue(&self, subject: &Subject<'_>) -> Result<Pair> {
        let key = KeyPair::generate().context("make a key")?;
        let certificate = params(subject)?
            .signed_by(&key, &self.issuer)
            .context("sign a certificate")?;
        Ok(Pair {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }

    fn key(&self) -> String {
        self.issuer.key().serialize_pem()
    }
}

fn params(subject: &Subject<'_>) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(subject.hosts).context("host names of a certificate")?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, subject.name);
    if let Some(group) = subject.group {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyEncipherment,
    ];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    if !subject.hosts.is_empty() {
        params
            .extended_key_usages
            .push(ExtendedKeyUsagePurpose::ServerAuth);
    }
    let now = OffsetDateTime::now_utc();
    params.not_after = now + subject.lifetime.unwrap_or(Duration::days(365));
    params.not_before = now.min(params.not_after) - Duration::hours(1);
    Ok(params)
}

/// Everything that is signed for a cluster, written below one directory.
#[derive(Debug)]
pub struct Pki {
    dir: PathBuf,
    /// The cluster's authority.
    pub authority: Authority,
}

/// File stem, user and group of the clients the cluster itself has.
const CLIENTS: &[(&str, &str, Option<&str>)] = &[
    ("admin", "kubernetes-admin", Some("system:masters")),
    (
        "kubelet-client",
        "kube-apiserver-kubelet-client",
        Some("system:masters"),
    ),
    ("controller-manager", "system:kube-controller-manager", None),
    ("scheduler", "system:kube-scheduler", None),
    ("kube-proxy", "system:kube-proxy", None),
];

impl Pki {
    /// Makes the authorities, the API server's certificate, the service-account keys and the clients.
    pub fn create(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
        let pki = Self {
            dir: dir.to_owned(),
            authority: Authority::new("rustlet-lab-ca")?,
        };
        pki.write("ca.crt", pki.authority.certificate())?;
        pki.write("ca.key", &pki.authority.key())?;
        let front = Authority::new("rustlet-lab-front-proxy-ca")?;
        pki.write("front-proxy-ca.crt", front.certificate())?;
        let client = Subject {
            name: "front-proxy-client",
            ..Subject::default()
        };
        pki.write_pair("front-proxy-client", &front.issue(&client)?)?;
        let hosts = server_hosts();
        let server = Subject {
            name: "kube-apiserver",
            hosts: &hosts,
            ..Subject::default()
        };
        pki.write_pair("apiserver", &pki.authority.issue(&server)?)?;
        for (stem, name, group) in CLIENTS {
            let subject = Subject {
                name,
                group: *group,
                ..Subject::default()
            };
            pki.write_pair(stem, &pki.authority.issue(&subject)?)?;
        }
        let signer = KeyPair::generate().context("make the service-account key")?;
        pki.write("sa.key", &signer.serialize_pem())?;
        pki.write("sa.pub", &signer.public_key_pem())?;
        Ok(pki)
    }

    /// Path of one of the files, as `ca.crt` or `apiserver.key`.
    pub fn path(&self, file: &str) -> PathBuf {
        self.dir.join(file)
    }

    /// A kubeconfig for one of the cluster's own clients (`admin`, `scheduler`, …).
    pub fn kubeconfig(&self, stem: &str, server: &str) -> Result<String> {
        let read = |file: String| {
            fs::read_to_string(self.path(&file))
                .with_context(|| format!("read {}", self.path(&file).display()))
        };
        let pair = Pair {
            certificate: read(format!("{stem}.crt"))?,
            key: read(format!("{stem}.key"))?,
        };
        Ok(kubeconfig(server, self.authority.certificate(), &pair))
    }

    /// A node's credentials: user `system:node:NAME` in group `system:nodes`.
    pub fn node(&self, name: &str) -> Result<Pair> {
        let name = format!("system:node:{name}");
        self.authority.issue(&Subject {
            name: &name,
            group: Some("system:nodes"),
            ..Subject::default()
        })
    }

    fn write_pair(&self, stem: &str, pair: &Pair) -> Result<()> {
        self.write(&format!("{stem}.crt"), &pair.certificate)?;
        self.write(&format!("{stem}.key"), &pair.key)
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        fs::write(self.path(file), text).with_context(|| format!("write {}", self.path(file).display()))
    }
}

/// Every name and address the API server is called by.
fn server_hosts() -> Vec<String> {
    let mut hosts: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    hosts.extend([net::CONTROL.to_string(), net::API_CLUSTER_IP.to_string()]);
    let names = [
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ];
    hosts.extend(names.map(str::to_owned));
    hosts
}

/// A kubeconfig with a token.
pub fn token_kubeconfig(server: &str, ca: &str, token: &str) -> String {
    kubeconfig_of(server, ca, &format!("token: {token}"))
}

/// A kubeconfig with everything inside.
pub fn kubeconfig(server: &str, ca: &str, client: &Pair) -> String {
    let certificate = base64(client.certificate.as_bytes());
    let key = base64(client.key.as_bytes());
    let user = format!("client-certificate-data: {certificate}\n    client-key-data: {key}");
    kubeconfig_of(server, ca, &user)
}

/// A kubeconfig whose user has these fields.
fn kubeconfig_of(server: &str, ca: &str, user: &str) -> String {
    format!(
        "apiVersion: v1
kind: Config
clusters:
- name: lab
  cluster:
    server: {server}
    certificate-authority-data: {}
users:
- name: lab
  user:
    {user}
contexts:
- name: lab
  context:
    cluster: lab
    user: lab
current-context: lab
",
        base64(ca.as_bytes())
    )
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk
            .iter()
            .fold(0_u32, |all, byte| (all << 8) | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let index = (group >> (18 - 6 * digit)) & 63;
            text.push(if digit <= chunk.len() {
                char::from(DIGITS[index as usize])
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_with_each_padding() {
        let cases = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("\u{ff}", "w78="),
        ];
        for (plain, coded) in cases {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn certificates_can_be_expired_on_purpose() {
        let authority = Authority::new("test").unwrap();
        let subject = Subject {
            name: "late",
            lifetime: Some(Duration::days(-1)),
            ..Subject::default()
        };
        assert!(params(&subject).unwrap().not_after < OffsetDateTime::now_utc());
        assert!(
            authority
                .issue(&subject)
                .unwrap()
                .certificate
                .contains("BEGIN CERTIFICATE")
        );
    }
}
