use super::super::disk::Machine;
use super::*;
use crate::api;
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, CertificateSigningRequestParams, IsCa, Issuer};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;

fn config(dir: &Path) -> IdentityConfig {
    IdentityConfig {
        node: "w1".into(),
        bootstrap_kubeconfig: None,
        kubeconfig: dir.join("kubelet.conf"),
        cert_dir: dir.join("pki"),
        rotate: true,
        server_csr: false,
        serving_files: None,
    }
}

fn serving(config: &IdentityConfig) -> Serving {
    Serving::new(
        Arc::new(config.clone()),
        Arc::new(Machine),
        IdentityMetrics::default(),
    )
}

fn shown(serving: &Serving) -> Option<Vec<u8>> {
    serving.resolver.0.load().as_ref().map(|key| key.cert[0].to_vec())
}

/// A pair that began and ends so many days from now.
fn write_pair(dir: &Path, name: &str, subject: &str, days: (i64, i64)) {
    let now = Timestamp::now();
    let made = pair::self_signed("x", now).unwrap();
    let key = KeyPair::from_pem(&made.key).unwrap();
    let mut params = CertificateParams::new(["x".to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, subject);
    let at = |days| time::OffsetDateTime::now_utc() + time::Duration::days(days);
    (params.not_before, params.not_after) = (at(days.0), at(days.1));
    std::fs::create_dir_all(dir).unwrap();
    std::fs::write(
        dir.join(format!("{name}.crt")),
        params.self_signed(&key).unwrap().pem(),
    )
    .unwrap();
    std::fs::write(dir.join(format!("{name}.key")), made.key).unwrap();
}

#[tokio::test]
async fn a_self_signed_pair_is_made_once_and_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let first = serving(&config);
    let pair = first.shown.clone().unwrap();
    assert!(
        pair.is_self_made("w1") && !pair.is_self_made("w") && !pair.is_self_made("w2"),
        "{}",
        pair.subject
    );
    for file in ["kubelet.crt", "kubelet.key"] {
        let mode = std::fs::metadata(config.cert_dir.join(file))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, 0o600, "{file}");
    }
    assert_eq!(shown(&serving(&config)), shown(&first));
    // What a crash between key and certificate leaves.
    std::fs::remove_file(config.cert_dir.join("kubelet.crt")).unwrap();
    let made = serving(&config);
    assert!(shown(&made).is_some() && shown(&made) != shown(&first));
}

#[tokio::test]
async fn a_self_signed_pair_is_made_anew_at_its_end_and_nobody_elses() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    for (subject, days, same) in [
        ("w1@1700000000", (-10, 90), true),
        ("w1@1700000000", (-99, 1), false),
        ("w1@1700000000", (-99, -1), false),
        ("w1.corp", (-99, -1), true),
    ] {
        write_pair(&config.cert_dir, "kubelet", subject, days);
        let before = std::fs::read(config.cert_dir.join("kubelet.crt")).unwrap();
        let serving = serving(&config);
        assert!(shown(&serving).is_some());
        let after = std::fs::read(config.cert_dir.join("kubelet.crt")).unwrap();
        assert_eq!(before == after, same, "{subject} {days:?}");
    }
}

#[tokio::test]
async fn the_operators_files_are_read_again_and_bad_ones_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    let (certificate, key) = (dir.path().join("a.crt"), dir.path().join("a.key"));
    config.serving_files = Some((certificate.clone(), key.clone()));
    let mut serving = serving(&config);
    assert_eq!(shown(&serving), None);
    assert!(
        !config.cert_dir.exists(),
        "nothing is made beside the operator's files"
    );
    write_pair(dir.path(), "a", "first", (-1, 1));
    serving.look();
    let first = shown(&serving).unwrap();
    write_pair(dir.path(), "a", "second", (-1, 1));
    serving.look();
    let second = shown(&serving).unwrap();
    assert_ne!(first, second);
    let good = std::fs::read(&key).unwrap();
    write_pair(dir.path(), "b", "third", (-1, 1));
    let other_key = std::fs::read(dir.path().join("b.key")).unwrap();
    for (bad, words) in [
        (&b"nonsense"[..], "holds no PEM private key"),
        (&other_key, "does not belong to the certificate"),
    ] {
        std::fs::write(&key, bad).unwrap();
        let problem = pair::read(&Machine, &certificate, &key).unwrap_err();
        assert!(
            problem.starts_with(&format!("{}: {words}", key.display())),
            "{problem}"
        );
        serving.look();
        assert_eq!(shown(&serving), Some(second.clone()), "{words}");
    }
    std::fs::write(&key, good).unwrap();
    std::fs::remove_file(&certificate).unwrap();
    let problem = pair::read(&Machine, &certificate, &key).unwrap_err();
    assert_eq!(
        problem,
        format!("{}: there is no such file", certificate.display())
    );
}

