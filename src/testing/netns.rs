//! Private network and mount namespaces for tests against the real kernel.
//!
//! [`private`] runs a test on a thread of its own that has left the machine's namespaces: its `/run` is an empty
//! tmpfs (so is the xtables lock), its network has only a loopback. Everything ends with the thread and the pods'
//! namespace files, so tests cannot touch the machine and run in parallel. Needs root; without it the test fails
//! loudly.

use crate::sys::netns::Netns;
use nix::mount::{MsFlags, mount};
use nix::sched::CloneFlags;
use std::fs::{self, File};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};

/// Runs `test` in new network and mount namespaces, and passes its panic on.
///
/// # Panics
/// When `test` does, or when namespaces cannot be made.
pub fn private(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::spawn(|| {
        leave_machine();
        test();
    });
    if let Err(panic) = thread.join() {
        resume_unwind(panic);
    }
}

/// Leaves the machine's network and mount namespaces for good.
fn leave_machine() {
    assert!(
        nix::unistd::geteuid().is_root(),
        "namespace tests need root: run them with sudo"
    );
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS);
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("make mounts private");
    mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), none).expect("mount a private /run");
    fs::create_dir("/run/netns").expect("the new /run is empty");
    crate::sys::netlink::Netlink::open()
        .and_then(|mut n| n.set_up("lo"))
        .expect("set lo up");
}

#[expect(
    clippy::disallowed_methods,
    reason = "test namespaces, on a thread that ends in them"
)]
fn unshare(flags: CloneFlags) {
    nix::sched::unshare(flags).expect("unshare; does this machine allow namespaces?");
}

/// A pod's network namespace under `/run/netns`, as a runtime makes it.
#[derive(Debug)]
pub struct PodNetns {
    /// Its file.
    pub path: PathBuf,
}

impl PodNetns {
    /// Makes one with nothing but a loopback that is down.
    ///
    /// # Panics
    /// When the kernel refuses.
    pub fn new(name: &str) -> Self {
        let path = Path::new("/run/netns").join(name);
        File::create_new(&path).expect("a new name");
        let at = path.clone();
        // Threads inherit the mount namespace, so the bind mount appears in ours.
        let thread = std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET);
            let own = Some("/proc/thread-self/ns/net");
            mount(own, &at, None::<&str>, MsFlags::MS_BIND, None::<&str>).expect("pin the namespace");
        });
        thread.join().expect("make a namespace");
        Self { path }
    }

    /// Opens it.
    ///
    /// # Panics
    /// When it was removed.
    pub fn open(&self) -> Netns {
        Netns::open(&self.path).expect("the namespace exists")
    }

    /// Unpins it, as a runtime does when a sandbox stops; the kernel frees it when nobody uses it any more.
    ///
    /// # Panics
    /// When it was removed before.
    pub fn remove(&self) {
        nix::mount::umount2(&self.path, nix::mount::MntFlags::MNT_DETACH).expect("unpin the namespace");
        fs::remove_file(&self.path).expect("remove the namespace's file");
    }
}
