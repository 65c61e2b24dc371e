//! Does one action of a plan and reports what it saw; decides nothing.
//!
//! Every function is one task of a pod worker. Events and their words are kubelet's. Nothing here is retried: an error
//! goes back to the worker, and the next plan decides.

mod credentials;
mod environment;
pub(crate) mod files;
mod hooks;
mod start;
mod stop;

pub use start::{Start, StartError, start_container};
pub use stop::{Orders, Steering, Stop, stop_container};

use crate::api::EventType;
use crate::cri::{self, v1};
use crate::kubelet::context::Context;
use crate::kubelet::observed::Observed;
use crate::kubelet::plan::Action;
use crate::kubelet::refs;
use crate::kubelet::translate::{self, SandboxInput};
use crate::kubelet::userns;
use crate::kubelet::volume::blocking;
use crate::kubelet::{dns, resize};
use crate::model::pod::Pod;
use crate::model::{ContainerId, PodUid};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

/// gRPC errors as Go prints them, which is what people know from kubelet's events.
fn words(error: &cri::Error) -> String {
    format!("rpc error: code = {:?} desc = {}", error.code, error.message)
}

/// The sandbox config of a Pod; also `CreateContainer` wants it. With the Pod's user namespace, and what had to be left out
/// of its DNS.
async fn sandbox_config(
    context: &Context,
    pod: &Pod,
    attempt: u32,
    seen: Timestamp,
) -> Result<(v1::PodSandboxConfig, v1::UserNamespace, Vec<dns::Warning>), String> {
    let config = &context.config;
    let resolv_conf = match &config.resolv_conf {
        Some(path) => {
            let text = tokio::fs::read_to_string(path).await;
            Some(text.map_err(|error| format!("open {}: {error}", path.display()))?)
        }
        None => None,
    };
    let users = users(context, pod).await?;
    let node = dns::NodeDns {
        cluster_dns: &config.cluster_dns,
        cluster_domain: &config.cluster_domain,
        resolv_conf: resolv_conf.as_deref(),
        host_ips: &context.host_ips,
    };
    let dns = dns::for_pod(pod, &node);
    let parent = context.cgroups.parent(pod);
    let sandbox = translate::sandbox(&SandboxInput {
        pod,
        attempt,
        seen,
        dns: &dns.config,
        cluster_domain: &config.cluster_domain,
        cgroup_parent: &parent,
        dirs: &context.dirs,
        node: &context.limits,
        users: &users,
    });
    let sandbox = sandbox.map_err(|error| error.to_string())?;
    Ok((sandbox, users, dns.warnings))
}

/// The Pod's user namespace. One of its own is only asked for where the runtime can make it.
async fn users(context: &Context, pod: &Pod) -> Result<v1::UserNamespace, String> {
    if pod.spec.host_users != Some(false) {
        return Ok(userns::hosts());
    }
    let status = context.runtime.status(false).await.map_err(|e| words(&e))?;
    let name = runtime_handler(context, pod).await?;
    let handler = status.runtime_handlers.iter().find(|h| *h.name == *name);
    if !handler
        .and_then(|h| h.features)
        .is_some_and(|f| f.user_namespaces)
    {
        let who = match &*name {
            "" => "runtime".to_owned(),
            name => format!("RuntimeClass handler {name:?}"),
        };
        return Err(format!(
            "can't set `spec.hostUsers: false`, {who} does not support user namespaces"
        ));
    }
    let (ranges, uid) = (context.users.clone(), pod.metadata.uid.clone());
    let range = blocking(move || ranges.of(&uid)).await;
    range.map_err(|error| format!("user namespace: {error}"))
}

/// Creates the Pod's cgroup, log directory and sandbox, unless `cancel` comes before that: the Pod is going away. The
/// error is the message of the Pod's waiting reason.
pub async fn create_sandbox(
    context: &Context,
    pod: &Pod,
    (attempt, seen): (u32, Timestamp),
    cancel: &CancellationToken,
) -> Result<(), String> {
    let made = try_create_sandbox(context, pod, (attempt, seen), cancel).await;
    if cancel.is_cancelled() {
        return made;
    }
    context.metrics.pod_started(pod, made.is_ok());
    if let Err(message) = &made {
        let text = format!("Failed to create pod sandbox: {message}");
        context.tell(pod, EventType::Warning, "FailedCreatePodSandBox", text);
    }
    made
}

