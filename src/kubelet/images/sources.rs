//! Where the node's own registry credentials come from: docker's files, and credential providers.

use super::keyring::{Credential, Keyring, Logins, Origin, parse_config_json, parse_dockercfg};
use super::providers::Providers;
use crate::model::pod::Pod;
use std::path::{Path, PathBuf};

/// A docker configuration of more than this is none.
const MAX_SIZE: u64 = 10 << 20;

/// All of the node's sources.
#[derive(Debug)]
pub struct Sources {
    dirs: Dirs,
    providers: Providers,
}

/// Where docker's files are looked for.
#[derive(Debug)]
struct Dirs {
    json: Vec<PathBuf>,
    legacy: Vec<PathBuf>,
}

impl Dirs {
    /// Kubelet's directory, the working directory, the user's home, and the root; as upstream.
    fn new(root: &Path, home: Option<PathBuf>) -> Self {
        let here = std::env::current_dir().unwrap_or_else(|_| "/".into());
        let home = home.unwrap_or_else(|| "/".into());
        let dirs = |home: PathBuf, top: &str| vec![root.to_owned(), here.clone(), home, top.into()];
        Self {
            json: dirs(home.join(".docker"), "/.docker"),
            legacy: dirs(home, "/"),
        }
    }
}

impl Sources {
    /// Sources of a node whose kubelet directory is `root`.
    pub fn new(root: &Path, providers: Providers) -> Self {
        Self {
            dirs: Dirs::new(root, std::env::var_os("HOME").map(PathBuf::from)),
            providers,
        }
    }

    /// The node's credentials for a repository, the files' first.
    pub async fn look_up(&self, pod: &Pod, repository: &str) -> Vec<Credential> {
        let mut ring = Keyring::default();
        ring.add(&Origin::Node, self.files().await);
        let mut found = ring.look_up(repository);
        found.extend(self.providers.look_up(pod, repository).await);
        found
    }

    /// The first file that can be read; read each time, so that a new one counts at once.
    async fn files(&self) -> Logins {
        for dir in &self.dirs.json {
            if let Some(logins) = read(&dir.join("config.json"), parse_config_json).await {
                return logins;
            }
        }
        for dir in &self.dirs.legacy {
            if let Some(logins) = read(&dir.join(".dockercfg"), parse_dockercfg).await {
                return logins;
            }
        }
        Logins::new()
    }
}

async fn read<E: std::fmt::Display>(path: &Path, parse: fn(&[u8]) -> Result<Logins, E>) -> Option<Logins> {
    let meta = tokio::fs::metadata(path).await.ok()?;
    if !meta.is_file() || meta.len() > MAX_SIZE {
        return None;
    }
    let text = tokio::fs::read(path).await.ok()?;
    parse(&text)
        .inspect_err(
            |error| tracing::warn!(file = %path.display(), %error, "registry credentials are passed by"),
        )
        .ok()
}

#[cfg(test)]
mod tests;
