//! What happens in a storm: the Pods, and one step after the other. Made by proptest, so it shrinks.

use super::weather::{Fault, Mishap};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};
use tonic::Code;

/// A whole storm.
#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) pods: Vec<Shape>,
    pub(super) steps: Vec<Step>,
}

/// A Pod.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) policy: &'static str,
    pub(super) inits: Vec<Init>,
    pub(super) mains: Vec<Main>,
    pub(super) grace: i64,
    pub(super) deadline: Option<i64>,
}

/// An init container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Init {
    /// Ends by itself.
    Once,
    /// A sidecar, maybe with a startup probe, maybe deaf to its stop signal.
    Sidecar { probed: bool, stubborn: bool },
}

/// A main container.
#[derive(Clone, Copy, Debug)]
pub(super) struct Main {
    pub(super) startup: bool,
    pub(super) liveness: bool,
    pub(super) readiness: bool,
    pub(super) stubborn: bool,
}

/// One thing that happens. Numbers choose a Pod or a container, by their remainder.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Tenths of seconds pass.
    Wait(u32),
    Add(usize),
    EditImage(usize, usize),
    EditLabel(usize),
    Delete {
        pod: usize,
        grace: i64,
    },
    /// The API object goes at once.
    ForceDelete(usize),
    Exit {
        pod: usize,
        container: usize,
        code: i32,
    },
    KillSandbox(usize),
    /// Somebody removes a container behind our back.
    LoseContainer(usize, usize),
    Fault(Fault),
    Mishap(Mishap),
    CutEvents,
    /// The runtime needs this many tenths of seconds for a call.
    Slow(u32),
    ApiAway(bool),
    /// The watch lists anew.
    Relist,
    /// The watch tells again what it has told.
    Echo(usize),
    /// So many polls after this the agent is killed; it is away for tenths of seconds.
    Kill {
        polls: u32,
        away: u32,
    },
    Probe {
        pod: usize,
        container: usize,
        kind: usize,
        healthy: bool,
    },
    /// Seconds the wall clock jumps.
    Clock(i64),
}

pub(super) const PROBES: [&str; 3] = ["startup", "liveness", "readiness"];

impl Shape {
    /// Names of the containers, init containers first.
    pub(super) fn names(&self) -> Vec<String> {
        let inits = (0..self.inits.len()).map(init_name);
        inits.chain((0..self.mains.len()).map(main_name)).collect()
    }

    pub(super) fn sidecar(&self, name: &str) -> bool {
        let at = (0..self.inits.len()).find(|at| init_name(*at) == name);
        at.is_some_and(|at| self.inits[at] != Init::Once)
    }

    pub(super) fn init(&self, name: &str) -> Option<usize> {
        (0..self.inits.len()).find(|at| init_name(*at) == name)
    }

    pub(super) fn main(&self, name: &str) -> bool {
        (0..self.mains.len()).any(|at| main_name(at) == name)
    }

    pub(super) fn stubborn(&self) -> Vec<String> {
        let inits = self.inits.iter().enumerate().filter_map(|(at, init)| match init {
            Init::Sidecar { stubborn: true, .. } => Some(init_name(at)),
            _ => None,
        });
        let mains = self.mains.iter().enumerate().filter(|(_, main)| main.stubborn);
        inits.chain(mains.map(|(at, _)| main_name(at))).collect()
    }

    /// The Pod as the API server has it.
    pub(super) fn pod(&self, name: &str, uid: &str) -> Value {
        let inits: Vec<Value> = self
            .inits
            .iter()
            .enumerate()
            .map(|(at, init)| {
                let mut container = container(&init_name(at));
                if let Init::Sidecar { probed, .. } = init {
                    container["restartPolicy"] = "Always".into();
                    if *probed {
                        container["startupProbe"] = probe(name, &init_name(at), "startup");
                    }
                }
                container
            })
            .collect();
        let mains: Vec<Value> = self
            .mains
            .iter()
            .enumerate()
            .map(|(at, main)| {
                let mut container = container(&main_name(at));
                for (wanted, kind) in [
                    (main.startup, "startup"),
                    (main.liveness, "liveness"),
                    (main.readiness, "readiness"),
                ] {
                    if wanted {
                        container[format!("{kind}Probe")] = probe(name, &main_name(at), kind);
                    }
                }
                container
            })
            .collect();
        let mut spec = json!({
            "restartPolicy": self.policy,
            "terminationGracePeriodSeconds": self.grace,
            "initContainers": inits,
            "containers": mains,
        });
        if let Some(deadline) = self.deadline {
            spec["activeDeadlineSeconds"] = deadline.into();
        }
        json!({
            "metadata": {"name": name, "namespace": "default", "uid": uid, "generation": 1},
            "spec": spec,
        })
    }
}

pub(super) fn main_name(at: usize) -> String {
    format!("main{at}")
}

fn init_name(at: usize) -> String {
    format!("init{at}")
}

fn container(name: &str) -> Value {
    json!({"name": name, "image": "registry.test/app:1", "terminationMessagePath": "/dev/termination-log"})
}

/// The command line of a probe, as the fake runtime knows it.
pub(super) fn command(pod: &str, container: &str, kind: &str) -> String {
    format!("{kind} {pod} {container}")
}

fn probe(pod: &str, container: &str, kind: &str) -> Value {
    let command: Vec<&str> = [kind, pod, container].into();
    let mut probe = json!({"exec": {"command": command}, "periodSeconds": 1, "timeoutSeconds": 1});
    probe["failureThreshold"] = 2.into();
    probe["successThreshold"] = 1.into();
    probe
}

