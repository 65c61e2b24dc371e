//! PURE. `containerStatuses`, `initContainerStatuses` and `ephemeralContainerStatuses`.

use super::gone::{LOST, NOT_LOCATED, RESTARTING_WORDS, unseen};
use super::{History, StatusInput, time};
use crate::kubelet::observed::{ContainerState as Instance, RunState, User};
use crate::kubelet::plan::{Intent, REMOVED};
use crate::model::pod::{self, Container, Quantity, Resources};
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus,
    ContainerUser, LinuxContainerUser, ResourceRequirements, VolumeMountStatus,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Statuses of the init containers, in spec order.
pub(super) fn init_statuses(input: &StatusInput<'_>, history: &History) -> Vec<ContainerStatus> {
    let initialized = input
        .pod
        .spec
        .containers
        .iter()
        .any(|c| input.observed.latest(&c.name).is_some());
    // While all start over, one that is gone is one that will run again: as ended it would be counted once more.
    let initialized = initialized && !input.restarting_all(history);
    let specs = &input.pod.spec.init_containers;
    let statuses = specs.iter().map(|spec| {
        let old = find(&history.init_container_statuses, &spec.name);
        let mut s = one(input, spec, history, old);
        let forgotten = input.observed.latest(&spec.name).is_none() && is_waiting(&s);
        if initialized && forgotten && !spec.is_sidecar() {
            // Containers were created, so this one has succeeded, although the runtime has no trace of it.
            s.state = Some(ended(ContainerStateTerminated {
                reason: Some("Completed".into()),
                message: Some(
                    "Unable to get init container status from container runtime and pod has been initialized, treat it as \
                     exited normally"
                        .into(),
                ),
                ..ContainerStateTerminated::default()
            }));
        }
        s.started = Some(started(input, spec, old, &s));
        s.ready = if spec.is_sidecar() {
            ready(input, spec, old, &s)
        } else {
            exit_code(&s) == Some(0)
        };
        s
    });
    statuses.collect()
}

/// Statuses of the containers, by name.
pub(super) fn main_statuses(input: &StatusInput<'_>, history: &History) -> Vec<ContainerStatus> {
    let specs = &input.pod.spec.containers;
    let mut statuses: Vec<_> = specs
        .iter()
        .map(|spec| {
            let old = find(&history.container_statuses, &spec.name);
            let mut s = one(input, spec, history, old);
            s.started = Some(started(input, spec, old, &s));
            s.ready = ready(input, spec, old, &s);
            s
        })
        .collect();
    statuses.sort_by(|a, b| a.name.cmp(&b.name));
    statuses
}

/// Statuses of the ephemeral containers, by name. They have no probes: none is ever ready or said to have started.
pub(super) fn ephemeral_statuses(input: &StatusInput<'_>, history: &History) -> Vec<ContainerStatus> {
    let specs = input.pod.spec.ephemeral_containers.iter();
    let mut statuses: Vec<_> = specs
        .map(|spec| {
            one(
                input,
                spec,
                history,
                find(&history.ephemeral_container_statuses, &spec.name),
            )
        })
        .collect();
    statuses.sort_by(|a, b| a.name.cmp(&b.name));
    statuses
}

fn find<'a>(list: &'a [pod::ContainerStatus], name: &str) -> Option<&'a pod::ContainerStatus> {
    list.iter().find(|c| &*c.name == name)
}

fn one(
    input: &StatusInput<'_>,
    spec: &Container,
    history: &History,
    old: Option<&pod::ContainerStatus>,
) -> ContainerStatus {
    let mut instances: Vec<_> = input
        .observed
        .containers
        .iter()
        .filter(|c| c.name == spec.name)
        .collect();
    instances.sort_by_key(|c| Reverse((c.attempt, c.created)));
    let mut s = match instances.first() {
        Some(instance) => from_instance(input, spec, instance, old),
        None => from_history(input, spec, old, input.restarting_all(history)),
    };
    if let Some(before) = instances.iter().skip(1).find(|c| c.state == RunState::Exited) {
        s.last_state = Some(ended(terminated(input, before)));
    }
    // One whose postStart hook is not done still waits for what it waited for.
    let alive = instances
        .first()
        .is_some_and(|c| StatusInput::alive(c) && c.state != RunState::Starting);
    let may_start = *input.intent == Intent::Run && !input.memory.ended && !alive;
    if let Some(waiting) = input.memory.waiting.get(&spec.name).filter(|_| may_start) {
        if exit_code(&s).is_some() {
            s.last_state = s.state.take();
        }
        s.state = Some(wait(&waiting.reason, Some(&waiting.message)));
    }
    s
}

