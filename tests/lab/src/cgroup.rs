//! The cgroup parents of a lab's nodes: `/rustlet-lab-<id>/<node>` in every hierarchy.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const PREFIX: &str = "rustlet-lab-";

/// One mounted cgroup hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hierarchy {
    mount: PathBuf,
    v2: bool,
    cpuset: bool,
}

/// Makes the cgroup of a node and returns its name as `--cgroup-root` takes it.
pub(crate) fn create(lab: &str, node: &str) -> Result<String> {
    let name = format!("/{PREFIX}{lab}/{node}");
    for hierarchy in hierarchies()? {
        let mut dir = hierarchy.mount.clone();
        for part in name.split('/').filter(|part| !part.is_empty()) {
            let parent = dir.clone();
            dir.push(part);
            if hierarchy.v2 {
                delegate(&parent);
            }
            make(&dir)?;
            if hierarchy.cpuset {
                inherit_cpuset(&parent, &dir)?;
            }
        }
        if hierarchy.v2 {
            delegate(&dir);
        }
    }
    Ok(name)
}

/// Removes a lab's cgroups, killing what is still in them; returns what could not be removed.
pub(crate) fn remove(lab: &str) -> Vec<String> {
    let start = Instant::now();
    loop {
        for dir in existing(lab) {
            kill_members(&dir);
            remove_tree(&dir);
        }
        let left = existing(lab);
        if left.is_empty() || start.elapsed() > Duration::from_secs(10) {
            return left
                .iter()
                .map(|dir| format!("cgroup {}", dir.display()))
                .collect();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The cgroups of a lab that exist.
pub(crate) fn existing(lab: &str) -> Vec<PathBuf> {
    let dirs = hierarchies()
        .unwrap_or_default()
        .into_iter()
        .map(|h| h.mount.join(format!("{PREFIX}{lab}")));
    dirs.filter(|dir| dir.exists()).collect()
}

/// Ids of all labs that have cgroups here.
pub(crate) fn labs() -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    for hierarchy in hierarchies().unwrap_or_default() {
        for entry in fs::read_dir(&hierarchy.mount).into_iter().flatten().flatten() {
            if let Some(id) = entry.file_name().to_string_lossy().strip_prefix(PREFIX) {
                ids.push(id.to_owned());
            }
        }
    }
    ids.sort();
    ids.dedup();
    ids
}

fn hierarchies() -> Result<Vec<Hierarchy>> {
    let text = fs::read_to_string("/proc/self/mountinfo").context("read /proc/self/mountinfo")?;
    Ok(text.lines().filter_map(parse).collect())
}

/// One line of mountinfo; see proc(5). Hierarchies mounted below their root are left out.
fn parse(line: &str) -> Option<Hierarchy> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ').skip(3);
    let (root, mount) = (left.next()?, left.next()?);
    let mut right = right.split(' ');
    let (kind, options) = (right.next()?, right.nth(1)?);
    if root != "/" || !matches!(kind, "cgroup" | "cgroup2") {
        return None;
    }
    let cpuset = options.split(',').any(|option| option == "cpuset");
    Some(Hierarchy {
        mount: PathBuf::from(mount),
        v2: kind == "cgroup2",
        cpuset,
    })
}

fn make(dir: &Path) -> Result<()> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(error).with_context(|| format!("create cgroup {}", dir.display()))
        }
        _ => Ok(()),
    }
}

/// On v1 a new cpuset is empty, and nothing can join an empty cpuset.
fn inherit_cpuset(parent: &Path, dir: &Path) -> Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let value = fs::read_to_string(parent.join(file))
            .with_context(|| format!("read {file} of {}", parent.display()))?;
        fs::write(dir.join(file), value.trim())
            .with_context(|| format!("write {file} of {}", dir.display()))?;
    }
    Ok(())
}

/// What containers are limited by on v2.
const CONTROLLERS: &[&str] = &["cpu", "cpuset", "io", "memory", "pids"];

/// Lets children of a v2 cgroup use these controllers; one that cannot be enabled is one the machine does not have.
fn delegate(dir: &Path) {
    for controller in CONTROLLERS {
        let _ = fs::write(dir.join("cgroup.subtree_control"), format!("+{controller}"));
    }
}

fn kill_members(dir: &Path) {
    let text = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    for pid in text
        .lines()
        .filter_map(|line| line.parse().ok())
        .filter(|pid| *pid > 1)
    {
        // Gone already is what is wanted.
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    for child in children(dir) {
        kill_members(&child);
    }
}

fn remove_tree(dir: &Path) {
    for child in children(dir) {
        remove_tree(&child);
    }
    // Still busy: the caller tries again.
    let _ = fs::remove_dir(dir);
}

fn children(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mountinfo_lines() {
        let v1 = "34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime shared:9 - cgroup cgroup rw,cpuset";
        let wanted = Hierarchy {
            mount: "/sys/fs/cgroup/cpuset".into(),
            v2: false,
            cpuset: true,
        };
        assert_eq!(parse(v1), Some(wanted));
        let v2 = "41 31 0:38 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw,nsdelegate";
        assert_eq!(
            parse(v2),
            Some(Hierarchy {
                mount: "/sys/fs/cgroup".into(),
                v2: true,
                cpuset: false
            })
        );
        assert_eq!(parse("27 1 254:0 / / rw,relatime - ext4 /dev/vda rw"), None);
        assert_eq!(
            parse("41 31 0:38 /a /mnt rw - cgroup2 cgroup2 rw"),
            None,
            "not the hierarchy's root"
        );
    }
}
