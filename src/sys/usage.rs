//! What the machine, a file system, a tree of files, a network namespace and this process use.

use crate::model::usage::{BlockDevice, FsUse, Interface, MachineUse, Traffic, TreeUse};
use jiff::Timestamp;
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::statvfs::statvfs;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

/// Links that are another end of something that is counted elsewhere, as cAdvisor leaves them out.
const NOT_COUNTED: [&str; 4] = ["lo", "veth", "docker", "nerdctl"];
/// Scheduler ticks a second (`_SC_CLK_TCK`; 100 on every Linux there is).
const TICKS: f64 = 100.0;

/// The machine as a whole, with the file systems of `paths`. What cannot be read is zero.
pub fn machine(paths: &[&Path]) -> MachineUse {
    let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let (stat, memory, load) = (text("/proc/stat"), text("/proc/meminfo"), text("/proc/loadavg"));
    let bytes = |field: &str| super::machine::meminfo_bytes(&memory, field);
    let number = |path: &str| text(path).trim().parse::<u64>().ok();
    let limits = [
        number("/proc/sys/kernel/pid_max"),
        number("/proc/sys/kernel/threads-max"),
    ];
    MachineUse {
        booted: booted(&stat),
        max_pid: limits.into_iter().flatten().min().unwrap_or(0),
        threads: existing_threads(&load).unwrap_or(0),
        swap_free: bytes("SwapFree"),
        swap_total: bytes("SwapTotal"),
        memory_total: bytes("MemTotal"),
        memory_free: bytes("MemFree"),
        interfaces: interfaces(None).unwrap_or_default(),
        devices: text("/proc/diskstats").lines().filter_map(block_device).collect(),
        file_systems: file_systems(paths),
    }
}

/// Each file system once.
fn file_systems(paths: &[&Path]) -> Vec<((u32, u32), FsUse)> {
    let mut found = Vec::new();
    for path in paths {
        let (Ok(number), Ok(fs)) = (device(path), file_system(path)) else {
            continue;
        };
        if !found.iter().any(|(known, _)| *known == number) {
            found.push((number, fs));
        }
    }
    found
}

/// ` 253 0 vda 4160 …`
fn block_device(line: &str) -> Option<BlockDevice> {
    let mut words = line.split_whitespace();
    let number = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let name = words.next()?.into();
    let mut counters = [0; 11];
    for counter in &mut counters {
        *counter = words.next()?.parse().ok()?;
    }
    Some(BlockDevice {
        number,
        name,
        counters,
    })
}

/// Unix seconds, from `/proc/stat`.
fn booted(stat: &str) -> f64 {
    stat.lines()
        .find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
        .unwrap_or(0.0)
}

/// When the machine was booted, to the second.
pub fn boot_time() -> Timestamp {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let seconds = Duration::try_from_secs_f64(booted(&stat)).unwrap_or_default();
    Timestamp::UNIX_EPOCH.saturating_add(seconds).unwrap_or_default()
}

/// Bytes that came and went in our network namespace, from the `IpExt` lines of `/proc/self/net/netstat`: names first,
/// then numbers.
fn octets(netstat: &str) -> (u64, u64) {
    let mut lines = netstat.lines().filter_map(|line| line.strip_prefix("IpExt:"));
    let (names, numbers) = (lines.next().unwrap_or(""), lines.next().unwrap_or(""));
    let number = |wanted: &str| {
        let at = names.split_whitespace().position(|name| name == wanted);
        at.and_then(|at| numbers.split_whitespace().nth(at)?.parse().ok())
    };
    (number("InOctets").unwrap_or(0), number("OutOctets").unwrap_or(0))
}

/// `0.00 0.01 0.05 2/230 4711`: of runnable and existing threads the second.
fn existing_threads(loadavg: &str) -> Option<u64> {
    loadavg.split(' ').nth(3)?.split('/').nth(1)?.parse().ok()
}

