//! What must hold whatever happens, checked against what really happened in the runtime and what the API server was
//! told.

use super::script::{Init, Shape};
use super::weather::{Container, Fact, Sandbox};
use crate::cri::v1::ContainerState;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// All Pods there ever were, by UID, and what has been seen of them.
#[derive(Debug, Default)]
pub(super) struct Rules {
    pods: BTreeMap<String, Seen>,
    containers: BTreeMap<String, Container>,
    sandboxes: BTreeMap<String, Sandbox>,
    /// Counts steps of the clock.
    tick: u64,
    /// Rules that were broken.
    pub(super) broken: Vec<String>,
}

#[derive(Debug)]
struct Seen {
    shape: Shape,
    /// When it was to go, and how much time it was given, in ticks.
    deleted: Option<(u64, u64)>,
    /// Terminal phase the API server was told, and when.
    over: Option<(String, u64)>,
    counts: BTreeMap<String, i64>,
    /// (sandbox, container) → exit codes.
    ended: BTreeMap<(String, String), Vec<i32>>,
    /// (sandbox, container) that have run.
    began: BTreeSet<(String, String)>,
    /// Exit code of the last instance.
    last: BTreeMap<String, i32>,
    /// Somebody has removed containers: what they tell of the past is gone.
    robbed: bool,
    /// Containers that may start once more than they should: edited, or lost.
    excused: BTreeMap<String, u32>,
}

impl Rules {
    pub(super) fn add(&mut self, uid: &str, shape: &Shape) {
        let seen = Seen {
            shape: shape.clone(),
            deleted: None,
            over: None,
            counts: BTreeMap::new(),
            ended: BTreeMap::new(),
            began: BTreeSet::new(),
            last: BTreeMap::new(),
            robbed: false,
            excused: BTreeMap::new(),
        };
        self.pods.insert(uid.into(), seen);
    }

    pub(super) fn delete(&mut self, uid: &str, grace_ticks: u64) {
        let tick = self.tick;
        if let Some(seen) = self.pods.get_mut(uid) {
            let (asked, end) = seen.deleted.unwrap_or((tick, u64::MAX));
            seen.deleted = Some((asked, end.min(tick + grace_ticks)));
        }
    }

    /// By the new time, the grace of what is to go may be over.
    pub(super) fn clock_set(&mut self) {
        let ends = self.pods.values_mut().filter_map(|seen| seen.deleted.as_mut());
        ends.for_each(|(_, end)| *end = self.tick.min(*end));
    }

    pub(super) fn rob(&mut self, uid: &str, container: &str) {
        self.excuse(uid, container);
        if let Some(seen) = self.pods.get_mut(uid) {
            seen.robbed = true;
        }
    }

    pub(super) fn excuse(&mut self, uid: &str, container: &str) {
        if let Some(seen) = self.pods.get_mut(uid) {
            *seen.excused.entry(container.into()).or_default() += 1;
        }
    }

    pub(super) fn tick(&mut self) {
        self.tick += 1;
    }

    pub(super) fn take(&mut self, facts: Vec<Fact>) {
        for fact in facts {
            match fact {
                Fact::Asked { call, pod, id, name } => self.asked(call, &pod, &id, &name),
                Fact::Sandbox { id, was, now } => self.sandbox(&id, was.as_ref(), now),
                Fact::Container { id, was, now } => self.container(&id, was, now),
            }
        }
    }

    /// What the API server has of a Pod.
    pub(super) fn told(&mut self, uid: &str, status: &Value) {
        let Some(seen) = self.pods.get_mut(uid) else {
            return;
        };
        let phase = status["phase"].as_str().unwrap_or_default();
        match &seen.over {
            Some((over, _)) if over != phase => {
                self.broken.push(format!("{uid}: {over} became {phase:?}"));
            }
            None if matches!(phase, "Succeeded" | "Failed") => {
                seen.over = Some((phase.into(), self.tick));
            }
            _ => {}
        }
        for field in ["initContainerStatuses", "containerStatuses"] {
            for one in status[field].as_array().into_iter().flatten() {
                let name = one["name"].as_str().unwrap_or_default();
                let count = one["restartCount"].as_i64().unwrap_or_default();
                let before = seen.counts.insert(name.into(), count).unwrap_or(0);
                if count < before {
                    self.broken.push(format!(
                        "{uid}: restart count of {name} fell from {before} to {count}"
                    ));
                }
            }
        }
    }

    fn asked(&mut self, call: &'static str, uid: &str, id: &str, name: &str) {
        let runs = |c: &Container| c.state == ContainerState::ContainerRunning;
        let Some(seen) = self.pods.get(uid) else { return };
        if matches!(call, "RunPodSandbox" | "CreateContainer" | "StartContainer") {
            // In the step of the clock after it is asked, the agent may not have heard of it.
            if seen.deleted.is_some_and(|(asked, _)| asked + 1 < self.tick) {
                self.broken
                    .push(format!("{uid}: {call} {name} after its deletion"));
            }
            if seen.over.as_ref().is_some_and(|(_, told)| *told < self.tick) {
                self.broken.push(format!("{uid}: {call} {name} after its end"));
            }
        }
        if call == "RemoveContainer" && self.containers.get(id).is_some_and(runs) {
            self.broken
                .push(format!("{uid}: {name} is removed while it runs"));
        }
        let inside = || self.containers.values().filter(|c| c.sandbox == id && runs(c));
        if matches!(call, "RemovePodSandbox" | "StopPodSandbox") {
            for c in inside() {
                self.broken.push(format!("{uid}: {call} while {} runs", c.name));
            }
        }
        if call == "StopContainer"
            && seen.shape.sidecar(name)
            && seen
                .deleted
                .is_some_and(|(asked, end)| asked < self.tick && self.tick < end)
        {
            // What is in a dead sandbox may have been given its time before. Once the grace is over all are killed at
            // once, which is not a StopContainer here.
            let alive = |c: &Container| self.sandboxes.get(&c.sandbox).is_some_and(|s| s.ready);
            let of_pod = self.containers.values().filter(|c| c.pod == uid && runs(c));
            for main in of_pod.filter(|c| alive(c) && seen.shape.main(&c.name)) {
                self.broken
                    .push(format!("{uid}: sidecar {name} is stopped before {}", main.name));
            }
        }
    }

