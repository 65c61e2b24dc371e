use super::*;
use crate::config::PullLimits;
use crate::kubelet::images::keyring::{Coordinates, Login, Logins, Origin};
use crate::kubelet::images::providers::Providers;
use crate::testing::FakeCri;
use crate::testing::builders::kubelet_config;
use std::sync::Mutex;

const SECOND: Duration = Duration::from_secs(1);

struct Bench {
    fake: FakeCri,
    manager: Arc<ImageManager>,
    events: Mutex<Vec<String>>,
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Arc<Self> {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut KubeletConfig)) -> Arc<Self> {
        let (fake, dir) = (FakeCri::new(), tempfile::tempdir().unwrap());
        let mut config = kubelet_config();
        config.root_dir = dir.path().into();
        change(&mut config);
        let sources = Sources::new(&config.root_dir, Providers::default());
        let manager = ImageManager::new(Arc::new(fake.clone()), &config, sources);
        Arc::new(Self {
            fake,
            manager: Arc::new(manager),
            events: Mutex::default(),
            dir,
        })
    }

    async fn ensure_as(
        &self,
        pod: &str,
        image: &str,
        policy: PullPolicy,
        keyring: &Keyring,
    ) -> Result<ImageRef, ImageError> {
        let mut who = Pod::default();
        who.metadata.uid = pod.into();
        let request = ImageRequest {
            pod: &who,
            image,
            policy,
            keyring,
            sandbox_config: None,
        };
        let on_event = |e: ImageEvent| {
            self.events
                .lock()
                .unwrap()
                .push(format!("{}: {}", e.reason, e.message))
        };
        self.manager.ensure(request, &on_event).await
    }

    async fn ensure(&self, image: &str, policy: PullPolicy) -> Result<ImageRef, ImageError> {
        self.ensure_as("pod", image, policy, &Keyring::default()).await
    }

    fn events(&self) -> Vec<String> {
        std::mem::take(&mut *self.events.lock().unwrap())
    }
}

/// Logins of these users at Docker's registry, from a Secret of each user's name.
fn users(names: &[&str]) -> Keyring {
    let mut ring = Keyring::default();
    for name in names {
        let login = Login {
            username: (*name).into(),
            password: "secret".into(),
            ..Login::default()
        };
        let secret = Coordinates {
            name: (*name).into(),
            ..Coordinates::default()
        };
        ring.add(
            &Origin::Secret(secret),
            Logins::from([("docker.io".into(), login)]),
        );
    }
    ring
}

/// Runs a test that looks at what others have done so far: there is one thread for files, so that whoever has waited
/// for it knows that those who came earlier have theirs.
fn in_order(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .max_blocking_threads(1)
        .build();
    runtime.unwrap().block_on(test);
}

/// Lets the others go on until they wait for something that does not come by itself.
async fn settle() {
    for _ in 0..50 {
        tokio::task::spawn_blocking(|| ()).await.unwrap();
        tokio::task::yield_now().await;
    }
}

