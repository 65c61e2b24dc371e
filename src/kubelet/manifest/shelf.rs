//! PURE. What each manifest last said, and what of it counts now.
//!
//! A file that is bad now but was good before keeps its Pod while changes are followed: an editor may just be writing
//! it. The audit is stricter: what is bad then has been so for a while, and its Pod goes, as on upstream.

use super::Manifest;
use super::parse::Parsed;
use crate::model::pod;
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// All files, by path.
#[derive(Debug, Default)]
pub struct Shelf {
    files: BTreeMap<String, File>,
}

#[derive(Debug, Default)]
struct File {
    /// The Pod as parsed, and as it runs since it was first seen.
    good: Option<(Parsed, Manifest)>,
    /// What was last said about it.
    said: Vec<String>,
    /// The file that describes a Pod of the same name and counts.
    behind: Option<String>,
}

/// What a look at the path has found in each file.
pub type Look = BTreeMap<String, Result<Parsed, String>>;

impl Shelf {
    /// Takes over a complete look. Returns what is to be said now: files and what is wrong with them.
    pub fn take(&mut self, look: Look, audit: bool, now: Timestamp) -> Vec<(String, String)> {
        self.files.retain(|path, _| look.contains_key(path));
        let mut news = Vec::new();
        for (path, found) in look {
            let file = self.files.entry(path.clone()).or_default();
            let said = match found {
                Ok(parsed) => file.accept(parsed, now),
                Err(problem) => {
                    if audit {
                        file.good = None;
                    }
                    vec![problem]
                }
            };
            if said != file.said {
                news.extend(said.iter().map(|text| (path.clone(), text.clone())));
                file.said = said;
            }
        }
        news.extend(self.name_twice());
        news
    }

    /// The static Pods there are: one for each name, the last file's.
    pub fn manifests(&self) -> Vec<Manifest> {
        let mut by_name = BTreeMap::new();
        for (_, manifest) in self.files.values().filter_map(|file| file.good.as_ref()) {
            by_name.insert(manifest.pod.metadata.key(), manifest.clone());
        }
        by_name.into_values().collect()
    }

    /// Files whose Pod another file replaces, when that is new.
    fn name_twice(&mut self) -> Vec<(String, String)> {
        let mut last: BTreeMap<_, String> = BTreeMap::new();
        for (path, file) in &self.files {
            if let Some((_, manifest)) = &file.good {
                last.insert(manifest.pod.metadata.key(), path.clone());
            }
        }
        let mut news = Vec::new();
        for (path, file) in &mut self.files {
            let key = file
                .good
                .as_ref()
                .map(|(_, manifest)| manifest.pod.metadata.key());
            let behind = key.and_then(|key| last.get(&key)).filter(|other| *other != path);
            if let Some(other) = behind.filter(|_| behind != file.behind.as_ref()) {
                news.push((
                    path.clone(),
                    format!("metadata.name: {other} describes a Pod of this name and counts"),
                ));
            }
            file.behind = behind.cloned();
        }
        news
    }
}

impl File {
    /// Takes over a Pod; one that says the same as before was first seen before. Returns what is to be said of it.
    fn accept(&mut self, parsed: Parsed, now: Timestamp) -> Vec<String> {
        let same = self.good.as_ref().is_some_and(|(before, _)| *before == parsed);
        let said = |unknown: &String| format!("{unknown}: no Pod has such a field, it means nothing");
        let said = parsed.unknown.iter().map(said).collect();
        if !same {
            let manifest = seen(&parsed.manifest, now);
            self.good = Some((parsed, manifest));
        }
        said
    }
}

/// The Pod with the time it was first seen at.
fn seen(manifest: &Manifest, now: Timestamp) -> Manifest {
    let mut pod = Arc::clone(&manifest.pod);
    let mut object = Arc::clone(&manifest.object);
    let time = now.to_string();
    Arc::make_mut(&mut pod)
        .metadata
        .annotations
        .insert(pod::CONFIG_SEEN.into(), time.as_str().into());
    Arc::make_mut(&mut object)["metadata"]["annotations"][pod::CONFIG_SEEN] = Value::from(time);
    Manifest { pod, object }
}

#[cfg(test)]
mod tests;
