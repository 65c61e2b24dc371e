//! Storms: Pods under random events, with what must hold checked after each step against the runtime's truth, and in the
//! end, in good weather, that all comes to where it should be.
//!
//! A failing storm is shrunk and printed with its seed. `RUSTLET_STORM_SEED` chooses another, `PROPTEST_CASES` makes more.

mod rules;
mod script;
mod weather;

use super::World;
use super::world::Life;
use crate::cri::v1::ContainerState;
use crate::model::NamespacedName;
use crate::testing::FakeCri;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use rules::Rules;
use script::{PROBES, Script, Shape, Step, command};
use serde_json::{Value, json};
use std::time::Duration;
use weather::Weather;

/// Seed of a usual run: the same storms each time. Others are for those who look for trouble.
const SEED: u64 = 7;
/// Cases of a usual run.
const CASES: u32 = 20;
/// Longest time all takes to settle once the weather is good, seconds.
const SETTLES: u32 = 600;
/// Longest time Pods take to go then, seconds.
const GOES: u32 = 120;

#[test]
fn whatever_happens_the_rules_hold_and_all_comes_to_rest() {
    let seed = std::env::var("RUSTLET_STORM_SEED").ok();
    let seed: u64 = seed.and_then(|text| text.parse().ok()).unwrap_or(SEED);
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok());
    let config = Config {
        cases: cases.unwrap_or(CASES),
        failure_persistence: None,
        max_shrink_time: 120_000,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let done = runner.run(&script::script(), |script| {
        Storm::over(&script).map_err(TestCaseError::fail)
    });
    if let Err(error) = done {
        panic!("RUSTLET_STORM_SEED={seed}: {error}");
    }
}

#[test]
fn a_clock_that_is_set_while_a_call_fails_delays_nothing() {
    Storm::over(&script::set_clock()).unwrap();
}

/// A storm under way.
struct Storm<'a> {
    world: &'a World,
    weather: Weather,
    script: &'a Script,
    life: Option<Life<'a>>,
    pods: Vec<Pod>,
    rules: Rules,
    /// How long each init container has been running, in ticks.
    ages: std::collections::BTreeMap<String, u32>,
}

/// A place for Pods of one name: there is at most one at a time.
struct Pod {
    shape: Shape,
    name: String,
    uid: String,
    /// How many there have been.
    count: u32,
    /// As the API server has it, without its status; nothing while there is none.
    object: Option<Value>,
    /// What the watch told last.
    echoed: Value,
}

impl<'a> Storm<'a> {
    /// Runs a script; the error is the first rule that was broken.
    fn over(script: &Script) -> Result<(), String> {
        let mut world = World::new();
        world.cri.serve_image("registry.test/app:2");
        let weather = Weather::over(FakeCri::clone(&world.cri));
        world.runtime = std::sync::Arc::new(weather.clone());
        world.image_service = std::sync::Arc::new(weather.clone());
        world.longest_restart_pause = Duration::from_secs(40);
        let mut storm = Storm {
            world: &world,
            weather,
            script,
            life: Some(world.start()),
            pods: Vec::new(),
            rules: Rules::default(),
            ages: Default::default(),
        };
        for (at, shape) in script.pods.iter().enumerate() {
            let pod = Pod {
                shape: shape.clone(),
                name: format!("web{at}"),
                uid: String::new(),
                count: 0,
                object: None,
                echoed: Value::Null,
            };
            storm.pods.push(pod);
            storm.create(at);
        }
        storm.blow()
    }

    fn blow(&mut self) -> Result<(), String> {
        for (at, step) in self.script.steps.iter().enumerate() {
            self.step(step);
            self.look();
            self.unbroken(&format!("step {at}, {step:?}"))?;
        }
        self.weather.clear_up();
        self.world.api.state().away = false;
        for pod in &self.pods {
            for name in pod.shape.names() {
                for kind in PROBES {
                    let line = command(&pod.name, &name, kind);
                    self.world.cri.answer_exec(&line, Ok(Default::default()));
                }
            }
        }
        self.until(SETTLES, "the weather is good and", Self::unsettled)?;
        for at in 0..self.pods.len() {
            self.delete(at, 1);
        }
        self.until(GOES, "all Pods are deleted and", Self::left)
    }

