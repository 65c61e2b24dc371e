//! PURE. The environment of a container: literals with `$(VAR)`, Pod fields, resources, ConfigMaps, Secrets, and the
//! variables that name Services.
//!
//! What has to be read first is said by [`references`] and [`files`]; then [`resolve`] needs no IO. Order is the declared one, so a
//! container gets the same environment at every start.

mod expand;
mod fields;
mod file;
mod services;
#[cfg(test)]
mod tests;

pub use expand::expand;
pub use fields::{field, resource_field};
pub use file::{EnvFile, Place, files};
pub use services::{ServiceEnv, ServicePort};

use crate::api::ConfigObject;
use crate::model::pod::{Container, EnvVarSource, KeyRef, Pod, Quantity};
use base64::Engine;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// Why a container has no environment; the reason is `CreateContainerConfigError`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A ConfigMap or Secret that does not exist and is not optional.
    #[error("{kind} \"{name}\" not found")]
    Missing {
        /// `configmap` or `secret`.
        kind: &'static str,
        /// Its name.
        name: Box<str>,
    },
    /// A key that does not exist and is not optional.
    #[error("couldn't find key {key} in {kind} {object}")]
    Key {
        /// `ConfigMap` or `Secret`.
        kind: &'static str,
        /// Namespace and name.
        object: String,
        /// The key.
        key: Box<str>,
    },
    /// A value that cannot become a variable.
    #[error("{kind} {object}: key {key} is not UTF-8 text")]
    NotText {
        /// `ConfigMap` or `Secret`.
        kind: &'static str,
        /// Namespace and name.
        object: String,
        /// The key.
        key: Box<str>,
    },
    /// A file of variables.
    #[error(transparent)]
    File(#[from] file::Error),
    /// A field the downward API does not offer to variables, or a resource that cannot be read.
    #[error("env {variable}: {path}: {cause}")]
    Field {
        /// The variable.
        variable: Box<str>,
        /// Field path or resource.
        path: Box<str>,
        /// What is wrong with it.
        cause: String,
    },
}

/// What kind of object a variable comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A ConfigMap.
    ConfigMap,
    /// A Secret.
    Secret,
}

/// An object that the environment of a Pod needs, in the Pod's namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// ConfigMap or Secret.
    pub kind: Kind,
    /// Its name.
    pub name: Box<str>,
}

/// Objects fetched for a Pod, by name. One that does not exist is simply not in it.
#[derive(Clone, Debug, Default)]
pub struct EnvObjects {
    /// ConfigMaps.
    pub config_maps: BTreeMap<Box<str>, Arc<ConfigObject>>,
    /// Secrets.
    pub secrets: BTreeMap<Box<str>, Arc<ConfigObject>>,
    /// Files in volumes.
    pub files: BTreeMap<Place, EnvFile>,
}

/// Everything an environment is made from.
#[derive(Clone, Copy, Debug)]
pub struct EnvInput<'a> {
    /// The Pod.
    pub pod: &'a Pod,
    /// The container or init container.
    pub container: &'a Container,
    /// Addresses of the Pod; the node's for a host-network Pod.
    pub pod_ips: &'a [IpAddr],
    /// Addresses of the node.
    pub host_ips: &'a [IpAddr],
    /// What [`references`] and [`files`] asked for.
    pub objects: &'a EnvObjects,
    /// Services that have a cluster IP, of any namespace; those that do not concern the Pod are skipped.
    pub services: &'a [ServiceEnv],
    /// The node's allocatable resources, which stand in for limits that are not set.
    pub allocatable: &'a BTreeMap<Box<str>, Quantity>,
}

/// The ConfigMaps and Secrets that the environment of a container needs.
pub fn references(container: &Container) -> Vec<Reference> {
    let reference = |kind, name: &str| Reference {
        kind,
        name: name.into(),
    };
    let mut found = Vec::new();
    for from in &container.env_from {
        found.extend(
            from.config_map_ref
                .as_ref()
                .map(|r| reference(Kind::ConfigMap, &r.name)),
        );
        found.extend(from.secret_ref.as_ref().map(|r| reference(Kind::Secret, &r.name)));
    }
    for source in container.env.iter().filter_map(|e| e.value_from.as_ref()) {
        found.extend(
            source
                .config_map_key_ref
                .as_ref()
                .map(|r| reference(Kind::ConfigMap, &r.name)),
        );
        found.extend(
            source
                .secret_key_ref
                .as_ref()
                .map(|r| reference(Kind::Secret, &r.name)),
        );
    }
    found
}

