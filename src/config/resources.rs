//! PURE. What the node keeps from Pods, and how it holds Pods to what they may use.

use super::Error;
use super::settings::Settings;
use super::values::quantity;
use crate::model::pod::Quantity;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Amounts by the resource's name.
pub type Amounts = BTreeMap<Box<str>, Quantity>;

/// What may be reserved.
const RESERVABLE: [&str; 4] = ["cpu", "memory", "ephemeral-storage", "pid"];
/// What may be enforced; `none` stands alone.
const ENFORCEABLE: [&str; 6] = [
    "pods",
    "system-reserved",
    "system-reserved-compressible",
    "kube-reserved",
    "kube-reserved-compressible",
    "none",
];
/// Bounds of the CFS period.
const PERIODS: std::ops::RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(1);

/// Settings of cgroups and of what the node keeps from Pods.
#[derive(Clone, Debug, PartialEq)]
pub struct ResourceConfig {
    /// `cgroupsPerQOS`: Pods have cgroups of their own, below those of their classes; otherwise the runtime puts
    /// containers where it likes.
    pub cgroups_per_qos: bool,
    /// `cpuCFSQuota`: CPU limits are kept.
    pub cfs_quota: bool,
    /// `cpuCFSQuotaPeriod`.
    pub cfs_period: Duration,
    /// `podPidsLimit`: most processes of a Pod.
    pub pod_pids: Option<u64>,
    /// `podsPerCore`: most Pods for each CPU; `None` for no such limit.
    pub pods_per_core: Option<u32>,
    /// `singleProcessOOMKill`: out of memory kills one process and not the container; `None` for what the cgroup
    /// version's default is.
    pub single_process_oom_kill: Option<bool>,
    /// `memorySwap.swapBehavior: LimitedSwap`: burstable Pods get their part of the swap.
    pub limited_swap: bool,
    /// `kubeReserved`.
    pub kube: Reserved,
    /// `systemReserved`.
    pub system: Reserved,
    /// `reservedSystemCPUs`: CPUs that are not for Pods; their number takes the place of what is said of CPU in the
    /// reservations.
    pub reserved_cpus: BTreeSet<u32>,
    /// `enforceNodeAllocatable` has `pods`: all Pods together are held to what is not reserved.
    pub enforce_pods: bool,
}

/// What is kept for one part of the system.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reserved {
    /// How much.
    pub amounts: Amounts,
    /// The cgroup that is held to it; empty for none.
    pub cgroup: Box<str>,
    /// Whether it is.
    pub enforce: Enforce,
}

/// Whether a part of the system is held to what is reserved for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Enforce {
    /// It is not.
    #[default]
    Not,
    /// Only where that costs nobody his life: the share of CPU.
    Compressible,
    /// In full.
    All,
}

impl Default for ResourceConfig {
    fn default() -> Self {
        Self {
            cgroups_per_qos: true,
            cfs_quota: true,
            cfs_period: Duration::from_millis(100),
            pod_pids: None,
            pods_per_core: None,
            single_process_oom_kill: None,
            limited_swap: false,
            kube: Reserved::default(),
            system: Reserved::default(),
            reserved_cpus: BTreeSet::new(),
            enforce_pods: true,
        }
    }
}

