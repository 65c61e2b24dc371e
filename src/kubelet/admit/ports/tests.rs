use super::*;
use crate::model::pod::ContainerPort;
use crate::testing::builders::{pod, sidecar};

fn with_ports(name: &str, ports: &[(&str, Protocol, i32)]) -> Pod {
    let mut pod = pod(name, &["main"]);
    pod.spec.containers[0].ports = ports
        .iter()
        .map(|&(host_ip, protocol, host_port)| ContainerPort {
            container_port: 8080,
            host_port,
            host_ip: host_ip.into(),
            protocol,
            ..ContainerPort::default()
        })
        .collect();
    pod
}

#[test]
fn ports_meet_by_address_protocol_and_number() {
    use Protocol::{Sctp, Tcp, Udp};
    let cases = [
        (("", Tcp, 80), ("", Tcp, 80), true),
        (("", Tcp, 80), ("", Tcp, 81), false),
        (("", Tcp, 80), ("", Udp, 80), false),
        (("", Udp, 80), ("", Sctp, 80), false),
        (("", Tcp, 0), ("", Tcp, 0), false),
        (("0.0.0.0", Tcp, 80), ("", Tcp, 80), true),
        (("0.0.0.0", Tcp, 80), ("10.0.0.1", Tcp, 80), true),
        (("::", Tcp, 80), ("10.0.0.1", Tcp, 80), true),
        (("", Tcp, 80), ("fd00::1", Tcp, 80), true),
        (("10.0.0.1", Tcp, 80), ("10.0.0.1", Tcp, 80), true),
        (("10.0.0.1", Tcp, 80), ("127.0.0.1", Tcp, 80), false),
        (("fd00::1", Tcp, 80), ("fd00:0::0:1", Tcp, 80), true),
        (("odd", Tcp, 80), ("odd", Tcp, 80), true),
        (("odd", Tcp, 80), ("10.0.0.1", Tcp, 80), false),
    ];
    for (a, b, meets) in cases {
        let (one, two) = (with_ports("one", &[a]), with_ports("two", &[b]));
        for (new, old) in [(&one, &two), (&two, &one)] {
            assert_eq!(free(new, &[old]), !meets, "{a:?} {b:?}");
        }
    }
}

#[test]
fn any_of_the_ports_and_of_the_pods_counts() {
    let new = with_ports("new", &[("", Protocol::Tcp, 1), ("", Protocol::Tcp, 2)]);
    let others = [
        with_ports("a", &[("", Protocol::Tcp, 3)]),
        with_ports("b", &[("", Protocol::Tcp, 4), ("", Protocol::Tcp, 2)]),
    ];
    let others: Vec<&Pod> = others.iter().collect();
    assert!(free(&new, &others[..1]) && !free(&new, &others));
}

#[test]
fn host_network_and_sidecars_have_host_ports_and_init_containers_none() {
    let taken = with_ports("taken", &[("", Protocol::Tcp, 8080)]);
    let mut host = with_ports("host", &[("", Protocol::Tcp, 0)]);
    assert!(free(&host, &[&taken]));
    host.spec.host_network = true;
    assert!(!free(&host, &[&taken]));
    assert!(!free(&taken, &[&host]));

    let mut beside = pod("beside", &["main"]);
    beside.spec.init_containers = vec![sidecar("s")];
    beside.spec.init_containers[0].ports = taken.spec.containers[0].ports.clone();
    assert!(!free(&beside, &[&taken]));
    beside.spec.init_containers[0].restart_policy = None;
    assert!(free(&beside, &[&taken]));
}
