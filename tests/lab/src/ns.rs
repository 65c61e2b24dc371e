//! Machines: namespaces that stand for a computer of their own.
//!
//! A machine is a PID, network, mount and UTS namespace held by one init process. Nothing of it has a name on the host
//! (no named network namespace, no host mount, no host link), so killing init removes everything in it. Init is
//! `cat` reading a pipe of ours with SIGCHLD ignored: the kernel reaps orphans for it, and when the lab's process goes
//! away, however it dies, the pipe closes, `cat` ends, and the kernel kills all that runs in the machine.
//!
//! Entering is done by short-lived threads: namespaces belong to threads, so the rest of the process never moves.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sched::CloneFlags;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::proc::{Proc, Shared};

/// Search path inside machines: the system directories first, then whatever the caller had.
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Which namespaces of a machine a thread enters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All of them: what runs there sees the machine and nothing else.
    Whole,
    /// Only the network: host files and host process ids stay visible.
    NetOnly,
}

/// A set of namespaces held by an init process; everything in it dies with it.
#[derive(Debug)]
pub struct Machine {
    name: String,
    pid: u32,
    ids: Vec<String>,
    init: Mutex<Option<Child>>,
    /// What was started with `spawn`, to be reaped when the machine dies.
    spawned: Mutex<Vec<Weak<Shared>>>,
}

