//! Keeps a mirror at the API server for every static Pod that works, and none for others.

use super::Manifest;
use super::mirror::{self, Known, Step};
use crate::api;
use crate::kubelet::context::Context;
use crate::kubelet::source::Source;
use crate::model::pod::Pod;
use crate::model::{NamespacedName, PodUid};
use crate::task::{Backoff, SayOnce};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// First pause after a failure.
const RETRY: Duration = Duration::from_millis(500);
/// Longest one.
const RETRY_MAX: Duration = Duration::from_secs(10);

/// Pause after something was done: the watch has to tell of it first.
const SETTLE: Duration = Duration::from_secs(1);

/// A name of which nothing is done for a while.
struct Pause {
    backoff: Backoff,
    until: Instant,
}

/// Makes and removes mirrors until the process ends. `working` tells which Pods of a name have a worker.
pub async fn run(context: &Context, source: &Source, working: impl Fn(&NamespacedName) -> Vec<PodUid>) {
    let mut changed = source.mirrors_changed();
    let mut node = context.own_node.changes();
    let mut pauses: HashMap<NamespacedName, Pause> = HashMap::new();
    let mut said = SayOnce::new(Duration::from_secs(60));
    loop {
        changed.mark_unchanged();
        let all = all(source, &working);
        pauses.retain(|key, _| all.get(key).is_some_and(|name| name.step().is_some()));
        for (key, name) in &all {
            let waits = pauses.get(key).is_some_and(|pause| Instant::now() < pause.until);
            let Some(step) = name.step().filter(|_| !waits) else {
                continue;
            };
            let done = take(context, key, name.manifest.as_ref(), &step).await;
            let pause = pauses.entry(key.clone()).or_insert_with(|| Pause {
                backoff: Backoff::new(RETRY, RETRY_MAX),
                until: Instant::now(),
            });
            let length = match done {
                Ok(()) => SETTLE,
                Err(problem) => {
                    if said.say(&problem, Instant::now()).is_some() {
                        tracing::warn!(ns = %key.namespace, name = %key.name, problem, "mirror of a static pod");
                    }
                    pause.backoff.fail()
                }
            };
            pause.until = Instant::now() + length;
        }
        let next = pauses.values().map(|pause| pause.until).min();
        let retry = async {
            match next {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            done = changed.changed() => if done.is_err() { return },
            () = retry => {}
            // Mirrors can be made once there is a Node.
            Ok(()) = node.changed() => pauses.clear(),
        }
    }
}

/// What is known of one name.
#[derive(Default)]
struct Name {
    manifest: Option<Manifest>,
    working: Vec<PodUid>,
    mirror: Option<Arc<Pod>>,
}

impl Name {
    fn step(&self) -> Option<Step> {
        mirror::step(Known {
            wanted: self.manifest.as_ref().map(|manifest| &*manifest.pod),
            working: &self.working,
            mirror: self.mirror.as_deref(),
        })
    }
}

/// Every name there is a manifest or a mirror of; nothing before both are known.
fn all(source: &Source, working: impl Fn(&NamespacedName) -> Vec<PodUid>) -> BTreeMap<NamespacedName, Name> {
    let mut names: BTreeMap<NamespacedName, Name> = BTreeMap::new();
    if !source.manifests_read() || !source.listed() {
        return names;
    }
    for manifest in source.manifests() {
        let key = manifest.pod.metadata.key();
        names.entry(key).or_default().manifest = Some(manifest);
    }
    for mirror in source.mirrors() {
        let key = mirror.metadata.key();
        names.entry(key).or_default().mirror = Some(mirror);
    }
    for (key, name) in &mut names {
        name.working = working(key);
    }
    names
}

async fn take(
    context: &Context,
    key: &NamespacedName,
    manifest: Option<&Manifest>,
    step: &Step,
) -> Result<(), String> {
    let said = |error: api::Error| error.to_string();
    if let Step::Replace(uid) | Step::Delete(uid) = step {
        context.pods.delete_now(key, uid).await.map_err(said)?;
        tracing::info!(ns = %key.namespace, name = %key.name, uid = %uid, "mirror of a static pod deleted");
    }
    let Some(manifest) = manifest else { return Ok(()) };
    let node = context.own_node.fetch().await;
    let node = node.ok_or("our Node is not there yet")?;
    if node.metadata.deletion_timestamp.is_some() {
        return Err("our Node is being deleted".to_owned());
    }
    let body = mirror::body(manifest, &node.metadata.name, node.metadata.uid.as_str());
    match context.pods.create_mirror(&body).await {
        Ok(()) => {
            tracing::info!(ns = %key.namespace, name = %key.name, "mirror of a static pod created");
            Ok(())
        }
        Err(error) => Err(said(error)),
    }
}
