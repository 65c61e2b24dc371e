//! The Pod's own cgroup. With the systemd driver it is a slice that systemd makes and removes by itself.

use crate::kubelet::context::Context;
use crate::kubelet::qos::{self, Qos};
use crate::kubelet::quantity::{self, Amount};
use crate::model::pod::Pod;
use crate::sys::cgroup::Cgroups;
use std::sync::Arc;

/// Shares of a Pod that asks for no CPU.
const MIN_SHARES: u64 = 2;

fn place(context: &Context, pod: &Pod) -> Option<(Arc<Cgroups>, String)> {
    let cgroups = context.cgroups.clone().filter(|_| !context.systemd)?;
    Some((
        cgroups,
        qos::cgroup_parent(pod, &context.config.cgroup_root, false),
    ))
}

/// Makes it, with the CPU share the Pod asks for.
pub(super) async fn create(context: &Context, pod: &Pod) -> Result<(), String> {
    let Some((cgroups, name)) = place(context, pod) else {
        return Ok(());
    };
    let shares = shares(pod);
    let work = move || {
        cgroups.ensure(&name)?;
        cgroups.set_cpu_shares(&name, shares)
    };
    run(work).await
}

/// Removes it. What is not there is a success.
pub(super) async fn remove(context: &Context, pod: &Pod) -> Result<(), String> {
    let Some((cgroups, _)) = place(context, pod) else {
        return Ok(());
    };
    // The class of a Pod nobody has the spec of is not known.
    let root = context.config.cgroup_root.trim_end_matches('/');
    let uid = &pod.metadata.uid;
    for class in ["", "/burstable", "/besteffort"] {
        cgroups
            .remove(&format!("{root}/kubepods{class}/pod{uid}"))
            .await
            .map_err(|error| error.to_string())?;
    }
    Ok(())
}

async fn run(work: impl FnOnce() -> crate::sys::cgroup::Result<()> + Send + 'static) -> Result<(), String> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|panic| panic.to_string())?
        .map_err(|error| error.to_string())
}

/// PURE. 1024 for one CPU.
fn shares(pod: &Pod) -> u64 {
    if qos::class(pod) == Qos::BestEffort {
        return MIN_SHARES;
    }
    let asked = pod
        .spec
        .containers
        .iter()
        .map(|c| quantity::of(&c.resources.requests, "cpu"));
    let millis = asked.fold(Amount::ZERO, Amount::plus).milli();
    u64::try_from(millis)
        .unwrap_or(0)
        .saturating_mul(1024)
        .div_ceil(1000)
        .clamp(MIN_SHARES, 262_144)
}
