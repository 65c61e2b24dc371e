//! What nobody else remembers when the agent is killed: how far the probes of a container have counted, and when a container
//! that is being stopped is killed. (Backoff stands with the container in the runtime, all else in the Pod's status.)
//!
//! One small file in the Pod's directory, which goes with it. It is about instances of containers, and none of these
//! outlives the machine: so it is renamed into place, and not synced. One that cannot be read is as good as none.

use crate::kubelet::dirs::Dirs;
use crate::kubelet::observed::Observed;
use crate::kubelet::probe::state::Count;
use crate::kubelet::volume::blocking;
use crate::model::{ContainerId, PodUid};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Name of the file.
const FILE: &str = "rustlet-notes.json";
/// What the file's words mean; others are not understood.
const VERSION: u32 = 1;

/// The notes about one Pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Page {
    version: u32,
    /// When a container that is being stopped is killed.
    #[serde(default)]
    stops: BTreeMap<ContainerId, Timestamp>,
    /// By container and probe.
    #[serde(default)]
    probes: BTreeMap<ContainerId, BTreeMap<Box<str>, Count>>,
}

/// A Pod's page.
#[derive(Debug, Default)]
struct Open {
    page: Page,
    /// Stops that an earlier agent has begun and this one has not taken up.
    begun: BTreeMap<ContainerId, Timestamp>,
}

impl Default for Page {
    fn default() -> Self {
        Self {
            version: VERSION,
            stops: BTreeMap::new(),
            probes: BTreeMap::new(),
        }
    }
}

/// The notes about all Pods that have a worker.
#[derive(Debug)]
pub struct Notes {
    dirs: Dirs,
    /// Never held over an await.
    pages: Mutex<HashMap<PodUid, Open>>,
    /// Held while a page is written, so that the newest is written last.
    writing: tokio::sync::Mutex<()>,
}

impl Notes {
    /// Nothing is read yet.
    pub fn new(dirs: Dirs) -> Self {
        Self {
            dirs,
            pages: Mutex::default(),
            writing: tokio::sync::Mutex::default(),
        }
    }

    /// Reads what an earlier agent has noted about a Pod. Until then, and after [`Notes::close`], nothing is kept of it.
    pub async fn open(&self, uid: &PodUid) {
        let path = self.path(uid);
        // What panics has read nothing.
        let page = blocking(move || Ok(read(&path))).await.unwrap_or_default();
        let begun = page.stops.clone();
        self.lock().entry(uid.clone()).or_insert(Open { page, begun });
    }

    /// The Pod is gone, with its directory.
    pub fn close(&self, uid: &PodUid) {
        self.lock().remove(uid);
    }

    /// Leaves out containers that are no more. The file follows with the next change.
    pub fn retain(&self, uid: &PodUid, observed: &Observed) {
        if let Some(Open { page, .. }) = self.lock().get_mut(uid) {
            let is = |id: &ContainerId| observed.containers.iter().any(|c| c.id == *id);
            page.stops.retain(|id, _| is(id));
            page.probes.retain(|id, _| is(id));
        }
    }

    /// When this container is killed, if an earlier agent was stopping it. Told once: should the stop fail, the next one is
    /// a stop of its own.
    pub fn take_stop(&self, uid: &PodUid, id: &ContainerId) -> Option<Timestamp> {
        self.lock().get_mut(uid)?.begun.remove(id)
    }

    /// This container is being stopped and killed at this time.
    pub async fn note_stop(&self, uid: &PodUid, id: &ContainerId, deadline: Timestamp) {
        self.change(uid, |page| _ = page.stops.insert(id.clone(), deadline))
            .await;
    }

    /// How far a probe of this container has counted.
    pub fn count(&self, uid: &PodUid, id: &ContainerId, probe: &str) -> Option<Count> {
        self.lock().get(uid)?.page.probes.get(id)?.get(probe).copied()
    }

    /// A probe of this container has counted so far; `None` when the Pod's status says it all.
    pub async fn note_count(&self, uid: &PodUid, id: &ContainerId, probe: &str, count: Option<Count>) {
        let noted = |page: &mut Page| {
            let of = page.probes.entry(id.clone()).or_default();
            match count {
                Some(count) => _ = of.insert(probe.into(), count),
                None => _ = of.remove(probe),
            }
            page.probes.retain(|_, counts| !counts.is_empty());
        };
        self.change(uid, noted).await;
    }

