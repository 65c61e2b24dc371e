use super::*;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated};

#[test]
fn sizes_of_images() {
    for (bytes, label) in [
        (0, "N/A"),
        (1, "0-10MB"),
        (10 << 20, "0-10MB"),
        ((10 << 20) + 1, "10MB-100MB"),
        (1 << 30, "500MB-1GB"),
        (2 << 30, "1GB-5GB"),
        (u64::MAX, "GT100GB"),
    ] {
        assert_eq!(size(bytes), label, "{bytes}");
    }
}

fn statuses(all: &[(&str, Option<i32>)]) -> PodStatus {
    let status = |(name, code): &(&str, Option<i32>)| ContainerStatus {
        name: (*name).to_owned(),
        state: Some(ContainerState {
            terminated: code.map(|exit_code| ContainerStateTerminated {
                exit_code,
                reason: Some("Error".to_owned()),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    };
    PodStatus {
        container_statuses: Some(all.iter().map(status).collect()),
        ..Default::default()
    }
}

#[test]
fn an_end_counts_once() {
    let cases: [(&[_], &[_], usize); 6] = [
        (&[("a", None)], &[("a", None)], 0),
        (&[("a", None)], &[("a", Some(3))], 1),
        (&[("a", Some(3))], &[("a", Some(3))], 0),
        (&[("a", Some(3))], &[("a", None)], 0),
        (&[], &[("a", Some(3)), ("b", Some(0))], 2),
        (&[("b", Some(3))], &[("a", Some(3))], 1),
    ];
    for (before, now, count) in cases {
        let found = ended(&statuses(before), &statuses(now));
        assert_eq!(found.len(), count, "{before:?} {now:?}");
        assert!(
            found
                .iter()
                .all(|(kind, _, reason)| *kind == "container" && reason == "Error")
        );
    }
}

#[test]
fn volumes_are_counted_while_their_pod_is_there() {
    let metrics = KubeletMetrics::default();
    let uid = PodUid::from("u1");
    let count = |plugin: &str, count: i64| {
        let labels = format!("{{plugin_name=\"{plugin}\",state=\"actual_state_of_world\"}}");
        let line = format!("volume_manager_total_volumes{labels} {count}");
        let text = metrics.counted();
        assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
    };
    let secret = "kubernetes.io/secret";
    metrics.volumes_set_up(&uid, vec![secret, secret, "kubernetes.io/empty-dir"]);
    metrics.volumes_set_up(&PodUid::from("u2"), vec![secret]);
    count(secret, 3);
    metrics.volumes_set_up(&uid, vec![secret, "kubernetes.io/empty-dir"]);
    count(secret, 2);
    metrics.volumes_removed(&uid);
    count(secret, 1);
    count("kubernetes.io/empty-dir", 0);
}
