//! Finds what pods left behind while nobody looked: directories, cgroups, logs and links of pods that neither the
//! API server nor the runtime knows. (Sandboxes and containers of unknown pods are ended by their worker.)

use crate::kubelet::context::Context;
use crate::kubelet::execute::files;
use crate::kubelet::volume::blocking;
use crate::model::PodUid;
use crate::sys::mount;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;

/// One pass. `known` gives the UIDs of all pods that something knows. It is asked after the directories were listed:
/// a Pod that came meanwhile has its directory after that.
pub async fn sweep(context: &Context, known: impl Fn() -> BTreeSet<PodUid>) {
    let (pods, logs, links) = (
        context.dirs.pods(),
        context.dirs.pod_logs.clone(),
        context.link_dir(),
    );
    let (pod_dirs, log_dirs) = (names(&pods).await, names(&logs).await);
    let cgroups = context.cgroups.pods();
    let known = known();
    for uid in cgroups.iter().filter(|uid| !known.contains(*uid)) {
        match context.cgroups.remove(uid).await {
            Ok(()) => tracing::info!(pod.uid = %uid, "cgroup of a forgotten pod removed"),
            Err(problem) => tracing::warn!(pod.uid = %uid, problem, "cgroup of a forgotten pod stays"),
        }
    }
    for uid in strangers(pod_dirs, |name| Some(name.into()), &known) {
        match context.volumes.teardown(&PodUid::from(&*uid)).await {
            Ok(()) => tracing::info!(pod.uid = uid, "directory of a forgotten pod removed"),
            Err(error) => tracing::warn!(pod.uid = uid, %error, "directory of a forgotten pod stays"),
        }
    }
    for name in strangers(log_dirs, log_dir_uid, &known) {
        let dir = logs.join(&name);
        if let Err(error) = blocking(move || mount::remove_tree(&dir)).await {
            tracing::warn!(directory = name, %error, "logs of a forgotten pod stay");
        }
    }
    if let Err(error) = blocking(move || files::remove_links(&links, |target| !target.exists())).await {
        tracing::warn!(%error, "links to logs that are gone stay");
    }
}

/// Names in a directory; none when it does not exist.
async fn names(dir: &Path) -> Vec<String> {
    let dir = dir.to_owned();
    let read = blocking(move || {
        std::fs::read_dir(dir)?
            .map(|entry| entry.map(|e| e.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<Vec<_>>>()
    });
    read.await.unwrap_or_default()
}

/// PURE. `<namespace>_<name>_<uid>`; nothing else is ours to remove.
fn log_dir_uid(name: &str) -> Option<PodUid> {
    let mut parts = name.split('_');
    let uid = parts.nth(2)?;
    (parts.next().is_none() && !uid.is_empty()).then(|| uid.into())
}

/// PURE. Entries whose Pod nobody knows.
fn strangers(names: Vec<String>, uid: fn(&str) -> Option<PodUid>, known: &BTreeSet<PodUid>) -> Vec<String> {
    names
        .into_iter()
        .filter(|name| uid(name).is_some_and(|uid| !known.contains(&uid)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_directories_of_unknown_pods_are_strangers() {
        let known = BTreeSet::from(["u1".into()]);
        let names = ["default_web_u1", "default_web_u2", "notes", "a_b_c_d", "a_b_"]
            .map(String::from)
            .to_vec();
        assert_eq!(strangers(names, log_dir_uid, &known), ["default_web_u2"]);
    }
}
