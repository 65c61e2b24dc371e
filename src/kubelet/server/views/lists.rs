//! `/pods` and `/runningpods`: what should run here, and what the runtime says does.

use super::runningpods;
use crate::kubelet::manifest::Manifest;
use crate::kubelet::server::Shared;
use crate::kubelet::server::answer::{Answer, json, text, with_type};
use crate::model::pod::{CONFIG_MIRROR, Pod};
use http::StatusCode;
use serde_json::{Value, json as value};
use std::sync::Arc;

/// The Pods that should run here with every field: those of the API server as JSON as it comes, and static Pods instead
/// of their mirrors. Of the former we hold slim Pods only; while the API server is away their fields have to do.
pub(super) async fn pods(shared: &Shared) -> Answer {
    let statics = statics(shared);
    match shared.pods.bound_to(&shared.node).await {
        Ok(bytes) => match serde_json::from_slice::<Value>(&bytes) {
            Ok(all) if !statics.is_empty() => json(&with_statics(all, statics)),
            _ => with_type(StatusCode::OK, "application/json", bytes),
        },
        Err(error) => {
            tracing::debug!(%error, "/pods from what we hold");
            let uids = shared.source.uids();
            let held = uids.iter().filter_map(|uid| shared.source.get(uid));
            let held = held.filter(|pod| !pod.is_static()).map(|pod| slim(&pod));
            json(&list(held.chain(statics).collect()))
        }
    }
}

/// Static Pods, with what is known of them.
fn statics(shared: &Shared) -> Vec<Value> {
    let object = |manifest: Manifest| {
        let mut object = (*manifest.object).clone();
        let fields = object.as_object_mut()?;
        // Items of a list do not say it.
        fields.remove("apiVersion");
        fields.remove("kind");
        let status = shared.source.status(&manifest.pod.metadata.uid);
        let status = status.and_then(|status| serde_json::to_value(&*status).ok());
        fields.insert("status".into(), status.unwrap_or(value!({"phase": "Pending"})));
        Some(object)
    };
    shared.source.manifests().into_iter().filter_map(object).collect()
}

/// PURE. A list with these Pods instead of all mirrors.
fn with_statics(mut all: Value, statics: Vec<Value>) -> Value {
    if let Some(items) = all["items"].as_array_mut() {
        items.retain(|item| item["metadata"]["annotations"].get(CONFIG_MIRROR).is_none());
        items.extend(statics);
    }
    all
}

/// The Pods the runtime has running.
pub(super) async fn running(shared: &Shared) -> Answer {
    let asked = tokio::try_join!(
        shared.runtime.list_pod_sandboxes(None),
        shared.runtime.list_containers(None)
    );
    match asked {
        Ok((sandboxes, containers)) => json(&list(runningpods::items(&sandboxes, &containers))),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

fn list(items: Vec<Value>) -> Value {
    // Go's encoder has null for no items, and clients know it.
    let items = if items.is_empty() {
        Value::Null
    } else {
        items.into()
    };
    value!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})
}

fn slim(pod: &Arc<Pod>) -> Value {
    serde_json::to_value(&**pod).unwrap_or(Value::Null)
}
