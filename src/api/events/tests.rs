use super::*;
use crate::api::client::script::scripted;
use crate::model::NamespacedName;
use crate::task::Drain;

fn web() -> ObjectRef {
    ObjectRef {
        kind: "Pod".into(),
        api_version: "v1".into(),
        key: NamespacedName::new("shop", "web"),
        uid: "u-1".into(),
        field_path: "spec.containers{web}".into(),
    }
}

fn source() -> Source {
    Source {
        component: "kubelet",
        host: "w1".into(),
    }
}

fn start(client: Client, drain: DrainSignal) -> Recorder {
    let (recorder, poster) = Recorder::new(client, source(), drain);
    tokio::spawn(poster);
    recorder
}

#[tokio::test(start_paused = true)]
async fn an_event_is_posted_and_its_repetition_counted() {
    let (client, mut server) = scripted();
    let recorder = start(client, Drain::new().signal());
    recorder.emit(&web(), EventType::Warning, "BackOff", "again".into());
    let seen = server.ok(json!({})).await;
    assert_eq!(seen.line, "POST /api/v1/namespaces/shop/events");
    let name = seen.body["metadata"]["name"].as_str().unwrap().to_owned();
    assert!(name.starts_with("web."), "{name}");
    let about = json!({
        "kind": "Pod", "apiVersion": "v1", "namespace": "shop", "name": "web", "uid": "u-1",
        "fieldPath": "spec.containers{web}",
    });
    assert_eq!(seen.body["involvedObject"], about);
    assert_eq!(seen.body["source"], json!({"component": "kubelet", "host": "w1"}));
    assert_eq!(
        (&seen.body["type"], &seen.body["count"]),
        (&json!("Warning"), &json!(1))
    );
    assert_eq!(seen.body["firstTimestamp"], seen.body["lastTimestamp"]);

    recorder.emit(&web(), EventType::Warning, "BackOff", "again".into());
    let seen = server.ok(json!({})).await;
    assert_eq!(seen.line, format!("PATCH /api/v1/namespaces/shop/events/{name}"));
    assert_eq!(seen.body["count"], 2);

    recorder.emit(&web(), EventType::Warning, "BackOff", "again".into());
    server.answer(404, "{}").await;
    let seen = server.ok(json!({})).await;
    assert_eq!(
        (&*seen.line, &seen.body["count"]),
        ("POST /api/v1/namespaces/shop/events", &json!(3))
    );
}

#[tokio::test(start_paused = true)]
async fn events_wait_for_a_server_that_is_away_and_skip_what_it_refuses() {
    let (client, mut server) = scripted();
    let recorder = start(client, Drain::new().signal());
    recorder.emit(&web(), EventType::Normal, "Pulled", "one".into());
    recorder.emit(&web(), EventType::Normal, "Created", "two".into());
    server.fail(std::io::ErrorKind::ConnectionRefused.into()).await;
    server.answer(503, "{}").await;
    assert_eq!(
        server.answer(403, "{}").await.body["reason"],
        "Pulled",
        "the namespace is going"
    );
    assert_eq!(server.ok(json!({})).await.body["reason"], "Created");
}

#[tokio::test(start_paused = true)]
async fn events_about_nodes_live_in_default() {
    let (client, mut server) = scripted();
    let recorder = start(client, Drain::new().signal());
    let node = ObjectRef {
        kind: "Node".into(),
        key: NamespacedName::new("", "w1"),
        uid: "w1".into(),
        ..web()
    };
    recorder.emit(&node, EventType::Normal, "Starting", "x".repeat(2000) + "é");
    let seen = server.ok(json!({})).await;
    assert_eq!(seen.line, "POST /api/v1/namespaces/default/events");
    assert_eq!(seen.body["involvedObject"].get("namespace"), None);
    assert_eq!(seen.body["message"].as_str().unwrap().len(), MAX_MESSAGE);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_is_dropped_and_counted() {
    let (recorder, mut events) = Recorder::queue();
    for _ in 0..QUEUE + 7 {
        recorder.emit(&web(), EventType::Normal, "Pulled", "m".into());
    }
    assert_eq!(recorder.dropped().get(), 7);
    assert!(events.recv().await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_drain_posts_what_is_queued_and_ends() {
    let (client, mut server) = scripted();
    let drain = Drain::new();
    let recorder = start(client, drain.signal());
    recorder.emit(&web(), EventType::Normal, "Killing", "a".into());
    recorder.emit(&web(), EventType::Normal, "Killing", "b".into());
    drain.start();
    assert_eq!(server.ok(json!({})).await.body["message"], "a");
    assert_eq!(server.ok(json!({})).await.body["message"], "b");
    assert!(server.is_over().await);
}
