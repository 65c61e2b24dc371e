//! PURE. When the node counts as short of something: eviction thresholds, as `KubeletConfiguration` writes them.

use super::Error;
use super::settings::Settings;
use super::values::{duration, quantity};
use serde_json::{Map, Value};
use std::time::Duration;

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// Memory of the machine.
    MemoryAvailable,
    /// Memory pods may use.
    AllocatableMemoryAvailable,
    /// Bytes where volumes and logs are.
    NodeFsAvailable,
    /// Inodes there.
    NodeFsInodesFree,
    /// Bytes where images are.
    ImageFsAvailable,
    /// Inodes there.
    ImageFsInodesFree,
    /// Bytes where writable layers are.
    ContainerFsAvailable,
    /// Inodes there.
    ContainerFsInodesFree,
    /// Process ids.
    PidAvailable,
}

impl Signal {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::MemoryAvailable,
        Self::AllocatableMemoryAvailable,
        Self::NodeFsAvailable,
        Self::NodeFsInodesFree,
        Self::ImageFsAvailable,
        Self::ImageFsInodesFree,
        Self::ContainerFsAvailable,
        Self::ContainerFsInodesFree,
        Self::PidAvailable,
    ];

    /// Upstream's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MemoryAvailable => "memory.available",
            Self::AllocatableMemoryAvailable => "allocatableMemory.available",
            Self::NodeFsAvailable => "nodefs.available",
            Self::NodeFsInodesFree => "nodefs.inodesFree",
            Self::ImageFsAvailable => "imagefs.available",
            Self::ImageFsInodesFree => "imagefs.inodesFree",
            Self::ContainerFsAvailable => "containerfs.available",
            Self::ContainerFsInodesFree => "containerfs.inodesFree",
            Self::PidAvailable => "pid.available",
        }
    }

    fn parse(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|signal| signal.as_str() == name);
        found.ok_or_else(|| format!("unsupported eviction signal {name}"))
    }
}

/// How much of something: a quantity, or a part of all there is.
#[derive(Clone, Debug, PartialEq)]
pub enum Level {
    /// So much.
    Quantity {
        /// Bytes, inodes or processes, rounded up.
        value: i64,
        /// As it was written.
        text: Box<str>,
    },
    /// This part of the capacity, 0 to 1. Upstream has single precision, which shows in what it tells people.
    Part(f32),
}

impl Level {
    /// Bytes, inodes or processes of a capacity.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "upstream's arithmetic"
    )]
    pub fn of(&self, capacity: i64) -> i64 {
        match self {
            Self::Quantity { value, .. } => *value,
            Self::Part(part) => (capacity as f64 * f64::from(*part)) as i64,
        }
    }
}

/// The node is short of something when less than `level` of it is available.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    /// What is watched.
    pub signal: Signal,
    /// How much must be there.
    pub level: Level,
    /// How long it may be missing before a Pod is evicted; zero for a hard threshold.
    pub grace: Duration,
    /// How much more than `level` must be there before the shortage is over.
    pub reclaim: Option<Level>,
}

impl Threshold {
    /// Pods are evicted at once, without their own grace period.
    pub fn is_hard(&self) -> bool {
        self.grace.is_zero()
    }
}

/// Settings of evictions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EvictionConfig {
    /// `evictionHard`, then `evictionSoft`, with their grace periods and `evictionMinimumReclaim`; then what follows
    /// from them for the memory of all pods together.
    pub thresholds: Vec<Threshold>,
    /// `evictionPressureTransitionPeriod`: how long a condition stays after the shortage.
    pub transition: Duration,
    /// `evictionMaxPodGracePeriod`: longest grace of an eviction by a soft threshold, seconds.
    pub max_pod_grace: i64,
    /// `localStorageCapacityIsolation`: Pods that write more than their limits allow are evicted.
    pub local_storage: bool,
}

/// `evictionHard` of upstream on Linux, as JSON.
pub(super) const DEFAULT_HARD: &str = r#"{"memory.available":"100Mi","nodefs.available":"10%","nodefs.inodesFree":"5%","imagefs.available":"15%","imagefs.inodesFree":"5%"}"#;

