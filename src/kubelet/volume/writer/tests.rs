use super::super::content::File;
use super::*;

fn payload(files: &[(&str, &str)]) -> Payload {
    files
        .iter()
        .map(|(p, d)| {
            (
                (*p).into(),
                File {
                    data: d.as_bytes().to_vec(),
                    mode: 0o644,
                    owner: None,
                },
            )
        })
        .collect()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn files_are_seen_through_the_data_symlink() {
    let dir = tempfile::tempdir().unwrap();
    let mut files = payload(&[("a", "1"), ("deep/b", "2")]);
    files.get_mut(Path::new("a")).unwrap().mode = 0o400;
    assert!(write(dir.path(), &files, None, "2026_1").unwrap());
    assert_eq!(names(dir.path()), ["..2026_1", "..data", "a", "deep"]);
    assert_eq!(
        std::fs::read_link(dir.path().join("a")).unwrap(),
        Path::new("..data/a")
    );
    assert_eq!(std::fs::read_to_string(dir.path().join("deep/b")).unwrap(), "2");
    assert_eq!(
        std::fs::metadata(dir.path().join("a")).unwrap().mode() & 0o777,
        0o400
    );
}

#[test]
fn an_unchanged_payload_keeps_its_version() {
    let dir = tempfile::tempdir().unwrap();
    let files = payload(&[("a", "1")]);
    write(dir.path(), &files, None, "2026_1").unwrap();
    assert!(!write(dir.path(), &files, None, "2026_2").unwrap());
    assert_eq!(
        std::fs::read_link(dir.path().join(DATA)).unwrap(),
        Path::new("..2026_1")
    );
}

#[test]
fn an_update_replaces_all_and_removes_what_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    write(
        dir.path(),
        &payload(&[("a", "1"), ("gone", "x"), ("d/e", "y")]),
        None,
        "2026_1",
    )
    .unwrap();
    assert!(write(dir.path(), &payload(&[("a", "2")]), None, "2026_2").unwrap());
    assert_eq!(names(dir.path()), ["..2026_2", "..data", "a"]);
    assert_eq!(std::fs::read_to_string(dir.path().join("a")).unwrap(), "2");
    assert!(write(dir.path(), &payload(&[]), None, "2026_3").unwrap());
    assert_eq!(names(dir.path()), ["..2026_3", "..data"]);
}

#[test]
fn what_a_crash_left_is_repaired() {
    let files = payload(&[("a", "new")]);
    // Killed at each step: after the version was half written, after the temporary link, before the visible links.
    for crash in 0..3 {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &payload(&[("old", "1")]), None, "2026_1").unwrap();
        std::fs::create_dir(dir.path().join("..2026_2")).unwrap();
        std::fs::write(
            dir.path().join("..2026_2/a"),
            if crash == 0 { "ne" } else { "new" },
        )
        .unwrap();
        if crash >= 1 {
            symlink("..2026_2", dir.path().join(DATA_NEW)).unwrap();
        }
        if crash == 2 {
            std::fs::rename(dir.path().join(DATA_NEW), dir.path().join(DATA)).unwrap();
            std::fs::set_permissions(dir.path().join("..2026_2/a"), PermissionsExt::from_mode(0o644))
                .unwrap();
        }
        write(dir.path(), &files, None, "2026_3").unwrap();
        assert_eq!(
            std::fs::read_to_string(dir.path().join("a")).unwrap(),
            "new",
            "crash {crash}"
        );
        let version = std::fs::read_link(dir.path().join(DATA))
            .unwrap()
            .into_os_string()
            .into_string()
            .unwrap();
        assert_eq!(names(dir.path()), [&version, "..data", "a"], "crash {crash}");
    }
}

#[test]
fn a_file_that_a_pod_put_there_is_not_ours_to_remove() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &payload(&[("a", "1")]), None, "2026_1").unwrap();
    std::fs::write(dir.path().join("foreign"), "x").unwrap();
    write(dir.path(), &payload(&[("b", "1")]), None, "2026_2").unwrap();
    assert_eq!(names(dir.path()), ["..2026_2", "..data", "b", "foreign"]);
}
