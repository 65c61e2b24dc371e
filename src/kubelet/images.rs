//! Images for containers: policy, parallel deduplicated pulls, backoff, and kubelet's words for all of it.
//!
//! [`ImageManager::ensure`] is the whole interface. It may be called by any number of pod workers at once:
//! - the same image with the same credentials is downloaded once, whoever asks;
//! - at most [`MAX_PARALLEL_PULLS`] downloads run at a time, the others wait;
//! - a failed pull of a Pod's image backs off 10 s, 20 s, … 300 s, for that Pod and image only;
//! - a caller that gives up (its Pod is deleted) stops the download when nobody else waits for it.

pub mod gc;
pub mod records;
pub mod reference;
mod report;

use crate::api::EventType;
use crate::cri::{self, Images, v1};
use crate::kubelet::metrics::KubeletMetrics;
use crate::model::PodUid;
use crate::model::pod::PullPolicy;
use futures::future::{BoxFuture, FutureExt, Shared, WeakShared};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Downloads at a time.
pub const MAX_PARALLEL_PULLS: usize = 5;
/// First pause after a failed pull.
const BACKOFF_BASE: Duration = Duration::from_secs(10);
/// Longest pause after a failed pull.
const BACKOFF_MAX: Duration = Duration::from_secs(300);
/// A failure is shown as `ErrImagePull` this long before `ImagePullBackOff` takes its place.
const SHOW_ERROR: Duration = Duration::from_secs(5);

/// What the runtime calls an image that is present: goes into `ContainerConfig.image.image`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageRef(pub Box<str>);

/// An Event about the container; the caller knows which object that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageEvent {
    /// `Normal` or `Warning`.
    pub kind: EventType,
    /// `Pulling`, `Pulled`, `Failed`, `BackOff`, `InspectFailed`, `ErrImageNeverPull`.
    pub reason: &'static str,
    /// Words for people.
    pub message: String,
}

/// Why an image is not there: the waiting reason and message of the container.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct ImageError {
    /// `ErrImagePull`, `ImagePullBackOff`, `ErrImageNeverPull`, `InvalidImageName`, `ImageInspectError`,
    /// `RegistryUnavailable`, `SignatureValidationFailed`.
    pub reason: &'static str,
    /// Words for people, with the runtime's own.
    pub message: String,
    /// When asking again can give another answer. After a failed pull that is soon: the answer then is
    /// `ImagePullBackOff` with the rest of the pause.
    pub retry_after: Duration,
}

/// One container's wish for an image.
#[derive(Clone, Copy, Debug)]
pub struct ImageRequest<'a> {
    /// The Pod, for its own backoff.
    pub pod: &'a PodUid,
    /// As the Pod's spec writes it.
    pub image: &'a str,
    /// When to pull.
    pub policy: PullPolicy,
    /// Credentials, tried in order; none means an anonymous pull.
    pub auth: &'a [v1::AuthConfig],
    /// The sandbox the container will run in, if there is one already.
    pub sandbox_config: Option<&'a v1::PodSandboxConfig>,
}

/// What to do about an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Take what the node has.
    Use,
    /// Download it.
    Pull,
    /// It is not there and must not be downloaded.
    Refuse,
}

/// The pull policy, as a table. `present` is not looked at for `Always`.
pub fn decide(policy: PullPolicy, present: bool) -> Decision {
    match (policy, present) {
        (PullPolicy::Always, _) | (PullPolicy::IfNotPresent, false) => Decision::Pull,
        (PullPolicy::IfNotPresent | PullPolicy::Never, true) => Decision::Use,
        (PullPolicy::Never, false) => Decision::Refuse,
    }
}

/// A finished download.
#[derive(Clone, Debug)]
struct Pulled {
    image: ImageRef,
    took: Duration,
    bytes: u64,
}

type PullResult = Result<Pulled, Arc<[cri::Error]>>;
type PullFuture = BoxFuture<'static, PullResult>;
/// Image and credentials; kept in memory only while the download runs.
type PullKey = (Box<str>, Vec<v1::AuthConfig>);

