//! The words of the specification: CHECK, errors, VERSION, the loopback plugin.

use super::*;

#[test]
fn check_notices_every_difference() {
    private(|| {
        let mut node = Node::new("1.0.0", &["10.244.1.0/24"]);
        let pod = PodNetns::new("pod");
        let result = node.add("c1", &pod);
        node.config["prevResult"] = result;
        let healthy = || assert!(node.call("CHECK", "c1", &pod.path).status.success());
        let broken = |words: &str| {
            let (_, text) = failure(&node.call("CHECK", "c1", &pod.path));
            assert!(text.contains(words), "{text} does not say {words}");
        };
        healthy();
        let mut inside = Netlink::open_in(&pod.open()).unwrap();
        let eth0 = inside.link("eth0").unwrap().unwrap().index;
        let default = inside
            .routes()
            .unwrap()
            .into_iter()
            .find(|r| r.gateway.is_some())
            .unwrap();
        assert!(inside.delete_route(&default).unwrap());
        broken("route to 0.0.0.0/0 by 10.244.1.1 is missing");
        inside.replace_route(&default).unwrap();
        healthy();
        let own = "10.244.1.2/24".parse().unwrap();
        assert!(inside.delete_address(eth0, own).unwrap());
        broken("eth0 lacks 10.244.1.2/24");
        inside.add_address(eth0, own).unwrap();
        inside.replace_route(&default).unwrap();
        healthy();
        let port = veths().remove(0);
        Netlink::open()
            .unwrap()
            .set_port(&port.name, false, &port.alias)
            .unwrap();
        broken("has hairpin Some(false)");
        fs::remove_file(node.dir().join("10.244.1.2")).unwrap();
        broken("no address is reserved for container c1");
        node.call("DEL", "c1", &pod.path);
        broken("");
    });
}

#[test]
fn bad_input_is_answered_in_the_spec_s_words() {
    private(|| {
        let pod = PodNetns::new("pod");
        let good = Node::new("1.0.0", &["10.244.1.0/24"]);
        let with = |key: &str, value: Value| {
            let mut config = good.config.clone();
            config[key] = value;
            config.to_string().into_bytes()
        };
        let half = good.config.to_string().into_bytes()[..80].to_vec();
        let cases: Vec<(Vec<u8>, u64, &str)> = vec![
            (b"".to_vec(), 6, "empty, expected a JSON object"),
            (b"  \n".to_vec(), 6, "empty"),
            (half, 6, "not JSON: EOF while parsing"),
            (b"[]".to_vec(), 6, "not a JSON object"),
            (vec![0xff, 0x00, 0x7b], 6, "not JSON"),
            (with("cniVersion", json!(1)), 6, "cniVersion: 1 is not a string"),
            (with("cniVersion", json!("9.9.9")), 1, "9.9.9"),
            (with("mtu", json!("large")), 6, "mtu: invalid type: string"),
            (
                with(
                    "ipam",
                    json!({ "type": "host-local", "ranges": [[{ "subnet": "10.0.0.300/24" }]] }),
                ),
                6,
                "ipam.ranges[0][0].subnet: invalid",
            ),
            (with("ipam", json!({ "type": "dhcp" })), 7, "ipam.type"),
            (with("name", json!("../etc")), 7, "name"),
            (with("ipMasq", json!(true)), 2, "ipMasq: true"),
        ];
        for (stdin, code, words) in cases {
            let (got, text) = failure(&call("ADD", "c1", &pod.path, &stdin));
            assert!(
                got == code && text.contains(words),
                "{got} {text}, expected {code} {words}"
            );
        }
        for (command, id, variable) in [
            ("FLY", "c1", "CNI_COMMAND"),
            ("ADD", "", "CNI_CONTAINERID"),
            ("ADD", "../x", "CNI_CONTAINERID"),
        ] {
            let (got, text) = failure(&call(command, id, &pod.path, good.config.to_string().as_bytes()));
            assert!(got == 4 && text.contains(variable), "{got} {text}");
        }
        assert_eq!(veths(), Vec::<Link>::new());
    });
}

#[test]
fn version_is_told_without_a_configuration() {
    private(|| {
        for (stdin, said) in [(&b"{\"cniVersion\":\"0.4.0\"}"[..], "0.4.0"), (b"", "1.1.0")] {
            let answer = success(&call("VERSION", "", Path::new(""), stdin));
            assert_eq!(
                answer,
                json!({ "cniVersion": said, "supportedVersions": VERSIONS })
            );
        }
    });
}

#[test]
fn the_loopback_plugin_is_built_in() {
    private(|| {
        let pod = PodNetns::new("pod");
        let config = json!({ "cniVersion": "0.3.1", "name": "cni-loopback", "type": "loopback" }).to_string();
        let result = success(&call("ADD", "c1", &pod.path, config.as_bytes()));
        assert_eq!(result["interfaces"][0]["name"], "lo");
        assert_eq!(result["ips"][0]["address"], "127.0.0.1/8");
        netns::run_in(&pod.open(), || {
            let (a, b) = (
                UdpSocket::bind("127.0.0.1:0").unwrap(),
                UdpSocket::bind("127.0.0.1:0").unwrap(),
            );
            a.send_to(b"x", b.local_addr().unwrap()).unwrap();
            assert_eq!(b.recv(&mut [0; 1]).unwrap(), 1);
        })
        .unwrap();
        assert!(call("DEL", "c1", &pod.path, config.as_bytes()).status.success());
        assert!(
            call("DEL", "c1", Path::new("/run/netns/none"), config.as_bytes())
                .status
                .success()
        );
    });
}
