use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn labels(uid: &str, container: &str) -> BTreeMap<String, String> {
    let pairs = [(POD_UID_LABEL, uid), (CONTAINER_NAME_LABEL, container)];
    pairs
        .into_iter()
        .filter(|(_, v)| !v.is_empty())
        .map(|(k, v)| (k.into(), v.into()))
        .collect()
}

fn status(id: &str, state: v1::ContainerState) -> v1::ContainerStatus {
    v1::ContainerStatus {
        id: id.into(),
        metadata: Some(v1::ContainerMetadata {
            name: "app".into(),
            attempt: 2,
        }),
        state: state as i32,
        created_at: 1_000_000_001,
        labels: labels("u1", "app"),
        ..Default::default()
    }
}

fn listed(id: &str, uid: &str, state: i32) -> v1::Container {
    v1::Container {
        id: id.into(),
        state,
        labels: labels(uid, "app"),
        ..Default::default()
    }
}

fn listed_sandbox(id: &str, uid: &str, state: v1::PodSandboxState) -> v1::PodSandbox {
    v1::PodSandbox {
        id: id.into(),
        state: state as i32,
        labels: labels(uid, ""),
        ..Default::default()
    }
}

#[test]
fn an_exited_container_is_told_in_full() {
    let mut s = status("c1", v1::ContainerState::ContainerExited);
    s.started_at = 2_000_000_000;
    s.finished_at = 3_500_000_000;
    s.exit_code = 137;
    s.reason = "OOMKilled".into();
    s.message = "out of memory".into();
    s.image = Some(v1::ImageSpec {
        image: "docker.io/library/redis:7".into(),
        ..Default::default()
    });
    s.image_ref = "docker.io/library/redis@sha256:aa".into();
    s.annotations = [(HASH_ANNOTATION.to_owned(), "1f2e".to_owned())].into();
    let c = container(&s, "s1");
    assert_eq!(
        (c.id.as_str(), &*c.name, c.sandbox.as_str(), c.attempt),
        ("c1", "app", "s1", 2)
    );
    assert_eq!(
        (c.state, c.exit_code, &*c.reason, &*c.message),
        (RunState::Exited, 137, "OOMKilled", "out of memory")
    );
    assert_eq!(c.created, Timestamp::new(1, 1).unwrap());
    assert_eq!(
        (c.started, c.finished),
        (Some(at(2)), Some(Timestamp::new(3, 500_000_000).unwrap()))
    );
    assert_eq!(
        (&*c.image, &*c.image_ref),
        ("docker.io/library/redis:7", "docker.io/library/redis@sha256:aa")
    );
    assert_eq!(&*c.hash, "1f2e");
}

#[test]
fn zero_times_and_missing_parts_are_no_values() {
    let mut s = status("c1", v1::ContainerState::ContainerCreated);
    s.labels.clear();
    let c = container(&s, "s1");
    assert_eq!((c.started, c.finished), (None, None));
    assert_eq!(&*c.name, "app", "the metadata has the name too");
    assert_eq!(&*c.hash, "");
    s.state = 99;
    assert_eq!(container(&s, "s1").state, RunState::Unknown);
}

#[test]
fn sandbox_addresses_are_in_order_once_and_valid() {
    let ip = |ip: &str| v1::PodIp { ip: ip.into() };
    let mut status = v1::PodSandboxStatus {
        id: "s1".into(),
        metadata: Some(v1::PodSandboxMetadata {
            attempt: 3,
            ..Default::default()
        }),
        created_at: 5_000_000_000,
        network: Some(v1::PodSandboxNetworkStatus {
            ip: "10.244.0.5".into(),
            additional_ips: vec![ip("fd00::5"), ip("10.244.0.5"), ip("nonsense")],
        }),
        ..Default::default()
    };
    let s = sandbox(&status);
    assert_eq!((s.attempt, s.ready, s.created), (3, true, at(5)));
    assert_eq!(
        s.ips,
        [
            "10.244.0.5".parse::<IpAddr>().unwrap(),
            "fd00::5".parse().unwrap()
        ]
    );
    status.network = None;
    status.state = v1::PodSandboxState::SandboxNotready as i32;
    let s = sandbox(&status);
    assert!(!s.ready && s.ips.is_empty());
}

