use super::*;

const LENGTH: u32 = 65536;

fn ranges(root: &std::path::Path) -> UserRanges {
    let dirs = Dirs {
        root: root.into(),
        pod_logs: root.join("logs"),
    };
    UserRanges::new(dirs, Ids::all(LENGTH))
}

#[test]
fn a_pod_keeps_its_range_and_no_two_share_one() {
    let dir = tempfile::tempdir().unwrap();
    let first = |range: &v1::UserNamespace| {
        let [ids] = &*range.uids else { panic!("{range:?}") };
        assert_eq!((ids.container_id, ids.length), (0, LENGTH));
        assert_eq!(range.uids, range.gids);
        ids.host_id
    };
    let mut seen = BTreeSet::new();
    for pod in 0..50 {
        let uid: PodUid = format!("pod-{pod}").into();
        let range = first(&ranges(dir.path()).of(&uid).unwrap());
        assert!(range >= LENGTH && range % LENGTH == 0, "{range}");
        assert!(seen.insert(range), "{range} twice");
        assert_eq!(
            first(&ranges(dir.path()).of(&uid).unwrap()),
            range,
            "after a restart"
        );
    }
}

#[test]
fn what_no_pod_has_is_free() {
    let uid: PodUid = "pod".into();
    let wish = choose(&BTreeSet::new(), Ids::all(LENGTH), &uid).unwrap();
    let next = choose(&BTreeSet::from([wish]), Ids::all(LENGTH), &uid).unwrap();
    assert!(next == wish + LENGTH || next == LENGTH, "{wish} {next}");
    // Of so large ranges there is one.
    let large = 1 << 31;
    assert_eq!(choose(&BTreeSet::new(), Ids::all(large), &uid), Some(large));
    assert_eq!(choose(&BTreeSet::from([large]), Ids::all(large), &uid), None);
}

#[test]
fn ranges_are_taken_of_what_the_machine_gives_the_user_kubelet() {
    let ids = |line: &str, pods| Ids::of_subids(line, LENGTH, pods);
    let two = ids("0: kubelet 131072 131072\n", 2).unwrap();
    let mut taken = BTreeSet::new();
    for n in 0..2 {
        taken.insert(choose(&taken, two, &format!("pod-{n}").into()).unwrap());
    }
    assert_eq!(taken, [131_072, 196_608].into());
    assert_eq!(choose(&taken, two, &"pod".into()), None);
    for (line, pods, why) in [
        (
            "0: kubelet 131072 131072",
            3,
            "kubelet user assigned IDs are not enough to support 3 pods",
        ),
        (
            "0: kubelet 0 131072",
            1,
            "kubelet user assigned ID 0 must be greater or equal to 65536",
        ),
        (
            "0: kubelet 70000 131072",
            1,
            "kubelet user assigned ID 70000 is not a multiple of 65536",
        ),
        (
            "0: kubelet 65536 70000",
            1,
            "kubelet user assigned IDs length 70000 is not a multiple of 65536",
        ),
        ("0: kubelet 65536", 1, "invalid line \"0: kubelet 65536\""),
        ("", 1, "error parsing line \"\": it must contain only one line"),
    ] {
        assert_eq!(ids(line, pods), Err(why.to_owned()), "{line}");
    }
}

#[test]
fn the_file_is_upstreams() {
    let text = br#"{"uidMappings":[{"hostId":131072,"containerId":0,"length":65536}],"gidMappings":[{"hostId":131072,"containerId":0,"length":65536}]}"#;
    assert_eq!(Mappings::new(131_072, LENGTH).json(), text);
    assert_eq!(parse(text, LENGTH), Ok(131_072));
    let with = |from: &str, to: &str| {
        let changed = String::from_utf8_lossy(text).replacen(from, to, 1);
        parse(changed.as_bytes(), LENGTH).is_err()
    };
    for (from, to) in [
        ("131072", "65536"),
        ("\"containerId\":0", "\"containerId\":1"),
        ("65536", "65535"),
        ("[{", "[{\"hostId\":1,\"containerId\":0,\"length\":1},{"),
        ("{", ""),
    ] {
        assert!(with(from, to), "{from} -> {to}");
    }
    assert!(
        parse(&Mappings::new(0, LENGTH).json(), LENGTH).is_err(),
        "the node's own ids"
    );
    assert!(parse(&Mappings::new(70_000, LENGTH).json(), LENGTH).is_err());
    assert!(parse(&Mappings::new(LENGTH * 2, LENGTH * 2).json(), LENGTH).is_err());
}

#[test]
fn a_file_that_makes_no_sense_is_not_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let (ranges, uid) = (ranges(dir.path()), PodUid::from("pod"));
    ranges.of(&uid).unwrap();
    let file = ranges.dirs.pod(&uid).join(FILE);
    std::fs::write(&file, "{}").unwrap();
    assert!(ranges.of(&uid).is_err());
    assert_eq!(std::fs::read(&file).unwrap(), b"{}");
}
