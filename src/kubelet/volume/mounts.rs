//! Volume mounts of a container as CRI mounts, with the hosts file and the termination message file.

use super::{Paths, blocking};
use crate::cri::v1;
use crate::kubelet::dirs::Dirs;
use crate::model::PodUid;
use crate::model::pod::{Container, Pod, VolumeMount};
use crate::sys::mount;
use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

/// Why a container's mounts cannot be made; becomes `CreateContainerConfigError`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A mount names a volume that was not set up.
    #[error("cannot find volume {volume:?} to mount into container {container:?}")]
    Volume {
        /// The volume's name.
        volume: Box<str>,
        /// The container's name.
        container: Box<str>,
    },
    /// `subPath` would leave the volume, or `subPathExpr` names an unknown variable.
    #[error("unable to provision SubPath `{path}`: {why}")]
    SubPath {
        /// As written.
        path: Box<str>,
        /// The rule it breaks.
        why: Box<str>,
    },
    /// The file system refused; details stay in the log because the text is shown to the Pod's owner.
    #[error("failed to prepare {what} for volumeMount {volume:?} of container {container:?}")]
    Io {
        /// `subPath` or `termination-log`.
        what: &'static str,
        /// The volume's name; empty for a file of our own.
        volume: Box<str>,
        /// The container's name.
        container: Box<str>,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// A `mountPropagation` this build does not know.
    #[error("invalid MountPropagation mode: {0:?}")]
    Propagation(Box<str>),
}

/// What the mounts of one container attempt are made from.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Where things are on disk.
    pub dirs: &'a Dirs,
    /// The Pod.
    pub pod: &'a Pod,
    /// The container.
    pub container: &'a Container,
    /// Its volumes, from [`super::Volumes::prepare`].
    pub volumes: &'a Paths,
    /// Its image volumes, pulled, by volume name.
    pub images: &'a BTreeMap<Box<str>, v1::ImageSpec>,
    /// Attempt number: names the termination message file.
    pub attempt: u32,
}

/// Value of an environment variable of the container, for `subPathExpr`.
pub type Variable<'a> = &'a (dyn Fn(&str) -> Option<String> + Sync);

const ETC_HOSTS: &str = "/etc/hosts";

/// All mounts of one container attempt. `hosts` says whether the Pod has its own hosts file.
pub async fn container(
    input: Input<'_>,
    hosts: bool,
    variable: Variable<'_>,
) -> Result<Vec<v1::Mount>, Error> {
    let mut mounts = Vec::new();
    for (index, wanted) in input.container.volume_mounts.iter().enumerate() {
        mounts.push(volume_mount(&input, index, wanted, variable).await?);
    }
    if hosts
        && !input
            .container
            .volume_mounts
            .iter()
            .any(|m| &*m.mount_path == ETC_HOSTS)
    {
        mounts.push(bind(&input.dirs.etc_hosts(&input.pod.metadata.uid), ETC_HOSTS));
    }
    if !input.container.termination_message_path.is_empty() {
        mounts.push(termination_log(&input).await?);
    }
    Ok(mounts)
}

fn bind(host: &Path, inside: &str) -> v1::Mount {
    let absolute = if inside.starts_with('/') {
        inside.to_owned()
    } else {
        format!("/{inside}")
    };
    v1::Mount {
        container_path: absolute,
        host_path: host.to_string_lossy().into_owned(),
        ..Default::default()
    }
}

async fn volume_mount(
    input: &Input<'_>,
    index: usize,
    wanted: &VolumeMount,
    variable: Variable<'_>,
) -> Result<v1::Mount, Error> {
    let missing = || Error::Volume {
        volume: wanted.name.clone(),
        container: input.container.name.clone(),
    };
    if let Some(image) = input.images.get(&wanted.name) {
        let sub_path = sub_path(wanted, variable)?.unwrap_or_default();
        let mut mount = bind(Path::new(""), &wanted.mount_path);
        mount.image = Some(image.clone());
        mount.image_sub_path = sub_path.to_string_lossy().into_owned();
        mount.readonly = true;
        return Ok(mount);
    }
    let root = input.volumes.get(&wanted.name).ok_or_else(missing)?;
    let sub_path = sub_path(wanted, variable)?;
    let host = match sub_path {
        None => root.clone(),
        Some(sub_path) => bind_sub_path(input, index, &wanted.name, root.clone(), sub_path).await?,
    };
    let mut mount = bind(&host, &wanted.mount_path);
    mount.readonly = wanted.read_only || read_only_volume(input.pod, &wanted.name);
    mount.propagation = match wanted.mount_propagation.as_deref() {
        None | Some("None") => v1::MountPropagation::PropagationPrivate,
        Some("HostToContainer") => v1::MountPropagation::PropagationHostToContainer,
        Some("Bidirectional") => v1::MountPropagation::PropagationBidirectional,
        Some(other) => return Err(Error::Propagation(other.into())),
    }
    .into();
    Ok(mount)
}

