//! Static Pods and their mirrors.

use super::shutdown::ended;
use super::world::Life;
use super::{World, container, pod};
use crate::config::{ShutdownConfig, ShutdownPeriod};
use crate::model::pod::{CONFIG_HASH, CONFIG_MIRROR};
use crate::model::{ContainerId, PodUid};
use serde_json::{Value, json};

const WEB: &str = "web-worker-1";

/// A node whose Node exists and whose manifests are in a directory.
fn world() -> World {
    let mut world = World::new();
    let dir = world.path("manifests");
    std::fs::create_dir(&dir).unwrap();
    world.manifests = Some(dir);
    let node = json!({"metadata": {"name": "worker-1", "uid": "uid-of-node"}});
    world.api.state().nodes.insert(String::new(), node);
    world.cri.serve_image("registry.test/app:2");
    world
}

fn write(world: &World, image: &str) {
    let mut app = container("app");
    app["image"] = format!("registry.test/app:{image}").into();
    let manifest = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"},
        "spec": {"containers": [app], "terminationGracePeriodSeconds": 5},
    });
    let dir = world.manifests.as_ref().unwrap();
    std::fs::write(dir.join("web.json"), manifest.to_string()).unwrap();
}

fn remove(world: &World) {
    std::fs::remove_file(world.manifests.as_ref().unwrap().join("web.json")).unwrap();
}

/// The watch tells of the mirror that was created last.
fn show_mirror(world: &World, life: &mut Life<'_>) -> Value {
    let created = world.api.state().created.clone();
    let mut mirror = created.last().expect("a mirror was created").clone();
    mirror["metadata"]["uid"] = format!("created-{}", created.len()).into();
    life.echo(&mirror);
    mirror
}

fn uid_of(mirror: &Value) -> PodUid {
    mirror["metadata"]["annotations"][CONFIG_HASH]
        .as_str()
        .unwrap()
        .into()
}

fn app(world: &World) -> ContainerId {
    world.cri.container("app").expect("the container runs")
}

fn count(world: &World, call: &str) -> usize {
    world.cri.calls().iter().filter(|c| c.starts_with(call)).count()
}

/// A static Pod that runs, with a mirror that shows it.
fn mirrored<'a>(world: &'a World) -> (Life<'a>, Value) {
    write(world, "1");
    let mut life = world.start();
    life.pass(4);
    let mirror = show_mirror(world, &mut life);
    life.pass(3);
    assert_eq!(world.phase(WEB), "Running");
    (life, mirror)
}

#[test]
fn a_static_pod_runs_before_the_api_server_answers_and_is_mirrored_after() {
    let world = world();
    write(&world, "1");
    let mut life = world.start_unlisted();
    life.pass(5);
    app(&world);
    assert!(world.api.state().created.is_empty());
    life.list_nothing();
    life.pass(3);
    let mirror = show_mirror(&world, &mut life);
    let annotations = &mirror["metadata"]["annotations"];
    assert_eq!(annotations[CONFIG_MIRROR], annotations[CONFIG_HASH]);
    assert_eq!(mirror["metadata"]["ownerReferences"][0]["uid"], "uid-of-node");
    life.pass(3);
    assert_eq!(world.phase(WEB), "Running");
    assert_eq!(world.status(WEB)["observedGeneration"], Value::Null);
    assert_eq!(count(&world, "RunPodSandbox"), 1, "a mirror never runs");
    assert_eq!(world.api.state().created.len(), 1);
}

#[test]
fn a_mirror_that_somebody_deletes_comes_back_and_nothing_restarts() {
    let world = world();
    let (mut life, mirror) = mirrored(&world);
    let before = app(&world);
    // kubectl delete: the API server waits for the node to let it go.
    life.delete(&mirror, 30);
    life.pass(3);
    assert_eq!(world.api.state().deleted.len(), 1);
    life.gone(&mirror);
    show_mirror(&world, &mut life);
    life.pass(3);
    assert_eq!(world.phase(WEB), "Running", "the new mirror is told everything");
    // By force.
    world.api.state().pods.clear();
    let mirror = show_mirror(&world, &mut life);
    life.gone(&mirror);
    life.pass(3);
    show_mirror(&world, &mut life);
    life.pass(3);
    assert_eq!(world.api.state().created.len(), 3);
    assert_eq!(world.phase(WEB), "Running");
    assert_eq!(app(&world), before);
}

#[test]
fn an_edit_ends_the_old_pod_before_the_new_one_starts() {
    let world = world();
    let (mut life, mirror) = mirrored(&world);
    let old = uid_of(&mirror);
    world.cri.fail("StopContainer", tonic::Code::Unavailable, "busy");
    write(&world, "2");
    life.pass(5);
    assert_eq!(count(&world, "RunPodSandbox"), 1);
    assert_eq!(world.phase(WEB), "Running");
    assert!(
        world.api.state().deleted.is_empty(),
        "the mirror shows the old one until it has ended"
    );
    world.cri.heal("StopContainer");
    life.pass(20);
    assert!(world.cri.sandboxes(&old).is_empty());
    assert_eq!(world.api.state().deleted.len(), 1);
    life.gone(&mirror);
    let mirror = show_mirror(&world, &mut life);
    life.pass(3);
    assert_ne!(uid_of(&mirror), old);
    assert_eq!(mirror["spec"]["containers"][0]["image"], "registry.test/app:2");
    assert_eq!(world.phase(WEB), "Running");
    assert_eq!(count(&world, "RunPodSandbox"), 2);
    assert_eq!(world.status(WEB)["containerStatuses"][0]["restartCount"], 0);
}

