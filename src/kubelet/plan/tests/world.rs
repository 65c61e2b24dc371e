//! A tiny model of a runtime, and properties that hold from any state of it.

use crate::kubelet::observed::{ContainerState, Observed, RunState, Sandbox};
use crate::kubelet::plan::{Action, Input, Intent, Memory, Plan, ProbeView, plan};
use crate::kubelet::{hash, resize};
use crate::model::ContainerId;
use crate::model::pod::{Pod, RESTART_ALL, RestartPolicy};
use crate::testing::builders::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

struct World {
    pod: Pod,
    observed: Observed,
    memory: Memory,
    probes: BTreeMap<ContainerId, ProbeView>,
    now: i64,
    next_id: u32,
    /// Ephemeral containers that were started.
    debugged: BTreeSet<Box<str>>,
}

fn alive(c: &ContainerState) -> bool {
    matches!(c.state, RunState::Running | RunState::Unknown)
}

impl World {
    fn plan(&self, intent: &Intent) -> Plan {
        plan(Input {
            pod: &self.pod,
            intent,
            observed: &self.observed,
            probes: &self.probes,
            memory: &self.memory,
            longest_pause: 300,
            now: at(self.now),
        })
    }

    fn init_done(&self, sandbox: &crate::model::SandboxId) -> bool {
        let here = |name: &str| {
            self.observed
                .containers
                .iter()
                .filter(|c| c.sandbox == *sandbox && &*c.name == name)
                .max_by_key(|c| c.attempt)
        };
        let started = |c: &ContainerState| c.state != RunState::Created;
        let began = self
            .pod
            .spec
            .containers
            .iter()
            .any(|c| here(&c.name).is_some_and(started));
        let inits = &self.pod.spec.init_containers;
        // Earlier ones may have been removed meanwhile; the last one tells.
        began
            || inits.last().is_none_or(|spec| {
                here(&spec.name).is_some_and(|c| match c.state {
                    RunState::Running => spec.is_sidecar(),
                    RunState::Exited => !spec.is_sidecar() && c.exit_code == 0,
                    _ => false,
                })
            })
    }

    fn apply(&mut self, action: &Action) {
        match action {
            Action::CreateSandbox { attempt } => {
                assert!(
                    self.observed
                        .sandboxes
                        .iter()
                        .all(|s| s.attempt < *attempt && !s.ready)
                );
                let id = format!("new{attempt}").into();
                let created = at(self.now);
                self.observed.sandboxes.insert(
                    0,
                    Sandbox {
                        id,
                        created,
                        ..sandbox(*attempt)
                    },
                );
            }
            Action::StartContainer {
                name,
                init,
                attempt,
                sandbox,
            } => {
                let newest = self.observed.newest_sandbox().unwrap();
                assert!(
                    newest.ready && newest.id == *sandbox,
                    "started in a sandbox that is not current"
                );
                assert!(
                    *init || &**name == DEBUGGER || self.init_done(sandbox),
                    "{name} started before init was done"
                );
                let same = self.observed.containers.iter().filter(|c| c.name == *name);
                assert!(
                    same.clone().all(|c| c.attempt < *attempt),
                    "attempt {attempt} of {name} used twice"
                );
                assert!(!same.clone().any(alive), "second running instance of {name}");
                let spec = self.pod.container(name).unwrap().0;
                assert!(
                    &**name != DEBUGGER || self.debugged.insert(name.clone()),
                    "an ephemeral container is started once"
                );
                self.next_id += 1;
                let fresh = ContainerState {
                    id: format!("c{}", self.next_id).into(),
                    sandbox: sandbox.clone(),
                    hash: hash::container(spec).into(),
                    ..running(name, *attempt, self.now)
                };
                self.observed.containers.insert(0, fresh);
            }
            Action::ResizeContainer { id, .. } => {
                let spec = self.pod.clone();
                let c = self.observed.containers.iter_mut().find(|c| c.id == *id).unwrap();
                assert!(alive(c), "resized a container that does not run");
                let (asked, _) = spec.container(&c.name).unwrap();
                c.limits = Some(resize::limits(&spec, asked, self.memory.cfs));
            }
            // It waits for others, which the same plan stops.
            Action::StopContainer { hold: true, .. } => {}
            Action::StopContainer { id, .. } => {
                let now = at(self.now);
                let c = self.observed.containers.iter_mut().find(|c| c.id == *id).unwrap();
                assert!(alive(c), "stopped a container that does not run");
                (c.state, c.exit_code, c.finished) = (RunState::Exited, 137, Some(now));
            }
            Action::StopSandbox { id } => {
                assert!(
                    !self
                        .observed
                        .containers
                        .iter()
                        .any(|c| c.sandbox == *id && alive(c))
                );
                self.observed
                    .sandboxes
                    .iter_mut()
                    .find(|s| s.id == *id)
                    .unwrap()
                    .ready = false;
            }
            Action::RemoveContainer { id, .. } => {
                let at = self.observed.containers.iter().position(|c| c.id == *id).unwrap();
                assert!(
                    !alive(&self.observed.containers.remove(at)),
                    "removed a running container"
                );
            }
            Action::RemoveSandbox { id } => {
                assert!(
                    !self
                        .observed
                        .containers
                        .iter()
                        .any(|c| c.sandbox == *id && alive(c))
                );
                self.observed.sandboxes.retain(|s| s.id != *id);
                self.observed.containers.retain(|c| c.sandbox != *id);
            }
        }
    }

