//! The client certificate: found, asked for with the bootstrap kubeconfig, renewed, exchanged under the running client.
//!
//! One loop looks at the files, decides ([`plan`]), and has at most one request under way beside it. So a kubeconfig
//! that somebody else puts there, at any time, is used; and a request that waits for approval holds up nothing.

use super::Error;
use super::bootstrap::{bootstrap, store, write_kubeconfig};
use super::disk::Disk;
use super::metrics::IdentityMetrics;
use super::obtain::obtain;
use super::plan::{self, Bootstrap, Circumstances, Decision, Found, Which};
use super::request::Wanted;
use crate::api::Client;
use crate::api::kubeconfig::{self, ClientConfig, Identity};
use crate::config::IdentityConfig;
use crate::task::backoff::jitter;
use crate::task::{Backoff, DrainSignal, SayOnce};
use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::{Timestamp, Zoned};
use rcgen::KeyPair;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// And while there are no credentials, or the API server refuses them.
const LOOK_OFTEN: Duration = Duration::from_secs(2);
/// How long refusals must last before they count: an API server that is still starting refuses everyone.
const REFUSED_FOR: Duration = Duration::from_secs(20);
/// How often an unchanged problem is said.
const SAY_EVERY: Duration = Duration::from_secs(60);
/// Shortest and longest pause after a failed request. A certificate is renewed while more than a tenth of its life is
/// left, so there is time.
const RETRY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(300));
/// Shortest pause after a certificate was issued: one that is due at once must not make us ask without end.
const AFTER_ISSUE: Duration = Duration::from_secs(10);

/// Keeps the agent's client certificate.
pub struct ClientCertificate {
    config: Arc<IdentityConfig>,
    disk: Arc<dyn Disk>,
    metrics: IdentityMetrics,
    /// Taken by the first usable credentials.
    first: Option<oneshot::Sender<Result<Client, kubeconfig::Error>>>,
    /// What all components use; none before the first usable credentials.
    in_use: Option<InUse>,
    /// The request under way.
    attempt: Option<Attempt>,
    not_before: Instant,
    backoff: Backoff,
    refused: Option<Instant>,
    /// [`REFUSED_FOR`].
    refused_for: Duration,
    jitter: f64,
    said: SayOnce,
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

struct InUse {
    client: Client,
    fingerprint: [u8; 32],
    identity: Option<Identity>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Bootstrap,
    Renew,
}

struct Attempt {
    why: Why,
    work: BoxFuture<'static, Result<(), Error>>,
}

/// What the files say, read.
struct Files {
    own: Result<ClientConfig, kubeconfig::Error>,
    stored: Option<ClientConfig>,
    bootstrap: Bootstrap,
    for_bootstrap: Option<ClientConfig>,
}

impl ClientCertificate {
    /// Nothing is read yet. The receiver gets the client as soon as there are credentials, or why there never will be.
    pub fn new(
        config: Arc<IdentityConfig>,
        disk: Arc<dyn Disk>,
        metrics: IdentityMetrics,
    ) -> (Self, oneshot::Receiver<Result<Client, kubeconfig::Error>>) {
        let (first, client) = oneshot::channel();
        let new = Self {
            config,
            disk,
            metrics,
            first: Some(first),
            in_use: None,
            attempt: None,
            not_before: Instant::now(),
            backoff: Backoff::new(RETRY.0, RETRY.1),
            refused: None,
            refused_for: REFUSED_FOR,
            jitter: jitter(),
            said: SayOnce::new(SAY_EVERY),
        };
        (new, client)
    }

    /// Runs until the drain.
    pub async fn run(mut self, drain: DrainSignal) {
        drain.unless_draining(self.keep()).await;
    }

    async fn keep(&mut self) {
        loop {
            self.check_refusal().await;
            let files = self.look();
            let decision = self.decide(&files);
            let next = self.act(decision, files);
            self.wait(next).await;
        }
    }