#[test]
fn only_what_can_have_changed_is_asked_again() {
    use v1::ContainerState as S;
    let known = |state: S, finished: i64| {
        let mut s = status("c1", state);
        s.finished_at = finished * 1_000_000_000;
        Observed {
            containers: vec![container(&s, "s1")],
            ..Default::default()
        }
    };
    let now = at(100);
    let same = |known: &Observed, state: S| {
        unchanged_container(&listed("c1", "u1", state as i32), known, now).is_some()
    };
    assert!(same(&known(S::ContainerRunning, 0), S::ContainerRunning));
    assert!(same(&known(S::ContainerCreated, 0), S::ContainerCreated));
    assert!(same(&known(S::ContainerExited, 97), S::ContainerExited));
    assert!(
        !same(&known(S::ContainerExited, 98), S::ContainerExited),
        "the reason may still come"
    );
    assert!(!same(&known(S::ContainerRunning, 0), S::ContainerExited));
    assert!(!same(&known(S::ContainerUnknown, 0), S::ContainerUnknown));
    assert!(!same(&Observed::default(), S::ContainerRunning));
}

#[test]
fn a_ready_sandbox_without_address_is_asked_again() {
    use v1::PodSandboxState as S;
    let known = |ready: bool, ips: &[&str]| Observed {
        sandboxes: vec![Sandbox {
            id: "s1".into(),
            attempt: 0,
            ready,
            created: at(1),
            ips: ips.iter().map(|ip| ip.parse().unwrap()).collect(),
        }],
        ..Default::default()
    };
    let same =
        |known: &Observed, state: S| unchanged_sandbox(&listed_sandbox("s1", "u1", state), known).is_some();
    assert!(same(&known(true, &["10.0.0.1"]), S::SandboxReady));
    assert!(same(&known(false, &[]), S::SandboxNotready));
    assert!(!same(&known(true, &[]), S::SandboxReady));
    assert!(!same(&known(true, &["10.0.0.1"]), S::SandboxNotready));
    assert!(!same(&Observed::default(), S::SandboxReady));
}

#[test]
fn newest_comes_first() {
    let container = |id: &str, created: i64, attempt: u32| {
        let mut c = container(&status(id, v1::ContainerState::ContainerExited), "s");
        (c.created, c.attempt) = (at(created), attempt);
        c
    };
    let sandbox = |id: &str, attempt: u32| Sandbox {
        id: id.into(),
        attempt,
        ready: false,
        created: at(1),
        ips: Vec::new(),
    };
    let observed = sorted(Observed {
        sandboxes: vec![sandbox("s0", 0), sandbox("s2", 2), sandbox("s1", 1)],
        containers: vec![container("a", 1, 0), container("b", 3, 1), container("c", 3, 2)],
    });
    let ids: Vec<_> = observed.sandboxes.iter().map(|s| s.id.as_str()).collect();
    assert_eq!(ids, ["s2", "s1", "s0"]);
    let ids: Vec<_> = observed.containers.iter().map(|c| c.id.as_str()).collect();
    assert_eq!(ids, ["c", "b", "a"]);
}

#[test]
fn lists_are_compared_pod_by_pod() {
    use v1::PodSandboxState::{SandboxNotready, SandboxReady};
    let before = fingerprints(
        &[
            listed_sandbox("s1", "u1", SandboxReady),
            listed_sandbox("s2", "u2", SandboxReady),
        ],
        &[
            listed("c1", "u1", 1),
            listed("c3", "u3", 1),
            listed("foreign", "", 1),
        ],
    );
    assert_eq!(before.len(), 3, "what has no UID is left out");
    assert!(before[&PodUid::from("u1")].has("c1") && !before[&PodUid::from("u1")].has("c3"));
    let after = fingerprints(
        &[
            listed_sandbox("s2", "u2", SandboxNotready),
            listed_sandbox("s1", "u1", SandboxReady),
        ],
        &[listed("c1", "u1", 1), listed("c4", "u4", 0)],
    );
    let uids = |list: Vec<PodUid>| list.iter().map(|uid| uid.to_string()).collect::<Vec<_>>();
    assert_eq!(uids(changed(before.iter(), &after)), ["u2", "u3", "u4"]);
    assert!(changed(after.iter(), &after).is_empty());
}

#[test]
fn the_order_of_a_list_does_not_matter() {
    let (a, b) = (listed("a", "u1", 1), listed("b", "u1", 2));
    assert_eq!(
        fingerprint(&[], &[a.clone(), b.clone()]),
        fingerprint(&[], &[b, a])
    );
    assert!(fingerprint(&[], &[]).is_empty());
}

#[test]
fn an_event_names_its_pod_by_sandbox_or_container() {
    let mut event = v1::ContainerEventResponse {
        containers_statuses: vec![status("c1", v1::ContainerState::ContainerRunning)],
        ..Default::default()
    };
    assert_eq!(event_uid(&event), Some("u1".into()));
    event.pod_sandbox_status = Some(v1::PodSandboxStatus {
        labels: labels("u9", ""),
        ..Default::default()
    });
    assert_eq!(event_uid(&event), Some("u9".into()));
    assert_eq!(event_uid(&v1::ContainerEventResponse::default()), None);
}
