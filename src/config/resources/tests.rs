use super::*;
use crate::config::settings::tests::file;
use serde_json::json;

/// Fields are between semicolons.
fn of(text: &str) -> Result<ResourceConfig, String> {
    let config = file(&text.replace("; ", "\n"), &[]).map_err(|error| error.to_string())?;
    Ok(config.kubelet.resources.clone())
}

#[test]
fn nothing_said_is_upstreams_default() {
    assert_eq!(of("").unwrap(), ResourceConfig::default());
}

#[test]
fn reservations_and_their_enforcement() {
    let config = of("\
kubeReserved: {cpu: 200m, memory: 1Gi}
systemReserved: {pid: '500', ephemeral-storage: 1Gi}
kubeReservedCgroup: /kube
systemReservedCgroup: /system.slice
enforceNodeAllocatable: [kube-reserved-compressible, system-reserved]
")
    .unwrap();
    assert_eq!(config.kube.amounts["cpu"], Quantity("200m".into()));
    assert_eq!(config.system.amounts.len(), 2);
    assert_eq!(config.kube.enforce, Enforce::Compressible);
    assert_eq!(config.system.enforce, Enforce::All);
    assert_eq!(
        (&*config.kube.cgroup, &*config.system.cgroup),
        ("/kube", "/system.slice")
    );
    assert!(!config.enforce_pods);
}

#[test]
fn what_does_not_go_together_is_refused() {
    for (text, word) in [
        (
            "enforceNodeAllocatable: [pods, kube-reserved]",
            "kubeReservedCgroup",
        ),
        (
            "enforceNodeAllocatable: [pods]; cgroupsPerQOS: false",
            "cgroupsPerQOS",
        ),
        (
            "reservedSystemCPUs: 0-1; kubeReservedCgroup: /k",
            "reservedSystemCPUs",
        ),
        ("cpuCFSQuotaPeriod: 2s", "cpuCFSQuotaPeriod"),
        ("kubeReserved: {gpu: '1'}", "cannot reserve \"gpu\" resource"),
        ("kubeReserved: {cpu: '-1'}", "cpu"),
        ("enforceNodeAllocatable: [none, pods]", "none"),
        ("enforceNodeAllocatable: [pods, pods]", "twice"),
        ("enforceNodeAllocatable: [everything]", "everything"),
        (
            "enforceNodeAllocatable: [kube-reserved, kube-reserved-compressible]",
            "less",
        ),
        ("reservedSystemCPUs: 3-1", "3-1"),
    ] {
        let problem = of(text).unwrap_err();
        assert!(problem.contains(word), "{text}: {problem}");
    }
    let free = of("enforceNodeAllocatable: [none]; cgroupsPerQOS: false").unwrap();
    assert!(!free.cgroups_per_qos && !free.enforce_pods);
}

#[test]
fn limits_of_pods() {
    let config =
        of("podPidsLimit: 100; podsPerCore: 5; cpuCFSQuota: false; cpuCFSQuotaPeriod: 10ms").unwrap();
    assert_eq!((config.pod_pids, config.pods_per_core), (Some(100), Some(5)));
    assert_eq!(
        (config.cfs_quota, config.cfs_period),
        (false, Duration::from_millis(10))
    );
    assert_eq!(of("podPidsLimit: -1").unwrap().pod_pids, None);
    assert!(
        of("memorySwap: {swapBehavior: LimitedSwap}")
            .unwrap()
            .limited_swap
    );
    assert_eq!(
        of("singleProcessOOMKill: false").unwrap().single_process_oom_kill,
        Some(false)
    );
}

#[test]
fn lists_of_cpus() {
    assert_eq!(cpus("0-2,7"), Ok([0, 1, 2, 7].into()));
    assert_eq!(cpus(""), Ok(BTreeSet::new()));
    for bad in [",", "a", "1-", "-1", "2-1", "0-99999999", "1,,2"] {
        assert!(cpus(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_reservation_is_a_map() {
    assert!(check_reserved(&json!([])).is_err());
    assert!(check_reserved(&json!({"cpu": 1})).is_err(), "text, as upstream");
}