/// Backoff of one Pod's image.
#[derive(Clone, Debug)]
struct Failed {
    at: Instant,
    pause: Duration,
    /// `ErrImagePull: …` of the last try.
    error: Box<str>,
}

/// See the module's words.
pub struct ImageManager {
    images: Arc<dyn Images>,
    slots: Arc<Semaphore>,
    /// Downloads under way; entries whose waiters are all gone are swept on the next pull.
    pulls: Mutex<Vec<(PullKey, WeakShared<PullFuture>)>>,
    /// Failures by Pod and image; swept when twice the longest pause has passed.
    failures: Mutex<HashMap<(PodUid, Box<str>), Failed>>,
    metrics: KubeletMetrics,
}

impl ImageManager {
    /// A manager over the runtime's image service.
    pub fn new(images: Arc<dyn Images>) -> Self {
        Self {
            images,
            slots: Arc::new(Semaphore::new(MAX_PARALLEL_PULLS)),
            pulls: Mutex::default(),
            failures: Mutex::default(),
            metrics: KubeletMetrics::default(),
        }
    }

    /// The same, counted.
    pub fn with_metrics(self, metrics: KubeletMetrics) -> Self {
        Self { metrics, ..self }
    }

    /// Makes sure the image is on the node, as the policy says, and returns what the runtime calls it. Every Event
    /// kubelet would emit goes to `on_event`, in order, as it happens; also `Failed: Error: <reason>` at the end.
    pub async fn ensure(
        &self,
        request: ImageRequest<'_>,
        on_event: &(dyn Fn(ImageEvent) + Send + Sync),
    ) -> Result<ImageRef, ImageError> {
        let result = self.ensure_inner(request, on_event).await;
        if let Err(error) = &result {
            on_event(report::container_failed(error));
        }
        result
    }

    async fn ensure_inner(
        &self,
        request: ImageRequest<'_>,
        on_event: &(dyn Fn(ImageEvent) + Send + Sync),
    ) -> Result<ImageRef, ImageError> {
        let wanted = request.image;
        let fail = |(event, error): (ImageEvent, ImageError)| {
            on_event(event);
            Err(error)
        };
        let image = match reference::with_default_tag(wanted) {
            Ok(image) => image,
            Err(e) => return fail(report::invalid_name(wanted, &e)),
        };
        let present = match self.present(&image, request.policy).await {
            Ok(present) => present,
            Err(e) => return fail(report::inspect_failed(wanted, &e)),
        };
        match (decide(request.policy, present.is_some()), present) {
            (Decision::Use, Some(image)) => {
                on_event(report::already_present(wanted));
                Ok(image)
            }
            (Decision::Pull, _) => self.pull(&image, request, on_event).await,
            (Decision::Refuse | Decision::Use, _) => fail(report::never_pull(wanted)),
        }
    }

    async fn present(&self, image: &str, policy: PullPolicy) -> cri::Result<Option<ImageRef>> {
        if policy == PullPolicy::Always {
            return Ok(None);
        }
        let found = self.images.image_status(image).await?;
        Ok(found.map(|i| ImageRef(i.id.into())))
    }

    async fn pull(
        &self,
        image: &str,
        request: ImageRequest<'_>,
        on_event: &(dyn Fn(ImageEvent) + Send + Sync),
    ) -> Result<ImageRef, ImageError> {
        let wanted = request.image;
        let key = (request.pod.clone(), Box::from(wanted));
        if let Some((rest, error)) = self.backing_off(&key) {
            let (event, error) = report::back_off(wanted, &error, rest);
            on_event(event);
            return Err(error);
        }
        on_event(report::pulling(wanted));
        let asked = Instant::now();
        match self.download(image, request).await {
            Ok(pulled) => {
                self.lock_failures().remove(&key);
                on_event(report::pulled(wanted, pulled.took, asked.elapsed(), pulled.bytes));
                Ok(pulled.image)
            }
            Err(errors) => {
                let (event, error) = report::pull_failed(wanted, &errors);
                on_event(event);
                let pause = self.failed(key, &error);
                Err(ImageError {
                    retry_after: pause.min(SHOW_ERROR),
                    ..error
                })
            }
        }
    }

