//! Volumes of pods: emptyDir, hostPath, configMap, secret, downwardAPI and projected.
//!
//! `content` decides which files a volume holds (pure), `writer` puts them on disk atomically, `mounts` turns volume
//! mounts into CRI mounts. This file fetches what they need. Everything is idempotent: `prepare` is called before
//! the first container, again after every change of the Pod, and once a minute to follow changed objects.

pub mod content;
mod gather;
mod host_path;
pub mod mounts;
pub mod token;
pub mod writer;

use crate::api::ConfigData;
use crate::kubelet::dirs::Dirs;
use crate::kubelet::metrics::KubeletMetrics;
use crate::model::PodUid;
use crate::model::pod::{Container, Pod, Volume};
use crate::sys::mount;
use content::ResourceValue;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::time::Instant;

/// Host path of every volume of a Pod by volume name.
pub type Paths = BTreeMap<Box<str>, PathBuf>;

/// One volume that cannot be set up; the text is that of kubelet's `FailedMount` event.
#[derive(Debug, thiserror::Error)]
#[error("MountVolume.SetUp failed for volume \"{volume}\" : {cause}")]
pub struct Error {
    /// The volume's name.
    pub volume: Box<str>,
    /// Why.
    #[source]
    pub cause: Cause,
}

/// Why a volume cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// A ConfigMap or Secret that must exist does not.
    #[error("{kind} \"{name}\" not found")]
    Missing {
        /// `configmap` or `secret`.
        kind: &'static str,
        /// Its name.
        name: Box<str>,
    },
    /// The API server did not give the object.
    #[error(transparent)]
    Api(#[from] crate::api::Error),
    /// No token for the service account.
    #[error("failed to fetch token: {0}")]
    Token(#[source] crate::api::Error),
    /// The object does not hold what the volume asks for.
    #[error(transparent)]
    Content(#[from] content::Error),
    /// The node's path is not what `hostPath.type` demands.
    #[error("hostPath type check failed: {path} is not a {wanted}")]
    HostPath {
        /// The path.
        path: Box<str>,
        /// What it should be.
        wanted: &'static str,
    },
    /// A source this build does not know.
    #[error("volume source {0} is not supported by this node")]
    Unsupported(Box<str>),
    /// The file system refused.
    #[error("{what}: {source}")]
    Io {
        /// What was done to which path.
        what: String,
        /// The system's answer.
        source: io::Error,
    },
}

fn io_error(what: &str, path: &Path) -> impl FnOnce(io::Error) -> Cause {
    let what = format!("{what} {}", path.display());
    move |source| Cause::Io { what, source }
}

/// Mounts a tmpfs at a directory; a test puts nothing there.
pub type MountTmpfs = fn(&Path, Option<u64>) -> io::Result<()>;

/// Sets up and takes down the volumes of all pods on the node.
pub struct Volumes {
    dirs: Dirs,
    data: Arc<dyn ConfigData>,
    tokens: token::Tokens,
    mount_tmpfs: MountTmpfs,
    versions: AtomicU32,
    metrics: KubeletMetrics,
}

impl fmt::Debug for Volumes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Volumes")
            .field("dirs", &self.dirs)
            .finish_non_exhaustive()
    }
}

impl Volumes {
    /// Volumes below `dirs`, with content from `data`.
    pub fn new(dirs: Dirs, data: Arc<dyn ConfigData>) -> Self {
        let tokens = token::Tokens::new(data.clone());
        Self {
            dirs,
            data,
            tokens,
            mount_tmpfs: mount::tmpfs,
            versions: AtomicU32::new(0),
            metrics: KubeletMetrics::default(),
        }
    }

    /// The same, counted.
    pub fn with_metrics(self, metrics: KubeletMetrics) -> Self {
        Self { metrics, ..self }
    }

    /// The same with another way to mount a tmpfs.
    pub fn with_tmpfs(mut self, mount_tmpfs: MountTmpfs) -> Self {
        self.mount_tmpfs = mount_tmpfs;
        self
    }

