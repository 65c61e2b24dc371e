//! Where the lab keeps its things: `target/lab` of the workspace.
//!
//! - `bin/`: what it built; kept.
//! - `images/`, `registry/`: images and the registry's storage; kept.
//! - `run/<id>/`: one running lab; removed at tear-down, except its logs when they are wanted.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The lab's directory: `$RUSTLET_LAB_DIR`, else `lab` below cargo's target directory.
pub fn lab_dir() -> PathBuf {
    if let Some(dir) = std::env::var_os("RUSTLET_LAB_DIR") {
        return PathBuf::from(dir);
    }
    target_dir().join("lab")
}

/// Cargo's target directory.
pub fn target_dir() -> PathBuf {
    if let Some(dir) = std::env::var_os("CARGO_TARGET_DIR") {
        return std::path::absolute(&dir).unwrap_or_else(|_| PathBuf::from(dir));
    }
    workspace().join("target")
}

/// The lab's own source directory, with the Go modules and the manifests.
pub fn source_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn workspace() -> PathBuf {
    let dir = source_dir().ancestors().nth(2).unwrap_or_else(|| source_dir());
    dir.to_owned()
}

/// Waits until no other lab holds the lock at `path`; it is ours until the returned file is dropped.
pub(crate) fn lock(path: &Path) -> Result<File> {
    let file = File::create(path).with_context(|| format!("create {}", path.display()))?;
    file.lock().with_context(|| format!("lock {}", path.display()))?;
    Ok(file)
}

/// Nodes cover these directories with their own, so the lab's files must be elsewhere to be visible in a node.
pub(crate) fn check_visible_in_nodes(path: &Path) -> Result<()> {
    let hidden = [
        "/var/lib", "/var/log", "/run", "/var/run", "/etc", "/proc", "/sys",
    ];
    if let Some(dir) = hidden.iter().find(|dir| path.starts_with(dir)) {
        bail!(
            "{} is below {dir}, which every lab node replaces with its own: \
             move it elsewhere (RUSTLET_LAB_DIR and CARGO_TARGET_DIR say where the lab and its binaries are)",
            path.display()
        );
    }
    Ok(())
}
