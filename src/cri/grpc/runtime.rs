//! The sandbox and container calls.

use super::{GrpcCri, from_status, gone_is_done};
use crate::cri::{Error, ExecOutput, POD_UID_LABEL, Result, Runtime, v1};
use crate::model::{ContainerId, PodUid, SandboxId};
use async_trait::async_trait;
use futures::stream::{BoxStream, StreamExt, TryStreamExt, once};
use std::collections::BTreeMap;
use std::time::Duration;
use tonic::Code;

/// Labels that select one Pod; none select all.
fn of_pod(pod: Option<&PodUid>) -> BTreeMap<String, String> {
    pod.map(|uid| (POD_UID_LABEL.to_owned(), uid.to_string()))
        .into_iter()
        .collect()
}

/// An answer without the part it exists for.
fn empty(call: &'static str) -> Error {
    Error {
        call,
        code: Code::Internal,
        message: "the runtime answered without a status".into(),
    }
}

/// Seconds as CRI has them, rounded up: a limit is never shorter than asked for, and never zero by rounding.
fn whole_seconds(duration: Duration) -> i64 {
    let up = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    i64::try_from(up).unwrap_or(i64::MAX)
}

#[async_trait]
impl Runtime for GrpcCri {
    async fn version(&self) -> Result<v1::VersionResponse> {
        let request = v1::VersionRequest {
            version: "0.1.0".into(),
        };
        self.call("Version", self.runtime.clone().version(request)).await
    }

    async fn status(&self, verbose: bool) -> Result<v1::StatusResponse> {
        self.call(
            "Status",
            self.runtime.clone().status(v1::StatusRequest { verbose }),
        )
        .await
    }

    async fn runtime_config(&self) -> Result<v1::RuntimeConfigResponse> {
        let request = v1::RuntimeConfigRequest {};
        self.call("RuntimeConfig", self.runtime.clone().runtime_config(request))
            .await
    }

    async fn run_pod_sandbox(
        &self,
        config: &v1::PodSandboxConfig,
        runtime_handler: &str,
    ) -> Result<SandboxId> {
        let request = v1::RunPodSandboxRequest {
            config: Some(config.clone()),
            runtime_handler: runtime_handler.to_owned(),
        };
        // Twice the ordinary limit, as kubelet: the network plugin has its time in here.
        let reply = self
            .within(
                "RunPodSandbox",
                Some(self.timeout * 2),
                self.runtime.clone().run_pod_sandbox(request),
            )
            .await?;
        Ok(reply.pod_sandbox_id.into())
    }

    async fn stop_pod_sandbox(&self, id: &SandboxId) -> Result<()> {
        let request = v1::StopPodSandboxRequest {
            pod_sandbox_id: id.to_string(),
        };
        gone_is_done(
            self.call("StopPodSandbox", self.runtime.clone().stop_pod_sandbox(request))
                .await,
        )
    }

    async fn remove_pod_sandbox(&self, id: &SandboxId) -> Result<()> {
        let request = v1::RemovePodSandboxRequest {
            pod_sandbox_id: id.to_string(),
        };
        gone_is_done(
            self.call(
                "RemovePodSandbox",
                self.runtime.clone().remove_pod_sandbox(request),
            )
            .await,
        )
    }

    async fn list_pod_sandboxes(&self, pod: Option<&PodUid>) -> Result<Vec<v1::PodSandbox>> {
        let filter = Some(v1::PodSandboxFilter {
            label_selector: of_pod(pod),
            ..Default::default()
        });
        let request = v1::ListPodSandboxRequest { filter };
        let reply = self
            .call("ListPodSandbox", self.runtime.clone().list_pod_sandbox(request))
            .await?;
        Ok(reply.items)
    }

    async fn pod_sandbox_status(&self, id: &SandboxId) -> Result<v1::PodSandboxStatus> {
        const CALL: &str = "PodSandboxStatus";
        let request = v1::PodSandboxStatusRequest {
            pod_sandbox_id: id.to_string(),
            verbose: false,
        };
        let reply = self
            .call(CALL, self.runtime.clone().pod_sandbox_status(request))
            .await?;
        reply.status.ok_or_else(|| empty(CALL))
    }

    async fn create_container(
        &self,
        sandbox: &SandboxId,
        config: &v1::ContainerConfig,
        sandbox_config: &v1::PodSandboxConfig,
    ) -> Result<ContainerId> {
        let request = v1::CreateContainerRequest {
            pod_sandbox_id: sandbox.to_string(),
            config: Some(config.clone()),
            sandbox_config: Some(sandbox_config.clone()),
        };
        let reply = self
            .call("CreateContainer", self.runtime.clone().create_container(request))
            .await?;
        Ok(reply.container_id.into())
    }

    async fn start_container(&self, id: &ContainerId) -> Result<()> {
        let request = v1::StartContainerRequest {
            container_id: id.to_string(),
        };
        self.call("StartContainer", self.runtime.clone().start_container(request))
            .await
            .map(drop)
    }

    async fn stop_container(&self, id: &ContainerId, timeout_seconds: i64) -> Result<()> {
        let request = v1::StopContainerRequest {
            container_id: id.to_string(),
            timeout: timeout_seconds,
        };
        let grace = Duration::from_secs(u64::try_from(timeout_seconds).unwrap_or(0));
        let limit = self.timeout.saturating_add(grace);
        let call = self
            .within(
                "StopContainer",
                Some(limit),
                self.runtime.clone().stop_container(request),
            )
            .await;
        gone_is_done(call)
    }

