//! PURE. One look at everything that runs on the node, and what two looks tell of CPU rates.

use crate::cri::v1;
use crate::model::usage::{CgroupUse, FsUse, Interface, MachineUse, TreeUse};
use std::collections::{BTreeMap, HashMap};

/// A cgroup and what it has used.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Used {
    /// Its path, as `/kubepods/burstable/pod<uid>`.
    pub id: String,
    /// Counters and limits.
    pub usage: CgroupUse,
    /// CPU use between the last two looks: billionths of a core.
    pub nano_cores: Option<u64>,
}

impl Used {
    /// A cgroup that was looked at for the first time.
    pub fn new(id: impl Into<String>, usage: CgroupUse) -> Self {
        Self {
            id: id.into(),
            usage,
            nano_cores: None,
        }
    }
}

/// A running container.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerUse {
    /// Runtime id.
    pub id: String,
    /// Name in the spec; empty for the sandbox.
    pub name: String,
    /// Image, in full.
    pub image: String,
    /// When it was created, Unix nanoseconds.
    pub created: i64,
    /// Its cgroup.
    pub used: Used,
}

/// A Pod with something running.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodUse {
    /// Name.
    pub name: String,
    /// Namespace.
    pub namespace: String,
    /// UID.
    pub uid: String,
    /// When its sandbox was created, Unix nanoseconds.
    pub created: i64,
    /// The Pod's cgroup; `None` where the runtime has none for it.
    pub used: Option<Used>,
    /// The sandbox's own container, where it has a cgroup.
    pub sandbox: Option<ContainerUse>,
    /// Running containers, by name.
    pub containers: Vec<ContainerUse>,
    /// Network interfaces; the node's own for Pods in its network.
    pub interfaces: Vec<Interface>,
}

/// Everything at one time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// When, Unix nanoseconds.
    pub at: i64,
    /// The whole machine's cgroup.
    pub root: Used,
    /// Facts that no cgroup has.
    pub machine: MachineUse,
    /// `kubepods` and the classes below it.
    pub groups: Vec<Used>,
    /// `kubelet` and `runtime`, where they have a service's cgroup.
    pub system: Vec<(&'static str, Used)>,
    /// Pods, by namespace and name.
    pub pods: Vec<PodUse>,
}

/// CPU times of an earlier look: cgroup to when (Unix nanoseconds) and how much (nanoseconds).
pub type Before = HashMap<String, (i64, u64)>;

/// Shortest time between two looks that makes a rate, nanoseconds.
const SHORTEST: i64 = 100_000_000;

impl Snapshot {
    /// Every cgroup in it.
    pub fn all(&self) -> impl Iterator<Item = &Used> {
        let pods = self.pods.iter().flat_map(|pod| {
            let own = pod.used.iter().chain(pod.sandbox.iter().map(|c| &c.used));
            own.chain(pod.containers.iter().map(|c| &c.used))
        });
        let groups = self.groups.iter().chain(self.system.iter().map(|(_, used)| used));
        std::iter::once(&self.root).chain(groups).chain(pods)
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut Used> {
        let pods = self.pods.iter_mut().flat_map(|pod| {
            let own = pod
                .used
                .iter_mut()
                .chain(pod.sandbox.iter_mut().map(|c| &mut c.used));
            own.chain(pod.containers.iter_mut().map(|c| &mut c.used))
        });
        let groups = self
            .groups
            .iter_mut()
            .chain(self.system.iter_mut().map(|(_, used)| used));
        std::iter::once(&mut self.root).chain(groups).chain(pods)
    }

    /// Sets the CPU rates since an earlier look. A counter that went back is another container's: no rate.
    pub fn rate(&mut self, before: &Before) {
        for used in self.all_mut() {
            let rate = before.get(&used.id).and_then(|(at, cpu)| {
                let passed = used.usage.read_at - at;
                let spent = used.usage.cpu.total?.checked_sub(*cpu)?;
                let passed = u64::try_from(passed).ok().filter(|_| passed >= SHORTEST)?;
                u64::try_from(u128::from(spent) * 1_000_000_000 / u128::from(passed)).ok()
            });
            used.nano_cores = rate.or(used.nano_cores);
        }
    }

    /// What the next look's rates are measured from.
    pub fn times(&self) -> Before {
        let times = self.all().filter_map(|used| {
            let cpu = used.usage.cpu.total?;
            Some((used.id.clone(), (used.usage.read_at, cpu)))
        });
        times.collect()
    }
}

/// The runtime's own numbers for a container whose cgroup cannot be seen, as in a virtual machine.
pub fn from_cri(
    cpu: Option<&v1::CpuUsage>,
    memory: Option<&v1::MemoryUsage>,
    swap: Option<u64>,
) -> CgroupUse {
    let mut all = CgroupUse::default();
    let value = |v: Option<&v1::UInt64Value>| v.map(|v| v.value);
    if let Some(cpu) = cpu {
        all.read_at = cpu.timestamp;
        all.cpu.total = value(cpu.usage_core_nano_seconds.as_ref());
    }
    if let Some(memory) = memory {
        all.read_at = all.read_at.max(memory.timestamp);
        let working_set = value(memory.working_set_bytes.as_ref());
        let usage = value(memory.usage_bytes.as_ref()).or(working_set);
        let faults = value(memory.page_faults.as_ref()).unwrap_or(0);
        let major = value(memory.major_page_faults.as_ref()).unwrap_or(0);
        all.memory.usage = usage;
        all.memory.inactive_file = usage
            .unwrap_or(0)
            .saturating_sub(working_set.or(usage).unwrap_or(0));
        all.memory.rss = value(memory.rss_bytes.as_ref()).unwrap_or(0);
        all.memory.faults = (faults, faults);
        all.memory.major_faults = (major, major);
        let available = value(memory.available_bytes.as_ref()).filter(|available| *available > 0);
        all.limits.memory = available.zip(working_set).map(|(a, b)| a.saturating_add(b));
    }
    all.memory.swap = swap.unwrap_or(0);
    all
}

/// A volume of a Pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VolumeUse {
    /// Name in the spec.
    pub name: String,
    /// PersistentVolumeClaim behind it.
    pub claim: Option<String>,
    /// The file system it is on.
    pub fs: FsUse,
    /// What it takes.
    pub used: TreeUse,
    /// Counts as the Pod's ephemeral storage.
    pub ephemeral: bool,
}

/// Disk use of one Pod's volumes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodDisk {
    /// When, Unix nanoseconds.
    pub at: i64,
    /// Volumes in the spec's order.
    pub volumes: Vec<VolumeUse>,
    /// The Pod's own files: `/etc/hosts`.
    pub files: TreeUse,
}

/// What one container's writable layer and logs take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerDisk {
    /// Writable layer, when the runtime knows it: when (Unix nanoseconds), and how much.
    pub layer: Option<(i64, TreeUse)>,
    /// Logs, rotated ones too.
    pub logs: TreeUse,
}

/// Disks at one time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Disks {
    /// When, Unix nanoseconds.
    pub at: i64,
    /// The file system of `--root-dir`.
    pub node: FsUse,
    /// The file system of logs.
    pub logs: FsUse,
    /// Images: when (Unix nanoseconds), their file system, and what they take.
    pub images: Option<(i64, FsUse, TreeUse)>,
    /// Writable layers, as above.
    pub layers: Option<(i64, FsUse, TreeUse)>,
    /// By runtime id.
    pub containers: HashMap<String, ContainerDisk>,
    /// By Pod UID.
    pub pods: BTreeMap<String, std::sync::Arc<PodDisk>>,
}

#[cfg(test)]
mod tests;
