//! Ranges of the node's user ids for Pods with a user namespace of their own (`hostUsers: false`, KEP-127).
//!
//! A Pod's range is in the file `userns` of its directory, as kubelet's is; what has no file is free. So a range comes back
//! with the directory, and neither a restart nor a change of agents gives one away twice.

use crate::cri::v1;
use crate::kubelet::dirs::Dirs;
use crate::model::PodUid;
use crate::sys::fs;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io;
use std::sync::{Mutex, PoisonError};

/// Name of the file.
const FILE: &str = "userns";

/// PURE. The ids there are for Pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// The first one; those below are the node's own.
    first: u32,
    /// Ids of one Pod.
    length: u32,
    /// For how many Pods they are; not 0.
    pods: u32,
}

impl Ids {
    /// All that are not the node's own, `length` for each Pod.
    pub fn all(length: u32) -> Self {
        Self {
            first: length,
            length,
            pods: u32::MAX / length,
        }
    }

    /// Those that a line of `getsubids` names, as `0: kubelet 65536 7208960`; they must do for `pods` Pods.
    pub fn of_subids(output: &str, length: u32, pods: u32) -> Result<Self, String> {
        let lines: Vec<&str> = output.lines().collect();
        let [line] = *lines else {
            return Err(format!(
                "error parsing line {output:?}: it must contain only one line"
            ));
        };
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, _, first, count] = *words else {
            return Err(format!("invalid line {line:?}"));
        };
        let number = |word: &str| {
            word.parse::<u32>()
                .map_err(|error| format!("error parsing line {line:?}: {error}"))
        };
        let (first, count) = (number(first)?, number(count)?);
        if first % length != 0 {
            return Err(format!(
                "kubelet user assigned ID {first} is not a multiple of {length}"
            ));
        }
        if first < length {
            return Err(format!(
                "kubelet user assigned ID {first} must be greater or equal to {length}"
            ));
        }
        if count % length != 0 {
            return Err(format!(
                "kubelet user assigned IDs length {count} is not a multiple of {length}"
            ));
        }
        let found = count / length;
        if found < pods.max(1) {
            return Err(format!(
                "kubelet user assigned IDs are not enough to support {pods} pods"
            ));
        }
        Ok(Self {
            first,
            length,
            pods: found,
        })
    }
}

/// Gives ranges to Pods.
#[derive(Debug)]
pub struct UserRanges {
    dirs: Dirs,
    ids: Ids,
    /// Held while a range is chosen and written down.
    choosing: Mutex<()>,
}

impl UserRanges {
    /// Ranges of these ids.
    pub fn new(dirs: Dirs, ids: Ids) -> Self {
        Self {
            dirs,
            ids,
            choosing: Mutex::default(),
        }
    }

    /// The Pod's range, from now on if it had none. Reads the disk.
    pub fn of(&self, uid: &PodUid) -> io::Result<v1::UserNamespace> {
        let _turn = self.choosing.lock().unwrap_or_else(PoisonError::into_inner);
        let first = match self.read(uid)? {
            Some(first) => first,
            None => {
                let first = choose(&self.taken()?, self.ids, uid).ok_or_else(|| {
                    io::Error::other("could not find an empty slot to allocate a user namespace")
                })?;
                let dir = self.dirs.pod(uid);
                std::fs::create_dir_all(&dir)?;
                fs::write_atomic(
                    &dir.join(FILE),
                    &Mappings::new(first, self.ids.length).json(),
                    0o600,
                )?;
                first
            }
        };
        Ok(mapped(first, self.ids.length))
    }

    /// First ids of the ranges of all Pods that have a directory.
    fn taken(&self) -> io::Result<BTreeSet<u32>> {
        let pods = match std::fs::read_dir(self.dirs.pods()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
            pods => pods?,
        };
        let mut taken = BTreeSet::new();
        for pod in pods {
            let name = pod?.file_name();
            taken.extend(self.read(&name.to_string_lossy().as_ref().into())?);
        }
        Ok(taken)
    }

    fn read(&self, uid: &PodUid) -> io::Result<Option<u32>> {
        let path = self.dirs.pod(uid).join(FILE);
        let text = match std::fs::read(&path) {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(None);
            }
            text => text?,
        };
        let first = parse(&text, self.ids.length);
        // To choose another one would leave the Pod's files to strangers.
        first.map(Some).map_err(|why| {
            let text = format!("{}: invalid user namespace configuration: {why}", path.display());
            io::Error::new(io::ErrorKind::InvalidData, text)
        })
    }
}

/// The namespace of Pods without one of their own.
pub fn hosts() -> v1::UserNamespace {
    v1::UserNamespace {
        mode: v1::NamespaceMode::Node.into(),
        ..v1::UserNamespace::default()
    }
}

/// PURE. A range as the runtime is told.
fn mapped(first: u32, length: u32) -> v1::UserNamespace {
    let ids = vec![v1::IdMapping {
        host_id: first,
        container_id: 0,
        length,
    }];
    v1::UserNamespace {
        mode: v1::NamespaceMode::Pod.into(),
        uids: ids.clone(),
        gids: ids,
    }
}

/// PURE. A free range: the first one from a place that depends on the Pod, so that the ids of a Pod that is gone are not the
/// next one's, should it have left files somewhere.
fn choose(taken: &BTreeSet<u32>, ids: Ids, uid: &PodUid) -> Option<u32> {
    let seed = uid.as_str().bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    let count = ids.pods;
    let nth = |step: u32| (seed % count).wrapping_add(step) % count;
    (0..count)
        .filter_map(|step| nth(step).checked_mul(ids.length)?.checked_add(ids.first))
        .find(|first| !taken.contains(first))
}

/// The file, as upstream writes it.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mappings {
    uid_mappings: Vec<Mapping>,
    gid_mappings: Vec<Mapping>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mapping {
    host_id: u32,
    container_id: u32,
    length: u32,
}

impl Mappings {
    fn new(first: u32, length: u32) -> Self {
        let ids = vec![Mapping {
            host_id: first,
            container_id: 0,
            length,
        }];
        Self {
            uid_mappings: ids.clone(),
            gid_mappings: ids,
        }
    }

    fn json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// PURE. The first id of the range in a file.
fn parse(text: &[u8], length: u32) -> Result<u32, String> {
    let mappings: Mappings = serde_json::from_slice(text).map_err(|e| e.to_string())?;
    let [ids] = &*mappings.uid_mappings else {
        return Err("no more than one mapping allowed".into());
    };
    let first = ids.host_id;
    if mappings != Mappings::new(first, ids.length) {
        return Err("it must map user and group 0, both to the same range".into());
    }
    if ids.length != length {
        return Err(format!("wrong user namespace length {}", ids.length));
    }
    if first < length || first % length != 0 {
        return Err(format!("wrong user namespace offset specified {first}"));
    }
    Ok(first)
}

#[cfg(test)]
mod tests;
