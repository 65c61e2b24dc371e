//! Does one action of a plan and reports what it saw; decides nothing.
//!
//! Every function is one task of a pod worker. Events and their words are kubelet's. Nothing here is retried: an error
//! goes back to the worker, and the next plan decides.

mod cgroup;
mod credentials;
pub(crate) mod files;
mod hooks;
mod start;

pub use start::{Start, StartError, start_container};

use crate::api::EventType;
use crate::cri::{self, v1};
use crate::kubelet::context::Context;
use crate::kubelet::observed::{Limits, Observed};
use crate::kubelet::plan::Action;
use crate::kubelet::translate::{self, SandboxInput};
use crate::kubelet::{dns, qos, resize};
use crate::model::pod::Pod;
use crate::model::{ContainerId, PodUid};
use jiff::Timestamp;
use std::time::Duration;

/// A container always gets this long to stop, seconds.
const MIN_GRACE: i64 = 2;

/// gRPC errors as Go prints them, which is what people know from kubelet's events.
fn words(error: &cri::Error) -> String {
    format!("rpc error: code = {:?} desc = {}", error.code, error.message)
}

/// The sandbox config of a Pod; also `CreateContainer` wants it.
async fn sandbox_config(
    context: &Context,
    pod: &Pod,
    attempt: u32,
    seen: Timestamp,
) -> Result<(v1::PodSandboxConfig, Vec<dns::Warning>), translate::Error> {
    let config = &context.config;
    let resolv_conf = tokio::fs::read_to_string(&config.resolv_conf).await.ok();
    let node = dns::NodeDns {
        cluster_dns: &config.cluster_dns,
        cluster_domain: &config.cluster_domain,
        resolv_conf: resolv_conf.as_deref(),
        host_ips: &context.host_ips,
    };
    let dns = dns::for_pod(pod, &node);
    let parent = qos::cgroup_parent(pod, &config.cgroup_root, context.systemd);
    let sandbox = translate::sandbox(&SandboxInput {
        pod,
        attempt,
        seen,
        dns: &dns.config,
        cluster_domain: &config.cluster_domain,
        cgroup_parent: &parent,
        dirs: &context.dirs,
    })?;
    Ok((sandbox, dns.warnings))
}

/// Creates the Pod's cgroup, log directory and sandbox. The error is the message of the Pod's waiting reason.
pub async fn create_sandbox(
    context: &Context,
    pod: &Pod,
    attempt: u32,
    seen: Timestamp,
) -> Result<(), String> {
    let made = try_create_sandbox(context, pod, attempt, seen).await;
    context.metrics.pod_started(made.is_ok());
    if let Err(message) = &made {
        let text = format!("Failed to create pod sandbox: {message}");
        context.tell(pod, EventType::Warning, "FailedCreatePodSandBox", text);
    }
    made
}

async fn try_create_sandbox(
    context: &Context,
    pod: &Pod,
    attempt: u32,
    seen: Timestamp,
) -> Result<(), String> {
    if let Some(class) = &pod.spec.runtime_class_name {
        return Err(format!(
            "spec.runtimeClassName: RuntimeClass {class:?} is not supported by this node"
        ));
    }
    let (config, warnings) = sandbox_config(context, pod, attempt, seen)
        .await
        .map_err(|e| e.to_string())?;
    for warning in warnings {
        context.tell(pod, EventType::Warning, warning.reason, warning.message);
    }
    files::make_log_dir(context, pod)
        .await
        .map_err(|e| e.to_string())?;
    let begin = tokio::time::Instant::now();
    cgroup::create(context, pod).await?;
    context.metrics.cgroups("create", begin.elapsed());
    let _turn = context
        .starts
        .acquire()
        .await
        .expect("the semaphore is never closed");
    let id = context
        .runtime
        .run_pod_sandbox(&config, "")
        .await
        .map_err(|e| words(&e))?;
    tracing::info!(pod.uid = %pod.metadata.uid, ns = %pod.metadata.namespace, name = %pod.metadata.name, sandbox = %id, attempt, "sandbox created");
    Ok(())
}

/// What to stop, and how.
#[derive(Clone, Debug)]
pub struct Stop {
    /// Which container.
    pub id: ContainerId,
    /// Its name.
    pub name: Box<str>,
    /// Seconds of grace.
    pub grace_seconds: i64,
    /// Message of the `Killing` event.
    pub message: Box<str>,
}

