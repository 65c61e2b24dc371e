use super::*;
use crate::testing::FakeCri;

const SECOND: Duration = Duration::from_secs(1);

struct Bench {
    fake: FakeCri,
    manager: Arc<ImageManager>,
    events: Mutex<Vec<String>>,
}

impl Bench {
    fn new() -> Arc<Self> {
        let fake = FakeCri::new();
        let manager = Arc::new(ImageManager::new(Arc::new(fake.clone())));
        let events = Mutex::default();
        Arc::new(Self {
            fake,
            manager,
            events,
        })
    }

    async fn ensure_as(
        &self,
        pod: &str,
        image: &str,
        policy: PullPolicy,
        auth: &[v1::AuthConfig],
    ) -> Result<ImageRef, ImageError> {
        let request = ImageRequest {
            pod: &PodUid::from(pod),
            image,
            policy,
            auth,
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
        self.ensure_as("pod", image, policy, &[]).await
    }

    fn events(&self) -> Vec<String> {
        std::mem::take(&mut *self.events.lock().unwrap())
    }
}

fn user(name: &str) -> v1::AuthConfig {
    v1::AuthConfig {
        username: name.into(),
        password: "secret".into(),
        ..Default::default()
    }
}

async fn settle() {
    for _ in 0..50 {
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
        .ensure_as("other", "redis", PullPolicy::Always, &[])
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

#[tokio::test(start_paused = true)]
async fn one_download_serves_all_who_ask_for_it() {
    let bench = Bench::new();
    bench.fake.serve_image("redis");
    bench.fake.hold_pulls();
    let ask = |pod: &'static str, auth: Vec<v1::AuthConfig>| {
        let bench = bench.clone();
        tokio::spawn(async move { bench.ensure_as(pod, "redis", PullPolicy::Always, &auth).await })
    };
    let asked = [
        ask("a", vec![]),
        ask("b", vec![]),
        ask("c", vec![user("me")]),
        ask("d", vec![user("me")]),
    ];
    settle().await;
    assert_eq!(
        bench.fake.calls(),
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
}

#[tokio::test(start_paused = true)]
async fn no_more_than_five_downloads_at_a_time() {
    let bench = Bench::new();
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
    assert_eq!(bench.fake.calls().len(), MAX_PARALLEL_PULLS);
    bench.fake.release_pulls(1);
    settle().await;
    assert_eq!(
        bench.fake.calls().len(),
        MAX_PARALLEL_PULLS + 1,
        "a slot is taken as it becomes free"
    );
    bench.fake.release_pulls(7);
    for task in tasks {
        task.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn giving_up_stops_the_download_unless_somebody_else_waits() {
    let bench = Bench::new();
    bench.fake.serve_image("redis");
    bench.fake.hold_pulls();
    let ask = |pod: &'static str| {
        let bench = bench.clone();
        tokio::spawn(async move { bench.ensure_as(pod, "redis", PullPolicy::Always, &[]).await })
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
}

#[tokio::test(start_paused = true)]
async fn credentials_are_tried_in_order() {
    let bench = Bench::new();
    bench.fake.break_pull("redis", "denied");
    let error = bench
        .ensure_as("pod", "redis", PullPolicy::Always, &[user("a"), user("b")])
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

#[test]
fn credentials_are_not_printed() {
    let text = format!("{:?}", user("me"));
    assert!(text.contains("me") && !text.contains("secret"), "{text}");
}
