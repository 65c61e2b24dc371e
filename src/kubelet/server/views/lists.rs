//! `/pods` and `/runningpods`: what should run here, and what the runtime says does.

use super::runningpods;
use crate::kubelet::server::Shared;
use crate::kubelet::server::answer::{Answer, json, text, with_type};
use crate::model::pod::Pod;
use http::StatusCode;
use serde_json::{Value, json as value};
use std::sync::Arc;

/// The Pods bound to this node with every field, from the API server, as JSON as it comes. We hold slim Pods only; while
/// the API server is away their fields have to do.
pub(super) async fn pods(shared: &Shared) -> Answer {
    match shared.pods.bound_to(&shared.node).await {
        Ok(list) => with_type(StatusCode::OK, "application/json", list),
        Err(error) => {
            tracing::debug!(%error, "/pods from what we hold");
            let uids = shared.source.uids();
            let held = uids.iter().filter_map(|uid| shared.source.get(uid));
            json(&list(held.map(|pod| slim(&pod)).collect()))
        }
    }
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
