//! ConfigMaps, Secrets and tokens.
//!
//! Objects are read by GET and kept for a moment: many containers of many Pods ask for the same few objects at once.
//! A watch for each would run into the API server's limit of streams per connection, and a node may only watch them
//! one by one. Callers that ask while a read is under way wait for it and share its result, failures included.

use super::client::{Call, Client};
use super::pods::found;
use super::{ConfigData, ConfigObject, Result, Token, TokenRequest};
use crate::model::NamespacedName;
use async_trait::async_trait;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// How long an object that was read is good enough.
const KEEP: Duration = Duration::from_secs(10);
/// How long the news that an object is missing, or could not be read, is repeated without asking again.
const KEEP_BAD: Duration = Duration::from_secs(1);

/// Reads configuration data, with a short memory.
#[derive(Clone, Debug)]
pub struct ConfigReader {
    client: Client,
    slots: Arc<Mutex<BTreeMap<Key, Arc<Slot>>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    ConfigMap,
    Secret,
    ServiceAccount,
}

type Key = (Kind, NamespacedName);
type Answer = Result<Option<Arc<ConfigObject>>>;

/// The last answer for one object. Held locked while reading, which is what makes others wait for the same read.
#[derive(Debug, Default)]
struct Slot(tokio::sync::Mutex<Option<(Instant, Answer)>>);

impl ConfigReader {
    /// A reader that remembers nothing yet.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            slots: Arc::default(),
        }
    }

    async fn read(&self, kind: Kind, name: &NamespacedName) -> Answer {
        let slot = self.slot((kind, name.clone()));
        let mut last = slot.0.lock().await;
        if let Some((at, answer)) = &*last
            && is_fresh(*at, answer)
        {
            return answer.clone();
        }
        let resource = match kind {
            Kind::ConfigMap => "configmaps",
            Kind::Secret => "secrets",
            Kind::ServiceAccount => "serviceaccounts",
        };
        let path = format!("/api/v1/namespaces/{}/{resource}/{}", name.namespace, name.name);
        let answer =
            found(self.client.call::<ConfigObject>(Call::get(path)).await).map(|found| found.map(Arc::new));
        *last = Some((Instant::now(), answer.clone()));
        answer
    }

    /// The slot of an object; forgets those of others that nobody waits for and that are stale.
    fn slot(&self, key: Key) -> Arc<Slot> {
        let mut slots = self.slots.lock().expect("nothing panics while holding this lock");
        slots.retain(|_, slot| {
            let waited_for = Arc::strong_count(slot) > 1;
            waited_for
                || slot
                    .0
                    .try_lock()
                    .is_ok_and(|last| last.as_ref().is_some_and(|(at, a)| is_fresh(*at, a)))
        });
        slots.entry(key).or_default().clone()
    }
}

fn is_fresh(at: Instant, answer: &Answer) -> bool {
    let keep = if matches!(answer, Ok(Some(_))) {
        KEEP
    } else {
        KEEP_BAD
    };
    at.elapsed() < keep
}

/// `authentication.k8s.io/v1.TokenRequest` as answered.
#[derive(Deserialize)]
struct TokenAnswer {
    status: TokenStatus,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TokenStatus {
    token: Box<str>,
    expiration_timestamp: Timestamp,
}

/// `node.k8s.io/v1.RuntimeClass`, as far as it matters.
#[derive(Deserialize)]
struct RuntimeClass {
    handler: Box<str>,
}

#[async_trait]
impl ConfigData for ConfigReader {
    async fn runtime_handler(&self, class: &str) -> Result<Option<Box<str>>> {
        let path = format!("/apis/node.k8s.io/v1/runtimeclasses/{class}");
        let class = found(self.client.call::<RuntimeClass>(Call::get(path)).await)?;
        Ok(class.map(|class| class.handler))
    }

    async fn config_map(&self, name: &NamespacedName) -> Answer {
        self.read(Kind::ConfigMap, name).await
    }

    async fn secret(&self, name: &NamespacedName) -> Answer {
        self.read(Kind::Secret, name).await
    }

    async fn service_account(&self, name: &NamespacedName) -> Answer {
        self.read(Kind::ServiceAccount, name).await
    }

    async fn token(&self, request: &TokenRequest) -> Result<Token> {
        let account = &request.service_account;
        let audiences: Vec<&str> = Some(&*request.audience)
            .filter(|audience| !audience.is_empty())
            .into_iter()
            .collect();
        let body = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {
                "audiences": audiences,
                "expirationSeconds": request.expiration_seconds,
                "boundObjectRef":
                    {"apiVersion": "v1", "kind": "Pod", "name": request.pod_name, "uid": request.pod_uid},
            },
        });
        let path = format!(
            "/api/v1/namespaces/{}/serviceaccounts/{}/token",
            account.namespace, account.name
        );
        let answer: TokenAnswer = self.client.call(Call::post(path, body)).await?;
        Ok(Token {
            token: answer.status.token,
            expires: answer.status.expiration_timestamp,
        })
    }
}

#[cfg(test)]
mod tests;
