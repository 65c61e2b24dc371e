//! Holds address reservations against the runtime's sandboxes, once, when the runtime first answers.

use crate::cni;
use crate::cri::Runtime;
use crate::model::SandboxId;
use crate::network::conflist;
use crate::task::DrainSignal;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Younger reservations may belong to a sandbox the runtime is still making.
const MIN_AGE: Duration = Duration::from_secs(60);
/// Between tries while the runtime does not answer.
const RETRY: Duration = Duration::from_secs(5);

/// Gives back what a reboot or a runtime that lost its state left reserved; then waits for the drain.
pub async fn reconcile(runtime: Arc<dyn Runtime>, drain: DrainSignal) {
    drain.unless_draining(reconcile_once(runtime)).await;
    drain.wait().await;
}

async fn reconcile_once(runtime: Arc<dyn Runtime>) {
    // Without the runtime's answer nothing may be given back: no answer is not "no sandboxes".
    let live: Vec<SandboxId> = loop {
        match runtime.list_pod_sandboxes(None).await {
            Ok(sandboxes) => break sandboxes.into_iter().map(|s| SandboxId::from(s.id)).collect(),
            Err(error) => tracing::debug!(%error, "address reservations wait for the runtime"),
        }
        tokio::time::sleep(RETRY).await;
    };
    let work = move || cni::reconcile(Path::new(cni::DATA_DIR), conflist::NETWORK, &live, MIN_AGE);
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(done)) => {
            for warning in &done.warnings {
                tracing::warn!("{warning}");
            }
            if !done.released.is_empty() {
                tracing::info!(addresses = ?done.released, "gave back addresses no sandbox has");
            }
        }
        Ok(Err(error)) => tracing::warn!(%error, "address reservations not reconciled"),
        Err(panic) => tracing::error!(%panic, "address reservations not reconciled"),
    }
}
