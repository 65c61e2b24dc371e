use super::*;

fn used(id: &str, at: i64, cpu: u64) -> Used {
    let mut usage = CgroupUse {
        read_at: at,
        ..CgroupUse::default()
    };
    usage.cpu.total = Some(cpu);
    Used::new(id, usage)
}

fn snapshot(at: i64, cpu: u64) -> Snapshot {
    Snapshot {
        root: used("/", at, cpu),
        ..Snapshot::default()
    }
}

#[test]
fn a_rate_is_what_was_spent_between_two_looks() {
    const SECOND: i64 = 1_000_000_000;
    let cases = [
        // (first, second, rate)
        ((SECOND, 0), (3 * SECOND, 1_000_000_000), Some(500_000_000)),
        ((SECOND, 0), (2 * SECOND, 2_000_000_000), Some(2_000_000_000)),
        ((SECOND, 7), (2 * SECOND, 7), Some(0)),
        // Another container under the same name, too short a time, and a clock that was set back.
        ((SECOND, 9), (2 * SECOND, 7), None),
        ((SECOND, 0), (SECOND + 1, 7), None),
        ((2 * SECOND, 0), (SECOND, 7), None),
    ];
    for ((at, cpu), (then, later), wanted) in cases {
        let mut second = snapshot(then, later);
        second.rate(&snapshot(at, cpu).times());
        assert_eq!(second.root.nano_cores, wanted, "{at} {cpu} {then} {later}");
    }
    let mut alone = snapshot(SECOND, 5);
    alone.rate(&Before::default());
    assert_eq!(alone.root.nano_cores, None);
}

#[test]
fn the_runtimes_numbers_stand_in_for_a_cgroup() {
    let value = |value| Some(v1::UInt64Value { value });
    let cpu = v1::CpuUsage {
        timestamp: 5,
        usage_core_nano_seconds: value(77),
        usage_nano_cores: None,
    };
    let memory = v1::MemoryUsage {
        timestamp: 6,
        working_set_bytes: value(60),
        available_bytes: value(40),
        usage_bytes: value(70),
        rss_bytes: value(50),
        page_faults: value(3),
        major_page_faults: value(1),
    };
    let found = from_cri(Some(&cpu), Some(&memory), Some(2));
    assert_eq!((found.read_at, found.cpu.total), (6, Some(77)));
    assert_eq!((found.memory.usage, found.memory.working_set()), (Some(70), 60));
    assert_eq!(
        (found.memory.rss, found.limits.memory, found.memory.swap),
        (50, Some(100), 2)
    );
    assert_eq!(from_cri(None, None, None), CgroupUse::default());
}
