//! PURE. CRI replies → [`Observed`], and which Pods differ between two lists.
//!
//! Label and annotation names are kubelet's (`pkg/kubelet/kuberuntime/labels.go`), so what another kubelet started is
//! understood, and the other way round.

use crate::cri::{POD_UID_LABEL, v1};
use crate::kubelet::observed::{ContainerState, Limits, Observed, RunState, Sandbox, User};
use crate::kubelet::resize;
use crate::kubelet::translate::keys;
use crate::model::PodUid;
use jiff::{SignedDuration, Timestamp};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;

const CONTAINER_NAME_LABEL: &str = "io.kubernetes.container.name";
const HASH_ANNOTATION: &str = "io.kubernetes.container.hash";

/// An exited container is asked again for this long: the reason `OOMKilled` may come after the exit.
const SETTLES: SignedDuration = SignedDuration::from_secs(3);

/// Ids and states of everything one Pod has in the runtime, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fingerprint(Vec<(Box<str>, i32)>);

impl Fingerprint {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    pub(super) fn has(&self, id: &str) -> bool {
        self.0.iter().any(|(known, _)| &**known == id)
    }
    fn add(&mut self, id: &str, state: i32) {
        let at = self.0.partition_point(|(known, _)| &**known < id);
        self.0.insert(at, (id.into(), state));
    }
}

/// Of lists that hold one Pod only.
pub(super) fn fingerprint(sandboxes: &[v1::PodSandbox], containers: &[v1::Container]) -> Fingerprint {
    let mut print = Fingerprint::default();
    sandboxes.iter().for_each(|s| print.add(&s.id, s.state));
    containers.iter().for_each(|c| print.add(&c.id, c.state));
    print
}

/// Of lists that hold everything. What carries no Pod's UID is not ours.
pub(super) fn fingerprints(
    sandboxes: &[v1::PodSandbox],
    containers: &[v1::Container],
) -> BTreeMap<PodUid, Fingerprint> {
    let mut prints: BTreeMap<PodUid, Fingerprint> = BTreeMap::new();
    let of_sandboxes = sandboxes.iter().map(|s| (&s.labels, &s.id, s.state));
    let of_containers = containers.iter().map(|c| (&c.labels, &c.id, c.state));
    for (labels, id, state) in of_sandboxes.chain(of_containers) {
        if let Some(uid) = uid(labels) {
            prints.entry(uid).or_default().add(id, state);
        }
    }
    prints
}

/// Pods that were not there, are not there any more, or have something in another state; sorted.
pub(super) fn changed<'a>(
    known: impl Iterator<Item = (&'a PodUid, &'a Fingerprint)>,
    listed: &BTreeMap<PodUid, Fingerprint>,
) -> Vec<PodUid> {
    let known: BTreeMap<_, _> = known.collect();
    let new_or_other = listed
        .iter()
        .filter(|(uid, print)| known.get(uid) != Some(print))
        .map(|(uid, _)| uid);
    let gone = known.keys().copied().filter(|uid| !listed.contains_key(uid));
    let mut uids: Vec<_> = new_or_other.chain(gone).cloned().collect();
    uids.sort();
    uids
}

fn uid(labels: &BTreeMap<String, String>) -> Option<PodUid> {
    labels
        .get(POD_UID_LABEL)
        .filter(|uid| !uid.is_empty())
        .map(|uid| uid.as_str().into())
}

/// The Pod an event is about, if it says so.
pub(super) fn event_uid(event: &v1::ContainerEventResponse) -> Option<PodUid> {
    let sandbox = event.pod_sandbox_status.as_ref();
    sandbox
        .and_then(|s| uid(&s.labels))
        .or_else(|| event.containers_statuses.iter().find_map(|c| uid(&c.labels)))
}

/// A sandbox that need not be asked again. One that is ready and has no address (on the host's network, or still being
/// made) is asked every time.
pub(super) fn unchanged_sandbox(listed: &v1::PodSandbox, known: &Observed) -> Option<Sandbox> {
    let sandbox = known.sandboxes.iter().find(|s| s.id.as_str() == listed.id)?;
    let ready = listed.state == v1::PodSandboxState::SandboxReady as i32;
    (sandbox.ready == ready && !(ready && sandbox.ips.is_empty())).then(|| sandbox.clone())
}

