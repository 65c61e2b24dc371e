//! Images for containers: policy, credentials, parallel deduplicated pulls, backoff, and kubelet's words for all of it.
//!
//! [`ImageManager::ensure`] is the whole interface. It may be called by any number of pod workers at once:
//! - the same image with the same credentials is downloaded once, whoever asks;
//! - not more downloads run at a time than the settings allow, the others wait;
//! - a failed pull of a Pod's image backs off 10 s, 20 s, … 300 s, for that Pod and image only;
//! - an image that one Pod's credentials have pulled is not simply there for the others (KEP-2535);
//! - a caller that gives up (its Pod is deleted) stops the download when nobody else waits for it.

pub mod access;
mod backoff;
pub mod gc;
pub mod keyring;
mod ledger;
pub mod providers;
mod pull;
pub mod records;
pub mod reference;
mod report;
pub mod sources;

use crate::api::EventType;
use crate::config::{KubeletConfig, PullVerification};
use crate::cri::{self, Images, v1};
use crate::kubelet::metrics::{Check, KubeletMetrics, Wish};
use crate::model::pod::{Pod, PullPolicy};
use access::{Proofs, Verdict};
use backoff::Backoff;
use jiff::Timestamp;
use keyring::{Credential, Keyring};
use ledger::Ledger;
use pull::{Order, Pulled, Puller};
use sources::Sources;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::time::Instant;

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
    /// The Pod, for its own backoff and for who it is.
    pub pod: &'a Pod,
    /// As the Pod's spec writes it.
    pub image: &'a str,
    /// When to pull.
    pub policy: PullPolicy,
    /// Credentials of the Pod's own; the node's are tried after them. None at all means an anonymous pull.
    pub keyring: &'a Keyring,
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

/// The pull policy, as a table. `usable`: it is there, and the Pod may use it; not looked at for `Always`.
pub fn decide(policy: PullPolicy, usable: bool) -> Decision {
    match (policy, usable) {
        (PullPolicy::Always, _) | (PullPolicy::IfNotPresent, false) => Decision::Pull,
        (PullPolicy::IfNotPresent | PullPolicy::Never, true) => Decision::Use,
        (PullPolicy::Never, false) => Decision::Refuse,
    }
}

/// See the module's words.
pub struct ImageManager {
    images: Arc<dyn Images>,
    puller: Puller,
    backoff: Backoff,
    sources: Sources,
    verification: PullVerification,
    ledger: Arc<Ledger>,
    /// Pulls that the end of an earlier agent cut off were looked at.
    adopted: OnceCell<()>,
    metrics: KubeletMetrics,
}

/// One request on its way; credentials are looked up once, and not before they are needed.
struct Task<'a> {
    request: ImageRequest<'a>,
    /// The wanted name, with a tag or digest.
    image: String,
    /// Registry and path.
    repository: String,
    credentials: OnceCell<Vec<Credential>>,
    on_event: &'a (dyn Fn(ImageEvent) + Send + Sync),
}

impl Task<'_> {
    fn fail(&self, (event, error): (ImageEvent, ImageError)) -> ImageError {
        (self.on_event)(event);
        error
    }
}

