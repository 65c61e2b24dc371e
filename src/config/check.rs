//! PURE. Whether a value is what its field holds, and flags' texts as such values.

use super::eviction::{check_periods, check_reclaims, check_thresholds};
use super::fields::{Effect, Field, Kind};
use super::gates;
use super::names::{is_dns_subdomain, taint, taint_of};
use super::resources::{check_enforced, check_reserved, cpus};
use super::values::{boolean, duration, duration_nanos, quantity};
use super::{shutdown, tls};
use crate::model::sysctl::Pattern;
use serde_json::{Map, Value, json};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::{Component, Path, PathBuf};

/// What is wrong with a value of a field, if something is.
pub(super) fn check(field: &Field, value: &Value) -> Result<(), String> {
    if value.is_null() {
        return Ok(());
    }
    if !field.zero_counts && is_zero(field.kind, value) {
        return zero(field.kind, value);
    }
    kind(field.kind, value)?;
    match field.effect {
        Effect::Must(only, why) if *value != json_of(only) => Err(format!("{value}: {why}")),
        _ => Ok(()),
    }
}

/// A zero stands for the default, whatever the bounds are; only its type must be right.
fn zero(of: Kind, value: &Value) -> Result<(), String> {
    match of {
        Kind::Int(..) => kind(Kind::Int(0, 0), value),
        Kind::OneOf(_)
        | Kind::TlsVersion
        | Kind::Ip
        | Kind::Path
        | Kind::Socket
        | Kind::Cgroup
        | Kind::Domain
        | Kind::Cpus
        | Kind::Quantity
        | Kind::Size => kind(Kind::Text, value),
        _ => kind(of, value),
    }
}

/// What Go takes for a value that was not given.
pub(super) fn is_zero(kind: Kind, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(_) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => match kind {
            Kind::Duration => duration_nanos(text) == Some(0),
            Kind::Quantity => text.is_empty() || quantity(text) == Some(0),
            _ => text.is_empty(),
        },
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.values().all(|value| is_zero(kind, value)),
    }
}

/// JSON of our own tables.
pub(super) fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

fn not(value: &Value, what: &str) -> String {
    format!("{value} is not {what}")
}

fn of_text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| not(value, "text"))
}

fn kind(kind: Kind, value: &Value) -> Result<(), String> {
    match kind {
        Kind::Any => Ok(()),
        Kind::Bool if value.is_boolean() => Ok(()),
        Kind::Bool => Err(not(value, "true or false")),
        Kind::Number if value.is_number() => Ok(()),
        Kind::Number => Err(not(value, "a number")),
        Kind::Int(least, most) => number(value, &(least..=most)),
        Kind::Quantity if value.as_i64().is_some_and(|number| number >= 0) => Ok(()),
        Kind::Texts => each_text(value, |_| Ok(())),
        Kind::Ips => each_text(value, |text| ip(text).map(drop)),
        Kind::Sysctls => each_text(value, sysctl),
        Kind::IdsPerPod => ids(value),
        Kind::Suites => tls::suites(value),
        Kind::Curves => tls::curves(value),
        Kind::Gates => each_gate(value),
        Kind::Taints => taints(value),
        Kind::Thresholds => check_thresholds(signals(value)?),
        Kind::Periods => check_periods(signals(value)?),
        Kind::Reclaims => check_reclaims(signals(value)?),
        Kind::Shutdown => shutdown::check_periods(value),
        Kind::Reserved => check_reserved(value),
        Kind::Enforced => {
            each_text(value, |_| Ok(()))?;
            let words = value.as_array().into_iter().flatten();
            check_enforced(&words.filter_map(Value::as_str).collect::<Vec<_>>())
        }
        _ => {
            let text = of_text(value)?;
            text_kind(kind, text)
        }
    }
}

