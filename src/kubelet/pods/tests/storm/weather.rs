//! The runtime as the agent meets it in a storm: calls take time, fail before or after they took effect, events get
//! lost, double or come out of order. Whatever changes in the runtime is written down as a [`Fact`].

use crate::cri::{self, ExecOutput, Images, Runtime, v1};
use crate::model::{ContainerId, PodUid, SandboxId};
use crate::testing::FakeCri;
use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tonic::Code;

/// Longest time a container that ignores its stop signal goes on.
const STUBBORN: Duration = Duration::from_secs(5);

/// A runtime in bad weather. Clones share everything.
#[derive(Clone, Debug)]
pub(super) struct Weather {
    pub(super) fake: FakeCri,
    sky: Arc<Mutex<Sky>>,
}

#[derive(Debug, Default)]
struct Sky {
    faults: Vec<Fault>,
    latency: Duration,
    stubborn: BTreeSet<String>,
    mishaps: Vec<Mishap>,
    facts: Vec<Fact>,
    containers: BTreeMap<String, Container>,
    sandboxes: BTreeMap<String, Sandbox>,
}

/// The next calls of an RPC fail.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) call: &'static str,
    pub(super) code: Code,
    /// They fail although they have done what they were asked for.
    pub(super) after: bool,
    pub(super) times: u32,
}

/// What becomes of the next event.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mishap {
    Lost,
    Doubled,
    /// It comes after its successor.
    Swapped,
}

/// A container as it really is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Container {
    pub(super) pod: String,
    pub(super) name: String,
    pub(super) sandbox: String,
    pub(super) state: v1::ContainerState,
    pub(super) exit_code: i32,
}

/// A sandbox as it really is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sandbox {
    pub(super) pod: String,
    pub(super) ready: bool,
}

/// A StopContainer without any grace, as the rules know it.
const KILL: &str = "KillContainer";

/// What happened, in order.
#[derive(Clone, Debug)]
pub(super) enum Fact {
    /// The agent asked for this; of which Pod, and of which container or sandbox where there is one already.
    Asked {
        call: &'static str,
        pod: String,
        id: String,
        /// Name of the container, where it is about one.
        name: String,
    },
    /// A container has changed; `now` is nothing once it is removed.
    Container {
        id: String,
        was: Option<Container>,
        now: Option<Container>,
    },
    /// A sandbox has changed.
    Sandbox {
        id: String,
        was: Option<Sandbox>,
        now: Option<Sandbox>,
    },
}

impl Weather {
    pub(super) fn over(fake: FakeCri) -> Self {
        Self {
            fake,
            sky: Arc::default(),
        }
    }

    pub(super) fn fault(&self, fault: Fault) {
        self.sky().faults.push(fault);
    }

    pub(super) fn mishap(&self, mishap: Mishap) {
        self.sky().mishaps.push(mishap);
    }

    pub(super) fn slow(&self, latency: Duration) {
        self.sky().latency = latency;
    }

    /// This container of this Pod ignores its stop signal.
    pub(super) fn stubborn(&self, pod: &str, container: &str) {
        self.sky().stubborn.insert(format!("{pod}/{container}"));
    }

    pub(super) fn clear_up(&self) {
        let mut sky = self.sky();
        sky.faults.clear();
        sky.mishaps.clear();
        sky.latency = Duration::ZERO;
    }

    /// What happened since the last time.
    pub(super) fn facts(&self) -> Vec<Fact> {
        self.look();
        std::mem::take(&mut self.sky().facts)
    }

    pub(super) fn containers(&self) -> BTreeMap<String, Container> {
        self.look();
        self.sky().containers.clone()
    }

    pub(super) fn sandboxes(&self) -> BTreeMap<String, Sandbox> {
        self.look();
        self.sky().sandboxes.clone()
    }

