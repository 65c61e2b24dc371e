use super::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;
use tempfile::TempDir;

/// A container's log directory, with `0.log`.
fn world() -> (TempDir, Place) {
    let base = tempfile::tempdir().unwrap();
    let dir = base.path().join("ns_web_u1/app");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("0.log"), "first").unwrap();
    let place = Place::open(base.path(), &dir.join("0.log")).unwrap();
    (base, place)
}

fn path(base: &TempDir, name: &str) -> PathBuf {
    base.path().join("ns_web_u1/app").join(name)
}

fn rotate(base: &TempDir, to: &str, then: &str) {
    std::fs::rename(path(base, "0.log"), path(base, to)).unwrap();
    std::fs::write(path(base, "0.log"), then).unwrap();
}

fn compress(base: &TempDir, name: &str) {
    let file = File::create(path(base, &format!("{name}.gz"))).unwrap();
    let mut gz = GzEncoder::new(file, Compression::fast());
    gz.write_all(&std::fs::read(path(base, name)).unwrap()).unwrap();
    gz.finish().unwrap();
    std::fs::remove_file(path(base, name)).unwrap();
}

fn text(opened: &mut Opened) -> String {
    let mut text = String::new();
    opened.input.read_to_string(&mut text).unwrap();
    text
}

/// Everything that comes after a file, in order.
fn rest(place: &Place, mut opened: Opened) -> Vec<String> {
    let mut texts = Vec::new();
    loop {
        texts.push(text(&mut opened));
        opened = match place.after(&opened).unwrap() {
            After::Rotated(next) | After::Log(next, _) => next,
            After::Same | After::Nothing => return texts,
        };
    }
}

#[test]
fn only_logs_below_the_base_are_opened() {
    let (base, _) = world();
    for path in ["/etc/passwd", "/", ""] {
        assert!(matches!(
            Place::open(base.path(), Path::new(path)),
            Err(Error::Elsewhere { .. })
        ));
    }
    let direct = base.path().join("0.log");
    assert!(matches!(
        Place::open(base.path(), &direct),
        Err(Error::Elsewhere { .. })
    ));
    let gone = base.path().join("ns_web_u2/app/0.log");
    let error = Place::open(base.path(), &gone).unwrap_err().to_string();
    assert!(error.starts_with("failed to open log file \""), "{error}");
    let out = base.path().join("../x/0.log");
    assert!(Place::open(base.path(), &out).is_err());
}

#[test]
fn a_log_that_was_not_rotated_goes_on() {
    let (_base, place) = world();
    let opened = place.current().unwrap();
    assert!(matches!(place.after(&opened).unwrap(), After::Same));
}

#[test]
fn after_one_rotation_comes_the_log_and_the_old_ones_name_is_known() {
    let (base, place) = world();
    rotate(&base, "0.log.1", "second");
    let opened = place.current().unwrap();
    rotate(&base, "0.log.2", "third");
    match place.after(&opened).unwrap() {
        After::Log(mut next, name) => {
            assert_eq!((&*text(&mut next), name.as_deref()), ("third", Some("0.log.2")));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn while_the_runtime_has_not_made_the_next_log_there_is_nothing() {
    let (base, place) = world();
    let opened = place.current().unwrap();
    std::fs::rename(path(&base, "0.log"), path(&base, "0.log.1")).unwrap();
    assert!(matches!(place.after(&opened).unwrap(), After::Nothing));
}

#[test]
fn a_reader_that_lags_misses_no_file_and_sees_none_twice() {
    let (base, place) = world();
    rotate(&base, "0.log.1", "second");
    compress(&base, "0.log.1");
    let opened = place.current().unwrap();
    rotate(&base, "0.log.2", "third");
    rotate(&base, "0.log.3", "fourth");
    rotate(&base, "0.log.4", "fifth");
    let want = ["second", "third", "fourth", "fifth"];
    assert_eq!(rest(&place, opened), want);
}

#[test]
fn compressed_ones_are_read_and_our_own_is_known_by_its_beginning() {
    let (base, place) = world();
    let opened = place.current().unwrap();
    rotate(&base, "0.log.1", "second");
    compress(&base, "0.log.1");
    rotate(&base, "0.log.2", "third");
    compress(&base, "0.log.2");
    rotate(&base, "0.log.3", "fourth");
    assert_eq!(rest(&place, opened), ["first", "second", "third", "fourth"]);
}

#[test]
fn when_our_own_is_removed_the_oldest_that_is_left_is_next() {
    let (base, place) = world();
    let opened = place.current().unwrap();
    rotate(&base, "0.log.1", "second");
    rotate(&base, "0.log.2", "third");
    compress(&base, "0.log.2");
    rotate(&base, "0.log.3", "fourth");
    std::fs::remove_file(path(&base, "0.log.1")).unwrap();
    assert_eq!(rest(&place, opened), ["first", "second", "third", "fourth"]);
}

#[test]
fn a_link_in_a_logs_place_is_refused_also_after_a_rotation() {
    let (base, place) = world();
    let opened = place.current().unwrap();
    let secret = base.path().join("secret");
    std::fs::write(&secret, "secret").unwrap();
    std::fs::rename(path(&base, "0.log"), path(&base, "0.log.1")).unwrap();
    std::os::unix::fs::symlink(&secret, path(&base, "0.log")).unwrap();
    assert!(place.current().is_err());
    assert!(place.after(&opened).is_err());
}
