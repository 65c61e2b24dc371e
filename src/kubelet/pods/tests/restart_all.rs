//! All containers of a Pod start over because one of them has ended.

use super::{World, container, pod, uid};
use serde_json::{Value, json};

/// Init container `init`, sidecar `side`, containers `app` and `other`; `app` starts all over with exit code 42.
fn web() -> Value {
    let mut side = container("side");
    side["restartPolicy"] = "Always".into();
    let mut app = container("app");
    app["restartPolicy"] = "Never".into();
    app["restartPolicyRules"] =
        json!([{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}]);
    pod(
        "web",
        json!({
            "restartPolicy": "Never", "initContainers": [container("init"), side],
            "containers": [app, container("other")],
        }),
    )
}

/// A world in which `init` ends at once.
fn world() -> World {
    let world = World::new();
    world.cri.exit_at_start("init", 0);
    world
}

/// Restart counts by name.
fn counts(world: &World) -> Vec<(String, i64)> {
    let status = world.status("web");
    let lists = ["initContainerStatuses", "containerStatuses"];
    let all = lists
        .iter()
        .flat_map(|list| status[list].as_array().unwrap().clone());
    all.map(|s| {
        (
            s["name"].as_str().unwrap().to_owned(),
            s["restartCount"].as_i64().unwrap(),
        )
    })
    .collect()
}

fn of(all: [(&str, i64); 4]) -> Vec<(String, i64)> {
    all.map(|(name, count)| (name.to_owned(), count)).into()
}

#[test]
fn it_happens_in_the_same_sandbox_and_keeps_the_logs() {
    let world = world();
    let mut life = world.start();
    life.add(&web());
    life.pass(5);
    assert_eq!(world.phase("web"), "Running");
    world.cri.take_calls();
    world.cri.exit(&world.running("web", "app"), 42);
    life.pass(5);
    let calls = world.cri.take_calls();
    let of_kind = |kind: &str| -> Vec<String> {
        let all = calls.iter().filter_map(|call| call.strip_prefix(kind));
        all.map(|call| call.trim().to_owned()).collect()
    };
    let mut stops = of_kind("StopContainer");
    stops.sort();
    assert_eq!(stops, ["other/0 2", "side/0 2"], "without grace");
    let removed = of_kind("RemoveContainer");
    assert_eq!(removed.len(), 4, "{calls:?}");
    assert_eq!(removed[3], "app/0", "the one who asked goes last");
    let started = of_kind("StartContainer");
    assert_eq!(started[..2], ["init/1", "side/1"]);
    assert_eq!(of_kind("RunPodSandbox"), Vec::<String>::new());
    assert_eq!(world.phase("web"), "Running");
    assert_eq!(
        counts(&world),
        of([("init", 1), ("side", 1), ("app", 1), ("other", 1)])
    );
    let conditions = world.status("web")["conditions"].as_array().unwrap().clone();
    let restarting = conditions
        .iter()
        .find(|c| c["type"] == "AllContainersRestarting")
        .unwrap();
    assert_eq!(restarting["status"], "False");
    // A later restart counts on.
    world.cri.exit(&world.running("web", "app"), 42);
    life.pass(5);
    assert_eq!(
        counts(&world),
        of([("init", 2), ("side", 2), ("app", 2), ("other", 2)])
    );
}

/// Kills the agent after the first, second, third, … call of a restart, and starts it again.
#[test]
fn it_is_finished_by_the_next_agent() {
    for calls in 1.. {
        let world = world();
        let mut life = world.start();
        life.add(&web());
        life.pass(5);
        world.cri.exit(&world.running("web", "app"), 42);
        let before = world.cri.calls().len();
        let reached = life.run_until_calls(before + calls);
        life.kill();
        let mut life = world.start_with(&[&web()]);
        life.pass(60);
        let what = format!("killed after call {calls}: {:?}", world.cri.calls());
        assert_eq!(world.phase("web"), "Running", "{what}");
        assert_eq!(world.cri.sandboxes(&uid("web")).len(), 1, "{what}");
        assert!(counts(&world).iter().all(|(_, count)| *count == 1), "{what}");
        if !reached {
            assert!(
                calls > 10,
                "two stops, four removals, four times create and start"
            );
            return;
        }
    }
}
