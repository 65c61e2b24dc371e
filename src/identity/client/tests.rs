//! Credentials that are refused, by a real TLS server: in HTTP (401), as an API server does it, and by a TLS alert, as
//! what is before it may do it. The agent goes on trying, and comes through as soon as there are better ones.

use super::*;
use crate::identity::disk::Machine;
use crate::task::Drain;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType, IsCa,
    Issuer,
};
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::path::Path;
use std::sync::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

const STRANGER: &str = "somebody else's CA";
/// For what comes sooner or later.
const LIMIT: Duration = Duration::from_secs(120);

/// Who refuses a stranger's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refuses {
    Http,
    Tls,
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Self {
            issuer: Issuer::new(params, key),
            certificate,
        }
    }

    fn issue(&self, name: &str, hosts: &[String]) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// The certificate a request asks for, as its object has it.
    fn sign(&self, request: &Value) -> String {
        let pem = STANDARD
            .decode(request["spec"]["request"].as_str().unwrap())
            .unwrap();
        let pem = std::str::from_utf8(&pem).unwrap();
        let mut params = CertificateSigningRequestParams::from_pem(pem).unwrap();
        params.params.not_before = time::OffsetDateTime::now_utc() - time::Duration::hours(1);
        params.params.not_after = time::OffsetDateTime::now_utc() + time::Duration::days(1);
        STANDARD.encode(params.signed_by(&self.issuer).unwrap().pem())
    }
}

/// An API server that approves what is asked for with a token.
struct Server {
    ours: Authority,
    stranger: Authority,
    /// How often it has refused.
    refusals: watch::Sender<usize>,
    request: Mutex<Value>,
}

impl Server {
    async fn start(refuses: Refuses, version: &'static rustls::SupportedProtocolVersion) -> (Arc<Self>, u16) {
        let server = Arc::new(Self {
            ours: Authority::new("our CA"),
            stranger: Authority::new(STRANGER),
            refusals: watch::Sender::default(),
            request: Mutex::default(),
        });
        let mut roots = RootCertStore::empty();
        roots.add(server.ours.certificate.der().clone()).unwrap();
        if refuses == Refuses::Http {
            roots.add(server.stranger.certificate.der().clone()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .allow_unauthenticated()
            .build()
            .unwrap();
        let (certificate, key) = server.ours.issue("kube-apiserver", &["localhost".to_owned()]);
        let mut tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![certificate.der().clone()], key.into())
            .unwrap();
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind("localhost:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = server.clone();
        tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                tokio::spawn(shared.clone().connection(acceptor.clone(), tcp));
            }
        });
        (server, port)
    }

    async fn connection(self: Arc<Self>, acceptor: TlsAcceptor, tcp: TcpStream) {
        let stream = match acceptor.accept(tcp).into_fallible().await {
            Ok(stream) => stream,
            Err((_, mut tcp)) => {
                self.refusals.send_modify(|count| *count += 1);
                // Closed in order: a reset could overtake the alert.
                let _ = tcp.shutdown().await;
                let _ = tcp.read_to_end(&mut Vec::new()).await;
                return;
            }
        };
        let shown = stream
            .get_ref()
            .1
            .peer_certificates()
            .map(|chain| chain[0].to_vec());
        let stranger = shown.is_some_and(|der| {
            let (_, certificate) = x509_parser::parse_x509_certificate(&der).unwrap();
            certificate.issuer().to_string().contains(STRANGER)
        });
        let service = hyper::service::service_fn(|request: Request<Incoming>| {
            let server = self.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let (code, body) = server.answer(stranger, &parts, &body);
                let response = Response::builder().status(code);
                Ok::<_, Infallible>(response.body(Full::<Bytes>::from(body.to_string())).unwrap())
            }
        });
        // Ends when the client closes it.
        let _ = auto::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service)
            .await;
    }

    fn answer(&self, stranger: bool, parts: &http::request::Parts, body: &[u8]) -> (u16, Value) {
        if stranger {
            self.refusals.send_modify(|count| *count += 1);
            return (401, json!({"reason": "Unauthorized", "message": "Unauthorized"}));
        }
        if !parts.uri.path().contains("certificatesigningrequests") {
            return (
                404,
                json!({"reason": "NotFound", "message": "nodes \"w1\" not found"}),
            );
        }
        let mut kept = self.request.lock().unwrap();
        if parts.method == Method::POST {
            *kept = serde_json::from_slice(body).unwrap();
            kept["metadata"]["uid"] = json!("1");
            return (201, kept.clone());
        }
        let signed = self.ours.sign(&kept);
        kept["status"] = json!({"conditions": [{"type": "Approved"}], "certificate": signed});
        (200, kept.clone())
    }
}

