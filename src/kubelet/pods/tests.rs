//! Whole pods against a runtime and an API server in memory. Each life of the agent has a tokio runtime of its own
//! with a paused clock; dropping that is a SIGKILL.

mod evictions;
mod hooks;
mod recover;
mod resize;
mod restart_all;
mod shutdown;
mod statics;
mod storm;
mod world;

use crate::model::PodUid;
use serde_json::json;
use world::{World, container, pod};

fn uid(name: &str) -> PodUid {
    format!("uid-{name}").as_str().into()
}

#[test]
fn a_pod_starts_runs_and_is_reported() {
    let world = World::new();
    let mut life = world.start();
    life.add(&pod("web", json!({"containers": [container("app")]})));
    life.pass(3);
    assert_eq!(world.phase("web"), "Running");
    let status = world.status("web");
    assert_eq!(status["containerStatuses"][0]["ready"], true);
    assert_eq!(status["containerStatuses"][0]["restartCount"], 0);
    assert!(status["podIP"].as_str().is_some_and(|ip| !ip.is_empty()));
    assert!(
        status["conditions"]
            .as_array()
            .unwrap()
            .iter()
            .any(|c| c["type"] == "Ready" && c["status"] == "True")
    );
    assert_eq!(world.told(), ["Pulling", "Pulled", "Created", "Started"]);
    assert!(world.path("pods/uid-web/etc-hosts").exists());
    assert!(world.path("logs/default_web_uid-web/app").is_dir());
    let patches = world.api.state().status_patches.len();
    assert_eq!(patches, 1, "what came before Running waited for it");
}

#[test]
fn a_pod_that_takes_its_time_is_told_to_be_coming_up() {
    let world = World::new();
    world.cri.hold_pulls();
    let mut life = world.start();
    life.add(&pod("web", json!({"containers": [container("app")]})));
    life.pass(3);
    let waiting = &world.status("web")["containerStatuses"][0]["state"]["waiting"];
    assert_eq!(waiting["reason"], "ContainerCreating");
    world.cri.release_pulls(1);
    life.pass(1);
    assert_eq!(world.phase("web"), "Running");
}

#[test]
fn containers_start_with_their_volumes_and_not_before() {
    let world = World::new();
    let mut life = world.start();
    let mut app = container("app");
    app["volumeMounts"] = json!([{"name": "conf", "mountPath": "/conf"}]);
    life.add(&pod(
        "web",
        json!({
            "containers": [app],
            "volumes": [{"name": "conf", "configMap": {"name": "settings"}}],
        }),
    ));
    life.add(&pod("other", json!({"containers": [container("app")]})));
    life.pass(3);
    assert_eq!(world.phase("other"), "Running", "others are not held up");
    assert_eq!(world.phase("web"), "Pending");
    let state = &world.status("web")["containerStatuses"][0]["state"];
    assert_eq!(state["waiting"]["reason"], "ContainerCreating");
    let event = world
        .events()
        .into_iter()
        .find(|e| e.reason == "FailedMount")
        .unwrap();
    assert_eq!(
        event.message,
        r#"MountVolume.SetUp failed for volume "conf" : configmap "settings" not found"#
    );
    world.set_config_map("settings", "key", "value");
    life.pass(15);
    assert_eq!(world.phase("web"), "Running");
    let config = world.cri.container_config(&world.running("web", "app")).unwrap();
    assert!(
        config
            .mounts
            .iter()
            .any(|m| m.container_path == "/conf" && m.readonly)
    );
}

#[test]
fn an_image_that_cannot_be_pulled_backs_off_and_harms_nobody() {
    let world = World::new();
    world.cri.break_pull("registry.test/nope:1", "not found");
    let mut life = world.start();
    let mut app = container("app");
    app["image"] = json!("registry.test/nope:1");
    life.add(&pod("bad", json!({"containers": [app]})));
    life.add(&pod("good", json!({"containers": [container("app")]})));
    life.pass(1);
    let waiting =
        |name: &str| world.status(name)["containerStatuses"][0]["state"]["waiting"]["reason"].clone();
    assert_eq!(waiting("bad"), "ErrImagePull");
    assert_eq!(world.phase("good"), "Running");
    life.pass(5);
    assert_eq!(waiting("bad"), "ImagePullBackOff");
    assert!(world.told().contains(&"BackOff"));
    world.cri.repair_pull("registry.test/nope:1");
    world.cri.serve_image("registry.test/nope:1");
    life.pass(40);
    assert_eq!(world.phase("bad"), "Running");
}

