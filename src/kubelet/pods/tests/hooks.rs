//! postStart and preStop: what waits for them, and what does not.

use super::{World, container, pod};
use crate::cri::ExecOutput;
use crate::kubelet::context::PARALLEL_STARTS;
use serde_json::{Value, json};

fn hooked(name: &str, lifecycle: Value) -> Value {
    let mut app = container("app");
    app["lifecycle"] = lifecycle;
    pod(
        name,
        json!({"containers": [app], "terminationGracePeriodSeconds": 20}),
    )
}

fn state(world: &World, name: &str) -> Value {
    world.status(name)["containerStatuses"][0]["state"].clone()
}

fn stops(world: &World) -> Vec<String> {
    let calls = world.cri.calls().into_iter();
    calls.filter(|call| call.starts_with("StopContainer")).collect()
}

fn fails(world: &World, command: &str) {
    let output = ExecOutput {
        stderr: b"no\n".to_vec(),
        exit_code: 3,
        ..ExecOutput::default()
    };
    world.cri.answer_exec(command, Ok(output));
}

#[test]
fn a_container_runs_when_its_post_start_hook_is_done() {
    let world = World::new();
    let mut life = world.start();
    life.add(&hooked("web", json!({"postStart": {"sleep": {"seconds": 5}}})));
    life.pass(3);
    assert_eq!(state(&world, "web")["waiting"]["reason"], "ContainerCreating");
    assert_eq!(world.phase("web"), "Pending");
    life.pass(4);
    assert!(state(&world, "web")["running"].is_object());
    assert_eq!(world.phase("web"), "Running");
}

#[test]
fn a_container_whose_post_start_hook_fails_is_stopped_and_tried_again() {
    let world = World::new();
    fails(&world, "begin now");
    let mut life = world.start();
    life.add(&hooked(
        "web",
        json!({"postStart": {"exec": {"command": ["begin", "now"]}}}),
    ));
    life.pass(3);
    assert!(world.told().contains(&"FailedPostStartHook"));
    assert_eq!(stops(&world), ["StopContainer app/0 20"]);
    let waiting = state(&world, "web")["waiting"].clone();
    assert_eq!(
        waiting,
        json!({"reason": "PostStartHookError", "message": "Exec lifecycle hook ([begin now]) for Container \"app\" in Pod \
               \"web_default(uid-web)\" failed - error: command 'begin now' exited with 3: no\n, message: \"no\\n\""})
    );
    world.cri.answer_exec("begin now", Ok(ExecOutput::default()));
    life.pass(30);
    assert!(state(&world, "web")["running"].is_object());
    assert_eq!(world.status("web")["containerStatuses"][0]["restartCount"], 1);
}

#[test]
fn a_deletion_does_not_wait_for_a_post_start_hook() {
    let world = World::new();
    let mut life = world.start();
    let web = hooked("web", json!({"postStart": {"sleep": {"seconds": 1000}}}));
    life.add(&web);
    life.pass(3);
    life.delete(&web, 5);
    life.pass(5);
    assert!(world.cri.is_empty(), "{:?}", world.cri.calls());
}

#[test]
fn hooks_that_take_long_hold_up_nobody_else() {
    let world = World::new();
    let mut life = world.start();
    for n in 0..=PARALLEL_STARTS {
        let name = format!("slow-{n}");
        life.add(&hooked(&name, json!({"postStart": {"sleep": {"seconds": 1000}}})));
    }
    life.pass(3);
    life.add(&pod("quick", json!({"containers": [container("app")]})));
    life.pass(3);
    assert_eq!(world.phase("quick"), "Running");
}

#[test]
fn a_pre_stop_hook_takes_its_time_from_the_grace_period() {
    for (seconds, grace, left) in [(3, 20, 17), (100, 6, 2)] {
        let world = World::new();
        let mut life = world.start();
        let web = hooked("web", json!({"preStop": {"sleep": {"seconds": seconds}}}));
        life.add(&web);
        life.pass(3);
        life.delete(&web, grace);
        life.pass(2);
        assert_eq!(stops(&world), Vec::<String>::new(), "not before the hook is done");
        assert!(world.told().contains(&"Killing"), "but it is told at once");
        life.pass(8);
        assert_eq!(stops(&world), [format!("StopContainer app/0 {left}")]);
        assert!(world.cri.is_empty());
    }
}

