//! `/checkpoint`: the runtime writes a container's state into an archive below `<root>/checkpoints`.

use crate::kubelet::server::Shared;
use crate::kubelet::server::answer::{Answer, json, text};
use crate::kubelet::server::request::values;
use crate::kubelet::server::route::Found;
use crate::model::{ContainerId, PodUid};
use http::StatusCode;
use jiff::Timestamp;
use serde_json::json as value;
use std::os::unix::fs::DirBuilderExt;
use std::time::Duration;

/// Longest time a caller may ask for.
const LONGEST: Duration = Duration::from_secs(3600);

pub(super) async fn serve(shared: &Shared, found: &Found, query: &str) -> Answer {
    let (namespace, name) = (found.segment("namespace"), found.segment("pod"));
    let container = found.segment("container");
    let Some(pod) = shared.source.named(namespace, name) else {
        return text(StatusCode::NOT_FOUND, "pod does not exist");
    };
    if pod.container(container).is_none() {
        let words = format!("container {container} does not exist");
        return text(StatusCode::NOT_FOUND, words);
    }
    let seconds = values(query, "timeout").pop().map(|text| text.parse::<i64>());
    // 404 is upstream's code for this.
    let Ok(seconds) = seconds.transpose() else {
        return text(StatusCode::NOT_FOUND, "cannot parse value of timeout parameter");
    };
    let limit = Duration::from_secs(seconds.unwrap_or(0).try_into().unwrap_or(0)).min(LONGEST);
    // The names are those of an existing Pod and its container, so that they are no paths.
    let file = format!(
        "checkpoint-{name}_{namespace}-{container}-{}.tar",
        Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ")
    );
    let location = shared.dirs.root.join("checkpoints").join(file);
    match write(
        shared,
        &pod.metadata.uid,
        container,
        (&location.to_string_lossy(), limit),
    )
    .await
    {
        Ok(()) => json(&value!({"items": [location]})),
        Err(error) => {
            let words = format!("checkpointing of {namespace}/{name}/{container} failed ({error})");
            text(StatusCode::INTERNAL_SERVER_ERROR, words)
        }
    }
}

async fn write(
    shared: &Shared,
    uid: &PodUid,
    container: &str,
    (location, limit): (&str, Duration),
) -> Result<(), String> {
    let dir = shared.dirs.root.join("checkpoints");
    let mut builder = std::fs::DirBuilder::new();
    // A checkpoint holds the memory of processes: nobody else may read it.
    builder.recursive(true).mode(0o700);
    builder
        .create(&dir)
        .map_err(|error| format!("create {}: {error}", dir.display()))?;
    let listed = shared.runtime.list_containers(Some(uid)).await;
    let listed = listed.map_err(|error| error.to_string())?;
    let found = listed
        .iter()
        .filter(|one| one.metadata.as_ref().is_some_and(|meta| meta.name == container))
        .max_by_key(|one| one.created_at)
        .ok_or_else(|| format!("container {container} not found"))?;
    let id = ContainerId::from(&*found.id);
    let written = shared.runtime.checkpoint_container(&id, location, limit).await;
    written.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
