//! Writes about Pods.

use super::client::{Call, Client, STRATEGIC_MERGE};
use super::{Error, Pods, Result};
use crate::model::{Meta, NamespacedName, PodUid};
use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};

/// An object of which only the metadata matters.
#[derive(Deserialize)]
struct Headed {
    metadata: Meta,
}

fn path(pod: &NamespacedName) -> String {
    format!("/api/v1/namespaces/{}/pods/{}", pod.namespace, pod.name)
}

#[async_trait]
impl Pods for Client {
    async fn patch_status(&self, pod: &NamespacedName, uid: &PodUid, status: &Value) -> Result<()> {
        let patch = json!({"metadata": {"uid": uid}, "status": status});
        let call = Call::patch(format!("{}/status", path(pod)), STRATEGIC_MERGE, patch);
        self.call_raw(call).await.map(drop).map_err(other_pod_is_conflict)
    }

    async fn create_mirror(&self, pod: &Value) -> Result<()> {
        let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
        let path = format!("/api/v1/namespaces/{namespace}/pods");
        self.call_raw(Call::post(path, pod.clone())).await.map(drop)
    }

    async fn delete_now(&self, pod: &NamespacedName, uid: &PodUid) -> Result<()> {
        let options = json!({
            "apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0, "preconditions": {"uid": uid},
        });
        match self.call_raw(Call::delete(path(pod), options)).await {
            Ok(_) => Ok(()),
            // Gone, or another Pod has its name by now: this one is no more either way.
            Err(error) if error.is_not_found() || error.is_conflict() => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn current_uid(&self, pod: &NamespacedName) -> Result<Option<PodUid>> {
        found(self.call::<Headed>(Call::get(path(pod))).await).map(|pod| pod.map(|pod| pod.metadata.uid))
    }

    async fn bound_to(&self, node: &str) -> Result<Vec<u8>> {
        let list = Call::list(format!("/api/v1/pods?fieldSelector=spec.nodeName%3D{node}"));
        Ok(self.call_raw(list).await?.into())
    }
}

/// A UID in the patch that is not the object's is an attempt to change it to the API server (1.36 answers 422 Invalid);
/// to us it says that another Pod has this name.
fn other_pod_is_conflict(error: Error) -> Error {
    match error {
        Error::Status {
            verb,
            path,
            code: 422,
            message,
            ..
        } if message.contains("metadata.uid") => Error::Status {
            verb,
            path,
            code: 409,
            reason: "Conflict".to_owned(),
            message,
        },
        other => other,
    }
}

/// Turns `NotFound` into `None`.
pub(super) fn found<T>(result: Result<T>) -> std::result::Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