#[test]
fn a_runtime_class_chooses_the_handler() {
    let world = World::new();
    world
        .api
        .state()
        .runtime_classes
        .insert("sandboxed".into(), "kata".into());
    let mut life = world.start();
    let of = |class: &str| json!({"runtimeClassName": class, "containers": [container("app")]});
    life.add(&pod("known", of("sandboxed")));
    life.add(&pod("unknown", of("nope")));
    life.pass(2);
    assert_eq!(world.phase("known"), "Running");
    assert!(
        world
            .cri
            .calls()
            .contains(&"RunPodSandbox known/0 with kata".to_owned())
    );
    assert_eq!(world.phase("unknown"), "Pending");
    let words = "Failed to create pod sandbox: runtimeclass.node.k8s.io \"nope\" not found";
    assert!(
        world
            .events()
            .iter()
            .any(|e| e.reason == "FailedCreatePodSandBox" && e.message == words)
    );
    // The class comes late.
    world.api.state().runtime_classes.insert("nope".into(), "".into());
    life.pass(20);
    assert_eq!(world.phase("unknown"), "Running");
}

#[test]
fn the_runtimes_words_reach_the_status() {
    let world = World::new();
    world.cri.fail(
        "StartContainer",
        tonic::Code::Unknown,
        "exec: \"nope\": executable file not found in $PATH",
    );
    let mut life = world.start();
    life.add(&pod("bad", json!({"containers": [container("app")]})));
    life.pass(1);
    let waiting = world.status("bad")["containerStatuses"][0]["state"]["waiting"].clone();
    assert_eq!(waiting["reason"], "RunContainerError");
    assert!(
        waiting["message"]
            .as_str()
            .unwrap()
            .contains("executable file not found"),
        "{waiting}"
    );
    let failed = world.events().into_iter().find(|e| e.reason == "Failed").unwrap();
    assert!(failed.message.starts_with("Error: exec:"), "{}", failed.message);
}

#[test]
fn a_crashing_container_restarts_with_a_growing_backoff() {
    let world = World::new();
    world.cri.exit_at_start("app", 1);
    let mut life = world.start();
    life.add(&pod("web", json!({"containers": [container("app")]})));
    life.pass(3);
    let state = world.status("web")["containerStatuses"][0].clone();
    assert_eq!(state["state"]["waiting"]["reason"], "CrashLoopBackOff");
    let starts = |world: &World| {
        world
            .cri
            .calls()
            .iter()
            .filter(|c| c.starts_with("StartContainer"))
            .count()
    };
    let first = starts(&world);
    life.pass(120);
    let more = starts(&world) - first;
    assert!(
        (2..=4).contains(&more),
        "10, 20, 40, 80 s apart: {more} in two minutes"
    );
    let backoffs = world.told().iter().filter(|r| **r == "BackOff").count();
    assert!((2..=6).contains(&backoffs), "one event for each wait: {backoffs}");
}

#[test]
fn a_job_that_ends_is_told_and_not_started_again() {
    let world = World::new();
    world.cri.exit_at_start("app", 0);
    let mut life = world.start();
    life.add(&pod(
        "job",
        json!({"restartPolicy": "Never", "containers": [container("app")]}),
    ));
    life.pass(30);
    assert_eq!(world.phase("job"), "Succeeded");
    assert_eq!(
        world
            .cri
            .calls()
            .iter()
            .filter(|c| c.starts_with("StartContainer"))
            .count(),
        1
    );
}

#[test]
fn the_last_words_of_a_container_are_reported() {
    let world = World::new();
    let mut life = world.start();
    life.add(&pod(
        "job",
        json!({"restartPolicy": "Never", "containers": [container("app")]}),
    ));
    life.pass(3);
    let id = world.running("job", "app");
    let config = world.cri.container_config(&id).unwrap();
    let file = config
        .mounts
        .iter()
        .find(|m| m.container_path == "/dev/termination-log")
        .unwrap();
    std::fs::write(&file.host_path, "out of cheese").unwrap();
    world.cri.exit(&id, 3);
    life.pass(3);
    let end = world.status("job")["containerStatuses"][0]["state"]["terminated"].clone();
    assert_eq!(
        (&end["exitCode"], &end["message"]),
        (&json!(3), &json!("out of cheese"))
    );
}