/// The environment of a container: `envFrom` first, then `env` in its order (a later variable replaces an earlier one),
/// then the Service variables nothing else has set.
pub fn resolve(input: &EnvInput<'_>) -> Result<Vec<(String, String)>, Error> {
    let services = services::variables(input);
    let mut env = Variables::default();
    for from in &input.container.env_from {
        if let Some(r) = &from.config_map_ref {
            all_keys(
                input,
                Kind::ConfigMap,
                &r.name,
                r.optional,
                &from.prefix,
                &mut env,
            )?;
        }
        if let Some(r) = &from.secret_ref {
            all_keys(input, Kind::Secret, &r.name, r.optional, &from.prefix, &mut env)?;
        }
    }
    for variable in &input.container.env {
        let value = match &variable.value_from {
            Some(source) if variable.value.is_empty() => match from_source(input, &variable.name, source)? {
                Some(value) => value,
                None => continue,
            },
            _ => expand(&variable.value, |name| {
                env.get(name)
                    .or_else(|| services.get(name))
                    .map(ToOwned::to_owned)
            }),
        };
        env.set(&variable.name, value);
    }
    for (name, value) in services.list {
        if env.get(&name).is_none() {
            env.set(&name, value);
        }
    }
    Ok(env.list)
}

/// Variables in the order they were first set.
#[derive(Default)]
struct Variables {
    list: Vec<(String, String)>,
    index: BTreeMap<String, usize>,
}

impl Variables {
    fn get(&self, name: &str) -> Option<&str> {
        self.index.get(name).map(|at| &*self.list[*at].1)
    }
    fn set(&mut self, name: &str, value: String) {
        match self.index.get(name) {
            Some(at) => self.list[*at].1 = value,
            None => {
                self.index.insert(name.to_owned(), self.list.len());
                self.list.push((name.to_owned(), value));
            }
        }
    }
}

/// A fetched object; `None` when it is missing and may be.
fn object<'a>(
    input: &EnvInput<'a>,
    kind: Kind,
    name: &str,
    optional: Option<bool>,
) -> Result<Option<&'a ConfigObject>, Error> {
    let (found, kind) = match kind {
        Kind::ConfigMap => (input.objects.config_maps.get(name), "configmap"),
        Kind::Secret => (input.objects.secrets.get(name), "secret"),
    };
    match found {
        Some(object) => Ok(Some(object)),
        None if optional == Some(true) => Ok(None),
        None => Err(Error::Missing {
            kind,
            name: name.into(),
        }),
    }
}

fn all_keys(
    input: &EnvInput<'_>,
    kind: Kind,
    name: &str,
    optional: Option<bool>,
    prefix: &str,
    env: &mut Variables,
) -> Result<(), Error> {
    let Some(object) = object(input, kind, name, optional)? else {
        return Ok(());
    };
    for key in object.data.keys() {
        if let Some(value) = value(input, kind, object, key)? {
            env.set(&format!("{prefix}{key}"), value);
        }
    }
    Ok(())
}

fn one_key(input: &EnvInput<'_>, kind: Kind, r: &KeyRef) -> Result<Option<String>, Error> {
    let Some(object) = object(input, kind, &r.name, r.optional)? else {
        return Ok(None);
    };
    match value(input, kind, object, &r.key)? {
        None if r.optional != Some(true) => {
            let (kind, object) = label(input, kind, object);
            Err(Error::Key {
                kind,
                object,
                key: r.key.clone(),
            })
        }
        value => Ok(value),
    }
}

fn value(
    input: &EnvInput<'_>,
    kind: Kind,
    object: &ConfigObject,
    key: &str,
) -> Result<Option<String>, Error> {
    let Some(text) = object.data.get(key) else {
        return Ok(None);
    };
    if kind == Kind::ConfigMap {
        return Ok(Some(text.to_string()));
    }
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(text.as_bytes())
        .ok();
    bytes
        .and_then(|b| String::from_utf8(b).ok())
        .map(Some)
        .ok_or_else(|| {
            let (kind, object) = label(input, kind, object);
            Error::NotText {
                kind,
                object,
                key: key.into(),
            }
        })
}

fn label(input: &EnvInput<'_>, kind: Kind, object: &ConfigObject) -> (&'static str, String) {
    let kind = if kind == Kind::ConfigMap {
        "ConfigMap"
    } else {
        "Secret"
    };
    (
        kind,
        format!("{}/{}", input.pod.metadata.namespace, object.metadata.name),
    )
}

/// The value of `valueFrom`; `None` when an optional source is missing, and then there is no variable.
fn from_source(input: &EnvInput<'_>, variable: &str, source: &EnvVarSource) -> Result<Option<String>, Error> {
    let wrong = |path: &str, cause| Error::Field {
        variable: variable.into(),
        path: path.into(),
        cause,
    };
    if let Some(r) = &source.field_ref {
        let value = field(input.pod, &r.field_path, input.pod_ips, input.host_ips);
        return value
            .map(Some)
            .ok_or_else(|| wrong(&r.field_path, "not a field a variable can hold".into()));
    }
    if let Some(r) = &source.resource_field_ref {
        let value = resource_field(input.pod, Some(input.container), r, input.allocatable);
        return value.map(Some).map_err(|cause| wrong(&r.resource, cause));
    }
    if let Some(r) = &source.config_map_key_ref {
        return one_key(input, Kind::ConfigMap, r);
    }
    if let Some(r) = &source.secret_key_ref {
        return one_key(input, Kind::Secret, r);
    }
    if let Some(r) = &source.file_key_ref {
        let read = input.objects.files.get(&file::place(r));
        return Ok(file::value(r, read.unwrap_or(&EnvFile::NoVolume))?);
    }
    Err(wrong("valueFrom", "a source this build does not know".into()))
}
