//! Removes images nobody uses: when their disk is too full, when they have not been used for long, and when the node is
//! short of disk. `records` decides; also keeps the list of images our Node tells.

use super::ImageManager;
use super::records::{Records, Unused, excess, not_enough, old, to_free};
use crate::api::{EventType, Events};
use crate::config::KubeletConfig;
use crate::cri::{self, Images, POD_UID_LABEL, Runtime, v1};
use crate::kubelet::metrics::KubeletMetrics;
use crate::kubelet::refs;
use crate::kubelet::source::Source;
use crate::model::{ContainerId, PodUid};
use crate::sys::usage;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, watch};

/// Pause between two looks at the list of images.
const LIST: Duration = Duration::from_secs(30);
/// Pause between two collections.
const COLLECT: Duration = Duration::from_secs(300);

/// Why a collection did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The runtime did not answer.
    #[error(transparent)]
    Runtime(#[from] cri::Error),
    /// Images could not be removed.
    #[error(
        "wanted to free {wanted} bytes, but freed {freed} bytes space with errors in image deletion: {errors}"
    )]
    Removal {
        /// Bytes to free.
        wanted: u64,
        /// Bytes that were freed.
        freed: u64,
        /// The runtime's words.
        errors: String,
    },
    /// The disk of images has no size.
    #[error("invalid capacity 0 on image filesystem")]
    NoCapacity,
    /// Everything unused was removed.
    #[error("{0}")]
    NotEnough(String),
}

/// The image garbage collector.
pub struct ImageGc {
    runtime: Arc<dyn Runtime>,
    images: Arc<dyn Images>,
    manager: Arc<ImageManager>,
    events: Arc<dyn Events>,
    source: Arc<Source>,
    config: Arc<KubeletConfig>,
    metrics: KubeletMetrics,
    began: Timestamp,
    /// Held for a collection: two at once would remove twice as much.
    records: Mutex<Records>,
    listed: watch::Sender<Arc<[v1::Image]>>,
}

impl fmt::Debug for ImageGc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImageGc")
            .field("config", &self.config.image_gc)
            .finish_non_exhaustive()
    }
}

impl ImageGc {
    /// A collector that has not looked yet.
    pub fn new(
        (runtime, images, manager): (Arc<dyn Runtime>, Arc<dyn Images>, Arc<ImageManager>),
        events: Arc<dyn Events>,
        source: Arc<Source>,
        config: Arc<KubeletConfig>,
        metrics: KubeletMetrics,
    ) -> Self {
        Self {
            runtime,
            images,
            manager,
            events,
            source,
            config,
            metrics,
            began: Timestamp::now(),
            records: Mutex::default(),
            listed: watch::Sender::new(Arc::new([])),
        }
    }

    /// The images of the node, as they were listed last.
    pub fn listed(&self) -> watch::Receiver<Arc<[v1::Image]>> {
        self.listed.subscribe()
    }

    /// Lists and collects, for ever.
    pub async fn run(&self) {
        tokio::join!(self.list(), self.collect());
    }

    async fn list(&self) {
        let mut before = None;
        loop {
            let began = Timestamp::now();
            // A runtime that does not answer is told of elsewhere.
            if let Ok(images) = self.images.list_images().await {
                let ids: BTreeSet<String> = images.iter().map(|image| image.id.clone()).collect();
                self.listed.send_replace(images.into());
                if before.as_ref().is_none_or(|before| !ids.is_superset(before)) {
                    self.manager.forget_gone(ids.clone(), began).await;
                }
                before = Some(ids);
            }
            tokio::time::sleep(LIST).await;
        }
    }

    async fn collect(&self) {
        let config = &self.config.image_gc;
        if config.high == 100 && config.max_age.is_zero() {
            return;
        }
        let mut failed = false;
        loop {
            match self.collect_once(Timestamp::now()).await {
                Ok(()) => failed = false,
                // The first time the runtime may not know its disks yet.
                Err(error) if !std::mem::replace(&mut failed, true) => {
                    tracing::warn!(%error, "image garbage collection failed once");
                }
                Err(error) => {
                    tracing::error!(%error, "image garbage collection failed again");
                    self.tell("ImageGCFailed", error.to_string());
                }
            }
            tokio::time::sleep(COLLECT).await;
        }
    }

    fn tell(&self, reason: &'static str, message: String) {
        let node = refs::node(&self.config.node);
        self.events.emit(&node, EventType::Warning, reason, message);
    }

