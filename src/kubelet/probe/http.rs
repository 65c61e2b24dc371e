//! HTTP GET of probes and lifecycle hooks: one connection a request, no keep-alive, no certificate verification,
//! redirects only on the same host. The words are those of kubelet's events.

use super::state::Outcome;
use crate::model::pod::HttpGet;
use http::header::{ACCEPT, AUTHORIZATION, CONNECTION, HOST, LOCATION, USER_AGENT};
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::io;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// Sent with every probe, unless the Pod names another.
pub(super) const AGENT: &str = "kube-probe/1.36";
/// Sent with every lifecycle hook, likewise.
const HOOK_AGENT: &str = "kube-lifecycle/1.36";
/// What a TLS client finds at a server that has none, in Go's words.
const NO_TLS: &str = "http: server gave HTTP response to HTTPS client";
const MAX_BODY: usize = 10 << 10;
const MAX_REDIRECTS: usize = 10;

/// One GET to `host:port`, where `host` is the Pod's address or what the probe names.
pub(crate) async fn get(action: &HttpGet, host: &str, port: u16, timeout: Duration) -> Outcome {
    let url = match url(action, host, port) {
        Ok(url) => url,
        Err(why) => return Outcome::Error(why),
    };
    let headers = match headers(action, AGENT) {
        Ok(headers) => headers,
        Err(why) => return Outcome::Error(why),
    };
    match tokio::time::timeout(timeout, follow(url.clone(), &headers)).await {
        Ok(Ok((200..300, _))) => Outcome::Success,
        Ok(Ok((300..400, body))) => {
            let body = String::from_utf8_lossy(&body);
            Outcome::Warning(format!("Probe terminated redirects, Response body: {body}"))
        }
        Ok(Ok((status, _))) => Outcome::Failure(format!("HTTP probe failed with statuscode: {status}")),
        Ok(Err(why)) => Outcome::Failure(format!("Get \"{url}\": {why}")),
        Err(_) => Outcome::Failure(format!(
            "Get \"{url}\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        )),
    }
}

/// How a lifecycle hook reached its server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Called {
    /// As it should.
    Plainly,
    /// Without TLS, which this server (`host:port`) does not have.
    WithoutTls(String),
}

/// One GET of a lifecycle hook. Any answer will do, whatever its status; there is no time limit.
pub(crate) async fn call(action: &HttpGet, host: &str, port: u16) -> Result<Called, String> {
    let headers = headers(action, HOOK_AGENT)?;
    let url = url(action, host, port)?;
    let failed = |url: &Uri, why: String| format!("Get \"{url}\": {why}");
    match follow(url.clone(), &headers).await {
        Ok(_) => Ok(Called::Plainly),
        Err(why) if why == NO_TLS => {
            let mut plain = headers;
            plain.remove(AUTHORIZATION);
            let server = url.authority().map_or_else(String::new, ToString::to_string);
            let mut parts = url.into_parts();
            parts.scheme = Some(Scheme::HTTP);
            let url = Uri::from_parts(parts).map_err(|e| e.to_string())?;
            match follow(url.clone(), &plain).await {
                Ok(_) => Ok(Called::WithoutTls(server)),
                Err(_) => Err(failed(&url, why)),
            }
        }
        Err(why) => Err(failed(&url, why)),
    }
}

/// Follows redirects while they stay on the host; status and body they end with.
async fn follow(first: Uri, headers: &HeaderMap) -> Result<(u16, Vec<u8>), String> {
    let mut url = first.clone();
    for _ in 0..MAX_REDIRECTS {
        let answer = request(&url, headers).await?;
        let status = answer.status();
        let target = redirect(&answer, &url);
        // Also read when nobody wants it, so that the server sees a client that listens.
        let body = beginning(answer.into_body()).await?;
        match target {
            Some(target) if target.host() == first.host() => url = target,
            _ => return Ok((status.as_u16(), body)),
        }
    }
    Err("stopped after 10 redirects".into())
}

/// As much of a body as anybody reads.
async fn beginning(mut body: Incoming) -> Result<Vec<u8>, String> {
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| e.to_string())?;
        read.extend(frame.into_data().into_iter().flatten());
        if read.len() >= MAX_BODY {
            read.truncate(MAX_BODY);
            break;
        }
    }
    Ok(read)
}

/// Where a redirect leads, resolved against the URL it came from.
fn redirect(answer: &Response<Incoming>, from: &Uri) -> Option<Uri> {
    if !matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = answer.headers().get(LOCATION)?.to_str().ok()?;
    resolve(location, from)
}