/// PURE. Volumes whose files we write are never writable in a container: our writer must not meet a pod's links.
fn read_only_volume(pod: &Pod, name: &str) -> bool {
    pod.spec.volumes.iter().filter(|v| &*v.name == name).any(|v| {
        v.config_map.is_some() || v.secret.is_some() || v.downward_api.is_some() || v.projected.is_some()
    })
}

/// PURE. The validated path inside the volume, if there is one.
fn sub_path(wanted: &VolumeMount, variable: Variable<'_>) -> Result<Option<PathBuf>, Error> {
    let text = if wanted.sub_path_expr.is_empty() {
        wanted.sub_path.to_string()
    } else {
        expand(&wanted.sub_path_expr, variable)?
    };
    if text.is_empty() {
        return Ok(None);
    }
    let refuse = |why: &str| {
        Err(Error::SubPath {
            path: text.as_str().into(),
            why: why.into(),
        })
    };
    let path = Path::new(&text);
    for component in path.components() {
        match component {
            Component::Normal(_) | Component::CurDir => {}
            Component::ParentDir => return refuse("must not contain '..'"),
            Component::RootDir | Component::Prefix(_) => return refuse("must not be an absolute path"),
        }
    }
    Ok(Some(path.to_owned()))
}

/// PURE. `$(NAME)` becomes the variable's value, `$$` a dollar; an unknown name is an error, as in kubelet.
fn expand(text: &str, variable: Variable<'_>) -> Result<String, Error> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(tail) = rest.strip_prefix('$') {
            out.push('$');
            rest = tail;
        } else if let Some((name, tail)) = rest.strip_prefix('(').and_then(|r| r.split_once(')')) {
            let unknown = || Error::SubPath {
                path: text.into(),
                why: format!("missing value for {name:?}").into(),
            };
            out.push_str(&variable(name).ok_or_else(unknown)?);
            rest = tail;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// Resolves the path beneath the volume in the kernel and pins what was found by a bind mount of the open descriptor,
/// at kubelet's place `<pod>/volume-subpaths/<volume>/<container>/<index>`.
async fn bind_sub_path(
    input: &Input<'_>,
    index: usize,
    volume: &str,
    root: PathBuf,
    sub_path: PathBuf,
) -> Result<PathBuf, Error> {
    let target = sub_path_target(input.dirs, &input.pod.metadata.uid, volume, &input.container.name)
        .join(index.to_string());
    let place = target.clone();
    let work = move || {
        let mode = std::fs::metadata(&root)?.mode() & 0o7777;
        let source = mount::open_beneath(&root, &sub_path, mode)?;
        mount::unmount(&place)?;
        if std::fs::metadata(format!(
            "/proc/self/fd/{}",
            std::os::fd::AsRawFd::as_raw_fd(&source)
        ))?
        .is_dir()
        {
            std::fs::create_dir_all(&place)?;
        } else {
            std::fs::create_dir_all(place.parent().unwrap_or(&place))?;
            std::fs::File::options().create(true).append(true).open(&place)?;
        }
        mount::bind_fd(&source, &place)
    };
    blocking(work).await.map_err(|source| Error::Io {
        what: "subPath",
        volume: volume.into(),
        container: input.container.name.clone(),
        source,
    })?;
    Ok(target)
}

fn sub_path_target(dirs: &Dirs, uid: &PodUid, volume: &str, container: &str) -> PathBuf {
    dirs.pod(uid).join("volume-subpaths").join(volume).join(container)
}

/// PURE. The termination message file of one container attempt.
pub fn termination_file(dirs: &Dirs, uid: &PodUid, container: &str, attempt: u32) -> PathBuf {
    dirs.container(uid, container).join(format!("{attempt:08x}"))
}

/// An empty file, writable for every user, that the container may leave its last words in.
async fn termination_log(input: &Input<'_>) -> Result<v1::Mount, Error> {
    let file = termination_file(
        input.dirs,
        &input.pod.metadata.uid,
        &input.container.name,
        input.attempt,
    );
    let target = file.clone();
    let work = move || {
        std::fs::create_dir_all(target.parent().unwrap_or(&target))?;
        std::fs::write(&target, b"")?;
        std::fs::set_permissions(&target, PermissionsExt::from_mode(0o666))
    };
    blocking(work).await.map_err(|source| Error::Io {
        what: "termination-log",
        volume: "".into(),
        container: input.container.name.clone(),
        source,
    })?;
    Ok(bind(&file, &input.container.termination_message_path))
}

#[cfg(test)]
mod tests;