impl ImageManager {
    /// A manager over the runtime's image service, with the node's own credentials.
    pub fn new(images: Arc<dyn Images>, config: &KubeletConfig, sources: Sources) -> Self {
        Self {
            puller: Puller::new(images.clone(), &config.pulls),
            images,
            backoff: Backoff::default(),
            sources,
            verification: config.pull_verification.clone(),
            ledger: Arc::new(Ledger::new(&config.root_dir)),
            adopted: OnceCell::new(),
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
        let mut wish = Wish::new(request.policy);
        let result = self.ensure_inner(request, on_event, &mut wish).await;
        self.metrics.image_wished(wish);
        if let Err(error) = &result {
            on_event(report::container_failed(error));
        }
        result
    }

    async fn ensure_inner(
        &self,
        request: ImageRequest<'_>,
        on_event: &(dyn Fn(ImageEvent) + Send + Sync),
        wish: &mut Wish,
    ) -> Result<ImageRef, ImageError> {
        let wanted = request.image;
        let names =
            reference::with_default_tag(wanted).and_then(|image| Ok((image, reference::repository(wanted)?)));
        let (image, repository) = names.map_err(|e| {
            let (event, error) = report::invalid_name(wanted, &e);
            on_event(event);
            error
        })?;
        let task = Task {
            request,
            image,
            repository,
            credentials: OnceCell::new(),
            on_event,
        };
        let present = self.present(&task.image, request.policy).await;
        let present = present.map_err(|e| task.fail(report::inspect_failed(wanted, &e)))?;
        wish.present = (request.policy != PullPolicy::Always).then_some(present.is_some());
        let usable = match present {
            Some(image) => {
                let check = self.check(&task, &image).await;
                self.metrics.image_checked(check);
                matches!(check, Check::Allowed | Check::Recorded).then_some(image)
            }
            None => None,
        };
        if wish.present != Some(false) || request.policy != PullPolicy::Never {
            wish.pull = Some(usable.is_none());
        }
        match (decide(request.policy, usable.is_some()), usable) {
            (Decision::Use, Some(image)) => {
                on_event(report::already_present(wanted));
                Ok(image)
            }
            (Decision::Pull, _) => self.pull(&task).await,
            (Decision::Refuse | Decision::Use, _) => Err(task.fail(report::never_pull(wanted))),
        }
    }

    async fn present(&self, image: &str, policy: PullPolicy) -> cri::Result<Option<ImageRef>> {
        if policy == PullPolicy::Always {
            return Ok(None);
        }
        let found = self.images.image_status(image).await?;
        Ok(found.map(|i| ImageRef(i.id.into())))
    }

    /// Whether a Pod may use an image that is there without asking the registry.
    async fn check(&self, task: &Task<'_>, image: &ImageRef) -> Check {
        self.adopt().await;
        let (name, id) = (Box::<str>::from(task.request.image), image.0.clone());
        let look = move |ledger: &Ledger| ledger.look(&name, &id);
        let known = match self.ledger.with(look).await {
            Ok(known) => known,
            Err(_) => return Check::Failed,
        };
        if !access::must_prove(&self.verification, task.request.image, known.ours) {
            return Check::Allowed;
        }
        let record = known.record.as_ref();
        let Some(proofs) = record.and_then(|record| record.proofs(task.request.image)) else {
            return Check::MustPull;
        };
        if proofs.for_all() {
            return Check::Recorded;
        }
        if proofs.is_empty() {
            return Check::MustPull;
        }
        match access::prove(proofs, self.credentials(task).await) {
            Verdict::Unproven => Check::MustPull,
            Verdict::Proven => Check::Recorded,
            Verdict::ProvenBy(new) => {
                let (name, id) = (Box::<str>::from(task.request.image), image.0.clone());
                let learn = move |ledger: &Ledger| ledger.learn(&name, &id, &new);
                if let Err(error) = self.ledger.with(learn).await.and_then(|done| done) {
                    tracing::warn!(image = task.request.image, %error, "credentials for the image will have to be looked at again");
                }
                Check::Recorded
            }
        }
    }

    /// Takes over the pulls that the end of an earlier agent has cut off; tried until the runtime answers.
    async fn adopt(&self) {
        let adopt = async || {
            let left = self.ledger.with(Ledger::left_over).await.unwrap_or_default();
            if !left.is_empty() {
                let images = self.images.list_images().await?;
                let adopt = move |ledger: &Ledger| ledger.adopt(&left, &images);
                self.ledger.with(adopt).await.ok();
            }
            Ok::<(), cri::Error>(())
        };
        if let Err(error) = self.adopted.get_or_try_init(adopt).await {
            tracing::debug!(%error, "pulls that were cut off are looked at later");
        }
    }

    /// The Pod's credentials for the image, then the node's.
    async fn credentials<'a>(&self, task: &'a Task<'_>) -> &'a [Credential] {
        let look_up = async || {
            let mut found = task.request.keyring.look_up(&task.repository);
            found.extend(self.sources.look_up(task.request.pod, &task.repository).await);
            found
        };
        task.credentials.get_or_init(look_up).await
    }

    async fn pull(&self, task: &Task<'_>) -> Result<ImageRef, ImageError> {
        let wanted = task.request.image;
        let key = (task.request.pod.metadata.uid.clone(), Box::from(wanted));
        if let Some((rest, error)) = self.backoff.rest(&key) {
            return Err(task.fail(report::back_off(wanted, &error, rest)));
        }
        (task.on_event)(report::pulling(wanted));
        let asked = Instant::now();
        match self.recorded(task).await {
            Ok(pulled) => {
                self.backoff.succeeded(&key);
                let with_waiting = asked.elapsed();
                self.metrics.image_pulled(pulled.bytes, with_waiting);
                (task.on_event)(report::pulled(wanted, pulled.took, with_waiting, pulled.bytes));
                Ok(ImageRef(pulled.image))
            }
            Err(errors) => {
                let error = task.fail(report::pull_failed(wanted, &errors));
                let pause = self.backoff.failed(key, error.to_string().into());
                Err(ImageError {
                    retry_after: pause.min(SHOW_ERROR),
                    ..error
                })
            }
        }
    }

    /// A download, with its traces in the ledger. One that is given up leaves its first trace there: the runtime may
    /// have the image nevertheless.
    async fn recorded(&self, task: &Task<'_>) -> Result<Pulled, Arc<[String]>> {
        self.adopt().await;
        let wanted: Box<str> = task.request.image.into();
        let name = wanted.clone();
        let begun = self.ledger.with(move |ledger| ledger.begin(&name)).await;
        if let Err(error) = begun.and_then(|done| done) {
            let words = format!("Failed to record image pull intent for container image {wanted:?}: {error}");
            return Err(Arc::from([words]));
        }
        let credentials = self.credentials(task).await;
        let order = Order {
            image: task.image.as_str().into(),
            logins: credentials.iter().map(|c| c.login.clone()).collect(),
        };
        let result = self.puller.pull(order, task.request.sandbox_config).await;
        let done = result.as_ref().ok().map(|pulled| {
            let used = pulled.login.and_then(|n| credentials.get(n));
            (pulled.image.clone(), Proofs::of(used))
        });
        let name = wanted.clone();
        let end = move |ledger: &Ledger| {
            let done = done.as_ref().map(|(image, proofs)| (&**image, proofs));
            ledger.end(&name, done)
        };
        if let Err(error) = self.ledger.with(end).await.and_then(|done| done) {
            tracing::warn!(image = %wanted, %error, "how the image was pulled is not recorded");
        }
        self.count_records().await;
        result
    }

    async fn count_records(&self) {
        if let Ok((begun, done)) = self.ledger.with(Ledger::count).await {
            self.metrics.image_records(begun, done);
        }
    }

    /// Forgets what was known of images that are gone, but for those that have come since.
    pub async fn forget_gone(&self, there: BTreeSet<String>, since: Timestamp) {
        let prune = move |ledger: &Ledger| ledger.prune(&there, since);
        if let Err(error) = self.ledger.with(prune).await {
            tracing::warn!(%error, "records of removed images stay");
        }
        self.count_records().await;
    }
}

impl fmt::Debug for ImageManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImageManager")
            .field("puller", &self.puller)
            .field("verification", &self.verification)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
