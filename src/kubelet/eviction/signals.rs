//! PURE. What signals stand for, and the thresholds that hold on a node with these file systems.

use crate::config::{Signal, Threshold};
use std::collections::BTreeSet;

/// What there is too little of, as Pods request it and as messages name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Memory.
    Memory,
    /// Bytes on disk.
    EphemeralStorage,
    /// Inodes.
    Inodes,
    /// Processes.
    Pids,
}

impl Resource {
    /// Upstream's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::EphemeralStorage => "ephemeral-storage",
            Self::Inodes => "inodes",
            Self::Pids => "pids",
        }
    }
}

/// A pressure condition of the Node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pressure {
    /// `MemoryPressure`.
    Memory,
    /// `DiskPressure`.
    Disk,
    /// `PIDPressure`.
    Pid,
}

impl Pressure {
    /// Type of the condition.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "MemoryPressure",
            Self::Disk => "DiskPressure",
            Self::Pid => "PIDPressure",
        }
    }
}

/// The conditions that hold.
pub type Pressures = BTreeSet<Pressure>;

/// What a signal tells about.
pub fn resource(signal: Signal) -> Resource {
    use Signal::*;
    match signal {
        MemoryAvailable | AllocatableMemoryAvailable => Resource::Memory,
        NodeFsAvailable | ImageFsAvailable | ContainerFsAvailable => Resource::EphemeralStorage,
        NodeFsInodesFree | ImageFsInodesFree | ContainerFsInodesFree => Resource::Inodes,
        PidAvailable => Resource::Pids,
    }
}

/// The condition a shortage shows in.
pub fn pressure(signal: Signal) -> Pressure {
    match resource(signal) {
        Resource::Memory => Pressure::Memory,
        Resource::EphemeralStorage | Resource::Inodes => Pressure::Disk,
        Resource::Pids => Pressure::Pid,
    }
}

/// Which of the three kinds of files share a file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// Images, writable layers, volumes and logs are on one.
    #[default]
    OneDisk,
    /// Images and writable layers are on one of their own.
    ImageDisk,
    /// Only images are.
    SplitDisks,
}

/// The thresholds that hold with this layout: those of writable layers are always those of the file system they are on.
pub fn effective(configured: &[Threshold], layout: Layout) -> Vec<Threshold> {
    let of_layers = |signal| match (layout, signal) {
        (Layout::ImageDisk, Signal::ImageFsAvailable)
        | (Layout::OneDisk | Layout::SplitDisks, Signal::NodeFsAvailable) => {
            Some(Signal::ContainerFsAvailable)
        }
        (Layout::ImageDisk, Signal::ImageFsInodesFree)
        | (Layout::OneDisk | Layout::SplitDisks, Signal::NodeFsInodesFree) => {
            Some(Signal::ContainerFsInodesFree)
        }
        _ => None,
    };
    let own = |t: &&Threshold| {
        !matches!(
            t.signal,
            Signal::ContainerFsAvailable | Signal::ContainerFsInodesFree
        )
    };
    let layers = configured.iter().filter_map(|threshold| {
        Some(Threshold {
            signal: of_layers(threshold.signal)?,
            ..threshold.clone()
        })
    });
    configured.iter().filter(own).cloned().chain(layers).collect()
}

/// Node-level means against a shortage, to be tried before any Pod goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Means {
    /// Remove dead containers.
    pub containers: bool,
    /// Remove unused images.
    pub images: bool,
}

/// The means against a shortage.
pub fn means(signal: Signal, layout: Layout) -> Means {
    use Signal::*;
    let (containers, images) = match (layout, signal) {
        (_, MemoryAvailable | AllocatableMemoryAvailable | PidAvailable) => (false, false),
        (Layout::OneDisk, _) => (true, true),
        (Layout::ImageDisk, NodeFsAvailable | NodeFsInodesFree) => (false, false),
        (Layout::ImageDisk, _) => (true, true),
        (Layout::SplitDisks, ImageFsAvailable | ImageFsInodesFree) => (false, true),
        (Layout::SplitDisks, _) => (true, false),
    };
    Means { containers, images }
}
