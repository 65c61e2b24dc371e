use super::*;

#[tokio::test]
async fn keeps_uid_preconditions_as_the_api_server_does() {
    let api = FakeApi::new();
    let (web, uid, other) = (
        NamespacedName::new("shop", "web"),
        PodUid::from("u-1"),
        PodUid::from("u-2"),
    );
    let patch = json!({"phase": "Running", "message": "m"});
    assert!(
        Pods::patch_status(&api, &web, &uid, &patch)
            .await
            .unwrap_err()
            .is_not_found()
    );
    api.add_pod(web.clone(), uid.clone());
    assert!(
        Pods::patch_status(&api, &web, &other, &patch)
            .await
            .unwrap_err()
            .is_conflict()
    );
    Pods::patch_status(&api, &web, &uid, &patch).await.unwrap();
    Pods::patch_status(&api, &web, &uid, &json!({"message": null}))
        .await
        .unwrap();
    assert_eq!(api.state().pods[&web].1, json!({"phase": "Running"}));
    api.delete_now(&web, &other).await.unwrap();
    assert_eq!(api.current_uid(&web).await.unwrap(), Some(uid.clone()));
    api.delete_now(&web, &uid).await.unwrap();
    assert_eq!(api.current_uid(&web).await.unwrap(), None);
}

#[tokio::test]
async fn nodes_are_created_once_and_patched() {
    let api = FakeApi::new();
    let node = json!({"metadata": {"name": "w1"}});
    assert!(
        Nodes::patch(&api, "w1", &json!({}))
            .await
            .unwrap_err()
            .is_not_found()
    );
    api.create(&node).await.unwrap();
    assert!(api.create(&node).await.unwrap_err().is_conflict());
    Nodes::patch_status(&api, "w1", &json!({"status": {"phase": "x"}}))
        .await
        .unwrap();
    assert_eq!(api.get("w1").await.unwrap().unwrap()["status"]["phase"], "x");
    api.state().away = true;
    assert_eq!(api.get("w1").await.unwrap_err().code(), None);
}
