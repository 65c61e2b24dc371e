//! The loop: looks, tells the Node's conditions, and evicts.

use super::rank::{Candidate, rank};
use super::signals::{self, Layout, effective, means, resource};
use super::state::{Observations, State, Verdict, crossed};
use super::{PodUsage, Pressures, REASON, local, message, observe};
use crate::api::EventType;
use crate::config::Threshold;
use crate::kubelet::context::Context;
use crate::kubelet::images::gc::ImageGc;
use crate::kubelet::plan::PodFailure;
use crate::kubelet::refs;
use crate::kubelet::stats::Collector;
use crate::kubelet::stats::node::NodeUse;
use crate::kubelet::worker::Workers;
use crate::model::PodUid;
use crate::model::pod::Pod;
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Pause between two looks.
const PERIOD: Duration = Duration::from_secs(10);
/// How long an evicted Pod is waited for, and how often it is looked at meanwhile.
const WAIT: Duration = Duration::from_secs(30);
const WAIT_STEP: Duration = Duration::from_secs(1);
/// Grace of a Pod that has to go at once, seconds.
const AT_ONCE: i64 = 1;

/// Measures the node; a test puts its own numbers here.
#[async_trait]
pub trait Usage: Send + Sync {
    /// What the node has left.
    async fn node(&self) -> NodeUse;
    /// What Pods use, by UID; none when the runtime does not answer.
    async fn pods(&self) -> BTreeMap<String, PodUsage>;
}

#[async_trait]
impl Usage for Collector {
    async fn node(&self) -> NodeUse {
        self.node_use().await
    }

    async fn pods(&self) -> BTreeMap<String, PodUsage> {
        // The last look of others is too old for a decision like this.
        let Ok(snapshot) = self.snapshot(Duration::ZERO).await else {
            return BTreeMap::new();
        };
        let disks = self.disks(&snapshot).await;
        observe::usage(&snapshot, &disks)
    }
}

/// What the evictor reads, calls and tells.
#[derive(Clone)]
pub struct Care {
    /// Measures the node.
    pub usage: Arc<dyn Usage>,
    /// Removes unused images.
    pub image_gc: Arc<ImageGc>,
    /// The Node's pressure conditions.
    pub pressures: watch::Sender<Pressures>,
}

impl fmt::Debug for Care {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Care")
            .field("pressures", &self.pressures)
            .finish_non_exhaustive()
    }
}

/// Evicts Pods.
pub struct Evictor {
    context: Arc<Context>,
    workers: Arc<Workers>,
    state: State,
    layout: Layout,
    thresholds: Vec<Threshold>,
}

impl fmt::Debug for Evictor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Evictor")
            .field("thresholds", &self.thresholds)
            .finish_non_exhaustive()
    }
}

impl Evictor {
    /// An evictor that has not looked yet.
    pub fn new(context: Arc<Context>, workers: Arc<Workers>) -> Self {
        Self {
            context,
            workers,
            state: State::default(),
            layout: Layout::default(),
            thresholds: Vec::new(),
        }
    }

    /// Looks and acts, for ever.
    pub async fn run(mut self) {
        let config = &self.context.config.eviction;
        if config.thresholds.is_empty() && !config.local_storage {
            return;
        }
        loop {
            let evicted = self.look().await;
            if evicted.is_empty() {
                tokio::time::sleep(PERIOD).await;
            } else {
                self.wait_for(&evicted).await;
            }
        }
    }

    /// One look; returns the Pods that have to go.
    async fn look(&mut self) -> Vec<PodUid> {
        let context = self.context.clone();
        let config = &context.config.eviction;
        let node = context.care.usage.node().await;
        if self.thresholds.is_empty() {
            self.layout = observe::layout(&node);
            self.thresholds = effective(&config.thresholds, self.layout);
        }
        let seen = observe::observations(&node);
        let now = context.now();
        let verdict = self
            .state
            .look(&self.thresholds, config.transition, seen.clone(), now);
        self.tell(&verdict.pressures);
        let active = self.workers.active();
        let limited = config.local_storage && active.iter().any(|pod| local::is_limited(pod));
        if !limited && verdict.starved.is_empty() {
            return Vec::new();
        }
        let mut used = context.care.usage.pods().await;
        if limited {
            let evicted = self.evict_excessive(&active, &used).await;
            if !evicted.is_empty() {
                return evicted;
            }
        }
        if verdict.starved.is_empty() || self.reclaim(&verdict).await {
            return Vec::new();
        }
        let candidates = active.into_iter().map(|pod| Candidate {
            used: used.remove(pod.metadata.uid.as_str()),
            pod,
        });
        let evicted = self.evict_one(&verdict, candidates.collect(), &seen).await;
        evicted.into_iter().collect()
    }

    fn tell(&self, pressures: &Pressures) {
        self.context.care.pressures.send_if_modified(|before| {
            let changed = before != pressures;
            if changed {
                let names: Vec<&str> = pressures.iter().map(|p| p.as_str()).collect();
                tracing::info!(conditions = ?names, "the node's pressure has changed");
                *before = pressures.clone();
            }
            changed
        });
    }

