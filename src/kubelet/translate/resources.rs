//! PURE. CPU and memory of a container, as cgroups take them.

use super::container::ContainerInput;
use crate::cri::v1;
use crate::kubelet::{qos, quantity};

/// CFS period, microseconds.
const PERIOD: i64 = 100_000;
/// Smallest CFS quota, microseconds.
const MIN_QUOTA: i64 = 1000;
/// Bounds of `cpu.shares`.
const SHARES: (i64, i64) = (2, 262_144);

/// Resources of a container.
pub(super) fn linux(input: &ContainerInput<'_>) -> v1::LinuxContainerResources {
    let resources = &input.container.resources;
    let cpu_limit = quantity::of(&resources.limits, "cpu").milli();
    let cpu_request = match resources.requests.get("cpu") {
        Some(_) => quantity::of(&resources.requests, "cpu").milli(),
        None => cpu_limit,
    };
    let mut unified = std::collections::BTreeMap::new();
    if input.cgroup_v2 && !input.single_process_oom_kill {
        unified.insert("memory.oom.group".to_owned(), "1".to_owned());
    }
    v1::LinuxContainerResources {
        cpu_period: PERIOD,
        cpu_quota: quota(cpu_limit),
        cpu_shares: shares(cpu_request),
        memory_limit_in_bytes: quantity::of(&resources.limits, "memory").value(),
        oom_score_adj: qos::oom_score_adj(input.pod, input.container, input.memory_capacity),
        unified,
        ..v1::LinuxContainerResources::default()
    }
}

/// Microseconds of CPU per period; 0 for no limit.
fn quota(milli: i64) -> i64 {
    if milli <= 0 {
        0
    } else {
        (milli.saturating_mul(PERIOD) / 1000).max(MIN_QUOTA)
    }
}

fn shares(milli: i64) -> i64 {
    (milli.saturating_mul(1024) / 1000).clamp(SHARES.0, SHARES.1)
}
