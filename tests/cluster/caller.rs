//! Callers of a node's API, with all kinds of credentials, who say what they like to it.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rustlet_lab::certs::{Pair, Subject};
use rustlet_lab::node::Node;
use rustlet_lab::ns::Scope;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned,
    SupportedProtocolVersion,
};

use crate::support::Lab;

/// For one answer.
const ANSWER: Duration = Duration::from_secs(20);

/// What a node answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    /// Status line and headers; every line ends with CR LF.
    pub(crate) head: String,
    pub(crate) body: String,
}

/// A body of chunks in one piece.
fn joined(mut chunks: &str) -> String {
    let mut body = String::new();
    while let Some((size, rest)) = chunks.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap_or(0);
        let (Some(chunk), Some(next)) = (rest.get(..size), rest.get(size + 2..)) else {
            break;
        };
        body.push_str(chunk);
        chunks = next;
    }
    body
}

/// A way to a node's API for one caller.
pub(crate) struct Caller<'a> {
    lab: &'a Lab,
    node: Ipv4Addr,
    tls: Arc<ClientConfig>,
    token: Option<String>,
}

impl<'a> Caller<'a> {
    /// To the first node.
    pub(crate) fn new(lab: &'a Lab, pair: Option<&Pair>) -> Result<Self> {
        Self::speaking(lab, pair, rustls::ALL_VERSIONS)
    }

    fn speaking(
        lab: &'a Lab,
        pair: Option<&Pair>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyServer));
        let tls = match pair {
            None => config.with_no_client_auth(),
            Some(pair) => {
                let chain = vec![CertificateDer::from_pem_slice(pair.certificate.as_bytes())?];
                config.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(pair.key.as_bytes())?)?
            }
        };
        Ok(Self {
            lab,
            node: lab.nodes()[0].address(),
            tls: Arc::new(tls),
            token: None,
        })
    }

    /// The same to another node.
    pub(crate) fn at(self, node: &Node) -> Self {
        Self {
            node: node.address(),
            ..self
        }
    }

    pub(crate) fn with_token(lab: &'a Lab, token: &str) -> Result<Self> {
        Ok(Self {
            token: Some(token.to_owned()),
            ..Self::new(lab, None)?
        })
    }

    /// With a certificate of the cluster's authority.
    pub(crate) fn known(lab: &'a Lab, name: &str, group: Option<&str>) -> Result<Self> {
        let pki = lab.cluster().control().pki();
        Self::new(lab, Some(&pki.authority.issue(&subject(name, group))?))
    }

    pub(crate) fn admin(lab: &'a Lab) -> Result<Self> {
        Self::known(lab, "node-security-admin", Some("system:masters"))
    }

    /// An administrator who speaks one version of TLS only.
    pub(crate) fn admin_speaking(lab: &'a Lab, version: &'static SupportedProtocolVersion) -> Result<Self> {
        let pki = lab.cluster().control().pki();
        let pair = pki
            .authority
            .issue(&subject("node-security-admin", Some("system:masters")))?;
        Self::speaking(lab, Some(&pair), &[version])
    }

    /// A connection to the node from a machine that is no node.
    pub(crate) fn tcp(&self) -> Result<TcpStream> {
        let address = SocketAddr::from((self.node, 10250));
        let stream = self.lab.outside().enter(Scope::NetOnly, || {
            TcpStream::connect_timeout(&address, ANSWER).context("connect to the node's API")
        })?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.set_write_timeout(Some(ANSWER))?;
        Ok(stream)
    }

    /// A TLS connection to the node.
    pub(crate) fn connect(&self) -> Result<StreamOwned<ClientConnection, TcpStream>> {
        let connection = ClientConnection::new(self.tls.clone(), ServerName::from(IpAddr::from(self.node)))?;
        Ok(StreamOwned::new(connection, self.tcp()?))
    }

    /// The code of the answer to a request with these headers and this body.
    pub(crate) fn ask(&self, method: &str, target: &str, more: &str) -> Result<u16> {
        Ok(self.fetch(method, target, more)?.code)
    }

    /// The answer to a request with these headers and this body.
    pub(crate) fn fetch(&self, method: &str, target: &str, more: &str) -> Result<Answer> {
        let token = self
            .token
            .as_ref()
            .map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"));
        let request =
            format!("{method} {target} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n{token}{more}\r\n");
        let mut stream = self.connect()?;
        // A server that has heard enough may close before it has read all; its answer counts.
        let written = stream.write_all(request.as_bytes()).and_then(|()| stream.flush());
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        let text = String::from_utf8_lossy(&answer);
        let code = text.split(' ').nth(1).and_then(|code| code.parse().ok());
        let code = code.with_context(|| {
            format!("{method} {target:.100}: no answer (written: {written:?}, read: {read:?})")
        })?;
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let chunked = head
            .to_ascii_lowercase()
            .contains("\r\ntransfer-encoding: chunked");
        Ok(Answer {
            code,
            head: format!("{head}\r\n"),
            body: if chunked { joined(body) } else { body.to_owned() },
        })
    }

    pub(crate) fn get(&self, target: &str) -> Result<u16> {
        self.ask("GET", target, "")
    }
}

pub(crate) fn subject<'s>(name: &'s str, group: Option<&'s str>) -> Subject<'s> {
    Subject {
        name,
        group,
        ..Subject::default()
    }
}

/// The node is authenticated by nobody here: the tests are about what the node lets in.
#[derive(Debug)]
struct AnyServer;

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
