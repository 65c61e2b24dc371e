//! Keeps the cgroups above the Pods: that of all of them, those of the classes, and those of the system the node's
//! reservations name.

use crate::api::EventType;
use crate::config::{Enforce, Reserved};
use crate::kubelet::context::Context;
use crate::kubelet::node::allocatable;
use crate::kubelet::qos::Qos;
use crate::kubelet::refs;
use crate::kubelet::resources::List;
use crate::kubelet::source::Source;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How often they are written without a reason, which is upstream's period.
const PERIOD: Duration = Duration::from_secs(60);
/// Changes within so much time are one.
const CALM: Duration = Duration::from_millis(100);

/// What is tried until it has worked once.
struct Pending {
    /// What is told then.
    success: String,
    /// What is told before the problem, until then.
    failure: String,
    done: bool,
}

/// Runs forever. `node` is what all Pods together are held to.
pub(in crate::kubelet) async fn run(context: &Context, source: &Arc<Source>, node: &List) {
    if context.cgroups.ours().is_none() {
        return std::future::pending().await;
    }
    let config = &context.config.resources;
    let mut all = Pending {
        success: "Updated Node Allocatable limit across pods".to_owned(),
        failure: "Failed to update Node Allocatable Limits".to_owned(),
        done: false,
    };
    let system = [
        ("system", "System", &config.system),
        ("kube", "Kube", &config.kube),
    ];
    let mut system = system.map(|(who, name, reserved)| {
        let cgroup = &reserved.cgroup;
        let pending = Pending {
            success: format!("Updated limits on {who} reserved cgroup {cgroup}"),
            failure: format!("Failed to enforce {name} Reserved Cgroup Limits on {cgroup:?}"),
            done: reserved.enforce == Enforce::Not,
        };
        (pending, reserved)
    });
    loop {
        let next = Instant::now() + PERIOD;
        if !all.done {
            let made = hold_pods(context, node).await;
            tell(context, &mut all, made);
        }
        for (pending, reserved) in system.iter_mut().filter(|(pending, _)| !pending.done) {
            let made = hold_system(context, reserved).await;
            tell(context, pending, made);
        }
        share(context, source).await;
        // Woken early or not, the next round is the same.
        timeout_at(next, context.cgroups.changed.notified()).await.ok();
        tokio::time::sleep(CALM).await;
    }
}

/// Makes the cgroup of all Pods, which must be there before the first one.
pub(in crate::kubelet) async fn hold_pods(context: &Context, node: &List) -> Result<(), String> {
    let Some((_, names)) = context.cgroups.ours() else {
        return Ok(());
    };
    let settings = context.cgroups.rules.node(node, false);
    context
        .cgroups
        .write(names.class(Qos::Guaranteed), settings)
        .await
}

/// The cgroup of a part of the system is its owner's to make.
async fn hold_system(context: &Context, reserved: &Reserved) -> Result<(), String> {
    let Some((kernel, names)) = context.cgroups.ours() else {
        return Ok(());
    };
    let name = names.given(&reserved.cgroup);
    if !kernel.exists(&name) {
        return Err(format!("cgroup {name} does not exist"));
    }
    let amounts = allocatable::amounts(&reserved.amounts);
    let compressible = reserved.enforce == Enforce::Compressible;
    let settings = context.cgroups.rules.node(&amounts, compressible);
    context.cgroups.write(name, settings).await
}

/// Shares CPU out among the classes.
async fn share(context: &Context, source: &Arc<Source>) {
    let Some((_, names)) = context.cgroups.ours() else {
        return;
    };
    let pods: Vec<_> = source
        .uids()
        .iter()
        .filter_map(|uid| source.get(uid))
        .filter(|pod| !matches!(&*pod.status.phase, "Succeeded" | "Failed"))
        .collect();
    for class in [Qos::Burstable, Qos::BestEffort] {
        let settings = context.cgroups.rules.class(class, pods.iter().map(|pod| &**pod));
        let name = names.class(class);
        if let Err(problem) = context.cgroups.write(name.clone(), settings).await {
            tracing::warn!(cgroup = name, problem, "the class keeps its share of CPU");
        }
    }
}

/// Upstream's events. Its kubelet ends when a system's cgroup is not there; we try again every minute.
fn tell(context: &Context, pending: &mut Pending, made: Result<(), String>) {
    let (kind, reason, text) = match &made {
        Ok(()) => (
            EventType::Normal,
            "NodeAllocatableEnforced",
            pending.success.clone(),
        ),
        Err(problem) => {
            let text = format!("{}: {problem}", pending.failure);
            tracing::warn!("{text}");
            (EventType::Warning, "FailedNodeAllocatableEnforcement", text)
        }
    };
    pending.done = made.is_ok();
    let node = refs::node(&context.config.node);
    context.events.emit(&node, kind, reason, text);
}
