//! The serving certificate of the node's HTTPS API: signed by the cluster, the operator's own, or self-signed.
//!
//! The listener has a [`Resolver`] from the start; what it resolves to changes under it, and connections that are open
//! stay. Without a certificate (its request waits for approval) every handshake fails, as upstream's does.

mod pair;

use super::disk::{Disk, Store};
use super::metrics::IdentityMetrics;
use super::obtain::obtain;
use super::plan::renew_at;
use super::request::Wanted;
use super::{Error, SERVER};
use crate::api::{Nodes, SigningRequests};
use crate::config::IdentityConfig;
use crate::task::backoff::jitter;
use crate::task::{Backoff, DrainSignal, SayOnce};
use arc_swap::ArcSwapOption;
use jiff::{Timestamp, Zoned};
use pair::Pair;
use rcgen::KeyPair;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How often files, and the Node's addresses, are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// The same while there is no certificate yet.
const LOOK_OFTEN: Duration = Duration::from_secs(1);
/// How often an unchanged problem is said.
const SAY_EVERY: Duration = Duration::from_secs(60);
/// Shortest and longest pause after a failed request.
const RETRY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(300));

/// What the listener asks for its certificate.
#[derive(Debug, Default)]
pub struct Resolver(ArcSwapOption<CertifiedKey>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load_full()
    }
}

/// What the certificate is asked for with.
pub trait Cluster: SigningRequests + Nodes {}
impl<T: SigningRequests + Nodes> Cluster for T {}

/// Keeps the serving certificate.
pub struct Serving {
    config: Arc<IdentityConfig>,
    disk: Arc<dyn Disk>,
    metrics: IdentityMetrics,
    resolver: Arc<Resolver>,
    shown: Option<Pair>,
    jitter: f64,
    said: SayOnce,
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serving")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Serving {
    /// Reads, or makes, what is to be served at once.
    pub fn new(config: Arc<IdentityConfig>, disk: Arc<dyn Disk>, metrics: IdentityMetrics) -> Self {
        let mut new = Self {
            config,
            disk,
            metrics,
            resolver: Arc::default(),
            shown: None,
            jitter: jitter(),
            said: SayOnce::new(SAY_EVERY),
        };
        new.look();
        new
    }

    /// For the listener.
    pub fn resolver(&self) -> Arc<dyn ResolvesServerCert> {
        self.resolver.clone()
    }

    /// Runs until the drain.
    pub async fn run(mut self, cluster: Arc<dyn Cluster>, drain: DrainSignal) {
        drain.unless_draining(self.keep(&*cluster)).await;
    }

    async fn keep(&mut self, cluster: &dyn Cluster) {
        let mut backoff = Backoff::new(RETRY.0, RETRY.1);
        loop {
            let looked = if self.shown.is_some() {
                LOOK_EVERY
            } else {
                LOOK_OFTEN
            };
            tokio::time::sleep(looked).await;
            self.look();
            if !self.config.server_csr {
                continue;
            }
            let Some(wanted) = self.wanted(cluster).await else {
                continue;
            };
            if let Err(error) = self.ask(cluster, &wanted).await {
                self.metrics.server_errors.count();
                self.say(&format!("the node's serving certificate: {error}; asking again"));
                tokio::time::sleep(backoff.fail()).await;
            } else {
                backoff.reset();
            }
        }
    }

    /// What to ask for, when what there is does not do: none, due, or without one of the Node's addresses.
    async fn wanted(&mut self, cluster: &dyn Cluster) -> Option<Wanted> {
        let node = match cluster_node(cluster, &self.config.node).await {
            Ok(node) => node?,
            Err(error) => {
                tracing::debug!("the Node's addresses: {error}");
                return None;
            }
        };
        let wanted = Wanted::serving(&self.config.node, &node["status"])?;
        let does = self.shown.as_ref().is_some_and(|shown| {
            shown.serves(&wanted)
                && renew_at(shown.not_before, shown.not_after, self.jitter) > Timestamp::now()
        });
        (!does).then_some(wanted)
    }

