//! The sandbox and container half of the fake.

use super::{FakeContainer, FakeCri, State, error, has_uid, metadata};
use crate::cri::{self, ExecOutput, Runtime, v1};
use crate::model::{ContainerId, PodUid, SandboxId};
use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use std::sync::MutexGuard;
use std::time::Duration;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tonic::Code;
use v1::{ContainerEventType as Event, ContainerState as CState, PodSandboxState as SState};

impl State {
    fn sandbox(&self, call: &'static str, id: &SandboxId) -> cri::Result<&v1::PodSandboxStatus> {
        let missing = || {
            error(
                call,
                Code::NotFound,
                format!("an error occurred when try to find sandbox: not found: {id}"),
            )
        };
        self.sandboxes.get(id).ok_or_else(missing)
    }

    fn container(&mut self, call: &'static str, id: &ContainerId) -> cri::Result<&mut FakeContainer> {
        let missing = || {
            error(
                call,
                Code::NotFound,
                format!("an error occurred when try to find container {id:?}: not found"),
            )
        };
        self.containers.get_mut(id).ok_or_else(missing)
    }

    fn containers_of(&self, sandbox: &SandboxId) -> Vec<ContainerId> {
        self.containers
            .iter()
            .filter(|(_, c)| c.sandbox == *sandbox)
            .map(|(id, _)| id.clone())
            .collect()
    }

    fn drop_container(&mut self, id: &ContainerId) {
        self.exit(id, 137, "Error");
        if let Some(gone) = self.containers.remove(id) {
            self.send(id.as_str(), Event::ContainerDeletedEvent, &gone.sandbox);
        }
    }

    fn sandbox_title(&self, id: &SandboxId) -> String {
        let metadata = self
            .sandboxes
            .get(id)
            .and_then(|s| s.metadata.clone())
            .unwrap_or_default();
        format!("{}/{}", metadata.name, metadata.attempt)
    }

    fn container_title(&self, id: &ContainerId) -> String {
        let metadata = self
            .containers
            .get(id)
            .map(|c| metadata(&c.status))
            .unwrap_or_default();
        format!("{}/{}", metadata.name, metadata.attempt)
    }
}

impl FakeCri {
    /// A call about a container, written down with its name.
    fn about(&self, call: &'static str, id: &ContainerId, more: &str) -> cri::Result<MutexGuard<'_, State>> {
        let mut state = self.lock();
        let title = state.container_title(id);
        state.note(format!("{call} {title}{more}"));
        drop(state);
        self.call(call)
    }
}

fn host_network(config: &v1::PodSandboxConfig) -> bool {
    let linux = config.linux.as_ref().and_then(|l| l.security_context.as_ref());
    let options = linux.and_then(|s| s.namespace_options.as_ref());
    options.is_some_and(|o| o.network == v1::NamespaceMode::Node as i32)
}

#[async_trait]
impl Runtime for FakeCri {
    async fn version(&self) -> cri::Result<v1::VersionResponse> {
        drop(self.call("Version")?);
        Ok(v1::VersionResponse {
            version: "0.1.0".into(),
            runtime_name: "fake".into(),
            runtime_version: "v1.0.0".into(),
            runtime_api_version: "v1".into(),
        })
    }

    async fn status(&self, _verbose: bool) -> cri::Result<v1::StatusResponse> {
        let state = self.call("Status")?;
        let condition = |kind: &str, status: bool| v1::RuntimeCondition {
            r#type: kind.into(),
            status,
            reason: if status {
                String::new()
            } else {
                "NetworkPluginNotReady".into()
            },
            message: if status {
                String::new()
            } else {
                "cni plugin not initialized".into()
            },
        };
        let conditions = vec![
            condition("RuntimeReady", true),
            condition("NetworkReady", state.network_ready),
        ];
        Ok(v1::StatusResponse {
            status: Some(v1::RuntimeStatus { conditions }),
            ..Default::default()
        })
    }

    async fn runtime_config(&self) -> cri::Result<v1::RuntimeConfigResponse> {
        drop(self.call("RuntimeConfig")?);
        let cgroup_driver = v1::CgroupDriver::Cgroupfs as i32;
        Ok(v1::RuntimeConfigResponse {
            linux: Some(v1::LinuxRuntimeConfiguration { cgroup_driver }),
        })
    }