    /// Evicts every Pod that uses more local storage than it may.
    async fn evict_excessive(&self, active: &[Arc<Pod>], used: &BTreeMap<String, PodUsage>) -> Vec<PodUid> {
        let mut evicted = Vec::new();
        for pod in active {
            let Some(used) = used.get(pod.metadata.uid.as_str()) else {
                continue;
            };
            let Some(excess) = local::excess(pod, used, self.layout == Layout::OneDisk) else {
                continue;
            };
            let failure = PodFailure {
                reason: REASON.into(),
                message: excess.message.into(),
                grace_seconds: Some(AT_ONCE),
                disruption: None,
            };
            if self.evict(pod, failure, excess.signal).await {
                evicted.push(pod.metadata.uid.clone());
            }
        }
        evicted
    }

    /// Tries what helps without a Pod; true when it was enough.
    async fn reclaim(&self, verdict: &Verdict) -> bool {
        let Some(threshold) = self.first(verdict) else {
            return true;
        };
        let name = resource(threshold.signal).as_str();
        let node = refs::node(&self.context.config.node);
        tracing::warn!(
            resource = name,
            signal = threshold.signal.as_str(),
            "the node is low on a resource"
        );
        self.context.events.emit(
            &node,
            EventType::Warning,
            "EvictionThresholdMet",
            format!("Attempting to reclaim {name}"),
        );
        let means = means(threshold.signal, self.layout);
        if means == signals::Means::default() {
            return false;
        }
        if means.containers {
            self.workers.forget_ended().await;
        }
        if means.images
            && let Err(error) = self.context.care.image_gc.remove_unused(self.context.now()).await
        {
            tracing::warn!(%error, "unused images are left");
        }
        let seen = observe::observations(&self.context.care.usage.node().await);
        crossed(&self.thresholds, &seen, true).next().is_none()
    }

    fn first(&self, verdict: &Verdict) -> Option<&Threshold> {
        self.thresholds.get(*verdict.starved.first()?)
    }

    /// Evicts the first Pod of the ranking that may go.
    async fn evict_one(
        &self,
        verdict: &Verdict,
        mut candidates: Vec<Candidate>,
        seen: &Observations,
    ) -> Option<PodUid> {
        let threshold = self.first(verdict)?;
        let starved: Vec<&Threshold> = verdict.starved.iter().map(|at| &self.thresholds[*at]).collect();
        if candidates.is_empty() {
            tracing::error!("eviction thresholds have been met, but no pods are active to evict");
        }
        rank(&mut candidates, threshold.signal, self.layout);
        let signal = threshold.signal.as_str();
        let now = self.context.now().as_nanosecond();
        for t in &starved {
            let age = seen.get(&t.signal).map_or(0, |seen| now - i128::from(seen.at));
            let age = Duration::from_nanos(u64::try_from(age).unwrap_or(0));
            self.context.metrics.eviction_stats_age(t.signal.as_str(), age);
        }
        for Candidate { pod, used } in candidates {
            let own = pod.spec.termination_grace_period_seconds;
            let grace_seconds = if threshold.is_hard() {
                AT_ONCE
            } else {
                own.min(self.context.config.eviction.max_pod_grace).max(AT_ONCE)
            };
            let of = resource(threshold.signal);
            let text: Box<str> = message::node_low(of, &pod, used.as_ref(), &starved, seen).into();
            let failure = PodFailure {
                reason: REASON.into(),
                message: text.clone(),
                grace_seconds: Some(grace_seconds),
                disruption: Some(text),
            };
            if self.evict(&pod, failure, signal).await {
                return Some(pod.metadata.uid.clone());
            }
        }
        tracing::warn!(signal, "no pod can be evicted from the node");
        None
    }

    async fn evict(&self, pod: &Pod, failure: PodFailure, signal: &'static str) -> bool {
        let meta = &pod.metadata;
        if pod.is_critical() {
            tracing::error!(ns = %meta.namespace, name = %meta.name, "a critical pod is not evicted");
            return false;
        }
        let text = failure.message.to_string();
        if !self.workers.fail(&meta.uid, failure).await {
            return false;
        }
        tracing::warn!(ns = %meta.namespace, name = %meta.name, pod.uid = %meta.uid, signal, message = text, "pod evicted");
        self.context.tell(pod, EventType::Warning, REASON, text);
        self.context.metrics.evicted(signal);
        true
    }

    async fn wait_for(&self, evicted: &[PodUid]) {
        let until = Instant::now() + WAIT;
        while Instant::now() < until {
            tokio::time::sleep(WAIT_STEP).await;
            let mut over = true;
            for uid in evicted {
                over &= self.workers.is_over(uid).await;
            }
            if over {
                return;
            }
        }
        tracing::warn!("evicted pods are still there after {WAIT:?}");
    }
}
