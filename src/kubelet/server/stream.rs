//! exec, attach, port-forward and run: which container is meant, what the runtime is asked, and how its stream reaches
//! the client.
//!
//! A client of SPDY or of an older WebSocket protocol talks to the runtime's streaming server itself (`splice`). One
//! that speaks what that server does not, version 5 or SPDY by tunnel, is `translated`: `relay` moves the bytes, and
//! `translate` says, purely, what they become between `websocket` and `spdy`.

mod copy;
mod dial;
mod limit;
mod options;
mod relay;
mod spdy;
mod splice;
mod translate;
mod translated;
mod verdict;
mod websocket;

pub use limit::Streams;

use super::answer::{Answer, with_type};
use super::request::is_upgrade;
use super::route::{Endpoint, Found};
use super::{Caller, Shared};
use crate::cri::v1;
use crate::model::ContainerId;
use crate::model::pod::Pod;
use http::{Request, StatusCode, Uri};
use hyper::body::Incoming;
use limit::Place;
use options::Error;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

pub(super) async fn serve(shared: &Arc<Shared>, found: &Found, request: Request<Incoming>) -> Answer {
    let answer = match found.route.endpoint {
        Endpoint::Run => run(shared, found, request.uri()).await,
        _ => stream(shared, found, request).await,
    };
    answer.unwrap_or_else(|error| {
        tracing::debug!(path = found.route.pattern, pod = found.segment("pod"), %error, "no stream");
        error.answer()
    })
}

/// A session between the client and the runtime's streaming server.
async fn stream(shared: &Arc<Shared>, found: &Found, request: Request<Incoming>) -> Result<Answer, Error> {
    let wish = match found.route.endpoint {
        Endpoint::Exec => Wish::Exec(options::wanted(request.uri())?, options::command(request.uri())),
        Endpoint::Attach => Wish::Attach(options::wanted(request.uri())?),
        _ if shared.config.websockets && options::is_tunnel(request.headers()) => Wish::Tunnel,
        _ => Wish::PortForward(options::ports(&request)?),
    };
    let tunnel = matches!(wish, Wish::Tunnel);
    let pod = pod(shared, found)?;
    let session = match wish {
        Wish::Exec(wanted, command) => exec(shared, found, &pod, wanted, command).await?,
        Wish::Attach(wanted) => attach(shared, found, &pod, wanted).await?,
        Wish::PortForward(ports) => port_forward(shared, &pod, ports).await?,
        Wish::Tunnel => port_forward(shared, &pod, Vec::new()).await?,
    };
    if !is_upgrade(request.headers()) {
        return Err(Error::NoUpgrade);
    }
    let from = request.extensions().get::<Caller>().map(|caller| caller.address);
    let from = from.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    let place = shared.streams.enter(from).ok_or(Error::Busy)?;
    let v5 = shared.config.websockets && options::is_v5(request.headers());
    let translated = session.streams().filter(|_| v5);
    let url = match session {
        Session::Exec(request) => shared.runtime.exec(request).await?,
        Session::Attach(request) => shared.runtime.attach(request).await?,
        Session::PortForward(request) => shared.runtime.port_forward(request).await?,
    };
    let url: Uri = url.parse().map_err(|_| Error::Url(url))?;
    match translated {
        Some((name, streams)) => {
            shared.metrics.websocket(name);
            translated::open(url, request, streams, place, shared)
        }
        None if tunnel => {
            shared.metrics.websocket("portforward");
            translated::tunnel(url, request, place, shared).await
        }
        None => splice::open(url, request, place, shared).await,
    }
}

/// Runs a session beside, until it is over or the agent ends; it holds its place so long.
fn spawn(shared: &Shared, place: Place, session: impl Future<Output = ()> + Send + 'static) {
    let drain = shared.drain.clone();
    tokio::spawn(async move {
        drain.unless_draining(session).await;
        drop(place);
    });
}

/// What the client asks for.
enum Wish {
    Exec(options::Wanted, Vec<String>),
    Attach(options::Wanted),
    PortForward(Vec<i32>),
    Tunnel,
}

/// What the runtime is asked for.
enum Session {
    Exec(v1::ExecRequest),
    Attach(v1::AttachRequest),
    PortForward(v1::PortForwardRequest),
}

