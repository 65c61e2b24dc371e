use super::*;
use crate::cni::ipam::Store;
use std::os::unix::fs::PermissionsExt;
use std::sync::mpsc;

fn owner(id: &str) -> Owner {
    Owner {
        container_id: id.into(),
        ifname: "eth0".into(),
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn files_are_host_local_s() {
    let data = tempfile::tempdir().unwrap();
    let mut store = DiskStore::open(data.path(), "pods").unwrap();
    assert!(store.reserve(ip("10.1.0.2"), &owner("abc"), 0).unwrap());
    assert!(store.reserve(ip("fd00::2"), &owner("abc"), 1).unwrap());
    let dir = data.path().join("pods");
    assert_eq!(fs::read_to_string(dir.join("10.1.0.2")).unwrap(), "abc\r\neth0");
    assert_eq!(fs::read_to_string(dir.join("fd00::2")).unwrap(), "abc\r\neth0");
    assert_eq!(
        fs::read_to_string(dir.join("last_reserved_ip.0")).unwrap(),
        "10.1.0.2"
    );
    assert_eq!(
        fs::read_to_string(dir.join("last_reserved_ip.1")).unwrap(),
        "fd00::2"
    );
    let mode = |name: &str| fs::metadata(dir.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("10.1.0.2"), mode("lock")), (0o600, 0o640));
    let mut names: Vec<_> = fs::read_dir(&dir)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "10.1.0.2",
            "fd00::2",
            "last_reserved_ip.0",
            "last_reserved_ip.1",
            "lock"
        ]
    );
}

#[test]
fn an_address_is_reserved_once_and_released_any_number_of_times() {
    let data = tempfile::tempdir().unwrap();
    let mut store = DiskStore::open(data.path(), "pods").unwrap();
    assert!(store.reserve(ip("10.1.0.2"), &owner("a"), 0).unwrap());
    assert!(!store.reserve(ip("10.1.0.2"), &owner("b"), 0).unwrap());
    assert_eq!(
        store.reservations().unwrap(),
        [(ip("10.1.0.2"), Some(owner("a")))].into()
    );
    store.release(ip("10.1.0.2")).unwrap();
    store.release(ip("10.1.0.2")).unwrap();
    assert!(store.reservations().unwrap().is_empty());
}

#[test]
fn a_leftover_temporary_file_cannot_damage_a_reservation() {
    let data = tempfile::tempdir().unwrap();
    let mut store = DiskStore::open(data.path(), "pods").unwrap();
    store.reserve(ip("10.1.0.2"), &owner("a"), 0).unwrap();
    // Killed between the link and the removal of the temporary name: both names are one file.
    let dir = data.path().join("pods");
    fs::hard_link(dir.join("10.1.0.2"), dir.join(TEMPORARY)).unwrap();
    store.reserve(ip("10.1.0.3"), &owner("b"), 0).unwrap();
    let expected = [
        (ip("10.1.0.2"), Some(owner("a"))),
        (ip("10.1.0.3"), Some(owner("b"))),
    ];
    assert_eq!(store.reservations().unwrap(), expected.into());
    assert_eq!(store.warnings(), Vec::<String>::new());
}

#[test]
fn the_lock_keeps_others_out() {
    let data = tempfile::tempdir().unwrap();
    let store = DiskStore::open(data.path(), "pods").unwrap();
    let path = data.path().to_owned();
    let (tell, told) = mpsc::channel();
    let waiting = std::thread::spawn(move || {
        tell.send("waits").unwrap();
        let _store = DiskStore::open(&path, "pods").unwrap();
        tell.send("has it").unwrap();
    });
    assert_eq!(told.recv().unwrap(), "waits");
    let lock = File::open(data.path().join("pods/lock")).unwrap();
    assert!(lock.try_lock().is_err(), "held by the first store");
    assert!(told.try_recv().is_err());
    drop((store, lock));
    assert_eq!(told.recv().unwrap(), "has it");
    waiting.join().unwrap();
}

#[test]
fn a_network_without_directory_has_nothing_to_release() {
    let data = tempfile::tempdir().unwrap();
    assert!(DiskStore::open_existing(data.path(), "pods").unwrap().is_none());
    assert!(!data.path().join("pods").exists());
}