    /// Sets up, in parallel, every volume that a container mounts, and brings the content of those that exist up to
    /// date. All volumes are tried; the errors name each that failed.
    pub async fn prepare(
        &self,
        pod: &Pod,
        now: Timestamp,
        resource: ResourceValue<'_>,
    ) -> Result<Paths, Vec<Error>> {
        let mounts = |c: &Container, name: &str| c.volume_mounts.iter().any(|m| &*m.name == name);
        let used = |name: &str| pod.spec.every_container().any(|c| mounts(c, name));
        let content = gather::Gather {
            volumes: self,
            pod,
            now,
            resource,
        };
        // Images are mounted by the runtime.
        let wanted = pod
            .spec
            .volumes
            .iter()
            .filter(|v| v.image.is_none() && used(&v.name));
        let each = wanted.clone().map(|volume| async {
            let begin = Instant::now();
            let path = content.volume(volume).await;
            self.metrics
                .volume_mounted(plugin(volume), path.is_ok(), begin.elapsed());
            let path = path.map_err(|cause| Error {
                volume: volume.name.clone(),
                cause,
            })?;
            Ok((volume.name.clone(), path))
        });
        let uid = &pod.metadata.uid;
        self.metrics
            .volumes_wanted(uid, wanted.clone().map(plugin).collect());
        let mut paths = Paths::new();
        let mut errors = Vec::new();
        for result in futures::future::join_all(each).await {
            match result {
                Ok((name, path)) => drop(paths.insert(name, path)),
                Err(error) => errors.push(error),
            }
        }
        let there = wanted.filter(|volume| paths.contains_key(&volume.name));
        self.metrics.volumes_set_up(uid, there.map(plugin).collect());
        if errors.is_empty() { Ok(paths) } else { Err(errors) }
    }

    /// Unmounts everything below the Pod's directory and removes it. Nothing is deleted through a live mount, and a
    /// Pod without a directory is a success.
    pub async fn teardown(&self, uid: &PodUid) -> io::Result<()> {
        self.remove(uid, self.dirs.pod(uid)).await
    }

    /// As [`Volumes::teardown`], of the volumes only, with what containers mounted of them.
    pub async fn release(&self, uid: &PodUid) -> io::Result<()> {
        let dir = self.dirs.pod(uid);
        self.remove(uid, dir.join("volume-subpaths")).await?;
        self.remove(uid, dir.join("volumes")).await
    }

    async fn remove(&self, uid: &PodUid, dir: PathBuf) -> io::Result<()> {
        self.tokens.forget(uid);
        blocking(move || {
            // The mount table holds resolved paths.
            let dir = match dir.canonicalize() {
                Ok(dir) => dir,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(error),
            };
            mount::unmount_below(&dir)?;
            mount::remove_tree(&dir)
        })
        .await?;
        self.metrics.volumes_removed(uid);
        Ok(())
    }

    /// Name of the next version of a volume's content: unique in this process, sorted by time.
    fn stamp(&self, now: Timestamp) -> String {
        let count = self.versions.fetch_add(1, Ordering::Relaxed);
        format!(
            "{}.{:09}{count}",
            now.strftime("%Y_%m_%d_%H_%M_%S"),
            now.subsec_nanosecond()
        )
    }
}

/// PURE. Who sets a volume up, in kubelet's words.
fn plugin(volume: &Volume) -> &'static str {
    let plugins = [
        (volume.empty_dir.is_some(), "kubernetes.io/empty-dir"),
        (volume.host_path.is_some(), "kubernetes.io/host-path"),
        (volume.config_map.is_some(), "kubernetes.io/configmap"),
        (volume.secret.is_some(), "kubernetes.io/secret"),
        (volume.downward_api.is_some(), "kubernetes.io/downward-api"),
        (volume.projected.is_some(), "kubernetes.io/projected"),
    ];
    let found = plugins.into_iter().find(|(is, _)| *is);
    found.map_or("N/A", |(_, plugin)| plugin)
}

/// File system work that may wait for a disk.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|panic| Err(io::Error::other(panic)))
}

#[cfg(test)]
mod tests;