    /// Changes a page, and its file if that makes a difference.
    async fn change(&self, uid: &PodUid, with: impl FnOnce(&mut Page)) {
        {
            let mut pages = self.lock();
            let Some(Open { page, .. }) = pages.get_mut(uid) else {
                return;
            };
            let old = page.clone();
            with(page);
            if *page == old {
                return;
            }
        }
        let _turn = self.writing.lock().await;
        let Some(page) = self.lock().get(uid).map(|open| open.page.clone()) else {
            return;
        };
        let path = self.path(uid);
        let written = blocking(move || write(&path, &page)).await;
        match written {
            // The Pod's directory goes before its worker does.
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(pod.uid = %uid, %error, "notes are not kept");
            }
            _ => {}
        }
    }

    fn path(&self, uid: &PodUid) -> PathBuf {
        self.dirs.pod(uid).join(FILE)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PodUid, Open>> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(path: &Path) -> Page {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!(path = %path.display(), %error, "notes cannot be read");
            }
            return Page::default();
        }
    };
    match serde_json::from_slice::<Page>(&text) {
        Ok(page) if page.version == VERSION => page,
        other => {
            let why = other.map_or_else(
                |error| error.to_string(),
                |page| format!("version {}", page.version),
            );
            tracing::warn!(path = %path.display(), why, "notes are not understood and left out");
            Page::default()
        }
    }
}

/// Readers see the old page or the new one.
fn write(path: &Path, page: &Page) -> io::Result<()> {
    let temporary = path.with_extension("new");
    std::fs::write(&temporary, serde_json::to_vec(page)?)?;
    std::fs::rename(temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world() -> (tempfile::TempDir, Dirs, PodUid, ContainerId) {
        let dir = tempfile::tempdir().unwrap();
        let dirs = Dirs {
            root: dir.path().into(),
            pod_logs: dir.path().join("logs"),
        };
        let uid = PodUid::from("u1");
        std::fs::create_dir_all(dirs.pod(&uid)).unwrap();
        (dir, dirs, uid, "c1".into())
    }

    const FAILED: Option<Count> = Some(Count {
        success: false,
        run: 2,
    });

    #[tokio::test]
    async fn the_next_agent_reads_what_was_noted() {
        let (_dir, dirs, uid, id) = world();
        let at = Timestamp::from_second(1_800_000_000).unwrap();
        let notes = Notes::new(dirs.clone());
        notes.note_stop(&uid, &id, at).await;
        notes.open(&uid).await;
        assert_eq!(notes.take_stop(&uid, &id), None, "it was not open then");
        notes.note_stop(&uid, &id, at).await;
        assert_eq!(notes.take_stop(&uid, &id), None, "our own");
        notes.note_count(&uid, &id, "Liveness", FAILED).await;
        notes.note_count(&uid, &id, "Readiness", FAILED).await;
        notes.note_count(&uid, &id, "Readiness", None).await;
        let next = Notes::new(dirs.clone());
        next.open(&uid).await;
        assert_eq!(next.take_stop(&uid, &id), Some(at));
        assert_eq!(next.take_stop(&uid, &id), None, "told once");
        assert_eq!(next.count(&uid, &id, "Liveness"), FAILED);
        assert_eq!(next.count(&uid, &id, "Readiness"), None);
        next.retain(&uid, &Observed::default());
        assert_eq!(next.count(&uid, &id, "Liveness"), None);
        next.close(&uid);
        std::fs::remove_dir_all(dirs.pod(&uid)).unwrap();
        notes.note_count(&uid, &id, "Liveness", None).await;
        assert!(!dirs.pod(&uid).exists(), "what is gone does not come back");
    }

    #[tokio::test]
    async fn what_cannot_be_understood_is_as_good_as_nothing() {
        let (_dir, dirs, uid, id) = world();
        for text in [
            "",
            "{",
            r#"{"version":2}"#,
            r#"{"version":1,"stops":{"c1":"soon"}}"#,
        ] {
            std::fs::write(dirs.pod(&uid).join(FILE), text).unwrap();
            let notes = Notes::new(dirs.clone());
            notes.open(&uid).await;
            assert_eq!(notes.take_stop(&uid, &id), None, "{text}");
            notes.note_count(&uid, &id, "Startup", FAILED).await;
            let next = Notes::new(dirs.clone());
            next.open(&uid).await;
            assert_eq!(next.count(&uid, &id, "Startup"), FAILED, "{text}");
        }
    }
}
