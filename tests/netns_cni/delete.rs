//! DEL finds and removes what there is, whatever else is gone.

use super::*;

#[test]
fn delete_works_without_the_namespace() {
    private(|| {
        let node = Node::new("1.0.0", &["10.244.1.0/24"]);
        // No CNI_NETNS at all: the namespace is still there.
        let kept = PodNetns::new("kept");
        node.add("c1", &kept);
        node.del("c1", Path::new(""));
        node.assert_nothing_left();
        // The namespace went first.
        let gone = PodNetns::new("gone");
        node.add("c2", &gone);
        gone.remove();
        node.del("c2", &gone.path);
        node.assert_nothing_left();
        // Only an empty file is left where it was.
        let hollow = PodNetns::new("hollow");
        node.add("c3", &hollow);
        hollow.remove();
        fs::write(&hollow.path, "").unwrap();
        node.del("c3", &hollow.path);
        node.assert_nothing_left();
        // Never heard of.
        node.del("unknown", Path::new("/run/netns/unknown"));
    });
}

#[test]
fn delete_does_not_need_a_sane_configuration() {
    private(|| {
        let mut node = Node::new("1.0.0", &["10.244.1.0/24"]);
        let pod = PodNetns::new("pod");
        node.add("c1", &pod);
        node.config["ipam"]["ranges"] = json!([]);
        node.config["vlan"] = json!(7);
        node.del("c1", &pod.path);
        node.assert_nothing_left();
    });
}

#[test]
fn delete_removes_what_another_plugin_made() {
    private(|| {
        // What the bridge and host-local plugins leave: a random name, no alias, a reservation in host-local's form.
        let node = Node::new("1.0.0", &["10.244.1.0/24"]);
        let pod = PodNetns::new("pod");
        node.add("other", &PodNetns::new("other"));
        let host = Netlink::open().unwrap().link("cni0").unwrap().unwrap();
        Netlink::open()
            .unwrap()
            .create_veth(&rustlet::sys::netlink::VethPair {
                host: "veth1a2b3c4d",
                master: host.index,
                peer: "eth0",
                peer_mac: [2, 0, 0, 0, 0, 9],
                peer_netns: std::os::fd::AsRawFd::as_raw_fd(&pod.open()),
                mtu: 0,
            })
            .unwrap();
        fs::write(node.dir().join("10.244.1.77"), "c1\r\neth0").unwrap();
        node.del("c1", &pod.path);
        assert!(Netlink::open().unwrap().link("veth1a2b3c4d").unwrap().is_none());
        assert!(!node.dir().join("10.244.1.77").exists());
        assert_eq!(node.reserved().len(), 1, "the other pod keeps its address");
    });
}
