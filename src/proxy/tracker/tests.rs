use super::*;
use serde_json::{Value, json};

fn service(name: &str, spec: Value) -> Arc<Service> {
    labelled(name, json!({}), spec)
}

fn labelled(name: &str, labels: Value, spec: Value) -> Arc<Service> {
    let metadata = json!({"namespace": "ns", "name": name, "uid": format!("uid-{name}"), "labels": labels});
    Arc::new(serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap())
}

fn web(cluster_ip: &str) -> Value {
    json!({"clusterIP": cluster_ip, "ports": [{"name": "http", "port": 80}]})
}

fn slice(name: &str, service: &str, addresses: &[&str]) -> EndpointSlice {
    let endpoints: Vec<Value> = addresses
        .iter()
        .map(|a| json!({"addresses": [a], "nodeName": "n1"}))
        .collect();
    let metadata =
        json!({"namespace": "ns", "name": name, "labels": {"kubernetes.io/service-name": service}});
    let ports = json!([{"name": "http", "port": 8080, "protocol": "TCP"}]);
    let object = json!({"metadata": metadata, "addressType": "IPv4", "endpoints": endpoints, "ports": ports});
    serde_json::from_value(object).unwrap()
}

fn tracker(services: &[Arc<Service>], slices: &[EndpointSlice]) -> Tracker {
    let mut tracker = Tracker::new("n1");
    tracker.service_changed(Change::Replaced(services.to_vec()));
    tracker.slice_changed(Change::Replaced(slices.iter().cloned().map(Arc::new).collect()));
    tracker
}

/// `service:port ip:port,…` per line.
fn map(tracker: &Tracker) -> Vec<String> {
    let line = |(name, port): (&ServicePortName, &ServicePort)| {
        let endpoints: Vec<String> = port.endpoints.iter().map(|e| e.socket().to_string()).collect();
        format!("{name} {}", endpoints.join(","))
    };
    tracker.map().iter().map(line).collect()
}

fn problems(update: &Update) -> Vec<String> {
    update.problems.iter().map(Problem::to_string).collect()
}

#[test]
fn nothing_is_complete_before_both_lists() {
    let mut tracker = Tracker::new("n1");
    assert!(!tracker.is_complete());
    tracker.slice_changed(Change::Replaced(vec![]));
    tracker.service_changed(Change::Applied(service("a", web("10.0.0.1"))));
    assert!(!tracker.is_complete(), "an early event is not a list");
    tracker.service_changed(Change::Replaced(vec![]));
    assert!(tracker.is_complete());
    tracker.update();
    assert!(map(&tracker).is_empty(), "the list is the truth");
}

#[test]
fn services_that_are_not_ours_are_ignored() {
    let services = [
        service("headless", web("None")),
        service("empty", web("")),
        service(
            "alias",
            json!({"type": "ExternalName", "externalName": "x", "ports": [{"port": 80}]}),
        ),
        labelled(
            "foreign",
            json!({"service.kubernetes.io/service-proxy-name": "other"}),
            web("10.0.0.2"),
        ),
        service("ours", web("10.0.0.3")),
    ];
    let mut tracker = tracker(&services, &[]);
    assert_eq!(tracker.update().problems, []);
    assert_eq!(map(&tracker), ["ns/ours:http "]);
}

#[test]
fn slices_of_one_service_are_merged() {
    let mut tracker = tracker(
        &[service("a", web("10.0.0.1"))],
        &[
            slice("a-1", "a", &["10.1.0.2", "10.1.0.3"]),
            slice("a-2", "a", &["10.1.0.1", "10.1.0.3"]),
        ],
    );
    tracker.update();
    assert_eq!(
        map(&tracker),
        ["ns/a:http 10.1.0.1:8080,10.1.0.2:8080,10.1.0.3:8080"]
    );

    // The label moves a slice to another Service.
    tracker.slice_changed(Change::Applied(Arc::new(slice("a-2", "b", &["10.1.0.1"]))));
    assert_eq!(tracker.update().changed.len(), 2);
    assert_eq!(map(&tracker), ["ns/a:http 10.1.0.2:8080,10.1.0.3:8080"]);

    // An unchanged object is no change.
    tracker.slice_changed(Change::Applied(Arc::new(slice("a-2", "b", &["10.1.0.1"]))));
    tracker.service_changed(Change::Applied(service("a", web("10.0.0.1"))));
    assert!(!tracker.is_dirty());

    tracker.slice_changed(Change::Deleted(Arc::new(slice("a-1", "a", &[]))));
    tracker.update();
    assert_eq!(map(&tracker), ["ns/a:http "]);
    tracker.service_changed(Change::Deleted(service("a", web("10.0.0.1"))));
    tracker.update();
    assert!(map(&tracker).is_empty());
}

