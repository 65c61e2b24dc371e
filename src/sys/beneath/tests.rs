use super::*;
use std::io::Read;
use std::os::unix::fs::symlink;

/// `outside/secret`, and the directory `logs/pod/c` that a Pod can write to.
fn world() -> tempfile::TempDir {
    let world = tempfile::tempdir().unwrap();
    let at = |path: &str| world.path().join(path);
    std::fs::create_dir_all(at("logs/pod/c")).unwrap();
    std::fs::create_dir_all(at("outside")).unwrap();
    std::fs::write(at("outside/0.log"), "secret").unwrap();
    std::fs::write(at("logs/pod/c/0.log"), "ours").unwrap();
    world
}

fn open(world: &tempfile::TempDir, path: &str) -> io::Result<Directory> {
    Directory::open(&world.path().join("logs"), Path::new(path))
}

fn content(file: io::Result<File>) -> io::Result<String> {
    let mut text = String::new();
    file?.read_to_string(&mut text)?;
    Ok(text)
}

#[test]
fn files_beneath_are_opened_and_their_directory_may_be_reached_by_a_link() {
    let world = world();
    let dir = open(&world, "pod/c").unwrap();
    assert_eq!(content(dir.file("0.log")).unwrap(), "ours");
    assert_eq!(dir.names().unwrap(), ["0.log"]);
    let link = world.path().join("link");
    symlink(world.path().join("logs"), &link).unwrap();
    let dir = Directory::open(&link, Path::new("pod/c")).unwrap();
    assert_eq!(content(dir.file("0.log")).unwrap(), "ours");
}

#[test]
fn no_path_leads_out() {
    let world = world();
    for path in [
        "../outside",
        "pod/../../outside",
        "/etc",
        "pod/c/../../../outside",
    ] {
        assert!(open(&world, path).is_err(), "{path}");
    }
    let dir = open(&world, "pod/c").unwrap();
    for name in ["../../../outside/0.log", "/etc/passwd", "..", "."] {
        assert!(dir.file(name).is_err(), "{name}");
        assert!(dir.create(name, 0o600).is_err(), "{name}");
    }
}

#[test]
fn no_link_is_followed_at_any_part_of_a_path() {
    let world = world();
    let at = |path: &str| world.path().join(path);
    symlink(at("outside"), at("logs/evil")).unwrap();
    symlink(at("outside"), at("logs/pod/evil")).unwrap();
    symlink("c", at("logs/pod/same")).unwrap();
    for path in ["evil", "pod/evil", "pod/same"] {
        assert!(open(&world, path).is_err(), "{path}");
    }
    symlink(at("outside/0.log"), at("logs/pod/c/1.log")).unwrap();
    symlink("0.log", at("logs/pod/c/2.log")).unwrap();
    symlink("/proc/self/fd/0", at("logs/pod/c/3.log")).unwrap();
    let dir = open(&world, "pod/c").unwrap();
    for name in ["1.log", "2.log", "3.log"] {
        let error = dir.file(name).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        assert!(dir.create(name, 0o600).is_err(), "{name} is there");
    }
    // What a link names is neither looked at nor removed: the link is.
    assert!(!dir.stat("1.log").unwrap().unwrap().regular);
    assert!(dir.stat("0.log").unwrap().unwrap().regular);
    dir.remove("1.log").unwrap();
    assert!(dir.stat("1.log").unwrap().is_none());
    assert_eq!(std::fs::read_to_string(at("outside/0.log")).unwrap(), "secret");
}

#[test]
fn only_regular_files_are_opened_and_a_fifo_does_not_make_us_wait() {
    let world = world();
    let dir = open(&world, "pod/c").unwrap();
    nix::unistd::mkfifo(&world.path().join("logs/pod/c/pipe"), Mode::S_IRWXU).unwrap();
    std::fs::create_dir(world.path().join("logs/pod/c/dir")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(world.path().join("logs/pod/c/socket")).unwrap();
    for name in ["pipe", "dir", "socket"] {
        assert!(dir.file(name).is_err(), "{name}");
    }
}

#[test]
fn the_directory_stays_ours_when_its_name_is_given_to_another() {
    let world = world();
    let dir = open(&world, "pod/c").unwrap();
    std::fs::rename(world.path().join("logs/pod"), world.path().join("logs/old")).unwrap();
    symlink(world.path().join("outside"), world.path().join("logs/pod")).unwrap();
    assert_eq!(content(dir.file("0.log")).unwrap(), "ours");
    dir.rename("0.log", "0.log.1").unwrap();
    dir.create("0.log", 0o640).unwrap();
    let mut names = dir.names().unwrap();
    names.sort();
    assert_eq!(names, ["0.log", "0.log.1"]);
    assert!(world.path().join("logs/old/c/0.log.1").exists());
    dir.remove("0.log").unwrap();
    dir.remove("0.log").unwrap();
}

#[tokio::test]
async fn a_watch_tells_of_changes_and_of_closed_writers_by_their_name_then() {
    use std::io::Write;
    let world = world();
    let dir = open(&world, "pod/c").unwrap();
    let watch = dir.watch().unwrap();
    let path = world.path().join("logs/pod/c/0.log");
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"more").unwrap();
    assert!(watch.changed().await.unwrap().is_empty());
    dir.rename("0.log", "0.log.1").unwrap();
    drop(file);
    let mut closed = Vec::new();
    while closed.is_empty() {
        closed = watch.changed().await.unwrap();
    }
    assert_eq!(closed, ["0.log.1"]);
}

#[test]
fn links_in_a_root_never_lead_out_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    std::fs::create_dir_all(root.join("etc")).unwrap();
    std::fs::write(dir.path().join("secret"), "theirs").unwrap();
    std::fs::write(root.join("etc/file"), "ours").unwrap();
    for (link, target) in [("absolute", "/etc/file"), ("up", "../secret"), ("dir", "etc")] {
        std::os::unix::fs::symlink(target, root.join(link)).unwrap();
    }
    nix::unistd::mkfifo(&root.join("fifo"), Mode::S_IRWXU).unwrap();
    for (path, want) in [
        ("etc/file", Some("ours")),
        ("dir/file", Some("ours")),
        ("absolute", Some("ours")),
        ("../root/etc/file", None),
        ("up", None),
        ("../secret", None),
        ("etc", None),
        ("fifo", None),
    ] {
        let got = open_in_root(&root, Path::new(path)).ok();
        let got = got.map(|file| std::io::read_to_string(file).unwrap());
        assert_eq!(got.as_deref(), want, "{path}");
    }
}
