//! cgroup directories for pods, on v1, hybrid and v2 machines (cgroupfs driver).
//!
//! A cgroup is named by its path from the hierarchy's root, as `/kubepods/burstable/pod<uid>`; on v1 that path is made
//! in every mounted hierarchy. With the systemd driver [`super::systemd`] makes a pod's slice, and the files are written
//! after it.
//!
//! What a cgroup is given is a [`CgroupSettings`]; `files` knows the kernel's names for it.
//!
//! Never touches the root of a hierarchy, and never writes a limit to a cgroup it was not asked about.

use crate::model::cgroup::CgroupSettings;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How cgroups are mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Only v1 hierarchies.
    V1,
    /// v1 hierarchies carry the controllers; a v2 tree without any is mounted beside them.
    Hybrid,
    /// One v2 tree.
    V2,
}

/// Something about one cgroup did not work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name is no absolute path below the root, without `..`.
    #[error("cgroup {0:?}: want an absolute path below the root")]
    Name(String),
    /// No cgroup file system is mounted.
    #[error("no cgroup file system is mounted")]
    NotMounted,
    /// A file or directory.
    #[error("cgroup {}: {source}", path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// It still has processes after all tries.
    #[error("cgroup {}: processes are still in it", path.display())]
    Busy {
        /// Which one.
        path: PathBuf,
    },
}

/// A result about cgroups.
pub type Result<T> = std::result::Result<T, Error>;

/// One mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hierarchy {
    root: PathBuf,
    /// v1 controllers, as `cpu`; empty for v2 and for named hierarchies.
    controllers: Vec<Box<str>>,
    v2: bool,
}

/// The mounted hierarchies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroups {
    hierarchies: Vec<Hierarchy>,
}

/// Pauses between tries to remove a cgroup whose processes are just dying: 0.3 s in all.
const BUSY_PAUSES: [u64; 5] = [10, 20, 40, 80, 160];

impl Cgroups {
    /// Reads the mount table of this process.
    pub fn detect() -> Result<Self> {
        let path = PathBuf::from("/proc/self/mountinfo");
        let text = fs::read_to_string(&path).map_err(|source| Error::Io { path, source })?;
        let hierarchies = parse(&text);
        if hierarchies.is_empty() {
            return Err(Error::NotMounted);
        }
        Ok(Self { hierarchies })
    }

    /// A v2 tree that stands in for the machine's.
    #[cfg(any(test, feature = "testing"))]
    pub fn unified(root: &Path) -> Self {
        let hierarchy = Hierarchy {
            root: root.to_owned(),
            controllers: Vec::new(),
            v2: true,
        };
        Self {
            hierarchies: vec![hierarchy],
        }
    }

    /// v1, hybrid or v2.
    pub fn version(&self) -> Version {
        let v2 = self.hierarchies.iter().any(|h| h.v2);
        match (self.hierarchies.iter().any(|h| !h.v2), v2) {
            (true, true) => Version::Hybrid,
            (true, false) => Version::V1,
            (false, _) => Version::V2,
        }
    }

    /// True when there is something of this name in any hierarchy.
    pub fn exists(&self, cgroup: &str) -> bool {
        self.hierarchies
            .iter()
            .any(|h| h.path(cgroup).is_ok_and(|p| p.is_dir()))
    }

    /// Names of the cgroups directly below one, in any hierarchy, sorted: `pod<uid>`, `burstable`.
    pub fn children(&self, cgroup: &str) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for hierarchy in &self.hierarchies {
            let children = directories(&hierarchy.path(cgroup)?)?;
            names.extend(
                children
                    .iter()
                    .filter_map(|p| p.file_name()?.to_str().map(str::to_owned)),
            );
        }
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// Makes a cgroup with all its parents, usable: on v1 a new `cpuset` gets its parent's CPUs and memory nodes, on
    /// v2 every level passes its controllers on. What exists already is kept as it is.
    pub fn ensure(&self, cgroup: &str) -> Result<()> {
        for hierarchy in self.used() {
            let levels = hierarchy.levels(cgroup)?;
            for (parent, level) in levels.iter().zip(&levels[1..]) {
                if hierarchy.v2 {
                    delegate(parent)?;
                }
                make(level)?;
                if hierarchy.has("cpuset") {
                    inherit(parent, level, "cpuset.cpus")?;
                    inherit(parent, level, "cpuset.mems")?;
                }
            }
        }
        Ok(())
    }