#[test]
fn the_better_of_two_states_wins_in_any_order() {
    let mut terminating = slice("a-1", "a", &["10.1.0.1"]);
    terminating.endpoints[0].conditions.ready = Some(false);
    terminating.endpoints[0].conditions.terminating = Some(true);
    let running = slice("a-2", "a", &["10.1.0.1"]);
    for slices in [[terminating.clone(), running.clone()], [running, terminating]] {
        let mut tracker = tracker(&[service("a", web("10.0.0.1"))], &slices);
        tracker.update();
        let port = tracker.map().values().next().unwrap();
        assert_eq!(port.endpoints.len(), 1);
        assert!(port.endpoints[0].ready && port.endpoints[0].local && !port.endpoints[0].terminating);
    }
}

#[test]
fn one_bad_service_harms_only_itself() {
    #[rustfmt::skip]
    let cases = [
        (json!({"clusterIP": "10.0.0.999", "ports": [{"port": 80}]}),
         "Service ns/bad: spec.clusterIPs[0]: \"10.0.0.999\" is not an IP address; it is left out", 0),
        (json!({"clusterIP": "127.0.0.1", "ports": [{"port": 80}]}),
         "Service ns/bad: spec.clusterIPs[0]: 127.0.0.1 is a loopback address; it is left out", 0),
        (json!({"clusterIP": "10.0.0.9", "ports": [{"name": "a", "port": 80}, {"name": "b", "port": 70000}]}),
         "Service ns/bad: spec.ports[1].port: 70000 is not a port number; this port is left out", 1),
        (json!({"clusterIP": "10.0.0.9", "ports": [{"name": "a", "port": 80, "nodePort": -1}]}),
         "Service ns/bad: spec.ports[0].nodePort: -1 is not a port number; this port is left out", 0),
        (json!({"clusterIP": "10.0.0.9", "ports": [{"name": "a\" -j DROP", "port": 80}]}),
         "Service ns/bad: spec.ports[0].name: \"a\\\" -j DROP\" is not a port name; this port is left out", 0),
        (json!({"clusterIP": "10.0.0.9", "ports": [{"name": "a", "port": 80}, {"name": "a", "port": 81}]}),
         "Service ns/bad: spec.ports[1].name: \"a\" is used twice; the first one counts", 1),
        (json!({"clusterIP": "10.0.0.9", "ports": [{"name": "a", "port": 80}], "externalIPs": ["169.254.169.254"]}),
         "Service ns/bad: spec.externalIPs[0]: 169.254.169.254 is a link-local address; it is left out", 1),
    ];
    for (spec, problem, ports) in cases {
        let mut tracker = tracker(
            &[service("bad", spec.clone()), service("good", web("10.0.0.1"))],
            &[],
        );
        let update = tracker.update();
        assert_eq!(problems(&update), [problem]);
        assert_eq!(map(&tracker).len(), ports + 1, "{problem}");
        assert_eq!(update.problems[0].uid.as_str(), "uid-bad");
        // Told once; told again only when it comes back.
        tracker.service_changed(Change::Applied(service("bad", spec.clone())));
        assert_eq!(problems(&tracker.update()), Vec::<String>::new());
        tracker.service_changed(Change::Applied(service("bad", web("10.0.0.9"))));
        tracker.service_changed(Change::Applied(service("bad", spec)));
        assert_eq!(problems(&tracker.update()), [problem]);
    }
}

