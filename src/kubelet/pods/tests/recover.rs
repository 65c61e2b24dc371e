//! What a killed agent leaves to the next one.
//!
//! | lost with the process | where the next agent finds it | upstream |
//! |---|---|---|
//! | started, ready | the Pod's status, of the same instance | the same; ready only as a whole Pod, and a container whose startup probe is under way passes for started |
//! | results of a probe in a row | notes | counts from none |
//! | crash backoff | annotation of the newest instance | begins anew |
//! | backoff of pulls and sandboxes | nowhere: tried at once | the same |
//! | restart count | runtime, status | runtime, names of logs |
//! | active deadline | `status.startTime` | the same |
//! | postStart cut off | nowhere: the container runs, the hook is not run again | the same |
//! | preStop, grace under way | notes: the rest of the grace; the hook runs again in it | hook and whole grace again |
//! | init containers done and removed | a container that was created | the same |
//! | granted resources | `status.containerStatuses[].allocatedResources` | a file |
//! | starting all over | condition `AllContainersRestarting` | the same |
//! | last words | the file, named by container and attempt | path in an annotation |
//! | eviction or preemption not yet told | nowhere: judged again | the same |
//! | deleted, deleted by force, made anew meanwhile | the list of the API server, by UID | the same |
//! | spec changed meanwhile | hash in an annotation | the same |
//! | sandbox died meanwhile | runtime | the same |

use super::world::Life;
use super::{World, container, pod, uid};
use crate::cri::ExecOutput;
use serde_json::{Value, json};

fn answer(world: &World, command: &str, exit_code: i32) {
    let output = ExecOutput {
        exit_code,
        ..ExecOutput::default()
    };
    world.cri.answer_exec(command, Ok(output));
}

fn exec(command: &str, more: Value) -> Value {
    let mut probe = more;
    probe["exec"] = json!({"command": [command]});
    probe
}

fn status_of(world: &World, pod: &str, name: &str) -> Value {
    let status = world.status(pod);
    let lists = ["initContainerStatuses", "containerStatuses"];
    let mut all = lists
        .iter()
        .flat_map(|list| status[list].as_array().cloned().unwrap_or_default());
    all.find(|s| s["name"] == name).unwrap_or_default()
}

fn count(world: &World, call: &str) -> usize {
    let calls = world.cri.calls();
    calls.iter().filter(|c| c.starts_with(call)).count()
}

#[test]
fn probes_go_on_counting() {
    let world = World::new();
    let mut app = container("app");
    app["readinessProbe"] = exec("ready", json!({"periodSeconds": 10, "failureThreshold": 3}));
    app["livenessProbe"] = exec("live", json!({"periodSeconds": 10, "failureThreshold": 3}));
    let web = pod("web", json!({"containers": [app]}));
    let mut life = world.start();
    life.add(&web);
    life.pass(15);
    assert_eq!(status_of(&world, "web", "app")["ready"], true);
    answer(&world, "ready", 1);
    answer(&world, "live", 1);
    let probed = count(&world, "ExecSync");
    life.pass(20);
    assert_eq!(
        count(&world, "ExecSync") - probed,
        4,
        "two of three failures each"
    );
    assert_eq!(status_of(&world, "web", "app")["ready"], true);
    life.kill();
    let mut life = world.start_with(&[&web]);
    life.pass(1);
    assert_eq!(status_of(&world, "web", "app")["ready"], true, "nothing flips");
    life.pass(10);
    assert_eq!(count(&world, "StopContainer app/0"), 1, "the third in a row");
    life.pass(30);
    assert_eq!(status_of(&world, "web", "app")["restartCount"], 1);
}

#[test]
fn what_has_started_is_not_asked_again_and_what_was_not_ready_is_not() {
    let world = World::new();
    let mut app = container("app");
    app["startupProbe"] = exec("start", json!({"periodSeconds": 1}));
    app["readinessProbe"] = exec("ready", json!({"periodSeconds": 5}));
    let web = pod("web", json!({"containers": [app]}));
    answer(&world, "ready", 1);
    let mut life = world.start();
    life.add(&web);
    life.pass(10);
    let told = |world: &World| {
        let s = status_of(world, "web", "app");
        (s["started"].clone(), s["ready"].clone())
    };
    assert_eq!(told(&world), (json!(true), json!(false)));
    life.kill();
    world.cri.take_calls();
    answer(&world, "start", 1);
    let mut life = world.start_with(&[&web]);
    life.pass(8);
    assert_eq!(told(&world), (json!(true), json!(false)));
    assert_eq!(count(&world, "ExecSync app/0 start"), 0);
    answer(&world, "ready", 0);
    life.pass(6);
    assert_eq!(told(&world), (json!(true), json!(true)));
    assert_eq!(count(&world, "StopContainer"), 0);
}

