use super::*;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

struct Pki {
    ca: String,
    key: String,
    other_key: String,
    issuer: Issuer<'static, KeyPair>,
}

fn pki() -> Pki {
    let ca_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "kubernetes");
    let ca = params.self_signed(&ca_key).unwrap().pem();
    let key = |_| KeyPair::generate().unwrap().serialize_pem();
    Pki {
        ca,
        key: key(0),
        other_key: key(1),
        issuer: Issuer::new(params, ca_key),
    }
}

impl Pki {
    fn certificate(&self, cn: &str, o: &str, years: (i32, i32)) -> String {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, cn);
        params.distinguished_name.push(DnType::OrganizationName, o);
        params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
        let key = KeyPair::from_pem(&self.key).unwrap();
        params.signed_by(&key, &self.issuer).unwrap().pem()
    }
    fn node(&self) -> String {
        self.certificate("system:node:worker-1", "system:nodes", (2020, 2030))
    }
}

fn b64(text: &str) -> String {
    credentials::to_base64(text.as_bytes().to_vec())
        .as_str()
        .unwrap()
        .to_owned()
}

/// A kubeconfig with these lines in its cluster and its user.
fn config(cluster: &str, user: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: here\n\
         contexts:\n- name: here\n  context: {{cluster: main, user: worker-1}}\n\
         clusters:\n- name: main\n  cluster: {{{cluster}}}\n\
         users:\n- name: worker-1\n  user: {{{user}}}\n"
    )
}

const SERVER: &str = "server: 'https://10.0.0.1:6443'";

fn parse_with(text: &str, files: &[(&str, &str)]) -> Result<ClientConfig, Error> {
    let read = |path: &Path| {
        let found = files.iter().find(|(name, _)| Path::new(name) == path);
        found
            .map(|(_, text)| text.as_bytes().to_vec())
            .ok_or(io::Error::from(io::ErrorKind::NotFound))
    };
    let now = "2026-11-21T00:00:00Z".parse().unwrap();
    let context = Context {
        file: Path::new("/etc/kubernetes/kubelet.conf"),
        node: "worker-1",
        now,
        certificate: None,
        read: &read,
    };
    parse(text.as_bytes(), &context)
}

fn message(text: &str, files: &[(&str, &str)]) -> String {
    let error = parse_with(text, files).unwrap_err().to_string();
    error
        .strip_prefix("/etc/kubernetes/kubelet.conf: ")
        .expect("names the file")
        .to_owned()
}

#[test]
fn embedded_data_and_files_mean_the_same() {
    let pki = pki();
    let embedded = config(
        &format!("{SERVER}, certificate-authority-data: {}", b64(&pki.ca)),
        &format!(
            "client-certificate-data: {}, client-key-data: {}",
            b64(&pki.node()),
            b64(&pki.key)
        ),
    );
    let both = format!("{}{}", pki.key, pki.node());
    let files = config(
        &format!("{SERVER}, certificate-authority: ca.crt"),
        "client-certificate: /pki/current.pem, client-key: /pki/current.pem",
    );
    for (text, files) in [
        (embedded, &[][..]),
        (
            files,
            &[("/etc/kubernetes/ca.crt", &*pki.ca), ("/pki/current.pem", &*both)],
        ),
    ] {
        let config = parse_with(&text, files).unwrap();
        assert_eq!(config.server, "https://10.0.0.1:6443/");
        let identity = config.identity.as_ref().unwrap();
        assert_eq!(&*identity.common_name, "system:node:worker-1");
        assert_eq!(identity.not_after, "2030-01-01T00:00:00Z".parse().unwrap());
        assert_eq!(config.warnings, Vec::<String>::new());
        assert_eq!(config.kube.root_cert.as_ref().map(Vec::len), Some(1));
        kube::client::ConfigExt::rustls_client_config(&config.kube).unwrap();
        assert!(!format!("{config:?}").contains("client-key"));
    }
}

#[test]
fn tokens_are_credentials_too() {
    let cluster = format!("{SERVER}, insecure-skip-tls-verify: true");
    let given = parse_with(&config(&cluster, "token: abc"), &[]).unwrap();
    assert!(given.kube.auth_info.token.is_some() && given.kube.accept_invalid_certs);
    assert!(
        given.warnings[0].starts_with("clusters[main].cluster.insecure-skip-tls-verify: "),
        "{:?}",
        given.warnings
    );
    let file = parse_with(
        &config(&cluster, "tokenFile: ../token"),
        &[("/etc/kubernetes/../token", "abc\n")],
    )
    .unwrap();
    assert_eq!(
        file.kube.auth_info.token_file.as_deref(),
        Some("/etc/kubernetes/../token")
    );
}

