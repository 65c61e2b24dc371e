//! A Pod that asks for other resources while it runs.

use super::{World, container, pod};
use serde_json::{Value, json};

fn sized(cpu: &str, memory: &str, generation: i64) -> Value {
    let mut app = container("app");
    app["resources"] =
        json!({"requests": {"cpu": cpu, "memory": memory}, "limits": {"cpu": cpu, "memory": memory}});
    let mut pod = pod("web", json!({"containers": [app]}));
    pod["metadata"]["generation"] = generation.into();
    pod
}

fn updates(world: &World) -> usize {
    let calls = world.cri.calls();
    calls
        .iter()
        .filter(|c| c.starts_with("UpdateContainerResources"))
        .count()
}

fn told(world: &World) -> Value {
    world.status("web")["containerStatuses"][0].clone()
}

fn condition(world: &World, kind: &str) -> Option<Value> {
    let status = world.status("web");
    let mut all = status["conditions"].as_array().into_iter().flatten();
    all.find(|c| c["type"] == kind).cloned()
}

#[test]
fn a_running_container_is_given_what_is_asked_for() {
    let world = World::new();
    let mut life = world.start();
    life.add(&sized("100m", "64Mi", 1));
    life.pass(3);
    assert_eq!(updates(&world), 0, "a new container has what it asks for");
    let id = world.running("web", "app");
    life.add(&sized("200m", "128Mi", 2));
    life.pass(3);
    assert_eq!(updates(&world), 1);
    assert_eq!(world.running("web", "app"), id, "without a restart");
    assert_eq!(
        told(&world)["allocatedResources"],
        json!({"cpu": "200m", "memory": "128Mi"})
    );
    assert_eq!(
        told(&world)["resources"]["limits"],
        json!({"cpu": "200m", "memory": "128Mi"})
    );
    assert_eq!(world.status("web")["observedGeneration"], 2);
    assert_eq!(condition(&world, "PodResizeInProgress"), None);
    for event in ["ResizeStarted", "ResizeCompleted"] {
        assert_eq!(
            world.told().iter().filter(|told| **told == event).count(),
            1,
            "{event}"
        );
    }
    life.pass(60);
    assert_eq!(updates(&world), 1);
}

#[test]
fn what_there_is_no_room_for_waits() {
    let world = World::new();
    let mut life = world.start();
    life.add(&sized("100m", "64Mi", 1));
    life.pass(3);
    life.add(&sized("5", "64Mi", 2));
    life.pass(3);
    let pending = condition(&world, "PodResizePending").unwrap();
    assert_eq!(
        (&pending["status"], &pending["reason"]),
        (&json!("True"), &json!("Infeasible"))
    );
    assert_eq!(told(&world)["allocatedResources"]["cpu"], "100m");
    assert_eq!((updates(&world), world.phase("web").as_str()), (0, "Running"));
    // An agent that starts now knows from the status what was granted.
    life.kill();
    let mut life = world.start_with(&[&sized("5", "64Mi", 2)]);
    life.pass(5);
    assert_eq!(updates(&world), 0);
    assert_eq!(told(&world)["allocatedResources"]["cpu"], "100m");
    life.add(&sized("1", "64Mi", 3));
    life.pass(3);
    assert_eq!(updates(&world), 1);
    assert_eq!(condition(&world, "PodResizePending"), None);
    assert_eq!(told(&world)["resources"]["limits"]["cpu"], "1");
}

#[test]
fn a_container_that_cannot_be_resized_while_it_runs_is_restarted() {
    let world = World::new();
    let mut life = world.start();
    let policy = json!([{"resourceName": "memory", "restartPolicy": "RestartContainer"}]);
    let with_policy = |mut pod: Value| {
        pod["spec"]["containers"][0]["resizePolicy"] = policy.clone();
        pod
    };
    life.add(&with_policy(sized("100m", "64Mi", 1)));
    life.pass(3);
    life.add(&with_policy(sized("200m", "64Mi", 2)));
    life.pass(3);
    assert_eq!((updates(&world), &told(&world)["restartCount"]), (1, &json!(0)));
    life.add(&with_policy(sized("200m", "128Mi", 3)));
    life.pass(5);
    assert_eq!((updates(&world), &told(&world)["restartCount"]), (1, &json!(1)));
    assert_eq!(told(&world)["resources"]["limits"]["memory"], "128Mi");
}