    fn sky(&self) -> MutexGuard<'_, Sky> {
        self.sky.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Writes down what has changed.
    pub(super) fn look(&self) {
        let label = |labels: &BTreeMap<String, String>| labels.get(cri::POD_UID_LABEL).cloned();
        let containers = self.fake.every_container().into_iter().map(|(sandbox, status)| {
            let container = Container {
                pod: label(&status.labels).unwrap_or_default(),
                name: status.metadata.clone().unwrap_or_default().name,
                sandbox: sandbox.to_string(),
                state: status.state(),
                exit_code: status.exit_code,
            };
            (status.id, container)
        });
        let sandboxes = self.fake.every_sandbox().into_iter().map(|status| {
            let sandbox = Sandbox {
                pod: label(&status.labels).unwrap_or_default(),
                ready: status.state() == v1::PodSandboxState::SandboxReady,
            };
            (status.id, sandbox)
        });
        let mut sky = self.sky();
        let was = std::mem::replace(&mut sky.sandboxes, sandboxes.collect());
        for (id, was, now) in differing(was, &sky.sandboxes) {
            sky.facts.push(Fact::Sandbox { id, was, now });
        }
        let was = std::mem::replace(&mut sky.containers, containers.collect());
        for (id, was, now) in differing(was, &sky.containers) {
            sky.facts.push(Fact::Container { id, was, now });
        }
    }

    /// One call: it is written down, takes its time, and may fail on either side of its effect.
    async fn call<T>(
        &self,
        call: &'static str,
        about: Option<(String, String, String)>,
        effect: impl Future<Output = cri::Result<T>>,
    ) -> cri::Result<T> {
        if let Some((pod, id, name)) = about {
            self.look();
            self.sky().facts.push(Fact::Asked { call, pod, id, name });
            self.pause().await;
        }
        let call = if call == KILL { "StopContainer" } else { call };
        self.strike(call, false)?;
        let done = effect.await;
        self.look();
        self.pause().await;
        self.strike(call, true)?;
        done
    }

    async fn pause(&self) {
        let half = self.sky().latency / 2;
        if !half.is_zero() {
            tokio::time::sleep(half).await;
        }
    }

    fn strike(&self, call: &'static str, after: bool) -> cri::Result<()> {
        let mut sky = self.sky();
        let hit = sky.faults.iter().position(|f| f.call == call && f.after == after);
        let Some(at) = hit else { return Ok(()) };
        sky.faults[at].times -= 1;
        let code = sky.faults[at].code;
        sky.faults.retain(|f| f.times > 0);
        Err(cri::Error {
            call,
            code,
            message: "bad weather".into(),
        })
    }

    fn about(&self, id: &ContainerId) -> Option<(String, String, String)> {
        self.look();
        let sky = self.sky();
        let container = sky.containers.get(id.as_str());
        let (pod, name) = container
            .map(|c| (c.pod.clone(), c.name.clone()))
            .unwrap_or_default();
        Some((pod, id.to_string(), name))
    }

    fn about_sandbox(&self, id: &SandboxId) -> Option<(String, String, String)> {
        self.look();
        let pod = self.sky().sandboxes.get(id.as_str()).map(|s| s.pod.clone());
        Some((pod.unwrap_or_default(), id.to_string(), String::new()))
    }

    /// How long a container goes on after its stop signal.
    fn lingers(&self, id: &ContainerId) -> Duration {
        let sky = self.sky();
        let container = sky.containers.get(id.as_str());
        let runs = container.filter(|c| c.state == v1::ContainerState::ContainerRunning);
        match runs {
            Some(c) if sky.stubborn.contains(&format!("{}/{}", c.pod, c.name)) => STUBBORN,
            _ => Duration::ZERO,
        }
    }
}

fn differing<T: Clone + PartialEq>(
    was: BTreeMap<String, T>,
    now: &BTreeMap<String, T>,
) -> Vec<(String, Option<T>, Option<T>)> {
    let ids: BTreeSet<_> = was.keys().chain(now.keys()).cloned().collect();
    let pairs = ids.into_iter().map(|id| {
        let (was, now) = (was.get(&id).cloned(), now.get(&id).cloned());
        (id, was, now)
    });
    pairs.filter(|(_, was, now)| was != now).collect()
}

