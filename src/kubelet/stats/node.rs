//! What the node has left: the look eviction makes every few seconds. It costs a few files and one call to the runtime,
//! however many Pods there are.

use super::Collector;
use super::collect::{machine_use, names};
use super::disk::place;
use crate::cri::v1;
use crate::kubelet::qos::Qos;
use crate::kubelet::volume::blocking;
use crate::model::usage::{CgroupUse, FsUse, MachineUse};
use crate::sys::usage;
use jiff::Timestamp;

/// A file system, and which one it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// When, Unix nanoseconds.
    pub at: i64,
    /// How full it is.
    pub fs: FsUse,
    /// Device number.
    pub device: (u32, u32),
}

/// What the node has left.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeUse {
    /// The whole machine's cgroup; `None` where there is none to read.
    pub root: Option<CgroupUse>,
    /// That of all Pods.
    pub pods: Option<CgroupUse>,
    /// Facts that no cgroup has.
    pub machine: MachineUse,
    /// When the machine was looked at, Unix nanoseconds.
    pub at: i64,
    /// Where volumes and logs are.
    pub node: Option<Place>,
    /// Where images are.
    pub images: Option<Place>,
    /// Where writable layers are.
    pub layers: Option<Place>,
}

/// Looks.
pub(super) async fn look(collector: &Collector) -> NodeUse {
    // Without an answer the file systems of images and layers stay unknown.
    let info = collector.images.image_fs_info().await.unwrap_or_default();
    let (cgroups, dirs) = (collector.cgroups.clone(), collector.dirs.clone());
    let parent = collector.cgroup_root.to_string();
    let read = blocking(move || {
        let machine = usage::machine(&[]);
        let mut found = NodeUse {
            at: now(),
            node: place(&dirs.root, now()),
            images: first(&info.image_filesystems),
            layers: first(&info.container_filesystems).or_else(|| first(&info.image_filesystems)),
            ..NodeUse::default()
        };
        if let Some(cgroups) = cgroups {
            found.root = cgroups.usage("/").map(|root| machine_use(root, &machine));
            found.pods = cgroups.usage(&names(&cgroups, &parent).class(Qos::Guaranteed));
        }
        found.machine = machine;
        Ok(found)
    });
    read.await.unwrap_or_default()
}

fn first(listed: &[v1::FilesystemUsage]) -> Option<Place> {
    let first = listed.first()?;
    place(first.fs_id.as_ref()?.mountpoint.as_ref(), first.timestamp)
}

fn now() -> i64 {
    i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}