    async fn run_pod_sandbox(
        &self,
        config: &v1::PodSandboxConfig,
        runtime_handler: &str,
    ) -> cri::Result<SandboxId> {
        const CALL: &str = "RunPodSandbox";
        let wanted = config.metadata.clone().unwrap_or_default();
        let with = match runtime_handler {
            "" => String::new(),
            handler => format!(" with {handler}"),
        };
        self.lock()
            .note(format!("{CALL} {}/{}{with}", wanted.name, wanted.attempt));
        let mut state = self.call(CALL)?;
        let holder = state
            .sandboxes
            .values()
            .find(|s| s.metadata.as_ref() == Some(&wanted));
        if let Some(holder) = holder {
            let v1::PodSandboxMetadata {
                name,
                namespace,
                uid,
                attempt,
            } = &wanted;
            let full = format!("{name}_{namespace}_{uid}_{attempt}");
            let words = format!(
                "failed to reserve sandbox name {full:?}: name {full:?} is reserved for {:?}",
                holder.id
            );
            return Err(error(CALL, Code::Unknown, words));
        }
        let id = SandboxId::from(state.next_id("sandbox"));
        let ip = if host_network(config) {
            String::new()
        } else {
            state.free_address()
        };
        let status = v1::PodSandboxStatus {
            id: id.to_string(),
            metadata: Some(wanted),
            state: SState::SandboxReady as i32,
            created_at: state.now(),
            network: Some(v1::PodSandboxNetworkStatus {
                ip,
                additional_ips: Vec::new(),
            }),
            labels: config.labels.clone(),
            annotations: config.annotations.clone(),
            runtime_handler: runtime_handler.into(),
            ..Default::default()
        };
        state.sandboxes.insert(id.clone(), status);
        state.send(id.as_str(), Event::ContainerCreatedEvent, &id);
        state.send(id.as_str(), Event::ContainerStartedEvent, &id);
        Ok(id)
    }

    async fn stop_pod_sandbox(&self, id: &SandboxId) -> cri::Result<()> {
        let title = self.lock().sandbox_title(id);
        self.lock().note(format!("StopPodSandbox {title}"));
        let mut state = self.call("StopPodSandbox")?;
        for container in state.containers_of(id) {
            state.exit(&container, 137, "Error");
        }
        if let Some(sandbox) = state.sandboxes.get_mut(id) {
            sandbox.state = SState::SandboxNotready as i32;
            sandbox.network = None;
            state.send(id.as_str(), Event::ContainerStoppedEvent, id);
        }
        Ok(())
    }

    async fn remove_pod_sandbox(&self, id: &SandboxId) -> cri::Result<()> {
        let title = self.lock().sandbox_title(id);
        self.lock().note(format!("RemovePodSandbox {title}"));
        let mut state = self.call("RemovePodSandbox")?;
        for container in state.containers_of(id) {
            state.drop_container(&container);
        }
        if state.sandboxes.remove(id).is_some() {
            state.send(id.as_str(), Event::ContainerDeletedEvent, id);
        }
        Ok(())
    }

    async fn list_pod_sandboxes(&self, pod: Option<&PodUid>) -> cri::Result<Vec<v1::PodSandbox>> {
        let state = self.call("ListPodSandbox")?;
        let matching = state.sandboxes.values().filter(|s| has_uid(&s.labels, pod));
        let listed = matching.cloned().map(|s| v1::PodSandbox {
            id: s.id,
            metadata: s.metadata,
            state: s.state,
            created_at: s.created_at,
            labels: s.labels,
            annotations: s.annotations,
            runtime_handler: s.runtime_handler,
        });
        Ok(listed.collect())
    }

    async fn pod_sandbox_status(&self, id: &SandboxId) -> cri::Result<v1::PodSandboxStatus> {
        self.call("PodSandboxStatus")?
            .sandbox("PodSandboxStatus", id)
            .cloned()
    }

