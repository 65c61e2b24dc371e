use super::*;
use crate::model::net::Flow;
use crate::testing::fake_tables::Tables;
use crate::testing::{FakeConntrack, FakeTables};
use serde_json::{Value, json};
use std::sync::Mutex;

/// A running proxy over fakes, in paused time.
struct Bench {
    tables: Arc<FakeTables>,
    flows: Arc<FakeConntrack>,
    events: Arc<Recorded>,
    services: mpsc::Sender<Change<Service>>,
    slices: mpsc::Sender<Change<EndpointSlice>>,
    facts: watch::Sender<NodeFacts>,
    status: watch::Receiver<Status>,
    stop: tokio::sync::oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Recorded(Mutex<Vec<String>>);

impl Events for Recorded {
    fn emit(&self, object: &ObjectRef, _: EventType, reason: &str, message: String) {
        self.0
            .lock()
            .unwrap()
            .push(format!("{} {} {reason}: {message}", object.kind, object.key));
    }
}

impl Bench {
    fn start() -> Self {
        let (services, service_changes) = mpsc::channel(16);
        let (slices, slice_changes) = mpsc::channel(16);
        let node = NodeFacts {
            pod_cidrs: vec!["10.244.1.0/24".parse().unwrap()],
            node_ips: vec!["192.168.0.2".parse().unwrap()],
        };
        let (facts, node) = watch::channel(node);
        let (tables, flows) = (
            Arc::new(FakeTables::default()),
            Arc::new(FakeConntrack::default()),
        );
        let events = Arc::new(Recorded::default());
        let proxy = Proxy::new(&Settings::new("worker-1"), service_changes, slice_changes, node)
            .with_kernel(tables.clone(), flows.clone())
            .with_events(events.clone());
        let status = proxy.status();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(proxy.run(async { drop(stopped.await) }));
        Self {
            tables,
            flows,
            events,
            services,
            slices,
            facts,
            status,
            stop,
            task,
        }
    }

    /// As [`Self::start`], after both lists and the first sync.
    async fn listed(services: &[Value], slices: &[Value]) -> Self {
        let mut bench = Self::start();
        bench
            .services
            .send(Change::Replaced(services.iter().map(parse).collect()))
            .await
            .unwrap();
        bench
            .slices
            .send(Change::Replaced(slices.iter().map(parse).collect()))
            .await
            .unwrap();
        bench.status.wait_for(|status| status.ready).await.unwrap();
        bench
    }

    async fn service(&self, service: &Value) {
        self.services.send(Change::Applied(parse(service))).await.unwrap();
    }

    async fn slice(&self, slice: &Value) {
        self.slices.send(Change::Applied(parse(slice))).await.unwrap();
    }

