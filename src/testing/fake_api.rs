//! A stateful model of the API server behind the traits of [`crate::api`].
//!
//! It keeps what it was told and enforces what callers rely on: UID preconditions, NotFound, Conflict. Status patches
//! are merged as JSON merge patches; of the strategic rules it knows that conditions are merged by their type. Other
//! lists are replaced.

use crate::api::{
    ConfigData, ConfigObject, Error, EventType, Events, Nodes, ObjectRef, Pods, Result, Token, TokenRequest,
};
use crate::model::{NamespacedName, PodUid};
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// The model. Cheap to clone; clones share their state.
#[derive(Clone, Debug, Default)]
pub struct FakeApi {
    state: Arc<Mutex<State>>,
}

/// What the model holds. Tests read and change it directly.
#[derive(Debug, Default)]
pub struct State {
    /// Pods: UID and merged status.
    pub pods: BTreeMap<NamespacedName, (PodUid, Value)>,
    /// Every status patch, in order.
    pub status_patches: Vec<(NamespacedName, Value)>,
    /// Pods created, in order.
    pub created: Vec<Value>,
    /// Pods deleted by `delete_now`, in order.
    pub deleted: Vec<(NamespacedName, PodUid)>,
    /// ConfigMaps.
    pub config_maps: BTreeMap<NamespacedName, Arc<ConfigObject>>,
    /// ServiceAccounts.
    pub service_accounts: BTreeMap<NamespacedName, Arc<ConfigObject>>,
    /// Handlers of RuntimeClasses.
    pub runtime_classes: BTreeMap<Box<str>, Box<str>>,
    /// Secrets.
    pub secrets: BTreeMap<NamespacedName, Arc<ConfigObject>>,
    /// Nodes.
    pub nodes: BTreeMap<String, Value>,
    /// Renewals of each Lease.
    pub leases: BTreeMap<String, Vec<Timestamp>>,
    /// Tokens asked for.
    pub token_requests: Vec<TokenRequest>,
    /// Events, in order.
    pub events: Vec<ToldEvent>,
    /// Set: every call fails as if the server were away.
    pub away: bool,
}

/// One recorded Event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldEvent {
    /// What it is about.
    pub object: ObjectRef,
    /// Normal or Warning.
    pub kind: EventType,
    /// Reason.
    pub reason: &'static str,
    /// Message.
    pub message: String,
}

impl FakeApi {
    /// An empty cluster.
    pub fn new() -> Self {
        Self::default()
    }

    /// The state, to read or change.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics while holding this lock")
    }

    /// Adds a Pod.
    pub fn add_pod(&self, pod: NamespacedName, uid: PodUid) {
        self.state().pods.insert(pod, (uid, json!({})));
    }

    /// Reasons of all Events so far, in order.
    pub fn event_reasons(&self) -> Vec<&'static str> {
        self.state().events.iter().map(|event| event.reason).collect()
    }

    /// The state, unless the server is away.
    fn reach(&self, verb: &'static str, path: &str) -> Result<MutexGuard<'_, State>> {
        let state = self.state();
        if state.away {
            return Err(Error::Unreachable {
                verb,
                path: path.to_owned(),
                cause: "connection refused".to_owned(),
            });
        }
        Ok(state)
    }
}

fn status(verb: &'static str, path: &str, code: u16, reason: &str) -> Error {
    Error::Status {
        verb,
        path: path.to_owned(),
        code,
        reason: reason.to_owned(),
        message: path.to_owned(),
    }
}

