use super::*;
use crate::kubelet::eviction::ContainerUsage;
use crate::kubelet::stats::snapshot::VolumeUse;
use crate::model::pod::{EmptyDir, Volume};
use crate::model::usage::TreeUse;
use crate::testing::builders::{container as of_name, pod, sidecar};

fn limited(mut container: Container, limit: &str) -> Container {
    container
        .resources
        .limits
        .insert(STORAGE.into(), Quantity(limit.into()));
    container
}

fn bytes(bytes: u64) -> TreeUse {
    TreeUse { bytes, inodes: 1 }
}

fn with_dir(limit: Option<&str>, medium: &str) -> Pod {
    let mut pod = pod("p", &["c"]);
    pod.spec.volumes = vec![Volume {
        name: "scratch".into(),
        empty_dir: Some(EmptyDir {
            medium: medium.into(),
            size_limit: limit.map(|limit| Quantity(limit.into())),
        }),
        ..Volume::default()
    }];
    pod
}

#[test]
fn an_empty_dir_beyond_its_size() {
    let used = |taken| PodUsage {
        volumes: vec![VolumeUse {
            name: "scratch".into(),
            used: bytes(taken),
            ..VolumeUse::default()
        }],
        ..PodUsage::default()
    };
    for (limit, medium, taken, goes) in [
        (Some("1Mi"), "", 1 << 20, false),
        (Some("1Mi"), "", (1 << 20) + 1, true),
        (Some("1Mi"), "Memory", (1 << 20) + 1, true),
        (Some("0"), "", 99, false),
        (None, "", u64::MAX, false),
    ] {
        let pod = with_dir(limit, medium);
        let found = excess(&pod, &used(taken), true);
        assert_eq!(found.is_some(), goes, "{limit:?} {taken}");
        assert_eq!(is_limited(&pod), limit == Some("1Mi"));
        if let Some(found) = found {
            assert_eq!(found.signal, "emptydirfs.limit");
            assert_eq!(
                found.message,
                r#"Usage of EmptyDir volume "scratch" exceeds the limit "1Mi". "#
            );
        }
    }
    assert_eq!(
        excess(&with_dir(Some("1Mi"), ""), &PodUsage::default(), true),
        None
    );
}

#[test]
fn a_container_beyond_its_limit() {
    let mut pod = pod("p", &[]);
    pod.spec.containers = vec![limited(of_name("a"), "100"), of_name("b")];
    let used = |layer, logs| PodUsage {
        containers: vec![
            ContainerUsage {
                name: "a".into(),
                layer: Some(bytes(layer)),
                logs: bytes(logs),
                ..ContainerUsage::default()
            },
            ContainerUsage {
                name: "b".into(),
                logs: bytes(9999),
                ..ContainerUsage::default()
            },
        ],
        ..PodUsage::default()
    };
    assert!(is_limited(&pod));
    assert_eq!(excess(&pod, &used(60, 40), true), None);
    assert_eq!(excess(&pod, &used(60, 41), false), None, "layers are elsewhere");
    let found = excess(&pod, &used(60, 41), true);
    assert_eq!(
        found,
        Some(Excess {
            signal: "ephemeralcontainerfs.limit",
            message: r#"Container a exceeded its local ephemeral storage limit "100". "#.into()
        })
    );
}

#[test]
fn a_pod_beyond_the_sum_of_its_containers_limits() {
    let mut pod = pod("p", &[]);
    let used = |ephemeral| PodUsage {
        ephemeral,
        ..PodUsage::default()
    };
    let text = |pod: &Pod| excess(pod, &used(u64::MAX), true).map(|e| e.message);
    let told = |limit: &str| {
        Some(format!(
            "Pod ephemeral local storage usage exceeds the total limit of containers {limit}. "
        ))
    };
    assert_eq!(text(&pod), None);
    pod.spec.containers = vec![limited(of_name("a"), "1024Mi")];
    assert_eq!(text(&pod), told("1024Mi"), "as it was written");
    pod.spec.containers.push(limited(of_name("b"), "1G"));
    assert_eq!(text(&pod), told("2073741824"));
    pod.spec.containers[1] = limited(of_name("b"), "1Gi");
    pod.spec.init_containers = vec![limited(sidecar("s"), "1Gi"), limited(of_name("i"), "500Mi")];
    assert_eq!(text(&pod), told("3Gi"));
    pod.spec.overhead = [("ephemeral-storage".into(), Quantity("1Gi".into()))].into();
    assert_eq!(text(&pod), told("4Gi"), "its sandbox's too");
    pod.spec.overhead.clear();
    assert_eq!(excess(&pod, &used(3 << 30), true), None);
    assert!(excess(&pod, &used((3 << 30) + 1), true).is_some());
    pod.spec.init_containers[1] = limited(of_name("i"), "5Gi");
    assert_eq!(
        text(&pod),
        told("6Gi"),
        "an init container runs beside the sidecars before it"
    );
}
