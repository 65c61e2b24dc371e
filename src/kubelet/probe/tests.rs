use super::*;
use crate::api::ObjectRef;
use crate::cri::{self, ExecOutput};
use crate::testing::FakeCri;
use serde_json::json;

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Events for Heard {
    fn emit(&self, object: &ObjectRef, _: EventType, reason: &str, message: String) {
        self.0
            .lock()
            .unwrap()
            .push(format!("{} {reason}: {message}", object.field_path));
    }
}

struct World {
    cri: FakeCri,
    heard: Arc<Heard>,
    marks: Arc<Mutex<u32>>,
    probes: Probes,
    id: ContainerId,
}

/// A running container, for commands to run in.
async fn container_in(cri: &FakeCri) -> ContainerId {
    use crate::cri::{Images, Runtime, v1};
    cri.serve_image("tool");
    let image = v1::ImageSpec {
        image: "docker.io/library/tool:latest".into(),
        ..Default::default()
    };
    cri.pull_image(&image, None, None).await.unwrap();
    let metadata = v1::PodSandboxMetadata {
        name: "p".into(),
        uid: "u1".into(),
        namespace: "n".into(),
        attempt: 0,
    };
    let sandbox = v1::PodSandboxConfig {
        metadata: Some(metadata),
        ..Default::default()
    };
    let in_sandbox = cri.run_pod_sandbox(&sandbox, "").await.unwrap();
    let metadata = v1::ContainerMetadata {
        name: "web".into(),
        attempt: 0,
    };
    let config = v1::ContainerConfig {
        metadata: Some(metadata),
        image: Some(image),
        ..Default::default()
    };
    let id = cri
        .create_container(&in_sandbox, &config, &sandbox)
        .await
        .unwrap();
    cri.start_container(&id).await.unwrap();
    id
}

const AGENT_START: i64 = 1_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

async fn world() -> World {
    let (cri, heard, marks) = (
        FakeCri::new(),
        Arc::new(Heard::default()),
        Arc::new(Mutex::new(0)),
    );
    let count = marks.clone();
    let mark: Mark = Arc::new(move |_| *count.lock().unwrap() += 1);
    let probes = Probes::new(Arc::new(cri.clone()), heard.clone(), mark, at(AGENT_START));
    let id = container_in(&cri).await;
    World {
        cri,
        heard,
        marks,
        probes,
        id,
    }
}

impl World {
    fn answer(&self, command: &str, exit_code: i32) {
        let output = ExecOutput {
            stdout: format!("{command} says {exit_code}").into(),
            exit_code,
            ..Default::default()
        };
        self.cri.answer_exec(command, Ok(output));
    }
    fn view(&self) -> ProbeView {
        self.probes
            .view(&"u1".into())
            .remove(&self.id)
            .unwrap_or_default()
    }
    fn running(&self, started: i64) -> Vec<Running> {
        vec![Running {
            id: self.id.clone(),
            name: "web".into(),
            started: at(started),
        }]
    }
    /// Lets this much time pass; the tasks run meanwhile.
    async fn pass(&self, millis: u64) {
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }
    fn heard(&self) -> Vec<String> {
        std::mem::take(&mut self.heard.0.lock().unwrap())
    }
}

/// A Pod whose probes are commands of the same name as the probe.
fn pod(probes: &[(&str, serde_json::Value)]) -> Arc<Pod> {
    let mut container = json!({"name": "web"});
    for (name, settings) in probes {
        let mut probe = settings.clone();
        probe["exec"] = json!({"command": [name]});
        container[format!("{name}Probe")] = probe;
    }
    Arc::new(
        serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "u1"},
            "spec": {"containers": [container]},
        }))
        .unwrap(),
    )
}

