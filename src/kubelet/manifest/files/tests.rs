use super::*;
use crate::testing::builders::kubelet_config;
use std::sync::Arc;
use tokio::sync::mpsc;

fn text(name: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}}}, spec: {{containers: [{{name: c, image: i}}]}}}}"
    )
}

/// Follows a path; what it is told comes out.
fn follow(path: &Path) -> (mpsc::UnboundedReceiver<Vec<String>>, tokio::task::JoinHandle<()>) {
    let config = KubeletConfig {
        manifests: Some(path.to_owned()),
        manifest_check: Duration::from_secs(3600),
        ..kubelet_config()
    };
    let config = Arc::new(config);
    let (told, out) = mpsc::unbounded_channel();
    let task = tokio::spawn(async move {
        let tell = |manifests: Vec<Manifest>| {
            let names = manifests.iter().map(|m| m.pod.metadata.name.to_string());
            drop(told.send(names.collect()));
        };
        run(&config, Timestamp::now, tell).await;
    });
    (out, task)
}

/// Waits until exactly these are told.
async fn expect(out: &mut mpsc::UnboundedReceiver<Vec<String>>, names: &[&str]) {
    let told = async { while out.recv().await.expect("it follows") != names {} };
    tokio::time::timeout(Duration::from_secs(30), told)
        .await
        .unwrap_or_else(|_| panic!("{names:?} is not told"));
}

#[tokio::test]
async fn a_directory_is_followed_from_before_it_exists() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("manifests");
    let (mut out, task) = follow(&path);
    expect(&mut out, &[]).await;
    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join("a.yaml"), text("a")).unwrap();
    expect(&mut out, &["a-worker-1"]).await;
    std::fs::write(path.join(".hidden"), text("h")).unwrap();
    std::fs::create_dir(path.join("below")).unwrap();
    std::fs::write(path.join("bad.yaml"), "a: [").unwrap();
    std::fs::write(path.join("b.json"), text("b")).unwrap();
    expect(&mut out, &["a-worker-1", "b-worker-1"]).await;
    std::fs::rename(path.join("a.yaml"), path.join(".a.yaml")).unwrap();
    expect(&mut out, &["b-worker-1"]).await;
    std::fs::remove_dir_all(&path).unwrap();
    expect(&mut out, &[]).await;
    task.abort();
}

#[tokio::test]
async fn a_path_may_be_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pod.yaml");
    std::fs::write(&path, text("a")).unwrap();
    let (mut out, task) = follow(&path);
    expect(&mut out, &["a-worker-1"]).await;
    // As editors write: another file takes its place.
    std::fs::write(dir.path().join("new"), text("b")).unwrap();
    std::fs::rename(dir.path().join("new"), &path).unwrap();
    expect(&mut out, &["b-worker-1"]).await;
    std::fs::remove_file(&path).unwrap();
    expect(&mut out, &[]).await;
    task.abort();
}

#[test]
fn what_could_keep_us_waiting_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_eq!(read(&fifo).unwrap_err().to_string(), "it is no regular file");
}
