use super::*;
use crate::kubelet::observed::RunState;
use crate::task::Drain;
use crate::testing::FakeCri;
use tokio::sync::mpsc;

struct Bench {
    fake: FakeCri,
    observer: Arc<Observer>,
    dirty: mpsc::UnboundedReceiver<(PodUid, News)>,
}

impl Bench {
    fn new() -> Self {
        let fake = FakeCri::new();
        let (tell, dirty) = mpsc::unbounded_channel();
        let observer = Observer::new(Arc::new(fake.clone()), move |uid, news| {
            tell.send((uid, news)).unwrap()
        });
        Self {
            fake,
            observer,
            dirty,
        }
    }

    fn news(&mut self) -> Vec<News> {
        std::iter::from_fn(|| self.dirty.try_recv().ok())
            .map(|(_, news)| news)
            .collect()
    }

    fn told(&mut self) -> Vec<String> {
        let mut told: Vec<_> = std::iter::from_fn(|| self.dirty.try_recv().ok())
            .map(|(uid, _)| uid.to_string())
            .collect();
        told.sort();
        told.dedup();
        told
    }

    async fn sandbox(&self, uid: &str) -> SandboxId {
        self.fake.run_pod_sandbox(&sandbox_config(uid), "").await.unwrap()
    }

    async fn container(&self, uid: &str, sandbox: &SandboxId) -> ContainerId {
        self.fake.add_image("redis");
        let config = v1::ContainerConfig {
            metadata: Some(v1::ContainerMetadata {
                name: "app".into(),
                attempt: 0,
            }),
            image: Some(v1::ImageSpec {
                image: "redis".into(),
                ..Default::default()
            }),
            labels: sandbox_config(uid).labels,
            ..Default::default()
        };
        let id = self
            .fake
            .create_container(sandbox, &config, &sandbox_config(uid))
            .await
            .unwrap();
        self.fake.start_container(&id).await.unwrap();
        id
    }

    fn run(&self) -> Drain {
        let drain = Drain::new();
        let (observer, signal) = (self.observer.clone(), drain.signal());
        drain.spawn("observer", async move { observer.run(signal).await });
        drain
    }
}

fn sandbox_config(uid: &str) -> v1::PodSandboxConfig {
    v1::PodSandboxConfig {
        metadata: Some(v1::PodSandboxMetadata {
            name: uid.into(),
            uid: uid.into(),
            ..Default::default()
        }),
        labels: [(cri::POD_UID_LABEL.to_owned(), uid.to_owned())].into(),
        ..Default::default()
    }
}

async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn observe_tells_one_pods_sandboxes_and_containers() {
    let bench = Bench::new();
    let sandbox = bench.sandbox("u1").await;
    let id = bench.container("u1", &sandbox).await;
    bench.sandbox("u2").await;

    let observed = bench.observer.observe(&"u1".into()).await.unwrap();
    assert_eq!(observed.sandboxes.len(), 1);
    assert_eq!(
        observed.sandboxes[0].ips,
        ["10.244.0.2".parse::<std::net::IpAddr>().unwrap()]
    );
    assert_eq!(observed.latest("app").unwrap().state, RunState::Running);

    bench.fake.exit(&id, 3);
    let observed = bench.observer.observe(&"u1".into()).await.unwrap();
    let app = observed.latest("app").unwrap();
    assert_eq!(
        (app.state, app.exit_code, &*app.reason),
        (RunState::Exited, 3, "Error")
    );
    assert_eq!(
        bench.observer.observe(&"nobody".into()).await.unwrap(),
        Observed::default()
    );
}

#[tokio::test(start_paused = true)]
async fn what_has_not_changed_is_not_asked_again() {
    let bench = Bench::new();
    let sandbox = bench.sandbox("u1").await;
    bench.container("u1", &sandbox).await;
    let first = bench.observer.observe(&"u1".into()).await.unwrap();
    bench
        .fake
        .fail("ContainerStatus", tonic::Code::Internal, "asked needlessly");
    bench
        .fake
        .fail("PodSandboxStatus", tonic::Code::Internal, "asked needlessly");
    assert_eq!(bench.observer.observe(&"u1".into()).await.unwrap(), first);
}

#[tokio::test(start_paused = true)]
async fn a_broken_runtime_is_an_error_and_not_an_empty_pod() {
    let bench = Bench::new();
    let sandbox = bench.sandbox("u1").await;
    bench.container("u1", &sandbox).await;
    for call in [
        "ListPodSandbox",
        "ListContainers",
        "ContainerStatus",
        "PodSandboxStatus",
    ] {
        bench.fake.fail(call, tonic::Code::Unavailable, "restarting");
        assert_eq!(bench.observer.observe(&"u1".into()).await.unwrap_err().call, call);
        bench.fake.heal(call);
    }
    bench
        .fake
        .fail("ContainerStatus", tonic::Code::NotFound, "removed meanwhile");
    let observed = bench.observer.observe(&"u1".into()).await.unwrap();
    assert!(
        observed.containers.is_empty(),
        "what was removed meanwhile is not there"
    );
}