    fn unbroken(&self, when: &str) -> Result<(), String> {
        match self.rules.broken.first() {
            Some(broken) => Err(format!("{when}: {broken}\n{}", self.picture())),
            None => Ok(()),
        }
    }

    /// Lets time pass until nothing is wrong.
    fn until(
        &mut self,
        seconds: u32,
        when: &str,
        wrong: impl Fn(&Self) -> Option<String>,
    ) -> Result<(), String> {
        for _ in 0..seconds {
            if wrong(self).is_none() {
                return Ok(());
            }
            self.pass(10);
            self.unbroken(when)?;
        }
        match wrong(self) {
            Some(why) => Err(format!("{when} after {seconds} s {why}\n{}", self.picture())),
            None => Ok(()),
        }
    }

    fn step(&mut self, step: &Step) {
        let pods = self.pods.len();
        match step {
            Step::Wait(tenths) => self.pass(*tenths),
            Step::Add(pod) => self.create(pod % pods),
            Step::EditImage(pod, container) => self.edit_image(pod % pods, *container),
            Step::EditLabel(pod) => {
                if let Some(object) = &mut self.pods[pod % pods].object {
                    let count = object["metadata"]["labels"]["count"].as_str().map_or(0, str::len);
                    object["metadata"]["labels"] = json!({"count": "x".repeat(count + 1)});
                    self.echo(pod % pods);
                }
            }
            Step::Delete { pod, grace } => self.delete(pod % pods, *grace),
            Step::ForceDelete(pod) => {
                let pod = &self.pods[pod % pods];
                if pod.object.is_some() {
                    self.world.api.state().pods.remove(&key(&pod.name));
                    self.rules.delete(&pod.uid.clone(), 0);
                }
                self.follow();
            }
            Step::Exit { pod, container, code } => {
                if let Some(id) = self.running(pod % pods, *container) {
                    self.world.cri.exit(&id.as_str().into(), *code);
                }
            }
            Step::KillSandbox(pod) => {
                let uid = self.pods[pod % pods].uid.as_str().into();
                for id in self.world.cri.sandboxes(&uid) {
                    self.world.cri.kill_sandbox(&id);
                }
            }
            Step::LoseContainer(pod, container) => self.lose(pod % pods, *container),
            Step::Fault(fault) => self.weather.fault(fault.clone()),
            Step::Mishap(mishap) => self.weather.mishap(*mishap),
            Step::CutEvents => self.world.cri.cut_events(),
            Step::Slow(tenths) => self.weather.slow(Duration::from_millis(u64::from(*tenths) * 100)),
            Step::ApiAway(away) => self.world.api.state().away = *away,
            Step::Relist => {
                let pods: Vec<Value> = self.pods.iter().filter_map(|pod| pod.object.clone()).collect();
                if let Some(life) = &mut self.life {
                    life.relist(&pods);
                }
            }
            Step::Echo(pod) => self.echo(pod % pods),
            Step::Kill { polls, away } => self.kill(*polls, *away),
            Step::Probe {
                pod,
                container,
                kind,
                healthy,
            } => {
                let pod = &self.pods[pod % pods];
                let names = pod.shape.names();
                let line = command(&pod.name, &names[container % names.len()], PROBES[*kind]);
                let exit_code = i32::from(!healthy);
                let answer = crate::cri::ExecOutput {
                    exit_code,
                    ..Default::default()
                };
                self.world.cri.answer_exec(&line, Ok(answer));
            }
            Step::Clock(seconds) => {
                self.world.step_clock(*seconds);
                self.rules.clock_set();
            }
        }
    }

    fn create(&mut self, at: usize) {
        let pod = &mut self.pods[at];
        if pod.object.is_some() {
            return;
        }
        pod.count += 1;
        pod.uid = format!("uid-{}-{}", pod.name, pod.count);
        let object = pod.shape.pod(&pod.name, &pod.uid);
        self.rules.add(&pod.uid, &pod.shape);
        for container in pod.shape.stubborn() {
            self.weather.stubborn(&pod.uid, &container);
        }
        pod.object = Some(object.clone());
        pod.echoed = json!({});
        self.world.know(&object);
        self.echo(at);
    }

