//! Facts about the machine: kernel, memory, disks, identity, the address of its default route.

use crate::model::machine::{Confinement, Disk, Machine};
use nix::sys::statvfs::statvfs;
use std::io;
use std::net::{IpAddr, UdpSocket};
use std::path::Path;

/// Reads the facts. Missing files leave a field empty; a Node can live without any one of them.
pub fn read() -> Machine {
    let meminfo = text("/proc/meminfo");
    let machine_id = text("/etc/machine-id").trim().to_owned();
    let product = text("/sys/class/dmi/id/product_uuid").trim().to_owned();
    let (cpu_cores, cpu_sockets) = topology(Path::new("/sys/devices/system/cpu"));
    Machine {
        kernel: text("/proc/sys/kernel/osrelease").trim().into(),
        os_image: os_image(),
        arch: go_arch(std::env::consts::ARCH).into(),
        system_uuid: if product.is_empty() {
            machine_id.as_str()
        } else {
            product.as_str()
        }
        .into(),
        machine_id: machine_id.into(),
        boot_id: text("/proc/sys/kernel/random/boot_id").trim().into(),
        cpus: online_cpus(&text("/sys/devices/system/cpu/online")),
        cpu_cores,
        cpu_sockets,
        memory_bytes: meminfo_bytes(&meminfo, "MemTotal"),
        swap_bytes: meminfo_bytes(&meminfo, "SwapTotal"),
        hugepages: hugepages(Path::new("/sys/kernel/mm/hugepages")),
        pid_max: ["/proc/sys/kernel/pid_max", "/proc/sys/kernel/threads-max"]
            .iter()
            .filter_map(|file| text(file).trim().parse().ok())
            .min()
            .unwrap_or(u64::MAX),
    }
}

/// Reads how the machine keeps containers apart.
pub fn confinement() -> Confinement {
    let cpus = Path::new("/sys/devices/system/cpu");
    let throttles = std::fs::read_dir(cpus).into_iter().flatten().flatten();
    let mut masked: Vec<String> = throttles
        .map(|cpu| cpu.path().join("thermal_throttle"))
        .filter(|path| path.exists())
        .map(|path| path.to_string_lossy().into_owned())
        .collect();
    masked.sort();
    Confinement {
        apparmor: Path::new("/sys/kernel/security/apparmor").exists()
            && text("/sys/module/apparmor/parameters/enabled").starts_with('Y'),
        masked,
    }
}

/// How many CPUs `0-3,8` names; where the kernel does not say, what this process may use.
fn online_cpus(list: &str) -> u64 {
    let count = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?);
        (last.checked_sub(first)?).checked_add(1)
    };
    let all: Option<Vec<u64>> = list.trim().split(',').map(count).collect();
    let mine = || std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    all.map_or_else(mine, |all| all.iter().sum())
}

fn text(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn os_image() -> Box<str> {
    let mut release = text("/etc/os-release");
    if release.is_empty() {
        release = text("/usr/lib/os-release");
    }
    pretty_name(&release).unwrap_or("Unknown").into()
}

/// `PRETTY_NAME` of an os-release file.
fn pretty_name(release: &str) -> Option<&str> {
    release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .map(|v| v.trim_matches(['"', '\'']))
}

/// Rust's architecture names in Go's words, which is what Kubernetes uses.
fn go_arch(arch: &str) -> &str {
    match arch {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        other => other,
    }
}

/// A field of `/proc/meminfo` in bytes; 0 when it is not there.
pub(super) fn meminfo_bytes(meminfo: &str, field: &str) -> u64 {
    meminfo
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .unwrap_or(0)
        .saturating_mul(1024)
}

/// Different cores and different packages of all CPUs.
fn topology(root: &Path) -> (u64, u64) {
    let mut cores = std::collections::BTreeSet::new();
    for cpu in std::fs::read_dir(root).into_iter().flatten().flatten() {
        let id = |file: &str| {
            let text = std::fs::read_to_string(cpu.path().join("topology").join(file)).ok()?;
            text.trim().parse::<i64>().ok()
        };
        cores.extend(id("physical_package_id").zip(id("core_id")));
    }
    let sockets: std::collections::BTreeSet<i64> = cores.iter().map(|(package, _)| *package).collect();
    (cores.len() as u64, sockets.len() as u64)
}

fn hugepages(root: &Path) -> Vec<(u64, u64)> {
    let mut found: Vec<(u64, u64)> = std::fs::read_dir(root)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let size = name
                .strip_prefix("hugepages-")?
                .strip_suffix("kB")?
                .parse()
                .ok()?;
            let count = std::fs::read_to_string(entry.path().join("nr_hugepages"))
                .ok()?
                .trim()
                .parse()
                .ok()?;
            Some((size, count))
        })
        .collect();
    found.sort_unstable();
    found
}

/// Size of the file system that holds `path`.
pub fn disk(path: &Path) -> io::Result<Disk> {
    let stat = statvfs(path)?;
    let unit = stat.fragment_size();
    Ok(Disk {
        capacity_bytes: unit.saturating_mul(stat.blocks()),
        available_bytes: unit.saturating_mul(stat.blocks_available()),
    })
}

/// The machine's host name.
pub fn hostname() -> io::Result<String> {
    Ok(nix::unistd::gethostname()?.to_string_lossy().into_owned())
}

/// The source address the kernel would use for the default route (IPv4 first). Nothing is sent.
pub fn default_route_ip() -> io::Result<IpAddr> {
    source_ip("0.0.0.0:0", "198.51.100.1:9")
        .or_else(|error| source_ip("[::]:0", "[2001:db8::1]:9").map_err(|_| error))
}

fn source_ip(bind: &str, target: &str) -> io::Result<IpAddr> {
    let socket = UdpSocket::bind(bind)?;
    socket.connect(target)?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests;
