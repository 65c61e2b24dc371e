//! Any Pod there may be, and what must hold for each: one function for the property test and for `fuzz/`.
//!
//! A tape of bytes turns a Pod that has every field into one of countless others. What the API's own types cannot decode
//! is no Pod, and where the API server admits a few words or no number below zero, nothing else comes up. Every Pod is
//! decoded, judged, planned, translated and told of, without a panic, and always with a phase.

use super::builders::{at, exited, kubelet_config, running, sandbox};
use crate::kubelet::admit::{self, Ground};
use crate::kubelet::cgroup::plan::Rules;
use crate::kubelet::dirs::Dirs;
use crate::kubelet::dns::{self, NodeDns};
use crate::kubelet::env::{self, EnvInput, EnvObjects};
use crate::kubelet::observed::{Observed, RunState};
use crate::kubelet::plan::{self, Action, Input, Intent, Memory};
use crate::kubelet::qos;
use crate::kubelet::resize;
use crate::kubelet::status::{self, StatusInput};
use crate::kubelet::translate::{self, ContainerInput, ImageUser, NodeLimits, SandboxInput};
use crate::kubelet::{hash, userns};
use crate::model::net::Node;
use crate::model::pod::{Pod, Quantity};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1 as api;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// Rounds of one Pod's life.
const ROUNDS: usize = 12;
/// Numbers that are too small, too large, or just so.
const NUMBERS: [i64; 14] = [
    0,
    1,
    -1,
    2,
    80,
    65_535,
    65_536,
    0x1_0000_0000,
    i32::MAX as i64,
    i32::MIN as i64,
    u32::MAX as i64,
    i64::MAX,
    i64::MIN,
    i64::MAX - 1,
];
/// Texts that mean something somewhere, or that nobody has foreseen.
const TEXTS: [&str; 44] = [
    "",
    " ",
    "\u{0}",
    "\n",
    "ö∀🦀",
    "\u{202e}",
    "/",
    "..",
    "../../etc",
    "a/b",
    "$(A)",
    "$(",
    "$$(A)",
    "$",
    "0",
    "-1",
    "1e9999",
    "-5",
    "9223372036854775807",
    "9223372036854775808",
    "1Ei",
    "0.0000000001n",
    "1e-30",
    "Ki",
    "1.5.2",
    "main",
    "side",
    "debug",
    "Always",
    "Never",
    "OnFailure",
    "Bogus",
    "UDP",
    "Memory",
    "metadata.name",
    "metadata.labels['x']",
    "status.podIP",
    "limits.memory",
    "SIGKILL",
    "fd00::1",
    "999.1.1.1",
    "containerd://",
    "RestartAllContainers",
    "NotIn",
];

/// Fields for which the API server admits these words only.
const WORDS: [(&str, &[&str]); 11] = [
    ("restartPolicy", &["Always", "OnFailure", "Never"]),
    ("restartPolicy", &["NotRequired", "RestartContainer"]),
    (
        "dnsPolicy",
        &["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"],
    ),
    ("imagePullPolicy", &["Always", "IfNotPresent", "Never"]),
    ("pullPolicy", &["Always", "IfNotPresent", "Never"]),
    ("terminationMessagePolicy", &["File", "FallbackToLogsOnError"]),
    ("protocol", &["TCP", "UDP", "SCTP"]),
    ("ip", &["127.0.0.1", "10.244.0.2", "fd00::1"]),
    ("podIP", &["10.244.0.2", "fd00::1"]),
    ("hostIP", &["10.0.0.1", "0.0.0.0", "fd00::1"]),
    ("nameservers", &["10.0.0.10", "fd00::1"]),
];

/// Fields for which it admits no number below zero.
const COUNTS: [&str; 5] = [
    "initialDelaySeconds",
    "timeoutSeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
];

/// What the bytes say, and nothing once they are used up.
struct Tape<'a>(&'a [u8]);

impl Tape<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn of(&mut self, count: usize) -> usize {
        usize::from(self.byte()) % count.max(1)
    }

    fn text(&mut self) -> String {
        match self.byte() {
            0xff => "x".repeat(70_000),
            0xfe => "é".repeat(300),
            0xfd => char::from(self.byte()).to_string(),
            other => TEXTS[usize::from(other) % TEXTS.len()].to_owned(),
        }
    }
}

/// The Pod a tape makes, as JSON.
///
/// # Panics
/// Never: what it starts from is part of the build.
pub fn made(bytes: &[u8]) -> Value {
    let mut pod = serde_json::from_str(include_str!("any_pod/full.json")).expect("it is JSON");
    let mut tape = Tape(bytes);
    // What the tape does not get to stays as it is.
    vary("", &mut pod, &mut tape);
    pod
}

