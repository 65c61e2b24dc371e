use super::*;

fn names(root: &str, systemd: bool) -> Names {
    Names {
        root: root.into(),
        systemd,
    }
}

#[test]
fn classes_and_pods() {
    let uid = "1-2".into();
    for (root, systemd, class, want) in [
        ("/", false, Qos::Guaranteed, "/kubepods/pod1-2"),
        ("/", false, Qos::Burstable, "/kubepods/burstable/pod1-2"),
        ("/", false, Qos::BestEffort, "/kubepods/besteffort/pod1-2"),
        (
            "/lab/n1",
            false,
            Qos::BestEffort,
            "/lab/n1/kubepods/besteffort/pod1-2",
        ),
        (
            "/",
            true,
            Qos::Guaranteed,
            "/kubepods.slice/kubepods-pod1_2.slice",
        ),
        (
            "/",
            true,
            Qos::Burstable,
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice",
        ),
        (
            "/x.slice",
            true,
            Qos::Guaranteed,
            "/x.slice/x-kubepods.slice/x-kubepods-pod1_2.slice",
        ),
    ] {
        let names = names(root, systemd);
        assert_eq!(names.pod(class, &uid), want);
        let last = want.rsplit('/').next().unwrap();
        assert_eq!(names.owner(last), Some(uid.clone()), "{last}");
    }
}

#[test]
fn cgroups_of_classes_are_no_pods() {
    for systemd in [false, true] {
        let names = names("/", systemd);
        for class in [Qos::Guaranteed, Qos::Burstable, Qos::BestEffort] {
            let path = names.class(class);
            assert_eq!(names.owner(path.rsplit('/').next().unwrap()), None, "{path}");
        }
    }
    assert_eq!(names("/", false).owner("pod"), None);
    assert_eq!(names("/", true).owner("user.slice"), None);
}

#[test]
fn configured_cgroups() {
    assert_eq!(names("/", false).given("/system/kube"), "/system/kube");
    assert_eq!(names("/", false).given("system"), "/system");
    assert_eq!(names("/", true).given("/kube.slice"), "/kube.slice");
    assert_eq!(
        names("/", true).given("/a.slice/a-kube.slice"),
        "/a.slice/a-kube.slice"
    );
    assert_eq!(names("/", true).given("a-kube"), "/a.slice/a-kube.slice");
}