#[test]
fn a_crash_loop_goes_on_where_it_was() {
    let world = World::new();
    world.cri.exit_at_start("app", 1);
    let web = pod("web", json!({"containers": [container("app")]}));
    let mut life = world.start();
    life.add(&web);
    // Starts at 0, 0, 10, 30 and 70 s.
    life.pass(80);
    assert_eq!(count(&world, "StartContainer"), 5);
    let words = || {
        status_of(&world, "web", "app")["state"]["waiting"]["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    assert!(words().starts_with("back-off 1m20s "), "{}", words());
    life.kill();
    let mut life = world.start_with(&[&web]);
    life.pass(60);
    assert!(words().starts_with("back-off 1m20s "), "{}", words());
    assert_eq!(count(&world, "StartContainer"), 5);
    life.pass(15);
    assert_eq!(count(&world, "StartContainer"), 6, "at 150 s");
    assert!(words().starts_with("back-off 2m40s "), "{}", words());
}

#[test]
fn a_stop_under_way_gets_the_rest_of_its_grace() {
    let world = World::new();
    let mut app = container("app");
    app["lifecycle"] = json!({"preStop": {"sleep": {"seconds": 1000}}});
    let web = pod(
        "web",
        json!({"containers": [app], "terminationGracePeriodSeconds": 30}),
    );
    let mut life = world.start();
    life.add(&web);
    life.pass(3);
    life.delete(&web, 30);
    life.pass(20);
    assert_eq!(count(&world, "StopContainer"), 0, "the hook runs");
    life.kill();
    let mut life = world.start_deleting_with(&web, 30);
    life.pass(8);
    assert_eq!(count(&world, "StopContainer"), 0);
    life.pass(4);
    assert_eq!(count(&world, "StopContainer app/0 2"), 1, "after 30 s in all");
    assert!(world.cri.is_empty());
    assert_eq!(world.api.state().deleted.len(), 1);
}

#[test]
fn a_deletion_nobody_has_begun_gets_all_of_its_grace() {
    let world = World::new();
    let web = pod(
        "web",
        json!({"containers": [container("app")], "terminationGracePeriodSeconds": 30}),
    );
    let mut life = world.start();
    life.add(&web);
    life.pass(3);
    life.kill();
    let mut life = world.start_deleting_with(&web, 30);
    life.pass(3);
    assert_eq!(count(&world, "StopContainer app/0 30"), 1);
}

/// What happens to a Pod after it has come up.
#[derive(Clone, Copy)]
enum Then {
    Nothing,
    /// A container exits.
    Exit(&'static str, i32),
    /// A probe fails from now on, until there is another container.
    Fail(&'static str),
    /// Somebody deletes it, with this grace.
    Delete(i64),
    /// Its container `app` gets another image.
    Image,
    /// Its sandbox dies.
    Sandbox,
}

struct Scenario {
    name: &'static str,
    spec: Value,
    then: Then,
    /// Commands that fail from the beginning.
    failing: &'static [&'static str],
    /// Containers that end as soon as they start.
    ends: &'static [(&'static str, i32)],
}

fn scenarios() -> Vec<Scenario> {
    let plain = || json!({"containers": [container("app"), container("other")]});
    let with = |key: &str, value: Value| {
        let mut app = container("app");
        app[key] = value;
        app
    };
    let mut side = container("side");
    side["restartPolicy"] = "Always".into();
    side["startupProbe"] = exec("side-up", json!({"periodSeconds": 1}));
    let init = json!({"initContainers": [container("init"), side, container("init2")], "containers": [container("app")]});
    let mut probed = with("startupProbe", exec("up", json!({"periodSeconds": 1})));
    probed["readinessProbe"] = exec("ready", json!({"periodSeconds": 1}));
    probed["livenessProbe"] = exec("live", json!({"periodSeconds": 1, "failureThreshold": 2}));
    let probed = json!({"containers": [probed]});
    let hooks =
        json!({"postStart": {"exec": {"command": ["hello"]}}, "preStop": {"exec": {"command": ["bye"]}}});
    let hooked = json!({"containers": [with("lifecycle", hooks)]});
    let over = json!([{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}]);
    let mut app = with("restartPolicyRules", over);
    app["restartPolicy"] = "Never".into();
    let over = json!({"initContainers": [container("init")], "containers": [app, container("other")]});
    let of = |name, spec, then| Scenario {
        name,
        spec,
        then,
        failing: &[],
        ends: &[("init", 0), ("init2", 0)],
    };
    let mut never = plain();
    never["restartPolicy"] = "Never".into();
    let mut limited = plain();
    limited["activeDeadlineSeconds"] = 20.into();
    vec![
        of("containers", plain(), Then::Nothing),
        of("init containers and a sidecar", init.clone(), Then::Nothing),
        of("a deleted sidecar", init, Then::Delete(5)),
        of("hooks", hooked.clone(), Then::Delete(5)),
        of("an exit", plain(), Then::Exit("app", 1)),
        of("an end for good", never, Then::Exit("app", 1)),
        of("a deadline", limited, Then::Nothing),
        of("another image", hooked, Then::Image),
        of("a dead sandbox", plain(), Then::Sandbox),
        of("all over", over, Then::Exit("app", 42)),
        of("a failed liveness probe", probed.clone(), Then::Fail("live")),
        Scenario {
            failing: &["ready"],
            ..of("not ready", probed.clone(), Then::Nothing)
        },
        Scenario {
            ends: &[("app", 1)],
            ..of("a crash loop", plain(), Then::Nothing)
        },
    ]
}

impl Scenario {
    /// The Pod as the API server has it in the end.
    fn pod(&self, changed: bool) -> Value {
        let mut web = pod("web", self.spec.clone());
        if changed && matches!(self.then, Then::Image) {
            web["spec"]["containers"][0]["image"] = "registry.test/app:2".into();
            web["metadata"]["generation"] = 2.into();
        }
        web
    }

    fn act(&self, world: &World, life: &mut Life<'_>) {
        match self.then {
            Then::Nothing => {}
            Then::Exit(name, code) => world.cri.exit(&world.running("web", name), code),
            Then::Fail(command) => answer(world, command, 1),
            Then::Delete(grace) => life.delete(&self.pod(false), grace),
            Then::Image => life.echo(&self.pod(true)),
            Then::Sandbox => world.cri.kill_sandbox(&world.cri.sandboxes(&uid("web"))[0]),
        }
    }

    /// The next agent.
    fn next<'a>(&self, world: &'a World, acted: bool) -> Life<'a> {
        match self.then {
            Then::Delete(grace) if acted => world.start_deleting_with(&self.pod(true), grace),
            _ => world.start_with(&[&self.pod(acted)]),
        }
    }

    /// Lives through it, with an agent that is killed after so many calls to the runtime. Returns what is in the end, and
    /// whether the agent was killed at all.
    fn live(&self, killed_after: usize) -> (Value, bool) {
        let world = World::new();
        world.cri.serve_image("registry.test/app:2");
        self.failing.iter().for_each(|command| answer(&world, command, 1));
        self.ends
            .iter()
            .for_each(|(name, code)| world.cri.exit_at_start(name, *code));
        let mut life = world.start();
        life.add(&self.pod(false));
        let mut killed = life.run_until_calls(killed_after);
        if killed {
            life.kill();
            life = self.next(&world, false);
        }
        life.rest(8);
        self.act(&world, &mut life);
        if !killed {
            killed = life.run_until_calls(killed_after);
            if killed {
                life.kill();
                life = self.next(&world, true);
            }
        }
        if let Then::Fail(command) = self.then {
            let failed = (0..30).any(|_| {
                life.rest(1);
                count(&world, "StopContainer app/0") > 0
            });
            assert!(failed, "{}", self.name);
            answer(&world, command, 0);
        }
        life.rest(25);
        (outcome(&world), killed)
    }
}

