//! Services to iptables rules, without a kernel: goldens, structure, packets, counts, and order of events.

#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use rustlet::api::Change;
use rustlet::model::net::IpFamily;
use rustlet::model::service::{EndpointSlice, Service};
use rustlet::model::tables::{Table, parse_save};
use rustlet::proxy::iptables::existing::Existing;
use rustlet::proxy::iptables::render::{self, Committed};
use rustlet::proxy::ruleset::{Inputs, Ruleset};
use rustlet::proxy::tracker::Tracker;
use rustlet::testing::tracer::{Kernel, Outcome, Packet, Tracer};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

const NODE: &str = "worker-1";
const NODE_IP: &str = "192.168.0.2";
/// Chains that stand whether or not a Service needs them.
const STANDING: [&str; 6] = [
    "KUBE-PROXY-CANARY",
    "KUBE-SERVICES",
    "KUBE-EXTERNAL-SERVICES",
    "KUBE-NODEPORTS",
    "KUBE-PROXY-FIREWALL",
    "KUBE-MARK-MASQ",
];

fn service(name: &str, spec: Value) -> Arc<Service> {
    let status = spec.get("status").cloned().unwrap_or_else(|| json!({}));
    let object = json!({"metadata": {"namespace": "shop", "name": name}, "spec": spec, "status": status});
    Arc::new(serde_json::from_value(object).unwrap())
}

/// `endpoints` as `address node flags`, where flags are `r`eady, `s`erving, `t`erminating.
fn slice(name: &str, service: &str, ports: Value, endpoints: &[&str]) -> Arc<EndpointSlice> {
    let endpoints: Vec<Value> = endpoints
        .iter()
        .map(|text| {
            let words: Vec<&str> = text.split(' ').collect();
            let flag = |c| words[2].contains(c);
            json!({"addresses": [words[0]], "nodeName": words[1],
                "conditions": {"ready": flag('r'), "serving": flag('s'), "terminating": flag('t')}})
        })
        .collect();
    let kind = if name.ends_with("-v6") { "IPv6" } else { "IPv4" };
    let object = json!({
        "metadata": {"namespace": "shop", "name": name, "labels": {"kubernetes.io/service-name": service}},
        "addressType": kind, "ports": ports, "endpoints": endpoints,
    });
    Arc::new(serde_json::from_value(object).unwrap())
}

struct Scenario {
    name: &'static str,
    services: Vec<Arc<Service>>,
    slices: Vec<Arc<EndpointSlice>>,
}

fn http() -> Value {
    json!([{"name": "http", "port": 8080, "protocol": "TCP"}])
}

fn dns() -> Value {
    json!([{"name": "dns", "port": 5353, "protocol": "UDP"}, {"name": "dns-tcp", "port": 5353, "protocol": "TCP"}])
}

const TWO: [&str; 2] = ["10.244.1.5 worker-1 rs", "10.244.2.6 worker-2 rs"];