/// A container that need not be asked again: same state, and an exit is some seconds old.
pub(super) fn unchanged_container(
    listed: &v1::Container,
    known: &Observed,
    now: Timestamp,
) -> Option<ContainerState> {
    let container = known.containers.iter().find(|c| c.id.as_str() == listed.id)?;
    let final_state = match run_state(listed.state) {
        RunState::Created | RunState::Running => true,
        RunState::Exited => container
            .finished
            .is_some_and(|at| now.duration_since(at) >= SETTLES),
        RunState::Starting | RunState::Unknown => false,
    };
    (final_state && container.state == run_state(listed.state)).then(|| container.clone())
}

/// A sandbox with its addresses; texts that are no addresses are left out.
pub(super) fn sandbox(status: &v1::PodSandboxStatus) -> Sandbox {
    let network = status.network.clone().unwrap_or_default();
    let texts = std::iter::once(network.ip).chain(network.additional_ips.into_iter().map(|ip| ip.ip));
    let mut ips: Vec<IpAddr> = Vec::new();
    for ip in texts.filter_map(|text| text.parse().ok()) {
        if !ips.contains(&ip) {
            ips.push(ip);
        }
    }
    Sandbox {
        id: status.id.as_str().into(),
        attempt: status.metadata.as_ref().map_or(0, |m| m.attempt),
        ready: status.state == v1::PodSandboxState::SandboxReady as i32,
        created: timestamp(status.created_at).unwrap_or_default(),
        ips,
    }
}

/// One container attempt. `sandbox` comes from the list; the status does not have it.
pub(super) fn container(status: &v1::ContainerStatus, sandbox: &str) -> ContainerState {
    let metadata = status.metadata.clone().unwrap_or_default();
    let label = status.labels.get(CONTAINER_NAME_LABEL);
    let image = status.image.as_ref().map(|image| image.image.as_str());
    ContainerState {
        id: status.id.as_str().into(),
        name: label.unwrap_or(&metadata.name).as_str().into(),
        sandbox: sandbox.into(),
        attempt: metadata.attempt,
        state: run_state(status.state),
        created: timestamp(status.created_at).unwrap_or_default(),
        started: timestamp(status.started_at),
        finished: timestamp(status.finished_at),
        exit_code: status.exit_code,
        reason: status.reason.as_str().into(),
        message: status.message.as_str().into(),
        image: image.unwrap_or_default().into(),
        image_ref: status.image_ref.as_str().into(),
        limits: limits(status),
        user: user(status),
        hash: status
            .annotations
            .get(HASH_ANNOTATION)
            .map(String::as_str)
            .unwrap_or_default()
            .into(),
        crash_backoff: status
            .annotations
            .get(keys::CRASH_BACKOFF)
            .and_then(|seconds| seconds.parse().ok())
            .filter(|seconds| *seconds >= 0),
    }
}

fn user(status: &v1::ContainerStatus) -> Option<User> {
    let linux = status.user.as_ref()?.linux.as_ref()?;
    Some(User {
        uid: linux.uid,
        gid: linux.gid,
        groups: linux.supplemental_groups.clone().into(),
    })
}

fn limits(status: &v1::ContainerStatus) -> Option<Limits> {
    let linux = status.resources.as_ref()?.linux.as_ref()?;
    let positive = |number| u64::try_from(number).unwrap_or(0);
    let (quota, period) = (positive(linux.cpu_quota), positive(linux.cpu_period));
    Some(Limits {
        shares: linux.cpu_shares,
        quota: if period > 0 {
            resize::quota(quota, period)
        } else {
            0
        },
        memory: linux.memory_limit_in_bytes.max(0),
    })
}

/// Newest first; containers by name, then newest first.
pub(super) fn sorted(mut observed: Observed) -> Observed {
    observed
        .sandboxes
        .sort_by_key(|s| Reverse((s.attempt, s.created)));
    observed.containers.sort_by(|a, b| {
        let age = |c: &ContainerState| Reverse((c.attempt, c.created));
        a.name.cmp(&b.name).then_with(|| age(a).cmp(&age(b)))
    });
    observed
}

fn run_state(state: i32) -> RunState {
    match v1::ContainerState::try_from(state) {
        Ok(v1::ContainerState::ContainerCreated) => RunState::Created,
        Ok(v1::ContainerState::ContainerRunning) => RunState::Running,
        Ok(v1::ContainerState::ContainerExited) => RunState::Exited,
        Ok(v1::ContainerState::ContainerUnknown) | Err(_) => RunState::Unknown,
    }
}

/// Nanoseconds since the epoch; zero and less mean "never".
fn timestamp(nanos: i64) -> Option<Timestamp> {
    (nanos > 0)
        .then(|| Timestamp::from_nanosecond(nanos.into()).ok())
        .flatten()
}

#[cfg(test)]
mod tests;