#[test]
fn the_policy_table() {
    use Decision::*;
    for (policy, present, wanted) in [
        (PullPolicy::Always, true, Pull),
        (PullPolicy::Always, false, Pull),
        (PullPolicy::IfNotPresent, true, Use),
        (PullPolicy::IfNotPresent, false, Pull),
        (PullPolicy::Never, true, Use),
        (PullPolicy::Never, false, Refuse),
    ] {
        assert_eq!(decide(policy, present), wanted, "{policy:?} {present}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_present_image_is_not_pulled() {
    let bench = Bench::new();
    bench.fake.add_image("redis");
    for policy in [PullPolicy::IfNotPresent, PullPolicy::Never] {
        let image = bench.ensure("redis", policy).await.unwrap();
        assert!(image.0.starts_with("sha256:"));
        assert_eq!(
            bench.events(),
            ["Pulled: Container image \"redis\" already present on machine and can be accessed by the pod"]
        );
    }
    assert!(bench.fake.calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_missing_image_is_pulled_and_always_pulls_again() {
    let bench = Bench::new();
    bench.fake.serve_image("redis");
    for policy in [PullPolicy::IfNotPresent, PullPolicy::Always] {
        bench.ensure("redis", policy).await.unwrap();
        let events = bench.events();
        assert_eq!(events[0], "Pulling: Pulling image \"redis\"");
        assert_eq!(
            events[1],
            "Pulled: Successfully pulled image \"redis\" in 0s (0s including waiting). Image size: 1030 bytes."
        );
        assert_eq!(
            bench.fake.take_calls(),
            ["PullImage docker.io/library/redis:latest"]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn never_means_never() {
    let bench = Bench::new();
    bench.fake.serve_image("redis");
    let error = bench.ensure("redis", PullPolicy::Never).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "ErrImageNeverPull: Container image \"redis\" is not present with pull policy of Never"
    );
    assert_eq!(
        bench.events(),
        [
            "ErrImageNeverPull: Container image \"redis\" is not present with pull policy of Never",
            "Failed: Error: ErrImageNeverPull"
        ]
    );
    assert!(bench.fake.calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_invalid_name_never_reaches_the_runtime() {
    let bench = Bench::new();
    let error = bench
        .ensure("Not An Image", PullPolicy::Always)
        .await
        .unwrap_err();
    assert_eq!(error.reason, "InvalidImageName");
    assert_eq!(
        error.message,
        "Failed to apply default image tag \"Not An Image\": couldn't parse image name \"Not An Image\": \
         invalid reference format: repository name (library/Not An Image) must be lowercase"
    );
    assert_eq!(bench.events()[1], "Failed: Error: InvalidImageName");
    assert!(bench.fake.calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn failures_back_off_by_doubling_up_to_five_minutes() {
    let bench = Bench::new();
    bench.fake.break_pull("redis", "registry on fire");
    let mut pauses = Vec::new();
    for _ in 0..7 {
        let error = bench.ensure("redis", PullPolicy::IfNotPresent).await.unwrap_err();
        assert_eq!(
            (error.reason, &*error.message),
            ("ErrImagePull", "registry on fire")
        );
        assert_eq!(error.retry_after, 5 * SECOND, "the error is shown for a while");
        let error = bench.ensure("redis", PullPolicy::IfNotPresent).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "ImagePullBackOff: Back-off pulling image \"redis\": ErrImagePull: registry on fire"
        );
        pauses.push(error.retry_after.as_secs());
        tokio::time::advance(error.retry_after).await;
    }
    assert_eq!(pauses, [10, 20, 40, 80, 160, 300, 300]);
    assert_eq!(bench.fake.calls().len(), 7, "no pull while backing off");
    assert_eq!(
        bench.events()[..5],
        [
            "Pulling: Pulling image \"redis\"",
            "Failed: Failed to pull image \"redis\": registry on fire",
            "Failed: Error: ErrImagePull",
            "BackOff: Back-off pulling image \"redis\"",
            "Failed: Error: ImagePullBackOff",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn backoff_is_the_pods_own_and_ends_with_a_success() {
    let bench = Bench::new();
    bench.fake.break_pull("redis", "no");
    bench.ensure("redis", PullPolicy::Always).await.unwrap_err();
    let other = bench
        .ensure_as("other", "redis", PullPolicy::Always, &Keyring::default())
        .await
        .unwrap_err();
    assert_eq!(other.reason, "ErrImagePull", "another Pod tries for itself");
    bench.fake.repair_pull("redis");
    bench.fake.serve_image("redis");
    assert_eq!(
        bench
            .ensure("redis", PullPolicy::Always)
            .await
            .unwrap_err()
            .reason,
        "ImagePullBackOff"
    );
    tokio::time::advance(10 * SECOND).await;
    bench.ensure("redis", PullPolicy::Always).await.unwrap();
    bench.fake.break_pull("redis", "no");
    bench.ensure("redis", PullPolicy::Always).await.unwrap_err();
    let again = bench.ensure("redis", PullPolicy::Always).await.unwrap_err();
    assert_eq!(
        again.retry_after,
        10 * SECOND,
        "backoff starts from the beginning"
    );
}

#[tokio::test(start_paused = true)]
async fn a_failure_long_ago_is_forgotten() {
    let bench = Bench::new();
    bench.fake.break_pull("redis", "no");
    bench.ensure("redis", PullPolicy::Always).await.unwrap_err();
    tokio::time::advance(600 * SECOND).await;
    bench.ensure("redis", PullPolicy::Always).await.unwrap_err();
    let error = bench.ensure("redis", PullPolicy::Always).await.unwrap_err();
    assert_eq!(error.retry_after, 10 * SECOND);
}

#[test]
fn one_download_serves_all_who_ask_for_it() {
    in_order(async {
        let bench = Bench::new();
        bench.fake.serve_image("redis");
        bench.fake.hold_pulls();
        let ask = |pod: &'static str, users: Keyring| {
            let bench = bench.clone();
            tokio::spawn(async move { bench.ensure_as(pod, "redis", PullPolicy::Always, &users).await })
        };
        let asked = [
            ask("a", users(&[])),
            ask("b", users(&[])),
            ask("c", users(&["me"])),
            ask("d", users(&["me"])),
        ];
        settle().await;
        let mut calls = bench.fake.calls();
        calls.sort();
        assert_eq!(
            calls,
            [
                "PullImage docker.io/library/redis:latest",
                "PullImage docker.io/library/redis:latest as me"
            ]
        );
        bench.fake.release_pulls(2);
        for task in asked {
            task.await.unwrap().unwrap();
        }
        assert_eq!(bench.fake.calls().len(), 2);
    });
}

#[test]
fn no_more_downloads_at_a_time_than_the_settings_allow() {
    in_order(async {
        const MOST: usize = 5;
        let bench = Bench::with(|config| config.pulls.parallel = Some(MOST));
        bench.fake.hold_pulls();
        let tasks: Vec<_> = (0..8)
            .map(|n| {
                bench.fake.serve_image(&format!("image-{n}"));
                let bench = bench.clone();
                tokio::spawn(async move {
                    bench
                        .ensure(&format!("image-{n}"), PullPolicy::IfNotPresent)
                        .await
                })
            })
            .collect();
        settle().await;
        assert_eq!(bench.fake.calls().len(), MOST);
        bench.fake.release_pulls(1);
        settle().await;
        assert_eq!(
            bench.fake.calls().len(),
            MOST + 1,
            "a slot is taken as it becomes free"
        );
        bench.fake.release_pulls(7);
        for task in tasks {
            task.await.unwrap().unwrap();
        }
    });
}

#[test]
fn giving_up_stops_the_download_unless_somebody_else_waits() {
    in_order(async {
        let bench = Bench::new();
        bench.fake.serve_image("redis");
        bench.fake.hold_pulls();
        let ask = |pod: &'static str| {
            let bench = bench.clone();
            tokio::spawn(async move {
                bench
                    .ensure_as(pod, "redis", PullPolicy::Always, &Keyring::default())
                    .await
            })
        };
        let (first, second) = (ask("a"), ask("b"));
        settle().await;
        first.abort();
        settle().await;
        bench.fake.release_pulls(1);
        second.await.unwrap().expect("the other one's download goes on");

        let alone = ask("c");
        settle().await;
        assert_eq!(bench.fake.take_calls().len(), 2);
        alone.abort();
        settle().await;
        let late = ask("d");
        settle().await;
        assert_eq!(
            bench.fake.take_calls().len(),
            1,
            "the abandoned download is not joined"
        );
        bench.fake.release_pulls(1);
        late.await.unwrap().unwrap();
    });
}

#[tokio::test(start_paused = true)]
async fn credentials_are_tried_in_order() {
    let bench = Bench::new();
    bench.fake.break_pull("redis", "denied");
    let error = bench
        .ensure_as("pod", "redis", PullPolicy::Always, &users(&["a", "b"]))
        .await
        .unwrap_err();
    assert_eq!(error.message, "denied");
    let pull = "PullImage docker.io/library/redis:latest";
    assert_eq!(
        bench.fake.calls(),
        [format!("{pull} as a"), format!("{pull} as b")]
    );
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_cannot_look_is_an_inspect_error() {
    let bench = Bench::new();
    bench.fake.fail("ImageStatus", tonic::Code::Unavailable, "gone");
    let error = bench.ensure("redis", PullPolicy::IfNotPresent).await.unwrap_err();
    assert_eq!(error.reason, "ImageInspectError");
    assert_eq!(
        error.message,
        "Failed to inspect image \"redis\": rpc error: code = Unavailable desc = gone"
    );
}

#[tokio::test(start_paused = true)]
async fn pulls_are_not_more_frequent_than_the_settings_allow() {
    let limits = PullLimits {
        parallel: None,
        per_second: 1,
        burst: 2,
    };
    let bench = Bench::with(|config| config.pulls = limits);
    for name in ["a", "b", "c", "d"] {
        bench.fake.serve_image(name);
    }
    for name in ["a", "b"] {
        bench.ensure(name, PullPolicy::IfNotPresent).await.unwrap();
    }
    let error = bench.ensure("c", PullPolicy::IfNotPresent).await.unwrap_err();
    assert_eq!(error.to_string(), "ErrImagePull: pull QPS exceeded");
    tokio::time::advance(SECOND).await;
    bench.ensure("d", PullPolicy::IfNotPresent).await.unwrap();
    assert_eq!(bench.fake.calls().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_image_of_ones_credentials_is_not_there_for_others() {
    let bench = Bench::new();
    bench.fake.serve_image("redis");
    let ask = async |users: Keyring, policy| bench.ensure_as("pod", "redis", policy, &users).await;
    ask(users(&["me"]), PullPolicy::IfNotPresent).await.unwrap();
    let pull = "PullImage docker.io/library/redis:latest";
    assert_eq!(bench.fake.take_calls(), [format!("{pull} as me")]);
    bench.events();

    ask(users(&["me"]), PullPolicy::IfNotPresent).await.unwrap();
    ask(users(&["me"]), PullPolicy::Never).await.unwrap();
    assert!(
        bench.fake.take_calls().is_empty(),
        "the same credentials need not be tried again"
    );
    let error = ask(users(&[]), PullPolicy::Never).await.unwrap_err();
    assert_eq!(error.reason, "ErrImageNeverPull");

    bench.fake.break_pull("redis", "denied");
    let error = ask(users(&["you"]), PullPolicy::IfNotPresent).await.unwrap_err();
    assert_eq!((error.reason, &*error.message), ("ErrImagePull", "denied"));
    assert_eq!(bench.fake.take_calls(), [format!("{pull} as you")]);
    tokio::time::advance(10 * SECOND).await;
    bench.fake.repair_pull("redis");
    ask(users(&[]), PullPolicy::IfNotPresent).await.unwrap();
    assert_eq!(bench.fake.take_calls(), [pull], "it is public after all");
    ask(users(&["you"]), PullPolicy::Never).await.unwrap();

    let there = bench.fake.list_images().await.unwrap().into_iter().map(|i| i.id);
    bench.manager.forget_gone(there.collect(), Timestamp::MAX).await;
    let records = || {
        std::fs::read_dir(bench.dir.path().join("image_manager/pulled"))
            .unwrap()
            .count()
    };
    assert_eq!(records(), 1);
    bench.manager.forget_gone(BTreeSet::new(), Timestamp::MAX).await;
    assert_eq!(records(), 0);
}

#[tokio::test(start_paused = true)]
async fn images_that_were_there_before_are_for_all_unless_the_settings_say_otherwise() {
    for (verification, wanted) in [
        (PullVerification::Never, true),
        (PullVerification::Pulled, true),
        (PullVerification::Always, false),
        (PullVerification::NotListed(vec!["redis".into()]), true),
        (PullVerification::NotListed(vec!["other".into()]), false),
    ] {
        let words = format!("{verification:?}");
        let bench = Bench::with(|config| config.pull_verification = verification);
        bench.fake.add_image("redis");
        let there = bench.ensure("redis", PullPolicy::Never).await;
        assert_eq!(there.is_ok(), wanted, "{words}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pull_that_cannot_be_recorded_is_not_begun() {
    let bench = Bench::new();
    bench.fake.serve_image("redis");
    std::fs::write(bench.dir.path().join("image_manager"), "").unwrap();
    let error = bench.ensure("redis", PullPolicy::Always).await.unwrap_err();
    let words = "Failed to record image pull intent for container image \"redis\": ";
    assert!(
        error.reason == "ErrImagePull" && error.message.starts_with(words),
        "{error}"
    );
    assert!(bench.fake.calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn wishes_are_counted_by_what_they_led_to() {
    let bench = Bench::new();
    bench.fake.add_image("redis");
    bench.fake.serve_image("nginx");
    bench.ensure("redis", PullPolicy::IfNotPresent).await.unwrap();
    bench.ensure("nginx", PullPolicy::IfNotPresent).await.unwrap();
    bench.ensure("nginx", PullPolicy::IfNotPresent).await.unwrap();
    bench.ensure("nginx", PullPolicy::Always).await.unwrap();
    bench.ensure("missing", PullPolicy::Never).await.unwrap_err();
    bench.ensure("Bad Name", PullPolicy::Never).await.unwrap_err();
    let text = bench.manager.metrics.counted();
    let wishes = "kubelet_image_manager_ensure_image_requests_total";
    for line in [
        format!(r#"{wishes}{{present_locally="true",pull_policy="ifnotpresent",pull_required="false"}} 2"#),
        format!(r#"{wishes}{{present_locally="false",pull_policy="ifnotpresent",pull_required="true"}} 1"#),
        format!(r#"{wishes}{{present_locally="unknown",pull_policy="always",pull_required="true"}} 1"#),
        format!(r#"{wishes}{{present_locally="false",pull_policy="never",pull_required="unknown"}} 1"#),
        format!(r#"{wishes}{{present_locally="unknown",pull_policy="never",pull_required="unknown"}} 1"#),
        r#"kubelet_imagemanager_image_mustpull_checks_total{result="credentialPolicyAllowed"} 1"#.to_owned(),
        r#"kubelet_imagemanager_image_mustpull_checks_total{result="credentialRecordFound"} 1"#.to_owned(),
        "kubelet_imagemanager_ondisk_pulledrecords 1".to_owned(),
        "kubelet_imagemanager_ondisk_pullintents 0".to_owned(),
    ] {
        assert!(text.lines().any(|found| *found == *line), "no {line} in\n{text}");
    }
}