/// The section, from fields that are valid one by one.
pub(super) fn config(settings: &Settings) -> Result<ResourceConfig, Error> {
    let enforced: Vec<&str> = settings.texts("enforceNodeAllocatable").collect();
    let config = ResourceConfig {
        cgroups_per_qos: settings.on("cgroupsPerQOS"),
        cfs_quota: settings.on("cpuCFSQuota"),
        cfs_period: settings.duration("cpuCFSQuotaPeriod"),
        pod_pids: positive(settings.number::<i64>("podPidsLimit")),
        pods_per_core: Some(settings.number("podsPerCore")).filter(|count| *count > 0),
        single_process_oom_kill: settings.value("singleProcessOOMKill").as_bool(),
        limited_swap: settings.text("memorySwap.swapBehavior") == "LimitedSwap",
        kube: reserved(settings, "kube", &enforced)?,
        system: reserved(settings, "system", &enforced)?,
        reserved_cpus: cpus(settings.text("reservedSystemCPUs")).unwrap_or_default(),
        enforce_pods: enforced.contains(&"pods"),
    };
    if !PERIODS.contains(&config.cfs_period) {
        let problem = format!("{:?} is not between 1ms and 1s", config.cfs_period);
        return Err(Error::new("cpuCFSQuotaPeriod", problem));
    }
    let named = !config.kube.cgroup.is_empty() || !config.system.cgroup.is_empty();
    if !config.reserved_cpus.is_empty() && named {
        let problem = "it cannot be used with systemReservedCgroup or kubeReservedCgroup";
        return Err(Error::new("reservedSystemCPUs", problem));
    }
    let given = settings.is_given("enforceNodeAllocatable");
    let any = enforced.iter().any(|word| *word != "none");
    if !config.cgroups_per_qos && any && given {
        let problem = "cgroupsPerQOS must be true where anything but none is enforced";
        return Err(Error::new("enforceNodeAllocatable", problem));
    }
    Ok(config)
}

fn reserved(settings: &Settings, who: &str, enforced: &[&str]) -> Result<Reserved, Error> {
    let all = settings.value(&format!("{who}Reserved"));
    let amounts = all.as_object().into_iter().flatten();
    let amounts =
        amounts.filter_map(|(name, text)| Some((name.as_str().into(), Quantity(text.as_str()?.into()))));
    let word = format!("{who}-reserved");
    let is = |word: &str| enforced.contains(&word);
    let enforce = match (is(&word), is(&format!("{word}-compressible"))) {
        (true, _) => Enforce::All,
        (false, true) => Enforce::Compressible,
        (false, false) => Enforce::Not,
    };
    let place = format!("{who}ReservedCgroup");
    let path = settings.text(&place);
    if enforce != Enforce::Not && path.is_empty() {
        let problem = format!("it must be set where enforceNodeAllocatable has {word}");
        return Err(Error::new(place, problem));
    }
    Ok(Reserved {
        amounts: amounts.collect(),
        cgroup: path.into(),
        enforce,
    })
}

fn positive(number: i64) -> Option<u64> {
    u64::try_from(number).ok().filter(|number| *number > 0)
}

/// What is wrong with a reservation, if something is.
pub(super) fn check_reserved(value: &Value) -> Result<(), String> {
    let all = value
        .as_object()
        .ok_or_else(|| format!("{value} is not a map of amounts"))?;
    for (name, amount) in all {
        if !RESERVABLE.contains(&name.as_str()) {
            return Err(format!("cannot reserve {name:?} resource"));
        }
        let text = amount.as_str().unwrap_or_default();
        if quantity(text).is_none() {
            return Err(format!("{name}: {amount} is not a quantity, as 500m or 1Gi"));
        }
    }
    Ok(())
}

/// What is wrong with what is to be enforced, if something is.
pub(super) fn check_enforced(words: &[&str]) -> Result<(), String> {
    for (at, word) in words.iter().enumerate() {
        if !ENFORCEABLE.contains(word) {
            return Err(format!("{word:?} is not one of {}", ENFORCEABLE.join(", ")));
        }
        if words[..at].contains(word) {
            return Err(format!("{word:?} is there twice"));
        }
        let whole = word.strip_suffix("-compressible");
        if whole.is_some_and(|whole| words.contains(&whole)) {
            return Err(format!("{word:?} is less than what else is there"));
        }
    }
    if words.contains(&"none") && words.len() > 1 {
        return Err("\"none\" stands alone".to_owned());
    }
    Ok(())
}

/// A list of CPUs as the kernel writes it: `0-2,7`.
pub(super) fn cpus(text: &str) -> Result<BTreeSet<u32>, String> {
    let bad = || format!("{text:?} is not a list of CPUs, as 0-1,4");
    let number = |text: &str| text.trim().parse::<u32>().ok().filter(|n| *n < 1 << 16);
    let mut all = BTreeSet::new();
    for part in text.split(',').filter(|_| !text.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = number(first).zip(number(last)).ok_or_else(bad)?;
        if first > last {
            return Err(bad());
        }
        all.extend(first..=last);
    }
    Ok(all)
}

#[cfg(test)]
mod tests;
