//! PURE. Which files a configMap, secret, projected or downwardAPI volume holds, and with which modes.

use crate::api::ConfigObject;
use crate::model::pod::{
    Container, DownwardFile, DownwardFiles, KeyToPath, ObjectFiles, Pod, ResourceFieldRef, SecretFiles,
};
use base64::Engine;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Component, Path, PathBuf};

/// File mode when nothing is said.
pub const DEFAULT_MODE: i32 = 0o644;

/// One file of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Content.
    pub data: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
    /// Owner; root when unset.
    pub owner: Option<u32>,
}

/// All files of a volume by relative path.
pub type Payload = BTreeMap<PathBuf, File>;

/// Why a volume has no content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A path that would leave the volume or that the volume's layout needs.
    #[error("invalid path {path:?}: {why}")]
    Path {
        /// As written.
        path: Box<str>,
        /// The rule it breaks.
        why: &'static str,
    },
    /// `items` names a key that the ConfigMap does not have.
    #[error("configmap references non-existent config key: {0}")]
    ConfigKey(Box<str>),
    /// `items` names a key that the Secret does not have.
    #[error("references non-existent secret key: {0}")]
    SecretKey(Box<str>),
    /// Data that is not base64.
    #[error("key {key:?} of {kind} {name:?} is not base64")]
    Encoding {
        /// `configmap` or `secret`.
        kind: &'static str,
        /// Object name.
        name: Box<str>,
        /// Key.
        key: Box<str>,
    },
    /// A field the downward API does not offer.
    #[error("{path}: {why}")]
    Field {
        /// Field path.
        path: Box<str>,
        /// What is wrong with it.
        why: Box<str>,
    },
}

/// A path is relative, has no `..`, does not start with `..` (the layout's own names) and fits the file system.
pub fn clean_path(path: &str) -> Result<PathBuf, Error> {
    let refuse = |why| {
        Err(Error::Path {
            path: path.into(),
            why,
        })
    };
    if path.is_empty() {
        return refuse("must not be empty");
    }
    if path.len() > 4096 {
        return refuse("must be at most 4096 bytes long");
    }
    let mut clean = PathBuf::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) if name.len() > 255 => {
                return refuse("a file name must be at most 255 bytes long");
            }
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            Component::ParentDir => return refuse("must not contain '..'"),
            Component::RootDir | Component::Prefix(_) => return refuse("must be relative"),
        }
    }
    if clean.as_os_str().is_empty() {
        return refuse("must name a file");
    }
    if clean.to_string_lossy().starts_with("..") {
        return refuse("must not start with '..'");
    }
    Ok(clean)
}

/// Permission bits of a file.
fn mode(own: Option<i32>, default: Option<i32>) -> u32 {
    // Validated to 0..=0o777 by the API server.
    u32::try_from(own.or(default).unwrap_or(DEFAULT_MODE)).unwrap_or(0o644) & 0o777
}

fn decode(kind: &'static str, name: &str, key: &str, text: &str) -> Result<Vec<u8>, Error> {
    base64::engine::general_purpose::STANDARD
        .decode(text)
        .map_err(|_| Error::Encoding {
            kind,
            name: name.into(),
            key: key.into(),
        })
}

/// Files of a ConfigMap; `None` is a missing optional one and gives an empty volume.
pub fn config_map(
    object: Option<&ConfigObject>,
    source: &ObjectFiles,
    default_mode: Option<i32>,
) -> Result<Payload, Error> {
    let Some(object) = object else {
        return Ok(Payload::new());
    };
    let mut keys: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
    for (key, text) in &object.data {
        keys.insert(key, text.as_bytes().to_vec());
    }
    for (key, text) in &object.binary_data {
        keys.insert(key, decode("configmap", &source.name, key, text)?);
    }
    select(
        keys,
        &source.items,
        default_mode,
        source.optional,
        Error::ConfigKey,
    )
}

/// Files of a Secret; `None` is a missing optional one and gives an empty volume.
pub fn secret(
    object: Option<&ConfigObject>,
    source: &SecretFiles,
    default_mode: Option<i32>,
) -> Result<Payload, Error> {
    let Some(object) = object else {
        return Ok(Payload::new());
    };
    let mut keys: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
    for (key, text) in &object.data {
        keys.insert(key, decode("secret", &source.secret_name, key, text)?);
    }
    select(
        keys,
        &source.items,
        default_mode,
        source.optional,
        Error::SecretKey,
    )
}

