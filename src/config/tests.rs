use super::*;
use clap::Parser;
use std::path::Path;

struct Machine {
    env: Option<&'static str>,
}

impl Source for Machine {
    fn hostname(&self) -> std::io::Result<String> {
        Ok("Worker-7.example\n".to_owned())
    }
    fn env(&self, name: &str) -> Option<String> {
        assert_eq!(name, "RUSTLET_LOG");
        self.env.map(str::to_owned)
    }
    fn read(&self, _: &Path) -> std::io::Result<String> {
        Err(std::io::ErrorKind::NotFound.into())
    }
    fn files(&self, _: &Path) -> std::io::Result<Vec<PathBuf>> {
        Err(std::io::ErrorKind::NotFound.into())
    }
}

fn cli(args: &[&str]) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("rustlet").chain(args.iter().copied()))
}

fn parse(args: &[&str]) -> Result<Arc<Config>, Error> {
    Config::new(&cli(args).unwrap().flags, &Machine { env: None })
}

#[test]
fn defaults_are_kubelets() {
    let config = parse(&[]).unwrap();
    assert_eq!(&*config.node, "worker-7.example");
    assert_eq!(config.api.kubeconfig, Path::new("/etc/kubernetes/kubelet.conf"));
    assert_eq!(config.kubelet.root_dir, Path::new("/var/lib/kubelet"));
    assert_eq!(
        config.kubelet.runtime_socket,
        Path::new("/run/containerd/containerd.sock")
    );
    assert_eq!(
        (&*config.kubelet.cluster_domain, config.kubelet.max_pods),
        ("cluster.local", 110)
    );
    assert_eq!(
        (config.network.mode, config.proxy.mode),
        (NetworkMode::Bridge, ProxyMode::Iptables)
    );
    assert_eq!(config.telemetry.address, Some("127.0.0.1:10249".parse().unwrap()));
}

#[test]
fn the_nodes_credentials() {
    let plain = &parse(&["--root-dir=/r"]).unwrap().identity;
    assert_eq!(plain.cert_dir, Path::new("/r/pki"));
    assert_eq!(
        (plain.rotate, plain.server_csr, &plain.bootstrap_kubeconfig),
        (true, false, &None)
    );
    let all = &parse(&[
        "--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf",
        "--cert-dir=/pki",
        "--rotate-certificates=false",
        "--rotate-server-certificates",
        "--tls-cert-file=/c",
        "--tls-private-key-file=/k",
    ])
    .unwrap()
    .identity;
    assert_eq!(
        all.bootstrap_kubeconfig.as_deref(),
        Some(Path::new("/etc/kubernetes/bootstrap-kubelet.conf"))
    );
    assert_eq!((&*all.cert_dir, all.rotate), (Path::new("/pki"), false));
    assert!(all.server_csr);
    assert_eq!(all.serving_files, Some(("/c".into(), "/k".into())));
    for (one, other) in [
        ("--tls-cert-file=/c", "--tls-private-key-file"),
        ("--tls-private-key-file=/k", "--tls-cert-file"),
    ] {
        assert_eq!(parse(&[one]).unwrap_err().place, other);
    }
    assert_eq!(parse(&["--cert-dir=pki"]).unwrap_err().place, "--cert-dir");
}

#[test]
fn every_flag_arrives_in_its_section() {
    let config = parse(&[
        "--hostname-override=n1",
        "--kubeconfig=k.conf",
        "--node-ip=10.0.0.1,fd00::1",
        "--node-labels=disk=ssd,node.kubernetes.io/pool=a",
        "--register-with-taints=dedicated=db:NoSchedule,spot:NoExecute",
        "--root-dir=/r",
        "--pod-logs-dir=/l",
        "--container-runtime-endpoint=/run/c.sock",
        "--cgroup-root=/lab/n1/",
        "--cgroup-driver=cgroupfs",
        "--cluster-dns=10.96.0.10,fd00::a",
        "--cluster-domain=.corp.test.",
        "--resolv-conf=/r.conf",
        "--max-pods=5",
        "--network=none",
        "--cni-conf-dir=/c",
        "--cni-bin-dir=/b",
        "--proxy-mode=none",
        "--log-level=warn,rustlet::proxy=trace",
        "--log-format=json",
        "--metrics-bind-address=none",
    ])
    .unwrap();
    let kubelet = &config.kubelet;
    assert_eq!(
        (
            &*config.node,
            &*kubelet.node,
            &*config.network.node,
            &*config.proxy.node
        ),
        ("n1", "n1", "n1", "n1")
    );
    assert_eq!(config.api.kubeconfig, Path::new("k.conf"));
    assert_eq!(
        kubelet.node_ips,
        [
            "10.0.0.1".parse::<std::net::IpAddr>().unwrap(),
            "fd00::1".parse().unwrap()
        ]
    );
    assert_eq!(kubelet.labels["disk"], "ssd".into());
    assert_eq!(kubelet.labels["node.kubernetes.io/pool"], "a".into());
    let taints: Vec<String> = kubelet.taints.iter().map(Taint::to_string).collect();
    assert_eq!(taints, ["dedicated=db:NoSchedule", "spot=:NoExecute"]);
    assert_eq!(
        serde_json::to_value(&kubelet.taints[1]).unwrap(),
        serde_json::json!({"key": "spot", "effect": "NoExecute"})
    );
    assert_eq!(
        (&*kubelet.root_dir, &*kubelet.pod_logs_dir),
        (Path::new("/r"), Path::new("/l"))
    );
    assert_eq!(kubelet.runtime_socket, Path::new("/run/c.sock"));
    assert_eq!(
        (&*kubelet.cgroup_root, kubelet.cgroup_driver),
        ("/lab/n1", Some(CgroupDriver::Cgroupfs))
    );
    assert_eq!(
        (kubelet.cluster_dns.len(), &*kubelet.cluster_domain),
        (2, "corp.test")
    );
    assert_eq!(
        (kubelet.resolv_conf.as_deref(), kubelet.max_pods),
        (Some(Path::new("/r.conf")), 5)
    );
    assert_eq!(
        (config.network.mode, config.proxy.mode),
        (NetworkMode::None, ProxyMode::None)
    );
    assert_eq!(
        (&*config.network.cni_conf_dir, &*config.network.cni_bin_dir),
        (Path::new("/c"), Path::new("/b"))
    );
    assert_eq!(
        (config.telemetry.format, config.telemetry.address),
        (LogFormat::Json, None)
    );
}

