//! PURE. Which images are unused, since when, and which of them go.

use crate::config::ImageGcConfig;
use crate::cri::v1;
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What is known of an image.
#[derive(Clone, Debug, PartialEq)]
struct Record {
    /// When it was first seen.
    found: Timestamp,
    /// When a container last had it.
    used: Option<Timestamp>,
    size: u64,
    pinned: bool,
}

/// All images by id.
#[derive(Clone, Debug, Default)]
pub struct Records(BTreeMap<Box<str>, Record>);

/// An image nobody uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unused {
    /// Its id.
    pub id: Box<str>,
    /// Bytes.
    pub size: u64,
    /// When it was first seen.
    found: Timestamp,
    /// When a container last had it, as far as this agent has seen.
    used: Option<Timestamp>,
}

impl Records {
    /// Takes over what is there, and returns what nobody uses: the one that was not used for longest first. Pinned
    /// images never are among them.
    pub fn look(&mut self, images: &[v1::Image], in_use: &BTreeSet<String>, now: Timestamp) -> Vec<Unused> {
        self.0
            .retain(|id, _| images.iter().any(|image| *image.id == **id));
        for image in images {
            let record = self.0.entry(image.id.as_str().into()).or_insert(Record {
                found: now,
                used: None,
                size: 0,
                pinned: false,
            });
            record.size = image.size;
            record.pinned = image.pinned;
            if in_use.contains(&image.id) {
                record.used = Some(now);
            }
        }
        let unused = self
            .0
            .iter()
            .filter(|(id, record)| !record.pinned && !in_use.contains(&***id));
        let mut unused: Vec<Unused> = unused
            .map(|(id, record)| Unused {
                id: id.clone(),
                size: record.size,
                found: record.found,
                used: record.used,
            })
            .collect();
        unused.sort_by_key(|image| (image.used, image.found));
        unused
    }

    /// It was removed.
    pub fn forget(&mut self, id: &str) {
        self.0.remove(id);
    }
}

/// Images that were not used for longer than `imageMaximumGCAge`; an agent that has not run that long cannot know.
pub fn old<'a>(
    unused: &'a [Unused],
    config: &ImageGcConfig,
    (began, now): (Timestamp, Timestamp),
) -> impl Iterator<Item = &'a Unused> {
    let most = signed(config.max_age);
    let knows = !config.max_age.is_zero() && now.duration_since(began) > most;
    // One that this agent has never seen in use counts as if it had not been used for ever.
    let is_old = move |image: &&Unused| image.used.is_none_or(|used| now.duration_since(used) > most);
    unused.iter().filter(move |image| knows && is_old(image))
}

/// Images to remove, in order, until `bytes` are free; those that have just come are kept, since a container may be
/// about to start.
pub fn to_free(unused: &[Unused], bytes: u64, min_age: Duration, now: Timestamp) -> Vec<&Unused> {
    let min_age = signed(min_age);
    let mut freed = 0_u64;
    let mut chosen = Vec::new();
    for image in unused
        .iter()
        .filter(|image| now.duration_since(image.found) >= min_age)
    {
        if freed >= bytes {
            break;
        }
        freed = freed.saturating_add(image.size);
        chosen.push(image);
    }
    chosen
}

/// What has to be freed on a disk, and how full it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Excess {
    /// Bytes to free.
    pub bytes: u64,
    /// How much is used, percent.
    pub percent: u64,
}

/// Whether a disk is so full that images have to go; nothing for a disk of no size.
pub fn excess(capacity: u64, available: u64, config: &ImageGcConfig) -> Option<Excess> {
    if capacity == 0 {
        return None;
    }
    let wide = |value: u64| u128::from(value);
    let narrow = |value: u128| u64::try_from(value).unwrap_or(u64::MAX);
    let available = available.min(capacity);
    let percent = 100 - narrow(wide(available) * 100 / wide(capacity));
    if percent < u64::from(config.high) {
        return None;
    }
    let wanted = wide(capacity) * u128::from(100 - config.low.min(100)) / 100;
    Some(Excess {
        bytes: narrow(wanted).saturating_sub(available),
        percent,
    })
}

/// Upstream's words for a disk on which removing images was not enough.
pub fn not_enough(excess: Excess, capacity: u64, freed: u64) -> String {
    format!(
        "Insufficient free disk space on the node's image filesystem ({}% of {} used). Failed to free sufficient space \
         by deleting unused images (freed {freed} bytes). Investigate disk usage, as it could be used by active images, \
         logs, volumes, or other data.",
        excess.percent,
        size(capacity)
    )
}

#[expect(clippy::cast_precision_loss, reason = "a number for people, with one decimal")]
fn size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] = [
        ("TiB", 1 << 40),
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
    ];
    match UNITS.iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) => format!("{:.1} {name}", bytes as f64 / *unit as f64),
        None => format!("{bytes} B"),
    }
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
mod tests;
