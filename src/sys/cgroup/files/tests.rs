use super::*;
use std::collections::BTreeMap;

fn everything() -> CgroupSettings {
    CgroupSettings {
        cpu_shares: Some(1024),
        cpu_max: Some(CpuMax {
            quota: Some(50_000),
            period: PERIOD,
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
fn what_is_written_can_be_read() {
    for v2 in [true, false] {
        let mut wanted = everything();
        wanted.hugepages.clear();
        let files: BTreeMap<_, _> = writes(&wanted, v2)
            .into_iter()
            .map(|w| (w.file, w.value))
            .collect();
        let mut found = settings(v2, |_, file| files.get(file).map(|text| format!("{text}\n")));
        if v2 {
            assert_eq!(found.cpu_shares, Some(998), "a weight stands for some shares");
            found.cpu_shares = wanted.cpu_shares;
        }
        assert_eq!(found, wanted);
    }
    let none = |_: &'static str, file: &str| match file {
        "cpu.max" => Some("max 100000".to_owned()),
        "memory.max" | "pids.max" => Some("max".to_owned()),
        "memory.limit_in_bytes" => Some("9223372036854771712".to_owned()),
        "cpu.cfs_period_us" => Some("100000".to_owned()),
        "cpu.cfs_quota_us" => Some("-1".to_owned()),
        _ => None,
    };
    for v2 in [true, false] {
        let free = CgroupSettings {
            cpu_max: Some(CpuMax {
                quota: None,
                period: PERIOD,
            }),
            ..CgroupSettings::default()
        };
        assert_eq!(settings(v2, none), free, "no limits");
        assert_eq!(settings(v2, |_, _| None), CgroupSettings::default());
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
    for (weight_, shares_) in [(1, 2), (39, 998), (100, 2597), (10_000, 262_144)] {
        assert_eq!(shares(weight_), shares_, "{weight_}");
        assert!(weight(shares(weight_)) <= weight_);
    }
}

#[test]
fn page_sizes_are_named_as_the_kernel_does() {
    assert_eq!(
        [64 << 10, 2 << 20, 1 << 30, 16 << 30].map(page_name),
        ["64KB", "2MB", "1GB", "16GB"]
    );
}
