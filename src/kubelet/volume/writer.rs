//! Writes a volume's files so that a reader sees all of the old content or all of the new, as kubelet lays them out:
//!
//! ```text
//! <volume>/..2026_11_21_10_00_00.123456789/…   the files
//! <volume>/..data -> ..2026_11_21_10_00_00.123456789
//! <volume>/<name> -> ..data/<name>             for every top-level name
//! ```
//!
//! The swap of `..data` is one rename. What a crash leaves behind (a directory nobody points to, `..data_tmp`) is
//! removed by the next write.

use super::content::Payload;
use crate::sys::mount::remove_tree;
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::Path;

const DATA: &str = "..data";
const DATA_NEW: &str = "..data_tmp";

/// Makes `dir` (which exists) show exactly `payload`; `group` is the Pod's fsGroup. Returns whether anything
/// changed. `stamp` names the new version and must differ from the version that is there.
pub fn write(dir: &Path, payload: &Payload, group: Option<u32>, stamp: &str) -> io::Result<bool> {
    let current = match std::fs::read_link(dir.join(DATA)) {
        Ok(target) => Some(target),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let mut changed = false;
    let mut version = current.map(|c| c.into_os_string());
    if !version
        .as_ref()
        .is_some_and(|v| holds(&dir.join(v), payload, group))
    {
        let fresh = OsString::from(format!("..{stamp}"));
        remove_tree(&dir.join(&fresh))?;
        write_version(&dir.join(&fresh), payload, group)?;
        remove_file(&dir.join(DATA_NEW))?;
        symlink(&fresh, dir.join(DATA_NEW))?;
        std::fs::rename(dir.join(DATA_NEW), dir.join(DATA))?;
        version = Some(fresh);
        changed = true;
    }
    let names: BTreeSet<&OsStr> = payload.keys().filter_map(|p| p.iter().next()).collect();
    show(dir, &names)?;
    sweep(dir, &names, version.as_deref())?;
    Ok(changed)
}

/// The version on disk has exactly these files with this content and these modes.
fn holds(version: &Path, payload: &Payload, group: Option<u32>) -> bool {
    let same = payload.iter().all(|(path, file)| {
        let path = version.join(path);
        std::fs::symlink_metadata(&path)
            .is_ok_and(|m| m.is_file() && m.mode() & 0o777 == final_mode(file.mode, group))
            && std::fs::read(&path).is_ok_and(|data| data == file.data)
    });
    same && count_files(version).is_ok_and(|n| n == payload.len())
}

fn count_files(dir: &Path) -> io::Result<usize> {
    let mut count = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        count += if entry.file_type()?.is_dir() {
            count_files(&entry.path())?
        } else {
            1
        };
    }
    Ok(count)
}

/// The group may read what it owns, as kubelet does for read-only volumes.
fn final_mode(mode: u32, group: Option<u32>) -> u32 {
    if group.is_some() { mode | 0o440 } else { mode }
}

fn write_version(version: &Path, payload: &Payload, group: Option<u32>) -> io::Result<()> {
    make_dir(version, group)?;
    for (path, file) in payload {
        let mut parent = version.to_owned();
        for name in path.parent().into_iter().flat_map(Path::iter) {
            parent.push(name);
            if !parent.is_dir() {
                make_dir(&parent, group)?;
            }
        }
        let target = version.join(path);
        std::fs::write(&target, &file.data)?;
        if file.owner.is_some() || group.is_some() {
            lchown(&target, file.owner, group)?;
        }
        // After the content and past the umask.
        std::fs::set_permissions(&target, PermissionsExt::from_mode(final_mode(file.mode, group)))?;
    }
    Ok(())
}

fn make_dir(dir: &Path, group: Option<u32>) -> io::Result<()> {
    std::fs::create_dir(dir)?;
    if group.is_some() {
        lchown(dir, None, group)?;
    }
    let mode = if group.is_some() { 0o2775 } else { 0o755 };
    std::fs::set_permissions(dir, PermissionsExt::from_mode(mode))
}

/// Creates the symlinks a container sees.
fn show(dir: &Path, names: &BTreeSet<&OsStr>) -> io::Result<()> {
    for name in names {
        match symlink(Path::new(DATA).join(name), dir.join(name)) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Removes symlinks to files that are gone, and versions nobody points to.
fn sweep(dir: &Path, names: &BTreeSet<&OsStr>, version: Option<&OsStr>) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let path = entry.path();
        if names.contains(&*name) || name == DATA || Some(&*name) == version {
            continue;
        }
        if name.as_bytes().starts_with(b"..2") {
            remove_tree(&path)?;
        } else if name == DATA_NEW || std::fs::read_link(&path).is_ok_and(|target| target.starts_with(DATA)) {
            remove_file(&path)?;
        }
    }
    Ok(())
}

fn remove_file(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
