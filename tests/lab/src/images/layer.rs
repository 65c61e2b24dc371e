//! Reproducible layers: a tar whose bytes depend on names, modes, owners and contents only.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A layer on disk, addressed by its content. It is stored uncompressed, so this is its diff id as well.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Blob {
    /// `sha256:…` of the file.
    pub digest: String,
    /// Bytes.
    pub size: u64,
    /// Where the tar is.
    pub path: PathBuf,
}

/// Lower-case hex of the SHA-256 of `data`.
pub(crate) fn hex_sha256(data: &[u8]) -> String {
    hex(&Sha256::digest(data))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the cached layer `name` if one was built with the same `recipe`, else builds it.
///
/// The recipe is any text that changes when the layer should. The tar appears under its final name only when it is
/// complete; layers of the same name with other recipes are removed.
pub(super) fn cached<F>(dir: &Path, name: &str, recipe: &str, build: F) -> Result<Blob>
where
    F: FnOnce(&mut LayerWriter) -> Result<()>,
{
    let stamp = &hex_sha256(recipe.as_bytes())[..12];
    let tar = dir.join(format!("{name}-{stamp}.tar"));
    let note = dir.join(format!("{name}-{stamp}.json"));
    if let Ok(text) = fs::read(&note)
        && let Ok(blob) = serde_json::from_slice::<Blob>(&text)
        && fs::metadata(&tar).is_ok_and(|found| found.len() == blob.size)
    {
        return Ok(Blob { path: tar, ..blob });
    }
    let partial = dir.join(format!("{name}.partial"));
    let mut writer = LayerWriter::create(&partial)?;
    build(&mut writer).with_context(|| format!("build image layer {name}"))?;
    let (digest, size) = writer.finish()?;
    remove_others(dir, name, stamp)?;
    fs::rename(&partial, &tar).with_context(|| format!("rename {}", partial.display()))?;
    let blob = Blob {
        digest,
        size,
        path: tar,
    };
    fs::write(&note, serde_json::to_vec(&blob)?).with_context(|| format!("write {}", note.display()))?;
    Ok(blob)
}

fn remove_others(dir: &Path, name: &str, stamp: &str) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let file = path
            .file_name()
            .map(|file| file.to_string_lossy().into_owned())
            .unwrap_or_default();
        let ours = file
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('-'))
            .and_then(|rest| rest.split_once('.'));
        if ours.is_some_and(|(found, _)| found != stamp && found.len() == stamp.len()) {
            fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))?;
        }
    }
    Ok(())
}

/// Writes one layer; every entry belongs to root and has time 0 unless copied from a tree.
pub(super) struct LayerWriter {
    tar: tar::Builder<Hashing<BufWriter<File>>>,
}

impl LayerWriter {
    fn create(path: &Path) -> Result<LayerWriter> {
        let file = File::create(path).with_context(|| format!("create {}", path.display()))?;
        let sink = Hashing {
            inner: BufWriter::with_capacity(1 << 20, file),
            hash: Sha256::new(),
            size: 0,
        };
        Ok(LayerWriter {
            tar: tar::Builder::new(sink),
        })
    }

    /// A directory.
    pub(super) fn dir(&mut self, path: &str, mode: u32) -> Result<()> {
        let mut header = header(tar::EntryType::Directory, mode);
        Ok(self
            .tar
            .append_data(&mut header, format!("{path}/"), io::empty())?)
    }

    /// A file with the given content.
    pub(super) fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> Result<()> {
        let mut header = header(tar::EntryType::Regular, mode);
        header.set_size(content.len() as u64);
        Ok(self.tar.append_data(&mut header, path, content)?)
    }

    /// A copy of a file of this machine.
    pub(super) fn copy(&mut self, path: &str, mode: u32, source: &Path) -> Result<()> {
        let content = fs::read(source).with_context(|| format!("read {}", source.display()))?;
        self.file(path, mode, &content)
    }

    /// A symbolic link.
    pub(super) fn symlink(&mut self, path: &str, target: &str) -> Result<()> {
        let mut header = header(tar::EntryType::Symlink, 0o777);
        Ok(self.tar.append_link(&mut header, path, target)?)
    }

    /// Everything below `root` that `keep` (which sees paths relative to it) does not refuse, with owners and modes.
    /// Devices and sockets are left out: the runtime makes its own.
    pub(super) fn tree(&mut self, root: &Path, keep: &dyn Fn(&Path) -> bool) -> Result<()> {
        let mut walk = Walk {
            root,
            keep,
            links: HashMap::new(),
        };
        self.subtree(&mut walk, Path::new(""))
    }

    fn subtree(&mut self, walk: &mut Walk<'_>, below: &Path) -> Result<()> {
        let dir = walk.root.join(below);
        let entries = fs::read_dir(&dir).with_context(|| format!("read {}", dir.display()))?;
        let mut names = entries
            .map(|entry| Ok(entry?.file_name()))
            .collect::<Result<Vec<_>>>()?;
        names.sort();
        for name in names {
            let path = below.join(name);
            if !(walk.keep)(&path) {
                continue;
            }
            self.entry(walk, &path)
                .with_context(|| format!("add {} to the layer", path.display()))?;
        }
        Ok(())
    }

    fn entry(&mut self, walk: &mut Walk<'_>, path: &Path) -> Result<()> {
        let full = walk.root.join(path);
        let found = fs::symlink_metadata(&full)?;
        let with_owner = |kind| {
            let mut header = header(kind, found.mode() & 0o7777);
            header.set_uid(u64::from(found.uid()));
            header.set_gid(u64::from(found.gid()));
            header
        };
        if found.is_dir() {
            let slash = PathBuf::from(format!("{}/", path.display()));
            self.tar
                .append_data(&mut with_owner(tar::EntryType::Directory), slash, io::empty())?;
            self.subtree(walk, path)?;
        } else if found.is_symlink() {
            let target = fs::read_link(&full)?;
            self.tar
                .append_link(&mut with_owner(tar::EntryType::Symlink), path, target)?;
        } else if found.is_file() {
            if found.nlink() > 1 {
                if let Some(first) = walk.links.get(&found.ino()) {
                    self.tar
                        .append_link(&mut with_owner(tar::EntryType::Link), path, first)?;
                    return Ok(());
                }
                walk.links.insert(found.ino(), path.to_owned());
            }
            let mut content = Vec::new();
            File::open(&full)?.read_to_end(&mut content)?;
            let mut header = with_owner(tar::EntryType::Regular);
            header.set_size(content.len() as u64);
            self.tar.append_data(&mut header, path, content.as_slice())?;
        }
        Ok(())
    }

    /// Ends the archive: `sha256:…` and the number of bytes.
    fn finish(self) -> Result<(String, u64)> {
        let mut sink = self.tar.into_inner()?;
        sink.inner.flush()?;
        Ok((format!("sha256:{}", hex(&sink.hash.finalize())), sink.size))
    }
}

struct Walk<'a> {
    root: &'a Path,
    keep: &'a dyn Fn(&Path) -> bool,
    /// First name of every inode with several names.
    links: HashMap<u64, PathBuf>,
}

fn header(kind: tar::EntryType, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    header
}

/// Hashes and counts what passes through.
struct Hashing<W> {
    inner: W,
    hash: Sha256,
    size: u64,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(data)?;
        self.hash.update(&data[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