    /// Until `next`, the end of the request under way, or a refusal by the API server.
    async fn wait(&mut self, next: Duration) {
        let client = self.in_use.as_ref().map(|used| used.client.clone());
        let watch_refusals = self.refused.is_none();
        let refused = async {
            match client {
                Some(client) if watch_refusals => client.refused().await,
                _ => std::future::pending().await,
            }
        };
        let attempt = async {
            match &mut self.attempt {
                Some(attempt) => (attempt.why, (&mut attempt.work).await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            (why, result) = attempt => {
                self.attempt = None;
                self.attempted(why, result);
            }
            () = refused => self.refused = Some(Instant::now()),
            () = tokio::time::sleep(next) => {}
        }
    }

    fn attempted(&mut self, why: Why, result: Result<(), Error>) {
        match result {
            Ok(()) => {
                self.backoff.reset();
                self.not_before = Instant::now() + AFTER_ISSUE;
            }
            Err(error) => {
                self.metrics.client_errors.count();
                let pause = self.backoff.fail();
                self.not_before = Instant::now() + pause;
                let doing = match why {
                    Why::Bootstrap => "TLS bootstrap",
                    Why::Renew => "renewing the client certificate",
                };
                self.say(&format!("{doing}: {error}; asking again"));
            }
        }
    }

    /// While the API server refuses us, asks whether it still does; an answer ends the matter.
    async fn check_refusal(&mut self) {
        let (Some(_), Some(used)) = (self.refused, &self.in_use) else {
            return;
        };
        match used.client.ask_who_we_are().await {
            Err(error) if error.refuses_us() => used.client.complain("asking who we are", &error),
            // Unreachable says nothing about the credentials.
            Err(crate::api::Error::Unreachable { .. }) => {}
            _ => self.refused = None,
        }
    }

    fn look(&self) -> Files {
        let (config, now) = (&*self.config, Timestamp::now());
        let own = kubeconfig::load(&config.kubeconfig, &config.node, now);
        let store = store(&*self.disk, config);
        let current = store.current_path();
        // What cannot be read or is not valid is as good as not there: the kubeconfig that leads to it says what is wrong.
        let has_stored = matches!(store.current(), Ok(Some(_)));
        let with_stored = |file| kubeconfig::load_with(file, Some(&current), &config.node, now).ok();
        let there = config
            .bootstrap_kubeconfig
            .as_deref()
            .map(|file| (file, file.exists()));
        Files {
            stored: has_stored.then(|| with_stored(&config.kubeconfig)).flatten(),
            for_bootstrap: match there {
                Some((file, true)) if has_stored && own.is_err() => with_stored(file),
                _ => None,
            },
            bootstrap: match there {
                None => Bootstrap::None,
                Some((_, false)) => Bootstrap::Missing,
                Some((_, true)) => Bootstrap::There,
            },
            own,
        }
    }

    fn decide(&self, files: &Files) -> Decision {
        let identity =
            |config: &'_ Option<ClientConfig>| config.as_ref().and_then(|config| config.identity.clone());
        let (stored, for_bootstrap) = (identity(&files.stored), identity(&files.for_bootstrap));
        let found = Found {
            own: files.own.as_ref().map(|config| config.identity.as_ref()),
            stored: stored.as_ref(),
            stored_for_bootstrap: for_bootstrap.as_ref(),
            bootstrap: files.bootstrap,
        };
        let now = Timestamp::now();
        let valid = |used: &InUse| {
            used.identity
                .as_ref()
                .is_none_or(|identity| identity.not_after > now)
        };
        let refused = self
            .refused
            .is_some_and(|since| since.elapsed() >= self.refused_for);
        // Files that came since then hold other credentials, which nobody has refused.
        let read = files.own.as_ref().ok().into_iter().chain(&files.stored);
        let used = self.in_use.as_ref().map(|used| used.fingerprint);
        let same = read.into_iter().any(|config| Some(config.fingerprint) == used);
        let given = Circumstances {
            rotate: self.config.rotate,
            now,
            jitter: self.jitter,
            refused: refused && same,
            holds: self.in_use.as_ref().is_some_and(valid) && !refused,
        };
        plan::decide(&found, &given)
    }

    /// Does what was decided; returns when to look again.
    fn act(&mut self, decision: Decision, files: Files) -> Duration {
        match decision {
            Decision::Use { which, renew, at } => {
                let config = match which {
                    Which::Own => files.own.ok(),
                    Which::Stored => files.stored,
                };
                // A decision to use it is made of what was read.
                let Some(config) = config else { return LOOK_OFTEN };
                self.take(config);
                self.want(renew.then_some(Why::Renew));
                return self.until_next(at);
            }
            Decision::Adopt => {
                if let Err(error) = self.adopt() {
                    self.say(&format!("TLS bootstrap: {error}; trying again"));
                }
            }
            Decision::Bootstrap(why) => {
                self.say(&format!(
                    "{why}; asking for a client certificate with {}",
                    self.bootstrap_file()
                ));
                self.want(Some(Why::Bootstrap));
            }
            Decision::Wait(problem) => {
                let also = match files.bootstrap {
                    Bootstrap::Missing => format!(
                        "; there is no bootstrap kubeconfig {} either",
                        self.bootstrap_file()
                    ),
                    _ => String::new(),
                };
                self.say(&format!(
                    "{problem}{also}; the files are looked at again until they can be used"
                ));
                self.want(None);
            }
            Decision::Refuse(error) => match self.first.take() {
                // The receiver ends the agent; without one it has ended.
                Some(first) => drop(first.send(Err(error))),
                None => self.say(&format!("{error}; what was read before stays in use")),
            },
        }
        LOOK_OFTEN
    }

    fn bootstrap_file(&self) -> String {
        let file = self.config.bootstrap_kubeconfig.as_deref();
        file.map(|file| file.display().to_string()).unwrap_or_default()
    }

    fn until_next(&self, renew_at: Option<Timestamp>) -> Duration {
        let look = if self.refused.is_some() {
            LOOK_OFTEN
        } else {
            LOOK_EVERY
        };
        let until =
            |at: Timestamp| Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default();
        let renew = renew_at.map(until).filter(|left| !left.is_zero());
        // One that is due already waits for its backoff.
        let retry = self.not_before.saturating_duration_since(Instant::now());
        let retry = (self.attempt.is_none() && renew.is_none() && renew_at.is_some()).then_some(retry);
        [Some(look), renew, retry.filter(|left| !left.is_zero())]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(look)
    }

    /// Uses these credentials from now on, when they are others than those in use.
    fn take(&mut self, config: ClientConfig) {
        if self
            .in_use
            .as_ref()
            .is_some_and(|used| used.fingerprint == config.fingerprint)
        {
            return;
        }
        let client = match &self.in_use {
            Some(used) => used.client.replace(&config).map(|()| used.client.clone()),
            None => Client::new(&config),
        };
        let client = match client {
            Ok(client) => client,
            Err(error) => match self.first.take() {
                Some(first) => return drop(first.send(Err(error))),
                None => return self.say(&error.to_string()),
            },
        };
        self.refused = None;
        self.said.reset();
        for warning in &config.warnings {
            tracing::warn!("{}: {warning}", config.file.display());
        }
        let again = self.in_use.is_some();
        match &config.identity {
            Some(new) => tracing::info!(
                user = %new.common_name, expires = %new.not_after,
                "{}", if again { "new client certificate; running watches go on" } else { "client certificate" }
            ),
            None if again => tracing::info!(file = %config.file.display(), "new credentials"),
            None => {}
        }
        self.metrics
            .client_ttl
            .set(config.identity.as_ref().map(|new| new.not_after));
        if let Some(first) = self.first.take() {
            // Without a receiver the agent is ending.
            drop(first.send(Ok(client.clone())));
        }
        self.in_use = Some(InUse {
            client,
            fingerprint: config.fingerprint,
            identity: config.identity,
        });
    }

    /// Sees to it that this, and nothing else, is asked for; not before the last failure's backoff has passed.
    fn want(&mut self, why: Option<Why>) {
        if self.attempt.as_ref().map(|attempt| attempt.why) == why {
            return;
        }
        self.attempt = None;
        let Some(why) = why.filter(|_| Instant::now() >= self.not_before) else {
            return;
        };
        let (disk, config) = (self.disk.clone(), self.config.clone());
        let work = match (why, &self.in_use) {
            (Why::Renew, Some(used)) => renew(disk, config, used.client.clone()).boxed(),
            _ => first(disk, config).boxed(),
        };
        self.attempt = Some(Attempt { why, work });
    }

    /// Completes a bootstrap that has its certificate but no kubeconfig.
    fn adopt(&self) -> Result<(), Error> {
        let cluster = load_bootstrap(&self.config)?;
        write_kubeconfig(&*self.disk, &self.config, &cluster)
    }

    fn say(&mut self, text: &str) {
        if self.said.say(text, Instant::now()).is_some() {
            tracing::warn!("{text}");
        }
    }
}

fn load_bootstrap(config: &IdentityConfig) -> Result<ClientConfig, Error> {
    let file = config
        .bootstrap_kubeconfig
        .as_deref()
        .unwrap_or(&config.kubeconfig);
    Ok(kubeconfig::load(file, &config.node, Timestamp::now())?)
}

async fn first(disk: Arc<dyn Disk>, config: Arc<IdentityConfig>) -> Result<(), Error> {
    let cluster = load_bootstrap(&config)?;
    let client = Client::new(&cluster)?;
    bootstrap(&*disk, &client, &config, &cluster).await
}

/// The next certificate, with the present one. The key is new each time and is written with its certificate only.
async fn renew(disk: Arc<dyn Disk>, config: Arc<IdentityConfig>, client: Client) -> Result<(), Error> {
    let key = KeyPair::generate().map_err(|e| Error::Key(e.to_string()))?;
    let wanted = Wanted::client(&config.node);
    let certificates = obtain(&client, &wanted, &key, None).await?;
    store(&*disk, &config).update(&certificates, &key.serialize_pem(), &Zoned::now())?;
    Ok(())
}

#[cfg(test)]
mod tests;
