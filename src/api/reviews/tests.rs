use super::*;
use crate::api::client::script::scripted;
use std::sync::Arc;

#[tokio::test(start_paused = true)]
async fn a_token_is_asked_about_without_audiences() {
    let (client, mut server) = scripted();
    let asked = tokio::spawn(async move { client.token("t0k").await });
    let user = json!({"username": "u", "groups": ["g"], "uid": "1", "extra": {"k": ["v"]}});
    let seen = server
        .ok(json!({"status": {"authenticated": true, "user": user}}))
        .await;
    assert_eq!(seen.line, "POST /apis/authentication.k8s.io/v1/tokenreviews");
    assert_eq!(seen.body["spec"], json!({"token": "t0k"}));
    let Reviewed::Known(user) = asked.await.unwrap().unwrap() else {
        panic!("the token is known")
    };
    assert_eq!((&*user.username, &*user.uid, &*user.groups[0]), ("u", "1", "g"));
    assert_eq!(user.extra["k"], ["v".into()]);
}

#[test]
fn what_a_token_review_says() {
    let cases = [
        (json!({}), Reviewed::Unknown),
        (json!({"authenticated": false}), Reviewed::Unknown),
        (
            json!({"authenticated": false, "error": "token has expired"}),
            Reviewed::Refused("token has expired".into()),
        ),
        (
            json!({"authenticated": true, "user": {"username": "u"}}),
            Reviewed::Known(UserInfo {
                username: "u".into(),
                ..UserInfo::default()
            }),
        ),
    ];
    for (status, expected) in cases {
        assert_eq!(reviewed(serde_json::from_value(status).unwrap()), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn access_is_asked_for_a_subresource_of_the_node() {
    let (client, mut server) = scripted();
    let question = AccessQuestion {
        user: Arc::new(UserInfo {
            username: "u".into(),
            groups: vec!["g".into()],
            ..UserInfo::default()
        }),
        verb: "get",
        node: "w1".into(),
        subresource: "stats",
    };
    let asked = tokio::spawn(async move { client.access(&question).await });
    let seen = server.ok(json!({"status": {"allowed": true}})).await;
    assert_eq!(
        seen.line,
        "POST /apis/authorization.k8s.io/v1/subjectaccessreviews"
    );
    let attributes =
        json!({"verb": "get", "version": "v1", "resource": "nodes", "subresource": "stats", "name": "w1"});
    assert_eq!(seen.body["spec"]["resourceAttributes"], attributes);
    assert_eq!(seen.body["spec"]["user"], "u");
    assert_eq!(seen.body["spec"]["groups"], json!(["g"]));
    assert!(asked.await.unwrap().unwrap());
}
