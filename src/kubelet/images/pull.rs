//! Downloads: one for all who ask for the same image with the same credentials, not more at a time and not more often
//! than the settings allow.

use super::keyring::Login;
use crate::config::PullLimits;
use crate::cri::{Images, v1};
use crate::task::Flights;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// A finished download.
#[derive(Clone, Debug)]
pub(super) struct Pulled {
    /// What the runtime calls the image.
    pub(super) image: Box<str>,
    /// Without waiting for a slot.
    pub(super) took: Duration,
    /// The image's size.
    pub(super) bytes: u64,
    /// Which of the logins worked; `None` when there were none.
    pub(super) login: Option<usize>,
}

/// The runtime's words, one for each login.
type Errors = Arc<[String]>;
pub(super) type PullResult = Result<Pulled, Errors>;

/// What to download. In memory only while the download runs.
#[derive(Clone, PartialEq)]
pub(super) struct Order {
    /// Name with tag or digest.
    pub(super) image: Box<str>,
    /// Tried in order; none means an anonymous pull.
    pub(super) logins: Vec<Login>,
}

/// Downloads images.
pub(super) struct Puller {
    shared: Arc<Service>,
    pulls: Flights<Order, PullResult>,
}

struct Service {
    images: Arc<dyn Images>,
    slots: Semaphore,
    bucket: Option<Mutex<Bucket>>,
}

impl Puller {
    pub(super) fn new(images: Arc<dyn Images>, limits: &PullLimits) -> Self {
        let slots = limits
            .parallel
            .map_or(Semaphore::MAX_PERMITS, |n| n.min(Semaphore::MAX_PERMITS));
        let bucket =
            (limits.per_second > 0).then(|| Mutex::new(Bucket::new(limits.per_second, limits.burst)));
        let shared = Service {
            images,
            slots: Semaphore::new(slots),
            bucket,
        };
        Self {
            shared: Arc::new(shared),
            pulls: Flights::default(),
        }
    }

    /// Joins the download of the same image with the same logins, or starts it, for this sandbox. Dropping the answer
    /// gives up; the download stops when nobody else waits for it.
    pub(super) async fn pull(&self, order: Order, sandbox: Option<&v1::PodSandboxConfig>) -> PullResult {
        let start = |order: &Order| self.shared.clone().download(order.clone(), sandbox.cloned());
        self.pulls.join(order, start).await
    }
}

impl Service {
    async fn download(self: Arc<Self>, order: Order, sandbox: Option<v1::PodSandboxConfig>) -> PullResult {
        let _slot = self.slots.acquire().await.expect("the semaphore is never closed");
        let started = Instant::now();
        if !self.may_start(started) {
            return Err(Arc::from(["pull QPS exceeded".to_owned()]));
        }
        let (image, login) = self.try_logins(&order, sandbox.as_ref()).await?;
        // The size is for the event only; a pull is no failure for want of it.
        let status = self.images.image_status(&image).await.ok().flatten();
        Ok(Pulled {
            image: image.into(),
            took: started.elapsed(),
            bytes: status.map_or(0, |s| s.size),
            login,
        })
    }

    fn may_start(&self, now: Instant) -> bool {
        self.bucket
            .as_ref()
            .is_none_or(|bucket| bucket.lock().unwrap_or_else(PoisonError::into_inner).take(now))
    }

    /// The first login that works; all errors when none does.
    async fn try_logins(
        &self,
        order: &Order,
        sandbox: Option<&v1::PodSandboxConfig>,
    ) -> Result<(String, Option<usize>), Errors> {
        let spec = v1::ImageSpec {
            image: order.image.to_string(),
            annotations: sandbox.map_or_else(BTreeMap::default, |s| s.annotations.clone()),
            ..Default::default()
        };
        if order.logins.is_empty() {
            let pulled = self.images.pull_image(&spec, None, sandbox).await;
            return pulled
                .map(|image| (image, None))
                .map_err(|e| Arc::from([e.grpc_text()]));
        }
        let mut errors = Vec::new();
        for (n, login) in order.logins.iter().enumerate() {
            match self.images.pull_image(&spec, Some(&login.auth()), sandbox).await {
                Ok(image) => return Ok((image, Some(n))),
                Err(error) => errors.push(error.grpc_text()),
            }
        }
        Err(errors.into())
    }
}

/// As many as `burst` at once, `per_second` in the long run.
struct Bucket {
    tokens: f64,
    at: Instant,
    per_second: f64,
    burst: f64,
}

impl Bucket {
    fn new(per_second: u32, burst: u32) -> Self {
        let burst = f64::from(burst.max(1));
        Self {
            tokens: burst,
            at: Instant::now(),
            per_second: per_second.into(),
            burst,
        }
    }

    fn take(&mut self, now: Instant) -> bool {
        let earned = now.saturating_duration_since(self.at).as_secs_f64() * self.per_second;
        self.tokens = (self.tokens + earned).min(self.burst);
        self.at = now;
        let enough = self.tokens >= 1.0;
        if enough {
            self.tokens -= 1.0;
        }
        enough
    }
}

impl fmt::Debug for Puller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Puller")
            .field("free_slots", &self.shared.slots.available_permits())
            .finish_non_exhaustive()
    }
}