#[test]
fn a_bad_value_names_the_flag_and_what_would_be_right() {
    let table: &[(&str, &str)] = &[
        (
            "--node=Under_score",
            "--node: \"under_score\" (given) is not a node name",
        ),
        ("--node=-a", "--node: \"-a\" (given) is not a node name"),
        ("--node-ip=127.0.0.1", "--node-ip: 127.0.0.1 cannot be reached"),
        (
            "--node-ip=10.0.0.1,10.0.0.2",
            "--node-ip: 10.0.0.2 is the second address",
        ),
        ("--node-labels=disk", "--node-labels: \"disk\" is not KEY=VALUE"),
        ("--node-labels=a b=c", "--node-labels: \"a b\" is not a key"),
        ("--node-labels=a=-", "--node-labels: a=\"-\": a value has"),
        (
            "--node-labels=node-role.kubernetes.io/worker=",
            "--node-labels: the API server does not let a node give itself",
        ),
        (
            "--node-labels=x.k8s.io/a=b",
            "--node-labels: the API server does not let",
        ),
        (
            "--register-with-taints=a=b",
            "--register-with-taints: \"a=b\" is not KEY=VALUE:EFFECT",
        ),
        (
            "--register-with-taints=a=b:Never",
            "--register-with-taints: \"a=b:Never\": \"Never\" is not an effect",
        ),
        (
            "--root-dir=kubelet",
            "--root-dir: kubelet is not an absolute path",
        ),
        (
            "--container-runtime-endpoint=tcp://1.2.3.4:5",
            "--container-runtime-endpoint: tcp:// is not supported",
        ),
        (
            "--cgroup-root=../x",
            "--cgroup-root: \"../x\" is not a cgroup path",
        ),
        (
            "--cluster-domain=a..b",
            "--cluster-domain: \"a..b\" is not a domain name",
        ),
        ("--max-pods=0", "--max-pods: 0 is not between 1 and"),
        ("--log-level=loud", "--log-level: \"loud\" is not understood"),
        (
            "--metrics-bind-address=10249",
            "--metrics-bind-address: \"10249\" is not ADDRESS:PORT",
        ),
    ];
    for (arg, begin) in table {
        let error = parse(&[arg]).unwrap_err().to_string();
        assert!(error.starts_with(begin), "{arg}: {error}");
    }
}

#[test]
fn own_labels_of_kubernetes_domains_are_allowed() {
    for label in [
        "kubernetes.io/arch=amd64",
        "topology.kubernetes.io/zone=z",
        "a.node.kubernetes.io/b=c",
        "example.com/a=",
    ] {
        parse(&[&format!("--node-labels={label}")]).unwrap();
    }
}

#[test]
fn the_log_level_comes_from_the_flag_then_the_environment() {
    let levels = |args: &[&str], env| {
        Config::new(&cli(args).unwrap().flags, &Machine { env }).map(|c| c.telemetry.levels.to_string())
    };
    assert_eq!(levels(&[], None).unwrap(), "info");
    let debug = levels(&[], Some("debug")).unwrap();
    assert!(
        debug.split(',').any(|d| d == "debug") && debug.split(',').any(|d| d == "h2=info"),
        "{debug}"
    );
    assert!(
        levels(&[], Some("debug,h2=trace"))
            .unwrap()
            .split(',')
            .any(|d| d == "h2=trace")
    );
    assert_eq!(levels(&["--log-level=warn"], Some("debug")).unwrap(), "warn");
    assert!(
        levels(&[], Some("loud"))
            .unwrap_err()
            .to_string()
            .starts_with("$RUSTLET_LOG: ")
    );
}

#[test]
fn an_unknown_flag_is_refused_with_a_suggestion() {
    let error = cli(&["--kubeconfg=x"]).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    let text = error.to_string();
    assert!(
        text.contains("--kubeconfg") && text.contains("--kubeconfig"),
        "{text}"
    );
    for bad in [&["--network=magic"][..], &["--node-ip=here"], &["surprise"]] {
        assert_eq!(cli(bad).unwrap_err().exit_code(), 2, "{bad:?}");
    }
}

#[test]
fn tools_are_subcommands() {
    assert!(matches!(
        cli(&["version"]).unwrap().command,
        Some(Command::Version)
    ));
    let Some(Command::Clean(flags)) = cli(&["clean", "--cni-conf-dir=/x"]).unwrap().command else {
        panic!("clean")
    };
    assert_eq!(flags.cni_conf_dir, Path::new("/x"));
}