/// RFC 7386.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let target = target.as_object_mut().expect("made an object above");
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else if key == "conditions" {
            merge_conditions(target.entry(key.clone()).or_insert(json!([])), value);
        } else {
            merge(target.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

/// Conditions by `type`; what the patch does not name stays, what it marks as deleted goes.
fn merge_conditions(target: &mut Value, patch: &Value) {
    let (Some(target), Some(patch)) = (target.as_array_mut(), patch.as_array()) else {
        return;
    };
    for new in patch {
        if new["$patch"] == "delete" {
            target.retain(|old| old["type"] != new["type"]);
            continue;
        }
        match target.iter_mut().find(|old| old["type"] == new["type"]) {
            Some(old) => merge(old, new),
            None => {
                let mut added = json!({});
                merge(&mut added, new);
                target.push(added);
            }
        }
    }
}

#[async_trait]
impl Pods for FakeApi {
    async fn patch_status(&self, pod: &NamespacedName, uid: &PodUid, patch: &Value) -> Result<()> {
        let path = format!("pods/{pod}/status");
        let mut state = self.reach("PATCH", &path)?;
        let Some((current, merged)) = state.pods.get_mut(pod) else {
            return Err(status("PATCH", &path, 404, "NotFound"));
        };
        if current != uid {
            return Err(status("PATCH", &path, 409, "Conflict"));
        }
        merge(merged, patch);
        state.status_patches.push((pod.clone(), patch.clone()));
        Ok(())
    }

    async fn create_mirror(&self, pod: &Value) -> Result<()> {
        let text = |field: &str| pod["metadata"][field].as_str().unwrap_or_default();
        let name = NamespacedName::new(text("namespace"), text("name"));
        let path = format!("pods/{name}");
        let mut state = self.reach("POST", &path)?;
        if state.pods.contains_key(&name) {
            return Err(status("POST", &path, 409, "AlreadyExists"));
        }
        state.created.push(pod.clone());
        let uid = format!("created-{}", state.created.len());
        state.pods.insert(name, (uid.into(), json!({})));
        Ok(())
    }

    async fn delete_now(&self, pod: &NamespacedName, uid: &PodUid) -> Result<()> {
        let mut state = self.reach("DELETE", &format!("pods/{pod}"))?;
        if state.pods.get(pod).is_some_and(|(current, _)| current == uid) {
            state.pods.remove(pod);
            state.deleted.push((pod.clone(), uid.clone()));
        }
        Ok(())
    }

    async fn current_uid(&self, pod: &NamespacedName) -> Result<Option<PodUid>> {
        Ok(self
            .reach("GET", &format!("pods/{pod}"))?
            .pods
            .get(pod)
            .map(|(uid, _)| uid.clone()))
    }

    async fn bound_to(&self, node: &str) -> Result<Vec<u8>> {
        let state = self.reach("GET", &format!("pods of {node}"))?;
        let item = |(name, (uid, status)): (&NamespacedName, &(PodUid, Value))| {
            let meta = json!({"namespace": name.namespace, "name": name.name, "uid": uid});
            json!({"metadata": meta, "status": status["status"]})
        };
        let items: Vec<Value> = state.pods.iter().map(item).collect();
        Ok(json!({"kind": "PodList", "apiVersion": "v1", "items": items})
            .to_string()
            .into_bytes())
    }
}

#[async_trait]
impl ConfigData for FakeApi {
    async fn runtime_handler(&self, class: &str) -> Result<Option<Box<str>>> {
        let state = self.reach("GET", &format!("runtimeclasses/{class}"))?;
        Ok(state.runtime_classes.get(class).cloned())
    }

    async fn config_map(&self, name: &NamespacedName) -> Result<Option<Arc<ConfigObject>>> {
        Ok(self
            .reach("GET", &format!("configmaps/{name}"))?
            .config_maps
            .get(name)
            .cloned())
    }

    async fn secret(&self, name: &NamespacedName) -> Result<Option<Arc<ConfigObject>>> {
        Ok(self
            .reach("GET", &format!("secrets/{name}"))?
            .secrets
            .get(name)
            .cloned())
    }

    async fn service_account(&self, name: &NamespacedName) -> Result<Option<Arc<ConfigObject>>> {
        let state = self.reach("GET", &format!("serviceaccounts/{name}"))?;
        Ok(state.service_accounts.get(name).cloned())
    }

    async fn token(&self, request: &TokenRequest) -> Result<Token> {
        let mut state = self.reach(
            "POST",
            &format!("serviceaccounts/{}/token", request.service_account),
        )?;
        state.token_requests.push(request.clone());
        let token = format!("token-{}", state.token_requests.len()).into();
        Ok(Token {
            token,
            expires: Timestamp::now() + SignedDuration::from_secs(request.expiration_seconds),
        })
    }
}

#[async_trait]
impl Nodes for FakeApi {
    async fn get(&self, name: &str) -> Result<Option<Value>> {
        Ok(self
            .reach("GET", &format!("nodes/{name}"))?
            .nodes
            .get(name)
            .cloned())
    }

    async fn create(&self, node: &Value) -> Result<Value> {
        let name = node["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let path = format!("nodes/{name}");
        let mut state = self.reach("POST", &path)?;
        if state.nodes.contains_key(&name) {
            return Err(status("POST", &path, 409, "AlreadyExists"));
        }
        let mut node = node.clone();
        merge(&mut node, &json!({"metadata": {"uid": format!("uid-of-{name}")}}));
        state.nodes.insert(name, node.clone());
        Ok(node)
    }

    async fn patch(&self, name: &str, patch: &Value) -> Result<Value> {
        let path = format!("nodes/{name}");
        let mut state = self.reach("PATCH", &path)?;
        let node = state
            .nodes
            .get_mut(name)
            .ok_or_else(|| status("PATCH", &path, 404, "NotFound"))?;
        merge(node, patch);
        Ok(node.clone())
    }

    async fn patch_status(&self, name: &str, patch: &Value) -> Result<Value> {
        Nodes::patch(self, name, patch).await
    }

    async fn renew_lease(&self, name: &str, _lease_duration_seconds: i32, now: Timestamp) -> Result<()> {
        self.reach("PATCH", &format!("leases/{name}"))?
            .leases
            .entry(name.to_owned())
            .or_default()
            .push(now);
        Ok(())
    }
}

impl Events for FakeApi {
    fn emit(&self, object: &ObjectRef, kind: EventType, reason: &str, message: String) {
        self.state().events.push(ToldEvent {
            object: object.clone(),
            kind,
            // For tests that compare lists of reasons: a few names.
            reason: Box::leak(reason.to_owned().into_boxed_str()),
            message,
        });
    }
}

#[cfg(test)]
mod tests;
