//! Volumes of pods: emptyDir, hostPath, configMap, secret, downwardAPI and projected.
//!
//! `content` decides which files a volume holds (pure), `writer` puts them on disk atomically, `mounts` turns volume
//! mounts into CRI mounts. This file fetches what they need. Everything is idempotent: `prepare` is called before
//! the first container, again after every change of the Pod, and once a minute to follow changed objects.

pub mod content;
pub mod mounts;
pub mod token;
pub mod writer;

use crate::api::{ConfigData, ConfigObject};
use crate::kubelet::dirs::Dirs;
use crate::kubelet::quantity;
use crate::model::pod::{HostPath, ObjectFiles, Pod, Projected, ProjectedSource, SecretFiles, Volume};
use crate::model::{NamespacedName, PodUid};
use crate::sys::mount;
use content::{Payload, ResourceValue};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

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
        }
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
        let containers = || pod.spec.init_containers.iter().chain(&pod.spec.containers);
        let used = |name: &str| containers().any(|c| c.volume_mounts.iter().any(|m| &*m.name == name));
        let content = Gather {
            volumes: self,
            pod,
            now,
            resource,
        };
        let each = pod
            .spec
            .volumes
            .iter()
            .filter(|v| used(&v.name))
            .map(|volume| async {
                let path = content.volume(volume).await.map_err(|cause| Error {
                    volume: volume.name.clone(),
                    cause,
                })?;
                Ok((volume.name.clone(), path))
            });
        let mut paths = Paths::new();
        let mut errors = Vec::new();
        for result in futures::future::join_all(each).await {
            match result {
                Ok((name, path)) => drop(paths.insert(name, path)),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(paths) } else { Err(errors) }
    }

    /// Unmounts everything below the Pod's directory and removes it. Nothing is deleted through a live mount, and a
    /// Pod without a directory is a success.
    pub async fn teardown(&self, uid: &PodUid) -> io::Result<()> {
        self.tokens.forget(uid);
        let dir = self.dirs.pod(uid);
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
        .await
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

/// File system work that may wait for a disk.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|panic| Err(io::Error::other(panic)))
}

/// One pass over one Pod's volumes.
struct Gather<'a> {
    volumes: &'a Volumes,
    pod: &'a Pod,
    now: Timestamp,
    resource: ResourceValue<'a>,
}

impl Gather<'_> {
    async fn volume(&self, volume: &Volume) -> Result<PathBuf, Cause> {
        let dir = |plugin| {
            self.volumes
                .dirs
                .volume(&self.pod.metadata.uid, plugin, &volume.name)
        };
        let name = &volume.name;
        if let Some(source) = &volume.empty_dir {
            let memory = match &*source.medium {
                "" => false,
                "Memory" => true,
                other => return Err(Cause::Unsupported(format!("emptyDir with medium {other}").into())),
            };
            let size = source.size_limit.as_ref().and_then(|q| quantity::parse(q).ok());
            let size = size
                .filter(|s| s.is_positive())
                .and_then(|s| u64::try_from(s.value()).ok());
            let dir = dir("empty-dir");
            self.directory(&dir, 0o777, memory.then_some(size)).await?;
            return Ok(dir);
        }
        if let Some(source) = &volume.host_path {
            let source = source.clone();
            return tokio::task::spawn_blocking(move || host_path(&source))
                .await
                .unwrap_or_else(|panic| {
                    Err(Cause::Io {
                        what: "check hostPath".into(),
                        source: io::Error::other(panic),
                    })
                });
        }
        if let Some(source) = &volume.config_map {
            let payload = self.config_map(source, source.default_mode).await?;
            return self.publish(dir("configmap"), payload, false).await;
        }
        if let Some(source) = &volume.secret {
            let payload = self.secret(source, source.default_mode).await?;
            return self.publish(dir("secret"), payload, true).await;
        }
        if let Some(source) = &volume.downward_api {
            let payload = content::downward(self.pod, source, source.default_mode, self.resource)?;
            return self.publish(dir("downward-api"), payload, true).await;
        }
        if let Some(source) = &volume.projected {
            let payload = self.projected(name, source).await?;
            return self.publish(dir("projected"), payload, true).await;
        }
        Err(Cause::Unsupported(
            volume
                .unknown
                .keys()
                .next()
                .cloned()
                .unwrap_or_else(|| "(none)".into()),
        ))
    }

    fn name(&self, name: &str) -> NamespacedName {
        NamespacedName {
            namespace: self.pod.metadata.namespace.clone(),
            name: name.into(),
        }
    }

    async fn config_map(&self, source: &ObjectFiles, mode: Option<i32>) -> Result<Payload, Cause> {
        let object = self.volumes.data.config_map(&self.name(&source.name)).await?;
        require("configmap", &source.name, object.as_ref(), source.optional)?;
        Ok(content::config_map(object.as_deref(), source, mode)?)
    }

    async fn secret(&self, source: &SecretFiles, mode: Option<i32>) -> Result<Payload, Cause> {
        let object = self.volumes.data.secret(&self.name(&source.secret_name)).await?;
        require("secret", &source.secret_name, object.as_ref(), source.optional)?;
        Ok(content::secret(object.as_deref(), source, mode)?)
    }

    async fn projected(&self, volume: &str, source: &Projected) -> Result<Payload, Cause> {
        let parts = source
            .sources
            .iter()
            .map(|part| self.projected_part(volume, part, source.default_mode));
        let mut payload = Payload::new();
        for part in futures::future::join_all(parts).await {
            payload.extend(part?);
        }
        Ok(payload)
    }

    async fn projected_part(
        &self,
        volume: &str,
        part: &ProjectedSource,
        mode: Option<i32>,
    ) -> Result<Payload, Cause> {
        if let Some(source) = &part.service_account_token {
            let token = self
                .volumes
                .tokens
                .get(self.pod, volume, source, self.now)
                .await
                .map_err(Cause::Token)?;
            return Ok(token::file(self.pod, source, &token, mode)?);
        }
        if let Some(source) = &part.config_map {
            return self.config_map(source, mode).await;
        }
        if let Some(source) = &part.secret {
            let source = SecretFiles {
                secret_name: source.name.clone(),
                items: source.items.clone(),
                default_mode: source.default_mode,
                optional: source.optional,
            };
            return self.secret(&source, mode).await;
        }
        if let Some(source) = &part.downward_api {
            return Ok(content::downward(self.pod, source, mode, self.resource)?);
        }
        let unknown = part.unknown.keys().next().map_or("(none)", |name| &**name);
        Err(Cause::Unsupported(format!("projected.{unknown}").into()))
    }

    fn group(&self) -> Option<u32> {
        self.pod
            .spec
            .security_context
            .fs_group
            .and_then(|group| u32::try_from(group).ok())
    }

    /// Writes the files; secrets go to a tmpfs so that they never reach a disk.
    async fn publish(&self, dir: PathBuf, payload: Payload, secret: bool) -> Result<PathBuf, Cause> {
        self.directory(&dir, 0o755, secret.then_some(None)).await?;
        let (group, stamp) = (self.group(), self.volumes.stamp(self.now));
        let target = dir.clone();
        blocking(move || writer::write(&target, &payload, group, &stamp))
            .await
            .map_err(io_error("write", &dir))?;
        Ok(dir)
    }

    /// Makes the volume's directory with its final mode and owner, once; `tmpfs` mounts one of that size on it.
    async fn directory(&self, dir: &Path, mode: u32, tmpfs: Option<Option<u64>>) -> Result<(), Cause> {
        let (group, mount_tmpfs, target) = (self.group(), self.volumes.mount_tmpfs, dir.to_owned());
        let work = move || {
            match tmpfs {
                None if target.is_dir() => return Ok(()),
                Some(_) if target.is_dir() && is_mount(&target)? => return Ok(()),
                _ => std::fs::create_dir_all(&target)?,
            }
            if let Some(size) = tmpfs {
                mount_tmpfs(&target, size)?;
            }
            if group.is_some() {
                lchown(&target, None, group)?;
            }
            let mode = if group.is_some() { mode | 0o2770 } else { mode };
            std::fs::set_permissions(&target, PermissionsExt::from_mode(mode))
        };
        blocking(work).await.map_err(io_error("make directory", dir))
    }
}