/// The status of a container the runtime knows.
fn from_instance(
    input: &StatusInput<'_>,
    spec: &Container,
    instance: &Instance,
    old: Option<&pod::ContainerStatus>,
) -> ContainerStatus {
    let mut s = from_history_base(input, spec, old);
    give_resources(&mut s, spec);
    let underway =
        instance.state == RunState::Running && !input.memory.unlike(input.pod, spec, instance).is_empty();
    if let Some(before) = old.and_then(|o| o.resources.as_ref()).filter(|_| underway) {
        // Granted and not yet given.
        s.resources = Some(requirements(before));
    }
    if matches!(instance.state, RunState::Created | RunState::Starting) {
        // Only what has started counts: what is told of the instance before is still the last state.
        return s;
    }
    let attempt = i32::try_from(instance.attempt).unwrap_or(i32::MAX);
    s.restart_count = s.restart_count.max(attempt);
    let id = input.id(instance);
    if let Some(old) = old.filter(|o| *o.container_id != *id)
        && let Some(end) = &old.state.terminated
    {
        s.last_state = Some(ended(from_terminated(end)));
    }
    s.container_id = Some(id);
    s.image = if instance.image.is_empty() {
        &spec.image
    } else {
        &instance.image
    }
    .to_string();
    s.image_id = instance.image_ref.to_string();
    s.user = instance.user.as_ref().map(user);
    let was_running = old.is_some_and(|o| o.state.running.is_some());
    s.state = match instance.state {
        RunState::Running => Some(ContainerState {
            running: Some(ContainerStateRunning {
                started_at: instance.started.map(time),
            }),
            ..ContainerState::default()
        }),
        RunState::Exited => Some(ended(terminated(input, instance))),
        RunState::Unknown if was_running => Some(unseen(LOST, NOT_LOCATED)),
        RunState::Unknown | RunState::Created | RunState::Starting => s.state,
    };
    s
}

/// The status of a container the runtime does not know: never created, or gone.
fn from_history(
    input: &StatusInput<'_>,
    spec: &Container,
    old: Option<&pod::ContainerStatus>,
    restarting_all: bool,
) -> ContainerStatus {
    let mut s = from_history_base(input, spec, old);
    let Some(old) = old else { return s };
    if restarting_all && (old.state.terminated.is_some() || old.state.running.is_some()) {
        s.state = Some(wait(REMOVED, Some(RESTARTING_WORDS)));
        s.last_state = Some(unseen(REMOVED, RESTARTING_WORDS));
        s.restart_count += 1;
    } else if let Some(end) = &old.state.terminated {
        s.state = Some(ended(from_terminated(end)));
    } else if old.state.running.is_some() && s.last_state.is_none() {
        // It ran and is gone: it ended, although nobody saw how.
        s.last_state = Some(unseen(
            LOST,
            "The container could not be located when the pod was deleted.  The container used to be Running",
        ));
        // The next instance is a restart.
        s.restart_count += i32::from(input.pod.metadata.deletion_timestamp.is_none());
    }
    s
}

/// Name, image and what history alone knows; waiting for the default reason.
fn from_history_base(
    input: &StatusInput<'_>,
    spec: &Container,
    old: Option<&pod::ContainerStatus>,
) -> ContainerStatus {
    let init = !input.pod.spec.init_containers.is_empty();
    let reason = if init {
        "PodInitializing"
    } else {
        "ContainerCreating"
    };
    let mut s = ContainerStatus {
        name: spec.name.to_string(),
        image: spec.image.to_string(),
        state: Some(wait(reason, None)),
        volume_mounts: (!spec.volume_mounts.is_empty())
            .then(|| spec.volume_mounts.iter().map(mount).collect()),
        ..ContainerStatus::default()
    };
    if let Some(old) = old {
        s.restart_count = old.restart_count;
        s.image_id = old.image_id.to_string();
        s.container_id = (!old.container_id.is_empty()).then(|| old.container_id.to_string());
        s.last_state = old
            .last_state
            .terminated
            .as_ref()
            .map(|end| ended(from_terminated(end)));
        if s.container_id.is_some() {
            // What was told of the last instance stays when the runtime has removed it.
            if !old.image.is_empty() {
                s.image = old.image.to_string();
            }
            give_resources(&mut s, spec);
        }
    }
    s
}

/// Mounts are never read-only below another mount: the runtime is not asked for that.
fn mount(spec: &pod::VolumeMount) -> VolumeMountStatus {
    VolumeMountStatus {
        name: spec.name.to_string(),
        mount_path: spec.mount_path.to_string(),
        read_only: spec.read_only.then_some(true),
        recursive_read_only: spec.read_only.then(|| "Disabled".into()),
        ..VolumeMountStatus::default()
    }
}

