use super::*;
use crate::model::NamespacedName;
use crate::proxy::service_map::{Endpoint, ServicePortName};

fn services(protocol: Protocol, endpoints: &[&str]) -> ServiceMap {
    let name = ServicePortName {
        service: NamespacedName::new("ns", "dns"),
        port: "dns".into(),
        protocol,
    };
    let endpoints: Vec<Endpoint> = endpoints
        .iter()
        .map(|text| {
            let socket: SocketAddr = text.trim_end_matches('!').parse().unwrap();
            let serving = !text.ends_with('!');
            Endpoint {
                ip: socket.ip(),
                port: socket.port(),
                local: false,
                ready: serving,
                serving,
                terminating: false,
            }
        })
        .collect();
    let port = ServicePort {
        cluster_ips: vec!["10.96.0.10".parse().unwrap()],
        port: 53,
        node_port: Some(30053),
        endpoints: endpoints.into(),
        ..ServicePort::default()
    };
    ServiceMap::from([(name, port)])
}

#[test]
fn entries_of_former_endpoints_are_stale() {
    let now = ["10.1.0.1:5353", "10.1.0.2:5353!"];
    #[rustfmt::skip]
    let cases = [
        // endpoints, wanted, answered by, stale
        (&now[..], "10.96.0.10:53", "10.1.0.1:5353", false),
        (&now[..], "10.96.0.10:53", "10.1.0.2:5353", true),   // does not serve any more
        (&now[..], "10.96.0.10:53", "10.1.0.9:5353", true),   // unknown
        (&now[..], "10.96.0.10:53", "10.96.0.10:53", true),   // from the time without endpoints
        (&now[..], "10.96.0.10:54", "10.96.0.10:54", false),  // another port
        (&now[..], "192.168.0.2:30053", "10.1.0.1:5353", false),
        (&now[..], "192.168.0.2:30053", "10.1.0.9:5353", true),
        (&now[..], "192.168.0.2:30053", "192.168.0.2:30053", true),
        (&now[..], "8.8.8.8:30053", "8.8.8.8:30053", false),  // somebody else's port of that number
        (&[], "10.96.0.10:53", "10.1.0.1:5353", true),        // the last endpoint is gone
        (&[], "10.96.0.10:53", "10.96.0.10:53", false),
        (&[], "192.168.0.2:30053", "192.168.0.2:30053", false),
    ];
    let node_ips = ["192.168.0.2".parse().unwrap()];
    for (endpoints, wanted, answered, stale) in cases {
        let udp = UdpServices::of(&services(Protocol::Udp, endpoints), IpFamily::V4);
        let flow = Flow {
            source: "10.1.0.77:4000".parse().unwrap(),
            destination: wanted.parse().unwrap(),
            reply_source: answered.parse().unwrap(),
        };
        assert_eq!(
            udp.is_stale(&flow, &node_ips),
            stale,
            "{wanted} answered by {answered} with {endpoints:?}"
        );
    }
}

#[test]
fn entries_of_removed_services_are_stale() {
    let before = UdpServices::of(&services(Protocol::Udp, &["10.1.0.1:5353"]), IpFamily::V4);
    let now = UdpServices::default();
    let flow = Flow {
        source: "10.1.0.77:4000".parse().unwrap(),
        destination: "10.96.0.10:53".parse().unwrap(),
        reply_source: "10.1.0.1:5353".parse().unwrap(),
    };
    assert!(!now.is_stale(&flow, &[]));
    assert!(now.with_removed(&before).is_stale(&flow, &[]));
}

#[test]
fn only_udp_of_the_family_counts() {
    assert!(UdpServices::of(&services(Protocol::Tcp, &["10.1.0.1:53"]), IpFamily::V4).is_empty());
    assert!(UdpServices::of(&services(Protocol::Udp, &["10.1.0.1:53"]), IpFamily::V6).is_empty());
}
