//! Reservations on disk: full, foreign, orphaned, reconciled.

use super::*;

#[test]
fn a_full_subnet_says_so_and_recovers() {
    private(|| {
        let mut node = Node::new("1.1.0", &["10.244.1.0/29"]);
        node.config["cniVersion"] = json!("1.1.0");
        let pods: Vec<PodNetns> = (0..6).map(|i| PodNetns::new(&format!("p{i}"))).collect();
        for (i, pod) in pods.iter().take(5).enumerate() {
            node.add(&format!("c{i}"), pod);
        }
        let (code, text) = failure(&node.call("ADD", "c5", &pods[5].path));
        assert_eq!(code, 11);
        assert!(
            text.contains("no free address in 10.244.1.0/29: 5 are taken"),
            "{text}"
        );
        assert_eq!(failure(&node.call("STATUS", "", Path::new(""))).0, 50);
        assert_eq!(veths().len(), 5);
        node.del("c2", &pods[2].path);
        assert!(node.call("STATUS", "", Path::new("")).status.success());
        assert_eq!(node.add("c5", &pods[5])["ips"][0]["address"], "10.244.1.4/29");
    });
}

#[test]
fn garbage_among_the_reservations_is_reported_and_kept() {
    private(|| {
        let node = Node::new("1.0.0", &["10.244.1.0/24"]);
        fs::create_dir_all(node.dir().join("a-directory")).unwrap();
        fs::create_dir(node.dir().join("10.244.1.2")).unwrap();
        fs::write(node.dir().join("10.244.1.3"), "").unwrap();
        fs::write(node.dir().join("10.244.1.4"), [0xff, 0xfe, 0x00]).unwrap();
        fs::write(node.dir().join("notes.txt"), "c1\r\neth0").unwrap();
        fs::write(node.dir().join("last_reserved_ip.0"), "nonsense").unwrap();
        let pod = PodNetns::new("pod");
        let output = node.call("ADD", "c1", &pod.path);
        assert_eq!(success(&output)["ips"][0]["address"], "10.244.1.5/24");
        let warnings = String::from_utf8(output.stderr).unwrap();
        for name in [
            "a-directory",
            "10.244.1.2",
            "10.244.1.3",
            "10.244.1.4",
            "notes.txt",
        ] {
            assert!(warnings.contains(name), "{name} is not mentioned in {warnings}");
        }
        node.del("c1", &pod.path);
        for name in [
            "a-directory",
            "10.244.1.2",
            "10.244.1.3",
            "10.244.1.4",
            "notes.txt",
        ] {
            assert!(node.dir().join(name).exists(), "{name} was deleted");
        }
    });
}

#[test]
fn garbage_collection_removes_orphans_only() {
    private(|| {
        let mut node = Node::new("1.1.0", &["10.244.1.0/24"]);
        let pods: Vec<PodNetns> = (0..4).map(|i| PodNetns::new(&format!("p{i}"))).collect();
        for (i, pod) in pods.iter().enumerate() {
            node.add(&format!("c{i}"), pod);
        }
        fs::write(node.dir().join("10.244.1.99"), "orphan\r\neth0").unwrap();
        fs::write(node.dir().join("10.244.1.98"), "").unwrap();
        fs::write(node.dir().join("10.244.1.97"), "?!").unwrap();
        node.config["cni.dev/valid-attachments"] =
            json!([{ "containerID": "c1", "ifname": "eth0" }, { "containerID": "c3", "ifname": "eth0" }]);
        let output = node.call("GC", "", Path::new(""));
        assert!(output.status.success(), "{output:?}");
        let left: Vec<String> = node.reserved().iter().map(ToString::to_string).collect();
        assert_eq!(left, ["10.244.1.3", "10.244.1.5", "10.244.1.97"]);
        assert_eq!(veths().len(), 2);
        let old = Node::new("1.0.0", &["10.244.1.0/24"]);
        assert_eq!(failure(&old.call("GC", "", Path::new(""))).0, 1);
        assert_eq!(failure(&old.call("STATUS", "", Path::new(""))).0, 1);
    });
}

#[test]
fn reconciliation_releases_what_no_sandbox_owns() {
    private(|| {
        let node = Node::new("1.0.0", &["10.244.1.0/24"]);
        for id in ["live", "dead"] {
            node.add(id, &PodNetns::new(id));
        }
        fs::write(node.dir().join("10.244.1.50"), "rebooted\r\neth0").unwrap();
        fs::write(node.dir().join("10.244.1.51"), "").unwrap();
        fs::write(node.dir().join("junk"), "").unwrap();
        let live = ["live".into()];
        let reconcile = |age| rustlet::cni::reconcile(node.data.path(), "pods", &live, age).unwrap();
        assert_eq!(
            reconcile(Duration::from_secs(3600)).released,
            Vec::<IpAddr>::new(),
            "all of them are young"
        );
        let done = reconcile(Duration::ZERO);
        let released: Vec<String> = done.released.iter().map(ToString::to_string).collect();
        assert_eq!(released, ["10.244.1.3", "10.244.1.50", "10.244.1.51"]);
        assert!(done.warnings.iter().any(|w| w.contains("junk")), "{done:?}");
        assert_eq!((node.reserved().len(), veths().len()), (1, 1));
    });
}
