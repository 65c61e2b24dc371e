use super::*;
use std::os::unix::fs::MetadataExt;

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn writes_content_and_mode_and_leaves_no_temporary() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    write_atomic(&path, b"one", 0o644).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"one");
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o644);
    assert_eq!(names(dir.path()), ["state"]);
}

#[test]
fn replaces_the_file_instead_of_rewriting_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    write_atomic(&path, b"a much longer first content", 0o600).unwrap();
    let reader = std::fs::File::open(&path).unwrap();
    write_atomic(&path, b"two", 0o640).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"two");
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
    let old = std::io::read_to_string(reader).unwrap();
    assert_eq!(
        old, "a much longer first content",
        "who has the old file open keeps it"
    );
}

#[test]
fn a_failed_write_keeps_the_target_and_cleans_up() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("occupied");
    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join("inside"), "x").unwrap();
    let error = write_atomic(&path, b"one", 0o600).unwrap_err();
    assert!(error.to_string().contains("occupied"), "{error}");
    assert_eq!(names(dir.path()), ["occupied"]);
}

#[test]
fn a_missing_directory_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let error = write_atomic(&dir.path().join("no/state"), b"one", 0o600).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert!(error.to_string().contains("no/state"), "{error}");
}

#[test]
fn remove_file_twice_is_fine() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    std::fs::write(&path, "x").unwrap();
    remove_file(&path).unwrap();
    remove_file(&path).unwrap();
    assert!(names(dir.path()).is_empty());
    assert!(remove_file(dir.path()).is_err(), "a directory is no file");
}

#[test]
fn the_tail_of_a_file_is_read_without_following_links() {
    let dir = tempfile::tempdir().unwrap();
    let (file, link) = (dir.path().join("file"), dir.path().join("link"));
    std::fs::write(&file, "beginning and end").unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    assert_eq!(tail(&file, 3).unwrap(), b"end");
    assert_eq!(tail(&file, 100).unwrap(), b"beginning and end");
    assert!(tail(&link, 3).is_err());
    assert!(tail(dir.path(), 3).unwrap().is_empty());
}