fn resolve(location: &str, from: &Uri) -> Option<Uri> {
    let target: Uri = location.parse().ok()?;
    let mut parts = from.clone().into_parts();
    if let Some(authority) = target.authority() {
        parts.authority = Some(authority.clone());
        parts.scheme = target.scheme().cloned().or(parts.scheme);
    }
    parts.path_and_query = match target.path_and_query() {
        Some(path) => Some(path.clone()),
        None => Some("/".parse().ok()?),
    };
    Uri::from_parts(parts).ok()
}

async fn request(url: &Uri, headers: &HeaderMap) -> Result<Response<Incoming>, String> {
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    let secure = url.scheme_str() == Some("https");
    let port = url.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let stream = super::dial(host, port).await?;
    if !secure {
        return exchange(stream, url, headers).await;
    }
    let name = ServerName::try_from(host.to_owned()).map_err(|e| e.to_string())?;
    let connector = tokio_rustls::TlsConnector::from(TLS.clone());
    let stream = connector.connect(name, stream).await.map_err(|e| tls_error(&e))?;
    exchange(stream, url, headers).await
}

fn tls_error(error: &io::Error) -> String {
    use rustls::{Error, InvalidMessage};
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(Error::InvalidMessage(InvalidMessage::InvalidContentType)) => NO_TLS.into(),
        _ => format!("tls: {error}"),
    }
}

async fn exchange<S>(stream: S, url: &Uri, headers: &HeaderMap) -> Result<Response<Incoming>, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| e.to_string())?;
    // Ends with the answer's body: the connection is not kept.
    tokio::spawn(async move { drop(connection.await) });
    let path = url.path_and_query().map_or("/", |p| p.as_str());
    let mut request = Request::get(path)
        .body(Empty::<Bytes>::new())
        .map_err(|e| e.to_string())?;
    *request.headers_mut() = headers.clone();
    request
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    if !headers.contains_key(HOST) {
        let authority = url.authority().map_or("", |a| a.as_str());
        request
            .headers_mut()
            .insert(HOST, HeaderValue::from_str(authority).map_err(|e| e.to_string())?);
    }
    sender.send_request(request).await.map_err(|e| {
        if e.is_incomplete_message() {
            "EOF".into()
        } else {
            e.to_string()
        }
    })
}

/// PURE. The probe's URL; bytes that may not stand in one are percent-encoded.
fn url(action: &HttpGet, host: &str, port: u16) -> Result<Uri, String> {
    let scheme = if action.scheme.eq_ignore_ascii_case("https") {
        "https"
    } else {
        "http"
    };
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    let mut path = String::from(if action.path.starts_with('/') { "" } else { "/" });
    let visible = action.path.split('#').next().unwrap_or_default();
    for byte in visible.bytes() {
        match byte {
            b'!' | b'#'..=b';' | b'=' | b'?'..=b'[' | b']' | b'_' | b'a'..=b'z' | b'~' => {
                path.push(char::from(byte))
            }
            other => path.push_str(&format!("%{other:02X}")),
        }
    }
    format!("{scheme}://{host}:{port}{path}")
        .parse()
        .map_err(|e: http::uri::InvalidUri| e.to_string())
}

/// PURE. The action's headers with kubelet's defaults; an empty `Accept` removes it.
fn headers(action: &HttpGet, agent: &'static str) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for header in &action.http_headers {
        let name: HeaderName = header
            .name
            .parse()
            .map_err(|_| format!("invalid header name {:?}", header.name))?;
        let value = HeaderValue::from_str(&header.value)
            .map_err(|_| format!("invalid value of header {:?}", header.name))?;
        headers.append(name, value);
    }
    headers
        .entry(USER_AGENT)
        .or_insert(HeaderValue::from_static(agent));
    let accept = headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
    if accept.is_empty() {
        headers.remove(ACCEPT);
    }
    Ok(headers)
}

/// Probes do not verify certificates: they ask whether something answers, not who.
static TLS: LazyLock<Arc<rustls::ClientConfig>> = LazyLock::new(|| {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("ring supports the default TLS versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AcceptAny(provider)))
        .with_no_client_auth();
    Arc::new(config)
});

#[derive(Debug)]
struct AcceptAny(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &rustls::pki_types::CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            cert,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &rustls::pki_types::CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            cert,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }
    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Go's words for a failed connect, which is what people search for.
pub(super) fn dial_error(address: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => format!("dial tcp {address}: connect: connection refused"),
        io::ErrorKind::HostUnreachable => format!("dial tcp {address}: connect: no route to host"),
        io::ErrorKind::NetworkUnreachable => format!("dial tcp {address}: connect: network is unreachable"),
        io::ErrorKind::TimedOut => format!("dial tcp {address}: connect: connection timed out"),
        _ => format!("dial tcp {address}: {error}"),
    }
}

#[cfg(test)]
mod tests;