#[test]
fn a_malformed_file_names_the_line() {
    let good = config(SERVER, "token: abc");
    let table = [
        ("", "is empty; write a kubeconfig there", ""),
        ("just words", "is not a kubeconfig: ", "line 1"),
        (
            "apiVersion: v1\nclusters:\n- name: [\n",
            "is not a kubeconfig: ",
            "line 3",
        ),
        (
            "apiVersion: v1\n\tkind: Config\n",
            "is not a kubeconfig: ",
            "found a tab at line 1",
        ),
        ("clusters: 7\n", "is not a kubeconfig: ", "line 1"),
        (
            &good.replace("name: here", "nam: here"),
            "is not a kubeconfig: ",
            "`name`",
        ),
    ];
    for (text, begin, part) in table {
        let message = message(text, &[]);
        assert!(
            message.starts_with(begin) && message.contains(part),
            "{text:?}: {message}"
        );
        assert!(!message.contains('\n'), "{message}");
    }
    let invalid = Context {
        file: Path::new("k"),
        node: "n",
        now: Timestamp::UNIX_EPOCH,
        certificate: None,
        read: &|_| Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    let error = parse(b"abc\xff", &invalid).unwrap_err().to_string();
    assert!(
        error.starts_with("k: is not text: invalid UTF-8 at byte 3; "),
        "{error}"
    );
}

/// However the file is cut off, the answer is a message and never a panic or a config that half works.
#[test]
fn a_half_written_file_is_refused_at_every_length() {
    let pki = pki();
    let whole = config(
        &format!("{SERVER}, certificate-authority-data: {}", b64(&pki.ca)),
        &format!(
            "client-certificate-data: {}, client-key-data: {}",
            b64(&pki.node()),
            b64(&pki.key)
        ),
    );
    let whole = whole.trim_end();
    parse_with(whole, &[]).unwrap();
    for length in (0..whole.len()).step_by(7) {
        let error = parse_with(&whole[..length], &[]).unwrap_err();
        assert!(!error.remedy.is_empty(), "{error}");
    }
}

#[test]
fn a_wrong_reference_says_what_the_file_has() {
    let good = config(SERVER, "token: abc");
    let table = [
        (
            good.replace("current-context: here\n", ""),
            "current-context: is not set; set it to one of the file's contexts: here",
        ),
        (
            good.replace("current-context: here", "current-context: there"),
            "current-context: there is no context \"there\" in this file; it has: here",
        ),
        (
            good.replace("cluster: main,", "cluster: other,"),
            "contexts[here].context.cluster: there is no cluster \"other\" in this file; it has: main",
        ),
        (
            good.replace("user: worker-1}", "user: nobody}"),
            "contexts[here].context.user: there is no user \"nobody\" in this file; it has: worker-1",
        ),
        (
            "current-context: x".to_owned(),
            "current-context: there is no context \"x\" in this file; it has: none",
        ),
    ];
    for (text, expected) in table {
        assert_eq!(message(&text, &[]), expected);
    }
}

#[test]
fn a_wrong_field_names_itself_and_the_remedy() {
    let pki = pki();
    let (cert, key) = (pki.node(), pki.key.clone());
    let with = |cert: &str, key: &str| {
        config(
            SERVER,
            &format!(
                "client-certificate-data: {}, client-key-data: {}",
                b64(cert),
                b64(key)
            ),
        )
    };
    let broken = "-----BEGIN CERTIFICATE-----\nMIIB\n";
    let table: &[(String, &str)] = &[
        (
            config("server: 'worker'", "token: x"),
            "clusters[main].cluster.server: \"worker\" is not a URL with scheme and host; write it as https://HOST:6443",
        ),
        (
            config("server: 'https://a b'", "token: x"),
            "clusters[main].cluster.server: \"https://a b\" is not a URL (",
        ),
        (
            config("server: ''", "token: x"),
            "clusters[main].cluster.server: is not set; ",
        ),
        (
            config(&format!("{SERVER}, proxy-url: 'http://p'"), "token: x"),
            "clusters[main].cluster.proxy-url: proxies are not supported; ",
        ),
        (
            config(&format!("{SERVER}, certificate-authority-data: '%%'"), "token: x"),
            "clusters[main].cluster.certificate-authority-data: is not base64; ",
        ),
        (
            config(
                &format!("{SERVER}, certificate-authority-data: {}", b64("hello")),
                "token: x",
            ),
            "clusters[main].cluster.certificate-authority-data: holds no PEM certificate; put the cluster's CA",
        ),
        (
            config(
                &format!("{SERVER}, certificate-authority-data: {}", b64(broken)),
                "token: x",
            ),
            "clusters[main].cluster.certificate-authority-data: is not PEM (",
        ),
        (
            config(&format!("{SERVER}, certificate-authority: ca.crt"), "token: x"),
            "clusters[main].cluster.certificate-authority: /etc/kubernetes/ca.crt: ",
        ),
        (
            config(SERVER, ""),
            "users[worker-1].user: has no credentials; give it client-certificate",
        ),
        (
            config(SERVER, "exec: {command: aws, apiVersion: v1}"),
            "users[worker-1].user.exec: credential plugins are not supported; use client-certificate",
        ),
        (
            config(SERVER, "tokenFile: /none"),
            "users[worker-1].user.tokenFile: /none: ",
        ),
        (
            config(SERVER, "tokenFile: /empty"),
            "users[worker-1].user.tokenFile (/empty): is empty; ",
        ),
        (
            config(SERVER, &format!("client-certificate-data: {}", b64(&cert))),
            "users[worker-1].user.client-key: is not set; ",
        ),
        (
            config(SERVER, &format!("client-key-data: {}", b64(&key))),
            "users[worker-1].user.client-certificate: is not set; ",
        ),
        (
            with("nonsense", &key),
            "users[worker-1].user.client-certificate-data: holds no PEM certificate; ",
        ),
        (
            with(&cert, &cert),
            "users[worker-1].user.client-key-data: holds no PEM private key; ",
        ),
        (
            with(&cert, &pki.other_key),
            "users[worker-1].user.client-key-data: does not belong to the certificate; put the key there",
        ),
        (
            with(
                &pki.certificate("system:node:worker-1", "system:nodes", (2020, 2025)),
                &key,
            ),
            "users[worker-1].user.client-certificate-data: expired on 2025-01-01T00:00:00Z; renew it",
        ),
        (
            with(
                &pki.certificate("system:node:worker-1", "system:nodes", (2027, 2029)),
                &key,
            ),
            "users[worker-1].user.client-certificate-data: is not valid before 2027-01-01T00:00:00Z; correct the machine's clock",
        ),
    ];
    for (text, begin) in table {
        let message = message(text, &[("/empty", " \n")]);
        assert!(message.starts_with(begin), "{message}\n  expected {begin}");
    }
}

#[test]
fn a_certificate_for_someone_else_is_a_warning_with_the_remedy() {
    let pki = pki();
    let warning = |cn, o| {
        let certificate = pki.certificate(cn, o, (2020, 2030));
        let user = format!(
            "client-certificate-data: {}, client-key-data: {}",
            b64(&certificate),
            b64(&pki.key)
        );
        let cluster = format!("{SERVER}, certificate-authority-data: {}", b64(&pki.ca));
        parse_with(&config(&cluster, &user), &[])
            .unwrap()
            .warnings
            .join("\n")
    };
    let other = warning("system:node:worker-2", "system:nodes");
    assert!(
        other.starts_with("users[worker-1].user.client-certificate-data: is for \"system:node:worker-2\""),
        "{other}"
    );
    assert!(
        other.ends_with("give --node worker-2, or a certificate for system:node:worker-1"),
        "{other}"
    );
    assert!(warning("admin", "system:masters").contains("CN=system:node:worker-1, O=system:nodes"));
    assert!(warning("system:node:worker-1", "people").contains("is not in the group system:nodes"));
    assert_eq!(warning("system:node:worker-1", "system:nodes"), "");
}

#[test]
fn a_missing_file_says_where_one_comes_from() {
    let error = load(
        Path::new("/nonexistent/k.conf"),
        "worker-1",
        Timestamp::UNIX_EPOCH,
    )
    .unwrap_err()
    .to_string();
    assert!(
        error.starts_with("/nonexistent/k.conf: there is no such file; give --kubeconfig FILE"),
        "{error}"
    );
}

#[test]
fn the_kubeconfig_after_a_bootstrap_reaches_the_same_cluster_with_the_nodes_pair() {
    let pki = pki();
    let pair = format!("{}{}", pki.node(), pki.key);
    let path = Path::new("/var/lib/kubelet/pki/kubelet-client-current.pem");
    let bootstraps = [
        (
            format!("{SERVER}, certificate-authority-data: {}", b64(&pki.ca)),
            "certificate-authority-data: ",
        ),
        (
            format!("{SERVER}, certificate-authority: /ca.crt, tls-server-name: kube"),
            "certificate-authority: /ca.crt\n",
        ),
        (
            format!("{SERVER}, insecure-skip-tls-verify: true"),
            "insecure-skip-tls-verify: true\n",
        ),
    ];
    for (cluster, field) in bootstraps {
        let files = [("/ca.crt", &*pki.ca), (path.to_str().unwrap(), &pair)];
        let bootstrap = parse_with(&config(&cluster, "token: abc.def"), &files).unwrap();
        let text = bootstrap.with_client_pair(path);
        assert!(text.contains(&format!("- cluster:\n    {field}")), "{text}");
        assert!(text.contains("\n    server: https://10.0.0.1:6443\n"), "{text}");
        let config = parse_with(&text, &files).unwrap();
        assert_eq!(config.server, bootstrap.server);
        assert_eq!(config.kube.root_cert, bootstrap.kube.root_cert);
        assert_eq!(
            config.kube.accept_invalid_certs,
            bootstrap.kube.accept_invalid_certs
        );
        assert_eq!(config.kube.tls_server_name, bootstrap.kube.tls_server_name);
        assert_eq!(&*config.identity.unwrap().common_name, "system:node:worker-1");
        assert!(config.kube.auth_info.token.is_none());
    }
}
