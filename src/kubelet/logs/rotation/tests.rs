use super::*;
use crate::testing::fake_cri::FakeCri;
use flate2::read::GzDecoder;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicI64, Ordering};
use tempfile::TempDir;

struct World {
    base: TempDir,
    cri: FakeCri,
    rotation: Rotation,
}

impl World {
    /// A running container `app` and another one `web`, each with a log of its own; more than 10 bytes are too many.
    async fn new() -> Self {
        let base = tempfile::tempdir().unwrap();
        let cri = FakeCri::new();
        let seconds = AtomicI64::new(0);
        let rotation = Rotation {
            runtime: Arc::new(cri.clone()),
            dirs: Dirs {
                root: "/nowhere".into(),
                pod_logs: base.path().join("pods"),
            },
            policy: Policy {
                max_size: 10,
                max_files: 4,
            },
            now: Box::new(move || {
                let at = seconds.fetch_add(10, Ordering::Relaxed);
                Timestamp::from_second(at).unwrap().to_zoned(TimeZone::UTC)
            }),
        };
        let world = Self { base, cri, rotation };
        for name in ["app", "web"] {
            world.start(name).await;
            std::fs::create_dir_all(world.path(name, "")).unwrap();
            world.write(name, "short");
        }
        world.cri.take_calls();
        world
    }

    async fn start(&self, name: &str) {
        let labels = BTreeMap::from(
            [
                (keys::POD_NAMESPACE, "ns"),
                (keys::POD_NAME, "pod"),
                (keys::POD_UID, name),
                (keys::CONTAINER_NAME, name),
            ]
            .map(|(key, value)| (key.to_owned(), value.to_owned())),
        );
        let sandbox = v1::PodSandboxConfig {
            metadata: Some(v1::PodSandboxMetadata {
                uid: name.into(),
                ..Default::default()
            }),
            labels: labels.clone(),
            ..Default::default()
        };
        let container = v1::ContainerConfig {
            metadata: Some(v1::ContainerMetadata {
                name: name.into(),
                attempt: 2,
            }),
            image: Some(v1::ImageSpec {
                image: "i".into(),
                ..Default::default()
            }),
            labels,
            ..Default::default()
        };
        self.cri.add_image("i");
        let id = self.cri.run_pod_sandbox(&sandbox, "").await.unwrap();
        let id = self
            .cri
            .create_container(&id, &container, &sandbox)
            .await
            .unwrap();
        self.cri.start_container(&id).await.unwrap();
    }

    fn path(&self, container: &str, name: &str) -> PathBuf {
        let dir = self.base.path().join(format!("pods/ns_pod_{container}"));
        dir.join(container).join(name)
    }

    fn write(&self, container: &str, text: &str) {
        std::fs::write(self.path(container, "2.log"), text).unwrap();
    }

    async fn round(&self) -> Vec<String> {
        let drain = crate::task::Drain::new().signal();
        self.rotation.round(&drain, &mut SayOnce::new(SAY)).await;
        self.cri.take_calls()
    }

    fn names(&self, container: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(container, "")).unwrap();
        let mut names: Vec<String> = entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

#[tokio::test]
async fn logs_that_are_small_or_of_ended_containers_stay() {
    let world = World::new().await;
    assert!(world.round().await.is_empty());
    world.write("app", "more than ten bytes");
    world.cri.exit(&world.cri.container("app").unwrap(), 0);
    assert!(world.round().await.is_empty());
    assert_eq!(world.names("app"), ["2.log"]);
}

#[tokio::test]
async fn a_large_log_is_rotated_and_compressed_a_round_later() {
    let world = World::new().await;
    for round in 0..5 {
        world.write("app", &format!("this is round {round}"));
        assert_eq!(world.round().await, ["ReopenContainerLog app/2"]);
        assert!(!world.path("app", "2.log").exists(), "the runtime makes it");
    }
    assert_eq!(
        world.names("app"),
        [
            "2.log.19700101-000020.gz",
            "2.log.19700101-000030.gz",
            "2.log.19700101-000040"
        ]
    );
    let file = std::fs::File::open(world.path("app", "2.log.19700101-000030.gz")).unwrap();
    let mut text = String::new();
    GzDecoder::new(file).read_to_string(&mut text).unwrap();
    assert_eq!(text, "this is round 3");
    assert_eq!(world.names("web"), ["2.log"]);
}

#[tokio::test]
async fn a_log_the_runtime_does_not_reopen_keeps_its_name() {
    let world = World::new().await;
    world.write("app", "more than ten bytes");
    world
        .cri
        .fail("ReopenContainerLog", tonic::Code::Unavailable, "gone");
    world.round().await;
    assert_eq!(world.names("app"), ["2.log"]);
    world.cri.heal("ReopenContainerLog");
    world.round().await;
    assert_eq!(world.names("app"), ["2.log.19700101-000010"]);
}

#[tokio::test]
async fn a_missing_log_is_made_anew() {
    let world = World::new().await;
    std::fs::remove_file(world.path("app", "2.log")).unwrap();
    assert_eq!(world.round().await, ["ReopenContainerLog app/2"]);
}

#[tokio::test]
async fn a_name_that_is_taken_is_not_taken_again() {
    let world = World::new().await;
    world.write("app", "more than ten bytes");
    std::fs::write(world.path("app", "2.log.19700101-000000.gz"), "older").unwrap();
    assert!(world.round().await.is_empty());
    assert_eq!(world.names("app"), ["2.log", "2.log.19700101-000000.gz"]);
    assert_eq!(world.round().await, ["ReopenContainerLog app/2"]);
}

#[tokio::test]
async fn links_are_neither_followed_nor_compressed_and_harm_no_other_log() {
    let world = World::new().await;
    let secret = world.base.path().join("secret");
    std::fs::write(&secret, "much more than ten bytes").unwrap();
    world.write("app", "more than ten bytes");
    world.write("web", "more than ten bytes");
    symlink(&secret, world.path("app", "2.log.1")).unwrap();
    assert_eq!(world.round().await, ["ReopenContainerLog web/2"]);
    assert_eq!(world.names("app"), ["2.log", "2.log.1"]);
    // The name the compressed one is written under leads elsewhere.
    std::fs::remove_file(world.path("app", "2.log.1")).unwrap();
    std::fs::write(world.path("app", "2.log.1"), "rotated").unwrap();
    symlink(&secret, world.path("app", "2.log.1.tmp")).unwrap();
    world.write("web", "more than ten bytes");
    world.round().await;
    assert_eq!(
        std::fs::read_to_string(&secret).unwrap(),
        "much more than ten bytes"
    );
    // The log itself is a link.
    std::fs::remove_file(world.path("app", "2.log")).ok();
    symlink(&secret, world.path("app", "2.log")).unwrap();
    world.round().await;
    assert!(secret.exists());
    assert!(world.path("app", "2.log").is_symlink());
}

#[tokio::test(start_paused = true)]
async fn it_runs_until_the_drain_or_not_at_all() {
    let world = World::new().await;
    world.write("app", "more than ten bytes");
    let drain = crate::task::Drain::new();
    let config = |max_size| LogRotation {
        max_size,
        ..LogRotation::default()
    };
    let run = |config| {
        run(
            Arc::new(world.cri.clone()),
            world.rotation.dirs.clone(),
            config,
            drain.signal(),
        )
    };
    run(config(None)).await;
    let ended = async {
        while world.path("app", "2.log").exists() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        drain.start();
    };
    tokio::join!(run(config(Some(10))), ended);
    assert_eq!(world.cri.take_calls(), ["ReopenContainerLog app/2"]);
}
