use super::*;
use crate::api::{Error as ApiError, ObjectRef, Result as ApiResult};
use crate::kubelet::eviction::Pressure;
use crate::task::Drain;
use crate::testing::FakeCri;
use crate::testing::builders::kubelet_config;
use async_trait::async_trait;
use serde_json::Value;
use serde_json::json;
use std::sync::Mutex;

/// One Node and one Lease in memory.
#[derive(Default)]
struct Server {
    node: Mutex<Option<Value>>,
    reports: Mutex<u32>,
    leases: Mutex<u32>,
    creates: Mutex<u32>,
    down: Mutex<bool>,
    events: Mutex<Vec<String>>,
}

impl Server {
    fn check(&self) -> ApiResult<()> {
        if *self.down.lock().unwrap() {
            return Err(ApiError::Unreachable {
                verb: "GET",
                path: "/".into(),
                cause: "refused".into(),
            });
        }
        Ok(())
    }
    fn ready(&self) -> Option<String> {
        self.node
            .lock()
            .unwrap()
            .as_ref()
            .and_then(|n| register::ready(n).map(str::to_owned))
    }
    fn events(&self) -> Vec<String> {
        std::mem::take(&mut self.events.lock().unwrap())
    }
}

#[async_trait]
impl Nodes for Server {
    async fn get(&self, _: &str) -> ApiResult<Option<Value>> {
        self.check()?;
        Ok(self.node.lock().unwrap().clone())
    }
    async fn create(&self, node: &Value) -> ApiResult<Value> {
        self.check()?;
        *self.creates.lock().unwrap() += 1;
        *self.node.lock().unwrap() = Some(node.clone());
        Ok(node.clone())
    }
    async fn patch(&self, _: &str, patch: &Value) -> ApiResult<Value> {
        let mut node = self.node.lock().unwrap();
        let labels = node.as_mut().unwrap()["metadata"]["labels"]
            .as_object_mut()
            .unwrap();
        labels.extend(patch["metadata"]["labels"].as_object().unwrap().clone());
        Ok(json!({}))
    }
    async fn patch_status(&self, _: &str, patch: &Value) -> ApiResult<Value> {
        self.check()?;
        *self.reports.lock().unwrap() += 1;
        self.node.lock().unwrap().as_mut().unwrap()["status"] = patch["status"].clone();
        Ok(json!({}))
    }
    async fn renew_lease(&self, _: &str, _: i32, _: Timestamp) -> ApiResult<()> {
        self.check()?;
        *self.leases.lock().unwrap() += 1;
        Ok(())
    }
}

impl Events for Server {
    fn emit(&self, _: &ObjectRef, _: EventType, reason: &str, _: String) {
        self.events.lock().unwrap().push(reason.into());
    }
}

fn config() -> Arc<KubeletConfig> {
    Arc::new(KubeletConfig {
        node_ips: vec!["10.0.0.1".parse().unwrap()],
        ..kubelet_config()
    })
}

struct World {
    server: Arc<Server>,
    cri: FakeCri,
    pressures: watch::Sender<Pressures>,
    images: watch::Sender<Arc<[v1::Image]>>,
    _drain: Drain,
}

