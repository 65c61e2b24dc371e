//! Mount table, tmpfs, bind mounts, and removal of directory trees that never crosses a live mount.

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::mount::{MntFlags, MsFlags};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::ffi::{OsStr, OsString};
use std::fs::Permissions;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

/// One line of `mountinfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where it is mounted.
    pub target: PathBuf,
    /// File system type.
    pub fs_type: Box<str>,
}

/// The mounts of the calling thread's mount namespace, in mount order.
pub fn mounts() -> io::Result<Vec<Mount>> {
    Ok(parse_mountinfo(&std::fs::read("/proc/thread-self/mountinfo")?))
}

/// Parses `mountinfo`; lines that make no sense are left out.
pub fn parse_mountinfo(text: &[u8]) -> Vec<Mount> {
    text.split(|b| *b == b'\n').filter_map(parse_line).collect()
}

fn parse_line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|b| *b == b' ');
    let target = unescape(fields.nth(4)?);
    let mut rest = fields.skip_while(|f| *f != b"-");
    rest.next()?;
    let fs_type = String::from_utf8_lossy(rest.next()?).into();
    Some(Mount {
        target: OsString::from_vec(target).into(),
        fs_type,
    })
}

/// The kernel writes space, tab, newline and backslash as `\ooo`.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        let octal = (*first == b'\\' && tail.len() >= 3)
            .then(|| {
                std::str::from_utf8(&tail[..3])
                    .ok()
                    .and_then(|t| u8::from_str_radix(t, 8).ok())
            })
            .flatten();
        match octal {
            Some(byte) => {
                out.push(byte);
                rest = &tail[3..];
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    out
}

/// True when something is mounted exactly at `path`.
pub fn is_mount_point(path: &Path) -> io::Result<bool> {
    Ok(mounts()?.iter().any(|m| m.target == path))
}

/// Mounts a tmpfs at `target`, which must exist.
pub fn tmpfs(target: &Path, size_bytes: Option<u64>) -> io::Result<()> {
    let options = size_bytes.map(|size| format!("size={size}"));
    nix::mount::mount(
        Some("tmpfs"),
        target,
        Some("tmpfs"),
        MsFlags::empty(),
        options.as_deref(),
    )?;
    Ok(())
}

/// Bind-mounts the object behind an open descriptor at `target`, so that nobody can swap the source meanwhile.
pub fn bind_fd(source: &OwnedFd, target: &Path) -> io::Result<()> {
    let source = format!("/proc/self/fd/{}", source.as_raw_fd());
    let none: Option<&str> = None;
    nix::mount::mount(
        Some(source.as_str()),
        target,
        none,
        MsFlags::MS_BIND | MsFlags::MS_REC,
        none,
    )?;
    Ok(())
}

/// Unmounts exactly this mount point, without following a symlink. A busy mount is detached: it disappears from the
/// tree now and is freed when its last user ends. Not mounted counts as done.
pub fn unmount(target: &Path) -> io::Result<()> {
    match nix::mount::umount2(target, MntFlags::UMOUNT_NOFOLLOW) {
        Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => Ok(()),
        Err(Errno::EBUSY) => Ok(nix::mount::umount2(
            target,
            MntFlags::UMOUNT_NOFOLLOW | MntFlags::MNT_DETACH,
        )?),
        Err(error) => Err(error.into()),
    }
}

/// Unmounts everything mounted at or below `root`, deepest first. An error leaves the rest mounted.
pub fn unmount_below(root: &Path) -> io::Result<()> {
    let mut targets: Vec<PathBuf> = mounts()?
        .into_iter()
        .map(|m| m.target)
        .filter(|t| t.starts_with(root))
        .collect();
    // Later mounts hide earlier ones on the same path, so the list is undone from its end.
    targets.reverse();
    targets.sort_by_key(|t| std::cmp::Reverse(t.components().count()));
    targets.iter().try_for_each(|target| unmount(target))
}

/// Removes a directory tree without following symlinks and without entering a mount: every directory is opened
/// with `RESOLVE_NO_XDEV`, so files on something still mounted are out of reach. A tree that is gone is a success.
pub fn remove_tree(root: &Path) -> io::Result<()> {
    let (Some(parent), Some(name)) = (root.parent(), root.file_name()) else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a directory that can be removed",
        ));
    };
    let parent = match std::fs::File::open(parent) {
        Ok(file) => OwnedFd::from(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    remove_entry(&parent, name)
}

fn remove_entry(parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
    match unlinkat(parent, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => return Ok(()),
        // EISDIR is Linux's answer for a directory, EPERM POSIX's.
        Err(Errno::EISDIR | Errno::EPERM) => {}
        Err(error) => return Err(error.into()),
    }
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)
        .resolve(
            ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_XDEV | ResolveFlag::RESOLVE_NO_SYMLINKS,
        );
    let dir = match openat2(parent, name, how) {
        Ok(dir) => dir,
        Err(Errno::ENOENT) => return Ok(()),
        Err(Errno::EXDEV) => {
            return Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                format!("{} is still mounted", name.display()),
            ));
        }
        Err(error) => return Err(error.into()),
    };
    let names: Vec<OsString> = std::fs::read_dir(format!("/proc/self/fd/{}", dir.as_raw_fd()))?
        .map(|e| e.map(|e| e.file_name()))
        .collect::<io::Result<_>>()?;
    for child in &names {
        remove_entry(&dir, child)?;
    }
    match unlinkat(parent, name, UnlinkatFlags::RemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Opens `path` inside `root` so that neither `..` nor a symlink can lead out of it (CVE-2017-1002101,
/// CVE-2021-25741). Missing components are created as directories with `mode`, of which the umask takes its part from all
/// but the last.
pub fn open_beneath(root: &Path, path: &Path, mode: u32) -> io::Result<OwnedFd> {
    let root = OwnedFd::from(std::fs::File::open(root)?);
    let mut walked = PathBuf::new();
    let mut here: Option<OwnedFd> = None;
    let mut made = false;
    for component in path.components() {
        let name = match component {
            Component::Normal(name) => name,
            Component::CurDir => continue,
            _ => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "path must be relative and without ..",
                ));
            }
        };
        walked.push(name);
        made = false;
        let next = match open_path(&root, &walked) {
            Err(Errno::ENOENT) => {
                let parent = here.as_ref().map_or(root.as_fd(), AsFd::as_fd);
                match mkdirat(parent, name, Mode::from_bits_truncate(mode)) {
                    Ok(()) => made = true,
                    Err(Errno::EEXIST) => {}
                    Err(error) => return Err(error.into()),
                }
                open_path(&root, &walked)
            }
            other => other,
        };
        here = Some(next?);
    }
    let found = here.unwrap_or(root);
    if made {
        let open = format!("/proc/self/fd/{}", found.as_raw_fd());
        std::fs::set_permissions(open, Permissions::from_mode(mode))?;
    }
    Ok(found)
}

fn open_path(root: &OwnedFd, path: &Path) -> nix::Result<OwnedFd> {
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    openat2(root, path, how)
}

#[cfg(test)]
mod tests;