fn select(
    mut keys: BTreeMap<&str, Vec<u8>>,
    items: &[KeyToPath],
    default_mode: Option<i32>,
    optional: Option<bool>,
    missing: fn(Box<str>) -> Error,
) -> Result<Payload, Error> {
    let mut payload = Payload::new();
    if items.is_empty() {
        for (key, data) in keys {
            payload.insert(
                clean_path(key)?,
                File {
                    data,
                    mode: mode(None, default_mode),
                    owner: None,
                },
            );
        }
        return Ok(payload);
    }
    for item in items {
        let data = match keys.get_mut(&*item.key) {
            Some(data) => data.clone(),
            None if optional == Some(true) => continue,
            None => return Err(missing(item.key.clone())),
        };
        payload.insert(
            clean_path(&item.path)?,
            File {
                data,
                mode: mode(item.mode, default_mode),
                owner: None,
            },
        );
    }
    Ok(payload)
}

/// Gives the value of a `resourceFieldRef`; the message says what is wrong with the field.
pub type ResourceValue<'a> = &'a (dyn Fn(&ResourceFieldRef) -> Result<String, String> + Sync);

/// Files from the Pod's own fields.
pub fn downward(
    pod: &Pod,
    source: &DownwardFiles,
    default_mode: Option<i32>,
    resource: ResourceValue<'_>,
) -> Result<Payload, Error> {
    let mut payload = Payload::new();
    for item in &source.items {
        let data = downward_value(pod, item, resource)?.into_bytes();
        payload.insert(
            clean_path(&item.path)?,
            File {
                data,
                mode: mode(item.mode, default_mode),
                owner: None,
            },
        );
    }
    Ok(payload)
}

fn downward_value(pod: &Pod, item: &DownwardFile, resource: ResourceValue<'_>) -> Result<String, Error> {
    if let Some(field) = &item.field_ref {
        return field_value(pod, &field.field_path).ok_or_else(|| Error::Field {
            path: field.field_path.clone(),
            why: "not a field a volume can hold".into(),
        });
    }
    let Some(wanted) = &item.resource_field_ref else {
        return Err(Error::Field {
            path: item.path.clone(),
            why: "neither fieldRef nor resourceFieldRef is set".into(),
        });
    };
    resource(wanted).map_err(|why| Error::Field {
        path: wanted.resource.clone(),
        why: why.into(),
    })
}

/// The fields a volume may hold: whole label and annotation maps, single entries, name, namespace, uid.
fn field_value(pod: &Pod, path: &str) -> Option<String> {
    let meta = &pod.metadata;
    match path {
        "metadata.name" => return Some(meta.name.to_string()),
        "metadata.namespace" => return Some(meta.namespace.to_string()),
        "metadata.uid" => return Some(meta.uid.to_string()),
        "metadata.labels" => return Some(map_text(&meta.labels)),
        "metadata.annotations" => return Some(map_text(&meta.annotations)),
        _ => {}
    }
    let (map, key) = match path.strip_prefix("metadata.labels['") {
        Some(rest) => (&meta.labels, rest),
        None => (&meta.annotations, path.strip_prefix("metadata.annotations['")?),
    };
    let key = key.strip_suffix("']")?;
    Some(map.get(key).map(|v| v.to_string()).unwrap_or_default())
}

/// `key="value"` a line, sorted, values quoted as Go's `%q` does.
fn map_text(map: &BTreeMap<Box<str>, Box<str>>) -> String {
    let lines: Vec<String> = map.iter().map(|(k, v)| format!("{k}={}", quote(v))).collect();
    lines.join("\n")
}

fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() && c.is_ascii() => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The uid all containers agree to run as; service account tokens then belong to it.
pub fn common_user(pod: &Pod) -> Option<u32> {
    let pod_user = pod.spec.security_context.run_as_user;
    let user_of = |c: &Container| c.security_context.run_as_user.or(pod_user);
    let mut users = pod
        .spec
        .init_containers
        .iter()
        .chain(&pod.spec.containers)
        .map(user_of);
    let first = users.next()??;
    users
        .all(|user| user == Some(first))
        .then(|| u32::try_from(first).ok())
        .flatten()
}

#[cfg(test)]
mod tests;