fn text_kind(kind: Kind, text: &str) -> Result<(), String> {
    match kind {
        Kind::Duration if duration(text).is_some() => Ok(()),
        Kind::Duration if duration_nanos(text).is_some() => Err(format!("{text:?} is less than nothing")),
        Kind::Duration => Err(format!("{text:?} is not a duration, as 1m30s")),
        Kind::Quantity | Kind::Size if quantity(text).is_some() => Ok(()),
        Kind::Size if text.strip_prefix('-').and_then(quantity).is_some() => Ok(()),
        Kind::Quantity | Kind::Size => Err(format!("{text:?} is not a quantity, as 10Mi")),
        Kind::OneOf(words) => one_of(words, text),
        Kind::TlsVersion => one_of(tls::VERSIONS, text),
        Kind::Ip => ip(text).map(drop),
        Kind::Path => absolute(Path::new(text)).map(drop),
        Kind::PathOrNone if text.is_empty() => Ok(()),
        Kind::PathOrNone => absolute(Path::new(text)).map(drop),
        Kind::Socket => socket(text).map(drop),
        Kind::Cgroup => cgroup(text).map(drop),
        Kind::Domain => domain(text).map(drop),
        Kind::Cpus => cpus(text).map(drop),
        _ => Ok(()),
    }
}

fn sysctl(text: &str) -> Result<(), String> {
    match Pattern::parse(text) {
        Some(_) => Ok(()),
        None => Err(format!("{text:?} is not known to be namespaced")),
    }
}

/// User ids come in blocks of 16 bits.
fn ids(value: &Value) -> Result<(), String> {
    match value.as_u64() {
        Some(count) if u32::try_from(count).is_ok() && count.is_multiple_of(1 << 16) => Ok(()),
        Some(count) => Err(format!("{count} is not a multiple of 65536 below 4294967296")),
        None => Err(not(value, "a whole number")),
    }
}

/// A whole number within bounds.
pub(super) fn number(value: &Value, bounds: &RangeInclusive<i64>) -> Result<(), String> {
    match value.as_i64() {
        Some(number) if bounds.contains(&number) => Ok(()),
        Some(number) => Err(format!(
            "{number} is not between {} and {}",
            bounds.start(),
            bounds.end()
        )),
        None => Err(not(value, "a whole number")),
    }
}

pub(super) fn object<'a>(value: &'a Value, what: &str) -> Result<&'a Map<String, Value>, String> {
    value.as_object().ok_or_else(|| not(value, what))
}

fn signals(value: &Value) -> Result<&Map<String, Value>, String> {
    object(value, "a map of eviction signals")
}

fn one_of(words: &[&str], text: &str) -> Result<(), String> {
    if words.contains(&text) {
        return Ok(());
    }
    Err(format!("{text:?} is not one of {}", words.join(", ")))
}

pub(super) fn each_text(value: &Value, good: impl Fn(&str) -> Result<(), String>) -> Result<(), String> {
    let items = value.as_array().ok_or_else(|| not(value, "a list"))?;
    items.iter().try_for_each(|item| good(of_text(item)?))
}

pub(super) fn ip(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("{text:?} is not an IP address"))
}

fn each_gate(value: &Value) -> Result<(), String> {
    let gates = value
        .as_object()
        .ok_or_else(|| not(value, "a map of feature gates"))?;
    for (name, on) in gates {
        match on.as_bool() {
            Some(on) => gates::check(name, on)?,
            None => return Err(format!("{name}: {}", not(on, "true or false"))),
        }
    }
    Ok(())
}

fn taints(value: &Value) -> Result<(), String> {
    let taints = value.as_array().ok_or_else(|| not(value, "a list of taints"))?;
    for taint in taints {
        let fields = taint.as_object().ok_or_else(|| not(taint, "a taint"))?;
        for (name, value) in fields {
            match (&**name, value) {
                ("key" | "value" | "effect", Value::String(_)) | ("timeAdded", Value::Null) => {}
                ("key" | "value" | "effect", _) => return Err(format!("{name}: {}", not(value, "text"))),
                ("timeAdded", _) => return Err("timeAdded is not a node's to say".to_owned()),
                _ => return Err(format!("{name:?} is not a field of a taint")),
            }
        }
        let text = |name| fields.get(name).and_then(Value::as_str).unwrap_or_default();
        taint_of(text("key"), text("value"), text("effect"))?;
    }
    Ok(())
}

