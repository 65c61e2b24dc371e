//! What runs on this node, and what it uses: one collector for everybody who wants to know.
//!
//! `/stats/summary`, `/metrics/resource` and `/metrics/cadvisor` read the same [`Snapshot`]; eviction and `explain` can.
//! A pass is two list calls to the runtime and a walk over the cgroup files of what it lists: those hold more than CRI
//! stats do, and cost no call to each container's shim. CRI stats are asked for a container without a cgroup to read,
//! and for writable layers. Nothing is collected while nobody asks: a snapshot is made on demand, kept for [`FRESH`],
//! and made once for all who ask meanwhile.

pub mod cadvisor;
mod collect;
mod disk;
pub mod node;
pub mod resource;
pub mod snapshot;
pub mod summary;

use crate::cri::{self, Images, Runtime};
use crate::kubelet::dirs::Dirs;
use crate::kubelet::source::Source;
use crate::model::machine::Machine;
use crate::sys::cgroup::{Cgroups, Version};
use crate::sys::machine;
use snapshot::{Before, Disks, Snapshot};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How old a snapshot may be; upstream's are up to 15 s old.
pub const FRESH: Duration = Duration::from_secs(5);
/// A rate over more than this is no rate of now.
const RATE_OVER: Duration = Duration::from_secs(120);
/// Between two looks that are made for a rate.
const RATE_PAUSE: Duration = Duration::from_millis(250);

/// The collector. See the module's words.
pub struct Collector {
    runtime: Arc<dyn Runtime>,
    images: Arc<dyn Images>,
    source: Arc<Source>,
    node: Arc<str>,
    cgroup_root: Box<str>,
    dirs: Dirs,
    machine: Machine,
    cgroups: Option<Arc<Cgroups>>,
    /// The last snapshot. Held for a pass: whoever waits for it finds the pass's outcome.
    last: Mutex<Last>,
    disks: Mutex<disk::Kept>,
    /// How old what is known of a Pod's volumes may be.
    volumes_for: Duration,
}

#[derive(Default)]
struct Last {
    made: Option<(Instant, Arc<Snapshot>)>,
    /// The look before it, for rates.
    before: Option<(Instant, Before)>,
    /// Image of sandboxes, once known.
    pause: Option<String>,
    passes: u64,
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector")
            .field("dirs", &self.dirs)
            .finish_non_exhaustive()
    }
}

impl Collector {
    /// A collector that has not looked yet, of the node of this name; Pods' cgroups are below `cgroup_root`, and their
    /// volumes are looked at once in `volumes_for`.
    pub fn new(
        (runtime, images): (Arc<dyn Runtime>, Arc<dyn Images>),
        source: Arc<Source>,
        (node, cgroup_root): (Arc<str>, Box<str>),
        (dirs, volumes_for): (Dirs, Duration),
    ) -> Self {
        Self {
            runtime,
            images,
            source,
            node,
            cgroup_root,
            dirs,
            machine: machine::read(),
            // Without cgroups the runtime's numbers are all there is; the pod side says so in the log.
            cgroups: Cgroups::detect().ok().map(Arc::new),
            last: Mutex::default(),
            disks: Mutex::default(),
            volumes_for,
        }
    }

    /// Our Node's name.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Facts about the machine that do not change.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// What runs and what it uses, at most `age` old.
    ///
    /// # Errors
    /// When the runtime cannot be asked what runs.
    pub async fn snapshot(&self, age: Duration) -> cri::Result<Arc<Snapshot>> {
        let mut last = self.last.lock().await;
        if let Some((_, made)) = last.made.as_ref().filter(|(at, _)| at.elapsed() <= age) {
            return Ok(made.clone());
        }
        self.pass(&mut last).await
    }

    /// As [`Collector::snapshot`], with CPU rates: looks twice when the look before is none, or long ago.
    ///
    /// # Errors
    /// As above.
    pub async fn rated(&self, age: Duration) -> cri::Result<Arc<Snapshot>> {
        let mut last = self.last.lock().await;
        let rated = |last: &Last| {
            last.made
                .as_ref()
                .is_some_and(|(_, made)| made.root.nano_cores.is_some())
        };
        if let Some((_, made)) = last
            .made
            .as_ref()
            .filter(|(at, _)| at.elapsed() <= age && rated(&last))
        {
            return Ok(made.clone());
        }
        let made = self.pass(&mut last).await?;
        if made.root.nano_cores.is_some() {
            return Ok(made);
        }
        tokio::time::sleep(RATE_PAUSE).await;
        self.pass(&mut last).await
    }

    /// 1 or 2; 0 without cgroups.
    pub fn cgroup_version(&self) -> u64 {
        match self.cgroups.as_ref().map(|cgroups| cgroups.version()) {
            None => 0,
            Some(Version::V2) => 2,
            Some(Version::V1 | Version::Hybrid) => 1,
        }
    }

    /// Bytes the logs of running containers take: container, namespace, Pod, UID.
    pub async fn logs(&self, snapshot: &Arc<Snapshot>) -> Vec<([String; 4], u64)> {
        disk::logs(&self.dirs, snapshot).await
    }

    /// Disk use of what a snapshot shows.
    pub async fn disks(&self, snapshot: &Arc<Snapshot>) -> Disks {
        let mut kept = self.disks.lock().await;
        disk::look(self, snapshot, &mut kept).await
    }

    /// What the node has left, looked at now.
    pub async fn node_use(&self) -> node::NodeUse {
        node::look(self).await
    }

    async fn pass(&self, last: &mut Last) -> cri::Result<Arc<Snapshot>> {
        if last.pause.is_none() {
            // A name for a label: without it the label is empty.
            last.pause = collect::pause_image(self.images.as_ref()).await;
        }
        let mut snapshot = collect::look(self, last.pause.as_deref().unwrap_or_default()).await?;
        let now = Instant::now();
        if let Some((_, before)) = last.before.as_ref().filter(|(at, _)| at.elapsed() <= RATE_OVER) {
            snapshot.rate(before);
        }
        last.before = Some((now, snapshot.times()));
        last.passes += 1;
        let snapshot = Arc::new(snapshot);
        last.made = Some((now, snapshot.clone()));
        Ok(snapshot)
    }
}

/// A collector over a runtime without anything, for tests of what needs one.
#[cfg(test)]
pub(crate) fn idle() -> Arc<Collector> {
    tests::idle()
}

#[cfg(test)]
mod tests;
