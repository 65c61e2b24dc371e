//! The world ends after any step of a bootstrap; the next start completes it.

use super::super::disk::Machine;
use super::super::plan::{Bootstrap, Circumstances, Decision, Found, decide};
use super::*;
use crate::api::{self, kubeconfig};
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use rcgen::{BasicConstraints, CertificateParams, CertificateSigningRequestParams, IsCa, Issuer};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Steps that are left before the world ends.
#[derive(Debug)]
struct Fate(AtomicUsize);

impl Fate {
    fn step(&self) -> io::Result<()> {
        match self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
        {
            Ok(_) => Ok(()),
            Err(_) => Err(io::Error::other("the world has ended")),
        }
    }
}

/// The machine's disk, until the world ends.
#[derive(Debug)]
struct Mortal<'a>(&'a Fate);

impl Disk for Mortal<'_> {
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        Machine.read(path)
    }
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.0.step()?;
        Machine.write(path, bytes)
    }
    fn link(&self, target: &Path, path: &Path) -> io::Result<()> {
        self.0.step()?;
        Machine.link(target, path)
    }
    fn rename_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.step()?;
        Machine.rename_link(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.step()?;
        Machine.remove(path)
    }
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        self.0.step()?;
        Machine.make_dir(path)
    }
}

/// A cluster that keeps requests and signs those it approves.
struct Cluster {
    ca: String,
    issuer: Issuer<'static, KeyPair>,
    requests: Mutex<BTreeMap<String, Value>>,
    /// What becomes of requests: `Approved` or `Denied`.
    verdict: Mutex<&'static str>,
}

impl Cluster {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&key).unwrap().pem();
        Self {
            ca,
            issuer: Issuer::new(params, key),
            requests: Mutex::default(),
            verdict: Mutex::new("Approved"),
        }
    }

    fn sign(&self, request: &Value) -> String {
        let pem = STANDARD
            .decode(request["spec"]["request"].as_str().unwrap())
            .unwrap();
        let mut params =
            CertificateSigningRequestParams::from_pem(std::str::from_utf8(&pem).unwrap()).unwrap();
        params.params.not_before = time::OffsetDateTime::now_utc() - time::Duration::hours(1);
        params.params.not_after = time::OffsetDateTime::now_utc() + time::Duration::days(1);
        STANDARD.encode(params.signed_by(&self.issuer).unwrap().pem())
    }
}

/// Calls of a client that lives as long as its world: an answer may be lost after the server has done the work.
struct Calls<'a>(&'a Cluster, &'a Fate);

fn lost(error: &io::Error) -> api::Error {
    api::Error::Unreachable {
        verb: "POST",
        path: "/".to_owned(),
        cause: error.to_string(),
    }
}

#[async_trait]
impl SigningRequests for Calls<'_> {
    async fn create(&self, request: &Value) -> api::Result<Value> {
        self.1.step().map_err(|e| lost(&e))?;
        let name = request["metadata"]["name"].as_str().unwrap().to_owned();
        let mut request = request.clone();
        request["metadata"]["uid"] = json!(name);
        let stored = {
            let mut all = self.0.requests.lock().unwrap();
            if all.contains_key(&name) {
                return Err(api::Error::Status {
                    verb: "POST",
                    path: "/".to_owned(),
                    code: 409,
                    reason: "AlreadyExists".to_owned(),
                    message: String::new(),
                });
            }
            all.insert(name, request.clone());
            request
        };
        self.1.step().map_err(|e| lost(&e))?;
        Ok(stored)
    }

    async fn get(&self, name: &str) -> api::Result<Option<Value>> {
        self.1.step().map_err(|_| api::Error::Status {
            verb: "GET",
            path: "/".to_owned(),
            code: 401,
            reason: "the world has ended".to_owned(),
            message: String::new(),
        })?;
        let mut all = self.0.requests.lock().unwrap();
        let Some(request) = all.get_mut(name) else {
            return Ok(None);
        };
        let verdict = *self.0.verdict.lock().unwrap();
        request["status"] = json!({"conditions": [{"type": verdict, "reason": "R", "message": "m"}]});
        if verdict == "Approved" {
            request["status"]["certificate"] = json!(self.0.sign(request));
        }
        Ok(Some(request.clone()))
    }
}

struct Node {
    _dir: tempfile::TempDir,
    config: IdentityConfig,
}