fn user(user: &User) -> ContainerUser {
    let linux = LinuxContainerUser {
        uid: user.uid,
        gid: user.gid,
        supplemental_groups: (!user.groups.is_empty()).then(|| user.groups.to_vec()),
    };
    ContainerUser { linux: Some(linux) }
}

fn started(
    input: &StatusInput<'_>,
    spec: &Container,
    old: Option<&pod::ContainerStatus>,
    s: &ContainerStatus,
) -> bool {
    let reported = same_instance(old, s).is_some_and(|o| o.started == Some(true));
    let result = view(input, spec).and_then(|v| v.started);
    is_running(s) && (spec.startup_probe.is_none() || result.unwrap_or(reported))
}

fn ready(
    input: &StatusInput<'_>,
    spec: &Container,
    old: Option<&pod::ContainerStatus>,
    s: &ContainerStatus,
) -> bool {
    let reported = same_instance(old, s).is_some_and(|o| o.ready);
    let result = view(input, spec).and_then(|v| v.ready);
    s.started == Some(true) && (spec.readiness_probe.is_none() || result.unwrap_or(reported))
}

fn view<'a>(input: &StatusInput<'a>, spec: &Container) -> Option<&'a crate::kubelet::plan::ProbeView> {
    input.probes.get(&input.observed.latest(&spec.name)?.id)
}

/// History, if it is about the very instance that is reported now.
fn same_instance<'a>(
    old: Option<&'a pod::ContainerStatus>,
    s: &ContainerStatus,
) -> Option<&'a pod::ContainerStatus> {
    old.filter(|o| s.container_id.as_deref() == Some(&*o.container_id))
}

/// Runs.
pub(super) fn is_running(s: &ContainerStatus) -> bool {
    s.state.as_ref().is_some_and(|state| state.running.is_some())
}

/// Waits for something.
pub(super) fn is_waiting(s: &ContainerStatus) -> bool {
    s.state.as_ref().is_some_and(|state| state.waiting.is_some())
}

/// Exit code, once it has ended.
pub(super) fn exit_code(s: &ContainerStatus) -> Option<i32> {
    Some(s.state.as_ref()?.terminated.as_ref()?.exit_code)
}

/// Exit code of the instance before.
pub(super) fn last_exit(s: &ContainerStatus) -> Option<i32> {
    Some(s.last_state.as_ref()?.terminated.as_ref()?.exit_code)
}

fn wait(reason: &str, message: Option<&str>) -> ContainerState {
    let waiting = ContainerStateWaiting {
        reason: Some(reason.into()),
        message: message.filter(|m| !m.is_empty()).map(Into::into),
    };
    ContainerState {
        waiting: Some(waiting),
        ..ContainerState::default()
    }
}

/// Has ended.
pub(super) fn ended(terminated: ContainerStateTerminated) -> ContainerState {
    ContainerState {
        terminated: Some(terminated),
        ..ContainerState::default()
    }
}

fn terminated(input: &StatusInput<'_>, instance: &Instance) -> ContainerStateTerminated {
    let text = |t: &str| (!t.is_empty()).then(|| t.to_owned());
    ContainerStateTerminated {
        container_id: Some(input.id(instance)),
        exit_code: instance.exit_code,
        reason: text(&instance.reason),
        message: text(&instance.message),
        started_at: instance.started.map(time),
        finished_at: instance.finished.map(time),
        signal: None,
    }
}

fn from_terminated(old: &pod::StateTerminated) -> ContainerStateTerminated {
    ContainerStateTerminated {
        container_id: old.container_id.as_deref().map(Into::into),
        exit_code: old.exit_code,
        reason: old.reason.as_deref().map(Into::into),
        message: old.message.as_deref().map(Into::into),
        started_at: old.started_at.map(time),
        finished_at: old.finished_at.map(time),
        signal: None,
    }
}

fn give_resources(s: &mut ContainerStatus, spec: &Container) {
    s.resources = Some(requirements(&spec.resources));
    s.allocated_resources = (!spec.resources.requests.is_empty()).then(|| amounts(&spec.resources.requests));
}

fn requirements(resources: &Resources) -> ResourceRequirements {
    let list = |l: &BTreeMap<Box<str>, Quantity>| (!l.is_empty()).then(|| amounts(l));
    ResourceRequirements {
        limits: list(&resources.limits),
        requests: list(&resources.requests),
        claims: None,
    }
}

fn amounts(list: &BTreeMap<Box<str>, Quantity>) -> BTreeMap<String, ApiQuantity> {
    list.iter()
        .map(|(name, amount)| (name.to_string(), ApiQuantity(amount.0.to_string())))
        .collect()
}
