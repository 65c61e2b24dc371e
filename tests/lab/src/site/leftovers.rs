//! Finds what a lab should not have left behind.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::ns::Machine;

/// The namespaces of a lab's machines, to find processes that are still in one.
#[derive(Debug, Default)]
pub(super) struct Namespaces {
    ids: BTreeSet<String>,
    /// Clock ticks since boot when the machines were killed: the kernel gives ids of dead namespaces out again, but
    /// only to processes that start later.
    closed_at: Option<u64>,
}

impl Namespaces {
    pub(super) fn add(&mut self, machine: &Machine) {
        self.ids.extend(machine.namespace_ids().iter().cloned());
    }

    /// A machine that was killed while the lab goes on: its ids may be others' at once.
    pub(super) fn remove(&mut self, machine: &Machine) {
        for id in machine.namespace_ids() {
            self.ids.remove(id);
        }
    }

    pub(super) fn close(&mut self) {
        self.closed_at = start_time("self")
            .or(Some(u64::MAX))
            .map(|own| own.max(newest_start()));
    }

    pub(super) fn processes(&self) -> Vec<String> {
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let pid = entry.file_name().to_string_lossy().into_owned();
            if !pid.bytes().all(|byte| byte.is_ascii_digit()) {
                continue;
            }
            let inside = |kind| {
                let link = fs::read_link(entry.path().join("ns").join(kind));
                link.is_ok_and(|link| self.ids.contains(link.to_string_lossy().as_ref()))
            };
            let old = start_time(&pid)
                .zip(self.closed_at)
                .is_none_or(|(start, closed)| start <= closed);
            if ["net", "mnt", "pid"].into_iter().any(inside) && old {
                let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
                let line = String::from_utf8_lossy(&line).replace('\0', " ");
                found.push(format!("process {pid} {}", line.trim()));
            }
        }
        found
    }
}

/// Field 22 of `/proc/<pid>/stat`: see proc(5).
fn start_time(pid: &str) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

fn newest_start() -> u64 {
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    pids.filter_map(|entry| start_time(&entry.file_name().to_string_lossy()))
        .max()
        .unwrap_or(0)
}

/// Mounts of the host that have to do with a directory.
pub(super) fn mounts_below(dir: &Path) -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let dir = dir.display().to_string();
    table
        .lines()
        .filter(|line| line.contains(&dir))
        .map(|line| format!("mount {line}"))
        .collect()
}

/// What the host has that a lab must not add to.
#[derive(Debug)]
pub(super) struct HostState {
    links: BTreeSet<String>,
    namespaces: BTreeSet<String>,
    tables: BTreeSet<String>,
}

impl HostState {
    pub(super) fn read() -> Self {
        let output = Command::new("nft").args(["list", "tables"]).output();
        let tables = output
            .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
            .unwrap_or_default();
        Self {
            links: names("/sys/class/net"),
            namespaces: names("/run/netns"),
            tables: tables.lines().map(str::to_owned).collect(),
        }
    }

    /// What has come since.
    pub(super) fn added(&self) -> Vec<String> {
        let now = Self::read();
        let links = now
            .links
            .difference(&self.links)
            .map(|name| format!("link {name}"));
        let namespaces = now
            .namespaces
            .difference(&self.namespaces)
            .map(|name| format!("network namespace {name}"));
        let tables = now
            .tables
            .difference(&self.tables)
            .map(|name| format!("nftables {name}"));
        links.chain(namespaces).chain(tables).collect()
    }
}

fn names(dir: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}
