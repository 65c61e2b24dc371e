//! A power cut: everything that runs on a node is gone at once, and what it had in memory; the disk stays.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Node, lock};
use crate::kubectl::wait;

impl Node {
    /// Cuts the power and gives the next start another boot id. containerd and the agent are started by the caller.
    pub fn power_cut(&self, boot_id: &str) -> Result<()> {
        let own = |pid: u32, kind: &str| fs::read_link(format!("/proc/{pid}/ns/{kind}"));
        let namespace = own(self.machine.pid(), "pid").context("the machine is gone")?;
        wait("no process on the node", Duration::from_secs(30), || {
            let entries = fs::read_dir("/proc").context("list processes")?;
            let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
            let mut left = 0;
            // Containers have namespaces of their own below the machine's.
            for pid in pids.filter(|pid| *pid != self.machine.pid()) {
                let inside = own(pid, "pid").is_ok_and(|other| other == namespace);
                let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
                let below = cgroups.contains(&format!("{}/", self.cgroup_root));
                if inside || below {
                    left += 1;
                    // Gone already is what is wanted.
                    let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
                }
            }
            for process in lock(&self.agents).iter().chain(lock(&self.containerd).iter()) {
                process.ended();
            }
            Ok((left == 0).then_some(()))
        })?;
        lock(&self.agents).clear();
        lock(&self.containerd).take();
        self.machine
            .sh(FORGET, &[self.cgroup_root.trim_matches('/'), boot_id])
            .map(drop)
    }
}

/// What is in memory only: mounts, `/run`, links, cgroups. `$1` is the node's cgroup, `$2` the next boot id.
const FORGET: &str = r#"
sed 's/^[^ ]* [^ ]* [^ ]* [^ ]* \([^ ]*\) .*/\1/' /proc/self/mountinfo | sort -r | while read -r at; do
  case "$at" in /run/containerd/*|/run/netns/*|/var/lib/kubelet/pods/*) umount -l "$at" ;; esac
done
rm -rf /run/containerd/* /run/netns/*
ip link delete cni0 2>/dev/null || true
find /sys/fs/cgroup -depth -mindepth 2 -type d -path "*/$1/*" -exec rmdir {} +
echo "$2" > /etc/boot-id
mount --bind /etc/boot-id /proc/sys/kernel/random/boot_id
"#;