#[tokio::test(start_paused = true)]
async fn relist_finds_orphans_changes_and_losses() {
    let mut bench = Bench::new();
    let sandbox = bench.sandbox("u1").await;
    let id = bench.container("u1", &sandbox).await;
    bench.sandbox("u2").await;
    bench.observer.relist().await.unwrap();
    assert_eq!(bench.told(), ["u1", "u2"]);
    assert_eq!(bench.observer.known_uids(), [PodUid::from("u1"), "u2".into()]);
    bench.observer.relist().await.unwrap();
    assert!(bench.told().is_empty(), "nothing has changed");

    bench.fake.exit(&id, 0);
    bench.observer.relist().await.unwrap();
    assert_eq!(bench.told(), ["u1"]);

    bench.fake.remove_pod_sandbox(&sandbox).await.unwrap();
    bench.observer.relist().await.unwrap();
    assert_eq!(bench.told(), ["u1"]);
    assert_eq!(bench.observer.known_uids(), [PodUid::from("u2")]);
}

#[tokio::test(start_paused = true)]
async fn a_change_seen_by_observe_is_not_told_again() {
    let mut bench = Bench::new();
    bench.sandbox("u1").await;
    bench.observer.observe(&"u1".into()).await.unwrap();
    bench.observer.relist().await.unwrap();
    assert!(bench.told().is_empty());
}

#[tokio::test(start_paused = true)]
async fn events_tell_at_once_and_relists_become_rare() {
    let mut bench = Bench::new();
    let drain = bench.run();
    settle().await;
    let sandbox = bench.sandbox("u1").await;
    settle().await;
    assert_eq!(bench.told(), ["u1"], "told without time going by");
    tokio::time::sleep(Duration::from_secs(15)).await;
    bench.told();

    let id = bench.container("u1", &sandbox).await;
    settle().await;
    assert_eq!(bench.news(), [News::Begun, News::Begun], "created and started");
    bench.fake.exit(&id, 1);
    settle().await;
    assert_eq!(bench.news(), [News::Other]);

    let mut relists = std::collections::BTreeSet::new();
    for _ in 0..60 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        relists.insert(bench.observer.last_relist().unwrap());
    }
    assert!(
        (5..=7).contains(&relists.len()),
        "{} audits in a minute",
        relists.len()
    );
    drain.finish(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn without_events_changes_are_found_within_a_second() {
    let mut bench = Bench::new();
    bench.fake.disable_events();
    let drain = bench.run();
    tokio::time::sleep(Duration::from_secs(30)).await;
    for uid in ["u1", "u2", "u3"] {
        bench.sandbox(uid).await;
        tokio::time::sleep(Duration::from_millis(1100)).await;
        assert_eq!(bench.told(), [uid]);
    }
    drain.finish(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_cut_stream_is_opened_again_and_the_gap_is_audited() {
    let mut bench = Bench::new();
    let drain = bench.run();
    tokio::time::sleep(Duration::from_secs(20)).await;
    bench.fake.cut_events();
    // While the stream is down nothing tells of this one but the relist that follows.
    bench.sandbox("u1").await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(bench.told(), ["u1"]);
    bench.sandbox("u2").await;
    settle().await;
    assert_eq!(bench.told(), ["u2"], "events flow again");
    drain.finish(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_is_down_is_asked_until_it_is_back() {
    let mut bench = Bench::new();
    bench.sandbox("u1").await;
    bench
        .fake
        .fail("ListPodSandbox", tonic::Code::Unavailable, "down");
    let drain = bench.run();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(bench.observer.last_relist(), None);
    bench.fake.heal("ListPodSandbox");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(bench.told(), ["u1"]);
    assert!(bench.observer.last_relist().is_some());
    drain.finish(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn an_event_of_a_lost_container_finds_its_pod() {
    let mut bench = Bench::new();
    let sandbox = bench.sandbox("u1").await;
    let id = bench.container("u1", &sandbox).await;
    let drain = bench.run();
    tokio::time::sleep(Duration::from_secs(20)).await;
    bench.told();
    bench.fake.lose_container(&id);
    settle().await;
    assert_eq!(bench.told(), ["u1"]);
    drain.finish(Duration::from_secs(1)).await;
}
