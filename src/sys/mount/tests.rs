use super::*;

#[test]
fn mountinfo_is_parsed_with_escapes_and_optional_fields() {
    let text = b"36 35 98:0 /mnt1 /mnt/with\\040space rw,noatime master:1 shared:2 - ext3 /dev/root rw\n\
        37 36 0:22 / /var/lib/kubelet/pods/u/volumes/kubernetes.io~empty-dir/x rw - tmpfs tmpfs rw\n\
        garbage\n";
    let mounts = parse_mountinfo(text);
    assert_eq!(mounts.len(), 2);
    assert_eq!(mounts[0].target, Path::new("/mnt/with space"));
    assert_eq!(&*mounts[0].fs_type, "ext3");
    assert_eq!(&*mounts[1].fs_type, "tmpfs");
}

#[test]
fn remove_tree_leaves_the_targets_of_symlinks_alone() {
    let dir = tempfile::tempdir().unwrap();
    let outside = dir.path().join("outside");
    std::fs::create_dir_all(&outside).unwrap();
    std::fs::write(outside.join("precious"), "x").unwrap();
    let tree = dir.path().join("tree");
    std::fs::create_dir_all(tree.join("a/b")).unwrap();
    std::fs::write(tree.join("a/b/file"), "y").unwrap();
    std::os::unix::fs::symlink(&outside, tree.join("a/link")).unwrap();
    remove_tree(&tree).unwrap();
    assert!(!tree.exists());
    assert!(outside.join("precious").exists());
    remove_tree(&tree).unwrap();
}

#[test]
fn open_beneath_creates_what_is_missing_and_refuses_to_leave() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("volume");
    std::fs::create_dir_all(&root).unwrap();
    open_beneath(&root, Path::new("a/b"), 0o755).unwrap();
    assert!(root.join("a/b").is_dir());
    open_beneath(&root, Path::new("a/all"), 0o2777).unwrap();
    open_beneath(&root, Path::new("a/all"), 0o700).unwrap();
    let mode = std::fs::metadata(root.join("a/all"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(
        mode & 0o7777,
        0o2777,
        "the umask takes nothing; what is there stays"
    );
    std::os::unix::fs::symlink("/etc", root.join("escape")).unwrap();
    std::os::unix::fs::symlink("a", root.join("inside")).unwrap();
    open_beneath(&root, Path::new("inside/b"), 0o755).unwrap();
    assert!(open_beneath(&root, Path::new("escape/passwd"), 0o755).is_err());
    assert!(open_beneath(&root, Path::new("../x"), 0o755).is_err());
    assert!(open_beneath(&root, Path::new("/etc"), 0o755).is_err());
    assert!(!dir.path().join("x").exists());
}

/// Needs root: a thread of its own gets a private mount namespace, so the machine sees none of it.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the thread ends with the namespace, nothing to restore"
)]
fn remove_tree_never_deletes_through_a_live_mount() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    let mounted = tree.join("volumes/scratch");
    std::fs::create_dir_all(&mounted).unwrap();
    let none: Option<&str> = None;
    let run = move || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).expect("run the tests as root");
        nix::mount::mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        tmpfs(&mounted, Some(1 << 20)).unwrap();
        std::fs::write(mounted.join("precious"), "x").unwrap();
        assert!(is_mount_point(&mounted).unwrap());
        let refused = remove_tree(&tree).unwrap_err();
        assert!(mounted.join("precious").exists(), "{refused}");
        // A bind mount on the same file system is a mount too.
        let bound = tree.join("bound");
        std::fs::create_dir(&bound).unwrap();
        bind_fd(&open_beneath(&mounted, Path::new("sub"), 0o755).unwrap(), &bound).unwrap();
        std::fs::write(bound.join("deep"), "x").unwrap();
        unmount_below(&tree).unwrap();
        assert!(!is_mount_point(&mounted).unwrap());
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
    };
    std::thread::spawn(run).join().unwrap();
}