fn scenarios() -> Vec<Scenario> {
    let web = json!([{"name": "http", "port": 80, "protocol": "TCP"}]);
    let web_node_port = json!([{"name": "http", "port": 80, "protocol": "TCP", "nodePort": 30080}]);
    vec![
        Scenario {
            name: "empty",
            services: vec![],
            slices: vec![],
        },
        Scenario {
            name: "cluster_ip",
            services: vec![service(
                "web",
                json!({"clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10"], "ports": web}),
            )],
            slices: vec![slice(
                "web-a",
                "web",
                http(),
                &[
                    "10.244.1.5 worker-1 rs",
                    "10.244.2.6 worker-2 rs",
                    "10.244.2.7 worker-2 rs",
                ],
            )],
        },
        Scenario {
            name: "dns",
            services: vec![service(
                "dns",
                json!({"clusterIP": "10.96.0.11", "ports": [
                {"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]}),
            )],
            slices: vec![slice("dns-a", "dns", dns(), &["10.244.1.8 worker-1 rs"])],
        },
        Scenario {
            name: "no_endpoints",
            services: vec![service(
                "idle",
                json!({"type": "NodePort", "clusterIP": "10.96.0.12", "ports": web_node_port,
                "externalIPs": ["203.0.113.5"]}),
            )],
            slices: vec![slice("idle-a", "idle", http(), &["10.244.1.9 worker-1 "])],
        },
        Scenario {
            name: "node_port",
            services: vec![service(
                "web",
                json!({"type": "NodePort", "clusterIP": "10.96.0.10", "ports": web_node_port}),
            )],
            slices: vec![slice("web-a", "web", http(), &TWO)],
        },
        Scenario {
            name: "affinity",
            services: vec![service(
                "sticky",
                json!({"clusterIP": "10.96.0.13", "ports": web, "sessionAffinity": "ClientIP",
                "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 600}}}),
            )],
            slices: vec![slice("sticky-a", "sticky", http(), &TWO)],
        },
        Scenario {
            name: "load_balancer_local",
            services: vec![service(
                "lb",
                json!({"type": "LoadBalancer", "clusterIP": "10.96.0.14", "ports": web_node_port,
                "externalTrafficPolicy": "Local", "healthCheckNodePort": 31000,
                "loadBalancerSourceRanges": ["198.51.100.0/24", "192.168.0.0/24"],
                "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}, {"ip": "192.0.2.2", "ipMode": "Proxy"}]}}}),
            )],
            slices: vec![slice("lb-a", "lb", http(), &TWO)],
        },
        Scenario {
            name: "local_without_local",
            services: vec![service(
                "far",
                json!({"type": "NodePort", "clusterIP": "10.96.0.15", "ports": web_node_port,
                "externalTrafficPolicy": "Local", "internalTrafficPolicy": "Local"}),
            )],
            slices: vec![slice("far-a", "far", http(), &["10.244.2.6 worker-2 rs"])],
        },
        Scenario {
            name: "terminating",
            services: vec![service("web", json!({"clusterIP": "10.96.0.10", "ports": web}))],
            slices: vec![slice(
                "web-a",
                "web",
                http(),
                &["10.244.1.5 worker-1 st", "10.244.2.6 worker-2 t"],
            )],
        },
        Scenario {
            name: "dual_stack",
            services: vec![service(
                "web",
                json!({"clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10", "fd00::10"], "ports": web}),
            )],
            slices: vec![
                slice("web-a", "web", http(), &TWO),
                slice("web-v6", "web", http(), &["fd01::5 worker-1 rs"]),
            ],
        },
    ]
}

fn tracker(scenario: &Scenario) -> Tracker {
    let mut tracker = Tracker::new(NODE);
    tracker.service_changed(Change::Replaced(scenario.services.clone()));
    tracker.slice_changed(Change::Replaced(scenario.slices.clone()));
    assert!(tracker.is_complete());
    tracker.update();
    tracker
}

fn inputs(family: IpFamily) -> Inputs {
    let (cidr, ip) = match family {
        IpFamily::V4 => ("10.244.1.0/24", NODE_IP),
        IpFamily::V6 => ("fd01::/64", "fd02::2"),
    };
    Inputs {
        family,
        pod_cidr: cidr.parse().ok(),
        node_ip: ip.parse().ok(),
        drop_invalid: true,
    }
}

fn ruleset(scenario: &Scenario, family: IpFamily) -> Ruleset {
    Ruleset::build(tracker(scenario).map(), &inputs(family))
}

fn full_text(ruleset: &Ruleset) -> String {
    render::full(ruleset, &Existing::default()).text
}

fn kernel(scenario: &Scenario) -> Kernel {
    let mut kernel = Kernel::default();
    kernel
        .restore(&full_text(&ruleset(scenario, IpFamily::V4)))
        .unwrap();
    kernel
}

/// `UPDATE_GOLDEN=1 cargo test --test proxy_rules` writes the files anew; read the difference before committing it.
#[test]
fn goldens() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/proxy");
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut wanted = BTreeSet::new();
    let mut different = Vec::new();
    for scenario in scenarios() {
        for (family, suffix) in [(IpFamily::V4, ""), (IpFamily::V6, "-v6")] {
            if family == IpFamily::V6 && scenario.name != "dual_stack" {
                continue;
            }
            let file = format!("{}{suffix}.rules", scenario.name);
            let text = full_text(&ruleset(&scenario, family));
            let path = folder.join(&file);
            if update {
                std::fs::write(&path, &text).unwrap();
            } else if std::fs::read_to_string(&path).ok().as_deref() != Some(&*text) {
                different.push(format!("--- {file} now is\n{text}"));
            }
            wanted.insert(file);
        }
    }
    let files = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let stale: Vec<String> = files.filter(|file| !wanted.contains(file)).collect();
    assert!(stale.is_empty(), "golden files without a scenario: {stale:?}");
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn structure_is_sound() {
    for scenario in scenarios() {
        for family in IpFamily::ALL {
            let mut kernel = Kernel::default();
            kernel.restore(&full_text(&ruleset(&scenario, family))).unwrap();
            assert_eq!(
                kernel.lint(&STANDING),
                Vec::<String>::new(),
                "{} {family}",
                scenario.name
            );
        }
    }
}

#[test]
fn rule_counts() {
    // (scenario, filter rules, nat rules): a change here is a change of cost on every node.
    let expected = [
        ("empty", 3, 5),
        ("cluster_ip", 3, 16),
        ("dns", 3, 15),
        ("no_endpoints", 6, 5),
        ("node_port", 3, 16),
        ("affinity", 3, 15),
        ("load_balancer_local", 5, 23),
        ("local_without_local", 5, 12),
        ("terminating", 3, 10),
        ("dual_stack", 3, 13),
    ];
    let found: Vec<_> = scenarios()
        .iter()
        .map(|s| (s.name, ruleset(s, IpFamily::V4)))
        .map(|(name, rules)| {
            (
                name,
                rules.rule_count(Table::Filter),
                rules.rule_count(Table::Nat),
            )
        })
        .collect();
    assert_eq!(found, expected);
}

fn scenario(name: &str) -> Scenario {
    scenarios().into_iter().find(|s| s.name == name).unwrap()
}

/// Outcomes in words: `10.244.1.5:8080`, with `+masq`, or `reject`, `drop`, `pass`; equally likely ones separated by |.
fn trace(kernel: &Kernel, source: &str, destination: &str, protocol: &'static str, seen: &[&str]) -> String {
    let tracer = Tracer {
        kernel,
        node_ips: vec![NODE_IP.parse().unwrap(), "127.0.0.1".parse().unwrap()],
        seen: seen.iter().map(|s| (*s).to_owned()).collect(),
    };
    let packet = Packet {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        protocol,
    };
    let outcomes = tracer.trace(&packet).unwrap();
    let share = 1.0 / f64::from(u32::try_from(outcomes.len()).unwrap());
    for (outcome, chance) in &outcomes {
        assert!(
            (chance - share).abs() < 1e-6,
            "{outcome:?} has chance {chance} instead of {share}"
        );
    }
    let words: Vec<String> = outcomes
        .keys()
        .map(|outcome| match outcome {
            Outcome::Endpoint { to, masquerade: true } => format!("{to}+masq"),
            Outcome::Endpoint {
                to,
                masquerade: false,
            } => to.to_string(),
            Outcome::Reject => "reject".to_owned(),
            Outcome::Drop => "drop".to_owned(),
            Outcome::Pass => "pass".to_owned(),
        })
        .collect();
    words.join("|")
}

#[test]
fn packets() {
    const POD: &str = "10.244.1.77";
    const FAR_POD: &str = "10.244.2.77";
    const OUTSIDE: &str = "198.51.100.9";
    const STRANGER: &str = "100.64.0.9";
    #[rustfmt::skip]
    let cases = [
        // scenario, from, to, protocol, outcome
        ("cluster_ip", POD, "10.96.0.10:80", "tcp", "10.244.1.5:8080|10.244.2.6:8080|10.244.2.7:8080"),
        ("cluster_ip", NODE_IP, "10.96.0.10:80", "tcp", "10.244.1.5:8080+masq|10.244.2.6:8080+masq|10.244.2.7:8080+masq"),
        ("cluster_ip", FAR_POD, "10.96.0.10:80", "tcp", "10.244.1.5:8080+masq|10.244.2.6:8080+masq|10.244.2.7:8080+masq"),
        ("cluster_ip", POD, "10.96.0.10:81", "tcp", "pass"),
        ("cluster_ip", POD, "10.96.0.10:80", "udp", "pass"),
        ("cluster_ip", POD, "10.244.2.6:8080", "tcp", "pass"),
        ("cluster_ip", OUTSIDE, "192.168.0.2:22", "tcp", "pass"),
        ("dns", POD, "10.96.0.11:53", "udp", "10.244.1.8:5353"),
        ("dns", POD, "10.96.0.11:53", "tcp", "10.244.1.8:5353"),
        ("dns", "10.244.1.8", "10.96.0.11:53", "udp", "10.244.1.8:5353+masq"), // hairpin
        ("no_endpoints", POD, "10.96.0.12:80", "tcp", "reject"),
        ("no_endpoints", NODE_IP, "10.96.0.12:80", "tcp", "reject"),
        ("no_endpoints", OUTSIDE, "192.168.0.2:30080", "tcp", "reject"),
        ("no_endpoints", OUTSIDE, "203.0.113.5:80", "tcp", "reject"),
        ("no_endpoints", OUTSIDE, "198.51.100.8:30080", "tcp", "pass"),
        ("node_port", OUTSIDE, "192.168.0.2:30080", "tcp", "10.244.1.5:8080+masq|10.244.2.6:8080+masq"),
        ("node_port", NODE_IP, "192.168.0.2:30080", "tcp", "10.244.1.5:8080+masq|10.244.2.6:8080+masq"),
        ("node_port", POD, "192.168.0.2:30080", "tcp", "10.244.1.5:8080+masq|10.244.2.6:8080+masq"),
        ("node_port", NODE_IP, "127.0.0.1:30080", "tcp", "pass"), // no node ports on loopback
        ("node_port", OUTSIDE, "198.51.100.8:30080", "tcp", "pass"), // not our address
        ("load_balancer_local", OUTSIDE, "192.0.2.1:80", "tcp", "10.244.1.5:8080"), // keeps the client's address
        ("load_balancer_local", STRANGER, "192.0.2.1:80", "tcp", "drop"), // outside of the source ranges
        ("load_balancer_local", POD, "192.0.2.1:80", "tcp", "drop"), // also pods
        ("load_balancer_local", NODE_IP, "192.0.2.1:80", "tcp", "10.244.1.5:8080+masq|10.244.2.6:8080+masq"),
        ("load_balancer_local", OUTSIDE, "192.0.2.2:80", "tcp", "pass"), // ipMode Proxy
        ("load_balancer_local", STRANGER, "192.168.0.2:30080", "tcp", "10.244.1.5:8080"), // ranges are not for node ports
        ("load_balancer_local", POD, "192.168.0.2:30080", "tcp", "10.244.1.5:8080|10.244.2.6:8080"), // short cut
        ("load_balancer_local", POD, "10.96.0.14:80", "tcp", "10.244.1.5:8080|10.244.2.6:8080"),
        ("local_without_local", POD, "10.96.0.15:80", "tcp", "drop"),
        ("local_without_local", OUTSIDE, "192.168.0.2:30080", "tcp", "drop"),
        ("local_without_local", NODE_IP, "192.168.0.2:30080", "tcp", "10.244.2.6:8080+masq"), // short cut
        ("terminating", POD, "10.96.0.10:80", "tcp", "10.244.1.5:8080"),
    ];
    for (name, from, to, protocol, outcome) in cases {
        let kernel = kernel(&scenario(name));
        assert_eq!(
            trace(&kernel, from, to, protocol, &[]),
            outcome,
            "{name}: {from} to {to} {protocol}"
        );
    }
}

#[test]
fn affinity_keeps_a_client_at_its_endpoint() {
    let kernel = kernel(&scenario("affinity"));
    let lists: Vec<&String> = kernel.tables["nat"]
        .keys()
        .filter(|chain| chain.starts_with("KUBE-SEP-"))
        .collect();
    let mut reached = BTreeSet::new();
    for list in lists {
        reached.insert(trace(&kernel, "10.244.1.77", "10.96.0.13:80", "tcp", &[list]));
    }
    let both = ["10.244.1.5:8080", "10.244.2.6:8080"].map(str::to_owned);
    assert_eq!(reached, BTreeSet::from(both));
    let unknown = trace(&kernel, "10.244.1.77", "10.96.0.13:80", "tcp", &[]);
    assert_eq!(unknown, "10.244.1.5:8080|10.244.2.6:8080");
}

#[test]
fn many_endpoints_are_equally_likely() {
    let endpoints: Vec<String> = (1..=50).map(|n| format!("10.244.9.{n} worker-9 rs")).collect();
    let endpoints: Vec<&str> = endpoints.iter().map(String::as_str).collect();
    let mut scenario = scenario("cluster_ip");
    scenario.slices = vec![slice("web-a", "web", http(), &endpoints)];
    // `trace` checks the probabilities.
    let outcome = trace(&kernel(&scenario), "10.244.1.77", "10.96.0.10:80", "tcp", &[]);
    assert_eq!(outcome.split('|').count(), 50);
}

#[test]
fn large_clusters_lose_comments_only() {
    let endpoints: Vec<String> = (0..1001)
        .map(|n| format!("10.250.{}.{} worker-9 rs", n / 250, n % 250 + 1))
        .collect();
    let endpoints: Vec<&str> = endpoints.iter().map(String::as_str).collect();
    let mut large = scenario("cluster_ip");
    large.slices = vec![slice("web-a", "web", http(), &endpoints)];
    let mut small = scenario("cluster_ip");
    small.slices = vec![slice("web-a", "web", http(), &endpoints[..1000])];
    let count = |scenario: &Scenario| {
        let text = full_text(&ruleset(scenario, IpFamily::V4));
        let endpoint_lines = text.lines().filter(|l| l.starts_with("-A KUBE-SEP-"));
        let (all, commented): (Vec<_>, Vec<_>) =
            endpoint_lines.map(|l| ((), l.contains("--comment"))).unzip();
        (all.len(), commented.iter().filter(|c| **c).count())
    };
    assert_eq!(count(&small), (2000, 2000));
    assert_eq!(count(&large), (2002, 0));
}

#[test]
fn adopts_another_proxys_rules_and_leaves_foreign_ones() {
    let foreign = "-s 172.16.0.0/12 -j RETURN";
    let mut kernel = Kernel::default();
    kernel
        .restore(
            "*filter\n:KUBE-FIREWALL - [0:0]\n:KUBE-SERVICES - [0:0]\n-A KUBE-FIREWALL -j RETURN\n-I INPUT 1 -j KUBE-FIREWALL\n\
             -I INPUT 1 -j KUBE-SERVICES\nCOMMIT\n*nat\n:KUBE-SERVICES - [0:0]\n:KUBE-SVC-OLD - [0:0]\n:KUBE-SEP-OLD - [0:0]\n\
             -A KUBE-SERVICES -d 10.96.0.99/32 -j KUBE-SVC-OLD\n-A KUBE-SVC-OLD -j KUBE-SEP-OLD\n\
             -I PREROUTING 1 -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES\n\
             -I PREROUTING 1 -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES\nCOMMIT\n",
        )
        .unwrap();
    kernel.add_foreign("nat", "POSTROUTING", foreign).unwrap();
    let rules = ruleset(&scenario("node_port"), IpFamily::V4);
    let before = Existing::read(&parse_save(&kernel.save()));
    kernel.restore(&render::full(&rules, &before).text).unwrap();

    let nat = &kernel.tables["nat"];
    assert!(!nat.contains_key("KUBE-SVC-OLD") && !nat.contains_key("KUBE-SEP-OLD"));
    assert_eq!(nat["PREROUTING"].len(), 1, "the doubled jump is single again");
    assert_eq!(nat["POSTROUTING"].last().unwrap().text, foreign);
    let input: Vec<&str> = kernel.tables["filter"]["INPUT"]
        .iter()
        .map(|rule| &*rule.text)
        .collect();
    assert!(
        input.contains(&"-j KUBE-FIREWALL") && !input.contains(&"-j KUBE-SERVICES"),
        "{input:?}"
    );

    // A second full sync finds everything in place, and the audit agrees.
    let now = Existing::read(&parse_save(&kernel.save()));
    let again = render::full(&rules, &now);
    assert_eq!(now.differences(&again.committed), Vec::<String>::new());
    let state = kernel.clone();
    kernel.restore(&again.text).unwrap();
    assert_eq!(kernel, state);

    // And cleaning removes ours and nothing else.
    kernel
        .restore(&render::clean(&Existing::read(&parse_save(&kernel.save()))))
        .unwrap();
    let left: Vec<String> = kernel
        .tables
        .values()
        .flat_map(|chains| chains.keys().cloned())
        .collect();
    assert!(
        left.iter()
            .filter(|chain| chain.starts_with("KUBE-"))
            .eq(["KUBE-FIREWALL"]),
        "{left:?}"
    );
    assert_eq!(kernel.tables["nat"]["POSTROUTING"].len(), 1);
    assert!(Existing::read(&parse_save(&kernel.save())).is_empty());
}

#[test]
fn the_audit_sees_what_others_broke() {
    let rules = ruleset(&scenario("node_port"), IpFamily::V4);
    let transaction = render::full(&rules, &Existing::default());
    type Break = fn(&mut Kernel);
    let breakers: [(&str, Break); 5] = [
        ("flushed", |k| {
            k.tables.get_mut("nat").unwrap().values_mut().for_each(Vec::clear)
        }),
        ("deleted", |k| drop(k.tables.remove("mangle"))),
        ("one rule", |k| {
            drop(
                k.tables
                    .get_mut("nat")
                    .unwrap()
                    .get_mut("KUBE-SERVICES")
                    .unwrap()
                    .pop(),
            )
        }),
        ("a jump", |k| {
            drop(
                k.tables
                    .get_mut("filter")
                    .unwrap()
                    .get_mut("FORWARD")
                    .unwrap()
                    .pop(),
            )
        }),
        ("another's chain", |k| {
            k.restore("*nat\n:KUBE-SVC-X - [0:0]\nCOMMIT\n").unwrap()
        }),
    ];
    for (what, break_it) in breakers {
        let mut kernel = Kernel::default();
        kernel.restore(&transaction.text).unwrap();
        let whole = kernel.clone();
        break_it(&mut kernel);
        let existing = Existing::read(&parse_save(&kernel.save()));
        assert!(
            !existing.differences(&transaction.committed).is_empty(),
            "{what} was not seen"
        );
        kernel.restore(&render::full(&rules, &existing).text).unwrap();
        let order = |kernel: &Kernel| {
            parse_save(&kernel.save())
                .into_values()
                .map(|t| t.chains)
                .collect::<Vec<_>>()
        };
        assert_eq!(order(&kernel), order(&whole), "{what} was not repaired");
        let now = Existing::read(&parse_save(&kernel.save()));
        assert_eq!(
            now.differences(&transaction.committed),
            Vec::<String>::new(),
            "{what}"
        );
    }
}

/// One step of a random history over few names, so that events meet.
#[derive(Clone, Debug)]
enum Step {
    Service {
        name: u8,
        port: u16,
        node_port: bool,
        affinity: bool,
        local: bool,
    },
    DropService(u8),
    Slice {
        name: u8,
        service: u8,
        endpoints: Vec<(u8, bool, bool)>,
    },
    DropSlice(u8),
    Sync,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..3u8, 80..83u16, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
            |(name, port, node_port, affinity, local)| Step::Service {
                name,
                port,
                node_port,
                affinity,
                local
            }
        ),
        (0..3u8).prop_map(Step::DropService),
        (
            0..4u8,
            0..3u8,
            prop::collection::vec((1..6u8, any::<bool>(), any::<bool>()), 0..4)
        )
            .prop_map(|(name, service, endpoints)| Step::Slice {
                name,
                service,
                endpoints
            }),
        (0..4u8).prop_map(Step::DropSlice),
        Just(Step::Sync),
    ]
}

fn make_service(step: &Step) -> Option<Arc<Service>> {
    let Step::Service {
        name,
        port,
        node_port,
        affinity,
        local,
    } = step
    else {
        return None;
    };
    let node_port = if *node_port { 30000 + u16::from(*name) } else { 0 };
    Some(service(
        &format!("s{name}"),
        json!({
            "type": "NodePort", "clusterIP": format!("10.96.0.{}", name + 1),
            "ports": [{"name": "http", "port": port, "protocol": "TCP", "nodePort": node_port}],
            "sessionAffinity": if *affinity { "ClientIP" } else { "None" },
            "externalTrafficPolicy": if *local { "Local" } else { "Cluster" },
        }),
    ))
}

fn make_slice(step: &Step) -> Option<Arc<EndpointSlice>> {
    let Step::Slice {
        name,
        service,
        endpoints,
    } = step
    else {
        return None;
    };
    let texts: Vec<String> = endpoints
        .iter()
        .map(|(n, ready, local)| {
            let node = if *local { NODE } else { "worker-2" };
            format!("10.244.1.{n} {node} {}", if *ready { "rs" } else { "st" })
        })
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    Some(slice(&format!("e{name}"), &format!("s{service}"), http(), &texts))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the history: syncing every difference on the way leaves the kernel as one full sync of the final
    /// state would, with every transaction accepted and the structure sound; and the map does not depend on the way.
    #[test]
    fn incremental_is_full(steps in prop::collection::vec(step(), 0..40)) {
        let mut tracker = Tracker::new(NODE);
        tracker.service_changed(Change::Replaced(vec![]));
        tracker.slice_changed(Change::Replaced(vec![]));
        let mut services: BTreeMap<u8, Arc<Service>> = BTreeMap::new();
        let mut slices: BTreeMap<u8, Arc<EndpointSlice>> = BTreeMap::new();
        let mut kernel = Kernel::default();
        let first = render::full(&Ruleset::build(tracker.map(), &inputs(IpFamily::V4)), &Existing::default());
        kernel.restore(&first.text).unwrap();
        let mut committed: Committed = first.committed;
        for step in steps.iter().chain([&Step::Sync]) {
            match step {
                Step::Service { name, .. } => {
                    let object = make_service(step).unwrap();
                    services.insert(*name, object.clone());
                    tracker.service_changed(Change::Applied(object));
                }
                Step::DropService(name) => if let Some(object) = services.remove(name) {
                    tracker.service_changed(Change::Deleted(object));
                },
                Step::Slice { name, .. } => {
                    let object = make_slice(step).unwrap();
                    slices.insert(*name, object.clone());
                    tracker.slice_changed(Change::Applied(object));
                }
                Step::DropSlice(name) => if let Some(object) = slices.remove(name) {
                    tracker.slice_changed(Change::Deleted(object));
                },
                Step::Sync => {
                    tracker.update();
                    let rules = Ruleset::build(tracker.map(), &inputs(IpFamily::V4));
                    let next = render::diff(&rules, &committed);
                    kernel.restore(&next.text).unwrap();
                    committed = next.committed;
                    prop_assert_eq!(render::diff(&rules, &committed).text, "");
                }
            }
        }
        prop_assert_eq!(kernel.lint(&STANDING), Vec::<String>::new());

        let mut fresh = Tracker::new(NODE);
        fresh.slice_changed(Change::Replaced(slices.into_values().rev().collect()));
        fresh.service_changed(Change::Replaced(services.into_values().rev().collect()));
        fresh.update();
        prop_assert_eq!(fresh.map(), tracker.map());
        let mut full = Kernel::default();
        full.restore(&full_text(&Ruleset::build(fresh.map(), &inputs(IpFamily::V4)))).unwrap();
        prop_assert_eq!(full, kernel);
    }
}