    async fn remove_container(&self, id: &ContainerId) -> Result<()> {
        let request = v1::RemoveContainerRequest {
            container_id: id.to_string(),
        };
        gone_is_done(
            self.call("RemoveContainer", self.runtime.clone().remove_container(request))
                .await,
        )
    }

    async fn list_containers(&self, pod: Option<&PodUid>) -> Result<Vec<v1::Container>> {
        let filter = Some(v1::ContainerFilter {
            label_selector: of_pod(pod),
            ..Default::default()
        });
        let request = v1::ListContainersRequest { filter };
        let reply = self
            .call("ListContainers", self.runtime.clone().list_containers(request))
            .await?;
        Ok(reply.containers)
    }

    async fn container_status(&self, id: &ContainerId) -> Result<v1::ContainerStatus> {
        const CALL: &str = "ContainerStatus";
        let request = v1::ContainerStatusRequest {
            container_id: id.to_string(),
            verbose: false,
        };
        let reply = self
            .call(CALL, self.runtime.clone().container_status(request))
            .await?;
        reply.status.ok_or_else(|| empty(CALL))
    }

    async fn update_container_resources(
        &self,
        id: &ContainerId,
        resources: &v1::LinuxContainerResources,
    ) -> Result<()> {
        let request = v1::UpdateContainerResourcesRequest {
            container_id: id.to_string(),
            linux: Some(resources.clone()),
            ..Default::default()
        };
        let mut client = self.runtime.clone();
        self.call(
            "UpdateContainerResources",
            client.update_container_resources(request),
        )
        .await
        .map(drop)
    }

    async fn reopen_container_log(&self, id: &ContainerId) -> Result<()> {
        let request = v1::ReopenContainerLogRequest {
            container_id: id.to_string(),
        };
        self.call(
            "ReopenContainerLog",
            self.runtime.clone().reopen_container_log(request),
        )
        .await
        .map(drop)
    }

    async fn checkpoint_container(&self, id: &ContainerId, location: &str, timeout: Duration) -> Result<()> {
        let request = v1::CheckpointContainerRequest {
            container_id: id.to_string(),
            location: location.to_owned(),
            timeout: whole_seconds(timeout),
        };
        let limit = Some(self.timeout.saturating_add(timeout));
        let mut runtime = self.runtime.clone();
        let call = runtime.checkpoint_container(request);
        self.within("CheckpointContainer", limit, call).await.map(drop)
    }

    async fn exec_sync(&self, id: &ContainerId, command: &[String], timeout: Duration) -> Result<ExecOutput> {
        let request = v1::ExecSyncRequest {
            container_id: id.to_string(),
            cmd: command.to_vec(),
            timeout: whole_seconds(timeout),
        };
        let limit = (!timeout.is_zero()).then(|| self.timeout.saturating_add(timeout));
        let reply = self
            .within("ExecSync", limit, self.runtime.clone().exec_sync(request))
            .await?;
        Ok(ExecOutput {
            stdout: reply.stdout,
            stderr: reply.stderr,
            exit_code: reply.exit_code,
        })
    }

    async fn exec(&self, request: v1::ExecRequest) -> Result<String> {
        Ok(self.call("Exec", self.runtime.clone().exec(request)).await?.url)
    }

    async fn attach(&self, request: v1::AttachRequest) -> Result<String> {
        Ok(self
            .call("Attach", self.runtime.clone().attach(request))
            .await?
            .url)
    }

    async fn port_forward(&self, request: v1::PortForwardRequest) -> Result<String> {
        Ok(self
            .call("PortForward", self.runtime.clone().port_forward(request))
            .await?
            .url)
    }

    async fn list_container_stats(&self, pod: Option<&PodUid>) -> Result<Vec<v1::ContainerStats>> {
        let filter = Some(v1::ContainerStatsFilter {
            label_selector: of_pod(pod),
            ..Default::default()
        });
        let request = v1::ListContainerStatsRequest { filter };
        let reply = self
            .call(
                "ListContainerStats",
                self.runtime.clone().list_container_stats(request),
            )
            .await?;
        Ok(reply.stats)
    }

    async fn list_pod_sandbox_stats(&self, pod: Option<&PodUid>) -> Result<Vec<v1::PodSandboxStats>> {
        let filter = Some(v1::PodSandboxStatsFilter {
            label_selector: of_pod(pod),
            ..Default::default()
        });
        let request = v1::ListPodSandboxStatsRequest { filter };
        let reply = self
            .call(
                "ListPodSandboxStats",
                self.runtime.clone().list_pod_sandbox_stats(request),
            )
            .await?;
        Ok(reply.stats)
    }

    async fn container_events(&self) -> Result<BoxStream<'static, Result<v1::ContainerEventResponse>>> {
        const CALL: &str = "GetContainerEvents";
        let mut client = self.runtime.clone();
        // A Go server sends its headers with the first message, so awaiting the call here would wait for the first
        // event. The call is made when the stream is first polled; that it is unimplemented is then its first item.
        let opened = async move {
            let reply = client.get_container_events(v1::GetEventsRequest {}).await;
            let stream = reply.map_err(|status| from_status(CALL, &status))?.into_inner();
            Ok::<_, Error>(stream.map_err(|status| from_status(CALL, &status)))
        };
        Ok(once(opened).try_flatten().boxed())
    }
}
