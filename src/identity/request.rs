//! PURE. What is asked for in a certificate signing request, and what its object says later.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::string::Ia5String;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PublicKeyData, SanType};
use serde_json::{Value, json};
use sha2::{Digest, Sha512_256};
use std::net::IpAddr;

/// Who signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signer {
    /// The API server's clients.
    Client,
    /// The kubelets' serving certificates.
    Serving,
}

impl Signer {
    /// `spec.signerName`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "kubernetes.io/kube-apiserver-client-kubelet",
            Self::Serving => "kubernetes.io/kubelet-serving",
        }
    }

    /// For messages.
    pub fn what(self) -> &'static str {
        match self {
            Self::Client => "client certificate",
            Self::Serving => "serving certificate",
        }
    }

    /// `spec.usages`; key encipherment is for RSA keys, and ours are not.
    fn usages(self) -> [&'static str; 2] {
        match self {
            Self::Client => ["digital signature", "client auth"],
            Self::Serving => ["digital signature", "server auth"],
        }
    }
}

/// A certificate this node wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Who signs it.
    pub signer: Signer,
    /// The node's name.
    pub node: Box<str>,
    /// Names it serves, sorted.
    pub dns: Vec<String>,
    /// Addresses it serves, sorted.
    pub ips: Vec<IpAddr>,
}

const GROUP: &str = "system:nodes";

impl Wanted {
    /// The node's client certificate.
    pub fn client(node: &str) -> Self {
        Self {
            signer: Signer::Client,
            node: node.into(),
            dns: Vec::new(),
            ips: Vec::new(),
        }
    }

    /// A serving certificate for the addresses of the Node's status; `None` while they hold no IP address.
    pub fn serving(node: &str, status: &Value) -> Option<Self> {
        let (mut dns, mut ips) = (Vec::new(), Vec::new());
        for address in status["addresses"].as_array()? {
            let text = address["address"].as_str().unwrap_or_default();
            match (address["type"].as_str().unwrap_or_default(), text.parse()) {
                ("Hostname" | "InternalIP" | "ExternalIP", Ok(ip)) => ips.push(ip),
                ("Hostname" | "InternalDNS" | "ExternalDNS", _) if !text.is_empty() => {
                    dns.push(text.to_owned())
                }
                _ => {}
            }
        }
        dns.sort();
        dns.dedup();
        ips.sort();
        ips.dedup();
        (!ips.is_empty()).then(|| Self {
            signer: Signer::Serving,
            node: node.into(),
            dns,
            ips,
        })
    }

    /// Subject common name: the user.
    pub fn user(&self) -> String {
        format!("system:node:{}", self.node)
    }

    /// The request itself, in PEM.
    pub fn pem(&self, key: &KeyPair) -> Result<String, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, GROUP);
        params.distinguished_name.push(DnType::CommonName, self.user());
        for name in &self.dns {
            let name = Ia5String::try_from(name.as_str())?;
            params.subject_alt_names.push(SanType::DnsName(name));
        }
        params
            .subject_alt_names
            .extend(self.ips.iter().copied().map(SanType::IpAddress));
        params.serialize_request(key)?.pem()
    }

    /// The object to create. Without a name the API server gives it one that begins with `csr-`.
    pub fn object(&self, pem: &str, name: Option<&str>) -> Value {
        let metadata = match name {
            Some(name) => json!({"name": name}),
            None => json!({"generateName": "csr-"}),
        };
        json!({
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            "metadata": metadata,
            "spec": {
                "request": STANDARD.encode(pem),
                "signerName": self.signer.name(),
                "usages": self.signer.usages(),
            },
        })
    }

    /// The name upstream's kubelet and kubeadm give such a request at a bootstrap: the same key and wish always have the
    /// same name, so that a restart finds the request it has made.
    pub fn digested_name(&self, key: &KeyPair) -> String {
        let (public_key, user) = (key.subject_public_key_info(), self.user());
        let usages = self.signer.usages().map(str::as_bytes);
        digest(&[&[&*public_key, user.as_bytes(), GROUP.as_bytes()], &usages[..]].concat())
    }
}

fn digest(parts: &[&[u8]]) -> String {
    let mut hash = Sha512_256::new();
    for part in parts {
        hash.update(URL_SAFE_NO_PAD.encode(part));
        // No part can hold this, so that no two lists of parts are the same text.
        hash.update("|");
    }
    format!("node-csr-{}", URL_SAFE_NO_PAD.encode(hash.finalize()))
}

/// What the object of a request says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nobody has decided.
    Pending,
    /// Approved; the signer has not signed yet.
    Approved,
    /// Signed: the certificate chain in PEM.
    Issued(String),
    /// Denied; who denied it said this.
    Denied(String),
    /// The signer would not sign; it said this.
    Failed(String),
}

/// Reads the object.
pub fn verdict(object: &Value) -> Verdict {
    let conditions = object["status"]["conditions"].as_array();
    let condition = |kind: &str| {
        let found = conditions?.iter().find(|c| c["type"] == kind)?;
        let text = |key: &str| found[key].as_str().unwrap_or_default();
        Some(format!("{}: {}", text("reason"), text("message")))
    };
    if let Some(words) = condition("Denied") {
        return Verdict::Denied(words);
    }
    if let Some(words) = condition("Failed") {
        return Verdict::Failed(words);
    }
    if condition("Approved").is_none() {
        return Verdict::Pending;
    }
    let certificate = object["status"]["certificate"].as_str().unwrap_or_default();
    match STANDARD.decode(certificate).map(String::from_utf8) {
        Ok(Ok(pem)) if !pem.is_empty() => Verdict::Issued(pem),
        Ok(Ok(_)) => Verdict::Approved,
        _ => Verdict::Failed("status.certificate is not base64 of a text".to_owned()),
    }
}

#[cfg(test)]
mod tests;
