use super::super::status::tests::facts;
use super::*;

#[test]
fn node_restriction_limits_our_labels() {
    for key in [
        "zone",
        "example.com/zone",
        "kubernetes.io/hostname",
        "node.kubernetes.io/exclude",
        "x.kubelet.kubernetes.io/a",
    ] {
        assert!(allowed_label(key), "{key}");
    }
    for key in [
        "node-role.kubernetes.io/worker",
        "node-restriction.kubernetes.io/a",
        "kubernetes.io/x",
        "a.k8s.io/b",
    ] {
        assert!(!allowed_label(key), "{key}");
    }
    let wanted = Labels::from([
        ("disk".into(), "ssd".into()),
        ("node-role.kubernetes.io/worker".into(), "".into()),
    ]);
    let labels = labels(&facts(), &wanted);
    assert_eq!(labels.len(), 6);
    assert_eq!(&*labels["kubernetes.io/hostname"], "worker-1");
    assert_eq!(&*labels["beta.kubernetes.io/arch"], "amd64");
    assert_eq!(&*labels["disk"], "ssd");
    let own = Labels::from([("kubernetes.io/hostname".into(), "n7".into())]);
    assert_eq!(&*super::labels(&facts(), &own)["kubernetes.io/hostname"], "n7");
}

#[test]
fn a_new_node_has_everything() {
    let facts = facts();
    let node = node(
        &facts,
        &labels(&facts, &Labels::new()),
        &[],
        &[],
        Timestamp::UNIX_EPOCH,
    );
    assert_eq!(node["metadata"]["name"], "worker-1");
    assert_eq!(node["status"]["capacity"]["pods"], "110");
    assert!(node["spec"].get("taints").is_none());
}

fn registered(machine: &str, ready: &str) -> Value {
    json!({
        "metadata": {
            "labels": {"kubernetes.io/os": "linux", "foreign": "stays"},
            "annotations": {ATTACH_DETACH: "true"},
        },
        "status": {
            "nodeInfo": {"machineID": machine, "systemUUID": machine.replace('m', "s"), "bootID": "b1"},
            "conditions": [{"type": "Ready", "status": ready}],
        },
    })
}

#[test]
fn our_own_node_is_adopted_with_the_labels_that_are_missing() {
    let facts = facts();
    let labels = labels(&facts, &Labels::new());
    let Existing::Adopt {
        patch: Some(patch),
        taken_over: false,
        rebooted: false,
    } = existing(&registered("m1", "True"), &facts, &labels)
    else {
        panic!("ours is adopted")
    };
    let changed = patch["metadata"]["labels"].as_object().unwrap();
    assert_eq!(changed.len(), 4);
    assert!(!changed.contains_key("kubernetes.io/os") && !changed.contains_key("foreign"));
    // Labels of the administrator's are theirs once the Node is there.
    let mut more = labels.clone();
    more.insert("disk".into(), "ssd".into());
    let mut whole = registered("m1", "True");
    whole["metadata"]["labels"] = json!(labels);
    assert_eq!(
        existing(&whole, &facts, &more),
        Existing::Adopt {
            patch: None,
            taken_over: false,
            rebooted: false
        }
    );
}

#[test]
fn a_node_without_the_annotation_gets_it() {
    let mut node = registered("m1", "True");
    node["metadata"]["annotations"] = json!({"other": "stays"});
    let Existing::Adopt { patch, .. } = existing(&node, &facts(), &Labels::new()) else {
        panic!("ours is adopted")
    };
    assert_eq!(
        patch,
        Some(json!({"metadata": {"annotations": {ATTACH_DETACH: "true"}}}))
    );
}

#[test]
fn another_machine_that_is_alive_is_a_clash_and_a_dead_one_is_not() {
    let facts = facts();
    let Existing::Clash(text) = existing(&registered("m2", "True"), &facts, &Labels::new()) else {
        panic!("clash")
    };
    assert!(
        text.contains("worker-1") && text.contains("m2") && text.contains("--node"),
        "{text}"
    );
    let dead = existing(&registered("m2", "Unknown"), &facts, &Labels::new());
    assert_eq!(
        dead,
        Existing::Adopt {
            patch: None,
            taken_over: true,
            rebooted: false
        }
    );
    assert!(matches!(
        existing(&json!({}), &facts, &Labels::new()),
        Existing::Adopt {
            taken_over: false,
            ..
        }
    ));
}

#[test]
fn a_new_boot_id_is_a_reboot() {
    let mut facts = facts();
    facts.machine.boot_id = "b2".into();
    assert!(matches!(
        existing(&registered("m1", "Unknown"), &facts, &Labels::new()),
        Existing::Adopt { rebooted: true, .. }
    ));
}

#[test]
fn times_of_change_are_kept_while_the_status_is_the_same() {
    let node = json!({"status": {"conditions": [
        {"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-21T10:00:00Z"},
    ]}});
    assert_eq!(
        since(&node, "Ready", true),
        Some("2026-11-21T10:00:00Z".parse().unwrap())
    );
    assert_eq!(since(&node, "Ready", false), None);
    assert_eq!(since(&node, "DiskPressure", false), None);
}

#[test]
fn a_clouds_controller_is_told_the_addresses_the_operator_chose() {
    let cloud = |ips: &[&str]| Facts {
        external_cloud: true,
        ips: ips.iter().map(|ip| ip.parse().unwrap()).collect(),
        ..facts()
    };
    let told = |facts: &Facts| {
        let node = node(facts, &Labels::new(), &[], &[], Timestamp::UNIX_EPOCH);
        node["metadata"]["annotations"][PROVIDED_IP].clone()
    };
    assert_eq!(told(&cloud(&["10.0.0.1", "fd00::1"])), "10.0.0.1,fd00::1");
    assert_eq!(told(&cloud(&[])), Value::Null);
    assert_eq!(told(&facts()), Value::Null);
    let patch = |facts: &Facts, metadata: Value| corrections(&metadata, facts, &Labels::new());
    let stale = json!({"annotations": {ATTACH_DETACH: "true", PROVIDED_IP: "10.0.0.9"}});
    assert_eq!(
        patch(&facts(), stale.clone()),
        Some(json!({"metadata": {"annotations": {PROVIDED_IP: null}}}))
    );
    assert_eq!(
        patch(&cloud(&["10.0.0.1"]), stale),
        Some(json!({"metadata": {"annotations": {PROVIDED_IP: "10.0.0.1"}}}))
    );
    let right = json!({"annotations": {ATTACH_DETACH: "true", PROVIDED_IP: "10.0.0.1"}});
    assert_eq!(patch(&cloud(&["10.0.0.1"]), right), None);
}
