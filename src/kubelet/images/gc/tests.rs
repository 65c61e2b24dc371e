#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::kubelet::images::providers::Providers;
use crate::kubelet::images::sources::Sources;
use crate::testing::builders::{at, kubelet_config};
use crate::testing::{FakeApi, FakeCri};

fn collector(cri: &FakeCri, api: &FakeApi, change: impl FnOnce(&mut KubeletConfig)) -> ImageGc {
    let mut config = kubelet_config();
    change(&mut config);
    let sources = Sources::new(&config.root_dir, Providers::default());
    let manager = Arc::new(ImageManager::new(Arc::new(cri.clone()), &config, sources));
    let both = (Arc::new(cri.clone()) as _, Arc::new(cri.clone()) as _, manager);
    let mut gc = ImageGc::new(
        both,
        Arc::new(api.clone()),
        Arc::default(),
        Arc::new(config),
        KubeletMetrics::default(),
    );
    gc.began = at(0);
    gc
}

/// An image `name:1` for each, one of them used by a container.
async fn runtime(images: &[&str], used: &str) -> FakeCri {
    let cri = FakeCri::new();
    images
        .iter()
        .for_each(|name| cri.add_image(&format!("registry.test/{name}:1")));
    let sandbox_config = v1::PodSandboxConfig {
        metadata: Some(v1::PodSandboxMetadata {
            uid: "u".into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let sandbox = cri.run_pod_sandbox(&sandbox_config, "").await.unwrap();
    let config = v1::ContainerConfig {
        metadata: Some(v1::ContainerMetadata::default()),
        image: Some(v1::ImageSpec {
            image: format!("registry.test/{used}:1"),
            ..Default::default()
        }),
        ..Default::default()
    };
    cri.create_container(&sandbox, &config, &sandbox_config)
        .await
        .unwrap();
    cri
}

async fn left(cri: &FakeCri) -> Vec<String> {
    let images = cri.list_images().await.unwrap();
    let mut names: Vec<String> = images
        .into_iter()
        .flat_map(|image| image.repo_tags)
        .map(|tag| tag.trim_start_matches("registry.test/").into())
        .collect();
    names.sort();
    names
}

fn reasons(api: &FakeApi) -> Vec<&'static str> {
    api.event_reasons()
}

#[tokio::test]
async fn a_full_disk_costs_unused_images_that_are_old_enough() {
    let cri = runtime(&["a", "b", "used"], "used").await;
    let api = FakeApi::new();
    let gc = collector(&cri, &api, |config| {
        config.image_gc.high = 1;
        config.image_gc.low = 0;
    });
    let told = gc.collect_once(at(0)).await.unwrap_err().to_string();
    assert!(told.starts_with("Insufficient free disk space"), "{told}");
    assert_eq!(left(&cri).await, ["a:1", "b:1", "used:1"], "they have just come");
    // The images of the fake do not fill this disk, so it never is enough.
    gc.collect_once(at(120)).await.unwrap_err();
    assert_eq!(left(&cri).await, ["used:1"]);
    assert_eq!(reasons(&api), ["FreeDiskSpaceFailed", "FreeDiskSpaceFailed"]);
    assert!(
        gc.metrics
            .counted()
            .contains("kubelet_image_garbage_collected_total{reason=\"space\"} 2")
    );
}

#[tokio::test]
async fn a_disk_that_is_not_full_costs_nothing_but_what_is_old() {
    let cri = runtime(&["a", "used"], "used").await;
    let api = FakeApi::new();
    let gc = collector(&cri, &api, |config| {
        config.image_gc.high = 100;
        config.image_gc.max_age = Duration::from_secs(3600);
    });
    for seconds in [0, 3600] {
        gc.collect_once(at(seconds)).await.unwrap();
        assert_eq!(left(&cri).await, ["a:1", "used:1"]);
    }
    gc.collect_once(at(3601)).await.unwrap();
    assert_eq!(left(&cri).await, ["used:1"]);
    assert!(
        gc.metrics
            .counted()
            .contains("kubelet_image_garbage_collected_total{reason=\"age\"} 1")
    );
    assert_eq!(reasons(&api), [""; 0]);
}

#[tokio::test]
async fn a_shortage_of_disk_costs_everything_unused() {
    let cri = runtime(&["a", "b", "used"], "used").await;
    let gc = collector(&cri, &FakeApi::new(), |_| {});
    gc.remove_unused(at(0)).await.unwrap();
    assert_eq!(left(&cri).await.len(), 3);
    cri.fail("RemoveImage", tonic::Code::Unknown, "busy");
    let told = gc.remove_unused(at(500)).await.unwrap_err().to_string();
    assert!(told.contains("errors in image deletion: busy, busy"), "{told}");
    cri.heal("RemoveImage");
    gc.remove_unused(at(600)).await.unwrap();
    assert_eq!(left(&cri).await, ["used:1"]);
}

#[tokio::test(start_paused = true)]
async fn only_a_failure_that_comes_again_is_an_event() {
    let cri = runtime(&["used"], "used").await;
    let api = FakeApi::new();
    let gc = Arc::new(collector(&cri, &api, |_| {}));
    cri.fail("ListImages", tonic::Code::Unavailable, "gone");
    let running = gc.clone();
    tokio::spawn(async move { running.run().await });
    tokio::time::sleep(COLLECT - LIST).await;
    assert_eq!(reasons(&api), [""; 0]);
    tokio::time::sleep(COLLECT).await;
    assert_eq!(reasons(&api), ["ImageGCFailed"]);
    cri.heal("ListImages");
    tokio::time::sleep(2 * LIST).await;
    assert_eq!(gc.listed().borrow().len(), 1);
}
