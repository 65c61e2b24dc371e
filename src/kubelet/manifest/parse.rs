//! PURE. One manifest's text → a static Pod, or the field that is wrong with it.

use super::{Manifest, check, defaults, refers, uid};
use crate::model::pod::{self, Pod};
use k8s_openapi::api::core::v1 as full;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// What makes a static Pod this node's.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// Our Node's name.
    pub node: &'a str,
    /// The file's path.
    pub file: &'a str,
}

/// What a file has in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// The Pod. It does not say yet when it was first seen.
    pub manifest: Manifest,
    /// Fields no Pod has. They mean nothing, as to upstream.
    pub unknown: Vec<String>,
}

/// Metadata that is the API server's to give.
const NOT_OURS: &[&str] = &[
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
];

/// Reads YAML or JSON with one Pod in it. The error begins with the field where one is to blame.
pub fn parse(text: &str, origin: Origin<'_>) -> Result<Parsed, String> {
    let value: Value = serde_saphyr::from_str(text).map_err(|error| syntax(&error))?;
    let Value::Object(mut object) = value else {
        return Err("it is not a Pod: a map of fields".to_owned());
    };
    for (field, wanted) in [("apiVersion", "v1"), ("kind", "Pod")] {
        let found = object.get(field).unwrap_or(&Value::Null);
        if found != wanted {
            return Err(format!("{field}: {found} is not {wanted}"));
        }
    }
    strip(&mut object);
    let mut object = Value::Object(object);
    let given: full::Pod = {
        quantities(&mut object);
        decode(&object)?
    };
    let unknown = unknown(&object, &serde_json::to_value(&given).unwrap_or_default());
    if given.metadata.name.as_deref().unwrap_or_default().is_empty() {
        return Err("metadata.name: a static Pod needs a name".to_owned());
    }
    if let Some((field, what)) = refers::refers(&object) {
        return Err(format!("{field}: static pods may not reference {what}"));
    }
    let own = object["metadata"]["uid"].as_str().filter(|uid| !uid.is_empty());
    let uid = own.map_or_else(|| uid::of(&object, origin.node, origin.file), str::to_owned);
    localize(&mut object, &uid, origin.node);
    defaults::fill(&mut object);
    let pod: Pod = decode(&object)?;
    check::check(&pod)?;
    Ok(Parsed {
        manifest: Manifest {
            pod: Arc::new(pod),
            object: Arc::new(object),
        },
        unknown,
    })
}

fn syntax(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().to_string();
    let text = text.lines().next().unwrap_or("it cannot be read").to_owned();
    match error.location() {
        Some(at) if !text.contains("line ") => format!("line {}: {text}", at.line()),
        _ => text,
    }
}

/// Takes away what was left empty and what is not for a manifest to say.
fn strip(object: &mut Map<String, Value>) {
    fn nulls(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.retain(|_, value| !value.is_null());
                fields.iter_mut().for_each(|(_, value)| nulls(value));
            }
            Value::Array(items) => items.iter_mut().for_each(nulls),
            _ => {}
        }
    }
    object.remove("status");
    object.retain(|_, value| !value.is_null());
    object.iter_mut().for_each(|(_, value)| nulls(value));
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        metadata.retain(|field, _| !NOT_OURS.contains(&field.as_str()));
    }
}

/// Amounts may be written as numbers, and are texts from here on.
fn quantities(pod: &mut Value) {
    fn amounts(list: Option<&mut Value>) {
        for (_, amount) in list.and_then(Value::as_object_mut).into_iter().flatten() {
            amount_of(amount);
        }
    }
    fn amount_of(amount: &mut Value) {
        if let Value::Number(number) = amount {
            *amount = number.to_string().into();
        }
    }
    fn resources(of: &mut Value) {
        for list in ["limits", "requests"] {
            amounts(of.get_mut("resources").and_then(|all| all.get_mut(list)));
        }
    }
    let Some(spec) = pod.get_mut("spec") else { return };
    resources(spec);
    amounts(spec.get_mut("overhead"));
    for list in ["initContainers", "containers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        containers.into_iter().flatten().for_each(resources);
    }
    let volumes = spec.get_mut("volumes").and_then(Value::as_array_mut);
    for volume in volumes.into_iter().flatten() {
        let limit = volume
            .get_mut("emptyDir")
            .and_then(|dir| dir.get_mut("sizeLimit"));
        limit.into_iter().for_each(amount_of);
    }
}

/// The object as a type; the error begins with the field that is not what it should be.
fn decode<T: DeserializeOwned>(object: &Value) -> Result<T, String> {
    serde_path_to_error::deserialize(object).map_err(|error| {
        let path = error.path().to_string();
        match path.as_str() {
            "." | "" => error.inner().to_string(),
            path => format!("{path}: {}", error.inner()),
        }
    })
}

/// Paths of the fields that are given and that the type, written again, does not have.
fn unknown(given: &Value, known: &Value) -> Vec<String> {
    fn walk(given: &Value, known: &Value, path: &str, found: &mut Vec<String>) {
        match (given, known) {
            (Value::Object(given), Value::Object(known)) => {
                for (name, value) in given {
                    let path = if path.is_empty() {
                        name.clone()
                    } else {
                        format!("{path}.{name}")
                    };
                    match known.get(name) {
                        Some(known) => walk(value, known, &path, found),
                        None => found.push(path),
                    }
                }
            }
            (Value::Array(given), Value::Array(known)) => {
                for (at, (given, known)) in given.iter().zip(known).enumerate() {
                    walk(given, known, &format!("{path}[{at}]"), found);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk(given, known, "", &mut found);
    found
}

/// Makes the Pod this node's: its name is unique among nodes, its UID that of its manifest, and no taint ends it.
fn localize(pod: &mut Value, uid: &str, node: &str) {
    let metadata = &mut pod["metadata"];
    let name = metadata["name"].as_str().unwrap_or_default();
    metadata["name"] = format!("{name}-{}", node.to_lowercase()).into();
    if metadata["namespace"].as_str().unwrap_or_default().is_empty() {
        metadata["namespace"] = "default".into();
    }
    metadata["uid"] = uid.into();
    metadata["annotations"][pod::CONFIG_HASH] = uid.into();
    metadata["annotations"][pod::CONFIG_SOURCE] = "file".into();
    let spec = &mut pod["spec"];
    spec["nodeName"] = node.into();
    let every = json!({"operator": "Exists", "effect": "NoExecute"});
    match spec.get_mut("tolerations").and_then(Value::as_array_mut) {
        Some(tolerations) if tolerations.contains(&every) => {}
        Some(tolerations) => tolerations.push(every),
        None => spec["tolerations"] = json!([every]),
    }
}

#[cfg(test)]
mod tests;
