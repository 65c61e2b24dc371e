use super::*;
use crate::api::client::script::{Server, scripted};
use tokio::time::advance;

fn reader() -> (ConfigReader, Server) {
    let (client, server) = scripted();
    (ConfigReader::new(client), server)
}

fn ask(reader: &ConfigReader, name: &'static str) -> tokio::task::JoinHandle<Answer> {
    let reader = reader.clone();
    tokio::spawn(async move { reader.config_map(&NamespacedName::new("shop", name)).await })
}

fn value(answer: Answer) -> Option<String> {
    answer.unwrap().map(|object| object.data["k"].to_string())
}

#[tokio::test(start_paused = true)]
async fn one_read_serves_all_who_ask_and_is_kept_for_a_moment() {
    let (reader, mut server) = reader();
    let askers: Vec<_> = (0..20).map(|_| ask(&reader, "cm")).collect();
    let seen = server
        .ok(json!({"metadata": {"name": "cm"}, "data": {"k": "v1"}}))
        .await;
    assert_eq!(seen.line, "GET /api/v1/namespaces/shop/configmaps/cm");
    for asker in askers {
        assert_eq!(value(asker.await.unwrap()).as_deref(), Some("v1"));
    }
    advance(KEEP - Duration::from_millis(1)).await;
    assert_eq!(value(ask(&reader, "cm").await.unwrap()).as_deref(), Some("v1"));
    advance(Duration::from_millis(1)).await;
    let again = ask(&reader, "cm");
    server.ok(json!({"data": {"k": "v2"}})).await;
    assert_eq!(value(again.await.unwrap()).as_deref(), Some("v2"));
}

#[tokio::test(start_paused = true)]
async fn a_missing_object_is_asked_for_again_soon() {
    let (reader, mut server) = reader();
    let first = ask(&reader, "cm");
    server.answer(404, "{}").await;
    assert_eq!(first.await.unwrap().unwrap(), None);
    assert_eq!(ask(&reader, "cm").await.unwrap().unwrap(), None);
    advance(KEEP_BAD).await;
    let again = ask(&reader, "cm");
    server.ok(json!({"data": {"k": "now"}})).await;
    assert_eq!(value(again.await.unwrap()).as_deref(), Some("now"));
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_shared_and_then_tried_again() {
    let (reader, mut server) = reader();
    let askers: Vec<_> = (0..5).map(|_| ask(&reader, "cm")).collect();
    server
        .answer(500, r#"{"reason":"InternalError","message":"etcd"}"#)
        .await;
    for asker in askers {
        assert_eq!(asker.await.unwrap().unwrap_err().code(), Some(500));
    }
    advance(KEEP_BAD).await;
    let again = ask(&reader, "cm");
    server.ok(json!({"data": {"k": "v"}})).await;
    assert_eq!(value(again.await.unwrap()).as_deref(), Some("v"));
}

#[tokio::test(start_paused = true)]
async fn stale_objects_are_forgotten() {
    let (reader, mut server) = reader();
    for name in ["a", "b", "c"] {
        let asker = ask(&reader, name);
        server.ok(json!({})).await;
        asker.await.unwrap().unwrap();
    }
    advance(KEEP).await;
    let asker = ask(&reader, "d");
    server.ok(json!({})).await;
    asker.await.unwrap().unwrap();
    assert_eq!(reader.slots.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn secrets_and_config_maps_of_one_name_are_two_things() {
    let (reader, mut server) = reader();
    let map = ask(&reader, "x");
    server.ok(json!({"data": {"k": "map"}})).await;
    assert_eq!(value(map.await.unwrap()).as_deref(), Some("map"));
    let other = reader.clone();
    let secret = tokio::spawn(async move { other.secret(&NamespacedName::new("shop", "x")).await });
    let seen = server
        .ok(json!({"data": {"k": "c2VjcmV0"}, "type": "Opaque"}))
        .await;
    assert_eq!(seen.line, "GET /api/v1/namespaces/shop/secrets/x");
    assert_eq!(&*secret.await.unwrap().unwrap().unwrap().kind, "Opaque");
}

#[tokio::test(start_paused = true)]
async fn tokens_are_bound_to_the_pod() {
    let (reader, mut server) = reader();
    let asker = tokio::spawn(async move {
        let request = TokenRequest {
            service_account: NamespacedName::new("shop", "default"),
            audience: "".into(),
            expiration_seconds: 3607,
            pod_name: "web".into(),
            pod_uid: "u-1".into(),
        };
        reader.token(&request).await
    });
    let answer = json!({"status": {"token": "jwt", "expirationTimestamp": "2026-11-21T11:00:00Z"}});
    let seen = server.ok(answer).await;
    assert_eq!(
        seen.line,
        "POST /api/v1/namespaces/shop/serviceaccounts/default/token"
    );
    assert_eq!(
        seen.body["spec"]["boundObjectRef"],
        json!({"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "u-1"})
    );
    assert_eq!(
        (
            &seen.body["spec"]["audiences"],
            &seen.body["spec"]["expirationSeconds"]
        ),
        (&json!([]), &json!(3607))
    );
    let token = asker.await.unwrap().unwrap();
    assert_eq!(
        (&*token.token, token.expires),
        ("jwt", "2026-11-21T11:00:00Z".parse().unwrap())
    );
}