    /// One collection by age and by how full the disk is.
    ///
    /// # Errors
    /// When images are left that should have gone.
    pub async fn collect_once(&self, now: Timestamp) -> Result<(), Error> {
        let mut records = self.records.lock().await;
        let config = &self.config.image_gc;
        let mut unused = self.unused(&mut records, now).await?;
        let aged: Vec<Unused> = old(&unused, config, (self.began, now)).cloned().collect();
        unused.retain(|image| !aged.contains(image));
        self.remove(&mut records, &aged.iter().collect::<Vec<_>>(), "age", 0)
            .await?;
        let Some((capacity, available)) = self.disk().await? else {
            self.tell("InvalidDiskCapacity", Error::NoCapacity.to_string());
            return Err(Error::NoCapacity);
        };
        let Some(excess) = excess(capacity, available, config) else {
            return Ok(());
        };
        let chosen = to_free(&unused, excess.bytes, config.min_age, now);
        let freed = self.remove(&mut records, &chosen, "space", excess.bytes).await?;
        if freed >= excess.bytes {
            return Ok(());
        }
        let text = not_enough(excess, capacity, freed);
        self.tell("FreeDiskSpaceFailed", text.clone());
        Err(Error::NotEnough(text))
    }

    /// Removes everything nobody uses.
    ///
    /// # Errors
    /// When something could not be removed.
    pub async fn remove_unused(&self, now: Timestamp) -> Result<(), Error> {
        let mut records = self.records.lock().await;
        let unused = self.unused(&mut records, now).await?;
        let chosen = to_free(&unused, u64::MAX, self.config.image_gc.min_age, now);
        self.remove(&mut records, &chosen, "space", u64::MAX)
            .await
            .map(drop)
    }

    async fn unused(&self, records: &mut Records, now: Timestamp) -> Result<Vec<Unused>, Error> {
        let images = self.images.list_images().await?;
        let containers = self.runtime.list_containers(None).await?;
        let mut in_use = BTreeSet::new();
        for container in containers {
            if self.has_image_volumes(&container) {
                in_use.extend(self.image_volumes(&container).await?);
            }
            let id = if container.image_id.is_empty() {
                container.image_ref
            } else {
                container.image_id
            };
            in_use.insert(id);
        }
        Ok(records.look(&images, &in_use, now))
    }

    /// Whether the container's Pod mounts images; one we do not know might.
    fn has_image_volumes(&self, container: &v1::Container) -> bool {
        let uid = container.labels.get(POD_UID_LABEL).map_or("", String::as_str);
        let pod = self.source.get(&PodUid::from(uid));
        pod.is_none_or(|pod| pod.spec.volumes.iter().any(|volume| volume.image.is_some()))
    }

    async fn image_volumes(&self, container: &v1::Container) -> Result<Vec<String>, Error> {
        let status = match self
            .runtime
            .container_status(&ContainerId::from(&*container.id))
            .await
        {
            Ok(status) => status,
            Err(error) if error.is_not_found() => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let images = status.mounts.into_iter().filter_map(|mount| mount.image);
        Ok(images.map(|image| image.image).collect())
    }

    /// Bytes of the disk images are on, and bytes that are free; `None` for a disk of no size.
    async fn disk(&self) -> Result<Option<(u64, u64)>, Error> {
        let info = self.images.image_fs_info().await?;
        let place = info.image_filesystems.first().and_then(|fs| fs.fs_id.as_ref());
        let path = Path::new(place.map_or("", |id| &id.mountpoint));
        let fs = path.ancestors().find_map(|path| usage::file_system(path).ok());
        Ok(fs
            .map(|fs| (fs.capacity, fs.available))
            .filter(|(capacity, _)| *capacity > 0))
    }

    /// Removes images; returns the bytes that are free then.
    async fn remove(
        &self,
        records: &mut Records,
        images: &[&Unused],
        reason: &'static str,
        wanted: u64,
    ) -> Result<u64, Error> {
        let mut freed = 0_u64;
        let mut errors = Vec::new();
        for image in images {
            tracing::info!(image = %image.id, bytes = image.size, reason, "removing an unused image");
            match self.images.remove_image(&image.id).await {
                Ok(()) => {
                    records.forget(&image.id);
                    self.metrics.image_removed(reason);
                    freed = freed.saturating_add(image.size);
                }
                Err(error) => errors.push(error.grpc_text()),
            }
        }
        if errors.is_empty() {
            return Ok(freed);
        }
        Err(Error::Removal {
            wanted,
            freed,
            errors: errors.join(", "),
        })
    }
}

#[cfg(test)]
mod tests;
