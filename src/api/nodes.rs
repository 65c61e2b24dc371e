//! Our own Node and its Lease.

use super::client::{Call, Client, MERGE, STRATEGIC_MERGE};
use super::pods::found;
use super::{Nodes, Result};
use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json};

const NODES: &str = "/api/v1/nodes";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";

#[async_trait]
impl Nodes for Client {
    async fn get(&self, name: &str) -> Result<Option<Value>> {
        found(self.call(Call::get(format!("{NODES}/{name}"))).await)
    }

    async fn create(&self, node: &Value) -> Result<Value> {
        self.call(Call::post(NODES, node.clone())).await
    }

    async fn patch(&self, name: &str, patch: &Value) -> Result<Value> {
        self.call(Call::patch(format!("{NODES}/{name}"), MERGE, patch.clone()))
            .await
    }

    async fn patch_status(&self, name: &str, patch: &Value) -> Result<Value> {
        self.call(Call::patch(
            format!("{NODES}/{name}/status"),
            STRATEGIC_MERGE,
            patch.clone(),
        ))
        .await
    }

    async fn renew_lease(&self, name: &str, lease_duration_seconds: i32, now: Timestamp) -> Result<()> {
        let spec = json!({
            "holderIdentity": name,
            "leaseDurationSeconds": lease_duration_seconds,
            "renewTime": micro_time(now),
        });
        let path = format!("{LEASES}/{name}");
        let renewed = found(
            self.call::<Value>(Call::patch(&path, MERGE, json!({"spec": spec})))
                .await,
        )?;
        if renewed.as_ref().is_some_and(has_owner) {
            return Ok(());
        }
        // The Lease is owned by the Node, so that it goes with it. Both cases below happen once in a Node's life.
        let owners = owner_references(self.get(name).await?.as_ref());
        if renewed.is_none() {
            let lease = json!({
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": name, "namespace": "kube-node-lease", "ownerReferences": owners},
                "spec": spec,
            });
            return self.call_raw(Call::post(LEASES, lease)).await.map(drop);
        }
        if owners != json!([]) {
            let patch = json!({"metadata": {"ownerReferences": owners}});
            self.call_raw(Call::patch(&path, MERGE, patch)).await?;
        }
        Ok(())
    }
}

fn has_owner(lease: &Value) -> bool {
    lease["metadata"]["ownerReferences"]
        .as_array()
        .is_some_and(|owners| !owners.is_empty())
}

/// `metadata.ownerReferences` for a Lease of this Node; empty while the Node does not exist.
fn owner_references(node: Option<&Value>) -> Value {
    match node.map(|node| &node["metadata"]) {
        Some(meta) => json!([{"apiVersion": "v1", "kind": "Node", "name": meta["name"], "uid": meta["uid"]}]),
        None => json!([]),
    }
}

/// `metav1.MicroTime`: exactly six digits of a second.
fn micro_time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

#[cfg(test)]
mod tests;
