//! PURE. What holds of every field: the file, drop-ins over it, flags over both, defaults beneath.

use super::check::{check, is_zero, json_of, of_flag};
use super::document::{self, Document};
use super::eviction::DEFAULT_HARD;
use super::fields::{Effect, FIELDS, Field, Kind};
use super::gates;
use super::values::duration;
use super::{Error, Flags, Source, tls};
use serde_json::Value;
use std::time::Duration;

/// Only these files of the drop-in directory count.
const DROP_IN: &str = "conf";

/// Every field we act upon, valid.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Settings {
    values: Document,
    given: Document,
    without_effect: Vec<String>,
}

impl Settings {
    /// Reads the files that flags name, and puts the flags over them.
    pub(super) fn read(flags: &Flags, source: &dyn Source) -> Result<Self, Error> {
        let mut given = files(flags, source)?;
        let mut in_vain = Vec::new();
        for field in FIELDS {
            let words = document::at(&given, field.path).and_then(|value| asks_in_vain(field, value));
            in_vain.extend(words.map(|words| (field.path, format!("{}{words}", field.path))));
        }
        for field in FIELDS {
            if !field.zero_counts
                && document::at(&given, field.path).is_some_and(|value| is_zero(field.kind, value))
            {
                document::set(&mut given, field.path, Value::Null);
            }
            let Some(typed) = flags.kubelet.typed(field.flag) else {
                continue;
            };
            let value = of_flag(field, typed)
                .and_then(|value| check_flag(field, &value).map(|()| value))
                .map_err(|problem| Error::new(format!("--{}", field.flag), problem))?;
            let value = match field.kind {
                Kind::Gates => gates::over(document::at(&given, field.path), value),
                _ => value,
            };
            in_vain.retain(|(path, _)| *path != field.path);
            let words = asks_in_vain(field, &value);
            in_vain.extend(words.map(|words| (field.path, format!("--{}{words}", field.flag))));
            document::set(&mut given, field.path, value);
        }
        let mut without_effect: Vec<String> = in_vain.into_iter().map(|(_, words)| words).collect();
        without_effect.extend(flags.kubelet.without_effect().map(|flag| format!("--{flag}")));
        let mut values = Document::new();
        for field in FIELDS {
            if let Some(default) = default(field) {
                document::set(&mut values, field.path, default);
            }
        }
        for field in FIELDS {
            let Some(value) = document::at(&given, field.path).filter(|value| !value.is_null()) else {
                continue;
            };
            if matches!(field.effect, Effect::Acts(_)) && (field.zero_counts || !is_zero(field.kind, value)) {
                document::set(&mut values, field.path, value.clone());
            }
        }
        merge_eviction_defaults(&mut values);
        pull_default(&mut values, &given);
        let gates = document::at(&values, "featureGates").unwrap_or(&Value::Null);
        gates::Set(gates)
            .check()
            .map_err(|problem| Error::new("featureGates", problem))?;
        Ok(Self {
            values,
            given,
            without_effect,
        })
    }

    /// What was asked for and has no effect, in one sentence; `None` when all has.
    pub(super) fn warning(&self) -> Option<String> {
        (!self.without_effect.is_empty()).then(|| {
            format!(
                "these settings have no effect: {}",
                self.without_effect.join(", ")
            )
        })
    }

    /// The configuration that is in force, with upstream's field names.
    pub(super) fn in_force(&self) -> Value {
        let mut all = self.values.clone();
        for (name, value) in document::TYPE {
            all.insert(name.to_owned(), value.into());
        }
        all.into()
    }

    /// Whether a file or a flag says something about a field.
    pub(super) fn is_given(&self, path: &str) -> bool {
        document::at(&self.given, path).is_some_and(|value| !value.is_null())
    }

    /// A field's value; null only for a path that is none.
    pub(super) fn value(&self, path: &str) -> &Value {
        document::at(&self.values, path).unwrap_or(&Value::Null)
    }

    pub(super) fn text(&self, path: &str) -> &str {
        self.value(path).as_str().unwrap_or_default()
    }

    pub(super) fn on(&self, path: &str) -> bool {
        self.value(path).as_bool().unwrap_or_default()
    }