#[test]
fn a_static_pod_goes_with_its_manifest_and_its_mirror_after_it() {
    let world = world();
    let (mut life, mirror) = mirrored(&world);
    world.cri.fail("StopContainer", tonic::Code::Unavailable, "busy");
    remove(&world);
    life.pass(5);
    assert!(world.api.state().deleted.is_empty());
    world.cri.heal("StopContainer");
    life.pass(20);
    assert!(world.cri.is_empty());
    assert_eq!(world.api.state().deleted.len(), 1);
    life.gone(&mirror);
    life.pass(3);
    assert_eq!(world.api.state().created.len(), 1);
}

#[test]
fn a_manifest_that_comes_back_restarts_its_pod_with_a_count() {
    let world = world();
    let (mut life, mirror) = mirrored(&world);
    life.echo(&mirror);
    world.cri.fail("StopContainer", tonic::Code::Unavailable, "busy");
    remove(&world);
    life.pass(2);
    write(&world, "1");
    life.pass(2);
    world.cri.heal("StopContainer");
    life.pass(20);
    assert_eq!(world.phase(WEB), "Running");
    assert_eq!(world.status(WEB)["containerStatuses"][0]["restartCount"], 1);
    assert_eq!(count(&world, "RunPodSandbox"), 2);
    assert!(world.api.state().deleted.is_empty(), "it is the same mirror");
}

#[test]
fn a_pod_that_comes_back_is_not_told_of_as_it_was_before() {
    let world = world();
    let (mut life, mirror) = mirrored(&world);
    life.echo(&mirror);
    world.api.state().away = true;
    world.cri.exit(&app(&world), 1);
    life.pass(2);
    remove(&world);
    life.pass(20);
    assert!(world.cri.is_empty());
    write(&world, "1");
    life.pass(5);
    let new = app(&world);
    world.api.state().away = false;
    life.pass(15);
    assert_eq!(world.running(WEB, "app"), new);
}

#[test]
fn a_shutdown_of_the_machine_ends_static_pods_too() {
    let mut world = world();
    world.shutdown = ShutdownConfig {
        periods: vec![ShutdownPeriod {
            priority: 0,
            seconds: 10,
        }],
        recorded: false,
    };
    let (mut life, _) = mirrored(&world);
    assert_eq!(world.logind.held(), 1);
    world.logind.prepare(true);
    life.pass(20);
    assert!(ended(&world, WEB));
    assert_eq!(world.logind.held(), 0, "the machine may go down");
    assert_eq!(count(&world, "RunPodSandbox"), 1, "it does not come back");
    assert_eq!(count(&world, "StartContainer"), 1);
}

#[test]
fn what_changed_while_the_agent_was_down_is_seen_without_the_api_server() {
    let world = world();
    let (life, mirror) = mirrored(&world);
    let old = uid_of(&mirror);
    life.kill();
    write(&world, "2");
    let mut life = world.start_unlisted();
    life.pass(20);
    assert!(world.cri.sandboxes(&old).is_empty());
    assert_eq!(count(&world, "RunPodSandbox"), 2);
    let calls = world.cri.calls();
    let place = |call: &str| calls.iter().rposition(|c| c.starts_with(call)).unwrap();
    assert!(place("RemovePodSandbox") < place("RunPodSandbox"), "{calls:#?}");
    life.kill();
    remove(&world);
    let mut life = world.start_unlisted();
    life.pass(20);
    assert!(world.cri.is_empty());
}

#[test]
fn an_agents_restart_restarts_nothing() {
    let world = world();
    let (life, mirror) = mirrored(&world);
    let (before, status) = (app(&world), world.status(WEB));
    life.kill();
    let mut life = world.start_with(&[&mirror]);
    life.pass(5);
    assert_eq!(app(&world), before);
    assert_eq!(world.status(WEB), status);
    assert_eq!(world.api.state().created.len(), 1);
}

#[test]
fn a_mirror_of_nothing_goes_and_never_runs() {
    let world = world();
    let mut stray = pod("stray", json!({"containers": [container("app")]}));
    stray["metadata"]["annotations"] = json!({CONFIG_MIRROR: "h", CONFIG_HASH: "h"});
    world.know(&stray);
    let mut life = world.start_with(&[&stray]);
    life.pass(5);
    assert_eq!(count(&world, "RunPodSandbox"), 0);
    let deleted = world.api.state().deleted.clone();
    assert_eq!(deleted.len(), 1);
    assert_eq!(deleted[0].1.as_str(), "uid-stray");
}