    /// Gives a cgroup what is set. A controller that is not there limits nothing: upstream takes such a machine too,
    /// but for the ones [`Self::missing`] names.
    pub fn apply(&self, cgroup: &str, settings: &CgroupSettings) -> Result<()> {
        for hierarchy in self.used() {
            let path = hierarchy.path(cgroup)?;
            let controllers = hierarchy.controllers_of(&path)?;
            for write_ in files::writes(settings, hierarchy.v2) {
                if !controllers.iter().any(|c| &**c == write_.controller) {
                    continue;
                }
                match write(&path.join(&write_.file), &write_.value) {
                    Err(Error::Io { source, .. })
                        if write_.optional && source.kind() == ErrorKind::NotFound => {}
                    done => done?,
                }
            }
        }
        Ok(())
    }

    /// Controllers Pods need and this machine does not have.
    pub fn missing(&self) -> Vec<&'static str> {
        let roots = self.used().filter_map(|h| h.controllers_of(&h.root).ok());
        let all: Vec<Box<str>> = roots.flatten().collect();
        let needed = ["cpu", "cpuset", "memory", "pids"];
        needed
            .into_iter()
            .filter(|name| !all.iter().any(|c| **c == **name))
            .collect()
    }

    /// Whether swap is counted, and can so be limited. The root cgroup of v2 has no file that tells; our own has.
    pub fn counts_swap(&self) -> bool {
        let own = usage::own(&fs::read_to_string("/proc/self/cgroup").unwrap_or_default());
        self.used().any(|h| {
            let v2 = own.as_deref().and_then(|name| h.path(name).ok());
            match v2.filter(|_| h.v2) {
                Some(dir) => dir.join("memory.swap.max").exists(),
                None => h.has("memory") && h.root.join("memory.memsw.limit_in_bytes").exists(),
            }
        })
    }

    /// Process ids in a cgroup and everything below it, in any hierarchy, sorted.
    pub fn pids(&self, cgroup: &str) -> Result<Vec<i32>> {
        let mut pids = Vec::new();
        for hierarchy in &self.hierarchies {
            collect_pids(&hierarchy.path(cgroup)?, &mut pids)?;
        }
        pids.sort_unstable();
        pids.dedup();
        Ok(pids)
    }

    /// Kills every process in a cgroup and below it; returns how many there were.
    pub fn kill(&self, cgroup: &str) -> Result<usize> {
        let pids = self.pids(cgroup)?;
        for pid in &pids {
            // One that has ended meanwhile is as good as killed, and there is no other reason to fail.
            let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
        }
        Ok(pids.len())
    }

    /// Removes a cgroup with everything below it, from every hierarchy. What is not there is a success. Processes that
    /// are still in it get a moment to die; then it is [`Error::Busy`].
    pub async fn remove(&self, cgroup: &str) -> Result<()> {
        for hierarchy in &self.hierarchies {
            let path = hierarchy.path(cgroup)?;
            let mut pauses = BUSY_PAUSES.iter();
            while let Err(e) = remove_tree(&path) {
                match (&e, pauses.next()) {
                    (Error::Busy { .. }, Some(pause)) => {
                        tokio::time::sleep(Duration::from_millis(*pause)).await
                    }
                    _ => return Err(e),
                }
            }
        }
        Ok(())
    }

    /// Hierarchies that carry controllers: in hybrid mode the v2 tree does not.
    fn used(&self) -> impl Iterator<Item = &Hierarchy> {
        let hybrid = self.version() == Version::Hybrid;
        self.hierarchies.iter().filter(move |h| !(hybrid && h.v2))
    }
}

impl Hierarchy {
    fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|c| &**c == controller)
    }

    /// Controllers of one of its cgroups.
    fn controllers_of(&self, path: &Path) -> Result<Vec<Box<str>>> {
        if !self.v2 {
            return Ok(self.controllers.clone());
        }
        let text = read(&path.join("cgroup.controllers"))?;
        Ok(text.split_whitespace().map(Into::into).collect())
    }

    fn path(&self, cgroup: &str) -> Result<PathBuf> {
        self.levels(cgroup)
            .map(|mut levels| levels.pop().expect("a valid name has a level"))
    }

    /// The root, then every level of the name.
    fn levels(&self, cgroup: &str) -> Result<Vec<PathBuf>> {
        let mut levels = vec![self.root.clone()];
        for part in cgroup.split('/').filter(|part| !part.is_empty()) {
            if matches!(part, "." | "..") {
                return Err(Error::Name(cgroup.to_owned()));
            }
            levels.push(levels[levels.len() - 1].join(part));
        }
        if levels.len() < 2 || !cgroup.starts_with('/') {
            return Err(Error::Name(cgroup.to_owned()));
        }
        Ok(levels)
    }
}

