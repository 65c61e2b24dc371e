//! Registers the Node and writes its status; see the module above for when.

use super::register::{self, Existing};
use super::status::{self, Condition, Facts};
use super::{Health, NodeAgent, disk, extras};
use crate::api::EventType;
use crate::kubelet::{refs, shutdown};
use crate::sys::usage;
use crate::task::{Backoff, SayOnce};
use jiff::Timestamp;
use serde_json::Value;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// The status loop's state.
pub(super) struct Keeper {
    agent: NodeAgent,
    labels: register::Labels,
    health: watch::Receiver<Option<Health>>,
    conditions: Vec<Condition>,
    /// When the whole status was last written, and what it said without times.
    reported: Option<(Instant, Facts, Vec<Condition>)>,
    registered: watch::Sender<bool>,
    /// The readiness that was told last.
    announced: Option<bool>,
    said: SayOnce,
}

impl Keeper {
    pub(super) fn new(
        agent: NodeAgent,
        health: watch::Receiver<Option<Health>>,
        registered: watch::Sender<bool>,
    ) -> Self {
        let refused: Vec<_> = agent
            .config
            .labels
            .keys()
            .filter(|key| !register::allowed_label(key))
            .collect();
        if !refused.is_empty() {
            tracing::warn!(labels = ?refused, "labels a node may not set on itself are left out: set them with kubectl label node");
        }
        let labels = register::labels(&agent.facts, &agent.config.labels);
        let said = SayOnce::new(Duration::from_secs(60));
        Self {
            agent,
            labels,
            health,
            conditions: Vec::new(),
            reported: None,
            registered,
            announced: None,
            said,
        }
    }

    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(7));
        loop {
            self.take_health();
            let pause = match self.step().await {
                Ok(()) => {
                    backoff.reset();
                    if self.said.reset() {
                        tracing::info!(node = %self.agent.config.node, "the API server accepts our node again");
                    }
                    self.agent.config.status_update
                }
                Err(problem) => {
                    if self.said.say(&problem, Instant::now()).is_some() {
                        tracing::warn!(node = %self.agent.config.node, "{problem}");
                    }
                    backoff.fail()
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                changed = self.health.changed() => if changed.is_err() { return },
                // Their sender lives as long as the agent; without it there is nothing to wait for.
                Ok(()) = self.agent.views.pressures.changed() => {}
                Ok(()) = self.agent.views.down.changed() => {}
            }
        }
    }

    /// Takes over what the runtime says now.
    fn take_health(&mut self) {
        let Some(health) = self.health.borrow_and_update().clone() else {
            return;
        };
        let agent = &mut self.agent;
        if let Some(runtime) = health.runtime {
            agent.facts.runtime = runtime;
        }
        if let Some(abilities) = health.abilities {
            agent.facts.extras.runtime = abilities;
        }
        agent.facts.extras.images = extras::images(&agent.views.images.borrow(), agent.config.max_images);
        agent.facts.disk = disk(&agent.config.root_dir);
        let pressures = agent.views.pressures.borrow_and_update().clone();
        let before = std::mem::take(&mut self.conditions);
        let mut problems = health.problems;
        if *agent.views.down.borrow_and_update() {
            problems.push(shutdown::NOT_READY.to_owned());
        }
        self.conditions = status::conditions(&before, &problems, &pressures, Timestamp::now());
        self.announce();
        self.announce_pressures(&before);
    }

    /// Tells of pressure that has come or gone.
    fn announce_pressures(&self, before: &[Condition]) {
        if !*self.registered.borrow() {
            return;
        }
        let same = |c: &&Condition| before.iter().any(|b| b.kind == c.kind && b.status == c.status);
        let node = &self.agent.config.node;
        for reason in self
            .conditions
            .iter()
            .filter(|c| !same(c))
            .filter_map(status::pressure_event)
        {
            let text = format!("Node {node} status is now: {reason}");
            self.agent
                .events
                .emit(&refs::node(node), EventType::Normal, reason, text);
        }
    }

    /// Tells of a change of readiness; what the API server knew before this agent started is no change.
    fn announce(&mut self) {
        let ready = self.ready();
        if self.announced.replace(ready) == Some(ready) || !*self.registered.borrow() {
            return;
        }
        let reason = if ready { "NodeReady" } else { "NodeNotReady" };
        let node = &self.agent.config.node;
        let message = self.conditions.last().map_or("", |c| &c.message);
        tracing::info!(%node, message, "{reason}");
        let text = format!("Node {node} status is now: {reason}");
        self.agent
            .events
            .emit(&refs::node(node), EventType::Normal, reason, text);
    }

    fn ready(&self) -> bool {
        self.conditions.last().is_some_and(|c| c.status)
    }

    /// The Node is ours from now on. `known` is the readiness the API server knew.
    fn own(&mut self, known: bool) {
        self.registered.send_replace(true);
        self.announced = Some(known);
        self.announce();
    }

    /// Registers when needed, and writes the status when it changed, is due, or was changed by somebody else.
    async fn step(&mut self) -> Result<(), String> {
        if self.conditions.is_empty() {
            return Ok(());
        }
        let node = self
            .agent
            .nodes
            .get(&self.agent.config.node)
            .await
            .map_err(|e| e.to_string())?;
        let Some(node) = node else {
            if self.reported.take().is_some() {
                tracing::warn!(node = %self.agent.config.node, "our node was deleted, registering again");
            }
            return self.create().await;
        };
        if !*self.registered.borrow() {
            self.adopt(&node).await?;
        }
        let as_we_say = register::ready(&node) == Some(if self.ready() { "True" } else { "False" });
        if as_we_say && !self.due() {
            return Ok(());
        }
        let mut patch = status::patch(&self.agent.facts, &self.conditions, Timestamp::now());
        if self.agent.config.external_cloud {
            status::leave_addresses(&mut patch, &node);
        }
        self.agent
            .nodes
            .patch_status(&self.agent.config.node, &patch)
            .await
            .map_err(|e| e.to_string())?;
        self.note_report();
        Ok(())
    }

    async fn create(&mut self) -> Result<(), String> {
        let agent = &self.agent;
        if !agent.config.register_node {
            return Err(
                "our Node does not exist, and registerNode is false: waiting until somebody makes it"
                    .to_owned(),
            );
        }
        let mut node = register::node(
            &agent.facts,
            &self.labels,
            &agent.config.taints,
            &self.conditions,
            Timestamp::now(),
        );
        register::set_provider_id(&mut node, &agent.config.provider_id);
        agent.metrics.registering(Timestamp::now());
        match agent.nodes.create(&node).await {
            Ok(_) => {
                agent.metrics.registered(usage::boot_time(), Timestamp::now());
                tracing::info!(node = %agent.config.node, "node registered");
                self.own(false);
                self.note_report();
                Ok(())
            }
            // Somebody was quicker; the next step looks at what is there.
            Err(error) if error.is_conflict() => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn adopt(&mut self, node: &Value) -> Result<(), String> {
        let agent = &self.agent;
        let name = &agent.config.node;
        match register::existing(node, &agent.facts, &self.labels) {
            Existing::Clash(text) => return Err(text),
            Existing::Adopt {
                patch,
                taken_over,
                rebooted,
            } => {
                if let Some(patch) = patch {
                    agent.nodes.patch(name, &patch).await.map_err(|e| e.to_string())?;
                }
                if taken_over {
                    tracing::warn!(node = %name, "the node was another machine's that is not alive: taken over");
                }
                if rebooted {
                    let message = format!(
                        "Node {name} has been rebooted, boot id: {}",
                        agent.facts.machine.boot_id
                    );
                    agent
                        .events
                        .emit(&refs::node(name), EventType::Warning, "Rebooted", message);
                }
            }
        }
        for condition in &mut self.conditions {
            condition.since =
                register::since(node, condition.kind, condition.status).unwrap_or(condition.since);
        }
        tracing::info!(node = %name, "node was registered before");
        self.own(register::ready(node) == Some("True"));
        self.reported = None;
        Ok(())
    }

    /// The status differs from what was written, or it was written long ago. Free disk space is not part of it.
    fn due(&self) -> bool {
        self.reported.as_ref().is_none_or(|(when, facts, conditions)| {
            when.elapsed() >= self.agent.config.status_report
                || *conditions != self.conditions
                || !same(facts, &self.agent.facts)
        })
    }

    fn note_report(&mut self) {
        if self.ready() {
            self.agent
                .metrics
                .node_ready(usage::boot_time(), Timestamp::now());
        }
        self.reported = Some((Instant::now(), self.agent.facts.clone(), self.conditions.clone()));
    }
}

fn same(a: &Facts, b: &Facts) -> bool {
    a.disk.capacity_bytes == b.disk.capacity_bytes && a.runtime == b.runtime && a.extras == b.extras
}
