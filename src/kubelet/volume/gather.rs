//! Fetches what each volume holds, and puts it where it belongs.

use super::content::{self, Payload, ResourceValue};
use super::{Cause, Volumes, blocking, host_path, io_error, token, writer};
use crate::api::ConfigObject;
use crate::kubelet::quantity;
use crate::model::NamespacedName;
use crate::model::pod::{ObjectFiles, Pod, Projected, ProjectedSource, SecretFiles, Volume};
use jiff::Timestamp;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One pass over one Pod's volumes.
pub(super) struct Gather<'a> {
    pub(super) volumes: &'a Volumes,
    pub(super) pod: &'a Pod,
    pub(super) now: Timestamp,
    pub(super) resource: ResourceValue<'a>,
}

impl Gather<'_> {
    pub(super) async fn volume(&self, volume: &Volume) -> Result<PathBuf, Cause> {
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
            // The kernel makes a tmpfs like /tmp; kubelet leaves that bit.
            let mode = if memory { 0o1777 } else { 0o777 };
            self.directory(&dir, mode, memory.then_some(size)).await?;
            return Ok(dir);
        }
        if let Some(source) = &volume.host_path {
            let source = source.clone();
            return tokio::task::spawn_blocking(move || host_path::prepare(&source))
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