#[test]
fn a_deleted_pod_leaves_nothing() {
    let world = World::new();
    let mut life = world.start();
    let web = pod(
        "web",
        json!({"containers": [container("app"), container("side")], "terminationGracePeriodSeconds": 7}),
    );
    life.add(&web);
    life.pass(3);
    life.delete(&web, 7);
    life.pass(5);
    assert!(world.cri.is_empty());
    assert!(
        world
            .cri
            .calls()
            .iter()
            .any(|c| c.starts_with("StopContainer app/0 7")),
        "{:?}",
        world.cri.calls()
    );
    assert_eq!(world.api.state().deleted.len(), 1);
    assert!(!world.path("pods/uid-web").exists());
    assert!(!world.path("logs/default_web_uid-web").exists());
    assert_eq!(world.told().iter().filter(|r| **r == "Killing").count(), 2);
    life.gone(&web);
    life.pass(60);
    assert_eq!(world.api.state().deleted.len(), 1);
}

#[test]
fn a_slow_pull_holds_up_neither_status_nor_deletion() {
    let world = World::new();
    world.cri.hold_pulls();
    let mut life = world.start();
    let web = pod("web", json!({"containers": [container("app")]}));
    life.add(&web);
    life.pass(2);
    assert_eq!(world.phase("web"), "Pending");
    life.delete(&web, 30);
    life.pass(3);
    assert!(world.cri.is_empty());
    assert_eq!(world.api.state().deleted.len(), 1);
}

#[test]
fn a_restarted_agent_changes_nothing() {
    let world = World::new();
    let web = pod("web", json!({"containers": [container("app")]}));
    let crash = pod("crash", json!({"containers": [container("bad")]}));
    let done = pod(
        "done",
        json!({"restartPolicy": "Never", "containers": [container("once")]}),
    );
    world.cri.exit_at_start("bad", 1);
    world.cri.exit_at_start("once", 0);
    let mut life = world.start();
    for pod in [&web, &crash, &done] {
        life.add(pod);
    }
    life.pass(15);
    let told = || ["web", "crash", "done"].map(|name| world.status(name));
    let before = told();
    life.kill();
    world.cri.take_calls();
    let mut life = world.start_with(&[&web, &crash, &done]);
    life.pass(2);
    assert_eq!(world.cri.take_calls(), Vec::<String>::new());
    assert_eq!(told(), before);
}

#[test]
fn a_pod_deleted_while_the_agent_was_down_is_ended() {
    let world = World::new();
    let web = pod("web", json!({"containers": [container("app")]}));
    let mut life = world.start();
    life.add(&web);
    life.pass(3);
    life.kill();
    let mut life = world.start_with(&[]);
    life.pass(5);
    assert!(world.cri.is_empty());
    assert!(
        world
            .cri
            .calls()
            .iter()
            .any(|c| c.starts_with("StopContainer app/0 2")),
        "{:?}",
        world.cri.calls()
    );
    assert!(!world.path("pods/uid-web").exists());
    assert!(!world.path("logs/default_web_uid-web").exists());
}

#[test]
fn nothing_is_ended_before_the_first_full_list() {
    let world = World::new();
    let web = pod("web", json!({"containers": [container("app")]}));
    let mut life = world.start();
    life.add(&web);
    life.pass(3);
    life.kill();
    world.cri.take_calls();
    let mut life = world.start_unlisted();
    life.pass(30);
    assert_eq!(world.cri.take_calls(), Vec::<String>::new());
}

#[test]
fn a_finished_pod_of_the_past_is_neither_run_nor_rewritten() {
    let world = World::new();
    let mut old = pod("old", json!({"containers": [container("app")]}));
    old["status"] = json!({"phase": "Failed", "reason": "Evicted", "containerStatuses": [{"name": "app"}]});
    world.know(&old);
    let mut life = world.start_with(&[&old]);
    life.pass(10);
    assert_eq!(world.cri.calls(), Vec::<String>::new());
    assert!(world.api.state().status_patches.is_empty());
}

