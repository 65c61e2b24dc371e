//! A directory that others may write to: what is opened in it is beneath it. [`Directory`] never follows a link;
//! [`inside`] follows those that stay beneath.

use super::watch::Watch;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, OpenHow, ResolveFlag, openat2, readlinkat};
use nix::sys::stat::{Mode, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// An open directory.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
    /// For messages.
    path: PathBuf,
}

/// What is known of a file without opening it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Its file system.
    pub dev: u64,
    /// Its number there.
    pub ino: u64,
    /// Bytes.
    pub size: u64,
    /// A regular file: no link, no FIFO, no directory.
    pub regular: bool,
}

/// What a path leads to.
#[derive(Debug)]
pub enum Inside {
    /// A directory.
    Directory(Directory, Metadata),
    /// A regular file, open for reading.
    File(File, Metadata),
}

/// How many links that name their target from the root are followed.
const MOST_LINKS: usize = 8;

/// Opens a file or directory beneath `base`. Links are followed while they stay beneath; the last part of the path may
/// be one whose target is given from the root. An error when it leads out, and for what is neither file nor directory.
pub fn inside(base: &Path, path: &Path) -> io::Result<Inside> {
    let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC);
    let top = openat2(AT_FDCWD, base, how).map_err(|error| named("open", base, error))?;
    let mut path = if path.as_os_str().is_empty() {
        PathBuf::from(".")
    } else {
        path.to_owned()
    };
    let open = |path: &Path, flags: OFlag| {
        let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC);
        openat2(
            &top,
            path,
            how.resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS),
        )
    };
    for _ in 0..MOST_LINKS {
        match open(&path, OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY) {
            Ok(fd) => return what(fd, &base.join(&path)),
            Err(nix::errno::Errno::EXDEV) => {}
            Err(nix::errno::Errno::ELOOP) => break,
            Err(error) => return Err(named("open", &base.join(&path), error)),
        }
        let target = open(&path, OFlag::O_PATH | OFlag::O_NOFOLLOW)
            .and_then(|link| readlinkat(&link, ""))
            .map(PathBuf::from);
        // Dots would be resolved against the wrong directory, and what is no link has led out on its way.
        path = match target {
            Ok(target) if target.is_absolute() => match target.strip_prefix(base) {
                Ok(rest) if !rest.as_os_str().is_empty() => rest.to_owned(),
                _ => return Err(named("open", &base.join(&path), nix::errno::Errno::EXDEV)),
            },
            _ => return Err(named("open", &base.join(&path), nix::errno::Errno::EXDEV)),
        };
    }
    let text = format!("open {}: too many links", base.join(&path).display());
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}

fn what(fd: OwnedFd, path: &Path) -> io::Result<Inside> {
    let file = File::from(fd);
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        let directory = Directory {
            fd: file.into(),
            path: path.to_owned(),
        };
        return Ok(Inside::Directory(directory, metadata));
    }
    if metadata.is_file() {
        return Ok(Inside::File(file, metadata));
    }
    let text = format!("open {}: not a regular file", path.display());
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}

/// Neither a link nor `..` leads out, at no part of the path.
fn beneath(flags: OFlag, mode: Mode) -> OpenHow {
    let resolve =
        ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    OpenHow::new()
        .flags(flags | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW)
        .mode(mode)
        .resolve(resolve)
}

/// Opens a regular file for reading, resolved as if `root` were `/`: links may lead anywhere, and never out. What is no
/// regular file is an error.
pub fn open_in_root(root: &Path, path: &Path) -> io::Result<File> {
    let full = root.join(path);
    let opened = || -> nix::Result<OwnedFd> {
        let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC);
        let root = openat2(AT_FDCWD, root, how)?;
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        openat2(&root, path, OpenHow::new().flags(flags).resolve(resolve))
    };
    regular(opened().map_err(|e| named("open", &full, e))?.into(), &full)
}

/// The file, if it is a regular one.
fn regular(file: File, path: &Path) -> io::Result<File> {
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    let text = format!("open {}: not a regular file", path.display());
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}

impl Directory {
    /// Opens a directory beneath `base`. `base` itself is the operator's and may be a link. Errors name the path.
    pub fn open(base: &Path, path: &Path) -> io::Result<Self> {
        let full = base.join(path);
        let opened = || -> nix::Result<OwnedFd> {
            let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC);
            let base = openat2(AT_FDCWD, base, how)?;
            let how = beneath(OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty());
            openat2(&base, path, how)
        };
        match opened() {
            Ok(fd) => Ok(Self { fd, path: full }),
            Err(error) => Err(named("open", &full, error)),
        }
    }

    /// Opens a regular file in the directory for reading. A link is an error, and so is anything that is no regular
    /// file: opening a FIFO does not wait for its writer.
    pub fn file(&self, name: &str) -> io::Result<File> {
        let path = self.path.join(name);
        let how = beneath(
            OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY,
            Mode::empty(),
        );
        let file = openat2(&self.fd, name, how).map_err(|e| named("open", &path, e))?;
        regular(file.into(), &path)
    }

    /// Creates a file that is not there yet.
    pub fn create(&self, name: &str, mode: u32) -> io::Result<File> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL;
        let how = beneath(flags, Mode::from_bits_truncate(mode));
        let file = openat2(&self.fd, name, how);
        file.map(File::from)
            .map_err(|e| named("create", &self.path.join(name), e))
    }

    /// What a name in the directory stands for, a link itself; `None` when there is nothing.
    pub fn stat(&self, name: &str) -> io::Result<Option<Stat>> {
        match fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(Stat {
                dev: stat.st_dev,
                ino: stat.st_ino,
                size: u64::try_from(stat.st_size).unwrap_or(0),
                regular: stat.st_mode & nix::libc::S_IFMT == nix::libc::S_IFREG,
            })),
            Err(nix::errno::Errno::ENOENT) => Ok(None),
            Err(error) => Err(named("look at", &self.path.join(name), error)),
        }
    }

    /// Renames within the directory.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        nix::fcntl::renameat(&self.fd, from, &self.fd, to)
            .map_err(|e| named("rename", &self.path.join(from), e))
    }

    /// Removes a file; one that is not there is a success.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        match unlinkat(&self.fd, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(nix::errno::Errno::ENOENT) => Ok(()),
            Err(error) => Err(named("remove", &self.path.join(name), error)),
        }
    }

    /// All names; those that are not UTF-8 are left out.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.itself())? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Names, and whether each is a directory (a link is none), in no order; those that are not UTF-8 and those beyond
    /// `most` are left out.
    pub fn listing(&self, most: usize) -> io::Result<Vec<(String, bool)>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.itself())?.take(most) {
            let entry = entry?;
            if let Ok(name) = entry.file_name().into_string() {
                names.push((name, entry.file_type()?.is_dir()));
            }
        }
        Ok(names)
    }

    /// Changes in this directory from now on.
    pub fn watch(&self) -> io::Result<Watch> {
        Watch::of(&self.itself())
    }

    /// A path to the open directory, whatever its name is now.
    fn itself(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.fd.as_raw_fd()).into()
    }
}

fn named(what: &str, path: &Path, error: nix::errno::Errno) -> io::Error {
    let error = io::Error::from(error);
    io::Error::new(error.kind(), format!("{what} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests;
