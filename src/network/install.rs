//! The plugin and its configuration in the container runtime's directories.

use super::conflist::{self, ConfFile};
use crate::sys::fs::{remove_file, write_atomic};
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// containerd asks for this plugin by default; we answer for it where nobody else does.
const LOOPBACK: &str = "loopback";

/// What kept us from installing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory.
    #[error("{action} {}: {cause}", .path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why it failed.
        cause: io::Error,
    },
    /// Somebody else's network comes first.
    #[error(
        "{}: the container runtime uses this network configuration instead of ours; remove it, or start rustlet with --network none",
        .0.display()
    )]
    Foreign(PathBuf),
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |cause| Error::File {
        action,
        path: path.to_owned(),
        cause,
    }
}

/// Links this binary into the runtime's plugin directory. Returns what was changed.
pub fn plugin(bin_dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let target = own_binary()?;
    fs::create_dir_all(bin_dir).map_err(failed("create", bin_dir))?;
    let mut changed = Vec::new();
    for name in [conflist::PLUGIN, LOOPBACK] {
        let path = bin_dir.join(name);
        let points_to = fs::read_link(&path).ok();
        let other_s = name == LOOPBACK && path.exists() && !points_to.as_deref().is_some_and(is_our_link);
        if points_to.as_ref() == Some(&target) || other_s || path == target {
            continue;
        }
        let temporary = bin_dir.join(format!(".{name}.rustlet-tmp"));
        remove_file(&temporary).map_err(failed("remove", &temporary))?;
        symlink(&target, &temporary).map_err(failed("link", &temporary))?;
        fs::rename(&temporary, &path).map_err(failed("link", &path))?;
        changed.push(path);
    }
    Ok(changed)
}

/// The file we run from; after an upgrade in place, the new one.
fn own_binary() -> Result<PathBuf, Error> {
    let link = Path::new("/proc/self/exe");
    let path = fs::read_link(link).map_err(failed("read", link))?;
    let text = path.to_string_lossy();
    Ok(text
        .strip_suffix(" (deleted)")
        .map_or_else(|| path.clone(), PathBuf::from))
}

/// Links we made point to this binary, or to a file of our name that an upgrade moved elsewhere.
fn is_our_link(target: &Path) -> bool {
    target.file_name().is_some_and(|name| name == conflist::PLUGIN)
        || own_binary().is_ok_and(|own| own == target)
}

/// Writes the configuration, unless it is there already or somebody else is in charge. Returns whether it changed.
pub fn conflist(conf_dir: &Path, text: &str) -> Result<bool, Error> {
    fs::create_dir_all(conf_dir).map_err(failed("create", conf_dir))?;
    let files = files(conf_dir)?;
    if let Some(file) = conflist::conflict(&files) {
        return Err(Error::Foreign(conf_dir.join(&file.name)));
    }
    if files
        .iter()
        .any(|file| file.name == conflist::FILE && file.content == text)
    {
        return Ok(false);
    }
    let path = conf_dir.join(conflist::FILE);
    write_atomic(&path, text.as_bytes(), 0o644).map_err(failed("write", &path))?;
    Ok(true)
}

fn files(conf_dir: &Path) -> Result<Vec<ConfFile>, Error> {
    let mut files = Vec::new();
    for entry in fs::read_dir(conf_dir).map_err(failed("read", conf_dir))? {
        let entry = entry.map_err(failed("read", conf_dir))?;
        if entry.path().is_file() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let content = fs::read_to_string(entry.path()).unwrap_or_default();
            files.push(ConfFile { name, content });
        }
    }
    Ok(files)
}

/// Removes our configuration and our links; what is somebody else's stays.
pub fn clean(conf_dir: &Path, bin_dir: &Path) -> Result<(), Error> {
    let path = conf_dir.join(conflist::FILE);
    if fs::read_to_string(&path).is_ok_and(|content| conflist::is_ours(&content)) {
        remove_file(&path).map_err(failed("remove", &path))?;
    }
    for name in [conflist::PLUGIN, LOOPBACK] {
        let path = bin_dir.join(name);
        if fs::read_link(&path).is_ok_and(|target| is_our_link(&target)) {
            remove_file(&path).map_err(failed("remove", &path))?;
        }
    }
    Ok(())
}
