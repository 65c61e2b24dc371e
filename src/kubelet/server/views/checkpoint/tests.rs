use super::*;
use crate::kubelet::server::answer::tests::told;
use crate::kubelet::server::route::{self, Lookup};
use crate::kubelet::server::stream::tests::{Node, node};
use http::Method;
use std::os::unix::fs::PermissionsExt;

/// A node whose files are in a directory of its own.
async fn world() -> (Node, Shared, tempfile::TempDir) {
    let (node, dir) = (node().await, tempfile::tempdir().unwrap());
    let mut shared = (*node.shared).clone();
    shared.dirs.root = dir.path().into();
    (node, shared, dir)
}

async fn post(shared: &Shared, path: &str, query: &str) -> (u16, String) {
    let Lookup::Found(found) = route::find(&Method::POST, &format!("/checkpoint/{path}")) else {
        panic!("no route for {path}");
    };
    told(serve(shared, &found, query).await)
}

#[tokio::test]
async fn the_runtime_writes_where_upstream_has_it_write() {
    let (node, shared, dir) = world().await;
    let (code, answer) = post(&shared, "default/web/main", "timeout=3&timeout=7").await;
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    let file = answer["items"][0].as_str().unwrap().to_owned();
    let checkpoints = dir.path().join("checkpoints");
    let prefix = checkpoints
        .join("checkpoint-web_default-main-")
        .display()
        .to_string();
    assert_eq!((code, &answer), (200, &value!({"items": [file]})));
    assert!(file.starts_with(&prefix) && file.ends_with("Z.tar"), "{file}");
    let calls = node.fake.take_calls();
    let asked =
        |call: &String| call.starts_with("CheckpointContainer ") && call.ends_with(&format!(" {file} 7s"));
    assert!(calls.iter().any(asked), "{calls:?}");
    let mode = std::fs::metadata(&checkpoints).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "a checkpoint holds memory");
}

#[tokio::test]
async fn what_is_not_there_and_what_the_runtime_cannot_do() {
    let (node, shared, _dir) = world().await;
    for (path, query, words) in [
        ("default/nobody/main", "", "pod does not exist"),
        ("elsewhere/web/main", "", "pod does not exist"),
        ("default/web/other", "", "container other does not exist"),
        (
            "default/web/main",
            "timeout=1&timeout=x",
            "cannot parse value of timeout parameter",
        ),
    ] {
        let (code, said) = post(&shared, path, query).await;
        assert_eq!((code, &*said), (404, words), "{path}?{query}");
    }
    let words = "unknown method CheckpointContainer";
    node.fake
        .fail("CheckpointContainer", tonic::Code::Unimplemented, words);
    let (code, said) = post(&shared, "default/web/main", "").await;
    assert!(
        code == 500 && said.starts_with("checkpointing of default/web/main failed (") && said.contains(words),
        "{code} {said}"
    );
}
