use crate::config::check::json_of;
use crate::config::fields::{Effect, FIELDS, Field, Kind, OTHER_FLAGS};
use crate::config::{Cli, Config, Error, HostConfig, Source, document};
use clap::{CommandFactory, Parser};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What kubeadm 1.36.3 writes to `/var/lib/kubelet/config.yaml`.
const KUBEADM: &str = include_str!("kubeadm.yaml");
const HEAD: &str = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n";

#[derive(Default)]
struct Files(BTreeMap<PathBuf, String>);

impl Source for Files {
    fn hostname(&self) -> std::io::Result<String> {
        Ok("n1".into())
    }
    fn env(&self, _: &str) -> Option<String> {
        None
    }
    fn read(&self, file: &Path) -> std::io::Result<String> {
        self.0
            .get(file)
            .cloned()
            .ok_or_else(|| std::io::ErrorKind::NotFound.into())
    }
    fn files(&self, dir: &Path) -> std::io::Result<Vec<PathBuf>> {
        Ok(self
            .0
            .keys()
            .filter(|file| file.starts_with(dir))
            .cloned()
            .collect())
    }
}

fn with(files: &[(&str, &str)], args: &[&str]) -> Result<Arc<Config>, Error> {
    let files = files
        .iter()
        .map(|(path, text)| (path.into(), (*text).to_owned()))
        .collect();
    let args = std::iter::once("rustlet").chain(args.iter().copied());
    Config::new(&Cli::try_parse_from(args).unwrap().flags, &Files(files))
}

/// With this below the head of a file, and flags.
pub(in crate::config) fn file(yaml: &str, args: &[&str]) -> Result<Arc<Config>, Error> {
    let text = format!("{HEAD}{yaml}");
    with(&[("/k.yaml", &text)], &[&["--config=/k.yaml"], args].concat())
}

/// A file with these fields.
fn whole(mut fields: document::Document) -> String {
    fields.insert("apiVersion".into(), json!("kubelet.config.k8s.io/v1beta1"));
    fields.insert("kind".into(), json!("KubeletConfiguration"));
    Value::from(fields).to_string()
}

/// What is left to compare when `/configz` and the warning are taken away.
fn bare(config: &Config) -> Config {
    let mut config = config.clone();
    config.server.configz = Arc::default();
    config.warning = None;
    config
}

fn acting() -> impl Iterator<Item = (&'static Field, Value)> {
    FIELDS.iter().filter_map(|field| match field.effect {
        Effect::Acts(default) => Some((field, json_of(default))),
        _ => None,
    })
}