impl Node {
    fn new(cluster: &Cluster) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (etc, ca) = (dir.path().join("etc"), dir.path().join("ca.crt"));
        std::fs::write(&ca, &cluster.ca).unwrap();
        let bootstrap = dir.path().join("bootstrap-kubelet.conf");
        let text = format!(
            "current-context: c\nclusters: [{{name: c, cluster: {{server: 'https://cp:6443', \
             certificate-authority: {}}}}}]\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
             users: [{{name: u, user: {{token: abcdef.0123456789abcdef}}}}]\n",
            ca.display()
        );
        std::fs::write(&bootstrap, text).unwrap();
        let config = IdentityConfig {
            node: "w1".into(),
            bootstrap_kubeconfig: Some(bootstrap),
            kubeconfig: etc.join("kubelet.conf"),
            cert_dir: dir.path().join("pki"),
            rotate: true,
            server_csr: false,
            serving_files: None,
        };
        Self { _dir: dir, config }
    }

    fn load(&self, file: &Path, pair: Option<&Path>) -> Result<ClientConfig, kubeconfig::Error> {
        kubeconfig::load_with(file, pair, "w1", Timestamp::now())
    }

    /// One life of the agent: what [`super::super::client`] does, until it has credentials or its world ends.
    async fn live(&self, cluster: &Cluster, fate: &Fate) -> Result<ClientConfig, Error> {
        let (disk, calls) = (Mortal(fate), Calls(cluster, fate));
        let bootstrap_file = self.config.bootstrap_kubeconfig.as_deref().unwrap();
        for _ in 0..3 {
            let store = store(&disk, &self.config);
            let has = store.current()?.is_some();
            let own = self.load(&self.config.kubeconfig, None);
            let for_bootstrap = if has {
                self.load(bootstrap_file, Some(&store.current_path())).ok()
            } else {
                None
            };
            let found = Found {
                own: own.as_ref().map(|config| config.identity.as_ref()),
                stored: None,
                stored_for_bootstrap: for_bootstrap.as_ref().and_then(|config| config.identity.as_ref()),
                bootstrap: Bootstrap::There,
            };
            let given = Circumstances {
                rotate: true,
                now: Timestamp::now(),
                jitter: 0.5,
                refused: false,
                holds: false,
            };
            let bootstrap_config = self.load(bootstrap_file, None)?;
            match decide(&found, &given) {
                Decision::Use { .. } => return Ok(own?),
                Decision::Adopt => write_kubeconfig(&disk, &self.config, &bootstrap_config)?,
                Decision::Bootstrap(_) => bootstrap(&disk, &calls, &self.config, &bootstrap_config).await?,
                other => panic!("{other:?}"),
            }
        }
        panic!("there are still no credentials");
    }
}

const FOREVER: usize = 1_000_000;

#[tokio::test(start_paused = true)]
async fn a_bootstrap_interrupted_at_any_step_is_completed_by_the_next_start() {
    let mut ends = 0;
    for steps in 0.. {
        let cluster = Cluster::new();
        let node = Node::new(&cluster);
        let first = node.live(&cluster, &Fate(AtomicUsize::new(steps))).await;
        ends += usize::from(first.is_err());
        let second = node
            .live(&cluster, &Fate(AtomicUsize::new(FOREVER)))
            .await
            .unwrap();
        let identity = second.identity.unwrap();
        assert_eq!(&*identity.common_name, "system:node:w1", "after {steps} steps");
        assert_eq!(
            cluster.requests.lock().unwrap().len(),
            1,
            "after {steps} steps: one request"
        );
        assert!(!pending_key(&node.config).exists(), "after {steps} steps");
        let left: Vec<_> = std::fs::read_dir(&node.config.cert_dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.contains("updated") || name.ends_with(".tmp"))
            .collect();
        assert_eq!(left, Vec::<String>::new(), "after {steps} steps");
        if first.is_ok() {
            // make directory, write key, create (before and after), get, make directory, write pair, link, rename,
            // remove key, make directory, write kubeconfig
            assert_eq!(ends, 12, "steps of a bootstrap");
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_denied_request_is_followed_by_another_one() {
    let cluster = Cluster::new();
    let node = Node::new(&cluster);
    *cluster.verdict.lock().unwrap() = "Denied";
    let error = node
        .live(&cluster, &Fate(AtomicUsize::new(FOREVER)))
        .await
        .unwrap_err();
    let name = cluster.requests.lock().unwrap().keys().next().unwrap().clone();
    assert_eq!(
        error.to_string(),
        format!("certificate signing request {name} is denied (R: m)")
    );
    assert!(name.starts_with("node-csr-"));
    *cluster.verdict.lock().unwrap() = "Approved";
    node.live(&cluster, &Fate(AtomicUsize::new(FOREVER)))
        .await
        .unwrap();
    assert_eq!(cluster.requests.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_request_is_followed_by_another_one() {
    let cluster = Cluster::new();
    let node = Node::new(&cluster);
    let fate = Fate(AtomicUsize::new(FOREVER));
    let watcher = async {
        loop {
            tokio::task::yield_now().await;
            let mut all = cluster.requests.lock().unwrap();
            if !all.is_empty() {
                return all.clear();
            }
        }
    };
    let (result, ()) = futures::join!(node.live(&cluster, &fate), watcher);
    assert!(matches!(result, Err(Error::Gone(_))), "{result:?}");
    node.live(&cluster, &fate).await.unwrap();
}
