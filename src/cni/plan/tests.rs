use super::*;
use crate::cni::spec::{Environment, Request, decode};
use serde_json::json;

fn call(ipam: serde_json::Value) -> Call {
    let environment = Environment {
        command: "ADD".into(),
        container_id: "c1".into(),
        netns: "/run/netns/pod".into(),
        ifname: "eth0".into(),
    };
    let config =
        json!({ "cniVersion": "1.0.0", "name": "pods", "type": "rustlet", "mtu": 1450, "ipam": ipam });
    match decode(&environment, config.to_string().as_bytes()) {
        Ok(Request::Call(call)) => *call,
        other => panic!("{other:?}"),
    }
}

fn allocation(address: &str, gateway: &str) -> Allocation {
    Allocation {
        address: address.parse().unwrap(),
        gateway: gateway.parse().unwrap(),
        fresh: true,
    }
}

#[test]
fn a_dual_stack_plan() {
    let ranges = json!([[{ "subnet": "10.244.1.0/24" }], [{ "subnet": "fd00:1::/64" }]]);
    let call = call(json!({ "type": "host-local", "ranges": ranges }));
    let allocations = [
        allocation("10.244.1.7/24", "10.244.1.1"),
        allocation("fd00:1::7/64", "fd00:1::1"),
    ];
    let plan = link_plan(&call, &allocations).unwrap();
    assert_eq!(plan.bridge.name, "cni0");
    assert_eq!(plan.bridge.mac, [0x0a, 0x58, 10, 244, 1, 1]);
    assert_eq!(
        plan.bridge.gateways,
        ["10.244.1.1/24".parse().unwrap(), "fd00:1::1/64".parse().unwrap()]
    );
    assert_eq!(plan.mac, [0x0a, 0x58, 10, 244, 1, 7]);
    assert_eq!(
        (plan.mtu, plan.hairpin, plan.ifname.as_str()),
        (1450, true, "eth0")
    );
    let routes: Vec<String> = plan
        .routes
        .iter()
        .map(|(dst, gw)| format!("{dst} by {gw}"))
        .collect();
    assert_eq!(routes, ["0.0.0.0/0 by 10.244.1.1", "::/0 by fd00:1::1"]);
}

#[test]
fn configured_routes_replace_the_default() {
    let routes = json!([{ "dst": "10.0.0.0/8" }, { "dst": "10.0.0.0/8" }, { "dst": "fd00::/8" }]);
    let call = call(json!({ "type": "host-local", "subnet": "10.244.1.0/24", "routes": routes }));
    let plan = link_plan(&call, &[allocation("10.244.1.7/24", "10.244.1.1")]).unwrap();
    assert_eq!(
        plan.routes,
        [("10.0.0.0/8".parse().unwrap(), "10.244.1.1".parse().unwrap())]
    );
}

#[test]
fn host_names_are_stable_and_legal() {
    let owner = |id: &str, ifname: &str| Owner {
        container_id: id.into(),
        ifname: ifname.into(),
    };
    let names = host_names(&owner("c1", "eth0"));
    assert_eq!(
        names,
        host_names(&owner("c1", "eth0")),
        "DEL must find what ADD made"
    );
    assert_eq!(
        names.iter().collect::<std::collections::BTreeSet<_>>().len(),
        NAMES
    );
    for name in &names {
        assert!(
            name.len() == 12 && name.starts_with("veth") && name[4..].chars().all(|c| c.is_ascii_hexdigit())
        );
    }
    assert_ne!(names, host_names(&owner("c1", "eth1")));
    assert_ne!(
        names,
        host_names(&owner("c1e", "th0")),
        "the border between the two counts"
    );
}

#[test]
fn an_alias_names_its_owner_in_its_network_only() {
    let owner = Owner {
        container_id: "c1".into(),
        ifname: "eth0".into(),
    };
    let alias = alias("pods", &owner).unwrap();
    assert_eq!(owner_of_alias("pods", &alias), Some(owner.clone()));
    for (network, text) in [
        ("pod", &*alias),
        ("pods2", &alias),
        ("pods", ""),
        ("pods", "uplink"),
        ("pods", "rustlet:pods/x"),
    ] {
        assert_eq!(owner_of_alias(network, text), None, "{network} {text}");
    }
    let long = Owner {
        container_id: "x".repeat(300),
        ..owner
    };
    assert_eq!(
        super::alias("pods", &long).unwrap_err().code,
        Code::InvalidEnvironment
    );
}
