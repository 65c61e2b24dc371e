//! Reads manifests where the configuration says they are, whenever something changes there, and now and then.
//!
//! Every look reads everything, so that no sign of a change matters by itself.

use super::Manifest;
use super::parse::{self, Origin};
use super::shelf::{Look, Shelf};
use crate::config::KubeletConfig;
use crate::kubelet::volume::blocking;
use crate::sys::watch::Watch;
use crate::task::SayOnce;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// Longest manifest, bytes.
const MAX_MANIFEST: u64 = 10 << 20;
/// Pause after a sign of a change: a file is mostly written in several pieces.
const SETTLE: Duration = Duration::from_millis(50);
/// Pause before a path that does not exist, or cannot be watched, is looked at again.
const ABSENT: Duration = Duration::from_secs(1);

/// Tells of all static Pods, first what there is at the start and then with every change, until the process ends.
/// Without a path there are none.
pub async fn run(config: &KubeletConfig, clock: impl Fn() -> Timestamp, tell: impl Fn(Vec<Manifest>)) {
    let Some(path) = &config.manifests else {
        tell(Vec::new());
        return;
    };
    tracing::info!(path = %path.display(), "static pods");
    let mut shelf = Shelf::default();
    let mut said = SayOnce::new(Duration::from_secs(60));
    let mut audit_at = Instant::now();
    loop {
        // Before the look: what changes after it is noticed.
        let watch = Watch::of(path);
        let audit = Instant::now() >= audit_at;
        if audit {
            audit_at = Instant::now() + config.manifest_check;
        }
        match look(path, &config.node).await {
            Ok(look) => {
                for (file, problem) in shelf.take(look, audit, clock()) {
                    tracing::error!(file, "manifest: {problem}");
                }
                tell(shelf.manifests());
                said.reset();
            }
            Err(error) => {
                let text = error.to_string();
                if said.say(&text, Instant::now()).is_some() {
                    tracing::error!(path = %path.display(), error = %text, "manifests cannot be read");
                }
            }
        }
        match watch {
            Ok(watch) => {
                // A watch that breaks is made again.
                let changed = tokio::time::timeout_at(audit_at, watch.changed()).await;
                if changed.is_ok() {
                    tokio::time::sleep(SETTLE).await;
                }
            }
            Err(_) => tokio::time::sleep_until(audit_at.min(Instant::now() + ABSENT)).await,
        }
    }
}

/// One look at the path: a file, or a directory of them. A path that does not exist has none.
async fn look(path: &Path, node: &str) -> io::Result<Look> {
    let (path, node) = (path.to_owned(), node.to_owned());
    blocking(move || {
        let mut look = BTreeMap::new();
        for file in files(&path)? {
            let name = file.display().to_string();
            let origin = Origin {
                node: &node,
                file: &name,
            };
            let parsed = match read(&file) {
                Ok(text) => parse::parse(&text, origin),
                // Gone since the directory was read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => Err(error.to_string()),
            };
            look.insert(name, parsed);
        }
        Ok(look)
    })
    .await
}

/// The files that count: hidden ones do not, and directories below are not looked into.
fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    match std::fs::metadata(path) {
        Ok(meta) if !meta.is_dir() => return Ok(vec![path.to_owned()]),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !hidden && !entry.path().is_dir() {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

/// A file's text. Anything but a regular file could keep us waiting.
fn read(file: &Path) -> io::Result<String> {
    if !std::fs::metadata(file)?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut text = String::new();
    std::fs::File::open(file)?
        .take(MAX_MANIFEST + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > MAX_MANIFEST {
        return Err(io::Error::other(format!("it has more than {MAX_MANIFEST} bytes")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