/// The section, from fields that are valid one by one.
pub(super) fn config(settings: &Settings) -> Result<EvictionConfig, Error> {
    let field = |path: &'static str| settings.value(path).as_object().into_iter().flatten();
    let mut thresholds = Vec::new();
    for path in ["evictionHard", "evictionSoft"] {
        for (name, value) in field(path) {
            let problem = |problem: String| Error::new(path, problem);
            let signal = Signal::parse(name).map_err(problem)?;
            let Some(level) = threshold_level(name, text(value)).map_err(problem)? else {
                continue;
            };
            let grace = if path == "evictionSoft" {
                let periods = settings.value("evictionSoftGracePeriod");
                duration(text(&periods[name])).ok_or_else(|| {
                    problem(format!(
                        "grace period must be specified for the soft eviction threshold {name}"
                    ))
                })?
            } else {
                Duration::ZERO
            };
            let reclaims = settings.value("evictionMinimumReclaim");
            let reclaim = reclaims[name].as_str().and_then(|text| level_of(text).ok());
            thresholds.push(Threshold {
                signal,
                level,
                grace,
                reclaim,
            });
        }
    }
    let pods = thresholds
        .iter()
        .find(|t| t.signal == Signal::MemoryAvailable && t.is_hard());
    let enforced = settings.texts("enforceNodeAllocatable").any(|who| who == "pods");
    let pods = pods.filter(|_| enforced).map(|memory| Threshold {
        signal: Signal::AllocatableMemoryAvailable,
        ..memory.clone()
    });
    thresholds.extend(pods);
    Ok(EvictionConfig {
        thresholds,
        transition: settings.duration("evictionPressureTransitionPeriod"),
        max_pod_grace: settings.number("evictionMaxPodGracePeriod"),
        local_storage: settings.on("localStorageCapacityIsolation"),
    })
}

/// What is wrong with a map of thresholds, if something is.
pub(super) fn check_thresholds(all: &Map<String, Value>) -> Result<(), String> {
    each(all, |name, text| threshold_level(name, text).map(drop))
}

/// As above, of grace periods.
pub(super) fn check_periods(all: &Map<String, Value>) -> Result<(), String> {
    each(all, |name, text| {
        duration(text)
            .map(drop)
            .ok_or_else(|| format!("{name}: {text:?} is not a duration that is not negative, as 1m30s"))
    })
}

/// As above, of what is to be reclaimed at least.
pub(super) fn check_reclaims(all: &Map<String, Value>) -> Result<(), String> {
    each(all, |name, text| match level_of(text) {
        Ok(Level::Part(part)) if part <= 0.0 => Err(format!(
            "eviction percentage minimum reclaim {name} must be positive: {text}"
        )),
        Ok(_) => Ok(()),
        Err(problem) => Err(format!("{name}: {problem}")),
    })
}

fn each(all: &Map<String, Value>, good: impl Fn(&str, &str) -> Result<(), String>) -> Result<(), String> {
    for (name, value) in all {
        Signal::parse(name)?;
        let text = value
            .as_str()
            .ok_or_else(|| format!("{name}: {value} is not text"))?;
        good(name, text)?;
    }
    Ok(())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A threshold's level; `None` for the percentages that switch it off.
fn threshold_level(name: &str, text: &str) -> Result<Option<Level>, String> {
    if matches!(text, "0%" | "100%") {
        return Ok(None);
    }
    match level_of(text).map_err(|problem| format!("{name}: {problem}"))? {
        Level::Part(part) if part < 0.0 => Err(format!(
            "eviction percentage threshold {name} must be >= 0%: {text}"
        )),
        Level::Part(part) if part > 1.0 => Err(format!(
            "eviction percentage threshold {name} must be <= 100%: {text}"
        )),
        Level::Quantity { value: 0, .. } => {
            Err(format!("eviction threshold {name} must be positive: {text}"))
        }
        level => Ok(Some(level)),
    }
}

fn level_of(text: &str) -> Result<Level, String> {
    let none = || format!("{text:?} is neither a quantity, as 10Mi, nor a percentage, as 10%");
    if let Some(percent) = text.strip_suffix('%') {
        let percent: f32 = percent.parse().map_err(|_| none())?;
        return if percent.is_finite() {
            Ok(Level::Part(percent / 100.0))
        } else {
            Err(none())
        };
    }
    let value = quantity(text).ok_or_else(none)?;
    Ok(Level::Quantity {
        value,
        text: text.into(),
    })
}

#[cfg(test)]
mod tests;
