use super::*;

/// `name=value` of `a(sv)`.
fn told(properties: &Value) -> Vec<String> {
    let Value::Array(_, all) = properties else {
        return Vec::new();
    };
    let one = |pair: &Value| match pair {
        Value::Struct(fields) => match &fields[..] {
            [Value::Text(name), Value::Variant(value)] => match &**value {
                Value::U64(u64::MAX) => format!("{name}=infinity"),
                Value::U64(number) => format!("{name}={number}"),
                other => format!("{name}={other:?}"),
            },
            _ => format!("{fields:?}"),
        },
        other => format!("{other:?}"),
    };
    all.iter().map(one).collect()
}

#[test]
fn the_last_level_is_the_unit_and_the_one_before_its_parent() {
    for (cgroup, name, parent) in [
        ("/kubepods.slice", "kubepods.slice", "-.slice"),
        (
            "/kubepods.slice/kubepods-burstable.slice",
            "kubepods-burstable.slice",
            "kubepods.slice",
        ),
        (
            "/a.slice/a-kubepods.slice/a-kubepods-podx_y.slice",
            "a-kubepods-podx_y.slice",
            "a-kubepods.slice",
        ),
    ] {
        let expected = Unit {
            name: name.into(),
            parent: parent.into(),
        };
        assert_eq!(unit(cgroup), expected, "{cgroup}");
    }
}

#[test]
fn a_slice_counts_everything_and_hangs_on_its_parent() {
    let unit = unit("/kubepods.slice/kubepods-burstable.slice");
    let properties = start(&unit, true);
    assert_eq!(properties.signature(), "a(sv)");
    assert_eq!(
        told(&properties),
        [
            r#"Description=Text("Kubernetes pods of kubepods-burstable.slice")"#,
            r#"Wants=Array("s", [Text("kubepods.slice")])"#,
            "DefaultDependencies=Bool(false)",
            "MemoryAccounting=Bool(true)",
            "CPUAccounting=Bool(true)",
            "IOAccounting=Bool(true)",
            "TasksAccounting=Bool(true)",
        ]
    );
    assert!(told(&start(&unit, false)).contains(&"BlockIOAccounting=Bool(true)".to_owned()));
}

#[test]
fn limits_are_properties() {
    let max = |quota, period| Some(CpuMax { quota, period });
    let all = CgroupSettings {
        cpu_shares: Some(1024),
        cpu_max: max(Some(50_000), 100_000),
        memory: Some(1 << 30),
        pids: Some(0),
        hugepages: [(2 << 20, 0)].into(),
    };
    assert_eq!(
        told(&limits(&all, true)),
        [
            "MemoryMax=1073741824",
            "CPUWeight=39",
            "CPUQuotaPeriodUSec=100000",
            "CPUQuotaPerSecUSec=500000",
            "TasksMax=1"
        ]
    );
    assert_eq!(
        told(&limits(&all, false))[..2],
        ["MemoryLimit=1073741824", "CPUShares=1024"]
    );
    let none = limits(&CgroupSettings::default(), true);
    assert_eq!((told(&none), none.signature()), (vec![], "a(sv)".to_owned()));
    // Quota, period; what a second has, and the quota that is.
    for (quota, period, second, made) in [
        (Some(1000), 100_000, "10000", Some(1000)),
        (Some(12_345), 100_000, "130000", Some(13_000)),
        (Some(150_000), 100_000, "1500000", Some(150_000)),
        (Some(10_100), 10_000, "1010000", Some(10_100)),
        (None, 100_000, "infinity", None),
    ] {
        let settings = CgroupSettings {
            cpu_max: max(quota, period),
            ..CgroupSettings::default()
        };
        let found = told(&limits(&settings, true));
        assert_eq!(
            found[1],
            format!("CPUQuotaPerSecUSec={second}"),
            "{quota:?} of {period}"
        );
        assert_eq!(
            rounded(&settings).cpu_max,
            max(made, period),
            "{quota:?} of {period}"
        );
    }
}
