use super::*;

fn everything() -> CgroupSettings {
    CgroupSettings {
        cpu_shares: Some(1024),
        cpu_max: Some(CpuMax {
            quota: Some(50_000),
            period: 100_000,
        }),
        memory: Some(1 << 30),
        pids: Some(100),
        hugepages: [(2 << 20, 4 << 20), (1 << 30, 0)].into(),
    }
}

fn texts(settings: &CgroupSettings, v2: bool) -> Vec<String> {
    let all = writes(settings, v2);
    all.iter().map(|w| format!("{}: {}", w.file, w.value)).collect()
}

#[test]
fn everything_on_v2() {
    let want = [
        "cpu.weight: 39",
        "cpu.max: 50000 100000",
        "memory.max: 1073741824",
        "pids.max: 100",
        "hugetlb.2MB.max: 4194304",
        "hugetlb.2MB.rsvd.max: 4194304",
        "hugetlb.1GB.max: 0",
        "hugetlb.1GB.rsvd.max: 0",
    ];
    assert_eq!(texts(&everything(), true), want);
}

#[test]
fn everything_on_v1() {
    let want = [
        "cpu.shares: 1024",
        "cpu.cfs_period_us: 100000",
        "cpu.cfs_quota_us: 50000",
        "memory.limit_in_bytes: 1073741824",
        "pids.max: 100",
        "hugetlb.2MB.limit_in_bytes: 4194304",
        "hugetlb.2MB.rsvd.limit_in_bytes: 4194304",
        "hugetlb.1GB.limit_in_bytes: 0",
        "hugetlb.1GB.rsvd.limit_in_bytes: 0",
    ];
    assert_eq!(texts(&everything(), false), want);
}

#[test]
fn no_quota_is_said_and_what_is_not_set_is_left_alone() {
    let free = CgroupSettings {
        cpu_max: Some(CpuMax {
            quota: None,
            period: 10_000,
        }),
        ..CgroupSettings::default()
    };
    assert_eq!(texts(&free, true), ["cpu.max: max 10000"]);
    assert_eq!(
        texts(&free, false),
        ["cpu.cfs_period_us: 10000", "cpu.cfs_quota_us: -1"]
    );
    for v2 in [true, false] {
        assert_eq!(texts(&CgroupSettings::default(), v2), [""; 0]);
    }
}

#[test]
fn weights_are_kubelets() {
    for (shares_, weight_) in [
        (0, 1),
        (2, 1),
        (102, 4),
        (1024, 39),
        (2048, 79),
        (262_144, 10_000),
        (u64::MAX, 10_000),
    ] {
        assert_eq!(weight(shares_), weight_, "{shares_}");
    }
}

#[test]
fn page_sizes_are_named_as_the_kernel_does() {
    assert_eq!(
        [64 << 10, 2 << 20, 1 << 30, 16 << 30].map(page_name),
        ["64KB", "2MB", "1GB", "16GB"]
    );
}
