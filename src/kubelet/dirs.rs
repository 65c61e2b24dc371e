//! PURE. Where kubelet keeps things on disk; the layout is upstream's so that a node can be handed over live.

use crate::model::PodUid;
use std::path::{Path, PathBuf};

/// Paths below the kubelet's root directory (`/var/lib/kubelet`) and the pod log directory (`/var/log/pods`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dirs {
    /// `--root-dir`.
    pub root: PathBuf,
    /// `podLogsDir`.
    pub pod_logs: PathBuf,
}

impl Dirs {
    /// `<root>/pods`.
    pub fn pods(&self) -> PathBuf {
        self.root.join("pods")
    }
    /// `<root>/pods/<uid>`.
    pub fn pod(&self, uid: &PodUid) -> PathBuf {
        self.pods().join(uid.as_str())
    }
    /// `<root>/pods/<uid>/etc-hosts`.
    pub fn etc_hosts(&self, uid: &PodUid) -> PathBuf {
        self.pod(uid).join("etc-hosts")
    }
    /// `<root>/pods/<uid>/volumes/kubernetes.io~<plugin>/<name>`; `plugin` is `empty-dir`, `configmap`, `secret`,
    /// `projected` or `downward-api`.
    pub fn volume(&self, uid: &PodUid, plugin: &str, name: &str) -> PathBuf {
        self.pod(uid)
            .join("volumes")
            .join(format!("kubernetes.io~{plugin}"))
            .join(name)
    }
    /// `<root>/pods/<uid>/containers/<container>`: termination message files, named by attempt hash.
    pub fn container(&self, uid: &PodUid, container: &str) -> PathBuf {
        self.pod(uid).join("containers").join(container)
    }
    /// `<logs>/<namespace>_<name>_<uid>`.
    pub fn pod_log(&self, namespace: &str, name: &str, uid: &PodUid) -> PathBuf {
        self.pod_logs.join(format!("{namespace}_{name}_{uid}"))
    }
    /// Log path of a container attempt, relative to the pod's log directory: `<container>/<attempt>.log`.
    pub fn container_log(container: &str, attempt: u32) -> PathBuf {
        Path::new(container).join(format!("{attempt}.log"))
    }
}
