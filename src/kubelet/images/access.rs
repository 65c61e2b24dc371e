//! PURE. Who may use an image that somebody else's credentials have pulled (KEP-2535): upstream's records, and what
//! they prove.

use super::keyring::{Coordinates, Credential, Origin};
use super::reference;
use crate::config::PullVerification;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const API_VERSION: &str = "kubelet.config.k8s.io/v1beta1";
/// So many Secrets of one image are remembered for having the same content as another.
const SECRETS_KEPT: usize = 100;

/// `ImagePullIntent`: a pull is under way, or was when the agent ended.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Intent {
    kind: Box<str>,
    api_version: Box<str>,
    /// As the Pod's spec writes it.
    pub image: Box<str>,
}

/// `ImagePulledRecord`: with which credentials an image was pulled.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Record {
    kind: Box<str>,
    api_version: Box<str>,
    /// When it was written.
    pub last_updated_time: Timestamp,
    /// What the runtime calls the image.
    pub image_ref: Box<str>,
    /// By name without tag and digest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub credential_mapping: BTreeMap<Box<str>, Proofs>,
}

/// What proves that somebody may use an image.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Proofs {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    kubernetes_secrets: Vec<SecretProof>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    kubernetes_service_accounts: Vec<AccountProof>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    node_pods_accessible: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SecretProof {
    uid: Box<str>,
    namespace: Box<str>,
    name: Box<str>,
    credential_hash: Box<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AccountProof {
    uid: Box<str>,
    namespace: Box<str>,
    name: Box<str>,
}

impl Intent {
    /// An image is about to be pulled.
    pub fn new(image: &str) -> Self {
        Self {
            kind: "ImagePullIntent".into(),
            api_version: API_VERSION.into(),
            image: image.into(),
        }
    }
}

impl Proofs {
    /// Of the credential that a pull succeeded with; `None` is an anonymous one.
    pub fn of(credential: Option<&Credential>) -> Self {
        let mut proofs = Self::default();
        match credential.map(|c| (&c.origin, c)) {
            None | Some((Origin::Node, _)) => proofs.node_pods_accessible = true,
            Some((Origin::Secret(at), c)) => proofs.kubernetes_secrets.push(SecretProof {
                uid: at.uid.clone(),
                namespace: at.namespace.clone(),
                name: at.name.clone(),
                credential_hash: c.login.hash().into(),
            }),
            Some((Origin::ServiceAccount(at), _)) => proofs.kubernetes_service_accounts.push(account(at)),
        }
        proofs
    }

    /// Whether any Pod of the node may use the image.
    pub fn for_all(&self) -> bool {
        self.node_pods_accessible
    }

    /// Whether nobody is known to.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn account(at: &Coordinates) -> AccountProof {
    AccountProof {
        uid: at.uid.clone(),
        namespace: at.namespace.clone(),
        name: at.name.clone(),
    }
}

impl Record {
    /// An image that was pulled, by nobody knows whom.
    pub fn new(image_ref: &str, now: Timestamp) -> Self {
        Self {
            kind: "ImagePulledRecord".into(),
            api_version: API_VERSION.into(),
            last_updated_time: now,
            image_ref: image_ref.into(),
            credential_mapping: BTreeMap::new(),
        }
    }

    /// What is known for an image's name.
    pub fn proofs(&self, image: &str) -> Option<&Proofs> {
        self.credential_mapping.get(reference::without_tag(image)?)
    }

    /// Takes new proofs over; false when they change nothing.
    pub fn learn(&mut self, image: &str, new: &Proofs, now: Timestamp) -> bool {
        let Some(name) = reference::without_tag(image).filter(|_| !new.is_empty()) else {
            return false;
        };
        let known = self.credential_mapping.entry(name.into()).or_default();
        let before = known.clone();
        if new.node_pods_accessible {
            *known = new.clone();
        } else if !known.node_pods_accessible {
            for secret in &new.kubernetes_secrets {
                let same = |s: &SecretProof| {
                    (&s.uid, &s.namespace, &s.name) == (&secret.uid, &secret.namespace, &secret.name)
                };
                known.kubernetes_secrets.retain(|s| !same(s));
                known.kubernetes_secrets.push(secret.clone());
            }
            let by = |s: &SecretProof| (s.namespace.clone(), s.name.clone(), s.uid.clone());
            known.kubernetes_secrets.sort_by_key(by);
            for account in &new.kubernetes_service_accounts {
                if !known.kubernetes_service_accounts.contains(account) {
                    known.kubernetes_service_accounts.push(account.clone());
                }
            }
            let by = |a: &AccountProof| (a.namespace.clone(), a.name.clone(), a.uid.clone());
            known.kubernetes_service_accounts.sort_by_key(by);
        }
        let changed = *known != before;
        if changed {
            self.last_updated_time = now;
        }
        changed
    }
}

/// Whether an image that is there may only be used by those who could pull it. `ours`: this agent, or kubelet before
/// it, has pulled it.
pub fn must_prove(policy: &PullVerification, image: &str, ours: bool) -> bool {
    match policy {
        PullVerification::Never => false,
        PullVerification::Pulled => ours,
        PullVerification::NotListed(listed) => {
            let name = reference::without_tag(image).unwrap_or(image);
            !listed.iter().any(|pattern| match pattern.strip_suffix('*') {
                Some(start) => name.starts_with(start),
                None => name == &**pattern,
            })
        }
        PullVerification::Always => true,
    }
}

/// What a Pod's credentials say.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The image has to be pulled with them.
    Unproven,
    /// It was pulled with these before.
    Proven,
    /// The same, and this is worth remembering: a Secret of other content, or other Secret of the same content.
    ProvenBy(Proofs),
}

/// Holds a Pod's credentials for an image against what is known.
pub fn prove(known: &Proofs, credentials: &[Credential]) -> Verdict {
    let room = known.kubernetes_secrets.len() < SECRETS_KEPT;
    for credential in credentials {
        let Origin::Secret(at) = &credential.origin else {
            continue;
        };
        let hash = credential.login.hash();
        for secret in &known.kubernetes_secrets {
            let same_login = *secret.credential_hash == *hash;
            let same_secret =
                (&secret.uid, &secret.namespace, &secret.name) == (&at.uid, &at.namespace, &at.name);
            match (same_login, same_secret) {
                (true, true) => return Verdict::Proven,
                (true, false) | (false, true) if room => {
                    return Verdict::ProvenBy(Proofs::of(Some(credential)));
                }
                (true, false) => return Verdict::Proven,
                (false, _) => {}
            }
        }
    }
    // Upstream looks at one account only, whatever the audience.
    let own = credentials.iter().find_map(|c| match &c.origin {
        Origin::ServiceAccount(at) => Some(account(at)),
        _ => None,
    });
    match own {
        Some(own) if known.kubernetes_service_accounts.contains(&own) => Verdict::Proven,
        _ => Verdict::Unproven,
    }
}

#[cfg(test)]
mod tests;
