//! The machine a node runs on, as far as its Node object tells.

/// What a Node object says about the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// Kernel release, as `6.18.0`.
    pub kernel: Box<str>,
    /// `PRETTY_NAME` of os-release.
    pub os_image: Box<str>,
    /// Architecture in Go's words (`amd64`, `arm64`).
    pub arch: Box<str>,
    /// `/etc/machine-id`.
    pub machine_id: Box<str>,
    /// DMI product UUID; the machine id where there is none.
    pub system_uuid: Box<str>,
    /// Changes with every boot.
    pub boot_id: Box<str>,
    /// CPUs that are online.
    pub cpus: u64,
    /// Physical cores; 0 when the machine does not say.
    pub cpu_cores: u64,
    /// CPU packages; 0 when the machine does not say.
    pub cpu_sockets: u64,
    /// `MemTotal`, in bytes.
    pub memory_bytes: u64,
    /// Swap, in bytes.
    pub swap_bytes: u64,
    /// Preallocated huge pages: page size in kiB, and how many.
    pub hugepages: Vec<(u64, u64)>,
    /// Most processes and threads at a time.
    pub pid_max: u64,
}

/// How a machine keeps containers apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confinement {
    /// The kernel has AppArmor.
    pub apparmor: bool,
    /// Paths that tell of neighbours and that not every machine has.
    pub masked: Vec<String>,
}

/// Size of a file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    /// Total bytes.
    pub capacity_bytes: u64,
    /// Bytes an ordinary user may still write.
    pub available_bytes: u64,
}
