//! What a cgroup, a file system or a network interface has used, as the kernel counts it.

/// One cgroup's counters and limits. A field the kernel (or its cgroup version) does not have is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CgroupUse {
    /// When it was read, Unix nanoseconds.
    pub read_at: i64,
    /// When the directory was made, Unix seconds.
    pub created: f64,
    /// CPU time and throttling.
    pub cpu: CpuUse,
    /// Memory.
    pub memory: MemoryUse,
    /// Limits.
    pub limits: Limits,
    /// Block devices.
    pub io: Vec<DeviceIo>,
    /// Processes in the cgroup itself, not below it.
    pub processes: u64,
    /// The first of them.
    pub first_pid: Option<i32>,
    /// Threads, with those of the cgroups below.
    pub threads: Option<u64>,
    /// Pressure; cgroup v2 only.
    pub pressure: Option<Pressures>,
}

/// CPU time, nanoseconds, since the cgroup was made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CpuUse {
    /// All of it.
    pub total: Option<u64>,
    /// In user mode.
    pub user: u64,
    /// In the kernel.
    pub system: u64,
    /// Enforcement periods that have passed.
    pub periods: u64,
    /// Periods in which it was throttled.
    pub throttled_periods: u64,
    /// Nanoseconds of throttling.
    pub throttled: u64,
    /// Periods with a burst.
    pub burst_periods: u64,
    /// Nanoseconds of bursts.
    pub burst: u64,
}

/// Memory, bytes unless said otherwise.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemoryUse {
    /// Charged now, with page cache.
    pub usage: Option<u64>,
    /// Largest ever charged.
    pub max_usage: u64,
    /// Times the limit was hit.
    pub failures: u64,
    /// Page cache.
    pub cache: u64,
    /// Anonymous memory.
    pub rss: u64,
    /// In swap.
    pub swap: u64,
    /// Mapped files.
    pub mapped_file: u64,
    /// Page cache in use.
    pub active_file: u64,
    /// Page cache the kernel may drop first.
    pub inactive_file: u64,
    /// Kernel memory.
    pub kernel: u64,
    /// Page faults of its own processes, and of those below too.
    pub faults: (u64, u64),
    /// Major page faults, as above.
    pub major_faults: (u64, u64),
    /// Processes killed for want of memory.
    pub oom_kills: u64,
}

impl MemoryUse {
    /// What cannot be given back without hurting: usage without inactive page cache.
    pub fn working_set(&self) -> u64 {
        self.usage.unwrap_or(0).saturating_sub(self.inactive_file)
    }
}

/// Limits of a cgroup, in cgroup v1's words.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    /// `cpu.shares`.
    pub cpu_shares: u64,
    /// Enforcement period, microseconds.
    pub cpu_period: u64,
    /// CPU time in a period, microseconds.
    pub cpu_quota: Option<u64>,
    /// Bytes.
    pub memory: Option<u64>,
    /// Soft limit, bytes.
    pub memory_reservation: Option<u64>,
    /// Swap, bytes; on v1 that of memory and swap together, as upstream tells it.
    pub swap: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
}

/// What was read from and written to one block device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceIo {
    /// Device number.
    pub major: u32,
    /// Device number.
    pub minor: u32,
    /// Read operations.
    pub reads: u64,
    /// Write operations.
    pub writes: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub write_bytes: u64,
}

/// Pressure stall information of one resource: `some` and `full`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pressure {
    /// At least one task waited.
    pub some: Stall,
    /// All tasks waited.
    pub full: Stall,
}

/// A line of a pressure file.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stall {
    /// Microseconds in all.
    pub total: u64,
    /// Percent of the last 10, 60 and 300 seconds.
    pub averages: [f64; 3],
}

/// Pressure of the three resources.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pressures {
    /// CPU.
    pub cpu: Pressure,
    /// Memory.
    pub memory: Pressure,
    /// IO.
    pub io: Pressure,
}

/// A network interface's counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// As `eth0`.
    pub name: Box<str>,
    /// Received.
    pub rx: Traffic,
    /// Sent.
    pub tx: Traffic,
}

/// One direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
    /// Errors.
    pub errors: u64,
    /// Dropped packets.
    pub dropped: u64,
}

/// A file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FsUse {
    /// Bytes in all.
    pub capacity: u64,
    /// Bytes an ordinary user may still write.
    pub available: u64,
    /// Bytes that are taken.
    pub used: u64,
    /// Inodes in all.
    pub inodes: u64,
    /// Free inodes.
    pub inodes_free: u64,
}

/// What a tree of files takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TreeUse {
    /// Bytes on disk.
    pub bytes: u64,
    /// Files and directories.
    pub inodes: u64,
}

/// The machine as a whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MachineUse {
    /// Unix seconds.
    pub booted: f64,
    /// Largest process id the machine gives.
    pub max_pid: u64,
    /// Threads that exist.
    pub threads: u64,
    /// Free swap, bytes.
    pub swap_free: u64,
    /// Swap, bytes.
    pub swap_total: u64,
    /// Memory, bytes.
    pub memory_total: u64,
    /// Free memory, bytes.
    pub memory_free: u64,
    /// Interfaces, without loopback and the node's ends of pods' cables.
    pub interfaces: Vec<Interface>,
    /// Block devices.
    pub devices: Vec<BlockDevice>,
    /// File systems the node keeps its things on: device number, and how full they are.
    pub file_systems: Vec<((u32, u32), FsUse)>,
}

/// A block device's counters since boot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockDevice {
    /// Device number.
    pub number: (u32, u32),
    /// As `vda1`.
    pub name: Box<str>,
    /// `/proc/diskstats` from its fourth field on: reads, reads merged, sectors read, ms reading, writes, writes
    /// merged, sectors written, ms writing, IOs in progress, ms of IO, weighted ms of IO.
    pub counters: [u64; 11],
}
