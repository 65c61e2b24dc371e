//! PURE. One configuration file: YAML, its type, and every field of it checked.

use super::Error;
use super::check::check;
use super::fields::{FIELDS, Field};
use serde_json::{Map, Value};

/// A file's fields.
pub(super) type Document = Map<String, Value>;

/// The only type of configuration file there is.
pub(super) const TYPE: [(&str, &str); 2] = [
    ("apiVersion", "kubelet.config.k8s.io/v1beta1"),
    ("kind", "KubeletConfiguration"),
];

/// Reads a file's text; every field is known and holds what it should. `file` is its name, for errors.
pub(super) fn parse(file: &str, text: &str) -> Result<Document, Error> {
    let yaml = serde_saphyr::from_str(text).map_err(|error| yaml_error(file, &error))?;
    let Value::Object(mut document) = yaml else {
        return Err(Error::new(
            file,
            "it is not a KubeletConfiguration: a map of fields",
        ));
    };
    for (name, wanted) in TYPE {
        match document.remove(name) {
            Some(Value::String(found)) if found == wanted => {}
            found => {
                let found = found.unwrap_or_default();
                return Err(Error::new(
                    format!("{file}: {name}"),
                    format!("{found} is not {wanted}"),
                ));
            }
        }
    }
    check_fields(file, "", &document)?;
    Ok(document)
}

fn yaml_error(file: &str, error: &serde_saphyr::Error) -> Error {
    let text = error.without_snippet().to_string();
    let text = text.lines().next().unwrap_or("it cannot be read").to_owned();
    match error.location() {
        Some(at) if !text.contains("line ") => Error::new(format!("{file}: line {}", at.line()), text),
        _ => Error::new(file, text),
    }
}

fn check_fields(file: &str, above: &str, fields: &Map<String, Value>) -> Result<(), Error> {
    for (name, value) in fields {
        let path = if above.is_empty() {
            name.clone()
        } else {
            format!("{above}.{name}")
        };
        let place = || format!("{file}: {path}");
        if let Some(field) = field(&path) {
            check(field, value).map_err(|problem| Error::new(place(), problem))?;
        } else if has_fields_below(&path) {
            match value {
                Value::Object(below) => check_fields(file, &path, below)?,
                Value::Null => {}
                _ => return Err(Error::new(place(), format!("{value} is not a map of fields"))),
            }
        } else {
            return Err(Error::new(place(), "KubeletConfiguration has no such field"));
        }
    }
    Ok(())
}

/// The field of a path.
pub(super) fn field(path: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.path == path)
}

fn has_fields_below(path: &str) -> bool {
    FIELDS.iter().any(|field| {
        field
            .path
            .strip_prefix(path)
            .is_some_and(|rest| rest.starts_with('.'))
    })
}

/// Puts a drop-in over what is there, as JSON merge patch (RFC 7396): maps field by field, all else replaced, null
/// removes.
pub(super) fn merge(base: &mut Document, patch: Document) {
    for (name, value) in patch {
        match value {
            Value::Null => {
                base.remove(&name);
            }
            Value::Object(patch) => {
                let below = base.entry(name).or_insert_with(|| Map::new().into());
                if !below.is_object() {
                    *below = Map::new().into();
                }
                if let Value::Object(below) = below {
                    merge(below, patch);
                }
            }
            value => {
                base.insert(name, value);
            }
        }
    }
}

/// The value at a path.
pub(super) fn at<'a>(document: &'a Document, path: &str) -> Option<&'a Value> {
    let (first, rest) = path
        .split_once('.')
        .map_or((path, None), |(first, rest)| (first, Some(rest)));
    let value = document.get(first)?;
    rest.map_or(Some(value), |rest| at(value.as_object()?, rest))
}

/// Sets the value at a path.
pub(super) fn set(document: &mut Document, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            document.insert(path.to_owned(), value);
        }
        Some((first, rest)) => {
            let below = document
                .entry(first.to_owned())
                .or_insert_with(|| Map::new().into());
            if !below.is_object() {
                *below = Map::new().into();
            }
            if let Value::Object(below) = below {
                set(below, rest, value);
            }
        }
    }
}
