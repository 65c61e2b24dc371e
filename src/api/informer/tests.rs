use super::*;
use crate::api::client::script::{Server, scripted};
use crate::model::net::Node;
use crate::task::{Drain, Ready};
use serde_json::{Value, json};

fn start() -> (Server, mpsc::Receiver<Change<Node>>, Drain) {
    let (client, server) = scripted();
    let drain = Drain::new();
    let query = Query::with_fields("/api/v1/nodes", "metadata.name=w1");
    (
        server,
        watch(client, query, drain.signal(), Ready::new().wait_for("nodes")),
        drain,
    )
}

fn node(name: &str, version: &str) -> Value {
    json!({"metadata": {"name": name, "resourceVersion": version}})
}

fn list(version: &str, next: &str, items: Value) -> Value {
    json!({"metadata": {"resourceVersion": version, "continue": next}, "items": items})
}

async fn names(changes: &mut mpsc::Receiver<Change<Node>>) -> String {
    match changes.recv().await.expect("the informer lives") {
        Change::Replaced(all) => all
            .iter()
            .map(|n| n.metadata.name.to_string())
            .collect::<Vec<_>>()
            .join(" "),
        Change::Applied(node) => format!("+{}", node.metadata.name),
        Change::Deleted(node) => format!("-{}", node.metadata.name),
    }
}

fn line(kind: &str, object: Value) -> std::io::Result<String> {
    Ok(format!("{}\n", json!({"type": kind, "object": object})))
}

#[tokio::test(start_paused = true)]
async fn lists_all_pages_then_watches_and_resumes_where_it_was() {
    let (mut server, mut changes, _drain) = start();
    let seen = server.ok(list("10", "tok=1", json!([node("a", "1")]))).await;
    assert_eq!(
        seen.line,
        "GET /api/v1/nodes?fieldSelector=metadata.name%3Dw1&limit=500"
    );
    let seen = server.ok(list("10", "", json!([node("b", "2")]))).await;
    assert!(
        seen.line.ends_with("&limit=500&continue=tok%3D1"),
        "{}",
        seen.line
    );
    assert_eq!(names(&mut changes).await, "a b");

    let (seen, events) = server.stream().await;
    assert!(
        seen.line
            .contains("watch=true&allowWatchBookmarks=true&resourceVersion=10&timeoutSeconds="),
        "{}",
        seen.line
    );
    events.unbounded_send(line("ADDED", node("c", "11"))).unwrap();
    assert_eq!(names(&mut changes).await, "+c");
    events.unbounded_send(line("BOOKMARK", node("", "99"))).unwrap();
    drop(events);

    let (seen, events) = server.stream().await;
    assert!(
        seen.line.contains("resourceVersion=99&"),
        "resumes at the bookmark: {}",
        seen.line
    );
    events.unbounded_send(line("DELETED", node("c", "100"))).unwrap();
    assert_eq!(names(&mut changes).await, "-c");
    events
        .unbounded_send(Err(std::io::ErrorKind::ConnectionReset.into()))
        .unwrap();

    let (seen, _events) = server.stream().await;
    assert!(
        seen.line.contains("resourceVersion=100&"),
        "resumes after a broken connection: {}",
        seen.line
    );
}

#[tokio::test(start_paused = true)]
async fn an_expired_version_means_a_new_list() {
    let (mut server, mut changes, _drain) = start();
    server.ok(list("10", "", json!([node("a", "1")]))).await;
    assert_eq!(names(&mut changes).await, "a");
    server.answer(410, r#"{"reason":"Expired"}"#).await;
    let seen = server.ok(list("20", "", json!([node("b", "15")]))).await;
    assert!(!seen.line.contains("watch="), "{}", seen.line);
    assert_eq!(names(&mut changes).await, "b");

    let (_, events) = server.stream().await;
    events
        .unbounded_send(line("ERROR", json!({"code": 410, "reason": "Expired"})))
        .unwrap();
    let seen = server.ok(list("30", "", json!([]))).await;
    assert!(!seen.line.contains("watch="), "{}", seen.line);
    assert_eq!(names(&mut changes).await, "");
}

#[tokio::test(start_paused = true)]
async fn failures_are_tried_again_with_growing_delay() {
    let (mut server, mut changes, _drain) = start();
    let mut gaps = Vec::new();
    for _ in 0..12 {
        let before = Instant::now();
        server.fail(std::io::ErrorKind::ConnectionRefused.into()).await;
        gaps.push(before.elapsed());
    }
    assert!(gaps[1] <= Duration::from_millis(500), "{gaps:?}");
    assert!(
        gaps[11] >= Duration::from_secs(15) && gaps[11] <= Duration::from_secs(30),
        "{gaps:?}"
    );
    server.answer(500, "{}").await;
    server.answer(200, "not json").await;
    server.ok(list("1", "", json!([node("a", "1")]))).await;
    assert_eq!(names(&mut changes).await, "a");
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_ends_at_once_does_not_spin() {
    let (mut server, mut changes, _drain) = start();
    server.ok(list("1", "", json!([]))).await;
    assert_eq!(names(&mut changes).await, "");
    let begin = Instant::now();
    for _ in 0..10 {
        drop(server.stream().await);
    }
    assert!(begin.elapsed() > Duration::from_secs(30), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn ends_with_its_reader_or_the_drain() {
    let (mut server, changes, _drain) = start();
    drop(changes);
    server.ok(list("1", "", json!([]))).await;
    assert!(server.is_over().await);

    let (mut server, mut changes, drain) = start();
    drain.start();
    assert!(changes.recv().await.is_none());
    assert!(server.is_over().await);
}