    async fn create_container(
        &self,
        sandbox: &SandboxId,
        config: &v1::ContainerConfig,
        _sandbox_config: &v1::PodSandboxConfig,
    ) -> cri::Result<ContainerId> {
        const CALL: &str = "CreateContainer";
        let wanted = config.metadata.clone().unwrap_or_default();
        self.lock()
            .note(format!("{CALL} {}/{}", wanted.name, wanted.attempt));
        let mut state = self.call(CALL)?;
        if state.sandbox(CALL, sandbox)?.state != SState::SandboxReady as i32 {
            return Err(error(
                CALL,
                Code::Unknown,
                format!("sandbox {sandbox} is not running"),
            ));
        }
        if let Some(holder) = state.reserved(sandbox, &wanted) {
            let full = format!("{}_{sandbox}_{}", wanted.name, wanted.attempt);
            let words = format!(
                "failed to reserve container name {full:?}: name {full:?} is reserved for {:?}",
                holder.as_str()
            );
            return Err(error(CALL, Code::Unknown, words));
        }
        let image = config.image.clone().unwrap_or_default();
        let Some(found) = state.find_image(&image.image).cloned() else {
            return Err(error(
                CALL,
                Code::NotFound,
                format!("image {:?}: not found", image.image),
            ));
        };
        let id = ContainerId::from(state.next_id("container"));
        let status = v1::ContainerStatus {
            id: id.to_string(),
            metadata: Some(wanted),
            state: CState::ContainerCreated as i32,
            created_at: state.now(),
            image: Some(v1::ImageSpec {
                image: found.repo_tags.first().cloned().unwrap_or(image.image),
                ..Default::default()
            }),
            image_ref: found.repo_digests.first().cloned().unwrap_or_default(),
            image_id: found.id,
            resources: config.linux.as_ref().map(|linux| v1::ContainerResources {
                linux: linux.resources.clone(),
            }),
            labels: config.labels.clone(),
            annotations: config.annotations.clone(),
            mounts: config.mounts.clone(),
            log_path: config.log_path.clone(),
            ..Default::default()
        };
        let (sandbox, config) = (sandbox.clone(), config.clone());
        state.containers.insert(
            id.clone(),
            FakeContainer {
                sandbox: sandbox.clone(),
                status,
                config,
            },
        );
        state.send(id.as_str(), Event::ContainerCreatedEvent, &sandbox);
        Ok(id)
    }

    async fn start_container(&self, id: &ContainerId) -> cri::Result<()> {
        const CALL: &str = "StartContainer";
        let mut state = self.about(CALL, id, "")?;
        let now = state.now();
        let container = state.container(CALL, id)?;
        if container.status.state != CState::ContainerCreated as i32 {
            let words = format!(
                "failed to set starting state for container {id:?}: container is not in created state"
            );
            return Err(error(CALL, Code::Unknown, words));
        }
        let sandbox = container.sandbox.clone();
        if state.sandbox(CALL, &sandbox)?.state != SState::SandboxReady as i32 {
            let words = format!("sandbox container {sandbox:?} is not running");
            return Err(error(CALL, Code::Unknown, words));
        }
        let container = state.container(CALL, id)?;
        container.status.state = CState::ContainerRunning as i32;
        container.status.started_at = now;
        let (sandbox, name) = (container.sandbox.clone(), metadata(&container.status).name);
        state.send(id.as_str(), Event::ContainerStartedEvent, &sandbox);
        if let Some(code) = state.exits_at_start.get(&name).copied() {
            state.exit(id, code, if code == 0 { "Completed" } else { "Error" });
        }
        Ok(())
    }

    async fn stop_container(&self, id: &ContainerId, timeout_seconds: i64) -> cri::Result<()> {
        let mut state = self.about("StopContainer", id, &format!(" {timeout_seconds}"))?;
        let (code, reason) = if timeout_seconds > 0 {
            (0, "Completed")
        } else {
            (137, "Error")
        };
        state.exit(id, code, reason);
        Ok(())
    }

    async fn remove_container(&self, id: &ContainerId) -> cri::Result<()> {
        self.about("RemoveContainer", id, "")?.drop_container(id);
        Ok(())
    }