    /// Plans and acts until nothing is left to do; gives the last plan.
    fn settle(&mut self, intent: &Intent) -> Plan {
        for _ in 0..200 {
            let plan = self.plan(intent);
            assert_eq!(self.plan(intent), plan, "planning is not repeatable");
            let unique: BTreeSet<_> = plan.actions.iter().map(|a| format!("{a:?}")).collect();
            assert_eq!(
                unique.len(),
                plan.actions.len(),
                "an action twice: {:?}",
                plan.actions
            );
            self.memory = plan.memory.clone();
            for action in &plan.actions {
                self.apply(action);
            }
            self.now += 1;
            if !plan.actions.is_empty() {
                continue;
            }
            let init = &self.pod.spec.init_containers;
            let job = |c: &ContainerState| init.iter().any(|s| s.name == c.name && !s.is_sidecar());
            let now = at(self.now);
            match (
                self.observed.containers.iter_mut().find(|c| job(c) && alive(c)),
                plan.wake_at,
            ) {
                (Some(c), _) => (c.state, c.exit_code, c.finished) = (RunState::Exited, 0, Some(now)),
                (None, Some(wake)) => self.now = self.now.max(wake.as_second() - at(0).as_second()),
                (None, None) => return plan,
            }
        }
        panic!("never settles: {:?}", self.observed);
    }
}

/// The ephemeral container.
const DEBUGGER: &str = "e";
const NAMES: [&str; 6] = ["i", "s", "j", "a", "b", DEBUGGER];

#[derive(Clone, Debug)]
struct Seed {
    sandboxes: Vec<bool>,
    containers: Vec<(usize, usize, u8, bool, bool, bool)>,
    policy: RestartPolicy,
    with_init: bool,
    debugged: bool,
    /// A failure of `a` starts all over.
    over: bool,
}

fn seeds() -> impl Strategy<Value = Seed> {
    let policy = prop_oneof![
        Just(RestartPolicy::Always),
        Just(RestartPolicy::OnFailure),
        Just(RestartPolicy::Never)
    ];
    let one = (
        0..NAMES.len(),
        0..3_usize,
        0..4_u8,
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
    );
    let parts = (
        prop::collection::vec(any::<bool>(), 0..4),
        prop::collection::vec(one, 0..9),
        policy,
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
    );
    parts.prop_map(
        |(sandboxes, containers, policy, with_init, debugged, over)| Seed {
            sandboxes,
            containers,
            policy,
            with_init,
            debugged,
            over,
        },
    )
}

