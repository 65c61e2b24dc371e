//! New credentials under a running client, against a real HTTP/2 server with TLS.

use super::super::Client;
use super::*;
use crate::api::kubeconfig::{ClientConfig, load};
use futures::channel::mpsc::{UnboundedSender, unbounded};
use http_body_util::combinators::BoxBody;
use http_body_util::{Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use jiff::Timestamp;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

type Lines = UnboundedSender<io::Result<Frame<Bytes>>>;

/// What the server has seen: open connections by the common name of their client, and the way into each open watch.
#[derive(Clone)]
struct Seen {
    open: watch::Sender<BTreeMap<String, usize>>,
    watches: Arc<Mutex<Vec<(String, Lines)>>>,
}

struct Pki {
    issuer: Issuer<'static, KeyPair>,
    ca: rcgen::Certificate,
}

impl Pki {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        Self { issuer, ca }
    }

    fn issue(&self, name: &str, hosts: &[&str]) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// A kubeconfig for a client, as kubelet's bootstrap leaves it.
    fn config(&self, dir: &Path, port: u16, name: &str) -> ClientConfig {
        let (certificate, key) = self.issue(name, &[]);
        std::fs::write(dir.join("ca.crt"), self.ca.pem()).unwrap();
        std::fs::write(dir.join("pair.pem"), certificate.pem() + &key.serialize_pem()).unwrap();
        let text = format!(
            "current-context: c\nclusters: [{{name: c, cluster: {{server: 'https://localhost:{port}', \
             certificate-authority: ca.crt}}}}]\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
             users: [{{name: u, user: {{client-certificate: pair.pem, client-key: pair.pem}}}}]\n"
        );
        std::fs::write(dir.join("kubeconfig"), text).unwrap();
        load(&dir.join("kubeconfig"), "w1", Timestamp::now()).unwrap()
    }
}

async fn serve(pki: &Pki) -> (u16, Seen) {
    let mut roots = RootCertStore::empty();
    roots.add(pki.ca.der().clone()).unwrap();
    let (certificate, key) = pki.issue("kube-apiserver", &["localhost"]);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(vec![certificate.der().clone()], key.into())
        .unwrap();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("localhost:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Seen {
        open: watch::Sender::default(),
        watches: Arc::default(),
    };
    let shared = seen.clone();
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            tokio::spawn(connection(acceptor.clone(), tcp, shared.clone()));
        }
    });
    (port, seen)
}

async fn connection(acceptor: TlsAcceptor, tcp: tokio::net::TcpStream, seen: Seen) {
    let stream = acceptor.accept(tcp).await.unwrap();
    let pem =
        rustls::pki_types::CertificateDer::from(stream.get_ref().1.peer_certificates().unwrap()[0].to_vec());
    let (_, certificate) = x509_parser::parse_x509_certificate(&pem).unwrap();
    let name = certificate
        .subject()
        .iter_common_name()
        .next()
        .unwrap()
        .as_str()
        .unwrap()
        .to_owned();
    seen.open
        .send_modify(|open| *open.entry(name.clone()).or_default() += 1);
    let service = hyper::service::service_fn(|request: http::Request<Incoming>| {
        let (name, watches) = (name.clone(), seen.watches.clone());
        async move {
            let body: BoxBody<Bytes, io::Error> = if request.uri().path() == "/watch" {
                let (lines, body) = unbounded();
                watches.lock().unwrap().push((name, lines));
                BodyExt::boxed(StreamBody::new(body))
            } else {
                Full::from(Value::from(name).to_string())
                    .map_err(|never| match never {})
                    .boxed()
            };
            Ok::<_, io::Error>(http::Response::new(body))
        }
    });
    // Ends when the client closes it.
    let _ = auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
    seen.open.send_modify(|open| *open.get_mut(&name).unwrap() -= 1);
}

/// A watch opened with the old certificate lives on after the swap; what begins after it uses the new one; the old
/// connections close: that of requests at once, that of watches when its watch has ended.
#[tokio::test]
async fn a_running_watch_survives_new_credentials() {
    let pki = Pki::new();
    let dir = tempfile::tempdir().unwrap();
    let (port, seen) = serve(&pki).await;
    let client = Client::new(&pki.config(dir.path(), port, "old")).unwrap();
    let clone = client.clone();
    let idle = Duration::from_secs(60);
    let mut running = Box::pin(client.watch_lines("/watch", idle).await.unwrap());
    assert_eq!(client.call::<String>(Call::get("/who")).await.unwrap(), "old");

    clone.replace(&pki.config(dir.path(), port, "new")).unwrap();

    assert_eq!(client.call::<String>(Call::get("/who")).await.unwrap(), "new");
    let _begun = client.watch_lines("/watch", idle).await.unwrap();
    let mut open = seen.open.subscribe();
    // Only the old watch keeps an old connection.
    open.wait_for(|open| open["old"] == 1 && open["new"] == 2)
        .await
        .unwrap();
    let names: Vec<String> = seen
        .watches
        .lock()
        .unwrap()
        .iter()
        .map(|(name, _)| name.clone())
        .collect();
    assert_eq!(names, ["old", "new"]);
    let lines = seen.watches.lock().unwrap()[0].1.clone();
    for line in ["one", "two"] {
        lines
            .unbounded_send(Ok(Frame::data(Bytes::from(format!("{line}\n")))))
            .unwrap();
        assert_eq!(running.next().await.unwrap().unwrap(), line);
    }

    seen.watches.lock().unwrap().remove(0);
    drop(lines);
    assert!(running.next().await.is_none());
    open.wait_for(|open| open["old"] == 0 && open["new"] == 2)
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_told_once_for_those_who_wait_for_it() {
    let (client, mut server) = scripted();
    let other = client.clone();
    let call = tokio::spawn(async move { other.call::<Value>(Call::get("/x")).await });
    server
        .answer(401, r#"{"reason":"Unauthorized","message":"Unauthorized"}"#)
        .await;
    assert_eq!(call.await.unwrap().unwrap_err().code(), Some(401));
    client.refused().await;
    let again = tokio::time::timeout(Duration::from_secs(60), client.refused()).await;
    assert!(again.is_err(), "one refusal was told twice");
}