/// Interfaces of the network namespace a process is in (`None`: our own). An error when the process is gone.
pub fn interfaces(pid: Option<i32>) -> io::Result<Vec<Interface>> {
    let who = pid.map_or_else(|| "self".to_owned(), |pid| pid.to_string());
    Ok(parse_interfaces(&fs::read_to_string(format!(
        "/proc/{who}/net/dev"
    ))?))
}

/// Two header lines, then `eth0: <8 numbers received> <8 numbers sent>`.
fn parse_interfaces(text: &str) -> Vec<Interface> {
    let parse = |line: &str| {
        let (name, numbers) = line.split_once(':')?;
        let name = name.trim();
        let numbers: Vec<u64> = numbers
            .split_whitespace()
            .filter_map(|n| n.parse().ok())
            .collect();
        let direction = |at: usize| {
            Some(Traffic {
                bytes: *numbers.get(at)?,
                packets: *numbers.get(at + 1)?,
                errors: *numbers.get(at + 2)?,
                dropped: *numbers.get(at + 3)?,
            })
        };
        let counted = !NOT_COUNTED.iter().any(|prefix| name.starts_with(prefix));
        counted.then_some(Interface {
            name: name.into(),
            rx: direction(0)?,
            tx: direction(8)?,
        })
    };
    text.lines().skip(2).filter_map(parse).collect()
}

/// The file system that holds `path`.
pub fn file_system(path: &Path) -> io::Result<FsUse> {
    let stat = statvfs(path)?;
    let unit = stat.fragment_size();
    Ok(FsUse {
        capacity: unit.saturating_mul(stat.blocks()),
        available: unit.saturating_mul(stat.blocks_available()),
        used: unit.saturating_mul(stat.blocks().saturating_sub(stat.blocks_free())),
        inodes: stat.files(),
        inodes_free: stat.files_free(),
    })
}

/// Number of the device that holds `path`.
pub fn device(path: &Path) -> io::Result<(u32, u32)> {
    let device = fs::metadata(path)?.dev();
    let part = |number: u64| u32::try_from(number).unwrap_or(0);
    Ok((
        part(nix::sys::stat::major(device)),
        part(nix::sys::stat::minor(device)),
    ))
}

/// Whether a directory is where another file system begins.
pub fn is_mount(path: &Path) -> bool {
    let device = |path: &Path| fs::metadata(path).map(|meta| meta.dev()).ok();
    path.parent()
        .is_some_and(|parent| device(path).is_some() && device(path) != device(parent))
}

/// What a tree of files takes, without what is mounted in it. Hard links count once each. Looks at `limit` entries at
/// most: a tree that is larger is told as large as it was until then.
pub fn tree(path: &Path, limit: u64) -> io::Result<TreeUse> {
    let top = fs::symlink_metadata(path)?;
    let mut all = TreeUse::default();
    let mut add = |meta: &fs::Metadata| {
        all.bytes = all.bytes.saturating_add(meta.blocks().saturating_mul(512));
        all.inodes += 1;
        all.inodes < limit
    };
    add(&top);
    let mut dirs = if top.is_dir() {
        vec![path.to_owned()]
    } else {
        Vec::new()
    };
    while let Some(dir) = dirs.pop() {
        // Whatever goes away meanwhile takes nothing.
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            if meta.dev() != top.dev() {
                continue;
            }
            if !add(&meta) {
                return Ok(all);
            }
            if meta.is_dir() {
                dirs.push(entry.path());
            }
        }
    }
    Ok(all)
}

/// What this process uses, under the names Prometheus' clients give it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProcessUse {
    /// CPU time, seconds.
    pub cpu_seconds: f64,
    /// Resident memory, bytes.
    pub resident_bytes: u64,
    /// Virtual memory, bytes.
    pub virtual_bytes: u64,
    /// Most virtual memory it may have, bytes.
    pub virtual_max_bytes: u64,
    /// Bytes that came over the network into our network namespace.
    pub received_bytes: u64,
    /// Bytes that went out.
    pub sent_bytes: u64,
    /// Open file descriptors.
    pub open_fds: u64,
    /// Most file descriptors it may open.
    pub max_fds: u64,
    /// When it started, Unix seconds.
    pub started: f64,
}

