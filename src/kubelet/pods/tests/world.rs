//! A node in memory, and lives of an agent on it.

use super::super::serve;
use super::shutdown::FakeLogind;
use crate::api::{Change, ConfigObject};
use crate::config::{EvictionConfig, KubeletConfig, ShutdownConfig};
use crate::cri;
use crate::kubelet::cgroup::PodCgroups;
use crate::kubelet::cgroup::names::Names;
use crate::kubelet::cgroup::plan::Rules;
use crate::kubelet::context::{Clock, Context, PARALLEL_STARTS};
use crate::kubelet::dirs::Dirs;
use crate::kubelet::eviction::manage::{Care, Usage};
use crate::kubelet::eviction::{PodUsage, Pressures};
use crate::kubelet::images::ImageManager;
use crate::kubelet::images::gc::ImageGc;
use crate::kubelet::images::providers::Providers;
use crate::kubelet::images::sources::Sources;
use crate::kubelet::metrics::KubeletMetrics;
use crate::kubelet::node::own::OwnNode;
use crate::kubelet::notes::Notes;
use crate::kubelet::probe::Probes;
use crate::kubelet::shutdown::Power;
use crate::kubelet::stats::node::NodeUse;
use crate::kubelet::translate::NodeLimits;
use crate::kubelet::userns::{Ids, UserRanges};
use crate::kubelet::volume::Volumes;
use crate::kubelet::worker::Marks;
use crate::model::pod::{Pod, Quantity};
use crate::model::{ContainerId, NamespacedName};
use crate::task::Drain;
use crate::testing::builders::kubelet_config;
use crate::testing::fake_api::ToldEvent;
use crate::testing::{FakeApi, FakeCri};
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, mpsc, watch};

/// What outlives the agent.
pub(super) struct World {
    pub(super) cri: FakeCri,
    /// What the agent meets: `cri`, or something before it.
    pub(super) runtime: Arc<dyn cri::Runtime>,
    /// Likewise.
    pub(super) image_service: Arc<dyn cri::Images>,
    pub(super) api: FakeApi,
    dir: tempfile::TempDir,
    /// Longest crash backoff.
    pub(super) longest_restart_pause: Duration,
    /// The node's clock.
    now: Arc<Mutex<Timestamp>>,
    /// Where manifests of static Pods are.
    pub(super) manifests: Option<PathBuf>,
    /// When Pods are evicted.
    pub(super) eviction: EvictionConfig,
    /// What there is, and what Pods use of it.
    pub(super) usage: Arc<FakeUsage>,
    /// How long Pods may take when the machine goes down.
    pub(super) shutdown: ShutdownConfig,
    /// Who says that it does.
    pub(super) logind: FakeLogind,
    /// The conditions the last life has told.
    pub(super) pressures: watch::Sender<Pressures>,
}

/// Numbers a test has chosen, newer at every look.
#[derive(Default)]
pub(super) struct FakeUsage {
    pub(super) node: Mutex<NodeUse>,
    pub(super) pods: Mutex<BTreeMap<String, PodUsage>>,
    looks: AtomicI64,
}

#[async_trait]
impl Usage for FakeUsage {
    async fn node(&self) -> NodeUse {
        let mut node = self.node.lock().unwrap().clone();
        let at = 1 + self.looks.fetch_add(1, Ordering::Relaxed);
        node.root.iter_mut().for_each(|root| root.read_at = at);
        node
    }

    async fn pods(&self) -> BTreeMap<String, PodUsage> {
        self.pods.lock().unwrap().clone()
    }
}

/// A Pod of the namespace `default`.
pub(super) fn pod(name: &str, spec: Value) -> Value {
    json!({"metadata": {"name": name, "namespace": "default", "uid": format!("uid-{name}")}, "spec": spec})
}

/// A container of an image that the registry has.
pub(super) fn container(name: &str) -> Value {
    json!({"name": name, "image": "registry.test/app:1", "terminationMessagePath": "/dev/termination-log"})
}