    fn sandbox(&mut self, id: &str, was: Option<&Sandbox>, now: Option<Sandbox>) {
        let ready = |s: &Sandbox| s.ready;
        if let Some(new) = now.as_ref().filter(|s| s.ready && !was.is_some_and(ready))
            && self.sandboxes.values().any(|s| s.pod == new.pod && s.ready)
        {
            self.broken.push(format!("{}: two ready sandboxes", new.pod));
        }
        match now {
            Some(now) => drop(self.sandboxes.insert(id.into(), now)),
            None => drop(self.sandboxes.remove(id)),
        }
    }

    fn container(&mut self, id: &str, was: Option<Container>, now: Option<Container>) {
        let runs = |c: &Option<Container>| {
            c.as_ref()
                .is_some_and(|c| c.state == ContainerState::ContainerRunning)
        };
        if let Some(new) = now.as_ref().filter(|_| runs(&now) && !runs(&was)) {
            self.started(new);
        }
        if let Some(old) = was.as_ref().filter(|_| runs(&was) && !runs(&now)) {
            // Who removes a running container leaves nobody its exit code.
            let code = now.as_ref().map_or(137, |c| c.exit_code);
            if let Some(seen) = self.pods.get_mut(&old.pod) {
                let key = (old.sandbox.clone(), old.name.clone());
                seen.ended.entry(key).or_default().push(code);
                seen.last.insert(old.name.clone(), code);
            }
        }
        match now {
            Some(now) => drop(self.containers.insert(id.into(), now)),
            None => drop(self.containers.remove(id)),
        }
    }

    fn started(&mut self, new: &Container) {
        let running = self
            .containers
            .values()
            .filter(|c| c.pod == new.pod && c.state == ContainerState::ContainerRunning);
        let running: Vec<String> = running.map(|c| c.name.clone()).collect();
        let known = self.containers.values().filter(|c| c.sandbox == new.sandbox);
        let known = known.filter(|c| c.state != ContainerState::ContainerCreated);
        let known: BTreeSet<String> = known.map(|c| c.name.clone()).collect();
        let Some(seen) = self.pods.get_mut(&new.pod) else {
            return;
        };
        let mut problems = Vec::new();
        if running.contains(&new.name) {
            problems.push("runs twice".to_owned());
        }
        problems.extend(seen.order(new, &running, &known));
        if let Some(again) = seen.again(new) {
            match seen.excused.get_mut(&new.name).filter(|times| **times > 0) {
                Some(times) => *times -= 1,
                None => problems.push(again),
            }
        }
        seen.began.insert((new.sandbox.clone(), new.name.clone()));
        let words = problems
            .into_iter()
            .map(|problem| format!("{}: {} {problem}", new.pod, new.name));
        self.broken.extend(words);
    }
}

impl Seen {
    /// Init containers one after the other, sidecars as they come, then the main ones.
    fn order(&self, new: &Container, running: &[String], known: &BTreeSet<String>) -> Vec<String> {
        let mut problems = Vec::new();
        let key = |name: &str| (new.sandbox.clone(), name.to_owned());
        let began = |name: &String| {
            let was = !self.robbed && self.began.contains(&key(name));
            was || known.contains(name)
        };
        let mut mains = (0..self.shape.mains.len()).map(super::script::main_name);
        let mains_began = mains.any(|name| began(&name));
        let before = self.shape.init(&new.name).unwrap_or(self.shape.inits.len());
        let names = self.shape.names();
        for (name, init) in names.iter().zip(&self.shape.inits).take(before) {
            let fulfilled = match init {
                Init::Once => self.ended.get(&key(name)).is_some_and(|codes| codes.contains(&0)),
                Init::Sidecar { .. } => self.began.contains(&key(name)),
            };
            if !fulfilled && !mains_began {
                problems.push(format!("starts before {name}"));
            }
        }
        let once = |name: &str| {
            self.shape
                .init(name)
                .is_some_and(|at| self.shape.inits[at] == Init::Once)
        };
        if once(&new.name) {
            if mains_began {
                problems.push("starts after the main containers".into());
            }
            if let Some(other) = running.iter().find(|other| once(other) && **other != new.name) {
                problems.push(format!("starts beside {other}"));
            }
        }
        problems
    }

    /// A start that should not be, for what there was before.
    fn again(&self, new: &Container) -> Option<String> {
        let code = *self.last.get(&new.name)?;
        let once = self.shape.init(&new.name).is_some();
        if self.shape.sidecar(&new.name) {
            return None;
        }
        let here = self.ended.get(&(new.sandbox.clone(), new.name.clone()));
        if once && here.is_some_and(|codes| codes.contains(&0)) {
            return Some("starts again after a success".into());
        }
        let again = match self.shape.policy {
            "Never" => false,
            "OnFailure" => once || code != 0,
            _ => true,
        };
        (!again).then(|| {
            format!(
                "starts again after exit code {code}, policy {}",
                self.shape.policy
            )
        })
    }
}