/// This process.
pub fn process() -> ProcessUse {
    let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let stat = text("/proc/self/stat");
    // The name in parentheses may hold anything; fields are counted behind it, the state being the third.
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().collect())
        .unwrap_or_default();
    let field = |number: usize| {
        fields
            .get(number - 3)
            .and_then(|f| f.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    let status = text("/proc/self/status");
    let limit = |resource| getrlimit(resource).map_or(0, |(soft, _)| soft);
    let (received_bytes, sent_bytes) = octets(&text("/proc/self/net/netstat"));
    let booted = booted(&text("/proc/stat"));
    ProcessUse {
        cpu_seconds: (field(14) + field(15)) / TICKS,
        resident_bytes: super::machine::meminfo_bytes(&status, "VmRSS"),
        virtual_bytes: super::machine::meminfo_bytes(&status, "VmSize"),
        open_fds: fs::read_dir("/proc/self/fd").map_or(0, |dir| u64::try_from(dir.count()).unwrap_or(0)),
        max_fds: limit(Resource::RLIMIT_NOFILE),
        virtual_max_bytes: limit(Resource::RLIMIT_AS),
        received_bytes,
        sent_bytes,
        started: booted + field(22) / TICKS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_of_netstat() {
        let text = "TcpExt: A InOctets\nTcpExt: 1 2\nIpExt: X InOctets OutOctets\nIpExt: 7 8 9\n";
        assert_eq!(octets(text), (8, 9));
        assert_eq!(octets("IpExt: InOctets\n"), (0, 0));
        assert!(boot_time() < Timestamp::now() && boot_time() > Timestamp::UNIX_EPOCH);
    }

    #[test]
    fn interfaces_of_net_dev() {
        let text = "Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 100 1 0 0 0 0 0 0 100 1 0 0 0 0 0 0
  eth0:2790 26 1 2 0 0 0 0 682 8 3 4 0 0 0 0
veth12: 9 9 0 0 0 0 0 0 9 9 0 0 0 0 0 0
";
        let found = parse_interfaces(text);
        assert_eq!(found.len(), 1);
        assert_eq!(&*found[0].name, "eth0");
        let traffic = |bytes, packets, errors, dropped| Traffic {
            bytes,
            packets,
            errors,
            dropped,
        };
        assert_eq!(found[0].rx, traffic(2790, 26, 1, 2));
        assert_eq!(found[0].tx, traffic(682, 8, 3, 4));
        assert!(parse_interfaces("").is_empty());
    }

    #[test]
    fn a_tree_is_counted_and_bounded() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("sub")).unwrap();
        fs::write(dir.path().join("sub/file"), vec![1_u8; 10_000]).unwrap();
        let all = tree(dir.path(), 1000).unwrap();
        assert_eq!(all.inodes, 3);
        assert!(all.bytes >= 10_000, "{all:?}");
        assert_eq!(tree(dir.path(), 2).unwrap().inodes, 2);
        assert!(tree(&dir.path().join("gone"), 10).is_err());
        assert!(!is_mount(dir.path()) || dir.path().parent().is_none());
    }

    #[test]
    fn this_process_and_this_machine_use_something() {
        let process = process();
        assert!(
            process.resident_bytes > 0 && process.open_fds > 0 && process.started > 0.0,
            "{process:?}"
        );
        let machine = machine(&[Path::new("/"), Path::new("/.")]);
        assert_eq!(machine.file_systems.len(), 1);
        assert!(
            machine.threads > 0 && machine.memory_total > machine.memory_free,
            "{machine:?}"
        );
        let device = block_device(" 253 0 vda 1 2 3 4 5 6 7 8 9 10 11 0 0").unwrap();
        assert_eq!(
            (device.number, &*device.name, device.counters[10]),
            ((253, 0), "vda", 11)
        );
        assert_eq!(existing_threads("0.00 0.01 0.05 2/230 4711\n"), Some(230));
    }
}