/// Mounted hierarchies of a `mountinfo`, each once: the mount seen first, which is the machine's own.
fn parse(mountinfo: &str) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = Vec::new();
    for line in mountinfo.lines() {
        let Some(hierarchy) = parse_line(line) else {
            continue;
        };
        let same = |h: &Hierarchy| h.v2 == hierarchy.v2 && h.controllers == hierarchy.controllers;
        if !hierarchy.controllers.is_empty() || hierarchy.v2 {
            if !found.iter().any(same) {
                found.push(hierarchy);
            }
        } else if !found.iter().any(|h| h.root == hierarchy.root) {
            found.push(hierarchy);
        }
    }
    found
}

fn parse_line(line: &str) -> Option<Hierarchy> {
    let (before, after) = line.split_once(" - ")?;
    let mut after = after.split(' ');
    let v2 = match after.next()? {
        "cgroup" => false,
        "cgroup2" => true,
        _ => return None,
    };
    let options = after.nth(1)?;
    let is_controller = |o: &&str| !v2 && CONTROLLERS.contains(o);
    Some(Hierarchy {
        root: before.split(' ').nth(4)?.into(),
        controllers: options.split(',').filter(is_controller).map(Into::into).collect(),
        v2,
    })
}

/// v1 controllers; other mount options (`rw`, `xattr`, `name=systemd`, …) are none.
const CONTROLLERS: [&str; 14] = [
    "blkio",
    "cpu",
    "cpuacct",
    "cpuset",
    "devices",
    "freezer",
    "hugetlb",
    "memory",
    "misc",
    "net_cls",
    "net_prio",
    "perf_event",
    "pids",
    "rdma",
];

/// `cpu.shares` → `cpu.weight` (2 → 1, 1024 → 100, 262144 → 10000), as opencontainers/cgroups since v0.0.5.
fn cpu_weight(shares: u64) -> u64 {
    let shares = f64::from(u32::try_from(shares.clamp(2, 262_144)).expect("clamped"));
    let log = shares.log2();
    let weight = 10f64.powf((log * log + 125.0 * log) / 612.0 - 7.0 / 34.0).ceil();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to 1..=10000"
    )]
    let weight = weight.clamp(1.0, 10_000.0) as u64;
    weight
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    |source| Error::Io { path, source }
}

fn make(path: &Path) -> Result<()> {
    match fs::create_dir(path) {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => Err(at(path)(e)),
        _ => Ok(()),
    }
}

/// Never makes a file: to the kernel one that is not there is one it does not know.
fn write(path: &Path, text: &str) -> Result<()> {
    let file = fs::OpenOptions::new().write(true).truncate(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(at(path))
}

fn read(path: &Path) -> Result<String> {
    Ok(fs::read_to_string(path).map_err(at(path))?.trim().to_owned())
}

/// A cgroup with an empty cpuset takes no process, so a new one gets what its parent has.
fn inherit(parent: &Path, level: &Path, file: &str) -> Result<()> {
    let own = level.join(file);
    if read(&own)?.is_empty() {
        write(&own, &read(&parent.join(file))?)
    } else {
        Ok(())
    }
}

/// Passes every controller a v2 cgroup has on to its children. One that cannot be passed on (`cpu` beside real-time
/// processes) must not keep the others back.
fn delegate(parent: &Path) -> Result<()> {
    let available = read(&parent.join("cgroup.controllers"))?;
    let file = parent.join("cgroup.subtree_control");
    let enabled = read(&file)?;
    let missing = available
        .split(' ')
        .filter(|c| !c.is_empty() && !enabled.split(' ').any(|e| e == *c));
    for controller in missing {
        if let Err(e) = write(&file, &format!("+{controller}")) {
            tracing::debug!(controller, error = %e, "controller is not passed on");
        }
    }
    Ok(())
}

/// Directories directly below one; none when it does not exist.
fn directories(path: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(at(path)(e)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(at(path))?;
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn collect_pids(path: &Path, pids: &mut Vec<i32>) -> Result<()> {
    for child in directories(path)? {
        collect_pids(&child, pids)?;
    }
    let file = path.join("cgroup.procs");
    match fs::read_to_string(&file) {
        Ok(text) => pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok())),
        // Gone, or a v2 cgroup of threads, whose processes are listed above it.
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) if matches!(e.raw_os_error(), Some(nix::libc::EOPNOTSUPP | nix::libc::ENODEV)) => {}
        Err(e) => return Err(at(&file)(e)),
    }
    Ok(())
}

/// Children first; files go with their directory.
fn remove_tree(path: &Path) -> Result<()> {
    for child in directories(path)? {
        remove_tree(&child)?;
    }
    match fs::remove_dir(path) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        Err(e) if e.kind() == ErrorKind::ResourceBusy => Err(Error::Busy {
            path: path.to_owned(),
        }),
        Err(e) => Err(at(path)(e)),
    }
}

pub(super) mod files;
pub mod usage;

#[cfg(test)]
mod tests;
