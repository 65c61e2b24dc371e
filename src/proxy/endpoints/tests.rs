use super::*;

/// `r` ready, `s` serving, `t` terminating, `l` local; the address is the position.
fn port(endpoints: &[&str]) -> ServicePort {
    let endpoints: Vec<Endpoint> = (1u8..)
        .zip(endpoints)
        .map(|(n, flags)| Endpoint {
            ip: [10, 0, 0, n].into(),
            port: 80,
            local: flags.contains('l'),
            ready: flags.contains('r'),
            serving: flags.contains('s'),
            terminating: flags.contains('t'),
        })
        .collect();
    ServicePort {
        cluster_ips: vec![[10, 96, 0, 1].into()],
        endpoints: endpoints.into(),
        ..ServicePort::default()
    }
}

fn numbers(endpoints: &[&Endpoint]) -> Vec<u8> {
    endpoints
        .iter()
        .map(|e| match e.ip {
            std::net::IpAddr::V4(ip) => ip.octets()[3],
            std::net::IpAddr::V6(_) => 0,
        })
        .collect()
}

struct Case {
    what: &'static str,
    endpoints: &'static [&'static str],
    internal_local: bool,
    external_local: bool,
    node_port: bool,
    cluster: &'static [u8],
    local: &'static [u8],
    any: bool,
}

#[test]
fn traffic_policies_and_fallbacks() {
    #[rustfmt::skip]
    let cases = [
        Case { what: "nothing", endpoints: &[], internal_local: false, external_local: false, node_port: false, cluster: &[], local: &[], any: false },
        Case { what: "ready only", endpoints: &["rs", "", "rsl", "st"], internal_local: false, external_local: false, node_port: false, cluster: &[1, 3], local: &[], any: true },
        Case { what: "terminating as fallback", endpoints: &["st", "s", "t", "stl"], internal_local: false, external_local: false, node_port: false, cluster: &[1, 4], local: &[], any: true },
        Case { what: "not ready and not serving", endpoints: &["", "t", "s"], internal_local: false, external_local: false, node_port: false, cluster: &[], local: &[], any: false },
        Case { what: "internal local", endpoints: &["rs", "rsl"], internal_local: true, external_local: false, node_port: false, cluster: &[], local: &[2], any: true },
        Case { what: "internal local without local", endpoints: &["rs"], internal_local: true, external_local: false, node_port: false, cluster: &[], local: &[], any: true },
        Case { what: "external local needs something external", endpoints: &["rs", "rsl"], internal_local: false, external_local: true, node_port: false, cluster: &[1, 2], local: &[], any: true },
        Case { what: "external local", endpoints: &["rs", "rsl"], internal_local: false, external_local: true, node_port: true, cluster: &[1, 2], local: &[2], any: true },
        Case { what: "local falls back alone", endpoints: &["rs", "stl"], internal_local: false, external_local: true, node_port: true, cluster: &[1], local: &[2], any: true },
        Case { what: "both local, external short cut", endpoints: &["rs", "rsl"], internal_local: true, external_local: true, node_port: true, cluster: &[1, 2], local: &[2], any: true },
    ];
    for case in cases {
        let mut port = port(case.endpoints);
        port.internal_policy_local = case.internal_local;
        port.external_policy_local = case.external_local;
        port.node_port = case.node_port.then_some(30000);
        let found = categorize(&port, IpFamily::V4);
        assert_eq!(numbers(&found.cluster), case.cluster, "{}: cluster", case.what);
        assert_eq!(numbers(&found.local), case.local, "{}: local", case.what);
        assert_eq!(found.any, case.any, "{}: any", case.what);
        let mut union = [case.cluster, case.local].concat();
        union.sort_unstable();
        union.dedup();
        assert_eq!(numbers(&found.reachable), union, "{}: reachable", case.what);
        assert_eq!(
            categorize(&port, IpFamily::V6),
            Categories::default(),
            "{}: other family",
            case.what
        );
    }
}