fn world(seed: &Seed) -> World {
    let mut p = pod("p", &["a", "b"]);
    p.spec.restart_policy = seed.policy;
    if seed.with_init {
        p.spec.init_containers = vec![container("i"), sidecar("s"), container("j")];
    }
    if seed.over {
        p.spec.containers[0].restart_policy = Some(seed.policy);
        p.spec.containers[0].restart_policy_rules = vec![rule(RESTART_ALL, "In", &[1])];
    }
    if seed.debugged {
        p.spec.ephemeral_containers = vec![container(DEBUGGER)];
    }
    let mut seen = Observed::default();
    for (n, ready) in seed.sandboxes.iter().enumerate() {
        let attempt = u32::try_from(n).unwrap();
        seen.sandboxes.insert(
            0,
            Sandbox {
                ready: *ready,
                ..sandbox(attempt)
            },
        );
    }
    let mut attempts = BTreeMap::new();
    let mut homes = BTreeMap::new();
    let mut probes = BTreeMap::new();
    for (n, (name, home, state, ok, changed, sick)) in seed.containers.iter().enumerate() {
        let name = NAMES[*name];
        if seen.sandboxes.is_empty() || p.container(name).is_none() {
            continue;
        }
        let attempt = attempts.entry(name).and_modify(|a| *a += 1).or_insert(0_u32);
        let created = 10 + i64::try_from(n).unwrap();
        let mut c = running(name, *attempt, created);
        // The newest sandbox is the first, and no container goes back to an older one.
        let newest = homes.entry(name).or_insert(usize::MAX);
        *newest = (*newest).min(home % seen.sandboxes.len());
        c.sandbox = seen.sandboxes[*newest].id.clone();
        c.state = [
            RunState::Running,
            RunState::Exited,
            RunState::Created,
            RunState::Unknown,
        ][usize::from(*state)];
        if c.state == RunState::Exited {
            (c.exit_code, c.finished) = (i32::from(!ok), Some(at(created + 1)));
        }
        if *changed {
            c.hash = "0".into();
        }
        if *sick {
            let view = ProbeView {
                unhealthy: Some("sick".into()),
                ..ProbeView::default()
            };
            probes.insert(c.id.clone(), view);
        }
        seen.containers.insert(0, c);
    }
    let ran = |c: &&ContainerState| &*c.name == DEBUGGER && c.state != RunState::Created;
    let debugged = seen.containers.iter().filter(ran).map(|c| c.name.clone());
    World {
        debugged: debugged.collect(),
        pod: p,
        observed: seen,
        memory: Memory::default(),
        probes,
        now: 100,
        next_id: 0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_state_leads_to_running_or_to_an_honest_end(seed in seeds()) {
        let mut world = world(&seed);
        let last = world.settle(&Intent::Run);
        prop_assert!(!last.finished);
        let alive_names: Vec<_> = world.observed.containers.iter().filter(|c| alive(c)).map(|c| &*c.name).collect();
        let unique: BTreeSet<_> = alive_names.iter().collect();
        prop_assert_eq!(unique.len(), alive_names.len());
        if world.memory.ended {
            prop_assert!(alive_names.is_empty() && world.observed.sandboxes.iter().all(|s| !s.ready));
            prop_assert!(seed.policy != RestartPolicy::Always, "a pod that always restarts never ends");
        } else {
            let current = world.observed.newest_sandbox().unwrap();
            prop_assert!(current.ready);
            for spec in &world.pod.spec.containers {
                let latest = world.observed.latest(&spec.name).unwrap();
                let done = latest.state == RunState::Exited && seed.policy != RestartPolicy::Always;
                prop_assert!(done || (latest.state == RunState::Running && latest.sandbox == current.id));
            }
            prop_assert!(!seed.with_init || alive_names.contains(&"s"), "the sidecar runs beside them");
            prop_assert!(!seed.debugged || world.debugged.contains(DEBUGGER));
        }
        for name in NAMES {
            let dead = world.observed.containers.iter().filter(|c| &*c.name == name && c.state == RunState::Exited);
            prop_assert!(dead.count() <= 1, "old instances are removed");
        }
    }

    #[test]
    fn a_settled_pod_is_not_touched_by_a_restarted_agent(seed in seeds()) {
        let mut world = world(&seed);
        world.settle(&Intent::Run);
        let ended = world.memory.ended;
        world.memory = super::recall(&world.pod, &world.observed);
        world.probes.clear();
        let plan = world.plan(&Intent::Run);
        prop_assert_eq!(plan.actions, vec![]);
        prop_assert_eq!(plan.memory.ended, ended);
    }

    #[test]
    fn any_state_can_be_torn_down(seed in seeds(), grace in 0..60_i64) {
        let mut world = world(&seed);
        let last = world.settle(&Intent::Terminate { grace_seconds: grace });
        prop_assert!(last.finished);
        prop_assert_eq!(&world.observed, &Observed::default());
    }

    #[test]
    fn a_half_started_pod_can_be_torn_down(seed in seeds(), steps in 0..12_usize) {
        let mut world = world(&seed);
        for _ in 0..steps {
            let plan = world.plan(&Intent::Run);
            world.memory = plan.memory;
            if let Some(action) = plan.actions.first() {
                world.apply(action);
            }
            world.now += 7;
        }
        let last = world.settle(&Intent::Terminate { grace_seconds: 30 });
        prop_assert!(last.finished);
    }
}