type Events = BoxStream<'static, cri::Result<v1::ContainerEventResponse>>;

/// Events as they arrive, with what has befallen them.
fn befallen(weather: Weather, events: Events) -> Events {
    let state = (weather, events, Vec::new());
    let next = |(weather, mut events, mut ready): (Weather, Events, Vec<_>)| async move {
        loop {
            if let Some(event) = ready.pop() {
                return Some((event, (weather, events, ready)));
            }
            let event: cri::Result<v1::ContainerEventResponse> = events.next().await?;
            let mishap = weather.sky().mishaps.pop();
            match mishap {
                None => ready.push(event),
                Some(Mishap::Lost) => {}
                Some(Mishap::Doubled) => ready = vec![event.clone(), event],
                Some(Mishap::Swapped) => {
                    ready.push(event);
                    ready.push(events.next().await?);
                }
            }
        }
    };
    stream::unfold(state, next).boxed()
}

#[async_trait]
impl Runtime for Weather {
    async fn version(&self) -> cri::Result<v1::VersionResponse> {
        self.call("Version", None, self.fake.version()).await
    }

    async fn status(&self, verbose: bool) -> cri::Result<v1::StatusResponse> {
        self.call("Status", None, Runtime::status(&self.fake, verbose))
            .await
    }

    async fn runtime_config(&self) -> cri::Result<v1::RuntimeConfigResponse> {
        self.fake.runtime_config().await
    }

    async fn run_pod_sandbox(&self, config: &v1::PodSandboxConfig, handler: &str) -> cri::Result<SandboxId> {
        let uid = config.metadata.clone().unwrap_or_default().uid;
        let about = Some((uid, String::new(), String::new()));
        let effect = self.fake.run_pod_sandbox(config, handler);
        self.call("RunPodSandbox", about, effect).await
    }

    async fn stop_pod_sandbox(&self, id: &SandboxId) -> cri::Result<()> {
        let about = self.about_sandbox(id);
        self.call("StopPodSandbox", about, self.fake.stop_pod_sandbox(id))
            .await
    }

    async fn remove_pod_sandbox(&self, id: &SandboxId) -> cri::Result<()> {
        let about = self.about_sandbox(id);
        self.call("RemovePodSandbox", about, self.fake.remove_pod_sandbox(id))
            .await
    }

    async fn list_pod_sandboxes(&self, pod: Option<&PodUid>) -> cri::Result<Vec<v1::PodSandbox>> {
        self.call("ListPodSandbox", None, self.fake.list_pod_sandboxes(pod))
            .await
    }

    async fn pod_sandbox_status(&self, id: &SandboxId) -> cri::Result<v1::PodSandboxStatus> {
        self.call("PodSandboxStatus", None, self.fake.pod_sandbox_status(id))
            .await
    }

    async fn create_container(
        &self,
        sandbox: &SandboxId,
        config: &v1::ContainerConfig,
        sandbox_config: &v1::PodSandboxConfig,
    ) -> cri::Result<ContainerId> {
        let uid = sandbox_config.metadata.clone().unwrap_or_default().uid;
        let name = config.metadata.clone().unwrap_or_default().name;
        let about = Some((uid, sandbox.to_string(), name));
        let effect = self.fake.create_container(sandbox, config, sandbox_config);
        self.call("CreateContainer", about, effect).await
    }

    async fn start_container(&self, id: &ContainerId) -> cri::Result<()> {
        let about = self.about(id);
        self.call("StartContainer", about, self.fake.start_container(id))
            .await
    }