impl Session {
    /// What it is called, and what the runtime expects to be opened; a port-forward opens what it needs when it needs it.
    fn streams(&self) -> Option<(&'static str, translate::Streams)> {
        let (name, (stdin, stdout, stderr, tty)) = match self {
            Self::Exec(r) => ("exec", (r.stdin, r.stdout, r.stderr, r.tty)),
            Self::Attach(r) => ("attach", (r.stdin, r.stdout, r.stderr, r.tty)),
            Self::PortForward(_) => return None,
        };
        let streams = translate::Streams {
            stdin,
            stdout,
            stderr,
            tty,
        };
        Some((name, streams))
    }
}

/// The Pod of the path. Upstream ignores a UID of another Pod of the name except for port-forwards; nobody who names
/// one means the other.
fn pod(shared: &Shared, found: &Found) -> Result<Arc<Pod>, Error> {
    let pod = shared
        .source
        .named(found.segment("namespace"), found.segment("pod"))
        .ok_or(Error::NoPod)?;
    let uid = found.segment("uid");
    if !uid.is_empty() && shared.source.translate(&uid.into()) != pod.metadata.uid {
        return Err(Error::OtherPod);
    }
    Ok(pod)
}

async fn container(shared: &Shared, pod: &Pod, name: &str) -> Result<Option<ContainerId>, Error> {
    let listed = shared.runtime.list_containers(Some(&pod.metadata.uid)).await?;
    Ok(options::running(&listed, name).map(|c| ContainerId::from(&*c.id)))
}

async fn exec(
    shared: &Shared,
    found: &Found,
    pod: &Pod,
    wanted: options::Wanted,
    cmd: Vec<String>,
) -> Result<Session, Error> {
    let name = found.segment("container");
    let id = container(shared, pod, name).await?;
    let id = id.ok_or_else(|| Error::NoContainer(name.to_owned()))?;
    let request = v1::ExecRequest {
        container_id: id.as_str().to_owned(),
        cmd,
        tty: wanted.tty,
        stdin: wanted.stdin,
        stdout: wanted.stdout,
        stderr: wanted.stderr,
    };
    Ok(Session::Exec(request))
}

/// Whether there is a terminal was decided when the container was created.
async fn attach(
    shared: &Shared,
    found: &Found,
    pod: &Pod,
    wanted: options::Wanted,
) -> Result<Session, Error> {
    let name = found.segment("container");
    let id = container(shared, pod, name).await?;
    let (Some(id), Some((spec, _))) = (id, pod.container(name)) else {
        return Err(Error::NothingToAttach {
            container: name.to_owned(),
            pod: full_name(pod),
        });
    };
    let request = v1::AttachRequest {
        container_id: id.as_str().to_owned(),
        stdin: wanted.stdin,
        tty: spec.tty,
        stdout: wanted.stdout,
        stderr: wanted.stderr,
    };
    Ok(Session::Attach(request))
}

async fn port_forward(shared: &Shared, pod: &Pod, port: Vec<i32>) -> Result<Session, Error> {
    let listed = shared.runtime.list_pod_sandboxes(Some(&pod.metadata.uid)).await?;
    let sandbox = options::ready(&listed).ok_or_else(|| Error::NotRunning(full_name(pod)))?;
    let request = v1::PortForwardRequest {
        pod_sandbox_id: sandbox.id.clone(),
        port,
    };
    Ok(Session::PortForward(request))
}

/// As upstream writes it in messages.
fn full_name(pod: &Pod) -> String {
    format!("{}_{}", pod.metadata.name, pod.metadata.namespace)
}

/// Runs a command to its end and answers with what it printed, errors last.
async fn run(shared: &Shared, found: &Found, uri: &Uri) -> Result<Answer, Error> {
    let pod = pod(shared, found)?;
    let name = found.segment("container");
    let id = container(shared, &pod, name).await?;
    let id = id.ok_or_else(|| Error::NoContainer(name.to_owned()))?;
    let command = options::run_command(uri);
    let output = shared.runtime.exec_sync(&id, &command, Duration::ZERO).await?;
    if output.exit_code != 0 {
        return Err(Error::Exited {
            command: command.join(" "),
            code: output.exit_code,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        });
    }
    let mut said = output.stdout;
    said.extend(output.stderr);
    // The type is upstream's, whatever the command printed.
    Ok(with_type(StatusCode::OK, "application/json", said))
}

#[cfg(test)]
pub(super) mod tests;
