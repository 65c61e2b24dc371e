//! A container runtime in memory: a stateful model of containerd behind `cri::Runtime` and `cri::Images`.
//!
//! It keeps what a real runtime keeps (sandboxes, containers, images, reserved names), refuses what a real one refuses
//! (a second container of the same name and attempt, a container without its image, a start of what is no longer
//! created), sends the same events, and writes down every call. Tests make containers exit, pulls fail or wait, and
//! calls return errors.

mod images;
mod runtime;

use crate::cri::{self, ExecOutput, v1};
use crate::model::{ContainerId, PodUid, SandboxId};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::{Semaphore, broadcast};

/// The fake. Clones share the same state.
#[derive(Clone, Debug)]
pub struct FakeCri(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    /// One permit per pull while pulls are held, plenty otherwise.
    pull_gate: Semaphore,
}

#[derive(Debug)]
struct State {
    sandboxes: BTreeMap<SandboxId, v1::PodSandboxStatus>,
    containers: BTreeMap<ContainerId, FakeContainer>,
    /// On the node, by image id.
    images: BTreeMap<String, v1::Image>,
    /// In the registry, by full name.
    registry: BTreeMap<String, v1::Image>,
    broken_pulls: BTreeMap<String, String>,
    failures: BTreeMap<&'static str, cri::Error>,
    exits_at_start: BTreeMap<String, i32>,
    exec: BTreeMap<String, cri::Result<ExecOutput>>,
    stream_url: Option<String>,
    network_ready: bool,
    /// `None` once events are switched off.
    events: Option<broadcast::Sender<v1::ContainerEventResponse>>,
    calls: Vec<String>,
    clock: Option<Timestamp>,
    counter: u32,
}

#[derive(Clone, Debug)]
struct FakeContainer {
    sandbox: SandboxId,
    status: v1::ContainerStatus,
    config: v1::ContainerConfig,
}

