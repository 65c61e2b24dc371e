//! A directory that others may write to, used without ever following a link: what is opened in it is beneath it.

use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::stat::{Mode, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

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

/// Neither a link nor `..` leads out, at no part of the path.
fn beneath(flags: OFlag, mode: Mode) -> OpenHow {
    let resolve =
        ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    OpenHow::new()
        .flags(flags | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW)
        .mode(mode)
        .resolve(resolve)
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
        let file = File::from(openat2(&self.fd, name, how).map_err(|e| named("open", &path, e))?);
        if !file.metadata()?.is_file() {
            let text = format!("open {}: not a regular file", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        Ok(file)
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

    /// Changes in this directory from now on.
    pub fn watch(&self) -> io::Result<Watch> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        let what = AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_DELETE;
        inotify.add_watch(&self.itself(), what)?;
        // SAFETY: the queue owns its descriptor, always gives that one, and is dropped with what it is registered in.
        #[expect(unsafe_code, reason = "tokio asks who owns the descriptor")]
        let registered = unsafe { AsyncFd::register_with_interest(Queue(inotify), Interest::READABLE) };
        Ok(Watch(registered?))
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

/// Tells of changes in a directory; nothing of it is left when it is dropped.
#[derive(Debug)]
pub struct Watch(AsyncFd<Queue>);

/// What `AsyncFd` wants of a descriptor.
#[derive(Debug)]
struct Queue(Inotify);

impl AsRawFd for Queue {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Watch {
    /// Waits until something changed and returns the names of files that a writer has closed meanwhile.
    pub async fn changed(&self) -> io::Result<Vec<String>> {
        loop {
            let mut ready = self.0.readable().await?;
            match ready.try_io(|fd| fd.get_ref().0.read_events().map_err(io::Error::from)) {
                Ok(events) => {
                    let closed = events?
                        .into_iter()
                        .filter(|event| event.mask.contains(AddWatchFlags::IN_CLOSE_WRITE));
                    let names = closed.filter_map(|event| event.name?.into_string().ok());
                    return Ok(names.collect());
                }
                Err(_would_block) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
