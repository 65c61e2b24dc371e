//! A lab's ground: its directory, its machines, its cgroups, and the way to clear all of it.
//!
//! Whoever makes something that would outlive a crash makes it through here, so that one place can take it all down:
//! at the end, after a failed bring-up, on Ctrl-C, and at the next start when the process was killed.

mod leftovers;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::ns::Machine;
use crate::{cgroup, dirs, signals};
use leftovers::{HostState, Namespaces};

/// The ground of one running lab.
#[derive(Debug)]
pub struct Site {
    id: String,
    dir: PathBuf,
    keep_logs: AtomicBool,
    before: HostState,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Held while the lab lives: a directory whose lock is free belongs to a dead process.
    lock: Option<File>,
    machines: Vec<Arc<Machine>>,
    namespaces: Namespaces,
    closed: bool,
}

impl Site {
    /// Clears what dead labs have left, then takes a new directory. From here on a signal tears this lab down.
    pub(crate) fn claim(keep_logs: bool) -> Result<Arc<Self>> {
        signals::install();
        let _guard = lock_runs()?;
        sweep_locked();
        static NUMBER: AtomicUsize = AtomicUsize::new(1);
        let id = format!(
            "{}-{}",
            std::process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        );
        let dir = runs_dir().join(&id);
        fs::create_dir_all(dir.join("logs")).with_context(|| format!("create {}", dir.display()))?;
        let lock = File::create(dir.join("lock")).context("create the lock of the lab")?;
        lock.try_lock().context("lock the lab's directory")?;
        let state = Mutex::new(State {
            lock: Some(lock),
            ..State::default()
        });
        let before = HostState::read();
        let site = Arc::new(Self {
            id,
            dir,
            keep_logs: AtomicBool::new(keep_logs),
            before,
            state,
        });
        watch_signals(&site);
        Ok(site)
    }

    /// Short name of the lab.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// `target/lab/run/<id>`.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Directory for a machine's logs; made when missing.
    pub fn logs(&self, machine: &str) -> Result<PathBuf> {
        let dir = self.dir.join("logs").join(machine);
        fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
        Ok(dir)
    }

    /// Keeps the logs at tear-down.
    pub fn keep_logs(&self) {
        self.keep_logs.store(true, Ordering::Relaxed);
    }

    /// Where kept logs are after tear-down.
    pub fn kept_logs(&self) -> PathBuf {
        dirs::lab_dir().join("logs").join(&self.id)
    }

    /// Starts a machine that dies with the lab.
    pub(crate) fn machine(&self, name: &str) -> Result<Arc<Machine>> {
        let machine = Arc::new(Machine::start(name)?);
        let mut state = self.lock();
        if state.closed {
            bail!("the lab is being torn down");
        }
        state.namespaces.add(&machine);
        state.machines.push(Arc::clone(&machine));
        Ok(machine)
    }

    /// Kills one machine and clears its directory; the lab goes on.
    pub(crate) fn release(&self, machine: &Machine) {
        machine.kill();
        let mut state = self.lock();
        state.namespaces.remove(machine);
        state.machines.retain(|other| other.pid() != machine.pid());
        drop(state);
        // What cannot be removed goes with the lab.
        let _ = fs::remove_dir_all(self.dir.join(machine.name()));
    }

    /// Makes a node's cgroup parent and returns its name.
    pub(crate) fn cgroup(&self, node: &str) -> Result<String> {
        let state = self.lock();
        if state.closed {
            bail!("the lab is being torn down");
        }
        cgroup::create(&self.id, node)
    }

    /// Removes everything, once; returns what is left nevertheless.
    pub fn tear_down(&self) -> Vec<String> {
        let mut state = self.lock();
        if state.closed {
            return Vec::new();
        }
        state.closed = true;
        state.namespaces.close();
        std::thread::scope(|scope| {
            for machine in &state.machines {
                scope.spawn(|| machine.kill());
            }
        });
        state.machines.clear();
        cgroup::remove(&self.id);
        remove_dir(&self.dir, self.keep_logs.load(Ordering::Relaxed));
        state.lock = None;
        drop(state);
        self.leftovers()
    }

