//! What a cgroup is given, whatever its version.

use std::collections::BTreeMap;

/// What a cgroup is given; what is not set stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CgroupSettings {
    /// CPU share against its siblings, in v1's words: 2 to 262144, 1024 for one CPU.
    pub cpu_shares: Option<u64>,
    /// The most CPU time.
    pub cpu_max: Option<CpuMax>,
    /// The most memory, bytes.
    pub memory: Option<u64>,
    /// The most processes and threads.
    pub pids: Option<u64>,
    /// The most huge pages, in bytes by page size in bytes.
    pub hugepages: BTreeMap<u64, u64>,
}

/// CPU time in every period, both in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuMax {
    /// `None` for no limit.
    pub quota: Option<u64>,
    /// Length of a period.
    pub period: u64,
}

/// The kernel's name of a page size: `2MB`, `1GB`, `64KB`.
pub fn page_name(bytes: u64) -> String {
    for (unit, shift) in [("GB", 30), ("MB", 20), ("KB", 10)] {
        if bytes >> shift > 0 && bytes.is_multiple_of(1 << shift) {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    format!("{bytes}B")
}
