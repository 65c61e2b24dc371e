use super::*;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};

fn store<'a>(dir: &'a Path) -> Store<'a> {
    Store {
        disk: &Machine,
        dir,
        prefix: CLIENT,
    }
}

const CLIENT: &str = "kubelet-client";

fn time(text: &str) -> jiff::Zoned {
    text.parse().unwrap()
}

#[test]
fn files_have_upstreams_names_and_nobody_else_may_read_them() {
    let base = tempfile::tempdir().unwrap();
    let dir = base.path().join("var/pki");
    let store = store(&dir);
    assert_eq!(store.current().unwrap(), None);
    store
        .update("CERT", "KEY\n", &time("2026-11-21T09:08:07+00:00[UTC]"))
        .unwrap();
    store
        .update("CERT2\n", "KEY2\n", &time("2027-01-02T03:04:05+00:00[UTC]"))
        .unwrap();
    assert_eq!(store.current().unwrap().unwrap(), b"CERT2\nKEY2\n");
    let mut names: Vec<_> = std::fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let wanted = ["2026-11-21-09-08-07", "2027-01-02-03-04-05", "current"];
    assert_eq!(names, wanted.map(|name| format!("kubelet-client-{name}.pem")));
    let link = std::fs::read_link(store.current_path()).unwrap();
    assert_eq!(link, dir.join("kubelet-client-2027-01-02-03-04-05.pem"));
    for name in &wanted[..2] {
        let file = std::fs::metadata(dir.join(format!("kubelet-client-{name}.pem"))).unwrap();
        assert_eq!(file.permissions().mode() & 0o7777, 0o600);
    }
}

#[test]
fn a_reader_never_sees_half_a_switch() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let put = |n: i64| {
        let now = time("2026-11-21T00:00:00+00:00[UTC]") + jiff::Span::new().seconds(n);
        let text = n.to_string();
        store
            .update(&text.repeat(1000), &text.repeat(1000), &now)
            .unwrap();
    };
    put(0);
    let done = AtomicBool::new(false);
    let looks = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut looks = 0;
            while !done.load(Ordering::Relaxed) || looks == 0 {
                // Not through the store: it would complete what it finds unfinished.
                let text =
                    std::fs::read_to_string(store.current_path()).expect("the link always leads to a file");
                let (one, two) = text.split_once('\n').expect("the file is whole");
                assert_eq!(one, two);
                looks += 1;
            }
            looks
        });
        (1..100).for_each(put);
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap()
    });
    assert!(looks > 0);
}

#[test]
fn a_switch_that_was_interrupted_is_completed() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    Machine
        .write(&dir.path().join("kubelet-client-x.pem"), b"NEW")
        .unwrap();
    Machine
        .link(
            &dir.path().join("kubelet-client-x.pem"),
            &dir.path().join("kubelet-client-updated.pem"),
        )
        .unwrap();
    assert_eq!(store.current().unwrap().unwrap(), b"NEW");
    assert!(!dir.path().join("kubelet-client-updated.pem").exists());
}

#[test]
fn a_file_in_the_links_place_is_kept_and_named() {
    for name in ["current", "updated"] {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        let path = dir.path().join(format!("kubelet-client-{name}.pem"));
        std::fs::write(&path, "somebody's").unwrap();
        let error = store
            .update("C", "K", &jiff::Zoned::now())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(&format!("{} is not a symbolic link", path.display())),
            "{error}"
        );
        assert_eq!(std::fs::read(&path).unwrap(), b"somebody's");
    }
}
