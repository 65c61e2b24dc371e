//! PURE. What a container and a sandbox may use, as the runtime is told.

use crate::cri::v1;
use crate::kubelet::cgroup::plan::{Cfs, shares};
use crate::kubelet::qos;
use crate::kubelet::quantity::{self, Amount};
use crate::kubelet::resources::{self, List};
use crate::model::cgroup::page_name;
use crate::model::pod::{Container, Pod};
use std::collections::BTreeMap;

/// From this priority on a Pod is critical, for the node or the cluster.
const CRITICAL: i32 = 2_000_000_000;

/// What a node does about resources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeLimits {
    /// Memory of the node, bytes.
    pub memory: i64,
    /// Swap of the node, bytes.
    pub swap: i64,
    /// The node uses cgroup v2.
    pub v2: bool,
    /// Swap is counted.
    pub swap_counted: bool,
    /// `LimitedSwap`: burstable Pods get their part of the swap.
    pub limited_swap: bool,
    /// Out of memory kills one process, not the whole container.
    pub single_process_oom_kill: bool,
    /// How CPU limits are kept.
    pub cfs: Cfs,
    /// Sizes of the huge pages the kernel knows, bytes.
    pub page_sizes: Vec<u64>,
    /// The machine forbids an `oom_score_adj` below this; `None`: it forbids none.
    pub lowest_oom_score: Option<i64>,
}

impl NodeLimits {
    /// Resources of a container.
    pub fn container(&self, pod: &Pod, container: &Container) -> v1::LinuxContainerResources {
        let own = resources::effective(pod, container);
        let amount = |name| quantity::of(&own.limits, name);
        let request = own.requests.get("cpu");
        let request = request.map(|_| quantity::of(&own.requests, "cpu"));
        let mut all = self.amounts(request, amount("cpu"), amount("memory"));
        let score = qos::oom_score_adj(pod, container, self.memory);
        all.oom_score_adj = self.lowest_oom_score.map_or(score, |lowest| score.max(lowest));
        all.hugepage_limits = self.hugepages(pod, container);
        self.limit_swap(&mut all, pod, container);
        all
    }

    /// What a running container is told to change to: all of it, and that there is no limit where there is none.
    pub fn update(&self, pod: &Pod, container: &Container) -> v1::LinuxContainerResources {
        let mut all = self.container(pod, container);
        // To the runtime 0 means: as it is.
        for number in [&mut all.cpu_quota, &mut all.memory_limit_in_bytes] {
            if *number == 0 {
                *number = -1;
            }
        }
        if !self.v2 && self.swap_counted {
            all.memory_swap_limit_in_bytes = all.memory_limit_in_bytes;
        }
        all
    }

    /// Resources of a Pod but for its overhead, and that overhead: what a runtime with machines for sandboxes goes by.
    pub fn sandbox(&self, pod: &Pod) -> (v1::LinuxContainerResources, v1::LinuxContainerResources) {
        let requests = resources::requests_without_overhead(pod);
        let limits = resources::limits_without_overhead(pod);
        let of = |list: &List, name| resources::of(list, name);
        let request = requests.get("cpu").copied();
        let all = self.amounts(request, of(&limits, "cpu"), of(&limits, "memory"));
        let over = |name| quantity::of(&pod.spec.overhead, name);
        let overhead = if pod.spec.overhead.is_empty() {
            v1::LinuxContainerResources::default()
        } else {
            self.amounts(Some(over("cpu")), over("cpu"), over("memory"))
        };
        (all, overhead)
    }

    /// Who does not say what CPU it asks for asks for its limit.
    fn amounts(&self, request: Option<Amount>, cpu: Amount, memory: Amount) -> v1::LinuxContainerResources {
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let (mut quota, mut period) = (0, 0);
        if self.cfs.enforced {
            quota = self.cfs.quota(cpu.milli()).map_or(0, number);
            period = number(self.cfs.period);
        }
        let mut unified = BTreeMap::new();
        if self.v2 && !self.single_process_oom_kill {
            unified.insert("memory.oom.group".to_owned(), "1".to_owned());
        }
        v1::LinuxContainerResources {
            cpu_period: period,
            cpu_quota: quota,
            cpu_shares: number(shares(request.unwrap_or(cpu).milli())),
            memory_limit_in_bytes: memory.value(),
            unified,
            ..v1::LinuxContainerResources::default()
        }
    }

    /// The container's own limits before the Pod's; no pages of sizes nobody asks for.
    fn hugepages(&self, pod: &Pod, container: &Container) -> Vec<v1::HugepageLimit> {
        let whole = resources::pod_level(pod);
        let lists = whole
            .map(|r| &r.limits)
            .into_iter()
            .chain([&container.resources.limits]);
        let mut named = BTreeMap::new();
        for name in lists.clone().flat_map(BTreeMap::keys) {
            if let Some(size) = resources::page_size(name) {
                let said = lists.clone().rfind(|list| list.contains_key(name));
                let amount = said.map_or(0, |list| quantity::of(list, name).value());
                named.insert(size, u64::try_from(amount).unwrap_or(0));
            }
        }
        let limit = |size: &u64| v1::HugepageLimit {
            page_size: page_name(*size),
            limit: named.get(size).copied().unwrap_or(0),
        };
        self.page_sizes.iter().map(limit).collect()
    }

    /// Swap is for burstable Pods that ask for memory, if for anybody (KEP-2400).
    fn limit_swap(&self, all: &mut v1::LinuxContainerResources, pod: &Pod, container: &Container) {
        if !self.swap_counted {
            return;
        }
        if !self.v2 {
            // Memory and swap together: none beyond the memory.
            all.memory_swap_limit_in_bytes = all.memory_limit_in_bytes;
            return;
        }
        let bytes = if self.may_swap(pod, container) {
            let request = quantity::of(&container.resources.requests, "memory").value();
            self.swap_for(request)
        } else {
            0
        };
        all.unified
            .insert("memory.swap.max".to_owned(), bytes.to_string());
    }

    /// Whether a container gets a part of the node's swap.
    pub fn may_swap(&self, pod: &Pod, container: &Container) -> bool {
        let request = quantity::of(&container.resources.requests, "memory");
        let limit = quantity::of(&container.resources.limits, "memory");
        self.limited_swap
            && self.swap_counted
            && self.v2
            && pod.spec.priority.is_none_or(|p| p < CRITICAL)
            && qos::class(pod) == qos::Qos::Burstable
            && request != limit
    }

    /// As much of the swap as of the memory.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "upstream's arithmetic"
    )]
    fn swap_for(&self, request: i64) -> i64 {
        if self.memory <= 0 || request > self.memory {
            return 0;
        }
        (request as f64 / self.memory as f64 * self.swap as f64) as i64
    }
}

#[cfg(test)]
mod tests;
