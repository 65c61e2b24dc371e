#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::model::cgroup::CpuMax;
use crate::testing::fake_systemd::{FakeSystemd, PrivateBus};

const POD: &str = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podx.slice";

fn memory(bytes: u64) -> CgroupSettings {
    CgroupSettings {
        memory: Some(bytes),
        ..CgroupSettings::default()
    }
}

#[tokio::test]
async fn slices_come_change_and_go_over_a_real_bus() {
    let dir = tempfile::tempdir().unwrap();
    let bus = PrivateBus::start(dir.path());
    let systemd = Systemd::at(bus.address());
    let error = systemd.give(POD, &memory(1), true).await.unwrap_err().to_string();
    assert!(
        error.starts_with("unit kubepods-burstable-podx.slice: ") && error.contains("ServiceUnknown"),
        "{error}"
    );
    let machine = FakeSystemd::start(bus.address(), dir.path().into())
        .await
        .unwrap();
    systemd.give(POD, &memory(1), true).await.unwrap();
    let cpu = CgroupSettings {
        cpu_max: Some(CpuMax {
            quota: Some(50_000),
            period: 100_000,
        }),
        ..CgroupSettings::default()
    };
    systemd.give(POD, &cpu, true).await.unwrap();
    let units = machine.units();
    assert_eq!(
        units.keys().collect::<Vec<_>>(),
        ["kubepods-burstable-podx.slice"]
    );
    let unit = &units["kubepods-burstable-podx.slice"];
    for (name, value) in [
        ("MemoryMax", Value::U64(1)),
        ("CPUQuotaPerSecUSec", Value::U64(500_000)),
        ("DefaultDependencies", Value::Bool(false)),
        (
            "Wants",
            Value::Array("s".into(), vec!["kubepods-burstable.slice".into()]),
        ),
    ] {
        assert_eq!(unit.get(name), Some(&value), "{unit:?}");
    }
    systemd.stop(POD).await.unwrap();
    assert!(machine.units().is_empty());
    systemd.stop(POD).await.unwrap();
}