pub(super) fn absolute(path: &Path) -> Result<PathBuf, String> {
    if path.is_absolute() {
        return Ok(path.to_owned());
    }
    Err(format!("{} is not an absolute path", path.display()))
}

/// The path of a runtime's socket.
pub(super) fn socket(endpoint: &str) -> Result<PathBuf, String> {
    let path = match endpoint.split_once("://") {
        Some(("unix", path)) => path,
        Some((scheme, _)) => {
            return Err(format!(
                "{scheme}:// is not supported; use unix:///run/containerd/containerd.sock"
            ));
        }
        None => endpoint,
    };
    absolute(Path::new(path))
}

/// A cgroup path without slashes at its end.
pub(super) fn cgroup(text: &str) -> Result<Box<str>, String> {
    let climbs = Path::new(text)
        .components()
        .any(|part| part == Component::ParentDir);
    if text.starts_with('/') && !climbs {
        let trimmed = text.trim_end_matches('/');
        return Ok(if trimmed.is_empty() {
            "/".into()
        } else {
            trimmed.into()
        });
    }
    Err(format!(
        "{text:?} is not a cgroup path: it begins with '/' and has no '..'"
    ))
}

/// A domain without dots at its ends.
pub(super) fn domain(text: &str) -> Result<Box<str>, String> {
    let domain = text.trim_matches('.');
    if is_dns_subdomain(domain) {
        return Ok(domain.into());
    }
    Err(format!("{text:?} is not a domain name, as cluster.local"))
}

/// What was typed for a flag, as the value its field would have in a file.
pub(super) fn of_flag(field: &Field, typed: &[String]) -> Result<Value, String> {
    let last = typed.last().map(String::as_str).unwrap_or_default();
    let pieces = || {
        typed
            .iter()
            .flat_map(|text| text.split(','))
            .map(str::trim)
            .filter(|piece| !piece.is_empty())
    };
    Ok(match field.kind {
        Kind::Bool => boolean(last)
            .ok_or_else(|| format!("{last:?} is not true or false"))?
            .into(),
        Kind::Int(..) => last
            .parse::<i64>()
            .map_err(|_| format!("{last:?} is not a whole number"))?
            .into(),
        Kind::Ips | Kind::Texts | Kind::Sysctls | Kind::Suites | Kind::Enforced => pieces().collect(),
        Kind::Taints => {
            let taints = pieces().map(|text| taint(text).map(|taint| json!(taint)));
            taints.collect::<Result<_, _>>()?
        }
        Kind::Gates => {
            let mut gates = Map::new();
            for piece in pieces() {
                let (name, on) = piece
                    .split_once('=')
                    .ok_or_else(|| format!("{piece:?} is not GATE=true or GATE=false"))?;
                let on = boolean(on).ok_or_else(|| format!("{name}: {on:?} is not true or false"))?;
                gates.insert(name.to_owned(), on.into());
            }
            gates.into()
        }
        Kind::Thresholds => by_signal(pieces(), '<')?,
        Kind::Periods | Kind::Reclaims => by_signal(pieces(), '=')?,
        Kind::Reserved => {
            let mut amounts = Map::new();
            for piece in pieces() {
                let (name, amount) = piece
                    .split_once('=')
                    .ok_or_else(|| format!("{piece:?} is not RESOURCE=AMOUNT"))?;
                amounts.insert(name.trim().to_owned(), amount.trim().into());
            }
            amounts.into()
        }
        _ => last.into(),
    })
}

/// `memory.available<100Mi` and the like, as a map.
fn by_signal<'a>(pieces: impl Iterator<Item = &'a str>, between: char) -> Result<Value, String> {
    let pair = |piece: &'a str| {
        let (signal, value) = piece
            .split_once(between)
            .ok_or_else(|| format!("{piece:?} is not SIGNAL{between}VALUE"))?;
        Ok((signal.trim().to_owned(), Value::from(value.trim())))
    };
    Ok(pieces.map(pair).collect::<Result<Map<_, _>, String>>()?.into())
}
