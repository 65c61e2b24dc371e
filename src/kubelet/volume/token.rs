//! Service account tokens: asked for once, renewed at 80 % of their life or after 24 hours, whichever comes first.

use super::content::{self, File, Payload};
use crate::api::{ConfigData, Result, Token, TokenRequest};
use crate::model::pod::{Pod, TokenFile};
use crate::model::{NamespacedName, PodUid};
use jiff::{SignedDuration, Timestamp};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const DEFAULT_SECONDS: i64 = 3600;
const MAX_AGE: SignedDuration = SignedDuration::from_hours(24);

/// Tokens of one Pod by volume and path.
type OfPod = HashMap<(Box<str>, Box<str>), Token>;

/// Tokens of all pods.
pub(super) struct Tokens {
    data: Arc<dyn ConfigData>,
    /// Protects the map only; never held over a call.
    held: Mutex<HashMap<PodUid, OfPod>>,
}

impl Tokens {
    pub(super) fn new(data: Arc<dyn ConfigData>) -> Self {
        Self {
            data,
            held: Mutex::default(),
        }
    }

    /// The token for one file. A failed renewal keeps the old token while it is valid.
    pub(super) async fn get(
        &self,
        pod: &Pod,
        volume: &str,
        source: &TokenFile,
        now: Timestamp,
    ) -> Result<Token> {
        let uid = &pod.metadata.uid;
        let key = (Box::from(volume), source.path.clone());
        let life = SignedDuration::from_secs(source.expiration_seconds.unwrap_or(DEFAULT_SECONDS));
        let old = self.lock().get(uid).and_then(|tokens| tokens.get(&key)).cloned();
        if let Some(old) = old.as_ref().filter(|old| !due(old.expires, life, now)) {
            return Ok(old.clone());
        }
        match (self.data.token(&request(pod, source, life)).await, old) {
            (Ok(token), _) => {
                self.lock()
                    .entry(uid.clone())
                    .or_default()
                    .insert(key, token.clone());
                Ok(token)
            }
            (Err(error), Some(old)) if old.expires > now => {
                tracing::warn!(pod.uid = %uid, %error, "token not renewed, the old one is valid until {}", old.expires);
                Ok(old)
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Drops the tokens of a Pod.
    pub(super) fn forget(&self, uid: &PodUid) {
        self.lock().remove(uid);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PodUid, OfPod>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn request(pod: &Pod, source: &TokenFile, life: SignedDuration) -> TokenRequest {
    let account = &*pod.spec.service_account_name;
    TokenRequest {
        service_account: NamespacedName {
            namespace: pod.metadata.namespace.clone(),
            name: if account.is_empty() {
                "default".into()
            } else {
                account.into()
            },
        },
        audience: source.audience.clone(),
        expiration_seconds: life.as_secs(),
        pod_name: (&*pod.metadata.name).into(),
        pod_uid: pod.metadata.uid.clone(),
    }
}

/// PURE. A token that lives `life` until `expires` should be replaced.
fn due(expires: Timestamp, life: SignedDuration, now: Timestamp) -> bool {
    let left = expires.duration_since(now);
    // In integers: less than a fifth of the life is left.
    left.as_secs() * 5 <= life.as_secs() || life - left >= MAX_AGE
}

/// PURE. The token's file: 0600 for one user where the Pod names one, else the volume's mode.
pub(super) fn file(
    pod: &Pod,
    source: &TokenFile,
    token: &Token,
    mode: Option<i32>,
) -> std::result::Result<Payload, content::Error> {
    let owner = content::common_user(pod);
    let private = owner.is_some() || pod.spec.security_context.fs_group.is_some();
    let mode = if private {
        0o600
    } else {
        mode.unwrap_or(content::DEFAULT_MODE)
    };
    let file = File {
        data: token.token.as_bytes().to_vec(),
        mode: u32::try_from(mode).unwrap_or(0o600) & 0o777,
        owner,
    };
    Ok(Payload::from([(content::clean_path(&source.path)?, file)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewal_is_due_at_four_fifths_or_a_day() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let hour = SignedDuration::from_hours(1);
        assert!(!due(at(3600), hour, at(2879)));
        assert!(due(at(3600), hour, at(2880)));
        let year = SignedDuration::from_hours(24 * 365);
        let end = at(year.as_secs());
        assert!(!due(end, year, at(86_399)));
        assert!(due(end, year, at(86_400)));
    }
}
