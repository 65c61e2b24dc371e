//! PURE. How long Pods may take when the machine goes down (graceful node shutdown), as `KubeletConfiguration` says it.

use super::Error;
use super::check::{number, object};
use super::gates;
use super::settings::Settings;
use serde_json::Value;
use std::time::Duration;

/// The field with a period for each priority.
const BY_PRIORITY: &str = "shutdownGracePeriodByPodPriority";
/// The field for all Pods together.
const TOTAL: &str = "shutdownGracePeriod";
/// The part of it that is kept for critical Pods.
const CRITICAL: &str = "shutdownGracePeriodCriticalPods";
/// Priority from which on a Pod is critical: that of the class `system-cluster-critical`.
const CRITICAL_PRIORITY: i32 = 2_000_000_000;

/// What Pods of a priority get: it counts for them and for those above, up to the next period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShutdownPeriod {
    /// The lowest priority it is meant for.
    pub priority: i32,
    /// Seconds from their first signal to when the next ones have their turn.
    pub seconds: u32,
}

/// Settings of graceful node shutdown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShutdownConfig {
    /// Lowest priority first, the order Pods end in. Without any, a shutdown of the machine is none of our business.
    pub periods: Vec<ShutdownPeriod>,
    /// When shutdowns begin and end is remembered and told by metrics.
    pub recorded: bool,
}

impl ShutdownConfig {
    /// How long the machine has to wait for us.
    pub fn total(&self) -> Duration {
        let seconds = self.periods.iter().map(|period| u64::from(period.seconds)).sum();
        Duration::from_secs(seconds)
    }
}

/// The section, from fields that are valid one by one.
pub(super) fn config(settings: &Settings) -> Result<ShutdownConfig, Error> {
    let gates = gates::Set(settings.value("featureGates"));
    let (graceful, by_priority) = (gates.graceful_shutdown(), gates.shutdown_by_priority());
    let (total, critical) = (settings.duration(TOTAL), settings.duration(CRITICAL));
    let listed = listed(settings.value(BY_PRIORITY));
    let given = if total.is_zero() { CRITICAL } else { TOTAL };
    let any = !total.is_zero() || !critical.is_zero();
    if any && !graceful {
        return Err(Error::new(given, "needs the feature gate GracefulNodeShutdown"));
    }
    if !listed.is_empty() && !by_priority {
        let problem = "needs the feature gate GracefulNodeShutdownBasedOnPodPriority";
        return Err(Error::new(BY_PRIORITY, problem));
    }
    for (field, period) in [(TOTAL, total), (CRITICAL, critical)] {
        if !period.is_zero() && period < Duration::from_secs(1) {
            let problem = format!("{:?} is neither zero nor at least 1s", settings.text(field));
            return Err(Error::new(field, problem));
        }
    }
    if critical > total {
        let problem = format!(
            "{:?} is more than {TOTAL}, {:?}, which it is a part of",
            settings.text(CRITICAL),
            settings.text(TOTAL)
        );
        return Err(Error::new(CRITICAL, problem));
    }
    if any && !listed.is_empty() {
        return Err(Error::new(BY_PRIORITY, format!("cannot be given beside {given}")));
    }
    let mut periods = match (graceful, listed.is_empty()) {
        (false, _) => Vec::new(),
        (true, true) => of_all(total, critical),
        (true, false) => listed,
    };
    periods.sort_by_key(|period| period.priority);
    Ok(ShutdownConfig {
        periods,
        recorded: by_priority,
    })
}

/// One period for critical Pods, one for all others before them; none for no time at all.
fn of_all(total: Duration, critical: Duration) -> Vec<ShutdownPeriod> {
    if total.is_zero() {
        return Vec::new();
    }
    let period = |priority, time: Duration| ShutdownPeriod {
        priority,
        seconds: u32::try_from(time.as_secs()).unwrap_or(u32::MAX),
    };
    vec![
        period(0, total.saturating_sub(critical)),
        period(CRITICAL_PRIORITY, critical),
    ]
}

fn listed(value: &Value) -> Vec<ShutdownPeriod> {
    let all = value.as_array().into_iter().flatten();
    all.map(|period| ShutdownPeriod {
        priority: period["priority"]
            .as_i64()
            .and_then(|n| n.try_into().ok())
            .unwrap_or(0),
        seconds: period["shutdownGracePeriodSeconds"]
            .as_u64()
            .and_then(|n| n.try_into().ok())
            .unwrap_or(0),
    })
    .collect()
}

/// What is wrong with a list of periods, if something is.
pub(super) fn check_periods(value: &Value) -> Result<(), String> {
    let all = value
        .as_array()
        .ok_or_else(|| format!("{value} is not a list of periods"))?;
    for (at, period) in all.iter().enumerate() {
        for (name, value) in object(period, "a priority and its period")? {
            let bounds = match &**name {
                "priority" => i64::from(i32::MIN)..=i64::from(i32::MAX),
                "shutdownGracePeriodSeconds" => 0..=i64::from(i32::MAX),
                _ => return Err(format!("[{at}].{name}: there is no such field")),
            };
            if !value.is_null() {
                number(value, &bounds).map_err(|problem| format!("[{at}].{name}: {problem}"))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
