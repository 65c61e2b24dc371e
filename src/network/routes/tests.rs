use super::*;
use crate::model::Meta;
use crate::model::net::{NodeAddress, NodeSpec, NodeStatus};

fn node(name: &str, cidrs: &[&str], ips: &[&str]) -> Node {
    let address = |ip: &&str| NodeAddress {
        kind: "InternalIP".into(),
        address: (*ip).into(),
    };
    Node {
        metadata: Meta {
            name: name.into(),
            ..Meta::default()
        },
        spec: NodeSpec {
            pod_cidrs: cidrs.iter().map(|c| (*c).into()).collect(),
            ..NodeSpec::default()
        },
        status: NodeStatus {
            addresses: ips.iter().map(address).collect(),
            ..NodeStatus::default()
        },
    }
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Routes and problems of a cluster of which we are `10.244.0.0/24`.
fn plan(nodes: &[Node], connected: &[&str]) -> (Vec<String>, Vec<String>) {
    let (peers, mut problems) = peers(&[net("10.244.0.0/24")], nodes.iter());
    let connected: Vec<IpNet> = connected.iter().map(|c| net(c)).collect();
    let (routes, more) = desired(&peers, &connected);
    problems.extend(more);
    (
        routes
            .iter()
            .map(|(dst, gateway)| format!("{dst} by {gateway}"))
            .collect(),
        problems,
    )
}

#[test]
fn each_family_goes_by_its_own_address() {
    let nodes = [
        node(
            "b",
            &["10.244.1.0/24", "fd00:1::/64"],
            &["192.168.0.2", "fd99::2"],
        ),
        node("c", &["10.244.2.0/24"], &["172.16.0.3", "192.168.0.3"]),
    ];
    let (routes, problems) = plan(&nodes, &["192.168.0.0/24", "fd99::/64"]);
    assert_eq!(
        routes,
        [
            "10.244.1.0/24 by 192.168.0.2",
            "10.244.2.0/24 by 192.168.0.3",
            "fd00:1::/64 by fd99::2"
        ]
    );
    assert_eq!(problems, Vec::<String>::new());
}

#[test]
fn a_bad_node_harms_only_itself() {
    let nodes = [
        node("bad-cidr", &["10.244.1/24"], &["192.168.0.2"]),
        node("far", &["10.244.2.0/24"], &["203.0.113.9"]),
        node("no-address", &["10.244.3.0/24"], &["not an address"]),
        node("ours", &["10.244.0.0/16"], &["192.168.0.5"]),
        node("twice-a", &["10.244.4.0/24"], &["192.168.0.6"]),
        node("twice-b", &["10.244.4.0/25"], &["192.168.0.7"]),
        node("empty", &[], &[]),
        node("good", &["10.244.9.0/24"], &["192.168.0.9"]),
    ];
    let (routes, problems) = plan(&nodes, &["192.168.0.0/24"]);
    assert_eq!(
        routes,
        ["10.244.4.0/24 by 192.168.0.6", "10.244.9.0/24 by 192.168.0.9"]
    );
    let expected = [
        "node bad-cidr: spec.podCIDRs: \"10.244.1/24\" is not a CIDR",
        "node ours: spec.podCIDRs: 10.244.0.0/16 overlaps with our own 10.244.0.0/24; no route",
        "node twice-b: spec.podCIDRs: 10.244.4.0/25 overlaps with 10.244.4.0/24 of twice-a; no route",
        "node far: InternalIP 203.0.113.9 is not on a directly connected network; no route to its pods",
        "node no-address: status.addresses: no IPv4 InternalIP; no route to its pods",
    ];
    assert_eq!(problems, expected);
}

#[test]
fn only_our_own_routes_are_changed() {
    let desired = BTreeMap::from([
        (net("10.244.1.0/24"), ip("192.168.0.2")),
        (net("10.244.2.0/24"), ip("192.168.0.3")),
        (net("10.244.3.0/24"), ip("192.168.0.4")),
        (net("10.244.4.0/24"), ip("192.168.0.5")),
        (net("10.244.5.0/24"), ip("192.168.0.6")),
    ]);
    let route = |dst: &str, gateway: &str, protocol| Actual {
        dst: net(dst),
        gateway: Some(ip(gateway)),
        protocol,
    };
    let actual = [
        route("10.244.1.0/24", "192.168.0.2", PROTOCOL),
        route("10.244.2.0/24", "192.168.0.99", PROTOCOL),
        route("10.244.3.0/24", "192.168.0.4", 4),
        route("10.244.4.0/24", "192.168.0.99", 186),
        route("10.244.8.0/24", "192.168.0.8", PROTOCOL),
        route("10.244.9.0/24", "192.168.0.9", 4),
        Actual {
            dst: net("192.168.0.0/24"),
            gateway: None,
            protocol: 2,
        },
    ];
    let changes = diff(&desired, &actual);
    assert_eq!(
        changes.set,
        [
            (net("10.244.2.0/24"), ip("192.168.0.3")),
            (net("10.244.5.0/24"), ip("192.168.0.6"))
        ]
    );
    assert_eq!(changes.delete, [(net("10.244.8.0/24"), Some(ip("192.168.0.8")))]);
    assert_eq!(changes.problems.len(), 1);
    assert!(changes.problems[0].contains("10.244.4.0/24") && changes.problems[0].contains("protocol 186"));
    let done: Vec<Actual> = desired
        .iter()
        .map(|(dst, gw)| Actual {
            dst: *dst,
            gateway: Some(*gw),
            protocol: PROTOCOL,
        })
        .collect();
    assert_eq!(diff(&desired, &done), Changes::default(), "nothing to do twice");
}