#[test]
fn a_killed_sandbox_is_replaced_with_its_containers() {
    let world = World::new();
    let mut life = world.start();
    life.add(&pod("web", json!({"containers": [container("app")]})));
    life.pass(3);
    let sandbox = world.cri.sandboxes(&uid("web")).remove(0);
    world.cri.kill_sandbox(&sandbox);
    life.pass(30);
    assert_eq!(world.phase("web"), "Running");
    assert!(world.told().contains(&"SandboxChanged"), "{:?}", world.told());
    assert!(
        world
            .cri
            .calls()
            .iter()
            .any(|c| c.starts_with("RunPodSandbox web/1"))
    );
}

#[test]
fn an_api_server_that_is_away_is_told_later() {
    let world = World::new();
    let mut life = world.start();
    world.know(&pod("web", json!({"containers": [container("app")]})));
    world.api.state().away = true;
    life.add(&pod("web", json!({"containers": [container("app")]})));
    life.pass(30);
    world.api.state().away = false;
    life.pass(15);
    assert_eq!(world.phase("web"), "Running");
}

#[test]
fn what_others_say_of_readiness_is_taken_back() {
    let world = World::new();
    let web = pod("web", json!({"containers": [container("app")]}));
    let mut life = world.start();
    life.add(&web);
    life.pass(5);
    life.echo(&web);
    life.pass(5);
    let patches = || world.api.state().status_patches.len();
    let ready = || {
        let status = world.status("web");
        let all = status["conditions"].as_array().unwrap().clone();
        all.into_iter().find(|c| c["type"] == "Ready").unwrap()["status"].clone()
    };
    let before = patches();
    for _ in 0..2 {
        for (_, status) in world.api.state().pods.values_mut() {
            let all = status["conditions"].as_array_mut().unwrap();
            let condition = all.iter_mut().find(|c| c["type"] == "Ready").unwrap();
            condition["status"] = "False".into();
        }
        life.echo(&web);
        life.pass(3);
        assert_eq!(ready(), "True");
    }
    assert_eq!(patches(), before + 2);
    life.echo(&web);
    life.pass(5);
    assert_eq!(patches(), before + 2, "once each time");
}

/// Kills the agent after the first, second, third, … call that changes something, and starts it again.
#[test]
fn a_kill_after_any_call_converges() {
    let web = pod("web", json!({"containers": [container("app")]}));
    for calls in 1.. {
        let world = World::new();
        let mut life = world.start();
        life.add(&web);
        let reached = life.run_until_calls(calls);
        life.kill();
        let mut life = world.start_with(&[&web]);
        life.pass(60);
        assert_eq!(
            world.phase("web"),
            "Running",
            "killed after call {calls}: {:?}",
            world.cri.calls()
        );
        assert_eq!(
            world.cri.sandboxes(&uid("web")).len(),
            1,
            "killed after call {calls}"
        );
        life.kill();

        let life = world.start_with(&[&web]);
        world.cri.take_calls();
        let mut life = life;
        life.pass(3);
        life.delete(&web, 1);
        life.run_until_calls(calls);
        life.kill();
        let mut life = world.start_deleting(&web);
        life.pass(60);
        assert!(
            world.cri.is_empty(),
            "deletion, killed after call {calls}: {:?}",
            world.cri.calls()
        );
        assert!(
            !world.path("pods/uid-web").exists(),
            "deletion, killed after call {calls}"
        );
        if !reached {
            assert!(calls > 3, "sandbox, create, start at least");
            return;
        }
    }
}

#[test]
fn the_files_of_an_image_are_mounted_once_it_is_pulled() {
    let world = World::new();
    let mut life = world.start();
    let mut app = container("app");
    app["volumeMounts"] = json!([{"name": "model", "mountPath": "/model"}]);
    let volume =
        json!({"name": "model", "image": {"reference": "registry.test/model:1", "pullPolicy": "Always"}});
    life.add(&pod("web", json!({"containers": [app], "volumes": [volume]})));
    life.pass(1);
    let waiting = &world.status("web")["containerStatuses"][0]["state"]["waiting"];
    assert_eq!(waiting["reason"], "ErrImagePull");
    world.cri.serve_image("registry.test/model:1");
    life.pass(20);
    let config = world.cri.container_config(&world.running("web", "app")).unwrap();
    let mount = config
        .mounts
        .iter()
        .find(|m| m.container_path == "/model")
        .unwrap();
    let image = mount.image.as_ref().unwrap();
    assert_eq!(
        (&*image.user_specified_image, &*mount.host_path),
        ("registry.test/model:1", "")
    );
}