impl Default for FakeCri {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeCri {
    /// An empty, healthy runtime with the system's clock.
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            state: Mutex::new(State {
                sandboxes: BTreeMap::new(),
                containers: BTreeMap::new(),
                images: BTreeMap::new(),
                registry: BTreeMap::new(),
                broken_pulls: BTreeMap::new(),
                failures: BTreeMap::new(),
                exits_at_start: BTreeMap::new(),
                exec: BTreeMap::new(),
                stream_url: None,
                network_ready: true,
                events: Some(broadcast::channel(1024).0),
                calls: Vec::new(),
                clock: None,
                counter: 0,
            }),
            pull_gate: Semaphore::new(Semaphore::MAX_PERMITS),
        }))
    }

    /// Puts an image on the node. Any valid name; short names are completed as containerd does.
    pub fn add_image(&self, name: &str) {
        let image = images::made_up(name);
        self.lock().images.insert(image.id.clone(), image);
    }
    /// Puts an image into the registry, so that it can be pulled.
    pub fn serve_image(&self, name: &str) {
        let image = images::made_up(name);
        self.lock().registry.insert(images::full_name(name), image);
    }
    /// Pulls of this image fail with code Unknown and these words, until [`FakeCri::serve_image`] and
    /// [`FakeCri::repair_pull`].
    pub fn break_pull(&self, name: &str, message: &str) {
        self.lock()
            .broken_pulls
            .insert(images::full_name(name), message.into());
    }
    /// Takes [`FakeCri::break_pull`] back.
    pub fn repair_pull(&self, name: &str) {
        self.lock().broken_pulls.remove(&images::full_name(name));
    }
    /// Pulls wait from now on, each for one permit of [`FakeCri::release_pulls`].
    pub fn hold_pulls(&self) {
        self.0.pull_gate.forget_permits(Semaphore::MAX_PERMITS);
    }
    /// Lets this many waiting or future pulls go on.
    pub fn release_pulls(&self, count: usize) {
        self.0.pull_gate.add_permits(count);
    }

    /// Every call of this RPC (`StartContainer`, …) fails until [`FakeCri::heal`].
    pub fn fail(&self, call: &'static str, code: tonic::Code, message: &str) {
        let error = error(call, code, message);
        self.lock().failures.insert(call, error);
    }
    /// The RPC works again.
    pub fn heal(&self, call: &'static str) {
        self.lock().failures.remove(call);
    }
    /// What `exec_sync` answers for a command line (words joined by blanks); by default exit code 0.
    pub fn answer_exec(&self, command: &str, answer: cri::Result<ExecOutput>) {
        self.lock().exec.insert(command.into(), answer);
    }
    /// Where the streaming server is that Exec, Attach and PortForward name; without one they are Unimplemented.
    pub fn stream_at(&self, url: &str) {
        self.lock().stream_url = Some(url.into());
    }
    /// Containers of this name exit with this code as soon as they are started.
    pub fn exit_at_start(&self, container: &str, code: i32) {
        self.lock().exits_at_start.insert(container.into(), code);
    }
    /// The `NetworkReady` condition.
    pub fn set_network_ready(&self, ready: bool) {
        self.lock().network_ready = ready;
    }

    /// Makes a running container exit, as its process would.
    pub fn exit(&self, id: &ContainerId, code: i32) {
        let mut state = self.lock();
        let reason = if code == 0 { "Completed" } else { "Error" };
        state.exit(id, code, reason);
    }
    /// Removes a container as if somebody else had done it, with its event.
    pub fn lose_container(&self, id: &ContainerId) {
        let mut state = self.lock();
        if let Some(gone) = state.containers.remove(id) {
            let sandbox = gone.sandbox;
            state.send(
                id.as_str(),
                v1::ContainerEventType::ContainerDeletedEvent,
                &sandbox,
            );
        }
    }
    /// Makes a sandbox not ready, as if its pause process had died.
    pub fn kill_sandbox(&self, id: &SandboxId) {
        let mut state = self.lock();
        if let Some(sandbox) = state.sandboxes.get_mut(id) {
            sandbox.state = v1::PodSandboxState::SandboxNotready as i32;
            state.send(id.as_str(), v1::ContainerEventType::ContainerStoppedEvent, id);
        }
    }
    /// Switches events off: running streams end, and new ones are Unimplemented, as with containerd 1.6.
    pub fn disable_events(&self) {
        self.lock().events = None;
    }
    /// Ends all running event streams, as a restart of the runtime does; new streams work.
    pub fn cut_events(&self) {
        self.lock().events = Some(broadcast::channel(1024).0);
    }

    /// Stops the clock at this time; every timestamp from now on is this one.
    pub fn set_time(&self, now: Timestamp) {
        self.lock().clock = Some(now);
    }

    /// Every call so far, in order: `RunPodSandbox web/0`, `StopContainer app/0 30`, `PullImage docker.io/…`.
    /// Lists and status calls are not written down.
    pub fn calls(&self) -> Vec<String> {
        self.lock().calls.clone()
    }
    /// Forgets the calls so far and returns them.
    pub fn take_calls(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().calls)
    }
    /// The newest container of this name, in any Pod.
    pub fn container(&self, name: &str) -> Option<ContainerId> {
        let state = self.lock();
        let named = state
            .containers
            .iter()
            .filter(|(_, c)| metadata(&c.status).name == name);
        named
            .max_by_key(|(_, c)| (metadata(&c.status).attempt, c.status.created_at))
            .map(|(id, _)| id.clone())
    }
    /// What a container was created from.
    pub fn container_config(&self, id: &ContainerId) -> Option<v1::ContainerConfig> {
        self.lock().containers.get(id).map(|c| c.config.clone())
    }
    /// Ids of all sandboxes of a Pod.
    pub fn sandboxes(&self, pod: &PodUid) -> Vec<SandboxId> {
        let state = self.lock();
        let of_pod = state
            .sandboxes
            .iter()
            .filter(|(_, s)| has_uid(&s.labels, Some(pod)));
        of_pod.map(|(id, _)| id.clone()).collect()
    }
    /// Every sandbox there is.
    pub fn every_sandbox(&self) -> Vec<v1::PodSandboxStatus> {
        self.lock().sandboxes.values().cloned().collect()
    }
    /// Every container there is, with its sandbox.
    pub fn every_container(&self) -> Vec<(SandboxId, v1::ContainerStatus)> {
        let state = self.lock();
        let all = state.containers.values();
        all.map(|c| (c.sandbox.clone(), c.status.clone())).collect()
    }
    /// True when there is neither a sandbox nor a container.
    pub fn is_empty(&self) -> bool {
        let state = self.lock();
        state.sandboxes.is_empty() && state.containers.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0
            .state
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
    /// Locks the state for one RPC, unless that RPC is made to fail.
    fn call(&self, name: &'static str) -> cri::Result<MutexGuard<'_, State>> {
        let state = self.lock();
        match state.failures.get(name) {
            Some(error) => Err(error.clone()),
            None => Ok(state),
        }
    }
}

impl State {
    fn now(&self) -> i64 {
        let nanos = self.clock.unwrap_or_else(Timestamp::now).as_nanosecond();
        i64::try_from(nanos).expect("this century fits")
    }

    fn next_id(&mut self, kind: &str) -> String {
        self.counter += 1;
        format!("{kind}-{:04}", self.counter)
    }

    fn note(&mut self, call: String) {
        self.calls.push(call);
    }

    fn stream(&mut self, call: &'static str, request: &impl std::fmt::Debug) -> cri::Result<String> {
        self.note(format!("{call} {request:?}"));
        let none = || {
            error(
                call,
                tonic::Code::Unimplemented,
                "the fake has no streaming server",
            )
        };
        self.stream_url.clone().ok_or_else(none)
    }

    fn exit(&mut self, id: &ContainerId, code: i32, reason: &str) {
        let now = self.now();
        let Some(container) = self.containers.get_mut(id) else {
            return;
        };
        let status = &mut container.status;
        if status.state != v1::ContainerState::ContainerRunning as i32 {
            return;
        }
        status.state = v1::ContainerState::ContainerExited as i32;
        status.finished_at = now;
        status.exit_code = code;
        status.reason = reason.into();
        let sandbox = container.sandbox.clone();
        self.send(
            id.as_str(),
            v1::ContainerEventType::ContainerStoppedEvent,
            &sandbox,
        );
    }

    fn send(&self, id: &str, kind: v1::ContainerEventType, sandbox: &SandboxId) {
        let Some(events) = &self.events else { return };
        let of_sandbox = self.containers.values().filter(|c| c.sandbox == *sandbox);
        // Without a subscriber the event is lost, as it should be.
        let _ = events.send(v1::ContainerEventResponse {
            container_id: id.into(),
            container_event_type: kind as i32,
            created_at: self.now(),
            pod_sandbox_status: self.sandboxes.get(sandbox).cloned(),
            containers_statuses: of_sandbox.map(|c| c.status.clone()).collect(),
        });
    }

    /// Names as containerd reserves them: one container of a name and attempt per Pod. Who has this one.
    fn reserved(&self, sandbox: &SandboxId, wanted: &v1::ContainerMetadata) -> Option<ContainerId> {
        let uid = |id: &SandboxId| {
            self.sandboxes
                .get(id)
                .and_then(|s| s.metadata.clone())
                .map(|m| m.uid)
        };
        self.containers
            .iter()
            .find(|(_, c)| metadata(&c.status) == *wanted && uid(&c.sandbox) == uid(sandbox))
            .map(|(id, _)| id.clone())
    }

    fn free_address(&self) -> String {
        let taken: BTreeSet<_> = self
            .sandboxes
            .values()
            .filter_map(|s| s.network.as_ref())
            .map(|n| n.ip.clone())
            .collect();
        let mut addresses = (2u8..=254).map(|n| format!("10.244.0.{n}"));
        addresses
            .find(|a| !taken.contains(a))
            .expect("fewer than 253 fake pods")
    }
}

fn metadata(status: &v1::ContainerStatus) -> v1::ContainerMetadata {
    status.metadata.clone().unwrap_or_default()
}

fn has_uid(labels: &BTreeMap<String, String>, pod: Option<&PodUid>) -> bool {
    pod.is_none_or(|uid| labels.get(cri::POD_UID_LABEL).is_some_and(|l| l == uid.as_str()))
}

fn error(call: &'static str, code: tonic::Code, message: impl Into<String>) -> cri::Error {
    cri::Error {
        call,
        code,
        message: message.into(),
    }
}

#[cfg(test)]
mod tests;