async fn try_create_sandbox(
    context: &Context,
    pod: &Pod,
    (attempt, seen): (u32, Timestamp),
    cancel: &CancellationToken,
) -> Result<(), String> {
    let handler = runtime_handler(context, pod).await?;
    let (config, _, warnings) = sandbox_config(context, pod, attempt, seen).await?;
    for warning in warnings {
        if warning.reason == dns::MISSING {
            let node = refs::node(&context.config.node);
            let text = dns::NO_CLUSTER_DNS.to_owned();
            context.events.emit(&node, EventType::Warning, dns::MISSING, text);
        }
        context.tell(pod, EventType::Warning, warning.reason, warning.message);
    }
    files::make_log_dir(context, pod)
        .await
        .map_err(|e| e.to_string())?;
    let begin = tokio::time::Instant::now();
    context.cgroups.create(pod).await?;
    context.metrics.cgroups("create", begin.elapsed());
    let _turn = context
        .starts
        .acquire()
        .await
        .expect("the semaphore is never closed");
    if cancel.is_cancelled() {
        return Ok(());
    }
    let begin = tokio::time::Instant::now();
    let made = context.runtime.run_pod_sandbox(&config, &handler).await;
    context
        .metrics
        .sandbox_run(&handler, begin.elapsed(), made.is_ok());
    let id = made.map_err(|e| words(&e))?;
    tracing::info!(pod.uid = %pod.metadata.uid, ns = %pod.metadata.namespace, name = %pod.metadata.name, sandbox = %id, attempt, "sandbox created");
    Ok(())
}

/// The runtime's handler for the Pod's RuntimeClass; empty is the runtime's default.
async fn runtime_handler(context: &Context, pod: &Pod) -> Result<Box<str>, String> {
    let class = pod.spec.runtime_class_name.as_deref().unwrap_or_default();
    if class.is_empty() {
        return Ok("".into());
    }
    match context.data.runtime_handler(class).await {
        Ok(Some(handler)) => Ok(handler),
        Ok(None) => Err(format!("runtimeclass.node.k8s.io {class:?} not found")),
        Err(error) => Err(format!("failed to lookup RuntimeClass {class}: {error}")),
    }
}

/// Gives a running container other requests and limits.
pub async fn resize_container(
    context: &Context,
    id: &ContainerId,
    resources: v1::LinuxContainerResources,
) -> Result<(), String> {
    let done = context.runtime.update_container_resources(id, &resources).await;
    done.map_err(|error| words(&error))
}

/// A Pod's memory limit is not lowered below what the Pod uses now: the kernel would kill for it.
pub fn check_pod_memory(context: &Context, pod: &Pod, limit: Option<u64>) -> Result<(), String> {
    let Some(limit) = limit else { return Ok(()) };
    let used = context.cgroups.memory(pod, None);
    resize::too_low("pod", limit, used).map_or(Ok(()), Err)
}

/// The same for a container.
pub fn check_memory(
    context: &Context,
    pod: &Pod,
    (id, name): (&ContainerId, &str),
    limit: Option<u64>,
) -> Result<(), String> {
    let Some(limit) = limit else { return Ok(()) };
    let used = context.cgroups.memory(pod, Some(id));
    resize::too_low(&format!("container {name:?}"), limit, used).map_or(Ok(()), Err)
}

fn failed_kill(context: &Context, pod: &Pod, error: &cri::Error) -> String {
    let text = format!("error killing pod: {}", words(error));
    context.tell(pod, EventType::Warning, "FailedKillPod", text.clone());
    text
}

/// Does the `StopSandbox`, `RemoveContainer` and `RemoveSandbox` steps of a plan in order; the first error ends it.
/// A container's log goes with it, unless it is to be kept.
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
            Action::RemoveContainer { id, keep_log } => {
                runtime.remove_container(id).await.map_err(|e| words(&e))?;
                let gone = observed.containers.iter().find(|c| c.id == *id);
                if let Some(gone) = gone.filter(|_| !keep_log) {
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
    context.cgroups.remove(uid).await?;
    context.metrics.cgroups("destroy", begin.elapsed());
    files::remove_logs(context, pod).await.map_err(failed("logs"))
}
