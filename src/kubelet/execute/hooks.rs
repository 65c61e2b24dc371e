//! postStart and preStop hooks.

use crate::kubelet::context::Context;
use crate::kubelet::probe::state::Outcome;
use crate::kubelet::probe::{http_get, port};
use crate::model::ContainerId;
use crate::model::pod::{Container, LifecycleHandler, Pod};
use std::time::Duration;

/// Time limit of an HTTP hook; a command has none but its caller's.
const HTTP_LIMIT: Duration = Duration::from_secs(60);

/// Where a hook runs.
pub(super) struct Target<'a> {
    pub(super) context: &'a Context,
    pub(super) pod: &'a Pod,
    pub(super) container: &'a Container,
    pub(super) id: &'a ContainerId,
}

/// Runs a hook to its end. `limit` bounds a command (zero: not at all). The words may hold secrets: log them, do not
/// put them into Events.
pub(super) async fn run(hook: &LifecycleHandler, target: &Target<'_>, limit: Duration) -> Result<(), String> {
    if let Some(action) = &hook.exec {
        let command: Vec<String> = action.command.iter().map(|w| w.to_string()).collect();
        let done = target
            .context
            .runtime
            .exec_sync(target.id, &command, limit)
            .await
            .map_err(|e| e.message)?;
        return match done.exit_code {
            0 => Ok(()),
            code => Err(format!(
                "command exited with {code}: {}",
                String::from_utf8_lossy(&done.stderr)
            )),
        };
    }
    if let Some(action) = &hook.http_get {
        let port = port(&action.port, target.container).map_err(|error| format!("{error:?}"))?;
        let host = if action.host.is_empty() {
            pod_ip(target).await?
        } else {
            action.host.to_string()
        };
        return match http_get(action, &host, port, HTTP_LIMIT).await {
            Outcome::Success | Outcome::Warning(_) => Ok(()),
            Outcome::Failure(why) | Outcome::Error(why) => Err(why),
        };
    }
    if let Some(action) = &hook.sleep {
        tokio::time::sleep(Duration::from_secs(u64::try_from(action.seconds).unwrap_or(0))).await;
    }
    Ok(())
}

/// The Pod's address as the runtime knows it; the node's on the host network.
async fn pod_ip(target: &Target<'_>) -> Result<String, String> {
    let context = target.context;
    let none = || "the pod has no address".to_owned();
    if target.pod.spec.host_network {
        return context.host_ips.first().map(ToString::to_string).ok_or_else(none);
    }
    let uid = &target.pod.metadata.uid;
    let sandboxes = context
        .runtime
        .list_pod_sandboxes(Some(uid))
        .await
        .map_err(|e| e.message)?;
    let newest = sandboxes.iter().max_by_key(|s| s.created_at).ok_or_else(none)?;
    let status = context
        .runtime
        .pod_sandbox_status(&newest.id.as_str().into())
        .await
        .map_err(|e| e.message)?;
    status
        .network
        .map(|n| n.ip)
        .filter(|ip| !ip.is_empty())
        .ok_or_else(none)
}