#[test]
fn unreadable_source_ranges_admit_nobody() {
    let spec = |ranges: Value| {
        json!({"type": "LoadBalancer", "clusterIP": "10.0.0.9", "ports": [{"port": 80}],
            "loadBalancerSourceRanges": ranges})
    };
    let with_vip = |ranges: Value| {
        let metadata = json!({"namespace": "ns", "name": "lb"});
        let status = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}});
        let object = json!({"metadata": metadata, "spec": spec(ranges), "status": status});
        let mut tracker = tracker(&[Arc::new(serde_json::from_value(object).unwrap())], &[]);
        tracker.update();
        let port = tracker.map().values().next().unwrap().clone();
        (port.load_balancer_vips.len(), port.source_ranges.len())
    };
    assert_eq!(with_vip(json!([])), (1, 0));
    assert_eq!(with_vip(json!([" 10.0.0.0/8 "])), (1, 1));
    assert_eq!(with_vip(json!(["10.0.0.0/8", "0.0.0.0/0"])), (1, 0), "everyone");
    assert_eq!(with_vip(json!(["10.0.0.0/8", "x"])), (1, 1));
    assert_eq!(with_vip(json!(["x"])), (0, 0));
}

#[test]
fn bad_endpoints_are_left_out() {
    let mut bad = slice(
        "a-1",
        "a",
        &[
            "10.1.0.1",
            "127.0.0.1",
            "169.254.1.1",
            "fd00::1",
            "nonsense",
            "0.0.0.0",
        ],
    );
    bad.ports.push(crate::model::service::EndpointPort {
        port: Some(0),
        ..Default::default()
    });
    let mut tracker = tracker(&[service("a", web("10.0.0.1"))], &[bad]);
    let update = tracker.update();
    let found = problems(&update);
    assert_eq!(found.len(), 6, "{found:#?}");
    assert!(
        found[0].starts_with("EndpointSlice ns/a-1: ports[1].port: 0 is not a port number"),
        "{}",
        found[0]
    );
    assert!(
        found[1].contains("endpoints[1].addresses: 127.0.0.1 is a loopback address"),
        "{}",
        found[1]
    );
    assert_eq!(map(&tracker), ["ns/a:http 10.1.0.1:8080"]);
}

#[test]
fn a_port_no_slice_serves_is_said() {
    let spec = json!({"clusterIP": "10.0.0.1", "ports": [{"name": "htpp", "port": 80}]});
    let mut tracker = tracker(&[service("a", spec)], &[slice("a-1", "a", &["10.1.0.1"])]);
    let found = problems(&tracker.update());
    assert_eq!(found.len(), 1);
    assert!(
        found[0].starts_with("Service ns/a: spec.ports: no EndpointSlice of the Service has a port \"htpp\"")
    );
    assert_eq!(map(&tracker), ["ns/a:htpp "]);
}

#[test]
fn a_relist_drops_what_is_gone() {
    let mut tracker = tracker(
        &[service("a", web("10.0.0.1")), service("b", web("10.0.0.2"))],
        &[slice("a-1", "a", &["10.1.0.1"])],
    );
    tracker.update();
    tracker.service_changed(Change::Replaced(vec![service("a", web("10.0.0.1"))]));
    tracker.slice_changed(Change::Replaced(vec![]));
    assert_eq!(tracker.update().changed.len(), 2);
    assert_eq!(map(&tracker), ["ns/a:http "]);
}

#[test]
fn the_trigger_time_is_kept_for_events_but_not_for_lists() {
    let mut slice = slice("a-1", "a", &["10.1.0.1"]);
    let key = "endpoints.kubernetes.io/last-change-trigger-time";
    slice
        .metadata
        .annotations
        .insert(key.into(), "2026-11-21T10:00:00.5Z".into());
    let mut tracker = tracker(&[], &[slice.clone()]);
    assert_eq!(tracker.update().triggers, []);
    slice.endpoints.clear();
    tracker.slice_changed(Change::Applied(Arc::new(slice)));
    assert_eq!(
        tracker.update().triggers,
        ["2026-11-21T10:00:00.5Z".parse().unwrap()]
    );
}
