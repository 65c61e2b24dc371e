//! PURE. CPU and memory of a container, as cgroups take them.

use super::container::ContainerInput;
use crate::cri::v1;
use crate::kubelet::{qos, resize};

/// Resources of a container.
pub(super) fn linux(input: &ContainerInput<'_>) -> v1::LinuxContainerResources {
    let limits = resize::limits(&input.container.resources);
    let mut unified = std::collections::BTreeMap::new();
    if input.cgroup_v2 && !input.single_process_oom_kill {
        unified.insert("memory.oom.group".to_owned(), "1".to_owned());
    }
    v1::LinuxContainerResources {
        cpu_period: resize::PERIOD,
        cpu_quota: limits.quota,
        cpu_shares: limits.shares,
        memory_limit_in_bytes: limits.memory,
        oom_score_adj: qos::oom_score_adj(input.pod, input.container, input.memory_capacity),
        unified,
        ..v1::LinuxContainerResources::default()
    }
}