fn decode(pod: &Value) -> Arc<Pod> {
    Arc::new(serde_json::from_value(pod.clone()).unwrap())
}

fn key(name: &str) -> NamespacedName {
    NamespacedName::new("default", name)
}

impl World {
    pub(super) fn new() -> Self {
        let cri = FakeCri::new();
        cri.serve_image("registry.test/app:1");
        let now = Arc::new(Mutex::new(Timestamp::from_second(1_800_000_000).unwrap()));
        cri.set_time(*now.lock().unwrap());
        Self {
            runtime: Arc::new(cri.clone()),
            image_service: Arc::new(cri.clone()),
            longest_restart_pause: kubelet_config().longest_restart_pause,
            cri,
            api: FakeApi::new(),
            dir: tempfile::tempdir().unwrap(),
            now,
            manifests: None,
            eviction: EvictionConfig::default(),
            usage: Arc::default(),
            shutdown: ShutdownConfig::default(),
            logind: FakeLogind::default(),
            pressures: watch::Sender::default(),
        }
    }

    /// An agent that has listed no pods.
    pub(super) fn start(&self) -> Life<'_> {
        self.start_with(&[])
    }

    /// An agent whose first list is this, with the statuses the API server has.
    pub(super) fn start_with(&self, pods: &[&Value]) -> Life<'_> {
        let mut life = self.start_unlisted();
        let list = pods.iter().map(|pod| decode(&self.with_status(pod))).collect();
        life.send(Change::Replaced(list));
        life
    }

    /// An agent that finds this Pod being deleted, or gone already.
    pub(super) fn start_deleting(&self, pod: &Value) -> Life<'_> {
        self.start_deleting_with(pod, 1)
    }

    /// The same, with this grace.
    pub(super) fn start_deleting_with(&self, pod: &Value, grace: i64) -> Life<'_> {
        let name = pod["metadata"]["name"].as_str().unwrap();
        if !self.api.state().pods.contains_key(&key(name)) {
            return self.start_with(&[]);
        }
        let mut deleting = pod.clone();
        deleting["metadata"]["deletionTimestamp"] = self.now().to_string().into();
        deleting["metadata"]["deletionGracePeriodSeconds"] = grace.into();
        self.start_with(&[&deleting])
    }

    /// An agent whose watch says nothing.
    pub(super) fn start_unlisted(&self) -> Life<'_> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            // As few tasks as possible between two looks, so that a kill may come at any await.
            .event_interval(1)
            .build()
            .unwrap();
        let (changes, receiver) = mpsc::channel(1024);
        let drain = Drain::new();
        let signal = drain.signal();
        let marks = Arc::new(Marks::default());
        let _inside = runtime.enter();
        let context = Arc::new(self.context(&marks));
        runtime.spawn(serve(context, marks, Default::default(), receiver, signal));
        drop(_inside);
        Life {
            world: self,
            runtime,
            changes,
            _drain: drain,
        }
    }

    fn context(&self, marks: &Arc<Marks>) -> Context {
        let config = Arc::new(self.config());
        let dirs = Dirs {
            root: config.root_dir.clone(),
            pod_logs: config.pod_logs_dir.clone(),
        };
        let (runtime, image_service) = (self.runtime.clone(), self.image_service.clone());
        let api = Arc::new(self.api.clone());
        let now = self.now.clone();
        let clock: Clock = Arc::new(move || *now.lock().unwrap());
        let marks = marks.clone();
        let services = watch::channel(Arc::default()).1;
        let names = Names {
            root: config.cgroup_root.clone(),
            systemd: false,
        };
        let sources = Sources::new(&config.root_dir, Providers::default());
        let images = Arc::new(ImageManager::new(image_service.clone(), &config, sources));
        let image_gc = ImageGc::new(
            (runtime.clone(), image_service.clone(), images.clone()),
            api.clone(),
            Arc::default(),
            config.clone(),
            KubeletMetrics::default(),
        );
        let care = Care {
            usage: self.usage.clone(),
            image_gc: Arc::new(image_gc),
            pressures: self.pressures.clone(),
        };
        let notes = Arc::new(Notes::new(dirs.clone()));
        Context {
            images,
            volumes: Volumes::new(dirs.clone(), api.clone()).with_tmpfs(|_, _| Ok(())),
            probes: Probes::new(
                runtime.clone(),
                api.clone(),
                Arc::new(move |uid| marks.mark(uid)),
                clock(),
            )
            .with_notes(notes.clone()),
            notes,
            runtime,
            image_service,
            pods: api.clone(),
            data: api.clone(),
            events: api.clone(),
            config,
            users: Arc::new(UserRanges::new(dirs.clone(), Ids::all(65536))),
            dirs,
            host_ips: vec!["10.0.0.1".parse().unwrap()],
            limits: NodeLimits {
                memory: 4 << 30,
                ..NodeLimits::default()
            },
            allocatable: [("cpu", "4"), ("memory", "4Gi"), ("pods", "110")]
                .map(|(name, amount)| (name.into(), Quantity(amount.into())))
                .into(),
            own_node: OwnNode::new(api.clone(), watch::channel(None).1, Default::default()),
            confinement: Default::default(),
            runtime_name: "containerd".into(),
            cgroups: PodCgroups::new(None, Some(names), Rules::default()),
            services,
            starts: Semaphore::new(PARALLEL_STARTS),
            care,
            power: Power::new(Arc::new(self.logind.clone())),
            metrics: crate::kubelet::metrics::KubeletMetrics::default(),
            clock,
        }
    }

    fn config(&self) -> KubeletConfig {
        KubeletConfig {
            root_dir: self.dir.path().into(),
            pod_logs_dir: self.path("logs"),
            cluster_dns: vec!["10.96.0.10".parse().unwrap()],
            eviction: self.eviction.clone(),
            shutdown: self.shutdown.clone(),
            manifests: self.manifests.clone(),
            longest_restart_pause: self.longest_restart_pause,
            ..kubelet_config()
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        *self.now.lock().unwrap()
    }

    /// The wall clock goes on; nobody's timer does.
    pub(super) fn advance(&self, by: Duration) {
        let mut now = self.now.lock().unwrap();
        *now += SignedDuration::try_from(by).unwrap();
        self.cri.set_time(*now);
    }

    /// Somebody sets the wall clock.
    pub(super) fn step_clock(&self, seconds: i64) {
        let mut now = self.now.lock().unwrap();
        *now += SignedDuration::from_secs(seconds);
        self.cri.set_time(*now);
    }

    /// The API server has this Pod.
    pub(super) fn know(&self, pod: &Value) {
        let name = pod["metadata"]["name"].as_str().unwrap();
        let status = pod.get("status").cloned().unwrap_or_else(|| json!({}));
        let uid = pod["metadata"]["uid"].as_str().unwrap();
        self.api
            .state()
            .pods
            .entry(key(name))
            .or_insert((uid.into(), status));
    }

    fn with_status(&self, pod: &Value) -> Value {
        let mut pod = pod.clone();
        if let Some((_, status)) = self
            .api
            .state()
            .pods
            .get(&key(pod["metadata"]["name"].as_str().unwrap()))
        {
            pod["status"] = status.clone();
        }
        pod
    }

    pub(super) fn status(&self, name: &str) -> Value {
        self.api
            .state()
            .pods
            .get(&key(name))
            .map(|(_, status)| status.clone())
            .unwrap_or_default()
    }

    pub(super) fn phase(&self, name: &str) -> String {
        self.status(name)["phase"].as_str().unwrap_or_default().to_owned()
    }

    pub(super) fn events(&self) -> Vec<ToldEvent> {
        self.api.state().events.clone()
    }

    pub(super) fn told(&self) -> Vec<&'static str> {
        self.api.event_reasons()
    }

    pub(super) fn set_config_map(&self, name: &str, field: &str, text: &str) {
        let object = ConfigObject {
            data: [(field.into(), text.into())].into(),
            ..Default::default()
        };
        self.api.state().config_maps.insert(key(name), Arc::new(object));
    }

    /// The container that the status of a Pod says is running.
    pub(super) fn running(&self, pod: &str, container: &str) -> ContainerId {
        let status = self.status(pod);
        let all = status["containerStatuses"].as_array().unwrap();
        let one = all.iter().find(|c| c["name"] == container).unwrap();
        one["containerID"]
            .as_str()
            .unwrap()
            .trim_start_matches("containerd://")
            .into()
    }

    pub(super) fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }
}

