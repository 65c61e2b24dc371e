use super::*;
use crate::testing::builders::{container, pod};
use crate::testing::fake_systemd::{FakeSystemd, PrivateBus};

fn names(systemd: bool) -> Option<Names> {
    let root = "/".into();
    Some(Names { root, systemd })
}

/// A v2 hierarchy made of plain files, each with what the kernel would put there.
fn tree(dirs: &[&str]) -> (tempfile::TempDir, Arc<Cgroups>) {
    let dir = tempfile::tempdir().unwrap();
    for name in [""].iter().chain(dirs) {
        let at = dir.path().join(name);
        std::fs::create_dir_all(&at).unwrap();
        for (file, text) in [
            ("cgroup.controllers", "cpu memory pids"),
            ("cgroup.subtree_control", "cpu memory pids"),
            ("cgroup.procs", ""),
            ("cpu.weight", "100"),
            ("cpu.max", "max 100000"),
            ("memory.max", "max"),
            ("pids.max", "max"),
        ] {
            std::fs::write(at.join(file), text).unwrap();
        }
    }
    let cgroups = Arc::new(Cgroups::unified(dir.path()));
    (dir, cgroups)
}

#[tokio::test]
async fn a_pods_cgroup_is_given_what_the_pod_may_use() {
    let burstable = "kubepods/burstable";
    let (dir, kernel) = tree(&["kubepods", burstable, "kubepods/burstable/poduid-p"]);
    let rules = Rules {
        pids: Some(77),
        ..Rules::default()
    };
    let cgroups = PodCgroups::new(Some(kernel), names(false), rules);
    let mut p = pod("p", &[]);
    let mut c = container("c");
    for list in [&mut c.resources.requests, &mut c.resources.limits] {
        list.insert("cpu".into(), crate::model::pod::Quantity("500m".into()));
    }
    p.spec.containers.push(c);
    assert_eq!(cgroups.parent(&p), "/kubepods/burstable/poduid-p");
    cgroups.create(&p).await.unwrap();
    let read =
        |file: &str| std::fs::read_to_string(dir.path().join(burstable).join("poduid-p").join(file)).unwrap();
    assert_eq!(read("cpu.weight"), "20");
    assert_eq!(read("cpu.max"), "50000 100000");
    assert_eq!(read("memory.max"), "max");
    assert_eq!(read("pids.max"), "77");
    std::fs::write(
        dir.path().join(burstable).join("poduid-p/memory.current"),
        "4096\n",
    )
    .unwrap();
    assert_eq!(cgroups.memory(&p, None), Some(4096));
    assert_eq!(cgroups.memory(&p, Some(&"c1".into())), None, "no such container");
    assert_eq!(cgroups.pods(), std::slice::from_ref(&p.metadata.uid));
}

#[tokio::test]
async fn without_cgroups_of_their_own_nothing_is_made() {
    let (dir, kernel) = tree(&[]);
    for names in [None, names(true)] {
        let cgroups = PodCgroups::new(Some(kernel.clone()), names.clone(), Rules::default());
        let p = pod("p", &["c"]);
        assert_eq!(cgroups.parent(&p).is_empty(), names.is_none());
        cgroups.create(&p).await.unwrap();
        cgroups.remove(&p.metadata.uid).await.unwrap();
        assert!(!dir.path().join("kubepods").exists() && !dir.path().join("kubepods.slice").exists());
        assert!(cgroups.v2());
    }
    let none = PodCgroups::new(None, self::names(false), Rules::default());
    none.create(&pod("p", &["c"])).await.unwrap();
    assert!(!none.v2() && none.pods().is_empty());
}

#[tokio::test]
async fn slices_are_systemds_and_a_machine_without_it_starts_pods_nevertheless() {
    let place = tempfile::tempdir().unwrap();
    let bus = PrivateBus::start(place.path());
    let machine = FakeSystemd::start(bus.address(), place.path().into())
        .await
        .unwrap();
    let class = "kubepods.slice/kubepods-besteffort.slice";
    let slice = "kubepods-besteffort-poduid_p.slice";
    let own = format!("{class}/{slice}");
    let (dir, kernel) = tree(&["kubepods.slice", class, &own]);
    let rules = Rules {
        pids: Some(77),
        ..Rules::default()
    };
    let cgroups = PodCgroups::new(Some(kernel), names(true), rules).with_systemd(Systemd::at(bus.address()));
    let p = pod("p", &["c"]);
    cgroups.create(&p).await.unwrap();
    assert_eq!(cgroups.pods(), std::slice::from_ref(&p.metadata.uid));
    let units = machine.units();
    assert_eq!(units.keys().collect::<Vec<_>>(), [slice]);
    let unit = &units[slice];
    assert_eq!(unit.get("CPUWeight"), Some(&1u64.into()));
    assert_eq!(unit.get("TasksMax"), Some(&77u64.into()));
    let pids = || std::fs::read_to_string(dir.path().join(&own).join("pids.max")).unwrap();
    assert_eq!(pids(), "77");
    // The files of this tree stay, which no kernel's do.
    cgroups.remove(&p.metadata.uid).await.unwrap_err();
    assert!(machine.units().is_empty());
    drop((machine, bus));
    std::fs::write(dir.path().join(&own).join("pids.max"), "max").unwrap();
    cgroups.create(&p).await.unwrap();
    assert_eq!(pids(), "max", "what systemd does not know it would put back");
}
