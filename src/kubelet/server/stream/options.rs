//! PURE. What a streaming request asks for, which of its headers the runtime may see, and errors as upstream answers
//! them.

use super::websocket;
use crate::cri::{self, v1};
use crate::kubelet::server::answer::{Answer, full, text};
use crate::kubelet::server::request::{WEBSOCKET_TOKEN, is_upgrade, is_websocket};
use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_TYPE, HOST, HeaderName, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use std::net::SocketAddr;

/// SPDY's list of sub-protocols.
const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("x-stream-protocol-version");
/// What a runtime that accepts none of them offers.
const ACCEPTED_VERSIONS: HeaderName = HeaderName::from_static("x-accepted-stream-protocol-versions");
/// The protocol of exec and attach in which a client can end one of its channels.
pub(super) const V5: &str = "v5.channel.k8s.io";
/// A WebSocket sub-protocol that carries SPDY is named so, and what SPDY then carries.
const TUNNEL: &str = "SPDY/3.1+";
/// How all the names end.
const NAMES: &str = ".k8s.io";
const SPDY: &str = "SPDY/3.1";
/// Label with a container's name in the Pod.
const NAME_LABEL: &str = "io.kubernetes.container.name";

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("you must specify at least 1 of stdin, stdout, stderr")]
    NoStreams,
    #[error("{0}")]
    Port(String),
    #[error("pod does not exist")]
    NoPod,
    #[error("pod not found")]
    OtherPod,
    #[error("container not found (\"{0}\")")]
    NoContainer(String),
    #[error("container {container} not found in pod {pod}")]
    NothingToAttach { container: String, pod: String },
    #[error("pod not found (\"{0}\")")]
    NotRunning(String),
    #[error("Upgrade request required")]
    NoUpgrade,
    #[error("too many exec, attach and port-forward sessions are open on this node")]
    Busy,
    #[error("{}", .0.grpc_text())]
    Runtime(#[from] cri::Error),
    #[error("command '{command}' exited with {code}: {stderr}")]
    Exited {
        command: String,
        code: i32,
        stderr: String,
    },
    #[error("the runtime's streaming URL {0:?} is not http://<loopback address>:<port>/…")]
    Url(String),
    #[error("error dialing backend: {0}")]
    Dial(String),
    #[error("invalid upgrade response: status code {}", .0.as_u16())]
    NotUpgraded(StatusCode),
    #[error("unable to upgrade connection: {0}")]
    Refused(String),
    #[error("unable to upgrade: missing upgrade headers in response")]
    NotSpdy,
    #[error("{0}")]
    Handshake(#[from] websocket::Refusal),
}

impl Error {
    fn status(&self) -> StatusCode {
        match self {
            Self::Handshake(websocket::Refusal::Method) => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoStreams | Self::Port(_) | Self::Handshake(_) => StatusCode::BAD_REQUEST,
            Self::NoPod | Self::OtherPod => StatusCode::NOT_FOUND,
            Self::Busy => StatusCode::TOO_MANY_REQUESTS,
            Self::Runtime(e) if e.code == tonic::Code::NotFound => StatusCode::NOT_FOUND,
            Self::Runtime(e) if e.code == tonic::Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    pub(super) fn answer(&self) -> Answer {
        let code = self.status();
        let mut answer = text(code, self.to_string());
        if code == StatusCode::TOO_MANY_REQUESTS {
            answer
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from_static("60"));
        }
        if matches!(self, Self::Handshake(websocket::Refusal::Version)) {
            let version = HeaderValue::from_static("13");
            answer.headers_mut().insert(SEC_WEBSOCKET_VERSION, version);
        }
        answer
    }
}

/// Which of a command's streams are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) stdin: bool,
    pub(super) stdout: bool,
    pub(super) stderr: bool,
    pub(super) tty: bool,
}

/// `input`, `output`, `error` and `tty`; only `1` is yes. A terminal has no standard error of its own.
pub(super) fn wanted(uri: &Uri) -> Result<Wanted, Error> {
    let yes = |name: &str| values(uri, name).next().as_deref() == Some("1");
    let tty = yes("tty");
    let wanted = Wanted {
        stdin: yes("input"),
        stdout: yes("output"),
        stderr: yes("error") && !tty,
        tty,
    };
    if !wanted.stdin && !wanted.stdout && !wanted.stderr {
        return Err(Error::NoStreams);
    }
    Ok(wanted)
}

/// The command of an exec, `command` as often as it has words.
pub(super) fn command(uri: &Uri) -> Vec<String> {
    values(uri, "command").collect()
}

/// The command of a run, `cmd` with blanks between the words.
pub(super) fn run_command(uri: &Uri) -> Vec<String> {
    let text = values(uri, "cmd").next().unwrap_or_default();
    text.split(' ').map(str::to_owned).collect()
}

/// The ports of a WebSocket port-forward; SPDY names them stream by stream.
pub(super) fn ports<B>(request: &Request<B>) -> Result<Vec<i32>, Error> {
    if !is_websocket(request.headers()) {
        return Ok(Vec::new());
    }
    let mut ports = Vec::new();
    for value in values(request.uri(), "port") {
        if value.is_empty() {
            return Err(Error::Port("query parameter \"port\" cannot be empty".into()));
        }
        for part in value.split(',') {
            let port: u16 = part
                .parse()
                .map_err(|e| Error::Port(format!("unable to parse {value:?} as a port: {e}")))?;
            if port == 0 {
                return Err(Error::Port(format!("port {value:?} must be > 0")));
            }
            ports.push(port.into());
        }
    }
    if ports.is_empty() {
        return Err(Error::Port("query parameter \"port\" is required".into()));
    }
    Ok(ports)
}

/// The values of a parameter. One with a bare `;` is not taken, as in Go: it once parted parameters.
fn values(uri: &Uri, name: &str) -> impl Iterator<Item = String> {
    let parts = uri.query().unwrap_or_default().split('&');
    parts
        .filter(|part| !part.contains(';'))
        .flat_map(|part| form_urlencoded::parse(part.as_bytes()))
        .filter(move |(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

/// The running instance of a container among those of its Pod.
pub(super) fn running<'a>(listed: &'a [v1::Container], name: &str) -> Option<&'a v1::Container> {
    let is_it = |c: &&v1::Container| {
        c.state == v1::ContainerState::ContainerRunning as i32
            && c.labels.get(NAME_LABEL).is_some_and(|label| label == name)
    };
    listed.iter().filter(is_it).max_by_key(|c| c.created_at)
}

/// The sandbox that is ready among those of a Pod.
pub(super) fn ready(listed: &[v1::PodSandbox]) -> Option<&v1::PodSandbox> {
    let ready = v1::PodSandboxState::SandboxReady as i32;
    listed
        .iter()
        .filter(|s| s.state == ready)
        .max_by_key(|s| s.created_at)
}

/// Whether a client of exec or attach is to be translated: it can do what the runtime's own WebSockets cannot.
pub(super) fn is_v5(headers: &HeaderMap) -> bool {
    is_websocket(headers) && websocket::offered(headers).any(|name| name == V5)
}

/// Whether a client's port-forward comes by tunnel.
pub(super) fn is_tunnel(headers: &HeaderMap) -> bool {
    is_websocket(headers) && tunnelled(headers).next().is_some()
}

/// What a client wants to carry by tunnel.
pub(super) fn tunnelled(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    websocket::offered(headers)
        .filter(|name| name.ends_with(NAMES))
        .filter_map(|name| name.strip_prefix(TUNNEL))
}

/// The sub-protocol of a tunnel: what the runtime has chosen of what the client offers.
pub(super) fn tunnel(runtime: &HeaderMap, client: &HeaderMap) -> Result<Option<String>, Error> {
    let text = |name: HeaderName| {
        runtime
            .get(name)
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default()
    };
    if !is_upgrade(runtime) || !text(UPGRADE).eq_ignore_ascii_case(SPDY) {
        return Err(Error::NotSpdy);
    }
    let chosen = format!("{TUNNEL}{}", text(PROTOCOL_VERSION).trim());
    Ok(websocket::offered(client)
        .any(|name| name == chosen)
        .then_some(chosen))
}

/// The answer to a client whose WebSocket is ours to serve.
pub(super) fn switched(accept: HeaderValue, protocol: Option<&str>) -> Answer {
    let mut answer = Response::new(full(Bytes::new()));
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    if let Some(protocol) = protocol.and_then(|name| HeaderValue::from_str(name).ok()) {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    answer
}

/// Where the runtime streams: an address of this machine, in plain HTTP. Anything else would take the session, and
/// what is typed into it, elsewhere.
pub(super) fn runtime_address(url: &Uri) -> Result<SocketAddr, Error> {
    let address = match (url.scheme_str(), url.host(), url.port_u16()) {
        (Some("http"), Some(host), Some(port)) => {
            let host = host.trim_matches(['[', ']']);
            let host = if host == "localhost" { "127.0.0.1" } else { host };
            host.parse().ok().map(|ip| SocketAddr::new(ip, port))
        }
        _ => None,
    };
    address
        .filter(|address| address.ip().is_loopback())
        .ok_or_else(|| Error::Url(url.to_string()))
}

/// The same request for the runtime: method, the protocol's own headers, and nothing that says who asks.
pub(super) fn forwarded<B: Default, C>(request: &Request<C>, url: &Uri) -> Request<B> {
    let mut forwarded = upgrade(url);
    if *request.method() == Method::GET {
        *forwarded.method_mut() = Method::GET;
    }
    let headers = forwarded.headers_mut();
    let passed = [
        UPGRADE,
        PROTOCOL_VERSION,
        SEC_WEBSOCKET_KEY,
        SEC_WEBSOCKET_VERSION,
        SEC_WEBSOCKET_EXTENSIONS,
    ];
    pass(request.headers(), headers, &passed);
    for value in request.headers().get_all(SEC_WEBSOCKET_PROTOCOL) {
        if let Some(value) = without_token(value) {
            headers.append(SEC_WEBSOCKET_PROTOCOL, value);
        }
    }
    forwarded
}

/// A request of our own for the runtime: SPDY, carrying one of these.
pub(super) fn spdy<'a, B: Default>(url: &Uri, versions: impl IntoIterator<Item = &'a str>) -> Request<B> {
    let mut request = upgrade(url);
    let headers = request.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static(SPDY));
    for version in versions.into_iter().filter_map(|v| HeaderValue::from_str(v).ok()) {
        headers.append(PROTOCOL_VERSION, version);
    }
    request
}

fn upgrade<B: Default>(url: &Uri) -> Request<B> {
    let mut request = Request::new(B::default());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = url
        .path_and_query()
        .map_or_else(|| Uri::from_static("/"), |path| path.clone().into());
    let headers = request.headers_mut();
    if let Some(host) = url
        .authority()
        .and_then(|a| HeaderValue::from_str(a.as_str()).ok())
    {
        headers.insert(HOST, host);
    }
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    request
}

/// A list of WebSocket sub-protocols without the one that is a token.
fn without_token(value: &HeaderValue) -> Option<HeaderValue> {
    let names = value.to_str().ok()?.split(',').map(str::trim);
    let left: Vec<&str> = names.filter(|name| !name.starts_with(WEBSOCKET_TOKEN)).collect();
    HeaderValue::from_str(&left.join(", "))
        .ok()
        .filter(|value| !value.is_empty())
}

/// The headers of an answer that agrees to another protocol.
pub(super) fn agreed(from: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    let passed = [
        UPGRADE,
        PROTOCOL_VERSION,
        SEC_WEBSOCKET_ACCEPT,
        SEC_WEBSOCKET_PROTOCOL,
        SEC_WEBSOCKET_EXTENSIONS,
    ];
    pass(from, &mut headers, &passed);
    headers
}

/// The headers of an answer that does not.
pub(super) fn refused(from: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    pass(from, &mut headers, &[CONTENT_TYPE, ACCEPTED_VERSIONS]);
    headers
}

fn pass(from: &HeaderMap, to: &mut HeaderMap, names: &[HeaderName]) {
    for name in names {
        for value in from.get_all(name) {
            to.append(name, value.clone());
        }
    }
}

#[cfg(test)]
mod tests;