    /// Asks until there is an answer, or other addresses make it the wrong question.
    async fn ask(&mut self, cluster: &dyn Cluster, wanted: &Wanted) -> Result<(), Error> {
        let key = KeyPair::generate().map_err(|e| Error::Key(e.to_string()))?;
        let changed = async {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                if let Ok(Some(node)) = cluster_node(cluster, &self.config.node).await
                    && Wanted::serving(&self.config.node, &node["status"]).is_some_and(|now| now != *wanted)
                {
                    return;
                }
            }
        };
        let certificates = tokio::select! {
            issued = obtain(cluster, wanted, &key, None) => issued?,
            () = changed => {
                tracing::info!("the Node has other addresses; asking for another serving certificate");
                return Ok(());
            }
        };
        self.store()
            .update(&certificates, &key.serialize_pem(), &Zoned::now())?;
        if let Some(old) = &self.shown {
            let age = Timestamp::now().duration_since(old.not_before);
            self.metrics.server_rotation.observe(age.as_secs_f64());
        }
        self.look();
        Ok(())
    }

    fn store(&self) -> Store<'_> {
        Store {
            disk: &*self.disk,
            dir: &self.config.cert_dir,
            prefix: SERVER,
        }
    }

    /// Looks at the files and shows what they hold. What cannot be used is said, and what was shown before stays.
    fn look(&mut self) {
        let found = if self.config.server_csr {
            self.signed()
        } else if let Some((certificate, key)) = &self.config.serving_files {
            pair::read(&*self.disk, certificate, key).map(Some)
        } else {
            self.self_signed().map(Some)
        };
        match found {
            Ok(found) => {
                self.show(found);
                self.warn_of_the_end();
            }
            Err(problem) => {
                let then = if self.shown.is_some() {
                    "the certificate read before is served until this is mended"
                } else {
                    "HTTPS connections to the node fail until this is mended"
                };
                self.say(&format!("serving certificate: {problem}; {then}"));
            }
        }
    }

    fn warn_of_the_end(&mut self) {
        let now = Timestamp::now();
        if let Some(pair) = self.shown.as_ref().filter(|pair| pair.not_after <= now) {
            self.say(&format!(
                "the serving certificate of {} expired on {}: who checks it refuses the connection; put a new one \
                 there, it is read without a restart",
                pair.subject, pair.not_after
            ));
        }
    }

    fn show(&mut self, found: Option<Pair>) {
        if self.shown == found {
            return;
        }
        self.resolver.0.store(found.as_ref().map(|pair| pair.key.clone()));
        if let Some(pair) = &found {
            tracing::info!(subject = pair.subject, expires = %pair.not_after, "serving certificate");
        }
        if self.config.server_csr {
            self.metrics
                .server_ttl
                .set(found.as_ref().map(|pair| pair.not_after));
        }
        self.said.reset();
        self.shown = found;
    }

    /// What the cluster has signed, while it is valid; until then the operator's files, if there are any.
    fn signed(&self) -> Result<Option<Pair>, String> {
        let path = self.store().current_path();
        if self.store().current().map_err(|e| e.to_string())?.is_some() {
            let pair = pair::read(&*self.disk, &path, &path)?;
            if pair.not_after > Timestamp::now() {
                return Ok(Some(pair));
            }
        }
        match &self.config.serving_files {
            Some((certificate, key)) => pair::read(&*self.disk, certificate, key).map(Some),
            None => Ok(None),
        }
    }

    /// `kubelet.crt` and `kubelet.key`, as upstream's kubelet has them; made when missing, and made anew when they are
    /// our kind and at their end.
    fn self_signed(&self) -> Result<Pair, String> {
        let file = |name: &str| self.config.cert_dir.join(name);
        let (certificate, key) = (file("kubelet.crt"), file("kubelet.key"));
        // A key alone is what a crash in [`Self::make`] leaves.
        if self.disk.read(&certificate).map_err(|e| e.to_string())?.is_some() {
            let pair = pair::read(&*self.disk, &certificate, &key)?;
            let due = renew_at(pair.not_before, pair.not_after, self.jitter) <= Timestamp::now();
            if !(due && pair.is_self_made(&self.config.node)) {
                return Ok(pair);
            }
        }
        self.make(&certificate, &key).map_err(|e| e.to_string())?;
        pair::read(&*self.disk, &certificate, &key)
    }

    /// The certificate last: one that is there has its key.
    fn make(&self, certificate: &Path, key: &Path) -> Result<(), Error> {
        let made = pair::self_signed(&self.config.node, Timestamp::now())?;
        self.disk.make_dir(&self.config.cert_dir)?;
        self.disk.remove(certificate)?;
        self.disk.write(key, made.key.as_bytes())?;
        self.disk.write(certificate, made.certificate.as_bytes())?;
        Ok(())
    }

    fn say(&mut self, text: &str) {
        if self.said.say(text, Instant::now()).is_some() {
            tracing::warn!("{text}");
        }
    }
}

async fn cluster_node(
    cluster: &dyn Cluster,
    name: &str,
) -> Result<Option<serde_json::Value>, crate::api::Error> {
    Nodes::get(cluster, name).await
}

#[cfg(test)]
mod tests;
