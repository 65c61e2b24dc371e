use super::*;
use crate::cri::{Images, Runtime};
use futures::StreamExt;

fn sandbox(attempt: u32) -> v1::PodSandboxConfig {
    v1::PodSandboxConfig {
        metadata: Some(v1::PodSandboxMetadata {
            name: "web".into(),
            uid: "u1".into(),
            namespace: "default".into(),
            attempt,
        }),
        labels: [(cri::POD_UID_LABEL.to_owned(), "u1".to_owned())].into(),
        ..Default::default()
    }
}

fn container(image: &str) -> v1::ContainerConfig {
    v1::ContainerConfig {
        metadata: Some(v1::ContainerMetadata {
            name: "app".into(),
            attempt: 0,
        }),
        image: Some(v1::ImageSpec {
            image: image.into(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

#[tokio::test]
async fn refuses_what_a_runtime_refuses() {
    let fake = FakeCri::new();
    let config = sandbox(0);
    let id = fake.run_pod_sandbox(&config, "").await.unwrap();
    assert!(
        fake.run_pod_sandbox(&config, "").await.is_err(),
        "same name and attempt"
    );
    fake.run_pod_sandbox(&sandbox(1), "").await.unwrap();

    let missing = fake
        .create_container(&id, &container("redis"), &config)
        .await
        .unwrap_err();
    assert!(missing.is_not_found(), "{missing}");
    fake.add_image("redis");
    let app = fake
        .create_container(&id, &container("docker.io/library/redis:latest"), &config)
        .await
        .unwrap();
    assert!(
        fake.create_container(&id, &container("redis"), &config)
            .await
            .is_err(),
        "name is reserved"
    );
    fake.start_container(&app).await.unwrap();
    assert!(fake.start_container(&app).await.is_err(), "started twice");

    fake.stop_pod_sandbox(&id).await.unwrap();
    assert_eq!(fake.container_status(&app).await.unwrap().exit_code, 137);
    fake.remove_container(&app).await.unwrap();
    assert!(
        fake.create_container(&id, &container("redis"), &config)
            .await
            .is_err(),
        "sandbox is stopped"
    );
    for _ in 0..2 {
        fake.remove_container(&app).await.unwrap();
        fake.stop_pod_sandbox(&id).await.unwrap();
        fake.remove_pod_sandbox(&id).await.unwrap();
    }
    assert!(fake.pod_sandbox_status(&id).await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn tells_events_in_order() {
    let fake = FakeCri::new();
    fake.add_image("redis");
    let events = fake.container_events().await.unwrap();
    let id = fake.run_pod_sandbox(&sandbox(0), "").await.unwrap();
    let app = fake
        .create_container(&id, &container("redis"), &sandbox(0))
        .await
        .unwrap();
    fake.start_container(&app).await.unwrap();
    fake.exit(&app, 1);
    fake.exit(&app, 2);
    fake.remove_pod_sandbox(&id).await.unwrap();
    fake.disable_events();
    let seen: Vec<_> = events
        .map(|e| e.unwrap())
        .map(|e| (e.container_id, e.container_event_type))
        .collect()
        .await;
    let (s, c) = (id.to_string(), app.to_string());
    assert_eq!(
        seen,
        [(&s, 0), (&s, 1), (&c, 0), (&c, 1), (&c, 2), (&c, 3), (&s, 3)].map(|(id, kind)| (id.clone(), kind))
    );
    let none = fake.container_events().await.unwrap().next().await.unwrap();
    assert!(none.unwrap_err().is_unimplemented());
}

#[tokio::test]
async fn pulls_come_from_the_registry_only() {
    let fake = FakeCri::new();
    let spec = |image: &str| v1::ImageSpec {
        image: image.into(),
        ..Default::default()
    };
    assert!(
        fake.pull_image(&spec("redis:latest"), None, None)
            .await
            .unwrap_err()
            .is_not_found()
    );
    fake.serve_image("redis");
    let id = fake.pull_image(&spec("redis:latest"), None, None).await.unwrap();
    for name in ["redis", "docker.io/library/redis", &id] {
        assert_eq!(fake.image_status(name).await.unwrap().unwrap().id, id);
    }
    fake.remove_image("redis").await.unwrap();
    assert_eq!(fake.image_status(&id).await.unwrap(), None);
}

#[tokio::test]
async fn calls_are_written_down_by_name() {
    let fake = FakeCri::new();
    fake.add_image("redis");
    fake.exit_at_start("app", 4);
    let id = fake.run_pod_sandbox(&sandbox(0), "").await.unwrap();
    let app = fake
        .create_container(&id, &container("redis"), &sandbox(0))
        .await
        .unwrap();
    fake.start_container(&app).await.unwrap();
    assert_eq!(fake.container_status(&app).await.unwrap().exit_code, 4);
    fake.stop_container(&app, 30).await.unwrap();
    fake.fail("RemoveContainer", tonic::Code::Internal, "device busy");
    assert_eq!(
        fake.remove_container(&app).await.unwrap_err().to_string(),
        "RemoveContainer: device busy"
    );
    assert_eq!(
        fake.calls(),
        [
            "RunPodSandbox web/0",
            "CreateContainer app/0",
            "StartContainer app/0",
            "StopContainer app/0 30",
            "RemoveContainer app/0"
        ]
    );
}