    fn edit_image(&mut self, at: usize, container: usize) {
        let pod = &mut self.pods[at];
        let Some(object) = &mut pod.object else { return };
        let mains = object["spec"]["containers"].as_array_mut().unwrap();
        let index = container % mains.len();
        let image = match mains[index]["image"].as_str() {
            Some("registry.test/app:1") => "registry.test/app:2",
            _ => "registry.test/app:1",
        };
        mains[index]["image"] = image.into();
        let generation = object["metadata"]["generation"].as_i64().unwrap_or(1);
        object["metadata"]["generation"] = (generation + 1).into();
        self.rules.excuse(&pod.uid, &script::main_name(index));
        self.echo(at);
    }

    fn delete(&mut self, at: usize, grace: i64) {
        let now = self.world.now();
        let pod = &mut self.pods[at];
        let Some(object) = &mut pod.object else { return };
        let meta = &mut object["metadata"];
        if meta["deletionGracePeriodSeconds"]
            .as_i64()
            .is_some_and(|before| before <= grace)
        {
            return;
        }
        meta["deletionTimestamp"] = (now + jiff::SignedDuration::from_secs(grace)).to_string().into();
        meta["deletionGracePeriodSeconds"] = grace.into();
        self.rules.delete(&pod.uid, u64::try_from(grace).unwrap() * 10);
        self.echo(at);
    }

    /// Somebody removes a container, whatever it does.
    fn lose(&mut self, at: usize, container: usize) {
        let pod = &self.pods[at];
        let all = self.weather.containers();
        let of_pod: Vec<_> = all.iter().filter(|(_, c)| c.pod == pod.uid).collect();
        if of_pod.is_empty() {
            return;
        }
        let (id, lost) = of_pod[container % of_pod.len()];
        self.world.cri.lose_container(&id.as_str().into());
        let uid = pod.uid.clone();
        self.rules.rob(&uid, &lost.name);
    }

    fn running(&self, at: usize, container: usize) -> Option<String> {
        let uid = &self.pods[at].uid;
        let all = self.weather.containers();
        let running: Vec<_> = all
            .iter()
            .filter(|(_, c)| c.pod == *uid && c.state == ContainerState::ContainerRunning)
            .collect();
        let at = container.checked_rem(running.len())?;
        Some(running[at].0.clone())
    }

    /// SIGKILL somewhere, and another life later.
    fn kill(&mut self, polls: u32, away: u32) {
        if let Some(mut life) = self.life.take() {
            life.polls(polls);
            life.kill();
        }
        self.look();
        for _ in 0..away {
            self.world.advance(Duration::from_millis(100));
            self.rules.tick();
            self.age();
        }
        self.follow();
        let pods: Vec<Value> = self.pods.iter().filter_map(|pod| pod.object.clone()).collect();
        self.life = Some(self.world.start_with(&pods.iter().collect::<Vec<_>>()));
    }

    fn pass(&mut self, tenths: u32) {
        for _ in 0..tenths {
            self.rules.tick();
            if let Some(life) = &mut self.life {
                life.tick(Duration::from_millis(100));
            }
            self.look();
            self.age();
            self.follow();
        }
    }

    /// Holds what has happened against the rules.
    fn look(&mut self) {
        self.rules.take(self.weather.facts());
        for pod in &self.pods {
            let status = self.world.status(&pod.name);
            if pod.object.is_some() && status.is_object() {
                self.rules.told(&pod.uid, &status);
            }
        }
    }

    /// Init containers end by themselves after a while.
    fn age(&mut self) {
        for (id, container) in self.weather.containers() {
            let shape = self
                .pods
                .iter()
                .find(|pod| pod.uid == container.pod)
                .map(|pod| &pod.shape);
            let once =
                shape.is_some_and(|s| s.init(&container.name).is_some() && !s.sidecar(&container.name));
            if !once || container.state != ContainerState::ContainerRunning {
                continue;
            }
            let age = self.ages.entry(id.clone()).or_default();
            *age += 1;
            if *age > 5 {
                self.world.cri.exit(&id.as_str().into(), 0);
            }
        }
    }