#[test]
fn a_pre_stop_hook_that_fails_is_told_and_stops_nothing() {
    for hook in [
        json!({"exec": {"command": ["finish", "up"]}}),
        json!({"tcpSocket": {"port": 80}}),
        json!({"httpGet": {"port": "nameless"}}),
    ] {
        let world = World::new();
        fails(&world, "finish up");
        let mut life = world.start();
        let web = hooked("web", json!({"preStop": hook}));
        life.add(&web);
        life.pass(3);
        life.delete(&web, 20);
        life.pass(3);
        let event = world
            .events()
            .into_iter()
            .find(|e| e.reason == "FailedPreStopHook");
        let message = event.map(|e| e.message).unwrap_or_default();
        assert_eq!(
            message, "PreStopHook failed",
            "no words of the hook: they may be secrets"
        );
        assert_eq!(stops(&world), ["StopContainer app/0 20"]);
        assert!(world.cri.is_empty());
    }
}

#[test]
fn a_shorter_deletion_cuts_a_pre_stop_hook_off_and_runs_no_second_one() {
    let world = World::new();
    let mut life = world.start();
    let web = hooked("web", json!({"preStop": {"sleep": {"seconds": 100}}}));
    life.add(&web);
    life.pass(3);
    life.delete(&web, 200);
    life.pass(5);
    life.delete(&web, 4);
    life.pass(2);
    assert_eq!(stops(&world), Vec::<String>::new());
    life.pass(5);
    assert_eq!(stops(&world), ["StopContainer app/0 2"]);
    assert_eq!(world.told().iter().filter(|told| **told == "Killing").count(), 1);
    assert!(world.cri.is_empty());
}

#[test]
fn sidecars_run_their_hooks_at_once_and_wait_for_the_containers_within_the_grace_period() {
    for (main, side, grace, want) in [
        (3, 0, 20, ["app/0 17", "side/0 17"]),
        (2, 5, 20, ["app/0 18", "side/0 15"]),
        (100, 0, 6, ["app/0 2", "side/0 2"]),
    ] {
        let world = World::new();
        let mut life = world.start();
        let hook = |seconds: i64| json!({"preStop": {"sleep": {"seconds": seconds}}});
        let mut helper = container("side");
        helper["restartPolicy"] = "Always".into();
        helper["lifecycle"] = hook(side);
        let mut web = hooked("web", hook(main));
        web["spec"]["initContainers"] = json!([helper]);
        life.add(&web);
        life.pass(4);
        assert_eq!(world.phase("web"), "Running");
        life.delete(&web, grace);
        life.pass(1);
        assert_eq!(
            world.told().iter().filter(|told| **told == "Killing").count(),
            2,
            "both are told at once"
        );
        life.pass(9);
        let mut stopped = stops(&world);
        stopped.sort();
        assert_eq!(stopped, want.map(|stop| format!("StopContainer {stop}")));
        assert!(world.cri.is_empty());
    }
}

#[test]
fn a_sidecar_that_ends_while_it_waits_for_its_turn_holds_nobody() {
    let world = World::new();
    let mut life = world.start();
    let mut helper = container("side");
    helper["restartPolicy"] = "Always".into();
    let mut web = hooked("web", json!({"preStop": {"sleep": {"seconds": 4}}}));
    web["spec"]["initContainers"] = json!([helper]);
    life.add(&web);
    life.pass(4);
    let side = world.status("web")["initContainerStatuses"][0]["containerID"].clone();
    let side = side.as_str().unwrap().trim_start_matches("containerd://").into();
    life.delete(&web, 1000);
    life.pass(2);
    world.cri.exit(&side, 0);
    life.pass(6);
    assert!(world.cri.is_empty());
}
