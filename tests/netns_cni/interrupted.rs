//! Calls that fail, repeat, race, or are killed leave nothing behind.

use super::*;

#[test]
fn repeating_add_gives_the_same_address() {
    private(|| {
        let node = Node::new("1.0.0", &["10.244.1.0/24"]);
        let pod = PodNetns::new("pod");
        let first = node.add("c1", &pod);
        let again = node.add("c1", &pod);
        assert_eq!(first["ips"], again["ips"]);
        assert_eq!(veths().len(), 1);
        // The runtime made a new namespace for the same sandbox.
        pod.remove();
        let new = PodNetns::new("pod");
        assert_eq!(node.add("c1", &new)["ips"], first["ips"]);
        node.del("c1", &new.path);
        node.assert_nothing_left();
    });
}

#[test]
fn what_a_killed_add_leaves_is_no_obstacle() {
    private(|| {
        let node = Node::new("1.0.0", &["10.244.1.0/24"]);
        let pod = PodNetns::new("pod");
        node.add("c1", &pod);
        // Killed after the reservation, before the link.
        Netlink::open().unwrap().delete_link(&veths()[0].name).unwrap();
        assert_eq!(node.add("c1", &pod)["ips"][0]["address"], "10.244.1.2/24");
        // Killed after the pair was made, before it was marked.
        let name = veths()[0].name.clone();
        Netlink::open().unwrap().set_port(&name, false, "").unwrap();
        node.add("c1", &pod);
        assert_eq!(veths()[0].hairpin, Some(true));
        // Killed while writing a reservation.
        fs::write(node.dir().join(".rustlet.tmp"), "half").unwrap();
        assert_eq!(
            node.add("c2", &PodNetns::new("second"))["ips"][0]["address"],
            "10.244.1.3/24"
        );
        // Killed between all of that and DEL.
        node.del("c1", &pod.path);
        node.del("c2", Path::new("/run/netns/second"));
        node.assert_nothing_left();
    });
}

#[test]
fn killed_at_random_moments_nothing_is_lost() {
    private(|| {
        let node = Node::new("1.0.0", &["10.244.1.0/24"]);
        let pods: Vec<PodNetns> = (0..40).map(|i| PodNetns::new(&format!("p{i}"))).collect();
        let mut killed = 0;
        for (i, pod) in pods.iter().enumerate() {
            let mut child = spawn(
                "ADD",
                &format!("c{i}"),
                &pod.path,
                node.config.to_string().as_bytes(),
            );
            // Busy-waits of growing length spread the kill over the whole life of the process.
            for _ in 0..i * 4000 {
                std::hint::spin_loop();
            }
            let _ = child.kill();
            killed += usize::from(!child.wait().unwrap().success());
        }
        assert!(killed > 0, "no call was killed");
        for (i, pod) in pods.iter().enumerate() {
            node.add(&format!("c{i}"), pod);
        }
        assert_eq!((node.reserved().len(), veths().len()), (40, 40));
        for (i, pod) in pods.iter().enumerate() {
            node.del(&format!("c{i}"), &pod.path);
        }
        node.assert_nothing_left();
    });
}

#[test]
fn a_failed_add_leaves_nothing() {
    private(|| {
        let node = Node::new("1.0.0", &["10.244.1.0/24"]);
        let pod = PodNetns::new("pod");
        // The pod has an eth0 of its own.
        netns::run_in(&pod.open(), || {
            Netlink::open()
                .unwrap()
                .create_bridge("eth0", [2, 0, 0, 0, 0, 1], 0)
                .unwrap()
        })
        .unwrap();
        let (_, text) = failure(&node.call("ADD", "c1", &pod.path));
        assert!(text.contains("eth0 exists already in /run/netns/pod"), "{text}");
        node.assert_nothing_left();
        // No namespace.
        let (code, text) = failure(&node.call("ADD", "c1", Path::new("/run/netns/none")));
        assert_eq!(code, 4);
        assert!(
            text.contains("CNI_NETNS") && text.contains("/run/netns/none"),
            "{text}"
        );
        // The plugin's own namespace.
        let (code, _) = failure(&node.call("ADD", "c1", Path::new("/proc/self/ns/net")));
        assert_eq!(code, 4);
        node.assert_nothing_left();
    });
}

#[test]
fn a_bridge_of_somebody_else_is_left_alone() {
    private(|| {
        let node = Node::new("1.0.0", &["10.244.1.0/24"]);
        let pod = PodNetns::new("pod");
        let mut host = Netlink::open().unwrap();
        host.create_bridge("cni0", [2, 0, 0, 0, 0, 1], 0).unwrap();
        let index = host.link("cni0").unwrap().unwrap().index;
        host.add_address(index, "10.244.0.1/16".parse().unwrap()).unwrap();
        let (code, text) = failure(&node.call("ADD", "c1", &pod.path));
        assert_eq!(code, 7);
        assert!(
            text.contains("bridge cni0 has address 10.244.0.1/16, which overlaps with 10.244.1.1/24"),
            "{text}"
        );
        node.assert_nothing_left();
    });
}

#[test]
fn thirty_at_once_get_different_addresses() {
    private(|| {
        let node = Node::new("1.0.0", &["10.244.1.0/24"]);
        let pods: Vec<PodNetns> = (0..30).map(|i| PodNetns::new(&format!("p{i}"))).collect();
        let run = |command: &str| {
            let config = node.config.to_string();
            let children: Vec<_> = pods
                .iter()
                .enumerate()
                .map(|(i, pod)| spawn(command, &format!("c{i}"), &pod.path, config.as_bytes()))
                .collect();
            children
                .into_iter()
                .map(|child| child.wait_with_output().unwrap())
                .collect::<Vec<_>>()
        };
        let addresses: BTreeSet<IpAddr> = run("ADD").iter().map(|o| address(&success(o), 0)).collect();
        assert_eq!(addresses.len(), 30);
        assert_eq!(addresses, node.reserved());
        for output in run("DEL") {
            assert!(output.status.success(), "{output:?}");
        }
        node.assert_nothing_left();
    });
}