/// A cluster that signs what is approved, and whose Node has addresses.
struct Cluster {
    issuer: Issuer<'static, KeyPair>,
    request: Mutex<Option<Value>>,
    approved: Mutex<bool>,
    addresses: Mutex<Value>,
    asked: Mutex<Vec<Value>>,
}

impl Cluster {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self {
            issuer: Issuer::new(params, KeyPair::generate().unwrap()),
            request: Mutex::default(),
            approved: Mutex::new(false),
            addresses: Mutex::new(json!([])),
            asked: Mutex::default(),
        }
    }

    fn set_address(&self, address: &str) {
        *self.addresses.lock().unwrap() = json!([{"type": "InternalIP", "address": address}]);
    }
}

#[async_trait]
impl SigningRequests for Cluster {
    async fn create(&self, request: &Value) -> api::Result<Value> {
        self.asked.lock().unwrap().push(request["spec"].clone());
        let number = self.asked.lock().unwrap().len();
        let mut request = request.clone();
        request["metadata"] = json!({"name": format!("csr-{number}"), "uid": number});
        *self.request.lock().unwrap() = Some(request.clone());
        Ok(request)
    }

    async fn get(&self, _: &str) -> api::Result<Option<Value>> {
        let mut request = self.request.lock().unwrap().clone().unwrap();
        if *self.approved.lock().unwrap() {
            let pem = STANDARD
                .decode(request["spec"]["request"].as_str().unwrap())
                .unwrap();
            let mut params =
                CertificateSigningRequestParams::from_pem(std::str::from_utf8(&pem).unwrap()).unwrap();
            params.params.not_before = time::OffsetDateTime::now_utc();
            params.params.not_after = time::OffsetDateTime::now_utc() + time::Duration::days(1);
            let signed = params.signed_by(&self.issuer).unwrap().pem();
            request["status"] =
                json!({"conditions": [{"type": "Approved"}], "certificate": STANDARD.encode(signed)});
        }
        Ok(Some(request))
    }
}

#[async_trait]
impl Nodes for Cluster {
    async fn get(&self, _: &str) -> api::Result<Option<Value>> {
        Ok(Some(
            json!({"status": {"addresses": *self.addresses.lock().unwrap()}}),
        ))
    }
    async fn create(&self, _: &Value) -> api::Result<Value> {
        unreachable!("nobody creates a Node here")
    }
    async fn patch(&self, _: &str, _: &Value) -> api::Result<Value> {
        unreachable!("nobody changes the Node here")
    }
    async fn patch_status(&self, _: &str, _: &Value) -> api::Result<Value> {
        unreachable!("nobody changes the Node here")
    }
    async fn renew_lease(&self, _: &str, _: i32, _: Timestamp) -> api::Result<()> {
        unreachable!("nobody renews a Lease here")
    }
}

/// Time passes (it is paused: as much as is needed) until this is so.
async fn until(what: &str, is: impl Fn() -> bool) {
    let wait = async {
        while !is() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(3600), wait)
        .await
        .expect(what);
}

#[tokio::test(start_paused = true)]
async fn the_cluster_signs_for_the_nodes_addresses_and_for_new_ones() {
    let dir = tempfile::tempdir().unwrap();
    let config = IdentityConfig {
        server_csr: true,
        ..config(dir.path())
    };
    let cluster = Arc::new(Cluster::new());
    let keeper = serving(&config);
    let resolver = keeper.resolver.clone();
    let current = move || resolver.0.load().as_ref().map(|key| key.cert[0].to_vec());
    let drain = crate::task::Drain::new();
    tokio::spawn(keeper.run(cluster.clone(), drain.signal()));
    let asked = || cluster.asked.lock().unwrap().len();

    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(
        (asked(), current()),
        (0, None),
        "there is nothing to ask for without addresses"
    );
    cluster.set_address("10.0.0.1");
    until("a request", || asked() == 1).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(
        (asked(), current()),
        (1, None),
        "one request waits for approval, nothing is served"
    );
    cluster.set_address("10.0.0.2");
    until("a request for the new address", || asked() == 2).await;
    *cluster.approved.lock().unwrap() = true;
    until("the certificate", || current().is_some()).await;
    let first = current();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!((asked(), current() == first), (2, true));
    cluster.set_address("10.0.0.3");
    until("another certificate", || current() != first).await;
    assert_eq!(asked(), 3);
    assert_eq!(
        cluster.asked.lock().unwrap()[2]["signerName"],
        "kubernetes.io/kubelet-serving"
    );

    // The next start serves it at once and asks for nothing.
    let restarted = serving(&config);
    assert_eq!(shown(&restarted), current());
    drain.start();
}
