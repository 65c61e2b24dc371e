use super::*;
use crate::kubelet::stats::snapshot::{ContainerDisk, ContainerUse, PodDisk, Used, VolumeUse};
use crate::model::usage::{FsUse, MachineUse, TreeUse};
use std::collections::HashMap;
use std::sync::Arc;

fn place(device: u32, available: u64, inodes: u64) -> Option<Place> {
    Some(Place {
        at: 5,
        fs: FsUse {
            capacity: 100,
            available,
            inodes,
            inodes_free: inodes / 2,
            ..FsUse::default()
        },
        device: (8, device),
    })
}

fn cgroup(usage: u64, inactive_file: u64, limit: Option<u64>) -> CgroupUse {
    let mut cgroup = CgroupUse {
        read_at: 7,
        ..CgroupUse::default()
    };
    cgroup.memory.usage = Some(usage);
    cgroup.memory.inactive_file = inactive_file;
    cgroup.limits.memory = limit;
    cgroup
}

#[test]
fn every_signal_has_its_number() {
    use Signal::*;
    let node = NodeUse {
        root: Some(cgroup(600, 100, Some(1000))),
        pods: Some(cgroup(300, 0, None)),
        machine: MachineUse {
            memory_total: 1000,
            max_pid: 50,
            threads: 20,
            ..MachineUse::default()
        },
        at: 9,
        node: place(1, 40, 10),
        images: place(1, 41, 0),
        layers: place(1, 42, 30),
    };
    let told: Vec<_> = observations(&node)
        .into_iter()
        .map(|(signal, seen)| (signal, seen.available, seen.capacity, seen.at))
        .collect();
    assert_eq!(
        told,
        [
            (MemoryAvailable, 500, 1000, 7),
            (AllocatableMemoryAvailable, 700, 1000, 7),
            (NodeFsAvailable, 40, 100, 5),
            (NodeFsInodesFree, 5, 10, 5),
            (ImageFsAvailable, 41, 100, 5),
            (ContainerFsAvailable, 42, 100, 5),
            (ContainerFsInodesFree, 15, 30, 5),
            (PidAvailable, 30, 50, 9),
        ]
    );
    assert!(observations(&NodeUse::default()).is_empty());
    let above = NodeUse {
        pods: Some(cgroup(900, 0, Some(800))),
        ..NodeUse::default()
    };
    let seen = observations(&above)[&AllocatableMemoryAvailable];
    assert_eq!((seen.available, seen.capacity), (0, 900));
}

#[test]
fn which_files_share_a_disk() {
    let layout_of = |node, images, layers| {
        layout(&NodeUse {
            node: place(node, 1, 1),
            images,
            layers,
            ..NodeUse::default()
        })
    };
    assert_eq!(layout_of(1, place(1, 1, 1), place(1, 1, 1)), Layout::OneDisk);
    assert_eq!(layout_of(1, place(2, 1, 1), place(2, 1, 1)), Layout::ImageDisk);
    assert_eq!(layout_of(1, place(2, 1, 1), place(1, 1, 1)), Layout::SplitDisks);
    assert_eq!(layout_of(1, None, None), Layout::OneDisk);
}

#[test]
fn what_a_pod_uses() {
    let tree = |bytes| TreeUse { bytes, inodes: 1 };
    let container = |id: &str, processes| {
        let mut usage = cgroup(100, 30, None);
        usage.processes = processes;
        ContainerUse {
            id: id.into(),
            name: id.into(),
            used: Used::new(id, usage),
            ..ContainerUse::default()
        }
    };
    let snapshot = Snapshot {
        pods: vec![PodUse {
            uid: "u".into(),
            used: Some(Used::new("pod", cgroup(250, 50, None))),
            containers: vec![container("a", 2), container("b", 3)],
            ..PodUse::default()
        }],
        ..Snapshot::default()
    };
    let volume = |name: &str, ephemeral| VolumeUse {
        name: name.into(),
        used: tree(1000),
        ephemeral,
        ..VolumeUse::default()
    };
    let pod_disk = PodDisk {
        volumes: vec![volume("dir", true), volume("claim", false)],
        files: tree(1),
        ..PodDisk::default()
    };
    let a = ContainerDisk {
        layer: Some((0, tree(10))),
        logs: tree(100),
    };
    let disks = Disks {
        containers: HashMap::from([("a".into(), a)]),
        pods: BTreeMap::from([("u".into(), Arc::new(pod_disk))]),
        ..Disks::default()
    };
    let used = &usage(&snapshot, &disks)["u"];
    assert_eq!(
        (used.memory, used.processes, used.ephemeral),
        (Some(200), 5, 1111)
    );
    assert_eq!(used.containers[0].memory, Some(70));
    assert_eq!(
        (used.containers[0].layer, used.containers[0].logs),
        (Some(tree(10)), tree(100))
    );
    assert_eq!(
        (used.containers[1].layer, used.containers[1].logs),
        (None, TreeUse::default())
    );
    assert_eq!(used.volumes.len(), 2);
}