/// A directory on another device than its parent has a tmpfs on it.
fn is_mount(dir: &Path) -> io::Result<bool> {
    let parent = dir
        .parent()
        .map_or(Ok(None), |p| std::fs::metadata(p).map(|m| Some(m.dev())))?;
    Ok(parent != Some(std::fs::metadata(dir)?.dev()))
}

fn require(
    kind: &'static str,
    name: &str,
    object: Option<&Arc<ConfigObject>>,
    optional: Option<bool>,
) -> Result<(), Cause> {
    if object.is_none() && optional != Some(true) {
        return Err(Cause::Missing {
            kind,
            name: name.into(),
        });
    }
    Ok(())
}

/// Checks what is at the node's path, and creates it where the type says so.
fn host_path(source: &HostPath) -> Result<PathBuf, Cause> {
    let path = PathBuf::from(&*source.path);
    let refuse = |wanted| {
        Err(Cause::HostPath {
            path: source.path.clone(),
            wanted,
        })
    };
    if path.components().any(|c| c == std::path::Component::ParentDir) {
        return refuse("path without '..'");
    }
    let found = std::fs::metadata(&path).map(|m| m.file_type());
    match &*source.kind {
        "DirectoryOrCreate" if found.is_err() => {
            std::fs::create_dir_all(&path).map_err(io_error("make directory", &path))?;
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755))
                .map_err(io_error("chmod", &path))?;
            return Ok(path);
        }
        "FileOrCreate" if found.is_err() => {
            std::fs::File::create_new(&path).map_err(io_error("create", &path))?;
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644))
                .map_err(io_error("chmod", &path))?;
            return Ok(path);
        }
        _ => {}
    }
    let is = |check: fn(&std::fs::FileType) -> bool| found.as_ref().is_ok_and(check);
    match &*source.kind {
        "" => Ok(path),
        "Directory" | "DirectoryOrCreate" if !is(std::fs::FileType::is_dir) => refuse("directory"),
        "File" | "FileOrCreate" if !is(std::fs::FileType::is_file) => refuse("file"),
        "Socket" if !is(FileTypeExt::is_socket) => refuse("socket file"),
        "CharDevice" if !is(FileTypeExt::is_char_device) => refuse("character device"),
        "BlockDevice" if !is(FileTypeExt::is_block_device) => refuse("block device"),
        "Directory" | "DirectoryOrCreate" | "File" | "FileOrCreate" | "Socket" | "CharDevice"
        | "BlockDevice" => Ok(path),
        other => Err(Cause::Unsupported(format!("hostPath with type {other}").into())),
    }
}

#[cfg(test)]
mod tests;