    /// The watch tells what the API server has.
    fn follow(&mut self) {
        for at in 0..self.pods.len() {
            let pod = &self.pods[at];
            let Some(object) = pod.object.clone() else {
                continue;
            };
            let there = self.world.api.state().pods.contains_key(&key(&pod.name));
            if !there {
                self.pods[at].object = None;
                if let Some(life) = &mut self.life {
                    life.gone(&object);
                }
            } else if self.world.status(&pod.name) != pod.echoed {
                self.echo(at);
            }
        }
    }

    fn echo(&mut self, at: usize) {
        let pod = &mut self.pods[at];
        if let Some(object) = &pod.object {
            pod.echoed = self.world.status(&pod.name);
            if let Some(life) = &mut self.life {
                life.echo(object);
            }
        }
    }

    /// Why it is not yet as it should be in good weather.
    fn unsettled(&self) -> Option<String> {
        let (containers, sandboxes) = (self.weather.containers(), self.weather.sandboxes());
        for pod in &self.pods {
            let runs = |name: &str| {
                containers.values().any(|c| {
                    c.pod == pod.uid && c.name == name && c.state == ContainerState::ContainerRunning
                })
            };
            let ready = sandboxes.values().filter(|s| s.pod == pod.uid && s.ready).count();
            let deleting = |object: &Value| object["metadata"]["deletionTimestamp"].is_string();
            let status = self.world.status(&pod.name);
            let phase = status["phase"].as_str().unwrap_or_default();
            let names = pod.shape.names();
            let problem = match &pod.object {
                Some(object) if deleting(object) => "is still there",
                None if containers.values().any(|c| c.pod == pod.uid) => "has containers without an object",
                None if ready > 0 => "has a sandbox without an object",
                None => continue,
                Some(_) if matches!(phase, "Succeeded" | "Failed") => {
                    if ready > 0 || names.iter().any(|name| runs(name)) {
                        "has ended and runs"
                    } else {
                        continue;
                    }
                }
                Some(_) if ready != 1 => "has not one ready sandbox",
                Some(_) if phase != "Running" => "is not Running",
                Some(_) => match disagreement(&status, &names, &runs) {
                    Some(problem) => problem,
                    None => continue,
                },
            };
            return Some(format!("{} {problem}", pod.uid));
        }
        None
    }

    /// What is left of Pods that are gone.
    fn left(&self) -> Option<String> {
        if let Some(pod) = self.pods.iter().find(|pod| pod.object.is_some()) {
            return Some(format!("{} is in the API", pod.uid));
        }
        if !self.world.cri.is_empty() {
            return Some("the runtime is not empty".into());
        }
        for dir in ["pods", "logs", "containers"] {
            let entries = std::fs::read_dir(self.world.path(dir)).into_iter().flatten();
            if let Some(entry) = entries.flatten().next() {
                return Some(format!("{} is there", entry.path().display()));
            }
        }
        None
    }

    fn picture(&self) -> String {
        let (containers, sandboxes) = (self.weather.containers(), self.weather.sandboxes());
        let calls = self.world.cri.calls();
        let last = &calls[calls.len().saturating_sub(25)..];
        let statuses = self
            .pods
            .iter()
            .map(|pod| self.world.status(&pod.name).to_string());
        let statuses: Vec<_> = statuses.collect();
        format!(
            "{containers:#?}\n{sandboxes:#?}\ncalls: {last:#?}\n{}",
            statuses.join("\n")
        )
    }
}

/// Where status and truth differ, or what should run does not.
fn disagreement(status: &Value, names: &[String], runs: &dyn Fn(&str) -> bool) -> Option<&'static str> {
    for field in ["initContainerStatuses", "containerStatuses"] {
        for one in status[field].as_array().into_iter().flatten() {
            let name = one["name"].as_str().unwrap_or_default();
            let told = one["state"]["running"].is_object();
            if told != runs(name) {
                return Some("has a status that is not true");
            }
            if !told && one["state"]["waiting"].is_object() {
                return Some("has a container that waits");
            }
            if told && one["ready"] != true {
                return Some("has a container that is not ready");
            }
        }
    }
    let told = |field: &str| status[field].as_array().map_or(0, Vec::len);
    let complete = told("initContainerStatuses") + told("containerStatuses") == names.len();
    (!complete).then_some("has not told of all containers")
}

fn key(name: &str) -> NamespacedName {
    NamespacedName::new("default", name)
}