    /// Joins the download of the same image with the same credentials, or starts it.
    async fn download(&self, image: &str, request: ImageRequest<'_>) -> PullResult {
        let key: PullKey = (image.into(), request.auth.to_vec());
        let running: Shared<PullFuture> = {
            let mut pulls = self.pulls.lock().unwrap_or_else(|p| p.into_inner());
            pulls.retain(|(_, pull)| pull.upgrade().is_some_and(|p| p.peek().is_none()));
            let found = pulls.iter().find(|(k, _)| *k == key);
            match found.and_then(|(_, pull)| pull.upgrade()) {
                Some(pull) => pull,
                None => {
                    let sandbox = request.sandbox_config.cloned();
                    let pull = self.start(key.clone(), sandbox).shared();
                    pulls.extend(pull.downgrade().map(|weak| (key, weak)));
                    pull
                }
            }
        };
        running.await
    }

    fn start(&self, (image, auth): PullKey, sandbox: Option<v1::PodSandboxConfig>) -> PullFuture {
        let (images, slots, metrics) = (self.images.clone(), self.slots.clone(), self.metrics.clone());
        async move {
            let _slot = slots
                .acquire_owned()
                .await
                .expect("the semaphore is never closed");
            let started = Instant::now();
            let spec = v1::ImageSpec {
                image: image.to_string(),
                ..Default::default()
            };
            let pulled = pull_with(&*images, &spec, &auth, sandbox.as_ref()).await?;
            // The size is for the event only; a pull is no failure for want of it.
            let status = images.image_status(&pulled).await.ok().flatten();
            let pulled = Pulled {
                image: ImageRef(pulled.into()),
                took: started.elapsed(),
                bytes: status.map_or(0, |s| s.size),
            };
            metrics.image_pulled(pulled.bytes, pulled.took);
            Ok(pulled)
        }
        .boxed()
    }

    /// The rest of the pause and the error it comes from.
    fn backing_off(&self, key: &(PodUid, Box<str>)) -> Option<(Duration, Box<str>)> {
        let failures = self.lock_failures();
        let failed = failures.get(key)?;
        let rest = failed.pause.checked_sub(failed.at.elapsed())?;
        (!rest.is_zero()).then(|| (rest, failed.error.clone()))
    }

    /// Counts a failure and returns the pause it earns.
    fn failed(&self, key: (PodUid, Box<str>), error: &ImageError) -> Duration {
        let now = Instant::now();
        let mut failures = self.lock_failures();
        failures.retain(|_, f| now < f.at + 2 * BACKOFF_MAX);
        let pause = failures
            .get(&key)
            .map_or(BACKOFF_BASE, |f| (f.pause * 2).min(BACKOFF_MAX));
        let error = error.to_string().into();
        failures.insert(
            key,
            Failed {
                at: now,
                pause,
                error,
            },
        );
        pause
    }

    fn lock_failures(&self) -> MutexGuard<'_, HashMap<(PodUid, Box<str>), Failed>> {
        self.failures.lock().unwrap_or_else(|p| p.into_inner())
    }
}

/// Tries the credentials in order; all errors when none of them worked.
async fn pull_with(
    images: &dyn Images,
    spec: &v1::ImageSpec,
    auth: &[v1::AuthConfig],
    sandbox: Option<&v1::PodSandboxConfig>,
) -> Result<String, Arc<[cri::Error]>> {
    if auth.is_empty() {
        return images
            .pull_image(spec, None, sandbox)
            .await
            .map_err(|e| Arc::from([e]));
    }
    let mut errors = Vec::new();
    for credentials in auth {
        match images.pull_image(spec, Some(credentials), sandbox).await {
            Ok(image) => return Ok(image),
            Err(e) => errors.push(e),
        }
    }
    Err(errors.into())
}

impl fmt::Debug for ImageManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let backing_off = self.lock_failures().len();
        f.debug_struct("ImageManager")
            .field("free_slots", &self.slots.available_permits())
            .field("backing_off", &backing_off)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
