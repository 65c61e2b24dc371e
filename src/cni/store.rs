//! Reservations on disk, in host-local's format, so that a node can change hands with its pods running.
//!
//! In `<data dir>/<network>/`: one file per address, named by it, holding `<container id>\r\n<interface>`;
//! `last_reserved_ip.<set>` holding an address; `lock`, held by flock; `ports`, the directory of [`super::ports`]. A reservation appears by a hard link to a
//! complete file, so a half-written one never exists, whenever we are killed. There is no fsync: after a power cut no
//! container is left either, and the agent reconciles at its start.
//!
//! Files that are something else are reported and never touched. A file that is named by an address but does not name
//! its owner keeps the address taken. Only an empty one (host-local, killed between create and write) may be released,
//! by those who know which containers live.

use super::ipam;
use super::spec::Owner;
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

const LOCK: &str = "lock";
const LAST: &str = "last_reserved_ip.";
/// One is enough: whoever writes holds the lock.
const TEMPORARY: &str = ".rustlet.tmp";

/// The directory or a file in it failed.
#[derive(Debug, thiserror::Error)]
#[error("{action} {path}: {cause}")]
pub struct Error {
    /// What was tried.
    pub action: &'static str,
    /// With which file.
    pub path: PathBuf,
    /// Why it failed.
    pub cause: io::Error,
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |cause| Error {
        action,
        path: path.to_owned(),
        cause,
    }
}

/// A locked network directory. The lock is released on drop, and by the kernel when we die.
#[derive(Debug)]
pub struct DiskStore {
    dir: PathBuf,
    _lock: File,
    warnings: Vec<String>,
}

impl DiskStore {
    /// Creates the directory when needed and waits for its lock.
    pub fn open(data_dir: &Path, network: &str) -> Result<Self, Error> {
        let dir = data_dir.join(network);
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(&dir)
            .map_err(failed("create", &dir))?;
        Self::lock(dir)
    }

    /// As [`DiskStore::open`], but `None` when the network has no directory.
    pub fn open_existing(data_dir: &Path, network: &str) -> Result<Option<Self>, Error> {
        let dir = data_dir.join(network);
        if dir.is_dir() {
            Self::lock(dir).map(Some)
        } else {
            Ok(None)
        }
    }

    fn lock(dir: PathBuf) -> Result<Self, Error> {
        let path = dir.join(LOCK);
        let lock = crate::sys::fs::lock(&path, 0o640).map_err(failed("lock", &path))?;
        Ok(Self {
            dir,
            _lock: lock,
            warnings: Vec::new(),
        })
    }

    /// What was found that does not belong here, since the last call.
    pub fn warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// When an address was reserved; `None` when it is not.
    pub fn reserved_at(&self, ip: IpAddr) -> Option<SystemTime> {
        fs::metadata(self.file(ip)).ok()?.modified().ok()
    }

    /// The reservation's file is empty: its writer was killed before it could name the owner.
    pub fn is_empty(&self, ip: IpAddr) -> bool {
        fs::metadata(self.file(ip)).is_ok_and(|meta| meta.is_file() && meta.len() == 0)
    }

    fn file(&self, ip: IpAddr) -> PathBuf {
        self.dir.join(ip.to_string())
    }

    fn write_temporary(&self, content: &str) -> Result<PathBuf, Error> {
        let path = self.dir.join(TEMPORARY);
        // A new inode each time: a leftover may be the second name of somebody's reservation.
        remove(&path)?;
        let mut file = OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed("create", &path))?;
        file.write_all(content.as_bytes())
            .map_err(failed("write", &path))?;
        Ok(path)
    }

    fn owner(&mut self, path: &Path) -> Option<Owner> {
        match fs::read_to_string(path) {
            Ok(text) => {
                let owner = parse(&text);
                if owner.is_none() {
                    self.warnings.push(format!(
                        "{}: names no container; its address stays reserved",
                        path.display()
                    ));
                }
                owner
            }
            Err(e) => {
                self.warnings
                    .push(format!("{}: {e}; its address stays reserved", path.display()));
                None
            }
        }
    }
}

/// `<container id>\r\n<interface>`; files of host-local before 0.8 name only the container.
fn parse(text: &str) -> Option<Owner> {
    let text = text.trim();
    let (container_id, ifname) = text.split_once("\r\n").unwrap_or((text, ""));
    let valid = super::spec::valid_id(container_id) && !ifname.contains(char::is_whitespace);
    valid.then(|| Owner {
        container_id: container_id.to_owned(),
        ifname: ifname.to_owned(),
    })
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(e)),
        _ => Ok(()),
    }
}

impl ipam::Store for DiskStore {
    type Error = Error;

    fn reservations(&mut self) -> Result<BTreeMap<IpAddr, Option<Owner>>, Error> {
        let mut all = BTreeMap::new();
        for entry in fs::read_dir(&self.dir).map_err(failed("read", &self.dir))? {
            let entry = entry.map_err(failed("read", &self.dir))?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            match name.parse() {
                Ok(ip) => {
                    let owner = self.owner(&entry.path());
                    all.insert(ip, owner);
                }
                Err(_)
                    if [LOCK, TEMPORARY, super::ports::DIR].contains(&&*name) || name.starts_with(LAST) => {}
                Err(_) => self
                    .warnings
                    .push(format!("{}: not an address; ignored", entry.path().display())),
            }
        }
        Ok(all)
    }

    fn last_reserved(&mut self, set: usize) -> Result<Option<IpAddr>, Error> {
        // Only a hint: what cannot be read costs the round robin once.
        let text = fs::read_to_string(self.dir.join(format!("{LAST}{set}"))).ok();
        Ok(text.and_then(|text| text.trim().parse().ok()))
    }

    fn reserve(&mut self, ip: IpAddr, owner: &Owner, set: usize) -> Result<bool, Error> {
        let path = self.file(ip);
        let temporary = self.write_temporary(&format!("{}\r\n{}", owner.container_id, owner.ifname))?;
        let linked = fs::hard_link(&temporary, &path);
        remove(&temporary)?;
        match linked {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            done => done.map_err(failed("create", &path))?,
        }
        let last = self.dir.join(format!("{LAST}{set}"));
        let temporary = self.write_temporary(&ip.to_string())?;
        fs::rename(&temporary, &last).map_err(failed("write", &last))?;
        Ok(true)
    }

    fn release(&mut self, ip: IpAddr) -> Result<(), Error> {
        remove(&self.file(ip))
    }
}

#[cfg(test)]
mod tests;