/// All there is, without times and ids.
fn outcome(world: &World) -> Value {
    let mut status = world.status("web");
    let told = |list: &Value| -> Vec<Value> {
        let one = |s: &Value| {
            let mut state = s["state"].clone();
            ["startedAt", "finishedAt", "containerID"].iter().for_each(|key| {
                ["running", "terminated"].iter().for_each(|kind| {
                    if let Some(state) = state[kind].as_object_mut() {
                        state.remove(*key);
                    }
                });
            });
            json!([s["name"], s["ready"], s["started"], s["restartCount"], state])
        };
        list.as_array().into_iter().flatten().map(one).collect()
    };
    let (init, main) = (
        told(&status["initContainerStatuses"]),
        told(&status["containerStatuses"]),
    );
    json!({
        "phase": status["phase"].take(), "init": init, "main": main,
        "sandboxes": world.cri.sandboxes(&uid("web")).len(),
        "deleted": world.api.state().deleted.len(),
        "directory": world.path("pods/uid-web").exists(),
        "logs": world.path("logs/default_web_uid-web").exists(),
    })
}

/// Kills the agent after the first, second, third, … call of every scenario.
#[test]
fn a_kill_at_any_call_changes_nothing_in_the_end() {
    for scenario in scenarios() {
        let (want, _) = scenario.live(usize::MAX);
        for calls in 1.. {
            let (end, killed) = scenario.live(calls);
            assert_eq!(end, want, "{}: killed after call {calls}", scenario.name);
            if !killed {
                assert!(calls > 5, "{}: {calls} calls", scenario.name);
                break;
            }
        }
    }
}
