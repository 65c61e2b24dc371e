//! PURE. A cgroup as a slice of systemd: its name, and what it may use as properties.

use super::super::cgroup::files::weight;
use super::super::dbus::value::Value;
use crate::model::cgroup::{CgroupSettings, CpuMax};

/// systemd keeps CPU limits in whole percents of a CPU: so many microseconds of a second.
const PERCENT: u64 = 10_000;
/// Type of a property's name and value.
const PROPERTY: &str = "(sv)";

/// A slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// As `kubepods-burstable.slice`.
    pub name: String,
    /// The slice it is in.
    pub parent: String,
}

/// The slice of a cgroup, as `/kubepods.slice/kubepods-burstable.slice`.
pub fn unit(cgroup: &str) -> Unit {
    let mut levels = cgroup.rsplit('/').filter(|level| !level.is_empty());
    let mut next = || levels.next().unwrap_or("-.slice").to_owned();
    Unit {
        name: next(),
        parent: next(),
    }
}

/// What a slice is started with, as `a(sv)`: all is counted, and it has no place in the machine's order of starts and
/// stops.
pub fn start(unit: &Unit, v2: bool) -> Value {
    let io = if v2 { "IOAccounting" } else { "BlockIOAccounting" };
    let text = format!("Kubernetes pods of {}", unit.name);
    let wants = Value::Array("s".to_owned(), vec![unit.parent.as_str().into()]);
    let mut all = vec![
        property("Description", text.as_str()),
        property("Wants", wants),
        property("DefaultDependencies", false),
    ];
    let counted = ["MemoryAccounting", "CPUAccounting", io, "TasksAccounting"];
    all.extend(counted.map(|name| property(name, true)));
    Value::Array(PROPERTY.to_owned(), all)
}

/// What a slice may use, as `a(sv)`; what is not set stays as it is.
pub fn limits(settings: &CgroupSettings, v2: bool) -> Value {
    let (memory, cpu) = if v2 {
        let weight = settings.cpu_shares.map(weight);
        (("MemoryMax", settings.memory), ("CPUWeight", weight))
    } else {
        (
            ("MemoryLimit", settings.memory),
            ("CPUShares", settings.cpu_shares),
        )
    };
    let all = [
        memory,
        cpu,
        ("CPUQuotaPeriodUSec", settings.cpu_max.map(|max| max.period)),
        ("CPUQuotaPerSecUSec", settings.cpu_max.map(per_second)),
        // It takes no 0.
        ("TasksMax", settings.pids.map(|pids| pids.max(1))),
    ];
    let given = all
        .into_iter()
        .filter_map(|(name, value)| Some(property(name, value?)));
    Value::Array(PROPERTY.to_owned(), given.collect())
}

/// The same settings with the CPU limit that systemd makes of it, for the cgroup's own files: containers inside are
/// measured against those.
pub fn rounded(settings: &CgroupSettings) -> CgroupSettings {
    let mut settings = settings.clone();
    if let Some(max) = &mut settings.cpu_max {
        let second = per_second(*max);
        if let Some(quota) = &mut max.quota {
            *quota = second.saturating_mul(max.period) / 1_000_000;
        }
    }
    settings
}

/// CPU time of a second, microseconds, rounded up to what systemd can keep; all there is without a quota.
fn per_second(max: CpuMax) -> u64 {
    let Some(quota) = max.quota else { return u64::MAX };
    let micros = quota.saturating_mul(1_000_000) / max.period.max(1);
    micros.div_ceil(PERCENT).saturating_mul(PERCENT)
}

fn property(name: &str, value: impl Into<Value>) -> Value {
    Value::Struct(vec![name.into(), Value::variant(value)])
}

#[cfg(test)]
mod tests;