#[tokio::test(start_paused = true)]
async fn readiness_is_found_early_and_lost_after_the_threshold() {
    let world = world().await;
    let pod = pod(&[("readiness", json!({"periodSeconds": 10, "failureThreshold": 2}))]);
    world.answer("readiness", 1);
    world
        .probes
        .set(&pod, &world.running(AGENT_START), None, at(AGENT_START));
    world.pass(600).await;
    assert_eq!(
        (world.view().ready, world.heard().len()),
        (None, 0),
        "early failures are quiet"
    );
    world.answer("readiness", 0);
    world.pass(1000).await;
    assert_eq!(world.view().ready, Some(true));
    world.answer("readiness", 1);
    world.pass(11_000).await;
    assert_eq!(
        world.view().ready,
        Some(true),
        "one failure is below the threshold"
    );
    assert_eq!(
        world.heard(),
        ["spec.containers{web} Unhealthy: Readiness probe failed: readiness says 1"]
    );
    world.pass(10_000).await;
    assert_eq!(world.view().ready, Some(false));
    assert_eq!(*world.marks.lock().unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_failed_liveness_probe_condemns_the_instance_once() {
    let world = world().await;
    let pod = pod(&[("liveness", json!({"periodSeconds": 1, "failureThreshold": 2}))]);
    world.answer("liveness", 3);
    world
        .probes
        .set(&pod, &world.running(AGENT_START), None, at(AGENT_START));
    world.pass(1_500).await;
    assert_eq!(world.view().unhealthy, None);
    world.pass(10_000).await;
    assert_eq!(
        world.view().unhealthy.as_deref(),
        Some("Liveness probe failed: liveness says 3")
    );
    assert_eq!(world.heard().len(), 2, "no more runs after the verdict");
    world.probes.set(&pod, &[], None, at(AGENT_START));
    assert_eq!(world.view(), ProbeView::default());
}

#[tokio::test(start_paused = true)]
async fn a_startup_probe_holds_the_others_back() {
    let world = world().await;
    let one = json!({"periodSeconds": 1, "failureThreshold": 30});
    let pod = pod(&[
        ("startup", one.clone()),
        ("readiness", one.clone()),
        ("liveness", one),
    ]);
    world.answer("startup", 1);
    world.answer("liveness", 1);
    world
        .probes
        .set(&pod, &world.running(AGENT_START), None, at(AGENT_START));
    world.pass(5_500).await;
    assert!(world.heard().iter().all(|e| e.contains("Startup")));
    assert_eq!((world.view().started, world.view().ready), (None, None));
    world.answer("startup", 0);
    world.pass(1_200).await;
    assert_eq!(
        (world.view().started, world.view().ready),
        (Some(true), Some(true))
    );
    world.pass(1_500).await;
    assert!(world.heard().iter().any(|e| e.contains("Liveness")));
}

#[tokio::test(start_paused = true)]
async fn a_restarted_agent_keeps_a_started_container_started() {
    let world = world().await;
    let mut pod = pod(&[("startup", json!({})), ("readiness", json!({"periodSeconds": 5}))]);
    let status = json!({"name": "web", "started": true, "ready": true, "containerID": format!("containerd://{}", world.id)});
    Arc::get_mut(&mut pod).unwrap().status.container_statuses = vec![serde_json::from_value(status).unwrap()];
    world.answer("startup", 1);
    world.answer("readiness", 1);
    world
        .probes
        .set(&pod, &world.running(AGENT_START - 500), None, at(AGENT_START));
    assert_eq!((world.view().started, world.view().ready), (Some(true), None));
    world.pass(6_000).await;
    let heard = world.heard();
    assert!(
        !heard.is_empty() && heard.iter().all(|e| e.contains("Readiness")),
        "{heard:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn initial_delay_counts_from_the_containers_start() {
    let world = world().await;
    let pod = pod(&[("readiness", json!({"initialDelaySeconds": 20}))]);
    world.answer("readiness", 0);
    world
        .probes
        .set(&pod, &world.running(AGENT_START), None, at(AGENT_START + 15));
    world.pass(4_500).await;
    assert_eq!(world.view().ready, None);
    world.pass(1_000).await;
    assert_eq!(world.view().ready, Some(true));
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_comes_to_its_end_is_not_restarted_for_failing() {
    let world = world().await;
    let fast = json!({"periodSeconds": 1, "failureThreshold": 1});
    let pod = pod(&[("liveness", fast.clone()), ("readiness", fast)]);
    world.answer("liveness", 1);
    world.answer("readiness", 0);
    world
        .probes
        .set(&pod, &world.running(AGENT_START), None, at(AGENT_START));
    world.pass(500).await;
    world
        .probes
        .set(&pod, &world.running(AGENT_START), None, at(AGENT_START));
    world.probes.quiet(&"u1".into());
    world.answer("readiness", 1);
    world.pass(5_000).await;
    assert_eq!((world.view().unhealthy, world.view().ready), (None, Some(false)));
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_cannot_be_made_says_so_and_changes_nothing() {
    let world = world().await;
    let pod = pod(&[("liveness", json!({"periodSeconds": 1, "failureThreshold": 1}))]);
    let error = cri::Error {
        call: "ExecSync",
        code: tonic::Code::Unavailable,
        message: "no socket".into(),
    };
    world.cri.answer_exec("liveness", Err(error));
    world
        .probes
        .set(&pod, &world.running(AGENT_START), None, at(AGENT_START));
    world.pass(1_500).await;
    assert_eq!(world.view().unhealthy, None);
    assert_eq!(
        world.heard(),
        [
            "spec.containers{web} Unhealthy: Liveness probe errored and resulted in unknown state: rpc error: code = Unavailable desc = no socket"
        ]
    );
}