/// One process of the agent.
pub(super) struct Life<'a> {
    world: &'a World,
    runtime: Runtime,
    changes: mpsc::Sender<Change<Pod>>,
    _drain: Drain,
}

impl Life<'_> {
    fn send(&mut self, change: Change<Pod>) {
        self.changes.try_send(change).unwrap();
    }

    /// The Pod is created and bound to us.
    pub(super) fn add(&mut self, pod: &Value) {
        self.world.know(pod);
        self.send(Change::Applied(decode(pod)));
    }

    /// The API server's first list has nothing for this node.
    pub(super) fn list_nothing(&mut self) {
        self.send(Change::Replaced(Vec::new()));
    }

    /// The watch tells what the API server has of the Pod.
    pub(super) fn echo(&mut self, pod: &Value) {
        let told = self.world.with_status(pod);
        self.send(Change::Applied(decode(&told)));
    }

    /// Somebody deletes the Pod.
    pub(super) fn delete(&mut self, pod: &Value, grace: i64) {
        let mut deleting = self.world.with_status(pod);
        let end = self.world.now() + SignedDuration::from_secs(grace);
        deleting["metadata"]["deletionTimestamp"] = end.to_string().into();
        deleting["metadata"]["deletionGracePeriodSeconds"] = grace.into();
        self.send(Change::Applied(decode(&deleting)));
    }

    /// The watch tells that the Pod is gone.
    pub(super) fn gone(&mut self, pod: &Value) {
        self.send(Change::Deleted(decode(pod)));
    }

    /// Lets seconds pass.
    pub(super) fn pass(&mut self, seconds: u32) {
        for _ in 0..seconds * 10 {
            self.tick(Duration::from_millis(100));
        }
    }

    /// The same, in larger steps.
    pub(super) fn rest(&mut self, seconds: u32) {
        for _ in 0..seconds * 4 {
            self.tick(Duration::from_millis(250));
        }
    }

    /// Lets this much time pass.
    pub(super) fn tick(&mut self, step: Duration) {
        self.runtime.block_on(async { tokio::time::sleep(step).await });
        self.world.advance(step);
    }

    /// Lets tasks run, one after the other, so many times.
    pub(super) fn polls(&mut self, count: u32) {
        for _ in 0..count {
            self.runtime.block_on(tokio::task::yield_now());
        }
    }

    /// The watch lists anew.
    pub(super) fn relist(&mut self, pods: &[Value]) {
        let list = pods.iter().map(|pod| decode(&self.world.with_status(pod)));
        let list = list.collect();
        self.send(Change::Replaced(list));
    }

    /// Runs in the smallest steps until this many calls have changed the runtime; false when it comes to rest before.
    pub(super) fn run_until_calls(&mut self, calls: usize) -> bool {
        let reached = |world: &World| world.cri.calls().len() >= calls;
        for _ in 0..200 {
            for _ in 0..200 {
                if reached(self.world) {
                    return true;
                }
                self.runtime.block_on(tokio::task::yield_now());
            }
            self.tick(Duration::from_millis(10));
        }
        reached(self.world)
    }

    /// SIGKILL: every task is gone at whatever line it was.
    pub(super) fn kill(self) {}
}