/// Goes through the value of a field and changes it here and there.
fn vary(field: &str, value: &mut Value, tape: &mut Tape<'_>) {
    match value {
        Value::Object(fields) => {
            let names: Vec<String> = fields.keys().cloned().collect();
            for name in names {
                match tape.byte() {
                    162 => {
                        let (key, new) = (tape.text(), fields[&name].clone());
                        fields.insert(key, new);
                    }
                    byte @ 160.. if byte % 4 == 0 => drop(fields.remove(&name)),
                    byte @ 160.. if byte % 4 == 1 => {
                        let new = scalar(&name, &fields[&name], tape);
                        fields.insert(name, new);
                    }
                    _ => vary(&name, fields.get_mut(&name).expect("it was there"), tape),
                }
            }
        }
        Value::Array(items) => {
            match tape.byte() {
                byte @ 200.. if byte % 4 == 0 => items.clear(),
                byte @ 200.. if byte % 4 == 1 && !items.is_empty() => {
                    let (at, count) = (tape.of(items.len()), tape.of(250));
                    let one = items[at].clone();
                    items.extend(std::iter::repeat_n(one, count));
                    return;
                }
                byte @ 200.. if byte % 4 == 2 && !items.is_empty() => {
                    drop(items.remove(tape.of(items.len())))
                }
                _ => {}
            }
            items.iter_mut().for_each(|item| vary(field, item, tape));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            if tape.byte() >= 160 {
                *value = scalar(field, value, tape);
            }
        }
    }
}

/// Another value of the same kind; an object or a list becomes an empty one.
fn scalar(field: &str, value: &Value, tape: &mut Tape<'_>) -> Value {
    match value {
        Value::Bool(yes) => (!yes).into(),
        Value::Number(_) => {
            let least = if COUNTS.contains(&field) { 0 } else { i64::MIN };
            NUMBERS[tape.of(NUMBERS.len())].max(least).into()
        }
        Value::String(now) => {
            let mut few = WORDS.iter();
            match few.find(|(name, words)| *name == field && words.contains(&&**now)) {
                Some((_, words)) => words[tape.of(words.len())].into(),
                None => tape.text().into(),
            }
        }
        Value::Object(_) => json!({}),
        Value::Array(_) => json!([]),
        Value::Null => Value::Null,
    }
}

/// Takes the Pod of a tape through its life and panics when a promise is broken.
///
/// # Panics
/// When one is.
pub fn check(bytes: &[u8]) {
    let json = made(bytes);
    if serde_json::from_value::<api::Pod>(json.clone()).is_err() {
        return;
    }
    let pod: Pod = match serde_json::from_value(json) {
        Ok(pod) => pod,
        Err(error) => panic!("a Pod of the API cannot be read: {error}"),
    };
    judge(&pod);
    describe(&pod);
    let mut tape = Tape(bytes);
    live(&pod, &mut tape);
}

fn allocatable() -> BTreeMap<Box<str>, Quantity> {
    [("cpu", "4"), ("memory", "4Gi"), ("pods", "110")]
        .map(|(name, amount)| (name.into(), Quantity(amount.into())))
        .into()
}

fn judge(pod: &Pod) {
    let node = Node::default();
    let allocatable = admit::allocatable(&allocatable(), &node);
    for groups in [true, false] {
        let ground = Ground {
            node: &node,
            allocatable: &allocatable,
            unsafe_sysctls: &[],
            supplemental_groups_policy: groups,
            apparmor: groups,
        };
        let _ = admit::judge(pod, &[pod], &ground);
    }
}