    async fn list_containers(&self, pod: Option<&PodUid>) -> cri::Result<Vec<v1::Container>> {
        let state = self.call("ListContainers")?;
        let matching = state
            .containers
            .values()
            .filter(|c| has_uid(&c.status.labels, pod));
        let listed = matching.cloned().map(|c| v1::Container {
            id: c.status.id,
            pod_sandbox_id: c.sandbox.to_string(),
            metadata: c.status.metadata,
            image: c.status.image,
            image_ref: c.status.image_ref,
            state: c.status.state,
            created_at: c.status.created_at,
            labels: c.status.labels,
            annotations: c.status.annotations,
            image_id: c.status.image_id,
        });
        Ok(listed.collect())
    }

    async fn container_status(&self, id: &ContainerId) -> cri::Result<v1::ContainerStatus> {
        let mut state = self.call("ContainerStatus")?;
        state.container("ContainerStatus", id).map(|c| c.status.clone())
    }

    async fn update_container_resources(
        &self,
        id: &ContainerId,
        resources: &v1::LinuxContainerResources,
    ) -> cri::Result<()> {
        const CALL: &str = "UpdateContainerResources";
        let mut state = self.about(CALL, id, "")?;
        state.container(CALL, id)?.status.resources = Some(v1::ContainerResources {
            linux: Some(resources.clone()),
        });
        Ok(())
    }

    async fn reopen_container_log(&self, id: &ContainerId) -> cri::Result<()> {
        let mut state = self.about("ReopenContainerLog", id, "")?;
        state.container("ReopenContainerLog", id).map(drop)
    }

    async fn checkpoint_container(
        &self,
        id: &ContainerId,
        location: &str,
        timeout: Duration,
    ) -> cri::Result<()> {
        const CALL: &str = "CheckpointContainer";
        let what = format!(" {location} {}s", timeout.as_secs());
        let mut state = self.about(CALL, id, &what)?;
        state.container(CALL, id).map(drop)
    }

    async fn exec_sync(
        &self,
        id: &ContainerId,
        command: &[String],
        _timeout: Duration,
    ) -> cri::Result<ExecOutput> {
        const CALL: &str = "ExecSync";
        let line = command.join(" ");
        let mut state = self.about(CALL, id, &format!(" {line}"))?;
        if state.container(CALL, id)?.status.state != CState::ContainerRunning as i32 {
            return Err(error(CALL, Code::Unknown, "container is not running"));
        }
        state
            .exec
            .get(&line)
            .cloned()
            .unwrap_or_else(|| Ok(ExecOutput::default()))
    }

    async fn exec(&self, request: v1::ExecRequest) -> cri::Result<String> {
        self.call("Exec")?.stream("Exec", &request)
    }

    async fn attach(&self, request: v1::AttachRequest) -> cri::Result<String> {
        self.call("Attach")?.stream("Attach", &request)
    }

    async fn port_forward(&self, request: v1::PortForwardRequest) -> cri::Result<String> {
        self.call("PortForward")?.stream("PortForward", &request)
    }

    async fn list_container_stats(&self, _pod: Option<&PodUid>) -> cri::Result<Vec<v1::ContainerStats>> {
        Ok(Vec::new())
    }

    async fn list_pod_sandbox_stats(&self, _pod: Option<&PodUid>) -> cri::Result<Vec<v1::PodSandboxStats>> {
        Ok(Vec::new())
    }

    async fn container_events(
        &self,
    ) -> cri::Result<BoxStream<'static, cri::Result<v1::ContainerEventResponse>>> {
        const CALL: &str = "GetContainerEvents";
        let receiver = match &self.call(CALL)?.events {
            Some(events) => events.subscribe(),
            None => {
                // As over gRPC: the call itself succeeds, the first item is the error.
                let unknown = error(CALL, Code::Unimplemented, "unknown method GetContainerEvents");
                return Ok(stream::once(async { Err(unknown) }).boxed());
            }
        };
        Ok(stream::unfold(receiver, next_event).boxed())
    }
}

async fn next_event(
    mut receiver: Receiver<v1::ContainerEventResponse>,
) -> Option<(
    cri::Result<v1::ContainerEventResponse>,
    Receiver<v1::ContainerEventResponse>,
)> {
    match receiver.recv().await {
        Ok(event) => Some((Ok(event), receiver)),
        Err(RecvError::Lagged(lost)) => {
            let words = format!("{lost} events lost");
            Some((Err(error("GetContainerEvents", Code::DataLoss, words)), receiver))
        }
        Err(RecvError::Closed) => None,
    }
}