/// A node's files.
struct Node {
    dir: tempfile::TempDir,
    port: u16,
}

impl Node {
    fn new(server: &Server, port: u16) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.crt"), server.ours.certificate.pem()).unwrap();
        Self { dir, port }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn kubeconfig(&self, file: &Path, user: &str) {
        let text = format!(
            "current-context: c\nclusters: [{{name: c, cluster: {{server: 'https://localhost:{}', \
             certificate-authority: {}}}}}]\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
             users: [{{name: u, user: {{{user}}}}}]\n",
            self.port,
            self.path("ca.crt").display()
        );
        std::fs::write(file, text).unwrap();
    }

    /// The kubeconfig, with a certificate of this authority.
    fn certificate_of(&self, authority: &Authority) {
        let (certificate, key) = authority.issue("system:node:w1", &[]);
        let pair = self.path("pair.pem");
        std::fs::write(&pair, certificate.pem() + &key.serialize_pem()).unwrap();
        let pair = pair.display();
        self.kubeconfig(
            &self.path("kubelet.conf"),
            &format!("client-certificate: {pair}, client-key: {pair}"),
        );
    }

    fn config(&self, bootstrap: bool) -> IdentityConfig {
        IdentityConfig {
            node: "w1".into(),
            bootstrap_kubeconfig: bootstrap.then(|| self.path("bootstrap-kubelet.conf")),
            kubeconfig: self.path("kubelet.conf"),
            cert_dir: self.path("pki"),
            rotate: true,
            server_csr: false,
            serving_files: None,
        }
    }
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.expect(what)
}

/// A node whose certificate is a stranger's, with a bootstrap kubeconfig or without.
async fn comes_through(
    refuses: Refuses,
    version: &'static rustls::SupportedProtocolVersion,
    bootstrap: bool,
) {
    let (server, port) = Server::start(refuses, version).await;
    let node = Node::new(&server, port);
    node.certificate_of(&server.stranger);
    if bootstrap {
        let token = "token: abcdef.0123456789abcdef";
        node.kubeconfig(&node.path("bootstrap-kubelet.conf"), token);
    }
    let before = std::fs::read(node.path("kubelet.conf")).unwrap();
    let (mut keeper, client) = ClientCertificate::new(
        Arc::new(node.config(bootstrap)),
        Arc::new(Machine),
        IdentityMetrics::default(),
    );
    keeper.refused_for = Duration::from_millis(300);
    let drain = Drain::new();
    let keeping = tokio::spawn(keeper.run(drain.signal()));
    let client = within("credentials", client).await.unwrap().unwrap();
    let signal = drain.signal();
    let reaching = tokio::spawn(async move { client.wait_until_reachable("w1", &signal).await });
    let mut refusals = server.refusals.subscribe();
    let enough = if bootstrap { 1 } else { 3 };
    within("refusals", refusals.wait_for(|count| *count >= enough))
        .await
        .unwrap();
    if !bootstrap {
        assert!(
            !reaching.is_finished() && !keeping.is_finished(),
            "it goes on trying"
        );
        assert_eq!(std::fs::read(node.path("kubelet.conf")).unwrap(), before);
        node.certificate_of(&server.ours);
    }
    let reached = within("the API server", reaching).await.unwrap();
    reached.expect("no drain").expect("the node is known");
    let kubeconfig = std::fs::read_to_string(node.path("kubelet.conf")).unwrap();
    let current = node.path("pki/kubelet-client-current.pem").display().to_string();
    assert_eq!(kubeconfig.contains(&current), bootstrap, "{kubeconfig}");
    drain.start();
    within("the end", keeping).await.unwrap();
}

#[tokio::test]
async fn a_certificate_refused_by_http() {
    tokio::join!(
        comes_through(Refuses::Http, &TLS13, true),
        comes_through(Refuses::Http, &TLS13, false)
    );
}

#[tokio::test]
async fn a_certificate_refused_by_an_alert_after_the_handshake() {
    tokio::join!(
        comes_through(Refuses::Tls, &TLS13, true),
        comes_through(Refuses::Tls, &TLS13, false)
    );
}

#[tokio::test]
async fn a_certificate_refused_by_an_alert_within_the_handshake() {
    tokio::join!(
        comes_through(Refuses::Tls, &TLS12, true),
        comes_through(Refuses::Tls, &TLS12, false)
    );
}