fn start(server: Arc<Server>, cri: FakeCri) -> World {
    let drain = Drain::new();
    let config = config();
    let ips = addresses(&config).unwrap();
    let (pressures, images) = (
        watch::Sender::default(),
        watch::Sender::new(Arc::new([]) as Arc<[_]>),
    );
    let views = Views {
        pressures: pressures.subscribe(),
        images: images.subscribe(),
        ..Views::default()
    };
    let runtime = Arc::new(cri.clone());
    let mut agent = NodeAgent::new(config, ips, runtime, server.clone(), server.clone())
        .unwrap()
        .showing(views);
    agent.facts.machine.machine_id = "ours".into();
    agent.facts.machine.system_uuid = "ours".into();
    tokio::spawn(agent.run(drain.signal()));
    World {
        server,
        cri,
        pressures,
        images,
        _drain: drain,
    }
}

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_registers_and_follows_the_runtimes_readiness() {
    let cri = FakeCri::new();
    cri.set_network_ready(false);
    let world = start(Arc::default(), cri);
    pass(1).await;
    assert_eq!(world.server.ready().as_deref(), Some("False"));
    world.cri.set_network_ready(true);
    pass(1).await;
    assert_eq!(
        world.server.ready().as_deref(),
        Some("True"),
        "told at once, not at the next look"
    );
    let node = world.server.node.lock().unwrap().clone().unwrap();
    assert!(
        node["status"]["nodeInfo"]["containerRuntimeVersion"]
            .as_str()
            .unwrap()
            .contains("://")
    );
    assert_eq!(node["status"]["addresses"][0]["address"], "10.0.0.1");
    world.cri.fail("Status", tonic::Code::Unavailable, "gone");
    pass(6).await;
    assert_eq!(world.server.ready().as_deref(), Some("False"));
    assert_eq!(world.server.events(), ["Starting", "NodeReady", "NodeNotReady"]);
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_status_is_reported_every_five_minutes_and_the_lease_every_ten_seconds() {
    let world = start(Arc::default(), FakeCri::new());
    pass(5).await;
    let (reports, leases) = (
        *world.server.reports.lock().unwrap(),
        *world.server.leases.lock().unwrap(),
    );
    pass(290).await;
    assert_eq!(*world.server.reports.lock().unwrap(), reports);
    assert_eq!(*world.server.leases.lock().unwrap(), leases + 29);
    pass(30).await;
    assert_eq!(*world.server.reports.lock().unwrap(), reports + 1);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_node_comes_back_and_a_foreign_status_is_put_right() {
    let world = start(Arc::default(), FakeCri::new());
    pass(1).await;
    *world.server.node.lock().unwrap() = None;
    pass(11).await;
    assert_eq!(world.server.ready().as_deref(), Some("True"));
    assert_eq!(*world.server.creates.lock().unwrap(), 2);
    // What the node controller does to a node whose Lease has ended.
    let mut node = world.server.node.lock().unwrap().clone().unwrap();
    for condition in node["status"]["conditions"].as_array_mut().unwrap() {
        condition["status"] = "Unknown".into();
    }
    *world.server.node.lock().unwrap() = Some(node);
    pass(11).await;
    assert_eq!(world.server.ready().as_deref(), Some("True"));
}

#[tokio::test(start_paused = true)]
async fn a_restarted_agent_tells_of_no_change() {
    let world = start(Arc::default(), FakeCri::new());
    pass(1).await;
    assert_eq!(world.server.events(), ["Starting", "NodeReady"]);
    let world = start(world.server.clone(), world.cri.clone());
    pass(30).await;
    assert_eq!(world.server.events(), ["Starting"]);
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_server_is_tried_again() {
    let server = Arc::new(Server::default());
    *server.down.lock().unwrap() = true;
    let world = start(server, FakeCri::new());
    pass(120).await;
    assert_eq!(world.server.ready(), None);
    *world.server.down.lock().unwrap() = false;
    pass(11).await;
    assert_eq!(world.server.ready().as_deref(), Some("True"));
    assert!(*world.server.leases.lock().unwrap() > 0);
}

#[tokio::test(start_paused = true)]
async fn another_live_machine_of_our_name_is_left_alone() {
    let server = Arc::new(Server::default());
    let theirs = json!({
        "metadata": {"name": "worker-1", "labels": {}},
        "status": {
            "nodeInfo": {"machineID": "another", "systemUUID": "another"},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    });
    *server.node.lock().unwrap() = Some(theirs.clone());
    let world = start(server, FakeCri::new());
    pass(60).await;
    assert_eq!(*world.server.node.lock().unwrap(), Some(theirs));
    assert_eq!(
        *world.server.leases.lock().unwrap(),
        0,
        "their Lease is not ours to renew"
    );
}

#[tokio::test(start_paused = true)]
async fn pressure_is_told_at_once_and_images_at_the_next_look() {
    let world = start(Arc::default(), FakeCri::new());
    pass(1).await;
    world.server.events();
    let status = |kind: &str| {
        let node = world.server.node.lock().unwrap().clone().unwrap();
        let all = node["status"]["conditions"].as_array().unwrap().clone();
        all.into_iter().find(|c| c["type"] == kind).unwrap()["status"].clone()
    };
    world.pressures.send_replace(Pressures::from([Pressure::Memory]));
    pass(1).await;
    assert_eq!(
        (status("MemoryPressure"), status("Ready")),
        ("True".into(), "True".into())
    );
    world.pressures.send_replace(Pressures::new());
    pass(1).await;
    assert_eq!(status("MemoryPressure"), "False");
    assert_eq!(
        world.server.events(),
        ["NodeHasInsufficientMemory", "NodeHasSufficientMemory"]
    );
    let image = v1::Image {
        id: "a".into(),
        size: 7,
        repo_tags: vec!["a:1".into()],
        ..v1::Image::default()
    };
    world.images.send_replace(Arc::new([image]));
    pass(11).await;
    let node = world.server.node.lock().unwrap().clone().unwrap();
    assert_eq!(
        node["status"]["images"],
        json!([{"names": ["a:1"], "sizeBytes": 7}])
    );
}