impl Machine {
    /// Makes the namespaces, sets the host name, mounts a `/proc` and `/sys` of its own (`/sys/fs/cgroup` stays
    /// visible) and brings `lo` up.
    pub fn start(name: &str) -> Result<Self> {
        let init = in_thread(|| {
            #[expect(
                clippy::disallowed_methods,
                reason = "this is the wrapper; the thread dies right after"
            )]
            nix::sched::unshare(
                CloneFlags::CLONE_FS
                    | CloneFlags::CLONE_NEWNS
                    | CloneFlags::CLONE_NEWNET
                    | CloneFlags::CLONE_NEWUTS
                    | CloneFlags::CLONE_NEWPID,
            )
            .context("make namespaces (root is needed)")?;
            Command::new("env")
                .args(["--ignore-signal=CHLD", "cat"])
                .current_dir("/")
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .process_group(0)
                .spawn()
                .context("start the init process")
        })
        .with_context(|| format!("machine {name}"))?;
        let pid = init.id();
        let ids = ["net", "mnt", "pid"]
            .iter()
            .filter_map(|ns| namespace_id(pid, ns))
            .collect();
        let machine = Self {
            name: name.to_owned(),
            pid,
            ids,
            init: Mutex::new(Some(init)),
            spawned: Mutex::default(),
        };
        machine.sh(BASE_SETUP, &[name])?;
        Ok(machine)
    }

    /// The machine's host name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Process id of init as the host sees it: `nsenter -t PID -a` looks inside.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The namespaces as the kernel names them (`net:[4026532…]`), to find processes that are still in them.
    pub fn namespace_ids(&self) -> &[String] {
        &self.ids
    }

    /// Where the host sees a file of the machine's file tree: valid while the machine lives.
    pub fn path(&self, inside: impl AsRef<Path>) -> PathBuf {
        let inside = inside.as_ref();
        PathBuf::from(format!("/proc/{}/root", self.pid)).join(inside.strip_prefix("/").unwrap_or(inside))
    }

    /// Runs `work` in a thread that is in the machine's namespaces. It must not start threads in [`Scope::Whole`].
    pub fn enter<T: Send>(&self, scope: Scope, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let wanted: &[(&str, CloneFlags)] = match scope {
            Scope::NetOnly => &[("net", CloneFlags::CLONE_NEWNET)],
            Scope::Whole => &[
                ("net", CloneFlags::CLONE_NEWNET),
                ("uts", CloneFlags::CLONE_NEWUTS),
                ("pid", CloneFlags::CLONE_NEWPID),
                ("mnt", CloneFlags::CLONE_NEWNS),
            ],
        };
        let mut files = Vec::new();
        for (kind, flag) in wanted {
            let path = format!("/proc/{}/ns/{kind}", self.pid);
            files.push((
                File::open(&path).with_context(|| format!("machine {} is gone: {path}", self.name))?,
                *flag,
            ));
        }
        in_thread(move || {
            enter_files(files)?;
            work()
        })
    }

    /// Runs a command to its end and returns what it printed; an exit code other than 0 is an error that quotes it.
    pub fn run(&self, command: &mut Command) -> Result<Output> {
        self.run_in(Scope::Whole, command)
    }

    /// As [`Machine::run`], in the chosen namespaces.
    pub fn run_in(&self, scope: Scope, command: &mut Command) -> Result<Output> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let line = describe(command);
        let output = self.enter(scope, || {
            self.child(command)?.wait_with_output().context("wait for it")
        })?;
        if !output.status.success() {
            let said = [output.stdout.as_slice(), b" ", &output.stderr].concat();
            bail!(
                "{}: {line}: {}: {}",
                self.name,
                output.status,
                String::from_utf8_lossy(&said).trim()
            );
        }
        Ok(output)
    }

    /// Runs `program args…` in the machine and returns its standard output as text.
    pub fn exec(&self, argv: &[&str]) -> Result<String> {
        let (program, args) = argv.split_first().context("empty command line")?;
        let output = self.run(Command::new(program).args(args))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs a shell script with `-eu` in the machine; `args` are `$1`, `$2`, ….
    pub fn sh(&self, script: &str, args: &[&str]) -> Result<String> {
        let output = self.run(Command::new("/bin/sh").args(["-euc", script, "sh"]).args(args))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Starts a long-running process whose output is appended to `log`; its `pid()` is the host's.
    pub fn spawn(&self, command: &mut Command, log: &Path) -> Result<Proc> {
        let open = || {
            let file = File::options().create(true).append(true).open(log);
            file.with_context(|| format!("open log {}", log.display()))
        };
        command
            .stdin(Stdio::null())
            .stdout(open()?)
            .stderr(open()?)
            .process_group(0);
        let child = self.enter(Scope::Whole, || self.child(command))?;
        let proc = Proc::new(describe(command), child, log.to_owned());
        self.spawned
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(proc.shared());
        Ok(proc)
    }

    /// Kills init and with it everything in the machine, and waits for it. Idempotent.
    pub fn kill(&self) {
        let mut init = self.init.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(mut child) = init.take() else { return };
        // An error means it is gone already, which is what is wanted.
        let _ = kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL);
        // The kernel lets init go when all others are reaped; those that were sent in from outside are ours to reap.
        for shared in self
            .spawned
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .drain(..)
        {
            if let Some(shared) = shared.upgrade() {
                shared.wait(Duration::from_secs(10));
            }
        }
        let start = Instant::now();
        while matches!(child.try_wait(), Ok(None)) && start.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn child(&self, command: &mut Command) -> Result<Child> {
        let path = std::env::var("PATH").unwrap_or_default();
        if !command.get_envs().any(|(key, _)| key == "PATH") {
            command.env("PATH", format!("{SYSTEM_PATH}:{path}"));
        }
        command
            .current_dir("/")
            .spawn()
            .with_context(|| format!("{}: start {}", self.name, describe(command)))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Namespaces start as copies of the host's; this makes them a machine's own.
const BASE_SETUP: &str = r#"
mount --make-rprivate /
mount -t proc proc /proc
hold=$(mktemp -d)
mount --rbind /sys/fs/cgroup "$hold"
mount -t sysfs sysfs /sys
mount --rbind "$hold" /sys/fs/cgroup
umount -l "$hold"
rmdir "$hold"
hostname "$1"
ip link set lo up
"#;

/// A command line as one would type it.
pub(crate) fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

fn namespace_id(pid: u32, kind: &str) -> Option<String> {
    let link = fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok()?;
    Some(link.to_string_lossy().into_owned())
}

fn enter_files(files: Vec<(File, CloneFlags)>) -> Result<()> {
    // A mount namespace can only be entered by a thread whose working directory is its own.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the wrapper; it runs in a thread that dies after its work"
    )]
    nix::sched::unshare(CloneFlags::CLONE_FS).context("separate the thread's file system state")?;
    for (file, flag) in files {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the wrapper; it runs in a thread that dies after its work"
        )]
        nix::sched::setns(&file, flag).with_context(|| format!("enter namespace {flag:?}"))?;
    }
    Ok(())
}

fn in_thread<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| match scope.spawn(work).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}
