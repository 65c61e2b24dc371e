//! Answers of a program, as long as they hold.

use super::Annotations;
use crate::kubelet::images::keyring::{Coordinates, Logins, hex};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use tokio::time::Instant;

/// In whose name a program was asked; empty for nobody's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Asked(String);

impl Asked {
    /// A service account, what is told of it, and its token where answers are for that only.
    pub(super) fn new(at: &Coordinates, annotations: &Annotations, token: Option<&str>) -> Self {
        let token = token.map(|token| hex(&Sha256::digest(token.as_bytes())));
        Self(format!(
            "{:?}",
            (&at.namespace, &at.name, &at.uid, annotations, token)
        ))
    }
}

/// What an answer is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// One image.
    Image(Box<str>),
    /// All of a registry.
    Registry(Box<str>),
    /// All the program is asked about.
    Global,
}

impl Key {
    /// The registry of an image.
    pub(super) fn registry(image: &str) -> Self {
        Self::Registry(image.split('/').next().unwrap_or_default().into())
    }
}

/// Answers with the moment they end.
#[derive(Default)]
pub(super) struct Cache(HashMap<(Key, Asked), (Instant, Logins)>);

impl Cache {
    /// An answer that still holds: for the image, its registry, or everything.
    pub(super) fn get(&self, image: &str, asked: &Asked, now: Instant) -> Option<Logins> {
        let keys = [Key::Image(image.into()), Key::registry(image), Key::Global];
        let entries = keys
            .into_iter()
            .filter_map(|key| self.0.get(&(key, asked.clone())));
        let mut fresh = entries.filter(|(until, _)| now <= *until);
        fresh.next().map(|(_, logins)| logins.clone())
    }

    /// Keeps an answer for a while; forgets those that hold no more.
    pub(super) fn put(&mut self, key: Key, asked: Asked, logins: Logins, (now, until): (Instant, Instant)) {
        self.0.retain(|_, (until, _)| now <= *until);
        self.0.insert((key, asked), (until, logins));
    }
}
