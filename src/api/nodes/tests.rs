use super::*;
use crate::api::client::script::scripted;

fn now() -> Timestamp {
    "2026-11-21T10:00:00.1Z".parse().unwrap()
}

fn renew(client: &Client) -> tokio::task::JoinHandle<Result<()>> {
    let client = client.clone();
    tokio::spawn(async move { client.renew_lease("w1", 40, now()).await })
}

#[tokio::test(start_paused = true)]
async fn renewing_is_one_merge_patch() {
    let (client, mut server) = scripted();
    let renewal = renew(&client);
    let seen = server
        .ok(json!({"metadata": {"ownerReferences": [{"uid": "n-1"}]}}))
        .await;
    assert_eq!(
        seen.line,
        "PATCH /apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/w1"
    );
    assert_eq!(seen.content_type, "application/merge-patch+json");
    let spec = json!({"holderIdentity": "w1", "leaseDurationSeconds": 40, "renewTime": "2026-11-21T10:00:00.100000Z"});
    assert_eq!(seen.body, json!({"spec": spec}));
    renewal.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_missing_lease_is_created_owned_by_the_node() {
    let (client, mut server) = scripted();
    let renewal = renew(&client);
    server.answer(404, "{}").await;
    assert_eq!(
        server
            .ok(json!({"metadata": {"name": "w1", "uid": "n-1"}}))
            .await
            .line,
        "GET /api/v1/nodes/w1"
    );
    let seen = server.ok(json!({})).await;
    assert_eq!(
        seen.line,
        "POST /apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
    );
    let owner = json!([{"apiVersion": "v1", "kind": "Node", "name": "w1", "uid": "n-1"}]);
    assert_eq!(
        seen.body["metadata"],
        json!({"name": "w1", "namespace": "kube-node-lease", "ownerReferences": owner})
    );
    assert_eq!(seen.body["spec"]["renewTime"], "2026-11-21T10:00:00.100000Z");
    renewal.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lease_without_owner_gets_one_as_soon_as_the_node_exists() {
    let (client, mut server) = scripted();
    let renewal = renew(&client);
    server.ok(json!({"metadata": {"name": "w1"}})).await;
    server.answer(404, "{}").await;
    renewal.await.unwrap().unwrap();

    let renewal = renew(&client);
    server.ok(json!({"metadata": {"name": "w1"}})).await;
    server.ok(json!({"metadata": {"name": "w1", "uid": "n-1"}})).await;
    let seen = server.ok(json!({})).await;
    assert_eq!(seen.body["metadata"]["ownerReferences"][0]["uid"], "n-1");
    renewal.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn nodes_are_read_created_and_patched() {
    let (client, mut server) = scripted();
    let work = tokio::spawn(async move {
        let missing = client.get("w1").await.unwrap();
        client.create(&json!({"kind": "Node"})).await.unwrap();
        Nodes::patch(&client, "w1", &json!({"metadata": {}}))
            .await
            .unwrap();
        Nodes::patch_status(&client, "w1", &json!({"status": {}}))
            .await
            .unwrap();
        missing
    });
    server.answer(404, "{}").await;
    assert_eq!(server.ok(json!({})).await.line, "POST /api/v1/nodes");
    let seen = server.ok(json!({})).await;
    assert_eq!(
        (&*seen.line, &*seen.content_type),
        ("PATCH /api/v1/nodes/w1", MERGE)
    );
    let seen = server.ok(json!({})).await;
    assert_eq!(
        (&*seen.line, &*seen.content_type),
        ("PATCH /api/v1/nodes/w1/status", STRATEGIC_MERGE)
    );
    assert_eq!(work.await.unwrap(), None);
}
