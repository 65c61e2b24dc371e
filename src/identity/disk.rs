//! The files of the node's credentials: narrow, so that a test can end the world between any two steps.

use crate::sys::fs;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// What is done to files; each step is done whole or not at all, also when the power fails. Errors name the path.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Content of a file; `None` when there is none.
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>>;
    /// Creates or replaces a file of mode 600.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    /// Makes a symbolic link; one that is there is replaced, anything else is an error.
    fn link(&self, target: &Path, path: &Path) -> io::Result<()>;
    /// Gives a symbolic link another name in its directory, in place of a link that may have it.
    fn rename_link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file; one that is not there is a success.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes a directory with those above it.
    fn make_dir(&self, path: &Path) -> io::Result<()>;
}

/// The machine's disk.
#[derive(Clone, Copy, Debug)]
pub struct Machine;

impl Disk for Machine {
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        match std::fs::read(path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(named("read", path, &error)),
        }
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        fs::write_atomic(path, bytes, 0o600)
    }

    fn link(&self, target: &Path, path: &Path) -> io::Result<()> {
        only_a_link(path)?;
        fs::remove_file(path)?;
        std::os::unix::fs::symlink(target, path).map_err(|e| named("link", path, &e))
    }

    fn rename_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        only_a_link(from)?;
        only_a_link(to)?;
        std::fs::rename(from, to)
            .and_then(|()| fs::sync_dir(to.parent().unwrap_or(Path::new("/"))))
            .map_err(|e| named("rename to", to, &e))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn make_dir(&self, path: &Path) -> io::Result<()> {
        std::fs::create_dir_all(path).map_err(|e| named("make directory", path, &e))
    }
}

fn named(verb: &str, path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{verb} {}: {error}", path.display()))
}

/// A file somebody has put where our link belongs is not ours to replace.
fn only_a_link(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.is_symlink() => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            format!("{} is not a symbolic link: move it away", path.display()),
        )),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(named("look at", path, &error)),
        _ => Ok(()),
    }
}

/// Certificates with their keys, one file each; a link named `PREFIX-current.pem` leads to the one in use. The layout is
/// that of upstream's kubelet, so either finds the other's.
#[derive(Clone, Copy, Debug)]
pub struct Store<'a> {
    /// Where the files are.
    pub disk: &'a dyn Disk,
    /// The directory, absolute.
    pub dir: &'a Path,
    /// `kubelet-client` or `kubelet-server`.
    pub prefix: &'a str,
}

impl Store<'_> {
    /// Path of the link.
    pub fn current_path(&self) -> PathBuf {
        self.file("current")
    }

    /// Certificates and key in use, as PEM; `None` when there are none yet. Completes a switch that was interrupted.
    pub fn current(&self) -> io::Result<Option<Vec<u8>>> {
        let current = self.current_path();
        if let Some(bytes) = self.disk.read(&current)? {
            return Ok(Some(bytes));
        }
        let updated = self.file("updated");
        if self.disk.read(&updated)?.is_none() {
            return Ok(None);
        }
        self.disk.rename_link(&updated, &current)?;
        self.disk.read(&current)
    }

    /// Stores a pair in a file of its own, named by the local time, and switches to it. Older files stay.
    pub fn update(&self, certificates: &str, key: &str, now: &jiff::Zoned) -> io::Result<()> {
        self.disk.make_dir(self.dir)?;
        let file = self.file(&now.strftime("%Y-%m-%d-%H-%M-%S").to_string());
        let separator = if certificates.ends_with('\n') { "" } else { "\n" };
        let pair = format!("{certificates}{separator}{key}");
        self.disk.write(&file, pair.as_bytes())?;
        let updated = self.file("updated");
        self.disk.link(&file, &updated)?;
        self.disk.rename_link(&updated, &self.current_path())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{}-{name}.pem", self.prefix))
    }
}

#[cfg(test)]
mod tests;
