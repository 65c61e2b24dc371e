//! Log directories and their links, and the Pod's hosts file.

use crate::kubelet::context::Context;
use crate::kubelet::hosts;
use crate::kubelet::volume::blocking;
use crate::model::ContainerId;
use crate::model::pod::Pod;
use crate::sys::{fs, mount};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// Longest file name of ext4.
const MAX_NAME: usize = 255;

fn pod_log_dir(context: &Context, pod: &Pod) -> PathBuf {
    context
        .dirs
        .pod_log(&pod.metadata.namespace, &pod.metadata.name, &pod.metadata.uid)
}

/// Makes the Pod's log directory.
pub(super) async fn make_log_dir(context: &Context, pod: &Pod) -> io::Result<()> {
    let dir = pod_log_dir(context, pod);
    blocking(move || std::fs::create_dir_all(dir)).await
}

/// Makes a container's log directory.
pub(super) async fn make_container_log_dir(context: &Context, pod: &Pod, container: &str) -> io::Result<()> {
    let dir = pod_log_dir(context, pod).join(container);
    blocking(move || std::fs::create_dir_all(dir)).await
}

/// PURE. `<pod>_<namespace>_<container>-<id>.log`, cut to what a file name may be.
fn link_name(pod: &Pod, container: &str, id: &ContainerId) -> String {
    let mut name = format!(
        "{}_{}_{container}-{id}",
        pod.metadata.name, pod.metadata.namespace
    );
    name.truncate(MAX_NAME - ".log".len());
    name + ".log"
}

/// Links the container's log where log shippers look. They are a convenience: a failure is only logged.
pub(super) async fn link_logs(context: &Context, pod: &Pod, container: &str, log: &Path, id: &ContainerId) {
    let target = pod_log_dir(context, pod).join(log);
    let link = context.link_dir().join(link_name(pod, container, id));
    let made = blocking(move || {
        std::fs::create_dir_all(link.parent().unwrap_or(Path::new("/")))?;
        match symlink(target, &link) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    });
    if let Err(error) = made.await {
        tracing::warn!(pod.uid = %pod.metadata.uid, container, %error, "no link to the container's log");
    }
}

/// Removes the log of one container attempt, with what rotation made of it, and its link. Failures leave it to the
/// removal of the whole Pod.
pub(super) async fn remove_log(context: &Context, pod: &Pod, container: &str, attempt: u32) {
    let dir = pod_log_dir(context, pod).join(container);
    let links = context.link_dir();
    let prefix = format!("{attempt}.log");
    let work = move || {
        let log = dir.join(&prefix);
        remove_links(&links, |target| target == log)?;
        for entry in std::fs::read_dir(&dir)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                fs::remove_file(&entry.path())?;
            }
        }
        Ok(())
    };
    if let Err(error) = blocking(work).await {
        tracing::debug!(pod.uid = %pod.metadata.uid, container, attempt, %error, "log not removed");
    }
}

/// Removes the links of a Pod's logs and its log directory. What is gone is a success.
pub(crate) async fn remove_logs(context: &Context, pod: &Pod) -> io::Result<()> {
    let dir = pod_log_dir(context, pod);
    let links = context.link_dir();
    blocking(move || {
        remove_links(&links, |target| target.starts_with(&dir))?;
        mount::remove_tree(&dir)
    })
    .await
}

/// Removes the links whose target says so.
pub(crate) fn remove_links(links: &Path, gone: impl Fn(&Path) -> bool) -> io::Result<()> {
    let entries = match std::fs::read_dir(links) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        if std::fs::read_link(&path).is_ok_and(|target| gone(&target)) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Writes the Pod's hosts file; true when the container should have it. It is written before every container start:
/// its addresses may have changed with the sandbox.
pub(super) async fn write_hosts(context: &Context, pod: &Pod, ips: &[IpAddr]) -> io::Result<bool> {
    let aliases = &pod.spec.host_aliases;
    let text = if pod.spec.host_network {
        let node = tokio::fs::read_to_string("/etc/hosts").await?;
        hosts::host_network_file(&node, aliases)
    } else {
        if ips.is_empty() {
            return Ok(false);
        }
        let names = hosts::names(pod, &context.config.cluster_domain).unwrap_or_default();
        hosts::pod_file(ips, &names, aliases)
    };
    let path = context.dirs.etc_hosts(&pod.metadata.uid);
    let work = move || {
        // Written in place: running containers have the file itself mounted, a rename would leave them the old one.
        if std::fs::read_to_string(&path).is_ok_and(|old| old == text) {
            return Ok(());
        }
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        std::fs::write(&path, text)?;
        // Also with a stricter umask.
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644))
    };
    blocking(work).await?;
    Ok(true)
}
