//! What processes use, from `/proc`.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::node::Node;

/// A tick in milliseconds: USER_HZ is 100 on every Linux ABI Rust runs on.
pub(super) const TICK_MS: f64 = 10.0;

/// utime + stime + those of reaped children of all processes of the agent, in ticks: proc(5), stat.
pub(super) fn agent_ticks(node: &Node) -> Result<u64> {
    node.agent_pids().into_iter().map(ticks_of).sum()
}

/// Those of containerd. What its shims do is left out on both sides.
pub(super) fn runtime_ticks(node: &Node) -> Result<u64> {
    ticks_of(node.containerd_pid().context("containerd runs")?)
}

fn ticks_of(pid: u32) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("unexpected /proc/<pid>/stat")?;
    let fields = fields.split_whitespace().skip(11).take(4);
    Ok(fields.filter_map(|field| field.parse::<u64>().ok()).sum())
}

/// Rss, Pss and private memory of all processes of the agent, in KiB: proc(5), smaps_rollup.
pub(super) fn memory(node: &Node) -> Result<[u64; 3]> {
    let mut sum = [0; 3];
    for pid in node.agent_pids() {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let slot = match words.next() {
                Some("Rss:") => 0,
                Some("Pss:") => 1,
                Some("Private_Clean:" | "Private_Dirty:") => 2,
                _ => continue,
            };
            sum[slot] += words
                .next()
                .and_then(|word| word.parse::<u64>().ok())
                .unwrap_or(0);
        }
    }
    Ok(sum)
}

/// Percent of one core.
pub(super) fn percent(ticks: u64, time: Duration) -> f64 {
    ticks as f64 * TICK_MS / (time.as_secs_f64() * 10.0)
}

pub(super) fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
