//! What volumes, writable layers and logs take. Walking volumes is dear, so each Pod's are looked at once in a while
//! (`volumeStatsAggPeriod`), and only when somebody asks.

use super::Collector;
use super::node::Place;
use super::snapshot::{ContainerDisk, Disks, PodDisk, Snapshot, VolumeUse};
use crate::cri::v1;
use crate::kubelet::dirs::Dirs;
use crate::kubelet::volume::blocking;
use crate::model::PodUid;
use crate::model::pod::Pod;
use crate::model::usage::{FsUse, TreeUse};
use crate::sys::usage;
use jiff::Timestamp;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use tokio::time::Instant;

/// Most files that are looked at in one volume.
const MOST_FILES: u64 = 1_000_000;

/// Volumes as they were last looked at, by Pod UID.
pub(super) type Kept = BTreeMap<String, (Instant, Arc<PodDisk>)>;

/// Looks at the disks of what a snapshot shows.
pub(super) async fn look(collector: &Collector, snapshot: &Arc<Snapshot>, kept: &mut Kept) -> Disks {
    let (stats, info) = tokio::join!(
        collector.runtime.list_container_stats(None),
        collector.images.image_fs_info()
    );
    kept.retain(|uid, (at, _)| {
        snapshot.pods.iter().any(|pod| pod.uid == *uid) && at.elapsed() < collector.volumes_for
    });
    let wanted = snapshot.pods.iter().filter(|pod| !kept.contains_key(&pod.uid));
    let wanted: Vec<Arc<Pod>> = wanted
        .filter_map(|pod| collector.source.get(&PodUid::from(&*pod.uid)))
        .collect();
    let (dirs, snapshot) = (collector.dirs.clone(), snapshot.clone());
    let (stats, info) = (stats.unwrap_or_default(), info.unwrap_or_default());
    // What cannot be read is left out.
    let (mut disks, fresh) = blocking(move || {
        let disks = read(&dirs, &snapshot, &stats, &info);
        let fresh: Vec<_> = wanted
            .iter()
            .map(|pod| (pod.metadata.uid.to_string(), pod_disk(&dirs, pod)))
            .collect();
        Ok((disks, fresh))
    })
    .await
    .unwrap_or_default();
    let now = Instant::now();
    kept.extend(fresh.into_iter().map(|(uid, disk)| (uid, (now, Arc::new(disk)))));
    disks.pods = kept
        .iter()
        .map(|(uid, (_, disk))| (uid.clone(), disk.clone()))
        .collect();
    disks
}

/// What the logs of running containers take; nothing where they cannot be read.
pub(super) async fn logs(dirs: &Dirs, snapshot: &Arc<Snapshot>) -> Vec<([String; 4], u64)> {
    let (dirs, snapshot) = (dirs.clone(), snapshot.clone());
    let read = blocking(move || {
        let mut found = Vec::new();
        for pod in &snapshot.pods {
            let logs = dirs.pod_log(&pod.namespace, &pod.name, &PodUid::from(&*pod.uid));
            for container in &pod.containers {
                let who = [&container.name, &pod.namespace, &pod.name, &pod.uid].map(String::clone);
                found.push((who, files(&logs.join(&container.name)).bytes));
            }
        }
        Ok(found)
    });
    read.await.unwrap_or_default()
}

fn read(
    dirs: &Dirs,
    snapshot: &Snapshot,
    stats: &[v1::ContainerStats],
    info: &v1::ImageFsInfoResponse,
) -> Disks {
    let layers: HashMap<&str, &v1::FilesystemUsage> = stats
        .iter()
        .filter_map(|s| Some((s.attributes.as_ref()?.id.as_str(), s.writable_layer.as_ref()?)))
        .collect();
    let mut containers = HashMap::new();
    for pod in &snapshot.pods {
        let logs = dirs.pod_log(&pod.namespace, &pod.name, &PodUid::from(&*pod.uid));
        for container in &pod.containers {
            let layer = layers
                .get(&*container.id)
                .map(|layer| (layer.timestamp, taken(layer)));
            let logs = files(&logs.join(&container.name));
            containers.insert(container.id.clone(), ContainerDisk { layer, logs });
        }
    }
    let fs = |path: &Path| usage::file_system(path).unwrap_or_default();
    Disks {
        at: i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX),
        node: fs(&dirs.root),
        logs: fs(&dirs.pod_logs),
        images: file_system(&info.image_filesystems),
        layers: file_system(&info.container_filesystems).or_else(|| file_system(&info.image_filesystems)),
        containers,
        pods: BTreeMap::new(),
    }
}

/// PURE.
fn taken(layer: &v1::FilesystemUsage) -> TreeUse {
    let value = |v: &Option<v1::UInt64Value>| v.as_ref().map_or(0, |v| v.value);
    TreeUse {
        bytes: value(&layer.used_bytes),
        inodes: value(&layer.inodes_used),
    }
}

/// The first of the runtime's file systems.
fn file_system(listed: &[v1::FilesystemUsage]) -> Option<(i64, FsUse, TreeUse)> {
    let first = listed.first()?;
    let place = place(first.fs_id.as_ref()?.mountpoint.as_ref(), first.timestamp)?;
    Some((place.at, place.fs, taken(first)))
}

/// The file system of a directory. The directory may not be there yet: then it is that of the one above it.
pub(super) fn place(path: &Path, at: i64) -> Option<Place> {
    path.ancestors().find_map(|path| {
        Some(Place {
            at,
            fs: usage::file_system(path).ok()?,
            device: usage::device(path).ok()?,
        })
    })
}

/// What the files directly in a directory take.
fn files(dir: &Path) -> TreeUse {
    let mut all = TreeUse::default();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if let Ok(tree) = usage::tree(&entry.path(), 1) {
            all.bytes += tree.bytes;
            all.inodes += tree.inodes;
        }
    }
    all
}

fn pod_disk(dirs: &Dirs, pod: &Pod) -> PodDisk {
    let uid = &pod.metadata.uid;
    let base = dirs.pod(uid).join("volumes");
    let plugins: Vec<_> = std::fs::read_dir(base)
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path())
        .collect();
    let mut volumes = Vec::new();
    for volume in &pod.spec.volumes {
        let Some(path) = plugins
            .iter()
            .map(|dir| dir.join(&*volume.name))
            .find(|path| path.is_dir())
        else {
            continue;
        };
        let Ok(fs) = usage::file_system(&path) else {
            continue;
        };
        let used = if usage::is_mount(&path) {
            TreeUse {
                bytes: fs.used,
                inodes: fs.inodes.saturating_sub(fs.inodes_free),
            }
        } else {
            usage::tree(&path, MOST_FILES).unwrap_or_default()
        };
        let on_disk = volume.empty_dir.as_ref().is_some_and(|dir| dir.medium.is_empty());
        volumes.push(VolumeUse {
            name: volume.name.to_string(),
            claim: None,
            fs,
            used,
            ephemeral: on_disk || volume.config_map.is_some(),
        });
    }
    PodDisk {
        at: i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX),
        volumes,
        files: usage::tree(&dirs.etc_hosts(uid), 1).unwrap_or_default(),
    }
}
