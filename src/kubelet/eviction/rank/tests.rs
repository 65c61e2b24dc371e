use super::*;
use crate::kubelet::eviction::ContainerUsage;
use crate::kubelet::stats::snapshot::VolumeUse;
use crate::model::pod::Quantity;
use crate::model::usage::TreeUse;
use crate::testing::builders::pod;

/// name, priority, request in bytes, use in bytes
type Row = (&'static str, i32, i64, Option<u64>);

fn candidate((name, priority, request, used): Row, resource: &str, use_of: fn(u64) -> PodUsage) -> Candidate {
    let mut pod = pod(name, &["c"]);
    pod.spec.priority = Some(priority);
    if request > 0 {
        let requests = &mut pod.spec.containers[0].resources.requests;
        requests.insert(resource.into(), Quantity(request.to_string().into()));
    }
    Candidate {
        pod: Arc::new(pod),
        used: used.map(use_of),
    }
}

fn ranked(
    rows: &[Row],
    resource: &str,
    use_of: fn(u64) -> PodUsage,
    signal: Signal,
    layout: Layout,
) -> String {
    let forth: Vec<Candidate> = rows.iter().map(|row| candidate(*row, resource, use_of)).collect();
    let names = |mut pods: Vec<Candidate>| {
        rank(&mut pods, signal, layout);
        let names: Vec<&str> = pods.iter().map(|c| &*c.pod.metadata.name).collect();
        names.join(" ")
    };
    let back = forth.iter().rev().cloned().collect();
    let told = names(forth);
    assert_eq!(told, names(back), "the order of the list does not matter");
    told
}

fn memory(bytes: u64) -> PodUsage {
    PodUsage {
        memory: Some(bytes),
        ..PodUsage::default()
    }
}

fn tree(bytes: u64, inodes: u64) -> TreeUse {
    TreeUse { bytes, inodes }
}

#[test]
fn memory_goes_by_exceeding_priority_and_excess() {
    let rows: &[Row] = &[
        ("within-low", -10, 500, Some(400)),
        ("within-more", 0, 500, Some(499)),
        ("within-less", 0, 500, Some(100)),
        ("exceeds-high", 1000, 100, Some(900)),
        ("exceeds-most", 0, 100, Some(800)),
        ("exceeds-some", 0, 700, Some(800)),
        ("exact", -20, 300, Some(300)),
        ("unknown", 5000, 0, None),
        ("unknown-low", 1, 0, None),
    ];
    assert_eq!(
        ranked(rows, "memory", memory, Signal::MemoryAvailable, Layout::OneDisk),
        "unknown-low unknown exceeds-most exceeds-some exceeds-high exact within-low within-more within-less"
    );
}

#[test]
fn processes_go_by_priority_and_number() {
    let processes = |processes| PodUsage {
        processes,
        ..PodUsage::default()
    };
    let rows: &[Row] = &[
        ("important", 10, 0, Some(1000)),
        ("few", 0, 0, Some(1)),
        ("many", 0, 0, Some(9)),
        ("unknown", 0, 0, None),
    ];
    assert_eq!(
        ranked(rows, "pids", processes, Signal::PidAvailable, Layout::OneDisk),
        "unknown many few important"
    );
}

/// 1 byte and 100 inodes of layer for a unit, 10 and 10 of logs, 100 and 1 of volumes.
fn disk(unit: u64) -> PodUsage {
    let volume = |ephemeral, used| VolumeUse {
        name: "v".into(),
        ephemeral,
        used,
        ..VolumeUse::default()
    };
    PodUsage {
        containers: vec![ContainerUsage {
            name: "c".into(),
            layer: Some(tree(unit, 100 * unit)),
            logs: tree(10 * unit, 10 * unit),
            ..ContainerUsage::default()
        }],
        volumes: vec![
            volume(true, tree(100 * unit, unit)),
            volume(false, tree(9999, 9999)),
        ],
        ..PodUsage::default()
    }
}

#[test]
fn disk_counts_what_is_on_the_disk_that_is_full() {
    use Signal::*;
    for (layout, signal, bytes) in [
        (Layout::OneDisk, NodeFsAvailable, 111),
        (Layout::OneDisk, ImageFsAvailable, 111),
        (Layout::ImageDisk, NodeFsAvailable, 110),
        (Layout::ImageDisk, ImageFsAvailable, 1),
        (Layout::ImageDisk, ContainerFsAvailable, 1),
        (Layout::SplitDisks, NodeFsAvailable, 111),
        (Layout::SplitDisks, ContainerFsAvailable, 111),
        (Layout::SplitDisks, ImageFsAvailable, 0),
        (Layout::OneDisk, NodeFsInodesFree, 111),
        (Layout::ImageDisk, NodeFsInodesFree, 11),
        (Layout::ImageDisk, ImageFsInodesFree, 100),
    ] {
        let used = use_of(&disk(1), resource(signal), measure(signal, layout));
        assert_eq!(used, bytes, "{layout:?} {signal:?}");
    }
    let rows: &[Row] = &[
        ("within", -5, 9999, Some(20)),
        ("most", 0, 100, Some(9)),
        ("least", 0, 100, Some(2)),
        ("important", 7, 0, Some(50)),
    ];
    assert_eq!(
        ranked(rows, "ephemeral-storage", disk, NodeFsAvailable, Layout::OneDisk),
        "most least important within"
    );
    // Nobody requests inodes: all exceed, and a request of bytes counts against the use all the same.
    assert_eq!(
        ranked(rows, "ephemeral-storage", disk, NodeFsInodesFree, Layout::OneDisk),
        "within most least important"
    );
}
