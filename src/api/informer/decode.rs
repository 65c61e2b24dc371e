//! PURE. Lists and watch events as text into objects, each on its own: one that cannot be decoded harms only itself.

use crate::model::{Meta, NamespacedName, Object};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::fmt;

/// One page of a list.
#[derive(Debug)]
pub struct Page<T> {
    /// Objects in the server's order.
    pub items: Vec<Item<T>>,
    /// Version of the whole list.
    pub version: Box<str>,
    /// Token of the next page; empty on the last.
    pub next: Box<str>,
}

/// An object, or why it is none.
pub type Item<T> = Result<T, Bad>;

/// An object that cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    /// Which one.
    pub key: NamespacedName,
    /// Field and reason.
    pub problem: String,
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot be decoded: {}", self.key, self.problem)
    }
}

#[derive(Deserialize)]
struct RawList<'a> {
    metadata: ListMeta,
    /// `null` for an empty list of some servers.
    #[serde(borrow)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ListMeta {
    resource_version: Box<str>,
    #[serde(rename = "continue")]
    next: Box<str>,
}

/// Decodes a list; the error is about the list as a whole.
pub fn page<T: Object>(bytes: &[u8]) -> Result<Page<T>, String> {
    let list: RawList<'_> = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    let items = list.items.unwrap_or_default().into_iter().map(item).collect();
    Ok(Page {
        items,
        version: list.metadata.resource_version,
        next: list.metadata.next,
    })
}

/// One event of a watch, its object not decoded yet.
#[derive(Debug, Deserialize)]
pub struct Event<'a> {
    /// `ADDED`, `MODIFIED`, `DELETED`, `BOOKMARK` or `ERROR`.
    #[serde(rename = "type")]
    pub kind: &'a str,
    /// The object, or a `Status` with `ERROR`.
    #[serde(borrow)]
    pub object: &'a RawValue,
}

/// The part of any object that names it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Head {
    /// Metadata.
    pub metadata: Meta,
}

/// `metav1.Status` of an `ERROR` event.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Status {
    /// HTTP code; 410 when the version is too old.
    pub code: u16,
    /// `Expired`, …
    pub reason: Box<str>,
    /// Words of the server.
    pub message: Box<str>,
}

/// Decodes one object.
pub fn item<T: Object>(raw: &RawValue) -> Item<T> {
    serde_json::from_str(raw.get()).map_err(|_| {
        // Once more, slower, for the field's path.
        let mut json = serde_json::Deserializer::from_str(raw.get());
        let problem = match serde_path_to_error::deserialize::<_, T>(&mut json) {
            Ok(_) => "it decodes only in part".to_owned(),
            Err(error) => format!("{}: {}", error.path(), error.inner()),
        };
        Bad {
            key: head(raw).metadata.key(),
            problem,
        }
    })
}

/// Who an object is, as far as that can be read.
pub fn head(raw: &RawValue) -> Head {
    serde_json::from_str(raw.get()).unwrap_or_default()
}
