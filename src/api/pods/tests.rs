use super::*;
use crate::api::client::script::scripted;

fn web() -> (NamespacedName, PodUid) {
    (NamespacedName::new("shop", "web"), PodUid::from("u-1"))
}

#[tokio::test(start_paused = true)]
async fn a_status_patch_carries_the_uid() {
    let (client, mut server) = scripted();
    let patch = tokio::spawn(async move {
        let (pod, uid) = web();
        Pods::patch_status(&client, &pod, &uid, &json!({"phase": "Running"})).await
    });
    let seen = server.ok(json!({})).await;
    assert_eq!(seen.line, "PATCH /api/v1/namespaces/shop/pods/web/status");
    assert_eq!(seen.content_type, "application/strategic-merge-patch+json");
    assert_eq!(
        seen.body,
        json!({"metadata": {"uid": "u-1"}, "status": {"phase": "Running"}})
    );
    patch.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn deleting_what_is_gone_is_a_success() {
    let (client, mut server) = scripted();
    for (code, success) in [(200, true), (404, true), (409, true), (500, false)] {
        let client = client.clone();
        let delete = tokio::spawn(async move {
            let (pod, uid) = web();
            client.delete_now(&pod, &uid).await
        });
        let seen = server.answer(code, "{}").await;
        assert_eq!(seen.line, "DELETE /api/v1/namespaces/shop/pods/web");
        assert_eq!(
            (
                &seen.body["gracePeriodSeconds"],
                &seen.body["preconditions"]["uid"]
            ),
            (&json!(0), &json!("u-1"))
        );
        assert_eq!(delete.await.unwrap().is_ok(), success, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_current_uid_is_read_or_absent() {
    let (client, mut server) = scripted();
    for (code, body, expected) in [
        (200, r#"{"metadata":{"uid":"u-2"}}"#, Some(PodUid::from("u-2"))),
        (404, r#"{"reason":"NotFound"}"#, None),
    ] {
        let client = client.clone();
        let read = tokio::spawn(async move { client.current_uid(&web().0).await });
        server.answer(code, body).await;
        assert_eq!(read.await.unwrap().unwrap(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_patch_for_another_pod_of_that_name_is_a_conflict() {
    let (client, mut server) = scripted();
    let uid_changed = "Pod \"web\" is invalid: metadata.uid: Invalid value: \"x\": field is immutable";
    for (message, conflict) in [(uid_changed, true), ("status.podIPs: Invalid value", false)] {
        let client = client.clone();
        let patch = tokio::spawn(async move {
            let (pod, uid) = web();
            Pods::patch_status(&client, &pod, &uid, &json!({})).await
        });
        server
            .answer(422, &json!({"reason": "Invalid", "message": message}).to_string())
            .await;
        assert_eq!(
            patch.await.unwrap().unwrap_err().is_conflict(),
            conflict,
            "{message}"
        );
    }
}
