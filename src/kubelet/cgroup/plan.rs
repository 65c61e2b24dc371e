//! PURE. What the cgroups of Pods, of the classes and of the whole node are given.

use crate::kubelet::qos::{self, Qos};
use crate::kubelet::resources::{self, List};
use crate::model::cgroup::{CgroupSettings, CpuMax};
use crate::model::pod::Pod;
use std::collections::BTreeMap;

#[cfg(test)]
mod tests;

/// Shares of who asks for no CPU; also the least there is.
pub const MIN_SHARES: u64 = 2;
/// The most shares there are.
pub const MAX_SHARES: u64 = 262_144;
/// Smallest CFS quota, microseconds.
const MIN_QUOTA: u64 = 1000;
/// Where kubelet says "as much as you like" of huge pages, bytes.
const UNBOUNDED: u64 = 1 << 62;
/// Process ids, as reservations name them.
pub const PIDS: &str = "pid";

/// How CPU limits are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cfs {
    /// `cpuCFSQuota`: they are kept at all.
    pub enforced: bool,
    /// `cpuCFSQuotaPeriod`, microseconds.
    pub period: u64,
}

impl Default for Cfs {
    fn default() -> Self {
        Self {
            enforced: true,
            period: 100_000,
        }
    }
}

impl Cfs {
    /// Microseconds of CPU time in every period for a limit in thousandths of a CPU.
    pub fn quota(self, milli: i64) -> Option<u64> {
        let milli = u64::try_from(milli).ok().filter(|milli| *milli > 0)?;
        let quota = milli.saturating_mul(self.period) / 1000;
        self.enforced.then_some(quota.max(MIN_QUOTA))
    }
}

/// What is the same for all Pods of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// How CPU limits are kept.
    pub cfs: Cfs,
    /// `podPidsLimit`: the most processes of a Pod; `None` for no limit.
    pub pids: Option<u64>,
    /// Sizes of the huge pages the kernel knows, bytes.
    pub page_sizes: Vec<u64>,
}

impl Rules {
    /// What a Pod's cgroup is given. A sum of limits is a limit only where each container has one.
    pub fn pod(&self, pod: &Pod) -> CgroupSettings {
        let (requests, limits) = (resources::requests(pod), resources::limits(pod));
        let class = qos::class(pod);
        let bounded = |name| match class {
            Qos::Guaranteed => true,
            Qos::Burstable => resources::limited(pod, name),
            Qos::BestEffort => false,
        };
        let cpu = resources::of(&limits, "cpu").milli();
        let memory = resources::of(&limits, "memory").value();
        CgroupSettings {
            cpu_shares: Some(match class {
                Qos::BestEffort => MIN_SHARES,
                _ => shares(resources::of(&requests, "cpu").milli()),
            }),
            cpu_max: bounded("cpu").then(|| CpuMax {
                quota: self.cfs.quota(cpu),
                period: self.cfs.period,
            }),
            memory: u64::try_from(memory).ok().filter(|m| *m > 0 && bounded("memory")),
            pids: self.pids,
            hugepages: self.pages(&resources::hugepages(&requests)),
        }
    }

    /// What the cgroup of a class is given, beside the Pods of the node: burstable ones share what they ask for.
    pub fn class<'a>(&self, class: Qos, pods: impl Iterator<Item = &'a Pod>) -> CgroupSettings {
        let cpu = |pod: &Pod| resources::of(&resources::requests(pod), "cpu").milli();
        let burstable = || pods.filter(|pod| qos::class(pod) == Qos::Burstable);
        CgroupSettings {
            cpu_shares: match class {
                Qos::Guaranteed => None,
                Qos::Burstable => Some(shares(burstable().map(cpu).fold(0, i64::saturating_add))),
                Qos::BestEffort => Some(MIN_SHARES),
            },
            hugepages: self.page_sizes.iter().map(|size| (*size, UNBOUNDED)).collect(),
            ..CgroupSettings::default()
        }
    }

    /// What a cgroup that may use these amounts is given: that of all Pods, or that of the system. `compressible`: only
    /// the share of CPU, which nobody dies of.
    pub fn node(&self, amounts: &List, compressible: bool) -> CgroupSettings {
        let amount = |name: &str| amounts.get(name).copied();
        let whole = |name: &str| amount(name).and_then(|a| u64::try_from(a.value()).ok());
        let cpu_shares = amount("cpu").map(|cpu| shares(cpu.milli()));
        if compressible {
            return CgroupSettings {
                cpu_shares,
                ..CgroupSettings::default()
            };
        }
        CgroupSettings {
            cpu_shares,
            cpu_max: None,
            memory: whole("memory"),
            pids: whole(PIDS),
            hugepages: self.pages(&resources::hugepages(amounts)),
        }
    }

    /// Nothing of the page sizes that are not named.
    fn pages(&self, named: &BTreeMap<u64, u64>) -> BTreeMap<u64, u64> {
        let sizes = self.page_sizes.iter();
        sizes
            .map(|size| (*size, named.get(size).copied().unwrap_or(0)))
            .collect()
    }
}

/// Thousandths of a CPU as `cpu.shares`: 1024 for a whole one.
pub fn shares(milli: i64) -> u64 {
    let shares = u64::try_from(milli).unwrap_or(0).saturating_mul(1024) / 1000;
    shares.clamp(MIN_SHARES, MAX_SHARES)
}
