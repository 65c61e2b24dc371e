//! Keeps containers' logs small: every few seconds, logs of running containers that have grown too large are rotated.
//!
//! `plan` (pure) decides the steps; here they are done, one log at a time, without following a link anywhere. A log
//! that cannot be rotated is said and tried again in the next round; it holds up no other. Whatever a crash leaves
//! half done is put right by the next round: the names in the directory tell everything.

mod plan;

use super::names::{self, Rotated};
use super::open::{self, Place};
use crate::config::LogRotation;
use crate::cri::{self, Runtime, v1};
use crate::kubelet::dirs::Dirs;
use crate::kubelet::translate::keys;
use crate::kubelet::volume::blocking;
use crate::model::ContainerId;
use crate::sys::beneath::Directory;
use crate::task::{DrainSignal, SayOnce};
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Zoned;
use plan::{Policy, Step};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The same failure is said once in this time.
const SAY: Duration = Duration::from_secs(600);

/// A log that could not be rotated.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Place(#[from] open::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the log is not a regular file")]
    NoFile,
    #[error("the log is missing and the runtime does not make a new one: {0}")]
    Missing(#[source] cri::Error),
    #[error("the runtime does not write to a new log: {0}")]
    Reopen(#[source] cri::Error),
}

/// Rotates logs until the drain. Ends at once when rotation is switched off.
pub async fn run(runtime: Arc<dyn Runtime>, dirs: Dirs, config: LogRotation, drain: DrainSignal) {
    let Some(max_size) = config.max_size else {
        tracing::info!("container logs are not rotated");
        return;
    };
    let rotation = Rotation {
        runtime,
        dirs,
        policy: Policy {
            max_size,
            max_files: config.max_files,
        },
        now: Box::new(Zoned::now),
    };
    let mut said = SayOnce::new(SAY);
    while drain
        .unless_draining(tokio::time::sleep(config.interval))
        .await
        .is_some()
    {
        rotation.round(&drain, &mut said).await;
    }
}

struct Rotation {
    runtime: Arc<dyn Runtime>,
    dirs: Dirs,
    policy: Policy,
    /// Local time, as upstream's names have it.
    now: Box<dyn Fn() -> Zoned + Send + Sync>,
}

impl Rotation {
    /// One look at every log that is being written. A rotation that has begun is not broken off by the drain: between
    /// renaming a log and telling the runtime there is nothing a log reader could find.
    async fn round(&self, drain: &DrainSignal, said: &mut SayOnce) {
        let containers = match self.runtime.list_containers(None).await {
            Ok(containers) => containers,
            Err(error) => {
                tracing::debug!(%error, "logs are not looked at");
                return;
            }
        };
        let running = v1::ContainerState::ContainerRunning as i32;
        for container in containers.iter().filter(|c| c.state == running) {
            if drain.is_draining() {
                return;
            }
            let Some(path) = self.path(container) else {
                continue;
            };
            if let Err(error) = self.look(&container.id.as_str().into(), path).await {
                let text = format!("{}: {error}", container.id);
                if said.say(&text, Instant::now()).is_some() {
                    let name = container.labels.get(keys::CONTAINER_NAME);
                    tracing::warn!(pod.uid = container.labels.get(keys::POD_UID), container = name, %error, "log not rotated");
                }
            }
        }
    }

    /// Where a container's log is; none for what is no Pod's. It follows from the labels: asking the runtime for each
    /// container's status every time would cost more than all the rest.
    fn path(&self, container: &v1::Container) -> Option<PathBuf> {
        let label = |name: &str| container.labels.get(name).filter(|value| !value.is_empty());
        let (namespace, name) = (label(keys::POD_NAMESPACE)?, label(keys::POD_NAME)?);
        let uid = label(keys::POD_UID)?.as_str().into();
        let attempt = container.metadata.as_ref()?.attempt;
        let log = Dirs::container_log(label(keys::CONTAINER_NAME)?, attempt);
        Some(self.dirs.pod_log(namespace, name, &uid).join(log))
    }

    /// Rotates one log if it has become too large. A log that is missing is made anew.
    async fn look(&self, id: &ContainerId, path: PathBuf) -> Result<(), Error> {
        let base = self.dirs.pod_logs.clone();
        let seen = blocking(move || {
            Ok(Place::open(&base, &path).map(|place| {
                let stat = place.dir.stat(&place.name);
                (place, stat)
            }))
        });
        let (place, stat) = seen.await??;
        match stat? {
            Some(stat) if !stat.regular => Err(Error::NoFile),
            Some(stat) if stat.size < self.policy.max_size => Ok(()),
            Some(_) => self.rotate(id, place).await,
            None => self
                .runtime
                .reopen_container_log(id)
                .await
                .map_err(Error::Missing),
        }
    }

    async fn rotate(&self, id: &ContainerId, place: Place) -> Result<(), Error> {
        let dir = place.dir.clone();
        let names = blocking(move || dir.names()).await?;
        let now = (self.now)().strftime("%Y%m%d-%H%M%S").to_string();
        let names = names.iter().map(String::as_str);
        for step in plan::steps(&place.name, names, self.policy, &now) {
            let dir = place.dir.clone();
            match step {
                Step::Remove(name) => blocking(move || dir.remove(&name)).await?,
                Step::Compress(rotated) => blocking(move || compress(&dir, &rotated)).await?,
                Step::Rotate(to) => self.swap(id, &place, to).await?,
            }
        }
        Ok(())
    }

    /// Gives the log its new name and has the runtime make the next one; when it does not, the log gets its name back
    /// and is tried again in the next round.
    async fn swap(&self, id: &ContainerId, place: &Place, to: String) -> Result<(), Error> {
        let (dir, from, name) = (place.dir.clone(), place.name.clone(), to.clone());
        let gz = names::compressed(&to);
        blocking(move || {
            // The clock was put back, or two agents are at work.
            if dir.stat(&name)?.is_some() || dir.stat(&gz)?.is_some() {
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, name));
            }
            dir.rename(&from, &name)
        })
        .await?;
        let Err(error) = self.runtime.reopen_container_log(id).await else {
            tracing::debug!(container = %id, log = to, "log rotated");
            return Ok(());
        };
        let (dir, name) = (place.dir.clone(), place.name.clone());
        blocking(move || match dir.stat(&name)? {
            // The runtime has made it nevertheless.
            Some(_) => Ok(()),
            None => dir.rename(&to, &name),
        })
        .await?;
        Err(Error::Reopen(error))
    }
}

/// Compresses a rotated log. The complete one appears at once, and the original goes only after that.
fn compress(dir: &Directory, rotated: &Rotated) -> io::Result<()> {
    let mut from = dir.file(&rotated.stem)?;
    let mode = from.metadata()?.permissions().mode() & 0o777;
    let temporary = names::temporary(&rotated.stem);
    let mut written = || {
        let mut to = GzEncoder::new(dir.create(&temporary, mode)?, Compression::default());
        io::copy(&mut from, &mut to)?;
        to.finish()?;
        dir.rename(&temporary, &names::compressed(&rotated.stem))
    };
    if let Err(error) = written() {
        // Otherwise the next round removes it.
        drop(dir.remove(&temporary));
        return Err(error);
    }
    dir.remove(&rotated.stem)
}

#[cfg(test)]
mod tests;
