//! Network namespaces: open them, run something inside, never get lost in one.
//!
//! A thread that entered a namespace must not do anything else afterwards, least of all run a tokio task. So the agent
//! uses [`run_in`], whose thread dies with the call, and the single-threaded CNI plugin uses [`visit`], which comes
//! back before it returns. Sockets keep the namespace they were created in: open one inside, use it from outside.

use nix::sched::CloneFlags;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What went wrong with a network namespace.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file that names the namespace cannot be opened.
    #[error("network namespace {path}: {cause}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The file is there but is not a network namespace; a bind mount that is gone leaves an empty file behind.
    #[error("{path} is not a network namespace")]
    NotANamespace {
        /// The file.
        path: PathBuf,
    },
    /// The kernel did not let us in.
    #[error("enter network namespace {path}: {cause}")]
    Enter {
        /// The namespace.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// No thread could be started.
    #[error("thread for network namespace {path}: {cause}")]
    Thread {
        /// The namespace.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
}

impl Error {
    /// The namespace does not exist (any more).
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Open { cause, .. } => {
                matches!(
                    cause.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                )
            }
            Self::NotANamespace { .. } => true,
            Self::Enter { .. } | Self::Thread { .. } => false,
        }
    }
}

/// Identity of a namespace: two handles are the same namespace exactly when these are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NetnsId {
    /// Device of the nsfs inode.
    pub dev: u64,
    /// Inode on it.
    pub ino: u64,
}

/// An open network namespace.
#[derive(Debug)]
pub struct Netns {
    file: File,
    path: PathBuf,
    id: NetnsId,
}

impl Netns {
    /// Opens the namespace a path names, as `/run/netns/…` or `/proc/<pid>/ns/net`.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let open = |cause| Error::Open {
            path: path.to_owned(),
            cause,
        };
        let file = File::open(path).map_err(open)?;
        let meta = file.metadata().map_err(open)?;
        if nix::sys::statfs::fstatfs(&file)
            .map_err(|e| open(e.into()))?
            .filesystem_type()
            != nix::sys::statfs::NSFS_MAGIC
        {
            return Err(Error::NotANamespace {
                path: path.to_owned(),
            });
        }
        Ok(Self {
            file,
            path: path.to_owned(),
            id: NetnsId {
                dev: meta.dev(),
                ino: meta.ino(),
            },
        })
    }

    /// The calling thread's namespace.
    pub fn current() -> Result<Self, Error> {
        Self::open(Path::new("/proc/thread-self/ns/net"))
    }

    /// Which namespace this is.
    pub fn id(&self) -> NetnsId {
        self.id
    }

    /// The file it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    #[expect(clippy::disallowed_methods, reason = "this is the wrapper the lint points to")]
    fn enter(&self) -> Result<(), Error> {
        nix::sched::setns(&self.file, CloneFlags::CLONE_NEWNET).map_err(|e| Error::Enter {
            path: self.path.clone(),
            cause: e.into(),
        })
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl AsRawFd for Netns {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

/// Runs `f` inside a namespace on a thread of its own, which enters, runs and dies: nothing has to be restored.
/// Blocks until `f` is done; a panic in `f` goes on in the caller.
pub fn run_in<T: Send>(netns: &Netns, f: impl FnOnce() -> T + Send) -> Result<T, Error> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("netns".to_owned())
            .spawn_scoped(scope, || netns.enter().map(|()| f()))
            .map_err(|cause| Error::Thread {
                path: netns.path.clone(),
                cause,
            })?;
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Runs `f` inside a namespace on the calling thread and comes back. Only for a process with one thread, as the CNI
/// plugin is.
///
/// # Panics
/// When the way back is closed: going on in the wrong namespace would configure the wrong machine.
pub fn visit<T>(netns: &Netns, f: impl FnOnce() -> T) -> Result<T, Error> {
    struct Home(Netns);
    impl Drop for Home {
        fn drop(&mut self) {
            if let Err(e) = self.0.enter() {
                panic!("no way back to our own network namespace: {e}");
            }
        }
    }
    let _home = Home(Netns::current()?);
    netns.enter()?;
    Ok(f())
}