/// Everything that is made of a Pod before it runs; each may be refused, none may panic.
fn describe(pod: &Pod) {
    let (config, limits) = (kubelet_config(), NodeLimits::default());
    let dirs = Dirs {
        root: config.root_dir.clone(),
        pod_logs: config.pod_logs_dir.clone(),
    };
    let ips = ["10.0.0.1".parse().expect("an address")];
    let node = NodeDns {
        cluster_dns: &ips,
        cluster_domain: "cluster.local",
        resolv_conf: Some("nameserver 1.1.1.1\nsearch a b\n"),
        host_ips: &ips,
    };
    let dns = dns::for_pod(pod, &node);
    let users = userns::hosts();
    let _ = translate::sandbox(&SandboxInput {
        pod,
        attempt: 0,
        seen: at(0),
        dns: &dns.config,
        cluster_domain: "cluster.local",
        cgroup_parent: "/kubepods",
        dirs: &dirs,
        node: &limits,
        users: &users,
    });
    let _ = (qos::class(pod), resize::requests(pod), Rules::default().pod(pod));
    let granted = resize::told(pod);
    let _ = (resize::settled(pod, &granted), resize::with(pod, &granted));
    let allocatable = allocatable();
    for container in pod.spec.every_container() {
        let env = env::resolve(&EnvInput {
            pod,
            container,
            pod_ips: &ips,
            host_ips: &ips,
            objects: &EnvObjects::default(),
            services: &[],
            allocatable: &allocatable,
        });
        let _ = (
            hash::container(container),
            qos::oom_score_adj(pod, container, 4 << 30),
        );
        let _ = (
            limits.update(pod, container),
            resize::limits(pod, container, limits.cfs),
        );
        let _ = translate::container(&ContainerInput {
            pod,
            container,
            attempt: u32::MAX,
            crash_backoff: 0,
            pid_target: None,
            image_ref: "sha256:0",
            image_user: ImageUser::default(),
            env: &env.unwrap_or_default(),
            mounts: &[],
            node: &limits,
            seccomp_root: Path::new("/seccomp"),
            seccomp_default: true,
            users: &users,
            masked: &[],
        });
    }
}

/// Plans, does what is planned in a world of its own, and tells; again and again.
fn live(pod: &Pod, tape: &mut Tape<'_>) {
    let deleting = pod.metadata.deletion_timestamp.is_some();
    let grace = pod.metadata.deletion_grace_period_seconds;
    let mut intent = Intent::Run;
    let mut observed = Observed::default();
    let mut memory: Memory = plan::recall(pod, &observed);
    let mut previous: Option<api::PodStatus> = None;
    let (probes, host_ips) = (BTreeMap::new(), ["10.0.0.1".parse().expect("an address")]);
    for round in 0..ROUNDS {
        let now = at(60 + 20 * i64::try_from(round).expect("few"));
        if deleting && round > ROUNDS / 2 {
            let own = pod.spec.termination_grace_period_seconds;
            intent = Intent::Terminate {
                grace_seconds: grace.unwrap_or(own).max(1),
            };
        }
        let planned = plan::plan(Input {
            pod,
            intent: &intent,
            observed: &observed,
            probes: &probes,
            memory: &memory,
            longest_pause: 300,
            now,
        });
        memory = planned.memory;
        let told = status::status(StatusInput {
            pod,
            intent: &intent,
            observed: &observed,
            probes: &probes,
            memory: &memory,
            previous: previous.as_ref(),
            host_ips: &host_ips,
            runtime: "containerd",
            now,
        });
        let phase = told.phase.clone().unwrap_or_default();
        assert!(
            ["Pending", "Running", "Succeeded", "Failed"].contains(&&*phase),
            "phase {phase:?}"
        );
        if let Some(patch) = status::patch(previous.as_ref(), &told) {
            assert!(patch.get("phase").is_none_or(|told| *told == phase), "{patch}");
        }
        previous = Some(told);
        act(
            &mut observed,
            &planned.actions,
            now + SignedDuration::from_secs(1),
            tape,
        );
    }
}

/// The runtime does as it is asked; the tape says how containers end.
fn act(observed: &mut Observed, actions: &[Action], now: jiff::Timestamp, tape: &mut Tape<'_>) {
    let seconds = now.as_second() - at(0).as_second();
    for action in actions {
        match action {
            Action::CreateSandbox { attempt } => observed.sandboxes.push(sandbox(*attempt)),
            Action::StartContainer {
                name,
                attempt,
                sandbox,
                ..
            } => {
                let mut new = match tape.byte() {
                    0..128 => running(name, *attempt, seconds),
                    byte => exited(name, *attempt, seconds, i32::from(byte) - 128),
                };
                new.sandbox = sandbox.clone();
                observed.containers.push(new);
            }
            Action::StopContainer { id, .. } => {
                let stopped = observed.containers.iter_mut().filter(|c| c.id == *id);
                stopped.for_each(|c| {
                    c.state = RunState::Exited;
                    c.finished = Some(now);
                });
            }
            Action::StopSandbox { id } => {
                let stopped = observed.sandboxes.iter_mut().filter(|s| s.id == *id);
                stopped.for_each(|s| s.ready = false);
            }
            Action::RemoveContainer { id, .. } => observed.containers.retain(|c| c.id != *id),
            Action::RemoveSandbox { id } => observed.sandboxes.retain(|s| s.id != *id),
            Action::ResizeContainer { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests;
