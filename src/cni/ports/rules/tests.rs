#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::model::tables::{Table, parse_save};

fn chains() -> Chains {
    Chains {
        dnat: "D".into(),
        masq: "M".into(),
    }
}

fn record(id: &str, addresses: &[&str], mappings: &[(&str, &str, u16, u16)]) -> Record {
    let asked: Vec<PortMapping> = mappings
        .iter()
        .map(|&(host_ip, protocol, host_port, container_port)| PortMapping {
            host_port,
            container_port,
            protocol: protocol.into(),
            host_ip: host_ip.into(),
        })
        .collect();
    Record {
        container_id: id.into(),
        addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
        mappings: super::mappings(&asked).unwrap(),
    }
}

fn saved(text: &str) -> SavedTable {
    parse_save(text).remove(&Table::Nat).unwrap_or_default()
}

#[test]
fn what_is_asked_for_is_understood_or_refused_by_name() {
    let asked = |host_port, container_port, protocol: &str, host_ip: &str| PortMapping {
        host_port,
        container_port,
        protocol: protocol.into(),
        host_ip: host_ip.into(),
    };
    assert_eq!(
        mappings(&[asked(0, 0, "icmp", "?")]),
        Ok(vec![]),
        "not a host port"
    );
    let good = [
        (asked(80, 8080, "TCP", ""), Protocol::Tcp, None),
        (asked(80, 8080, "", "0.0.0.0"), Protocol::Tcp, Some("0.0.0.0")),
        (asked(80, 8080, "udp", "fd00::1"), Protocol::Udp, Some("fd00::1")),
        (
            asked(80, 8080, "sctp", "127.0.0.1"),
            Protocol::Sctp,
            Some("127.0.0.1"),
        ),
    ];
    for (asked, protocol, ip) in good {
        let wanted = Mapping {
            host_port: 80,
            container_port: 8080,
            protocol,
            host_ip: ip.map(|ip| ip.parse().unwrap()),
        };
        assert_eq!(mappings(&[asked]), Ok(vec![wanted]));
    }
    for (asked, words) in [
        (asked(80, 8080, "icmp", ""), r#"hostPort 80: protocol: "icmp""#),
        (
            asked(80, 8080, "tcp", "x -j ACCEPT"),
            "hostPort 80: hostIP: \"x -j ACCEPT\"",
        ),
        (asked(80, 0, "tcp", ""), "hostPort 80: containerPort"),
    ] {
        let error = mappings(&[asked]).unwrap_err().to_string();
        assert!(error.starts_with(words), "{error}");
    }
}

#[test]
fn each_family_gets_the_rules_of_its_addresses() {
    let records = [
        record(
            "both",
            &["10.244.1.2/24", "fd00:1::2/64"],
            &[
                ("", "tcp", 80, 8080),
                ("127.0.0.1", "udp", 53, 5353),
                ("fd00::9", "tcp", 81, 8081),
                ("0.0.0.0", "sctp", 82, 8082),
            ],
        ),
        record("four", &["10.244.1.3/24"], &[("192.0.2.1", "tcp", 80, 8080)]),
    ];
    let mark = "-j MARK --set-xmark 0x2000/0x2000";
    let dnat = "-j DNAT --to-destination";
    assert_eq!(
        chain(&chains(), IpFamily::V4, &records),
        [
            "-A D -s 127.0.0.0/8 -j RETURN".to_owned(),
            format!("-A D -s 10.244.1.0/24 -p tcp -m tcp --dport 80 {mark}"),
            format!("-A D -p tcp -m tcp --dport 80 {dnat} 10.244.1.2:8080"),
            format!("-A D -s 10.244.1.0/24 -d 127.0.0.1/32 -p udp -m udp --dport 53 {mark}"),
            format!("-A D -d 127.0.0.1/32 -p udp -m udp --dport 53 {dnat} 10.244.1.2:5353"),
            format!("-A D -s 10.244.1.0/24 -p sctp -m sctp --dport 82 {mark}"),
            format!("-A D -p sctp -m sctp --dport 82 {dnat} 10.244.1.2:8082"),
            format!("-A D -s 10.244.1.0/24 -d 192.0.2.1/32 -p tcp -m tcp --dport 80 {mark}"),
            format!("-A D -d 192.0.2.1/32 -p tcp -m tcp --dport 80 {dnat} 10.244.1.3:8080"),
        ]
    );
    assert_eq!(
        chain(&chains(), IpFamily::V6, &records),
        [
            "-A D -s ::1/128 -j RETURN".to_owned(),
            format!("-A D -s fd00:1::/64 -p tcp -m tcp --dport 80 {mark}"),
            format!("-A D -p tcp -m tcp --dport 80 {dnat} [fd00:1::2]:8080"),
            format!("-A D -s fd00:1::/64 -d fd00::9/128 -p tcp -m tcp --dport 81 {mark}"),
            format!("-A D -d fd00::9/128 -p tcp -m tcp --dport 81 {dnat} [fd00:1::2]:8081"),
        ]
    );
    assert!(chain(&chains(), IpFamily::V6, &records[1..]).is_empty());
}

const JUMPS: &str = r#"-A PREROUTING -m addrtype --dst-type LOCAL -m comment --comment "rustlet: host ports" -j D
-A OUTPUT -m addrtype --dst-type LOCAL -m comment --comment "rustlet: host ports" -j D
-A POSTROUTING -m comment --comment "rustlet: host ports" -j M
"#;
const MASQUERADE: &str = "-A M -m mark --mark 0x2000/0x2000 -j MASQUERADE\n";

#[test]
fn chains_are_made_once_and_kept() {
    let wanted = ["-A D -j ONE".to_owned()];
    let first = repair(&chains(), &wanted, &SavedTable::default()).unwrap();
    let text = format!("*nat\n:D - [0:0]\n-A D -j ONE\n:M - [0:0]\n{MASQUERADE}{JUMPS}COMMIT\n");
    assert_eq!(first, text);
    assert_eq!(repair(&chains(), &wanted, &saved(&text)), None);
    assert_eq!(missing(&chains(), &wanted, &saved(&text)), None);
    let other = ["-A D -j TWO".to_owned()];
    assert_eq!(
        repair(&chains(), &other, &saved(&text)).unwrap(),
        "*nat\n:D - [0:0]\n-A D -j TWO\nCOMMIT\n"
    );
    assert_eq!(missing(&chains(), &other, &saved(&text)).unwrap(), "-A D -j TWO");
}

#[test]
fn jumps_are_there_once_and_others_rules_stay() {
    let wanted = ["-A D -j ONE".to_owned()];
    let odd = format!(
        "*nat\n:D - [0:0]\n:M - [0:0]\n-A PREROUTING -j KUBE-SERVICES\n-A PREROUTING -j D\n-A PREROUTING -j DOCKER\n-A D -j ONE\n{MASQUERADE}{}COMMIT\n",
        JUMPS
            .lines()
            .skip(1)
            .map(|l| format!("{l}\n"))
            .collect::<String>()
    );
    let jump = JUMPS.lines().next().unwrap();
    assert_eq!(missing(&chains(), &wanted, &saved(&odd)).unwrap(), jump);
    assert_eq!(
        repair(&chains(), &wanted, &saved(&odd)).unwrap(),
        format!("*nat\n-D PREROUTING -j D\n{jump}\nCOMMIT\n")
    );
}

#[test]
fn with_the_last_port_everything_goes() {
    let text = format!(
        "*nat\n:D - [0:0]\n:M - [0:0]\n:KUBE-SERVICES - [0:0]\n-A PREROUTING -j KUBE-SERVICES\n{JUMPS}-A D -j ONE\n{MASQUERADE}COMMIT\n"
    );
    let delete = JUMPS.replace("-A ", "-D ");
    assert_eq!(
        repair(&chains(), &[], &saved(&text)).unwrap(),
        format!("*nat\n:D - [0:0]\n:M - [0:0]\n{delete}-X D\n-X M\nCOMMIT\n")
    );
    assert_eq!(repair(&chains(), &[], &SavedTable::default()), None);
}

#[test]
fn chains_of_networks_differ_and_have_legal_names() {
    let (a, b) = (Chains::of("rustlet"), Chains::of("other"));
    assert!(a.dnat != b.dnat && a.masq != b.masq && a.dnat != a.masq);
    assert!(a.dnat.len() <= 28 && a.masq.len() <= 28);
    assert_eq!(a, Chains::of("rustlet"));
}

#[test]
fn only_connections_of_the_port_go() {
    let record = record(
        "c",
        &["10.244.1.2/24"],
        &[
            ("", "udp", 53, 5353),
            ("192.0.2.1", "udp", 54, 54),
            ("", "tcp", 55, 55),
        ],
    );
    let own: Vec<IpAddr> = vec!["192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap()];
    let flow = |to: &str, by: &str| Flow {
        source: "198.51.100.7:4000".parse().unwrap(),
        destination: to.parse().unwrap(),
        reply_source: by.parse().unwrap(),
    };
    // Destination, who answers: superseded by new rules; ended with them.
    for (to, by, superseded_, ended_) in [
        ("192.0.2.1:53", "192.0.2.1:53", true, false),
        ("192.0.2.1:53", "10.244.1.9:5353", true, false),
        ("192.0.2.1:53", "10.244.1.2:5353", false, true),
        ("8.8.8.8:53", "8.8.8.8:53", false, false),
        ("192.0.2.1:54", "192.0.2.1:54", true, false),
        ("192.0.2.2:54", "192.0.2.2:54", false, false),
        ("192.0.2.1:55", "192.0.2.1:55", false, false),
        ("10.96.0.10:53", "10.244.1.2:53", false, false),
    ] {
        let flow = flow(to, by);
        assert_eq!(superseded(&flow, &record, &own), superseded_, "{to} {by}");
        assert_eq!(ended(&flow, &record), ended_, "{to} {by}");
    }
}
