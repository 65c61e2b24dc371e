//! Opens logs beneath the pods' log directory, and finds what comes after a log that was rotated.

use super::names::{self, Rotated};
use crate::sys::beneath::Directory;
use flate2::read::GzDecoder;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How much of a file's beginning tells it from others: a time to the nanosecond.
const HEAD: usize = 64;
/// How often a log that is rotated while it is being opened is tried again.
const TRIES: usize = 10;

/// A log that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The runtime's path is not below the pods' log directory.
    #[error("log path {path:?} is not below {base:?}")]
    Elsewhere {
        /// The runtime's path.
        path: PathBuf,
        /// The pods' log directory.
        base: PathBuf,
    },
    /// The system refused.
    #[error("failed to open log file {path:?}: {cause}")]
    Open {
        /// The log.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

/// Where a container's log is: its directory, and its name there.
#[derive(Clone, Debug)]
pub struct Place {
    /// The container's log directory.
    pub dir: Arc<Directory>,
    /// As `0.log`.
    pub name: Box<str>,
}

impl Place {
    /// The directory of a log the runtime writes to `path`. Blocks.
    pub fn open(base: &Path, path: &Path) -> Result<Self, Error> {
        let elsewhere = || Error::Elsewhere {
            path: path.into(),
            base: base.into(),
        };
        let below = path.strip_prefix(base).map_err(|_| elsewhere())?;
        let parts = below
            .parent()
            .zip(below.file_name().and_then(|name| name.to_str()));
        let (parent, name) = parts
            .filter(|(parent, _)| !parent.as_os_str().is_empty())
            .ok_or_else(elsewhere)?;
        let dir = Directory::open(base, parent).map_err(|cause| Error::Open {
            path: path.into(),
            cause,
        })?;
        Ok(Self {
            dir: Arc::new(dir),
            name: name.into(),
        })
    }

    /// Opens the log the runtime writes now. Blocks.
    pub fn current(&self) -> io::Result<Opened> {
        for _ in 0..TRIES {
            let file = self.dir.file(&self.name)?;
            let id = Id::of(&file)?;
            let older = self.rotated()?.pop().map(|rotated| rotated.stem);
            // What was rotated until now is older only if the log was not rotated meanwhile.
            if self.id()? == Some(id) {
                return Ok(Opened {
                    input: Input::Plain(file),
                    origin: Origin::Log { id, older },
                });
            }
        }
        Err(io::Error::other("rotated each time it was opened"))
    }

    /// Rotated logs, oldest first.
    fn rotated(&self) -> io::Result<Vec<Rotated>> {
        let names = self.dir.names()?;
        Ok(names::sort(&self.name, names.iter().map(String::as_str)).rotated)
    }

    /// The file that has the log's name now.
    fn id(&self) -> io::Result<Option<Id>> {
        Ok(self.dir.stat(&self.name)?.map(|stat| Id {
            dev: stat.dev,
            ino: stat.ino,
        }))
    }

    /// What comes after a file that was read to its end. Blocks.
    pub fn after(&self, read: &Opened) -> io::Result<After> {
        let now = self.id()?;
        if matches!(&read.origin, Origin::Log { id, .. } if now == Some(*id)) {
            return Ok(After::Same);
        }
        let rotated = self.rotated()?;
        let (newer, own) = match &read.origin {
            Origin::Rotated(own) => (newer(&rotated, Some(&own.stem)), Some(own.name())),
            Origin::Log { id, older } => {
                let newer = newer(&rotated, older.as_deref());
                match newer.iter().position(|r| self.is(r, *id, &read.input)) {
                    Some(at) => (&newer[at + 1..], Some(newer[at].name())),
                    // Removed: the oldest that is left is the next.
                    None => (newer, None),
                }
            }
        };
        if let Some(next) = newer.first() {
            return self.rotated_log(next);
        }
        let Some(now) = now else {
            return Ok(After::Nothing);
        };
        let next = match self.current() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(After::Nothing),
            next => next?,
        };
        match &next.origin {
            Origin::Log { id, .. } if *id == now => Ok(After::Log(next, own)),
            // Rotated again between the two looks.
            _ => self.after(read),
        }
    }

    fn rotated_log(&self, next: &Rotated) -> io::Result<After> {
        let plain = Rotated {
            gz: false,
            ..next.clone()
        };
        let gz = Rotated {
            gz: true,
            ..next.clone()
        };
        for next in [next.clone(), plain, gz] {
            match self.dir.file(&next.name()) {
                // Compressed or removed between the two looks.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                file => {
                    let input = Input::new(file?, next.gz);
                    let origin = Origin::Rotated(next);
                    return Ok(After::Rotated(Opened { input, origin }));
                }
            }
        }
        Ok(After::Nothing)
    }

    /// Whether a rotated log is the file we read.
    fn is(&self, rotated: &Rotated, id: Id, input: &Input) -> bool {
        let Ok(file) = self.dir.file(&rotated.name()) else {
            return false;
        };
        if !rotated.gz {
            return Id::of(&file).is_ok_and(|other| other == id);
        }
        let Input::Plain(ours) = input else { return false };
        let (mut head, mut other) = ([0; HEAD], Vec::new());
        let Ok(length) = ours.read_at(&mut head, 0) else {
            return false;
        };
        let read = GzDecoder::new(file).take(HEAD as u64).read_to_end(&mut other);
        read.is_ok() && length > 0 && other == head[..length]
    }
}

/// Rotated logs younger than this one.
fn newer<'a>(rotated: &'a [Rotated], than: Option<&str>) -> &'a [Rotated] {
    let at = rotated.partition_point(|r| than.is_some_and(|than| *r.stem <= *than));
    &rotated[at..]
}

/// What comes after a file that was read to its end.
#[derive(Debug)]
pub enum After {
    /// It is still the log: the container may write more.
    Same,
    /// It was rotated, and what comes next is not there yet.
    Nothing,
    /// It was rotated more than once, and this is next; the one that was read is complete.
    Rotated(Opened),
    /// It was rotated, and this is the log now. The runtime may still write to the old one, which has this name; `None`
    /// when it has none any more.
    Log(Opened, Option<String>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Id {
    dev: u64,
    ino: u64,
}

impl Id {
    fn of(file: &File) -> io::Result<Self> {
        let meta = file.metadata()?;
        Ok(Self {
            dev: meta.dev(),
            ino: meta.ino(),
        })
    }
}

/// Under which name a file was opened.
#[derive(Debug)]
enum Origin {
    /// The log's own.
    Log {
        id: Id,
        /// The youngest of the rotated logs that are older.
        older: Option<Box<str>>,
    },
    /// That of a rotated log.
    Rotated(Rotated),
}

/// An open log.
#[derive(Debug)]
pub struct Opened {
    /// What it holds.
    pub input: Input,
    origin: Origin,
}

/// A log's bytes.
#[derive(Debug)]
pub enum Input {
    /// As the runtime wrote them.
    Plain(File),
    /// Compressed by rotation.
    Gz(GzDecoder<File>),
}

impl Input {
    fn new(file: File, gz: bool) -> Self {
        if gz {
            Self::Gz(GzDecoder::new(file))
        } else {
            Self::Plain(file)
        }
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => file.read(buffer),
            Self::Gz(file) => file.read(buffer),
        }
    }
}

#[cfg(test)]
mod tests;