/// A good value that is not the default, and how it is typed.
fn another(field: &Field, default: &Value) -> (Value, String) {
    let plain = |text: &str| (json!(text), text.to_owned());
    match field.kind {
        Kind::Bool => (
            json!(*default == json!(false)),
            (*default == json!(false)).to_string(),
        ),
        Kind::Int(_, 100 | 1000) => (json!(83), "83".into()),
        Kind::Int(..) => (json!(12345), "12345".into()),
        Kind::Thresholds => (json!({"memory.available": "7%"}), "memory.available<7%".into()),
        Kind::Periods => (json!({"memory.available": "7s"}), "memory.available=7s".into()),
        Kind::Reclaims => (json!({"memory.available": "7Mi"}), "memory.available=7Mi".into()),
        Kind::Duration if field.path == "cpuCFSQuotaPeriod" => plain("7ms"),
        Kind::Duration => plain("7s"),
        Kind::Reserved => (json!({"cpu": "7"}), "cpu=7".into()),
        Kind::Enforced => (json!(["none"]), "none".into()),
        Kind::Cpus => plain("0-1"),
        Kind::Ip => plain("10.1.2.3"),
        Kind::Ips => (json!(["10.1.2.3", "fd00::1"]), "10.1.2.3,fd00::1".into()),
        Kind::Path | Kind::PathOrNone | Kind::Socket | Kind::Cgroup => plain("/another"),
        Kind::Domain => plain("another.test"),
        Kind::Text => plain("another"),
        Kind::Texts => (json!(["another.test/app"]), "another.test/app".into()),
        Kind::OneOf(words) => plain(words.iter().rfind(|word| json!(word) != *default).unwrap()),
        Kind::Suites => (
            json!(["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]),
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256".into(),
        ),
        Kind::Curves => (json!([29]), String::new()),
        Kind::Sysctls => (
            json!(["kernel.msg*", "net.core.somaxconn"]),
            "kernel.msg*,net.core.somaxconn".into(),
        ),
        Kind::IdsPerPod => (json!(131_072), String::new()),
        Kind::TlsVersion => plain("VersionTLS13"),
        Kind::Quantity | Kind::Size => plain("77Mi"),
        Kind::Taints => (
            json!([{"key": "a", "value": "b", "effect": "NoSchedule"}]),
            "a=b:NoSchedule".into(),
        ),
        Kind::Shutdown => (
            json!([{"priority": 7, "shutdownGracePeriodSeconds": 9}]),
            String::new(),
        ),
        Kind::Gates => (
            json!({"ExtendWebSocketsToKubelet": false}),
            "ExtendWebSocketsToKubelet=false".into(),
        ),
        other => panic!("{other:?} acts: say which value it could have"),
    }
}

#[test]
fn every_field_that_acts_changes_something_and_its_flag_does_the_same() {
    let plain = file("", &[]).unwrap();
    for (field, default) in acting() {
        let (value, typed) = another(field, &default);
        let mut document = document::Document::new();
        document::set(&mut document, field.path, value.clone());
        let (mut flags, path) = (vec![format!("--{}={typed}", field.flag)], field.path);
        // One is nothing without the other.
        let (key, certificate) = ("--tls-private-key-file=/o", "--tls-cert-file=/o");
        let (soft, grace) = (
            "--eviction-soft=memory.available<9%",
            "--eviction-soft-grace-period=memory.available=9s",
        );
        for (one, other, beside, flag) in [
            ("tlsCertFile", "tlsPrivateKeyFile", json!("/o"), key),
            ("tlsPrivateKeyFile", "tlsCertFile", json!("/o"), certificate),
            (
                "evictionSoft",
                "evictionSoftGracePeriod",
                json!({"memory.available": "9s"}),
                grace,
            ),
            (
                "evictionSoftGracePeriod",
                "evictionSoft",
                json!({"memory.available": "9%"}),
                soft,
            ),
            (
                "mergeDefaultEvictionSettings",
                "evictionHard",
                json!({"pid.available": "9%"}),
                "",
            ),
            ("imageMaximumGCAge", "imageMinimumGCAge", json!("1s"), ""),
            (
                "shutdownGracePeriodCriticalPods",
                "shutdownGracePeriod",
                json!("1h"),
                "",
            ),
            (
                "preloadedImagesVerificationAllowlist",
                "imagePullCredentialsVerificationPolicy",
                json!("NeverVerifyAllowlistedImages"),
                "",
            ),
        ] {
            if path == one {
                document::set(&mut document, other, beside);
                flags.push(flag.into());
            }
        }
        let text = whole(document);
        let by_file = with(&[("/k.yaml", &text)], &["--config=/k.yaml"]).unwrap();
        assert_ne!(bare(&by_file), bare(&plain), "{path} changes nothing");
        assert_eq!(
            document::at(by_file.server.configz.as_object().unwrap(), path),
            Some(&value),
            "/configz"
        );
        assert_eq!(by_file.warning, None, "{path}");
        if !field.flag.is_empty() {
            let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
            assert_eq!(
                with(&[], &flags).unwrap(),
                by_file,
                "--{} is not {path}",
                field.flag
            );
        }
    }
}

#[test]
fn defaults_stand_for_zeros_and_nulls() {
    let plain = file("", &[]).unwrap();
    for (field, default) in acting().filter(|(field, _)| !field.zero_counts) {
        for zero in [json!(null), json!(0), json!(""), json!([]), json!("0s")] {
            let same_type = std::mem::discriminant(&zero) == std::mem::discriminant(&default);
            let text_of_duration = field.kind == Kind::Duration && zero != json!("0s");
            let other_text = field.kind != Kind::Duration && zero == json!("0s");
            if !zero.is_null() && (!same_type || text_of_duration || other_text) {
                continue;
            }
            let mut document = document::Document::new();
            document::set(&mut document, field.path, zero.clone());
            let config = with(&[("/k.yaml", &whole(document))], &["--config=/k.yaml"]).unwrap();
            assert_eq!(*config, *plain, "{}: {zero}", field.path);
        }
    }
    assert_eq!(file("healthzPort: 0", &[]).unwrap().server.healthz, None);
    assert_eq!(file("resolvConf: \"\"", &[]).unwrap().kubelet.resolv_conf, None);
}

#[test]
fn what_kubeadm_writes_is_understood() {
    let config = with(
        &[("/var/lib/kubelet/config.yaml", KUBEADM)],
        &[
            "--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf",
            "--kubeconfig=/etc/kubernetes/kubelet.conf",
            "--config=/var/lib/kubelet/config.yaml",
            "--container-runtime-endpoint=unix:///var/run/containerd/containerd.sock",
            "--node-labels=",
            "--register-with-taints=",
        ],
    )
    .unwrap();
    assert_eq!(config.warning, None);
    assert_eq!(
        config.kubelet.manifests.as_deref(),
        Some(Path::new("/etc/kubernetes/manifests"))
    );
    assert_eq!(
        config.kubelet.cluster_dns,
        ["10.96.0.10".parse::<std::net::IpAddr>().unwrap()]
    );
    assert_eq!(
        config.kubelet.runtime_socket,
        Path::new("/var/run/containerd/containerd.sock")
    );
    assert_eq!(config.server.token_ttl, Duration::from_secs(120));
    assert_eq!(config.server.healthz, Some("127.0.0.1:10248".parse().unwrap()));
    assert!(config.identity.rotate && config.identity.bootstrap_kubeconfig.is_some());
}

#[test]
fn a_bad_value_names_file_field_and_problem() {
    let table = [
        (
            "authentication: {webhook: {cacheTTL: 2x}}",
            r#"authentication.webhook.cacheTTL: "2x" is not a duration"#,
        ),
        (
            "authentication: {webhook: {cacheTTL: -2s}}",
            r#"authentication.webhook.cacheTTL: "-2s" is less than nothing"#,
        ),
        (
            "authentication: {webhook: {cacheTTL: 30}}",
            "authentication.webhook.cacheTTL: 30 is not text",
        ),
        (
            "authentication: {webhook: {cacheTTL: 0}}",
            "authentication.webhook.cacheTTL: 0 is not text",
        ),
        (
            "authentication: {webhok: {}}",
            "authentication.webhok: KubeletConfiguration has no such field",
        ),
        (
            "authentication: true",
            "authentication: true is not a map of fields",
        ),
        (
            "authentication: {anonymous: {enabled: maybe}}",
            r#"authentication.anonymous.enabled: "maybe" is not true or false"#,
        ),
        (
            "authorization: {mode: Never}",
            r#"authorization.mode: "Never" is not one of Webhook, AlwaysAllow"#,
        ),
        ("maxpods: 3", "maxpods: KubeletConfiguration has no such field"),
        ("maxPods: many", r#"maxPods: "many" is not a whole number"#),
        ("maxPods: 1.5", "maxPods: 1.5 is not a whole number"),
        ("maxPods: -1", "maxPods: -1 is not between 1 and"),
        ("port: 70000", "port: 70000 is not between 1 and 65535"),
        (
            "readOnlyPort: 10255",
            "readOnlyPort: 10255: there is no port without authentication; use 0",
        ),
        (
            "enableServer: false",
            "enableServer: false: the node's API is always served",
        ),
        (
            "address: localhost",
            r#"address: "localhost" is not an IP address"#,
        ),
        (
            "clusterDNS: 10.96.0.10",
            r#"clusterDNS: "10.96.0.10" is not a list"#,
        ),
        ("clusterDNS: [dns]", r#"clusterDNS: "dns" is not an IP address"#),
        (
            "clusterDomain: a..b",
            r#"clusterDomain: "a..b" is not a domain name"#,
        ),
        (
            "cgroupDriver: docker",
            r#"cgroupDriver: "docker" is not one of cgroupfs, systemd"#,
        ),
        ("cgroupRoot: a/b", r#"cgroupRoot: "a/b" is not a cgroup path"#),
        ("tlsCertFile: a.crt", "tlsCertFile: a.crt is not an absolute path"),
        (
            "tlsMinVersion: \"1.3\"",
            r#"tlsMinVersion: "1.3" is not one of VersionTLS10"#,
        ),
        (
            "tlsCipherSuites: [RC5]",
            r#"tlsCipherSuites: "RC5" is not a TLS cipher suite"#,
        ),
        (
            "tlsCipherSuites: [TLS_RSA_WITH_AES_128_CBC_SHA, TLS_RSA_WITH_RC4_128_SHA]",
            r#"tlsCipherSuites: ["TLS_RSA_WITH_AES_128_CBC_SHA","TLS_RSA_WITH_RC4_128_SHA"]: none of these can be offered; those that can: TLS_AES_128_GCM_SHA256, "#,
        ),
        (
            "tlsCurvePreferences: [X25519]",
            r#"tlsCurvePreferences: "X25519" is not the number of a TLS key exchange"#,
        ),
        ("tlsCurvePreferences: [29, 99]", "tlsCurvePreferences: 99 is not"),
        ("tlsCurvePreferences: [0]", "tlsCurvePreferences: 0 is not"),
        ("tlsCurvePreferences: [-29]", "tlsCurvePreferences: -29 is not"),
        (
            "tlsCurvePreferences: [65565]",
            "tlsCurvePreferences: 65565 is not",
        ),
        (
            "tlsCurvePreferences: [29, 23, 29]",
            "tlsCurvePreferences: 29 is named twice",
        ),
        (
            "tlsCurvePreferences: [25]",
            "tlsCurvePreferences: [25]: none of these can be offered",
        ),
        (
            "containerRuntimeEndpoint: tcp://a:1",
            "containerRuntimeEndpoint: tcp:// is not supported",
        ),
        (
            "containerLogMaxSize: big",
            r#"containerLogMaxSize: "big" is not a quantity"#,
        ),
        (
            "containerLogMaxFiles: 1",
            "containerLogMaxFiles: 1 is not between 2 and",
        ),
        (
            "featureGates: {Nonsense: true}",
            "featureGates: unrecognized feature gate: Nonsense",
        ),
        (
            "featureGates: {NodeSwap: 1}",
            "featureGates: NodeSwap: 1 is not true or false",
        ),
        (
            "registerWithTaints: [{key: a, effect: Never}]",
            r#"registerWithTaints: "Never" is not an effect"#,
        ),
        (
            "registerWithTaints: [{key: a, effects: NoExecute}]",
            r#"registerWithTaints: "effects" is not a field of a taint"#,
        ),
        (
            "evictionPressureTransitionPeriod: soon",
            r#"evictionPressureTransitionPeriod: "soon" is not a duration"#,
        ),
        (
            "oomScoreAdj: -2000",
            "oomScoreAdj: -2000 is not between -1000 and 1000",
        ),
        ("maxPods: 3\nmaxPods: 4", ""),
        ("a: [", "unclosed bracket '[' at line 3"),
    ];
    for (yaml, wanted) in table {
        let error = file(yaml, &[]).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("/k.yaml: {wanted}")),
            "{yaml}: {error}"
        );
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    let table = [
        ("", "/k.yaml: "),
        ("[]", "/k.yaml: it is not a KubeletConfiguration"),
        (
            "kind: KubeletConfiguration",
            "/k.yaml: apiVersion: null is not kubelet.config.k8s.io/v1beta1",
        ),
        (
            "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: Pod",
            "/k.yaml: kind: \"Pod\" is not KubeletConfiguration",
        ),
        (
            "apiVersion: v1\nkind: KubeletConfiguration",
            "/k.yaml: apiVersion: \"v1\" is not",
        ),
    ];
    for (text, wanted) in table {
        let error = with(&[("/k.yaml", text)], &["--config=/k.yaml"])
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(wanted), "{text}: {error}");
    }
    let error = with(&[], &["--config=/none.yaml"]).unwrap_err().to_string();
    assert!(error.starts_with("--config: /none.yaml: "), "{error}");
}

#[test]
fn bad_flags_name_themselves() {
    let table = [
        (
            "--read-only-port=10255",
            "--read-only-port: 10255: there is no port",
        ),
        ("--port=0", "--port: 0 is not between 1 and 65535"),
        (
            "--authentication-token-webhook-cache-ttl=2x",
            "--authentication-token-webhook-cache-ttl: \"2x\" is not a duration",
        ),
        (
            "--feature-gates=Nonsense=true",
            "--feature-gates: unrecognized feature gate: Nonsense",
        ),
        (
            "--feature-gates=NodeSwap",
            "--feature-gates: \"NodeSwap\" is not GATE=true",
        ),
        (
            "--anonymous-auth=perhaps",
            "--anonymous-auth: \"perhaps\" is not true or false",
        ),
        ("--runonce", "--runonce: true: kubelet has dropped it"),
    ];
    for (flag, wanted) in table {
        let error = with(&[], &[flag]).unwrap_err().to_string();
        assert!(error.starts_with(wanted), "{flag}: {error}");
    }
    assert!(Cli::try_parse_from(["rustlet", "--cloud-provider=aws"]).is_err());
    let taints = |flag: &str| {
        let config = with(&[], &[flag, "--register-with-taints=a=b:NoExecute"]).unwrap();
        let taints = config.kubelet.taints.iter().map(ToString::to_string);
        (config.kubelet.external_cloud, taints.collect::<Vec<_>>())
    };
    assert_eq!(
        taints("--cloud-provider="),
        (false, vec!["a=b:NoExecute".to_owned()])
    );
    let (external, taints) = taints("--cloud-provider=external");
    assert!(external);
    assert_eq!(
        taints,
        [
            "a=b:NoExecute",
            "node.cloudprovider.kubernetes.io/uninitialized=true:NoSchedule"
        ]
    );
}

#[test]
fn flags_go_before_drop_ins_and_those_before_the_file() {
    let drop_in = |yaml: &str| format!("{HEAD}{yaml}");
    let base = drop_in(
        "maxPods: 1\nclusterDNS: [10.0.0.1, 10.0.0.2]\nauthentication: {anonymous: {enabled: true}, webhook: {cacheTTL: 9s}}\nport: 1234\n",
    );
    let first = drop_in("maxPods: 2\nclusterDNS: [10.0.0.3]\nport: null\n");
    let second = drop_in("maxPods: 3\nauthentication: {webhook: {cacheTTL: 0s}}\n");
    let files = [
        ("/k.yaml", &*base),
        ("/k.d/10-a.conf", &*first),
        ("/k.d/20-b.conf", &*second),
        ("/k.d/30-c.yaml", "not even YAML: ["),
    ];
    let both = ["--config=/k.yaml", "--config-dir=/k.d"];
    let config = with(&files, &both).unwrap();
    assert_eq!(config.kubelet.max_pods, 3);
    assert_eq!(config.kubelet.cluster_dns.len(), 1, "lists are replaced");
    assert!(config.server.anonymous, "maps are merged");
    assert_eq!(
        config.server.token_ttl,
        Duration::from_secs(120),
        "zero is the default again"
    );
    assert_eq!(config.server.port, 10250, "null takes away");
    let config = with(
        &files,
        &[
            &both[..],
            &["--max-pods=4", "--max-pods", "5", "--anonymous-auth=false"],
        ]
        .concat(),
    )
    .unwrap();
    assert_eq!((config.kubelet.max_pods, config.server.anonymous), (5, false));
    let bad = drop_in("maxPods: few");
    let error = with(&[("/k.d/a/b.conf", &bad)], &["--config-dir=/k.d"])
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("/k.d/a/b.conf: maxPods: "), "{error}");
}

#[test]
fn what_tls_cannot_offer_is_named_and_the_rest_holds() {
    let config = file(
        "tlsCipherSuites: [TLS_RSA_WITH_RC4_128_SHA, TLS_AES_128_GCM_SHA256]\ntlsCurvePreferences: [25, 29]",
        &["--tls-min-version=VersionTLS10"],
    )
    .unwrap();
    assert_eq!(
        config.warning.as_deref(),
        Some(
            "these settings have no effect: tlsCipherSuites (TLS_RSA_WITH_RC4_128_SHA cannot be offered), \
             tlsCurvePreferences (25 cannot be offered), --tls-min-version (VersionTLS10 cannot be offered)"
        )
    );
    assert!(!config.server.tls13_only);
    assert_eq!(config.server.tls_curves, [25, 29]);
    for (flag, words) in [
        (
            "--tls-cipher-suites=RC5",
            r#"--tls-cipher-suites: "RC5" is not a TLS cipher suite"#,
        ),
        (
            "--tls-min-version=1.3",
            r#"--tls-min-version: "1.3" is not one of VersionTLS10"#,
        ),
        (
            "--tls-cipher-suites=TLS_RSA_WITH_RC4_128_SHA",
            "--tls-cipher-suites: [\"TLS_RSA_WITH_RC4_128_SHA\"]: none of these can be offered",
        ),
    ] {
        let error = file("", &[flag]).unwrap_err().to_string();
        assert!(error.starts_with(words), "{error}");
    }
}

#[test]
fn what_has_no_effect_is_named_once() {
    let config = file(
        "memoryThrottlingFactor: 0.8\nfailCgroupV1: false\nsyncFrequency: 0s\nstaticPodURL: http://m\nmemorySwap: {}",
        &["--runtime-cgroups=/r", "--manifest-url=http://n", "--event-qps", "90", "--pod-infra-container-image="],
    )
    .unwrap();
    assert_eq!(
        config.warning.as_deref(),
        Some(
            "these settings have no effect: memoryThrottlingFactor, --manifest-url, --event-qps, --runtime-cgroups"
        )
    );
}

#[test]
fn what_files_and_drop_ins_of_others_pass_is_accepted() {
    for line in [
        // kind
        "--node-ip=172.18.0.2 --node-labels= --pod-infra-container-image=registry.k8s.io/pause:3.10 --provider-id=kind://docker/kind/kind-worker --runtime-cgroups=/system.slice/containerd.service --fail-swap-on=false",
        // k3s
        "--address=0.0.0.0 --anonymous-auth=false --authentication-token-webhook=true --authorization-mode=Webhook --cgroup-driver=systemd --client-ca-file=/a --cloud-provider=external --cluster-dns=10.43.0.10 --cluster-domain=cluster.local --container-runtime-endpoint=unix:///run/k3s/containerd/containerd.sock --eviction-hard=imagefs.available<5%,nodefs.available<5% --eviction-minimum-reclaim=imagefs.available=10%,nodefs.available=10% --healthz-bind-address=127.0.0.1 --hostname-override=n --kubeconfig=/k --kubelet-cgroups=/k3s --node-labels= --read-only-port=0 --resolv-conf=/etc/resolv.conf --serialize-image-pulls=false --tls-cert-file=/c --tls-private-key-file=/p",
        // By hand
        "-v 2 --v=4 --fail-swap-on --rotate-certificates --rotate-server-certificates=true --pod-max-pids -1 --system-reserved=cpu=200m,memory=1Gi --container-log-max-size 10Mi --container-log-max-files=3 --feature-gates=NodeSwap=true,AllAlpha=false --vmodule=a=3",
    ] {
        with(&[], &line.split(' ').collect::<Vec<_>>()).unwrap();
    }
}

/// A flag that is not kubelet's would stay unnoticed; the other way round, kubelet's own list is its `--help`.
#[test]
fn every_flag_of_kubelets_is_known() {
    let command = Cli::command();
    let ours: BTreeSet<&str> = command.get_arguments().filter_map(|arg| arg.get_long()).collect();
    let missing: Vec<&str> = include_str!("kubelet-flags.txt")
        .lines()
        .filter(|flag| !ours.contains(flag) && !["help", "version", "hostname-override"].contains(flag))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
    let twice = FIELDS
        .iter()
        .map(|field| field.flag)
        .filter(|flag| !flag.is_empty());
    let mut seen = BTreeSet::new();
    for flag in twice.chain(OTHER_FLAGS.iter().map(|(flag, _)| *flag)) {
        assert!(seen.insert(flag), "{flag} is in the table twice");
    }
}

#[test]
fn a_negative_log_size_switches_rotation_off() {
    let size = |args: &[&str]| with(&[], args).unwrap().kubelet.log_rotation.max_size;
    assert_eq!(size(&[]), Some(10 << 20));
    assert_eq!(size(&["--container-log-max-size=512Ki"]), Some(512 << 10));
    assert_eq!(size(&["--container-log-max-size=-1"]), None);
    assert_eq!(
        file("", &[]).unwrap().kubelet.log_rotation,
        crate::config::LogRotation::default()
    );
}

#[test]
fn what_is_demanded_of_the_machine() {
    let host = |text: &str, args: &[&str]| file(text, args).unwrap().kubelet.host;
    assert_eq!(host("maxOpenFiles: 0", &[]), HostConfig::default());
    let all = host(
        "failSwapOn: true\nprotectKernelDefaults: true\nmaxOpenFiles: 4096\noomScoreAdj: 0",
        &["--fail-swap-on=false"],
    );
    let wanted = HostConfig {
        fail_swap_on: false,
        protect_kernel_defaults: true,
        max_open_files: 4096,
        oom_score: 0,
    };
    assert_eq!(all, wanted);
}

#[test]
fn fields_are_held_to_upstreams_bounds() {
    for (text, problem) in [
        (
            "containerLogMonitorInterval: 2s",
            "containerLogMonitorInterval: \"2s\" is less than 3s",
        ),
        (
            "podLogsDir: /var/../log",
            "podLogsDir: \"/var/../log\" is not a path without detours",
        ),
        (
            "podLogsDir: /var/log/",
            "podLogsDir: \"/var/log/\" is not a path without detours",
        ),
        (
            "podLogsDir: /var/l\u{f6}g",
            "podLogsDir: \"/var/l\u{f6}g\" is not a path",
        ),
        (
            "serverTLSBootstrap: true\nfeatureGates: {RotateKubeletServerCertificate: false}",
            "serverTLSBootstrap: it requires feature gate RotateKubeletServerCertificate",
        ),
        (
            "crashLoopBackOff: {maxContainerRestartPeriod: 9s}\nfeatureGates: {KubeletCrashLoopBackOffMax: false}",
            "crashLoopBackOff.maxContainerRestartPeriod: it requires feature gate",
        ),
    ] {
        let error = file(text, &[]).unwrap_err().to_string();
        assert!(error.starts_with(problem), "{error}");
    }
    assert!(
        file(
            "serverTLSBootstrap: false\nfeatureGates: {RotateKubeletServerCertificate: false}",
            &[]
        )
        .is_ok()
    );
    let shown = |text: &str| file(text, &[]).unwrap().server.configz["serializeImagePulls"].clone();
    assert_eq!(
        (shown(""), shown("maxParallelImagePulls: 3")),
        (json!(true), json!(false))
    );
}

#[test]
fn the_image_service_may_be_elsewhere() {
    let kubelet = |text: &str| file(text, &[]).unwrap().kubelet.clone();
    let default = kubelet("runtimeRequestTimeout: 0s");
    assert_eq!(
        (default.image_socket, default.runtime_timeout),
        (None, Duration::from_secs(120))
    );
    let other = kubelet("imageServiceEndpoint: unix:///run/images.sock\nruntimeRequestTimeout: 5m");
    assert_eq!(other.image_socket.as_deref(), Some(Path::new("/run/images.sock")));
    assert_eq!(other.runtime_timeout, Duration::from_secs(300));
    assert!(file("imageServiceEndpoint: tcp://a:1", &[]).is_err());
}

#[test]
fn features_that_need_others_are_refused_without_them() {
    let problem = |text: &str, args: &[&str]| file(text, args).unwrap_err().to_string();
    let error = problem("featureGates: {NodeDeclaredFeatures: false}", &[]);
    assert!(error.starts_with("featureGates: ["), "{error}");
    let locked = problem("featureGates: {SidecarContainers: false}", &[]);
    assert!(locked.ends_with("feature is locked to true"), "{locked}");
    // A flag may put right what the file has wrong.
    let text = "featureGates: {GracefulNodeShutdown: false, GracefulNodeShutdownBasedOnPodPriority: true}";
    assert!(problem(text, &[]).contains("depends on features that are disabled: [GracefulNodeShutdown]"));
    assert!(file(text, &["--feature-gates=GracefulNodeShutdown=true"]).is_ok());
}

#[test]
fn klogs_verbosity_is_a_level_unless_one_is_given() {
    let level = |args: &[&str]| {
        with(&[], args)
            .unwrap()
            .telemetry
            .levels
            .default_level()
            .unwrap()
            .to_string()
    };
    assert_eq!(level(&["--v=2"]), "info");
    assert_eq!(level(&["-v", "4"]), "debug");
    assert_eq!(level(&["--v=8"]), "trace");
    assert_eq!(level(&["--v=8", "--log-level=warn"]), "warn");
}

proptest! {
    #[test]
    fn no_file_panics(text in "\\PC{0,200}", lines in "([a-zA-Z]{1,12}: ?[-\\[\\]{}0-9a-z\"'&*|>,:. ]{0,12}\n){0,8}", at in 0_usize..2000) {
        let cut: String = KUBEADM.chars().take(at).collect();
        for text in [text.clone(), format!("{HEAD}{lines}"), cut.clone() + &text, cut] {
            let _ = document::parse("f", &text);
        }
    }

    #[test]
    fn no_value_of_a_known_field_panics(n in 0..FIELDS.len(), text in "\\PC{0,30}", number in any::<i64>(), shape in 0..6) {
        let field = &FIELDS[n];
        let value = match shape {
            0 => json!(text),
            1 => json!(number),
            2 => json!([text, number]),
            3 => json!({&text: number}),
            4 => json!([{"key": text, "effect": text}]),
            _ => json!(true),
        };
        let mut document = document::Document::new();
        document::set(&mut document, field.path, value);
        let _ = with(&[("/k.yaml", &whole(document))], &["--config=/k.yaml"]);
        if !field.flag.is_empty() {
            let _ = with(&[], &[&format!("--{}={text}", field.flag)]);
        }
    }
}

#[test]
fn the_longest_restart_pause_has_bounds() {
    let with = |text: &str| {
        file(
            &format!("crashLoopBackOff: {{maxContainerRestartPeriod: {text}}}\n"),
            &[],
        )
    };
    assert_eq!(
        file("", &[]).unwrap().kubelet.longest_restart_pause,
        Duration::from_secs(300)
    );
    for (text, seconds) in [("1s", 1), ("1500ms", 2), ("1m0s", 60), ("300s", 300)] {
        assert_eq!(
            with(text).unwrap().kubelet.longest_restart_pause,
            Duration::from_secs(seconds)
        );
    }
    for text in ["0s", "999ms", "301s"] {
        let error = with(text).unwrap_err();
        let wanted =
            format!("crashLoopBackOff.maxContainerRestartPeriod: \"{text}\" is not between 1s and 300s");
        assert_eq!(error.to_string(), wanted);
    }
}
