use super::*;
use crate::model::pod::DnsConfig;
use crate::testing::builders::pod;

const NODE_FILE: &str = "\
# written by hand
nameserver 9.9.9.9
nameserver 1.1.1.1
search old.example
search corp.example. lan .
options ndots:2 timeout:1
options timeout:3 rotate
";

fn node<'a>(cluster_dns: &'a [IpAddr], resolv_conf: Option<&'a str>) -> NodeDns<'a> {
    NodeDns {
        cluster_dns,
        cluster_domain: "cluster.local",
        resolv_conf,
        host_ips: &[],
    }
}

fn config(servers: &[&str], searches: &[&str], options: &[&str]) -> v1::DnsConfig {
    let list = |l: &[&str]| l.iter().map(ToString::to_string).collect();
    v1::DnsConfig {
        servers: list(servers),
        searches: list(searches),
        options: list(options),
    }
}

#[test]
fn policies() {
    let dns = ["10.96.0.10".parse().unwrap()];
    let cluster = config(
        &["10.96.0.10"],
        &[
            "default.svc.cluster.local",
            "svc.cluster.local",
            "cluster.local",
            "corp.example",
            "lan",
        ],
        &["ndots:5"],
    );
    let own = config(
        &["9.9.9.9", "1.1.1.1"],
        &["corp.example", "lan"],
        &["ndots:2", "timeout:3", "rotate"],
    );
    for (policy, host_network, want) in [
        (DnsPolicy::ClusterFirst, false, &cluster),
        (DnsPolicy::ClusterFirst, true, &own),
        (DnsPolicy::ClusterFirstWithHostNet, true, &cluster),
        (DnsPolicy::Default, false, &own),
        (DnsPolicy::None, false, &v1::DnsConfig::default()),
    ] {
        let mut p = pod("p", &["a"]);
        (p.spec.dns_policy, p.spec.host_network) = (policy, host_network);
        let got = for_pod(&p, &node(&dns, Some(NODE_FILE)));
        assert_eq!(
            (&got.config, got.warnings),
            (want, vec![]),
            "{policy:?} {host_network}"
        );
    }
}

#[test]
fn a_node_without_cluster_dns_says_so() {
    let got = for_pod(&pod("p", &["a"]), &node(&[], Some("nameserver 9.9.9.9\n")));
    assert_eq!(got.config, config(&["9.9.9.9"], &[], &[]));
    assert_eq!(got.warnings[0].reason, "MissingClusterDNS");
    assert_eq!(
        got.warnings[0].message,
        "pod: \"p_default(uid-p)\". kubelet does not have ClusterDNS IP configured and cannot create Pod using \
         \"ClusterFirst\" policy. Falling back to \"Default\" policy."
    );
}

#[test]
fn no_node_file_means_no_dns() {
    let mut p = pod("p", &["a"]);
    p.spec.dns_policy = DnsPolicy::Default;
    assert_eq!(
        for_pod(&p, &node(&[], None)).config,
        config(&["127.0.0.1"], &["."], &[])
    );
    let host_ips = ["fd00::1".parse().unwrap(), "10.0.0.1".parse().unwrap()];
    let node = NodeDns {
        host_ips: &host_ips,
        ..node(&[], None)
    };
    assert_eq!(for_pod(&p, &node).config.servers, ["::1", "127.0.0.1"]);
}

#[test]
fn the_pods_own_settings_are_added() {
    let mut p = pod("p", &["a"]);
    let option = |name: &str, value: Option<&str>| DnsOption {
        name: name.into(),
        value: value.map(Into::into),
    };
    p.spec.dns_config = Some(DnsConfig {
        nameservers: vec!["8.8.8.8".into(), "10.96.0.10".into()],
        searches: vec!["extra.example".into(), "cluster.local".into()],
        options: vec![
            option("ndots", Some("1")),
            option("edns0", None),
            option("use-vc", Some("")),
        ],
    });
    let got = for_pod(&p, &node(&["10.96.0.10".parse().unwrap()], None)).config;
    let searches = [
        "default.svc.cluster.local",
        "svc.cluster.local",
        "cluster.local",
        "extra.example",
    ];
    assert_eq!(
        got,
        config(
            &["10.96.0.10", "8.8.8.8"],
            &searches,
            &["ndots:1", "edns0", "use-vc"]
        )
    );
}

#[test]
fn a_node_file_that_is_too_large_for_pods() {
    let told = |domains: usize, each: &str, cluster_domain| {
        let domains: Vec<String> = (0..domains).map(|n| format!("{n}{each}")).collect();
        exceeded("/r", &format!("search {}\n", domains.join(" ")), cluster_domain)
    };
    assert_eq!(told(29, ".example", "cluster.local"), None);
    assert_eq!(told(32, ".example", ""), None);
    let message = "Resolv.conf file '/r' contains search line consisting of more than 29 domains!";
    assert_eq!(told(30, ".example", "cluster.local").as_deref(), Some(message));
    let message =
        "Resolv.conf file \"/r\" contains a search path which length is more than allowed 253 chars!";
    assert_eq!(told(1, &"x".repeat(253), "").as_deref(), Some(message));
    let message = "Resolv.conf file '/r' contains search line which length is more than allowed 2048 chars!";
    assert_eq!(told(11, &"x".repeat(190), "").as_deref(), Some(message));
}

#[test]
fn limits_cut_and_warn() {
    let mut p = pod("p", &["a"]);
    p.spec.dns_policy = DnsPolicy::None;
    let with = |servers: usize, searches: Vec<String>| {
        let mut p = p.clone();
        p.spec.dns_config = Some(DnsConfig {
            nameservers: (0..servers).map(|n| format!("10.0.0.{n}").into()).collect(),
            searches: searches.into_iter().map(Into::into).collect(),
            options: vec![],
        });
        let got = for_pod(&p, &node(&[], None));
        let reasons: Vec<_> = got
            .warnings
            .iter()
            .map(|w| w.message.split(' ').next().unwrap().to_owned())
            .collect();
        (got.config.servers.len(), got.config.searches.len(), reasons)
    };
    let short = |n: usize| (0..n).map(|i| format!("s{i}.example")).collect::<Vec<_>>();
    let long = |n: usize| {
        (0..n)
            .map(|i| format!("s{i:02}.{}", "x".repeat(196)))
            .collect::<Vec<_>>()
    };
    assert_eq!(with(3, short(32)), (3, 32, vec![]));
    assert_eq!(
        with(4, short(33)),
        (3, 32, vec!["Nameserver".to_owned(), "Search".to_owned()])
    );
    assert_eq!(
        with(0, long(11)),
        (0, 10, vec!["Search".to_owned()]),
        "2048 characters"
    );
    assert_eq!(
        with(0, vec!["y".repeat(254), "ok".into()]),
        (0, 1, vec!["Search".to_owned()])
    );
}
