//! `/containerLogs/{namespace}/{pod}/{container}`: what a container wrote, from the file the runtime keeps.
//!
//! `query` and `target` (pure) decide what is asked for and of which instance; `kubelet::logs` reads it. The answer is
//! a stream that reads on only as the client takes it.

mod query;
mod target;

use super::Shared;
use super::answer::{Answer, text};
use super::route::Found;
use crate::cri::v1;
use crate::kubelet::logs::follow::{self, Writer};
use crate::kubelet::logs::open::Place;
use crate::kubelet::logs::read::Reader;
use crate::kubelet::source::Source;
use crate::kubelet::volume::blocking;
use crate::model::pod::Pod;
use crate::model::{ContainerId, PodUid};
use async_trait::async_trait;
use futures::TryStreamExt;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use jiff::Timestamp;
use query::Wanted;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long a log may be missing between its rotation and the runtime's next file, and the pause between two looks.
const REOPEN: (u32, Duration) = (20, Duration::from_millis(50));

/// A request that gets no log, with upstream's words.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{{\"message\": \"Unable to decode query.\"}}")]
    Query(#[source] query::Error),
    #[error("{{\"message\": \"Invalid request.\"}}")]
    Options(#[source] query::Error),
    #[error("pod {0:?} does not exist")]
    NoPod(String),
    #[error("container {container:?} not found in pod {pod:?}")]
    NoContainer { container: String, pod: String },
    #[error(transparent)]
    Target(#[from] target::Error),
    #[error("unable to retrieve container logs for {0}")]
    Runtime(String, #[source] crate::cri::Error),
    #[error(transparent)]
    Place(#[from] crate::kubelet::logs::open::Error),
    #[error("failed to open log file {0:?}: {1}")]
    Open(String, #[source] io::Error),
}

impl Error {
    fn code(&self) -> StatusCode {
        match self {
            Self::Options(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NoPod(_) | Self::NoContainer { .. } => StatusCode::NOT_FOUND,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

pub(super) async fn serve(shared: &Arc<Shared>, found: &Found, request: Request<Incoming>) -> Answer {
    logs(shared, found, request.uri().query().unwrap_or_default())
        .await
        .unwrap_or_else(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::debug!(pod = found.segment("pod"), container = found.segment("container"), %error, cause, "no log");
            text(error.code(), error.to_string())
        })
}

async fn logs(shared: &Arc<Shared>, found: &Found, query: &str) -> Result<Answer, Error> {
    let pairs = form_urlencoded::parse(query.as_bytes());
    let wanted = query::parse(pairs, Timestamp::now()).map_err(|error| {
        if error.is_invalid() {
            Error::Options(error)
        } else {
            Error::Query(error)
        }
    })?;
    let (name, container) = (found.segment("pod"), found.segment("container"));
    let pod = shared.source.named(found.segment("namespace"), name);
    let pod = pod.ok_or_else(|| Error::NoPod(name.into()))?;
    if pod.container(container).is_none() {
        return Err(Error::NoContainer {
            container: container.into(),
            pod: name.into(),
        });
    }
    let id = instance(shared, &pod, container, wanted.previous)?;
    let log = ContainerId::from(target::bare(&id));
    let status = shared.runtime.container_status(&log).await;
    let status = status.map_err(|error| Error::Runtime(id.to_string(), error))?;
    let reader = open(shared, &status, &wanted).await?;
    let writer = wanted.follow.then(|| {
        Box::new(Instance {
            changes: shared.source.statuses_changed(),
            shared: shared.clone(),
            uid: pod.metadata.uid.clone(),
            id: log,
            full_id: id,
        }) as Box<dyn Writer>
    });
    let pieces = follow::stream(reader, writer, shared.drain.clone());
    let body = StreamBody::new(pieces.map_ok(Frame::data)).boxed_unsync();
    let mut answer = Response::new(body);
    answer.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    Ok(answer)
}

/// The instance whose log is meant, as `containerd://…`: by what we know last, else by what the API server was told.
fn instance(shared: &Shared, pod: &Pod, container: &str, previous: bool) -> Result<Box<str>, target::Error> {
    let known = shared.source.status(&pod.metadata.uid);
    let facts = match &known {
        Some(status) => target::Facts::of_status(status, container),
        None => pod.history(container).map(target::Facts::of_history),
    };
    target::choose(facts, (&pod.metadata.name, container), previous)
}

/// Opens the log; one that is being rotated just now is waited for while the container runs.
async fn open(shared: &Shared, status: &v1::ContainerStatus, wanted: &Wanted) -> Result<Reader, Error> {
    let (base, path) = (shared.dirs.pod_logs.clone(), status.log_path.clone());
    let opened = blocking(move || Ok(Place::open(&base, Path::new(&path)))).await;
    let place = opened.map_err(|error| Error::Open(status.log_path.clone(), error))??;
    let runs = status.state == v1::ContainerState::ContainerRunning as i32;
    let mut looks = 0;
    loop {
        let (place, show, tail) = (place.clone(), wanted.show, wanted.tail);
        match blocking(move || Reader::open(place, show, tail)).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound && runs && looks < REOPEN.0 => {
                looks += 1;
                tokio::time::sleep(REOPEN.1).await;
            }
            reader => return reader.map_err(|error| Error::Open(status.log_path.clone(), error)),
        }
    }
}

/// The instance that writes a log.
struct Instance {
    shared: Arc<Shared>,
    changes: watch::Receiver<u64>,
    uid: PodUid,
    id: ContainerId,
    /// As statuses have it.
    full_id: Box<str>,
}

#[async_trait]
impl Writer for Instance {
    async fn news(&mut self) {
        let Self {
            shared,
            changes,
            uid,
            full_id,
            ..
        } = self;
        loop {
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            if !said_to_run(&shared.source, uid, full_id) {
                return;
            }
        }
    }

    async fn runs(&self) -> bool {
        match self.shared.runtime.container_status(&self.id).await {
            Ok(status) => status.state == v1::ContainerState::ContainerRunning as i32,
            // A runtime that does not answer ends no container.
            Err(error) => !error.is_not_found(),
        }
    }
}

fn said_to_run(source: &Source, uid: &PodUid, full_id: &str) -> bool {
    source
        .status(uid)
        .is_some_and(|status| target::runs(&status, full_id))
}
