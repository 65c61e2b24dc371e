use super::*;
use crate::testing::builders::pod;

fn named(hostname: &str, subdomain: &str) -> Pod {
    let mut p = pod("p", &["a"]);
    let set = |text: &str| (!text.is_empty()).then(|| text.into());
    (p.spec.hostname, p.spec.subdomain) = (set(hostname), set(subdomain));
    p
}

#[test]
fn names_of_a_pod() {
    let name = |h: &str, s: &str| names(&named(h, s), "cluster.local").map(|n| (n.hostname, n.domain));
    let own = |a: &str, b: &str| Ok((a.to_owned(), b.to_owned()));
    assert_eq!(name("", ""), own("p", ""));
    assert_eq!(name("web-0", ""), own("web-0", ""));
    assert_eq!(
        name("web-0", "web"),
        own("web-0", "web.default.svc.cluster.local")
    );
    assert_eq!(
        name("Bad_", "").unwrap_err().to_string(),
        "spec.hostname: \"Bad_\" is no valid DNS label"
    );
    assert_eq!(
        name("", "-x").unwrap_err().to_string(),
        "spec.subdomain: \"-x\" is no valid DNS label"
    );
    let mut long = pod("p", &["a"]);
    long.metadata.name = format!("{}-.{}", "x".repeat(61), "y".repeat(30)).into();
    assert_eq!(
        names(&long, "c").unwrap().hostname,
        "x".repeat(61),
        "cut, and no dash or dot at the end"
    );
}

#[test]
fn an_override_is_the_whole_name() {
    for (name, want) in [
        ("web", Ok("web".to_owned())),
        ("web.example.com", Ok("web.example.com".to_owned())),
        (
            &*format!("{}.{}", "a".repeat(62), "b".repeat(9)),
            Ok("a".repeat(62)),
        ),
        ("Web", Err(())),
        ("web..com", Err(())),
        ("-web", Err(())),
        ("", Err(())),
    ] {
        let mut p = named("other", "sub");
        p.spec.set_hostname_as_fqdn = Some(true);
        p.spec.hostname_override = Some(name.into());
        let got = names(&p, "cluster.local").map(|n| (kernel_name(&p, &n).unwrap(), n.domain));
        let want = want.map(|hostname| (hostname, String::new()));
        assert_eq!(got.map_err(drop), want, "{name}");
    }
}

#[test]
fn the_kernel_may_be_told_the_full_name() {
    let mut p = named("web-0", "web");
    let n = names(&p, "cluster.local").unwrap();
    assert_eq!(kernel_name(&p, &n).unwrap(), "web-0");
    p.spec.set_hostname_as_fqdn = Some(true);
    assert_eq!(
        kernel_name(&p, &n).unwrap(),
        "web-0.web.default.svc.cluster.local"
    );
    let long = Names {
        hostname: "h".repeat(50),
        ..n
    };
    let name = format!("{}.web.default.svc.cluster.local", long.hostname);
    assert_eq!(
        kernel_name(&p, &long).unwrap_err().to_string(),
        format!(
            "failed to construct FQDN from pod hostname and cluster domain, FQDN {name} is too long (64 characters is \
             the max, 80 characters requested)"
        )
    );
    assert_eq!(
        kernel_name(
            &p,
            &Names {
                hostname: "p".into(),
                domain: String::new()
            }
        )
        .unwrap(),
        "p"
    );
}

#[test]
fn the_file_of_a_pod() {
    let n = Names {
        hostname: "web-0".into(),
        domain: "web.default.svc.cluster.local".into(),
    };
    let aliases = [HostAlias {
        ip: "1.2.3.4".into(),
        hostnames: vec!["a".into(), "b".into()],
    }];
    let text = pod_file(
        &["10.244.1.5".parse().unwrap(), "fd00::5".parse().unwrap()],
        &n,
        &aliases,
    );
    let want = "\
# Kubernetes-managed hosts file.
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
10.244.1.5\tweb-0.web.default.svc.cluster.local\tweb-0
fd00::5\tweb-0.web.default.svc.cluster.local\tweb-0

# Entries added by HostAliases.
1.2.3.4\ta\tb
";
    assert_eq!(text, want);
    let plain = pod_file(
        &["10.244.1.5".parse().unwrap()],
        &Names {
            hostname: "p".into(),
            domain: String::new(),
        },
        &[],
    );
    assert!(
        plain.ends_with("fe00::2\tip6-allrouters\n10.244.1.5\tp\n"),
        "{plain}"
    );
}

#[test]
fn the_file_of_a_host_network_pod() {
    let aliases = [HostAlias {
        ip: "1.2.3.4".into(),
        hostnames: vec!["a".into()],
    }];
    let text = host_network_file("127.0.0.1 localhost\n", &aliases);
    let want = "# Kubernetes-managed hosts file (host network).\n127.0.0.1 localhost\n\n# Entries added by HostAliases.\n1.2.3.4\ta\n";
    assert_eq!(text, want);
}
