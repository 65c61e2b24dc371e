//! postStart and preStop hooks.

use crate::api::EventType;
use crate::cri::ExecOutput;
use crate::kubelet::context::Context;
use crate::kubelet::probe::{Called, http_call, port};
use crate::model::ContainerId;
use crate::model::pod::{Container, HttpGet, LifecycleHandler, Pod};
use std::time::Duration;

/// Where a hook runs.
pub(super) struct Target<'a> {
    pub(super) context: &'a Context,
    pub(super) pod: &'a Pod,
    pub(super) container: &'a Container,
    pub(super) id: &'a ContainerId,
}

impl Target<'_> {
    /// What is told of a hook that failed.
    fn failure(&self, hook: &str, why: &str) -> String {
        let meta = &self.pod.metadata;
        format!(
            "{hook} for Container {:?} in Pod \"{}_{}({})\" failed - error: {why}",
            self.container.name, meta.name, meta.namespace, meta.uid
        )
    }
}

/// Runs a hook to its end, however long that takes: the caller has a limit, or drops it. The words may hold secrets:
/// they are for the status and the log, not for Events.
pub(super) async fn run(hook: &LifecycleHandler, target: &Target<'_>) -> Result<(), String> {
    if let Some(action) = &hook.exec {
        let command: Vec<String> = action.command.iter().map(|w| w.to_string()).collect();
        let runtime = &target.context.runtime;
        let done = runtime.exec_sync(target.id, &command, Duration::ZERO).await;
        let verdict = match done {
            Ok(output) => exec_verdict(&command, &output),
            Err(error) => Err(format!("{}, message: \"\"", super::words(&error))),
        };
        let hook = || format!("Exec lifecycle hook ([{}])", command.join(" "));
        return verdict.map_err(|why| target.failure(&hook(), &why));
    }
    if let Some(action) = &hook.http_get {
        let hook = || format!("HTTP lifecycle hook ({})", action.path);
        return http(action, target)
            .await
            .map_err(|why| target.failure(&hook(), &why));
    }
    if let Some(action) = &hook.sleep {
        tokio::time::sleep(Duration::from_secs(u64::try_from(action.seconds).unwrap_or(0))).await;
        return Ok(());
    }
    Err("Cannot run handler: invalid handler: it has neither exec, httpGet nor sleep".into())
}

/// PURE. How a command ended, in kubelet's words: they have both streams.
fn exec_verdict(command: &[String], output: &ExecOutput) -> Result<(), String> {
    if output.exit_code == 0 {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let said = String::from_utf8_lossy(&output.stdout) + stderr.clone();
    Err(format!(
        "command '{}' exited with {}: {stderr}, message: {said:?}",
        command.join(" "),
        output.exit_code
    ))
}

/// A server that does not speak TLS is asked without, and told of.
async fn http(action: &HttpGet, target: &Target<'_>) -> Result<(), String> {
    let port =
        port(&action.port, target.container).map_err(|_| format!("invalid port number: {}", action.port))?;
    let host = if action.host.is_empty() {
        pod_ip(target).await?
    } else {
        action.host.to_string()
    };
    if let Called::WithoutTls(server) = http_call(action, &host, port).await? {
        let text =
            format!("request to HTTPS lifecycle hook {server} got HTTP response, retry with HTTP succeeded");
        let warning = EventType::Warning;
        target
            .context
            .tell(target.pod, warning, "LifecycleHTTPFallback", text);
    }
    Ok(())
}

/// The Pod's address as the runtime knows it; the node's on the host network.
async fn pod_ip(target: &Target<'_>) -> Result<String, String> {
    let context = target.context;
    let none = || "failed to find networking container".to_owned();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_fails_is_told_with_what_it_said() {
        let command = ["sh".to_owned(), "-c".to_owned(), "x".to_owned()];
        let ended = |exit_code| ExecOutput {
            stdout: b"out\n".to_vec(),
            stderr: b"err\n".to_vec(),
            exit_code,
        };
        assert_eq!(exec_verdict(&command, &ended(0)), Ok(()));
        let why = exec_verdict(&command, &ended(3)).unwrap_err();
        assert_eq!(
            why,
            "command 'sh -c x' exited with 3: err\n, message: \"out\\nerr\\n\""
        );
    }
}