    async fn stop_container(&self, id: &ContainerId, timeout_seconds: i64) -> cri::Result<()> {
        let about = self.about(id);
        let limit = Duration::from_secs(timeout_seconds.try_into().unwrap_or(0));
        let effect = async {
            let lingers = self.lingers(id);
            if !lingers.is_zero() {
                tokio::time::sleep(lingers.min(limit)).await;
            }
            let timeout = if lingers > limit { 0 } else { 1 };
            self.fake.stop_container(id, timeout).await
        };
        let kind = if limit.is_zero() { KILL } else { "StopContainer" };
        self.call(kind, about, effect).await
    }

    async fn remove_container(&self, id: &ContainerId) -> cri::Result<()> {
        let about = self.about(id);
        self.call("RemoveContainer", about, self.fake.remove_container(id))
            .await
    }

    async fn list_containers(&self, pod: Option<&PodUid>) -> cri::Result<Vec<v1::Container>> {
        self.call("ListContainers", None, self.fake.list_containers(pod))
            .await
    }

    async fn container_status(&self, id: &ContainerId) -> cri::Result<v1::ContainerStatus> {
        self.call("ContainerStatus", None, self.fake.container_status(id))
            .await
    }

    async fn update_container_resources(
        &self,
        id: &ContainerId,
        resources: &v1::LinuxContainerResources,
    ) -> cri::Result<()> {
        self.fake.update_container_resources(id, resources).await
    }

    async fn reopen_container_log(&self, id: &ContainerId) -> cri::Result<()> {
        self.fake.reopen_container_log(id).await
    }

    async fn checkpoint_container(
        &self,
        id: &ContainerId,
        location: &str,
        timeout: Duration,
    ) -> cri::Result<()> {
        self.fake.checkpoint_container(id, location, timeout).await
    }

    async fn exec_sync(
        &self,
        id: &ContainerId,
        command: &[String],
        timeout: Duration,
    ) -> cri::Result<ExecOutput> {
        self.call("ExecSync", None, self.fake.exec_sync(id, command, timeout))
            .await
    }

    async fn exec(&self, request: v1::ExecRequest) -> cri::Result<String> {
        self.fake.exec(request).await
    }

    async fn attach(&self, request: v1::AttachRequest) -> cri::Result<String> {
        self.fake.attach(request).await
    }

    async fn port_forward(&self, request: v1::PortForwardRequest) -> cri::Result<String> {
        self.fake.port_forward(request).await
    }

    async fn list_container_stats(&self, pod: Option<&PodUid>) -> cri::Result<Vec<v1::ContainerStats>> {
        self.fake.list_container_stats(pod).await
    }

    async fn list_pod_sandbox_stats(&self, pod: Option<&PodUid>) -> cri::Result<Vec<v1::PodSandboxStats>> {
        self.fake.list_pod_sandbox_stats(pod).await
    }

    async fn container_events(
        &self,
    ) -> cri::Result<BoxStream<'static, cri::Result<v1::ContainerEventResponse>>> {
        let call = self.fake.container_events();
        let events = self.call("GetContainerEvents", None, call).await?;
        Ok(befallen(self.clone(), events))
    }
}

#[async_trait]
impl Images for Weather {
    async fn list_images(&self) -> cri::Result<Vec<v1::Image>> {
        self.fake.list_images().await
    }

    async fn image_status(&self, image: &str) -> cri::Result<Option<v1::Image>> {
        self.call("ImageStatus", None, self.fake.image_status(image))
            .await
    }

    async fn pull_image(
        &self,
        image: &v1::ImageSpec,
        auth: Option<&v1::AuthConfig>,
        sandbox_config: Option<&v1::PodSandboxConfig>,
    ) -> cri::Result<String> {
        self.call(
            "PullImage",
            None,
            self.fake.pull_image(image, auth, sandbox_config),
        )
        .await
    }

    async fn remove_image(&self, image: &str) -> cri::Result<()> {
        self.fake.remove_image(image).await
    }

    async fn image_fs_info(&self) -> cri::Result<v1::ImageFsInfoResponse> {
        self.fake.image_fs_info().await
    }
}
