//! PURE. Settings of a cgroup as what is written to its files on v1 and v2.

use crate::model::cgroup::{CgroupSettings, CpuMax, page_name};

/// One file of a cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Write {
    /// The controller it belongs to.
    pub(super) controller: &'static str,
    /// Its name.
    pub(super) file: String,
    /// What is written.
    pub(super) value: String,
    /// Older kernels do not have it.
    pub(super) optional: bool,
}

impl Write {
    fn new(controller: &'static str, file: impl Into<String>, value: impl ToString) -> Self {
        Self {
            controller,
            file: file.into(),
            value: value.to_string(),
            optional: false,
        }
    }
}

/// What to write, in order. A quota comes after its period, which it is checked against.
pub(super) fn writes(settings: &CgroupSettings, v2: bool) -> Vec<Write> {
    let mut all = Vec::new();
    if let Some(shares) = settings.cpu_shares {
        all.push(if v2 {
            Write::new("cpu", "cpu.weight", weight(shares))
        } else {
            Write::new("cpu", "cpu.shares", shares)
        });
    }
    if let Some(CpuMax { quota, period }) = settings.cpu_max {
        if v2 {
            let quota = quota.map_or("max".to_owned(), |q| q.to_string());
            all.push(Write::new("cpu", "cpu.max", format!("{quota} {period}")));
        } else {
            let quota = quota.map_or("-1".to_owned(), |q| q.to_string());
            all.push(Write::new("cpu", "cpu.cfs_period_us", period));
            all.push(Write::new("cpu", "cpu.cfs_quota_us", quota));
        }
    }
    if let Some(bytes) = settings.memory {
        let file = if v2 { "memory.max" } else { "memory.limit_in_bytes" };
        all.push(Write::new("memory", file, bytes));
    }
    if let Some(pids) = settings.pids {
        all.push(Write::new("pids", "pids.max", pids));
    }
    for (size, bytes) in &settings.hugepages {
        let (size, end) = (page_name(*size), if v2 { "max" } else { "limit_in_bytes" });
        all.push(Write::new("hugetlb", format!("hugetlb.{size}.{end}"), bytes));
        all.push(Write {
            optional: true,
            ..Write::new("hugetlb", format!("hugetlb.{size}.rsvd.{end}"), bytes)
        });
    }
    all
}

/// `cpu.shares` (2 to 262144) → `cpu.weight` (1 to 10000) in a straight line, as kubelet does for the cgroups it makes
/// itself. (Runtimes bend the line since 2025, so that 1024 is 100; see [`super::cpu_weight`].)
pub(crate) fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

#[cfg(test)]
mod tests;
