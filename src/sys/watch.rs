//! Changes in a directory, as the kernel tells them.

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::Path;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

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
    /// Changes of a file, or in a directory, from now on. A link is followed. The error names the path.
    pub fn of(path: &Path) -> io::Result<Self> {
        let named = |error: nix::errno::Errno| {
            let error = io::Error::from(error);
            io::Error::new(error.kind(), format!("watch {}: {error}", path.display()))
        };
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).map_err(named)?;
        let what = AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_ATTRIB
            | AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_DELETE_SELF;
        inotify.add_watch(path, what).map_err(named)?;
        // SAFETY: the queue owns its descriptor, always gives that one, and is dropped with what it is registered in.
        #[expect(unsafe_code, reason = "tokio asks who owns the descriptor")]
        let registered = unsafe { AsyncFd::register_with_interest(Queue(inotify), Interest::READABLE) };
        Ok(Self(registered?))
    }

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
