use super::*;
use crate::model::pod::{Quantity, Toleration};
use crate::testing::builders::pod;

#[test]
fn pressure_keeps_pods_away() {
    let best_effort = pod("p", &["c"]);
    let mut burstable = best_effort.clone();
    let requests = &mut burstable.spec.containers[0].resources.requests;
    requests.insert("cpu".into(), Quantity("1m".into()));
    let mut critical = best_effort.clone();
    critical.spec.priority = Some(2_000_000_000);
    let mut mirror = best_effort.clone();
    mirror
        .metadata
        .annotations
        .insert("kubernetes.io/config.mirror".into(), "x".into());
    let tolerant = |key: &str, operator: &str, effect: &str| {
        let mut pod = best_effort.clone();
        pod.spec.tolerations = vec![Toleration {
            key: key.into(),
            operator: operator.into(),
            effect: effect.into(),
            ..Toleration::default()
        }];
        pod
    };
    let (memory, both) = ([Pressure::Memory], [Pressure::Disk, Pressure::Memory]);
    let cases = [
        (&best_effort, [true, true, true]),
        (&burstable, [false, true, true]),
        (&critical, [false, false, false]),
        (&mirror, [false, false, false]),
        (&tolerant(MEMORY_TAINT, "Exists", ""), [false, true, true]),
        (&tolerant("", "Exists", "NoSchedule"), [false, true, true]),
        (&tolerant(MEMORY_TAINT, "", ""), [false, true, true]),
        (&tolerant(MEMORY_TAINT, "Exists", "NoExecute"), [true, true, true]),
        (
            &tolerant("node.kubernetes.io/disk-pressure", "Exists", ""),
            [true, true, true],
        ),
        (&tolerant(MEMORY_TAINT, "Gt", ""), [true, true, true]),
    ];
    for (pod, wanted) in cases {
        let kept = [&memory[..], &both, &[Pressure::Pid]].map(|all| {
            let pressures = all.iter().copied().collect();
            rejection(pod, &pressures).is_some()
        });
        assert_eq!(kept, wanted, "{:?} {:?}", pod.spec, pod.metadata.annotations);
        assert_eq!(rejection(pod, &Pressures::new()), None);
    }
    let told = rejection(&best_effort, &Pressures::from(both)).unwrap();
    assert_eq!(
        (&*told.reason, &*told.message),
        (
            "Evicted",
            "The node had condition: [MemoryPressure DiskPressure]. "
        )
    );
}