fn init() -> impl Strategy<Value = Init> {
    prop_oneof![
        Just(Init::Once),
        (any::<bool>(), any::<bool>()).prop_map(|(probed, stubborn)| Init::Sidecar { probed, stubborn }),
    ]
}

fn main() -> impl Strategy<Value = Main> {
    (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(startup, liveness, readiness, stubborn)| Main {
            startup,
            liveness,
            readiness,
            stubborn,
        },
    )
}

fn shape() -> impl Strategy<Value = Shape> {
    let policy = prop_oneof![Just("Always"), Just("OnFailure"), Just("Never")];
    let deadline = prop_oneof![4 => Just(None), 1 => (5..40i64).prop_map(Some)];
    (
        policy,
        vec(init(), 0..=3),
        vec(main(), 1..=2),
        prop_oneof![Just(0), Just(2), Just(10)],
        deadline,
    )
        .prop_map(|(policy, inits, mains, grace, deadline)| Shape {
            policy,
            inits,
            mains,
            grace,
            deadline,
        })
}

/// RPCs that fail. One that only reads never says NotFound of what is there.
const CHANGES: [&str; 8] = [
    "RunPodSandbox",
    "StopPodSandbox",
    "RemovePodSandbox",
    "CreateContainer",
    "StartContainer",
    "StopContainer",
    "RemoveContainer",
    "PullImage",
];
const READS: [&str; 8] = [
    "ListPodSandbox",
    "ListContainers",
    "PodSandboxStatus",
    "ContainerStatus",
    "ExecSync",
    "ImageStatus",
    "GetContainerEvents",
    "Status",
];

fn fault() -> impl Strategy<Value = Fault> {
    let lost = || {
        prop_oneof![
            Just(Code::Unavailable),
            Just(Code::DeadlineExceeded),
            Just(Code::Unknown)
        ]
    };
    let any_code = prop_oneof![3 => lost(), 1 => Just(Code::NotFound), 1 => Just(Code::AlreadyExists)];
    let change = (0..CHANGES.len(), any_code).prop_map(|(at, code)| (CHANGES[at], code));
    let read = (0..READS.len(), lost()).prop_map(|(at, code)| (READS[at], code));
    (prop_oneof![2 => change, 1 => read], any::<bool>(), 1..4u32).prop_map(|((call, code), after, times)| {
        Fault {
            call,
            code,
            after,
            times,
        }
    })
}

fn step() -> impl Strategy<Value = Step> {
    let pod = || 0..3usize;
    let container = || 0..5usize;
    prop_oneof![
        12 => (1..40u32).prop_map(Step::Wait),
        3 => pod().prop_map(Step::Add),
        1 => (pod(), container()).prop_map(|(p, c)| Step::EditImage(p, c)),
        1 => pod().prop_map(Step::EditLabel),
        2 => (pod(), prop_oneof![Just(1), Just(3), Just(30)]).prop_map(|(pod, grace)| Step::Delete { pod, grace }),
        1 => pod().prop_map(Step::ForceDelete),
        4 => (pod(), container(), prop_oneof![Just(0), Just(1), Just(137), Just(255)])
            .prop_map(|(pod, container, code)| Step::Exit { pod, container, code }),
        2 => pod().prop_map(Step::KillSandbox),
        1 => (pod(), container()).prop_map(|(p, c)| Step::LoseContainer(p, c)),
        5 => fault().prop_map(Step::Fault),
        2 => prop_oneof![Just(Mishap::Lost), Just(Mishap::Doubled), Just(Mishap::Swapped)].prop_map(Step::Mishap),
        1 => Just(Step::CutEvents),
        1 => (0..15u32).prop_map(Step::Slow),
        1 => any::<bool>().prop_map(Step::ApiAway),
        1 => Just(Step::Relist),
        1 => pod().prop_map(Step::Echo),
        4 => (0..300u32, 0..30u32).prop_map(|(polls, away)| Step::Kill { polls, away }),
        3 => (pod(), container(), 0..3usize, any::<bool>())
            .prop_map(|(pod, container, kind, healthy)| Step::Probe { pod, container, kind, healthy }),
        1 => prop_oneof![-3600..0i64, 0..86_400i64].prop_map(Step::Clock),
    ]
}

/// Any storm over at most three Pods.
pub(super) fn script() -> impl Strategy<Value = Script> {
    (vec(shape(), 1..=3), vec(step(), 1..60)).prop_map(|(pods, steps)| Script { pods, steps })
}

/// The clock jumps while a slow runtime fails to stop what is left of a Pod.
pub(super) fn set_clock() -> Script {
    let main = Main {
        startup: false,
        liveness: false,
        readiness: false,
        stubborn: false,
    };
    let pod = Shape {
        policy: "Never",
        inits: vec![Init::Once],
        mains: vec![main],
        grace: 0,
        deadline: None,
    };
    let fault = Fault {
        call: "StopPodSandbox",
        code: Code::Unavailable,
        after: true,
        times: 1,
    };
    let steps = vec![
        Step::Slow(7),
        Step::Wait(32),
        Step::Kill { polls: 0, away: 0 },
        Step::Fault(fault),
        Step::ForceDelete(0),
        Step::Wait(18),
        Step::Clock(80_000),
        Step::Wait(7),
    ];
    let pods = vec![pod];
    Script { pods, steps }
}