    /// A number; its field's bounds make it fit.
    pub(super) fn number<T: TryFrom<i64> + Default>(&self, path: &str) -> T {
        let number = self.value(path).as_i64().unwrap_or_default();
        T::try_from(number).unwrap_or_default()
    }

    pub(super) fn duration(&self, path: &str) -> Duration {
        duration(self.text(path)).unwrap_or_default()
    }

    pub(super) fn texts(&self, path: &str) -> impl Iterator<Item = &str> {
        self.value(path)
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
    }
}

/// The file and its drop-ins, in the order of their names.
fn files(flags: &Flags, source: &dyn Source) -> Result<Document, Error> {
    let mut all = Document::new();
    if let Some(file) = flags
        .config
        .as_deref()
        .filter(|file| !file.as_os_str().is_empty())
    {
        let text = source
            .read(file)
            .map_err(|error| Error::new("--config", format!("{}: {error}", file.display())))?;
        all = document::parse(&file.display().to_string(), &text)?;
    }
    if let Some(dir) = flags
        .config_dir
        .as_deref()
        .filter(|dir| !dir.as_os_str().is_empty())
    {
        let unreadable = |error| Error::new("--config-dir", format!("{}: {error}", dir.display()));
        for file in source.files(dir).map_err(unreadable)? {
            if file.extension().is_some_and(|extension| extension == DROP_IN) {
                let text = source
                    .read(&file)
                    .map_err(|error| Error::new(file.display().to_string(), error.to_string()))?;
                document::merge(&mut all, document::parse(&file.display().to_string(), &text)?);
            }
        }
    }
    Ok(all)
}

/// A number on the command line is meant, even when it is zero; an empty text is as good as none.
fn check_flag(field: &Field, value: &Value) -> Result<(), String> {
    let meant = matches!(field.kind, Kind::Int(..));
    check(
        &Field {
            zero_counts: meant || field.zero_counts,
            ..*field
        },
        value,
    )
}

fn default(field: &Field) -> Option<Value> {
    match field.effect {
        Effect::Acts(value) | Effect::Stays(value) | Effect::Must(value, _) => Some(json_of(value)),
        Effect::Nothing => None,
    }
}

/// `mergeDefaultEvictionSettings`: what `evictionHard` does not name has its default.
fn merge_eviction_defaults(values: &mut Document) {
    if document::at(values, "mergeDefaultEvictionSettings") != Some(&Value::Bool(true)) {
        return;
    }
    let Value::Object(mut merged) = json_of(DEFAULT_HARD) else {
        return;
    };
    let given = document::at(values, "evictionHard").and_then(Value::as_object);
    merged.extend(given.into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())));
    document::set(values, "evictionHard", merged.into());
}

/// Upstream's rule: images are pulled one at a time, unless more were asked for.
fn pull_default(values: &mut Document, given: &Document) {
    let most = document::at(values, "maxParallelImagePulls").and_then(Value::as_i64);
    let said = document::at(given, "serializeImagePulls").is_some_and(|value| !value.is_null());
    if !said && most.is_some_and(|most| most > 1) {
        document::set(values, "serializeImagePulls", false.into());
    }
}

/// What to say after the field's name about a value that asks for something we do not do.
fn asks_in_vain(field: &Field, value: &Value) -> Option<String> {
    let whole = |vain: bool| vain.then(String::new);
    match field.effect {
        Effect::Must(..) => None,
        Effect::Stays(ours) => whole(!value.is_null() && *value != json_of(ours)),
        Effect::Nothing => whole(!is_zero(field.kind, value)),
        Effect::Acts(_) if field.kind == Kind::Gates => {
            let unknown = gates::Set(value).in_vain();
            (!unknown.is_empty()).then(|| format!(" ({})", unknown.join(" ")))
        }
        Effect::Acts(_) => {
            let unmet = match field.kind {
                Kind::Suites => tls::weak_suites(value),
                Kind::Curves => tls::other_curves(value),
                Kind::TlsVersion => tls::old_version(value),
                _ => Vec::new(),
            };
            (!unmet.is_empty()).then(|| format!(" ({} cannot be offered)", unmet.join(" ")))
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
