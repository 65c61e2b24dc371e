//! Upstream's files about pulled images, below `image_manager` in kubelet's directory. `access` says what they mean.

use super::access::{Intent, Proofs, Record};
use super::keyring::hex;
use crate::cri::v1;
use crate::sys::fs::{remove_file, write_atomic};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

const PREFIX: &str = "sha256-";

/// What is known of an image that is there.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Known {
    /// This agent, or kubelet before it, has pulled it.
    pub(super) ours: bool,
    /// With what; `None` when that is not known, or cannot be read.
    pub(super) record: Option<Record>,
}

/// The files. Every call is short and blocks; the lock makes each of them one step.
#[derive(Debug)]
pub(super) struct Ledger {
    pulling: PathBuf,
    pulled: PathBuf,
    /// Pulls under way by image.
    under_way: Mutex<HashMap<Box<str>, u32>>,
}

impl Ledger {
    pub(super) fn new(root: &Path) -> Self {
        let dir = root.join("image_manager");
        Self {
            pulling: dir.join("pulling"),
            pulled: dir.join("pulled"),
            under_way: Mutex::default(),
        }
    }

    /// Runs a call where it may block.
    pub(super) async fn with<T: Send + 'static>(
        self: &Arc<Self>,
        call: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> io::Result<T> {
        let ledger = self.clone();
        let done = tokio::task::spawn_blocking(move || call(&ledger)).await;
        done.map_err(io::Error::other)
    }

    /// Notes that an image is about to be pulled. From now on it is one of ours, whatever happens.
    pub(super) fn begin(&self, image: &str) -> io::Result<()> {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        write(&self.pulling, image, &Intent::new(image))?;
        *under_way.entry(image.into()).or_default() += 1;
        Ok(())
    }

    /// The pull has ended; `pulled` is the runtime's name of the image, and what it was pulled with. When that cannot
    /// be written, the note that it was about to be pulled stays, and with it that the image is ours.
    pub(super) fn end(&self, image: &str, pulled: Option<(&str, &Proofs)>) -> io::Result<()> {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let left = under_way.remove(image).unwrap_or_default().saturating_sub(1);
        if left > 0 {
            under_way.insert(image.into(), left);
        }
        if let Some((image_ref, proofs)) = pulled {
            self.write_record(image, image_ref, proofs)?;
        }
        if left == 0 {
            remove_file(&self.pulling.join(file_name(image)))?;
        }
        Ok(())
    }

    /// What is known of an image by its name and the runtime's.
    pub(super) fn look(&self, image: &str, image_ref: &str) -> Known {
        let under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let record = read::<Record>(&self.pulled.join(file_name(image_ref)));
        let begun = || match read::<Intent>(&self.pulling.join(file_name(image))) {
            Ok(intent) => intent.is_some_and(|intent| *intent.image == *image),
            Err(_) => true,
        };
        match record {
            Ok(Some(record)) if *record.image_ref == *image_ref => Known {
                ours: true,
                record: Some(record),
            },
            Ok(_) => Known {
                ours: under_way.contains_key(image) || begun(),
                record: None,
            },
            Err(error) => {
                tracing::warn!(image, %error, "the record of the image's pull is passed by");
                Known {
                    ours: true,
                    record: None,
                }
            }
        }
    }

    /// Adds proofs to an image's record.
    pub(super) fn learn(&self, image: &str, image_ref: &str, proofs: &Proofs) -> io::Result<()> {
        let _one = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        self.write_record(image, image_ref, proofs)
    }

    fn write_record(&self, image: &str, image_ref: &str, proofs: &Proofs) -> io::Result<()> {
        let now = Timestamp::now();
        let known = read::<Record>(&self.pulled.join(file_name(image_ref)));
        let known = known.ok().flatten().filter(|r| *r.image_ref == *image_ref);
        let is_new = known.is_none();
        let mut record = known.unwrap_or_else(|| Record::new(image_ref, now));
        if record.learn(image, proofs, now) || is_new {
            write(&self.pulled, image_ref, &record)?;
        }
        Ok(())
    }

    /// Images whose pull was under way when the agent ended.
    pub(super) fn left_over(&self) -> Vec<Box<str>> {
        let intents = read_all::<Intent>(&self.pulling).into_iter();
        intents.map(|intent| intent.image).collect()
    }

    /// Those of the left-over pulls whose image is there are done, with nobody knows what credentials.
    pub(super) fn adopt(&self, left_over: &[Box<str>], images: &[v1::Image]) {
        for image in images {
            let names = image.repo_digests.iter().chain(&image.repo_tags);
            for name in names.filter(|name| left_over.iter().any(|left| **left == ***name)) {
                let _one = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
                let done = self
                    .write_record(name, &image.id, &Proofs::default())
                    .and_then(|()| remove_file(&self.pulling.join(file_name(name))));
                if let Err(error) = done {
                    tracing::warn!(image = name, %error, "the image keeps counting as being pulled");
                }
            }
        }
    }

    /// How many pulls that have begun, and that are done, have a file.
    pub(super) fn count(&self) -> (usize, usize) {
        (files(&self.pulling).count(), files(&self.pulled).count())
    }

    /// Forgets images that are gone, unless they have come since.
    pub(super) fn prune(&self, there: &BTreeSet<String>, since: Timestamp) {
        let _one = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        for record in read_all::<Record>(&self.pulled) {
            if record.last_updated_time >= since || there.contains(&*record.image_ref) {
                continue;
            }
            if let Err(error) = remove_file(&self.pulled.join(file_name(&record.image_ref))) {
                tracing::warn!(image = %record.image_ref, %error, "the record of a removed image stays");
            }
        }
    }
}

fn file_name(name: &str) -> String {
    format!("{PREFIX}{}", hex(&Sha256::digest(name.as_bytes())))
}

fn write(dir: &Path, name: &str, content: &impl serde::Serialize) -> io::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)?;
    let mut text = serde_json::to_vec(content).map_err(io::Error::other)?;
    text.push(b'\n');
    write_atomic(&dir.join(file_name(name)), &text, 0o600)
}

fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let named = |error| io::Error::other(format!("{}: {error}", path.display()));
    serde_json::from_slice(&text).map(Some).map_err(named)
}

/// The whole files of a directory.
fn files(dir: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let ours = entries.filter(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with(PREFIX) && !name.ends_with(".tmp")
    });
    ours.map(|entry| entry.path())
}

/// All files of a directory that can be read; the others are told.
fn read_all<T: DeserializeOwned>(dir: &Path) -> Vec<T> {
    let read = |path: PathBuf| {
        read(&path).unwrap_or_else(|error| {
            tracing::warn!(%error, "a record about images is passed by");
            None
        })
    };
    files(dir).filter_map(read).collect()
}

#[cfg(test)]
mod tests;