    /// What exists of a lab that was torn down: processes, cgroups, mounts, files; and links, named network
    /// namespaces and nftables tables the host did not have before.
    pub fn leftovers(&self) -> Vec<String> {
        let mut found = self.lock().namespaces.processes();
        found.extend(
            cgroup::existing(&self.id)
                .iter()
                .map(|dir| format!("cgroup {}", dir.display())),
        );
        found.extend(leftovers::mounts_below(&self.dir));
        if self.dir.exists() {
            found.push(format!("directory {}", self.dir.display()));
        }
        found.extend(self.before.added());
        found
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.tear_down();
    }
}

fn watch_signals(site: &Arc<Site>) {
    let site = Arc::downgrade(site);
    std::thread::spawn(move || {
        while site.strong_count() > 0 {
            if let (Some(signal), Some(site)) = (signals::caught(), site.upgrade()) {
                eprintln!("\n{signal}: tearing the lab down");
                let left = site.tear_down();
                left.iter().for_each(|what| eprintln!("left over: {what}"));
                #[expect(
                    clippy::exit,
                    reason = "this is what the signal asked for; everything is torn down"
                )]
                std::process::exit(if left.is_empty() { signals::exit_code() } else { 1 });
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    });
}

/// Clears what labs of dead processes have left; returns their ids.
pub fn sweep() -> Result<Vec<String>> {
    let _guard = lock_runs()?;
    Ok(sweep_locked())
}

fn sweep_locked() -> Vec<String> {
    let mut swept = Vec::new();
    for entry in fs::read_dir(runs_dir()).into_iter().flatten().flatten() {
        let dir = entry.path();
        let id = entry.file_name().to_string_lossy().into_owned();
        let free = File::open(dir.join("lock")).map_or(true, |lock| lock.try_lock().is_ok());
        if dir.is_dir() && free {
            cgroup::remove(&id);
            remove_dir(&dir, true);
            swept.push(id);
        }
    }
    // Cgroups whose directory is gone (`cargo clean` after a crash): the id begins with the dead process's.
    let dead = |id: &String| {
        id.split('-')
            .next()
            .is_some_and(|pid| !Path::new("/proc").join(pid).exists())
    };
    for id in cgroup::labs().into_iter().filter(dead) {
        cgroup::remove(&id);
        swept.push(id);
    }
    swept
}

fn runs_dir() -> PathBuf {
    dirs::lab_dir().join("run")
}

fn lock_runs() -> Result<File> {
    let dir = runs_dir();
    fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
    let lock =
        File::create(dir.join(".lock")).with_context(|| format!("create the lock in {}", dir.display()))?;
    lock.lock().with_context(|| format!("lock {}", dir.display()))?;
    Ok(lock)
}

/// How many labs' logs are kept.
const KEPT: usize = 5;

/// Removes a lab's directory; its logs move to `target/lab/logs/<id>` first when they are wanted.
fn remove_dir(dir: &Path, keep_logs: bool) {
    let kept = dirs::lab_dir().join("logs");
    if let (true, Some(id)) = (keep_logs, dir.file_name()) {
        // Best effort: missing logs must not keep the rest from being removed.
        let _ = fs::create_dir_all(&kept);
        let _ = fs::rename(dir.join("logs"), kept.join(id));
        prune(&kept);
    }
    // Nodes side by side: each has pulled half a gigabyte. What cannot be removed is found by `leftovers`.
    std::thread::scope(|scope| {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            scope.spawn(move || fs::remove_dir_all(entry.path()));
        }
    });
    let _ = fs::remove_dir_all(dir);
}

fn prune(dir: &Path) {
    let mut all: Vec<_> = fs::read_dir(dir).into_iter().flatten().flatten().collect();
    all.sort_by_key(|entry| entry.metadata().and_then(|data| data.modified()).ok());
    let surplus = all.len().saturating_sub(KEPT);
    for entry in all.iter().take(surplus) {
        let _ = fs::remove_dir_all(entry.path());
    }
}
