//! Files that survive a crash: written whole or not at all.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Replaces `path` with `bytes`, mode exactly `mode` (no umask): temporary file in the same directory, fsync, rename,
/// fsync of the directory. Readers see the old content or the new one, also after a power cut.
///
/// The error names the path and keeps its kind.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let directory = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let temporary = Temporary(temporary_name(path));
    let written = || -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary.0)?;
        file.write_all(bytes)?;
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
        file.sync_all()?;
        std::fs::rename(&temporary.0, path)?;
        sync_dir(directory)
    };
    written().map_err(|e| io::Error::new(e.kind(), format!("write {}: {e}", path.display())))
}

/// Waits for the lock of a file, which is made with `mode` when it does not exist; held until the answer is dropped.
///
/// The error names the path and keeps its kind.
pub fn lock(path: &Path, mode: u32) -> io::Result<File> {
    let named = |e: io::Error| io::Error::new(e.kind(), format!("lock {}: {e}", path.display()));
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(mode)
        .open(path)
        .map_err(named)?;
    loop {
        match file.lock() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            done => return done.map(|()| file).map_err(named),
        }
    }
}

/// Makes renames and removals inside a directory durable.
pub fn sync_dir(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Removes a file; one that is not there is a success. The error names the path.
pub fn remove_file(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(io::Error::new(
            e.kind(),
            format!("remove {}: {e}", path.display()),
        )),
        _ => Ok(()),
    }
}

/// The last `limit` bytes of a regular file; nothing for anything else. A link is not followed, so that a path others
/// can write to shows nothing but what they wrote.
pub fn tail(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
    let mut file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let meta = file.metadata()?;
    let mut bytes = Vec::new();
    if meta.is_file() {
        file.seek(SeekFrom::Start(meta.len().saturating_sub(limit)))?;
        file.take(limit).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// Hidden, so that programs that read a whole directory (CNI conflists, static manifests) pass it by, and unique, so
/// that two writers never share one.
fn temporary_name(path: &Path) -> PathBuf {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    path.with_file_name(format!(".{name}.{}-{number}.tmp", std::process::id()))
}

/// Removes the temporary file unless the rename has taken it away.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

#[cfg(test)]
mod tests;