/// Runs the preStop hook and stops the container; the hook's time is part of the grace period.
pub async fn stop_container(context: &Context, pod: &Pod, stop: &Stop) -> Result<(), String> {
    context.tell_container(
        pod,
        &stop.name,
        EventType::Normal,
        ("Killing", stop.message.to_string()),
    );
    tracing::info!(pod.uid = %pod.metadata.uid, container = %stop.name, grace = stop.grace_seconds, "stopping container: {}", stop.message);
    let begin = tokio::time::Instant::now();
    let spec = pod.container(&stop.name).map(|(spec, _)| spec);
    let hook = spec.and_then(|s| Some((s, s.lifecycle.as_ref()?.pre_stop.as_ref()?)));
    if let Some((spec, hook)) = hook.filter(|_| stop.grace_seconds > 0) {
        let limit = Duration::from_secs(u64::try_from(stop.grace_seconds).unwrap_or(0));
        let target = hooks::Target {
            context,
            pod,
            container: spec,
            id: &stop.id,
        };
        match tokio::time::timeout(limit, hooks::run(hook, &target)).await {
            Ok(Ok(())) => {}
            Ok(Err(why)) => {
                tracing::warn!(pod.uid = %pod.metadata.uid, container = %stop.name, %why, "preStop hook failed");
                let told = ("FailedPreStopHook", "PreStopHook failed".to_owned());
                context.tell_container(pod, &stop.name, EventType::Warning, told);
            }
            Err(_) => tracing::info!(container = %stop.name, "preStop hook used up the grace period"),
        }
    }
    let used = i64::try_from(begin.elapsed().as_secs()).unwrap_or(i64::MAX);
    let left = stop.grace_seconds.saturating_sub(used).max(MIN_GRACE);
    let stopped = context.runtime.stop_container(&stop.id, left).await;
    stopped.map_err(|error| failed_kill(context, pod, &error))
}

/// Gives a running container other requests and limits, and the Pod's cgroup its part of them.
pub async fn resize_container(
    context: &Context,
    pod: &Pod,
    id: &ContainerId,
    limits: Limits,
) -> Result<(), String> {
    cgroup::create(context, pod).await?;
    let resources = v1::LinuxContainerResources {
        cpu_period: resize::PERIOD,
        // To the runtime 0 means: as it is.
        cpu_quota: if limits.quota == 0 { -1 } else { limits.quota },
        cpu_shares: limits.shares,
        memory_limit_in_bytes: if limits.memory == 0 { -1 } else { limits.memory },
        ..v1::LinuxContainerResources::default()
    };
    let done = context.runtime.update_container_resources(id, &resources).await;
    done.map_err(|error| words(&error))
}

fn failed_kill(context: &Context, pod: &Pod, error: &cri::Error) -> String {
    let text = format!("error killing pod: {}", words(error));
    context.tell(pod, EventType::Warning, "FailedKillPod", text.clone());
    text
}

/// Does the `StopSandbox`, `RemoveContainer` and `RemoveSandbox` steps of a plan in order; the first error ends it.
/// A container's log goes with it.
pub async fn clean_up(
    context: &Context,
    pod: &Pod,
    observed: &Observed,
    steps: &[Action],
) -> Result<(), String> {
    let runtime = &context.runtime;
    for step in steps {
        match step {
            Action::StopSandbox { id } => {
                runtime
                    .stop_pod_sandbox(id)
                    .await
                    .map_err(|error| failed_kill(context, pod, &error))?;
            }
            Action::RemoveContainer { id } => {
                runtime.remove_container(id).await.map_err(|e| words(&e))?;
                if let Some(gone) = observed.containers.iter().find(|c| c.id == *id) {
                    files::remove_log(context, pod, &gone.name, gone.attempt).await;
                }
            }
            Action::RemoveSandbox { id } => runtime.remove_pod_sandbox(id).await.map_err(|e| words(&e))?,
            Action::CreateSandbox { .. }
            | Action::StartContainer { .. }
            | Action::ResizeContainer { .. }
            | Action::StopContainer { .. } => {}
        }
    }
    Ok(())
}

/// Removes what a Pod left on the node once nothing of it runs: volumes, directory, cgroup, logs.
pub async fn remove_leftovers(context: &Context, pod: &Pod) -> Result<(), String> {
    let uid: &PodUid = &pod.metadata.uid;
    let failed = |what: &'static str| move |error: std::io::Error| format!("{what}: {error}");
    context.volumes.teardown(uid).await.map_err(failed("volumes"))?;
    let begin = tokio::time::Instant::now();
    cgroup::remove(context, pod).await?;
    context.metrics.cgroups("destroy", begin.elapsed());
    files::remove_logs(context, pod).await.map_err(failed("logs"))
}
