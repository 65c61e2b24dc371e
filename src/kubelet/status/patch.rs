//! PURE. The strategic merge patch between two statuses.

use super::conditions::{PASSING, is_ours};
use k8s_openapi::api::core::v1::PodStatus;
use serde_json::{Map, Value, json};

/// Fields that may vanish again.
const OPTIONAL: [&str; 4] = ["reason", "message", "podIP", "podIPs"];
/// Lists the API server would merge by `ip`; they are replaced as a whole, so that an old address cannot stay.
const BY_IP: [&str; 2] = ["podIPs", "hostIPs"];

/// Maps whose entries may vanish.
const AMOUNTS: [&str; 2] = ["resources", "allocatedResources"];

/// The body of a strategic merge patch of `status` that leads from `previous` (what the API server was told last;
/// `None` when that is not known) to `new`; `None` when there is nothing to say. Only the conditions this node owns
/// are in it, so those of other writers are never touched.
pub fn patch(previous: Option<&PodStatus>, new: &PodStatus) -> Option<Value> {
    let old = previous.map(object).unwrap_or_default();
    let new = object(new);
    let mut out = Map::new();
    for (key, value) in &new {
        if old.get(key) == Some(value) {
            continue;
        }
        let value = match key.as_str() {
            "conditions" => match changed_conditions(old.get(key), value) {
                Some(changed) => changed,
                None => continue,
            },
            key if BY_IP.contains(&key) => replace(value),
            key if AMOUNTS.contains(&key) => without(old.get(key), value),
            _ => value.clone(),
        };
        out.insert(key.clone(), value);
    }
    for key in OPTIONAL.iter().filter(|key| !new.contains_key(**key)) {
        if old.contains_key(*key) || previous.is_none() {
            out.insert((*key).into(), Value::Null);
        }
    }
    (!out.is_empty()).then_some(Value::Object(out))
}

fn object(status: &PodStatus) -> Map<String, Value> {
    match serde_json::to_value(status) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

fn changed_conditions(old: Option<&Value>, new: &Value) -> Option<Value> {
    let old = old.and_then(Value::as_array);
    let new = new.as_array()?;
    let mut changed: Vec<_> = new
        .iter()
        .filter(|c| is_ours(c))
        .filter(|c| old.is_none_or(|list| !list.contains(c)))
        .map(|c| {
            let mut c = c.clone();
            for key in ["reason", "message"] {
                // A merge keeps what it is not told of.
                if c.get(key).is_none() {
                    c[key] = Value::Null;
                }
            }
            c
        })
        .collect();
    let holds = |list: &[Value], kind: &str| list.iter().any(|c| c["type"] == kind);
    // What the API server has is not known before the first patch.
    let ended = PASSING
        .iter()
        .filter(|kind| !holds(new, kind) && old.is_none_or(|old| holds(old, kind)));
    changed.extend(ended.map(|kind| json!({"type": kind, "$patch": "delete"})));
    (!changed.is_empty()).then_some(Value::Array(changed))
}

/// A map, with what the old one has and the new one has not as null, at every depth.
fn without(old: Option<&Value>, new: &Value) -> Value {
    let (Some(Value::Object(old)), Value::Object(new)) = (old, new) else {
        return new.clone();
    };
    let mut all: Map<String, Value> = new
        .iter()
        .map(|(key, value)| (key.clone(), without(old.get(key), value)))
        .collect();
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        all.insert(key.clone(), Value::Null);
    }
    all.into()
}

fn replace(list: &Value) -> Value {
    let mut items = vec![json!({"$patch": "replace"})];
    items.extend(list.as_array().into_iter().flatten().cloned());
    Value::Array(items)
}
