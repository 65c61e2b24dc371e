use super::*;

#[test]
fn hashes_are_kube_proxys() {
    // Names as kube-proxy gives them on every cluster; they must not change, or a swap would drop connections.
    assert_eq!(
        service("KUBE-SVC-", "default/kubernetes:https", Protocol::Tcp).as_str(),
        "KUBE-SVC-NPX46M4PTMTKRN6Y"
    );
    assert_eq!(
        service("KUBE-SVC-", "kube-system/kube-dns:dns", Protocol::Udp).as_str(),
        "KUBE-SVC-TCOU7JCQXEZGVUNU"
    );
    assert_eq!(
        service("KUBE-SVC-", "ns1/svc1:p80", Protocol::Tcp).as_str(),
        "KUBE-SVC-XPGD46QRK7WJZT7O"
    );
    let socket = "10.180.0.1:80".parse().unwrap();
    assert_eq!(
        endpoint("ns1/svc1:p80", Protocol::Tcp, socket).as_str(),
        "KUBE-SEP-SXIVWICOYRO3J4NJ"
    );
}

#[test]
fn names_are_short_and_plain() {
    assert!(ChainName::new(&"A".repeat(28)).is_some());
    assert!(ChainName::new(&"A".repeat(29)).is_none());
    assert!(ChainName::new("").is_none());
    assert!(ChainName::new("A B").is_none());
    let (a, b) = (
        ChainName::new("KUBE-A").unwrap(),
        ChainName::new("KUBE-AB").unwrap(),
    );
    assert!(a < b && a.as_str() < b.as_str());
}

#[test]
fn only_kube_proxys_chains_are_ours() {
    for ours in [
        "KUBE-SVC-XPGD46QRK7WJZT7O",
        "KUBE-SEP-X",
        "KUBE-FW-X",
        "KUBE-SERVICES",
        "KUBE-PROXY-CANARY",
    ] {
        assert!(is_owned(Table::Nat, ours), "{ours}");
    }
    for foreign in [
        "KUBE-FIREWALL",
        "KUBE-KUBELET-CANARY",
        "KUBE-IPTABLES-HINT",
        "CNI-HOSTPORT-DNAT",
        "PREROUTING",
    ] {
        assert!(
            Table::ALL.iter().all(|table| !is_owned(*table, foreign)),
            "{foreign}"
        );
    }
    assert!(
        !is_owned(Table::Filter, "KUBE-SVC-X"),
        "per-Service chains live in nat"
    );
    assert!(!is_owned(Table::Nat, "KUBE-FORWARD"));
}