    /// Lets everything happen that is due within `seconds`.
    async fn pass(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    fn accepted(&self) -> usize {
        self.tables.state().accepted.len()
    }

    fn last(&self) -> String {
        self.tables.state().accepted.last().cloned().unwrap_or_default()
    }
}

fn parse<T: serde::de::DeserializeOwned>(object: &Value) -> Arc<T> {
    Arc::new(serde_json::from_value(object.clone()).unwrap())
}

fn service(name: &str, ip: &str, protocol: &str) -> Value {
    json!({"metadata": {"namespace": "ns", "name": name}, "spec": {"clusterIP": ip,
        "ports": [{"name": "p", "port": 53, "protocol": protocol}]}})
}

fn slice(service: &str, protocol: &str, addresses: &[&str]) -> Value {
    let endpoints: Vec<Value> = addresses.iter().map(|a| json!({"addresses": [a]})).collect();
    json!({"metadata": {"namespace": "ns", "name": format!("{service}-1"),
            "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4", "endpoints": endpoints, "ports": [{"name": "p", "port": 5353, "protocol": protocol}]})
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_before_both_watches_have_listed() {
    let bench = Bench::start();
    bench
        .services
        .send(Change::Replaced(vec![parse(&service("a", "10.96.0.1", "TCP"))]))
        .await
        .unwrap();
    bench.pass(7200).await;
    let untouched = |tables: &Tables| tables.tried == 0 && tables.saves == 0;
    assert!(untouched(&bench.tables.state()));
    bench.slices.send(Change::Replaced(vec![])).await.unwrap();
    bench.pass(1).await;
    assert_eq!(bench.accepted(), 1);
    assert!(bench.last().contains("-d 10.96.0.1/32"));
    assert!(
        bench.tables.state().v6 == Default::default(),
        "no IPv6 Service, no ip6tables"
    );
}

#[tokio::test(start_paused = true)]
async fn a_burst_becomes_one_transaction_of_what_changed() {
    let bench = Bench::listed(
        &[service("a", "10.96.0.1", "TCP")],
        &[slice("a", "TCP", &["10.244.1.5"])],
    )
    .await;
    bench.pass(5).await;
    for n in 6..16 {
        bench
            .slice(&slice("a", "TCP", &["10.244.1.5", &format!("10.244.1.{n}")]))
            .await;
    }
    bench.pass(3).await;
    assert!(bench.accepted() <= 3, "{} transactions", bench.accepted());
    let last = bench.last();
    assert!(
        !last.contains(":KUBE-SERVICES ") && !last.contains("*filter"),
        "only what changed:\n{last}"
    );
    let before = bench.tables.state().tried;
    bench
        .slice(&slice("a", "TCP", &["10.244.1.5", "10.244.1.15"]))
        .await;
    bench.pass(5).await;
    assert_eq!(
        bench.tables.state().tried,
        before,
        "an unchanged object costs nothing"
    );
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_retried_with_everything() {
    let bench = Bench::listed(&[service("a", "10.96.0.1", "TCP")], &[]).await;
    bench.tables.state().fail = 2;
    bench.service(&service("b", "10.96.0.2", "TCP")).await;
    let mut status = bench.status.clone();
    let failed = status
        .wait_for(|status| status.last_error.is_some())
        .await
        .unwrap()
        .clone();
    assert!(failed.ready && failed.last_error.unwrap().contains("out of order"));
    bench.pass(10).await;
    assert_eq!(bench.status.borrow().last_error, None);
    assert_eq!(bench.tables.state().tried, 4);
    assert!(bench.last().contains("10.96.0.1") && bench.last().contains("10.96.0.2"));
}

#[tokio::test(start_paused = true)]
async fn flushed_tables_are_healed_by_the_audit() {
    let bench = Bench::listed(
        &[service("a", "10.96.0.1", "TCP")],
        &[slice("a", "TCP", &["10.244.1.5"])],
    )
    .await;
    let whole = bench.tables.state().v4.clone();
    bench.pass(100).await;
    assert_eq!(bench.accepted(), 1, "a whole kernel is left alone");
    bench.tables.state().v4 = Default::default();
    bench.pass(40).await;
    assert_eq!(bench.tables.state().v4, whole);
}

#[tokio::test(start_paused = true)]
async fn a_service_the_kernel_refuses_harms_only_itself() {
    let bench = Bench::listed(&[service("a", "10.96.0.1", "TCP")], &[]).await;
    bench.tables.state().refuse = Some("-p sctp".to_owned());
    bench.service(&service("bad", "10.96.0.2", "SCTP")).await;
    bench.slice(&slice("bad", "SCTP", &["10.244.1.7"])).await;
    bench.service(&service("good", "10.96.0.3", "TCP")).await;
    bench.pass(5).await;
    let rules = bench.tables.state().v4.save();
    assert!(
        rules.contains("10.96.0.3") && !rules.contains("10.96.0.2"),
        "{rules}"
    );
    assert_eq!(bench.status.borrow().last_error, None);
    let events = bench.events.0.lock().unwrap().clone();
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(
        events[0].starts_with("Service ns/bad NotProgrammed: spec.ports[name=p]: fake-restore refused"),
        "{events:?}"
    );
    // It gets another chance when it changes.
    bench.tables.state().refuse = None;
    bench.service(&service("bad", "10.96.0.4", "SCTP")).await;
    bench.pass(5).await;
    assert!(bench.tables.state().v4.save().contains("10.96.0.4"));
}

#[tokio::test(start_paused = true)]
async fn a_bad_object_gets_an_event_and_the_rest_rules() {
    let bench = Bench::listed(
        &[
            service("bad", "10.96.0.999", "TCP"),
            service("good", "10.96.0.3", "TCP"),
        ],
        &[],
    )
    .await;
    bench.pass(1).await;
    let events = bench.events.0.lock().unwrap().clone();
    assert_eq!(
        events,
        [
            "Service ns/bad NotProgrammed: spec.clusterIPs[0]: \"10.96.0.999\" is not an IP address; it is left out"
        ]
    );
    assert!(bench.last().contains("10.96.0.3"));
}

#[tokio::test(start_paused = true)]
async fn udp_flows_of_removed_endpoints_end_after_the_sync() {
    let flow = |answered: &str| Flow {
        source: "10.244.1.9:4000".parse().unwrap(),
        destination: "10.96.0.1:53".parse().unwrap(),
        reply_source: answered.parse().unwrap(),
    };
    let both = ["10.244.1.5", "10.244.1.6"];
    let bench = Bench::listed(&[service("a", "10.96.0.1", "UDP")], &[slice("a", "UDP", &both)]).await;
    *bench.flows.flows() = vec![flow("10.244.1.5:5353"), flow("10.244.1.6:5353")];
    bench.slice(&slice("a", "UDP", &both[1..])).await;
    bench.pass(2).await;
    assert_eq!(*bench.flows.flows(), [flow("10.244.1.6:5353")]);
    bench
        .services
        .send(Change::Deleted(parse(&service("a", "10.96.0.1", "UDP"))))
        .await
        .unwrap();
    bench.pass(2).await;
    assert_eq!(*bench.flows.flows(), []);
}

#[tokio::test(start_paused = true)]
async fn a_new_pod_cidr_reaches_the_rules_and_shutdown_leaves_them() {
    let bench = Bench::listed(
        &[service("a", "10.96.0.1", "TCP")],
        &[slice("a", "TCP", &["10.244.1.5"])],
    )
    .await;
    assert!(bench.last().contains("! -s 10.244.1.0/24"));
    bench
        .facts
        .send_modify(|facts| facts.pod_cidrs = vec!["10.244.7.0/24".parse().unwrap()]);
    bench.pass(2).await;
    assert!(bench.last().contains("! -s 10.244.7.0/24"));
    let rules = bench.tables.state().v4.clone();
    bench.stop.send(()).unwrap();
    bench.task.await.unwrap();
    assert_eq!(bench.tables.state().v4, rules);
    sync::clean(&*bench.tables).await.unwrap();
    sync::clean(&*bench.tables).await.unwrap();
    assert!(!bench.tables.state().v4.save().contains("KUBE-"));
}

#[tokio::test(start_paused = true)]
async fn ipv6_starts_with_its_first_service() {
    let bench = Bench::listed(&[service("a", "10.96.0.1", "TCP")], &[]).await;
    bench.service(&service("six", "fd00::1", "TCP")).await;
    bench.pass(2).await;
    let state = bench.tables.state();
    assert!(state.v6.save().contains("-d fd00::1/128"));
    assert!(!state.v4.save().contains("fd00::1"));
}
