//! A process of the lab that runs in a machine: its log, its end, its last words.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A running (or ended) process. Dropping it kills it.
#[derive(Debug)]
pub struct Proc {
    line: String,
    log: PathBuf,
    shared: Arc<Shared>,
}

/// The child itself: the machine it runs in reaps it as well.
#[derive(Debug)]
pub(crate) struct Shared {
    pid: u32,
    child: Mutex<Child>,
}

impl Shared {
    fn ended(&self) -> Option<ExitStatus> {
        self.lock().try_wait().ok().flatten()
    }

    pub(crate) fn wait(&self, limit: Duration) -> Option<ExitStatus> {
        let start = Instant::now();
        loop {
            let status = self.ended();
            if status.is_some() || start.elapsed() > limit {
                return status;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Proc {
    pub(crate) fn new(line: String, child: Child, log: PathBuf) -> Self {
        Self {
            line,
            log,
            shared: Arc::new(Shared {
                pid: child.id(),
                child: Mutex::new(child),
            }),
        }
    }

    pub(crate) fn shared(&self) -> Weak<Shared> {
        Arc::downgrade(&self.shared)
    }

    /// Process id on the host.
    pub fn pid(&self) -> u32 {
        self.shared.pid
    }

    /// The command line.
    pub fn line(&self) -> &str {
        &self.line
    }

    /// The file its output goes to.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// How it ended, or `None` while it runs.
    pub fn ended(&self) -> Option<ExitStatus> {
        self.shared.ended()
    }

    /// Whether it still runs.
    pub fn is_running(&self) -> bool {
        self.ended().is_none()
    }

    /// Sends a signal. Nothing happens when it has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let mut child = self.shared.lock();
        if matches!(child.try_wait(), Ok(Some(_))) {
            return Ok(());
        }
        // The lock is held and the child is not reaped, so the id is still its own.
        kill(Pid::from_raw(self.pid().cast_signed()), signal)
            .with_context(|| format!("signal {}", self.pid()))
    }

    /// Waits until it has ended; `None` when it has not within `limit`.
    pub fn wait(&self, limit: Duration) -> Option<ExitStatus> {
        self.shared.wait(limit)
    }

    /// SIGTERM, then SIGKILL when it has not ended within `grace`.
    pub fn stop(&self, grace: Duration) {
        // Errors mean that it has ended in between.
        let _ = self.signal(Signal::SIGTERM);
        if self.wait(grace).is_none() {
            let _ = self.signal(Signal::SIGKILL);
            let _ = self.wait(Duration::from_secs(5));
        }
    }

    /// The last lines of its log.
    pub fn last_words(&self, lines: usize) -> String {
        tail(&self.log, lines)
    }
}

impl Drop for Proc {
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
    }
}

/// The last lines of a file, indented; says so when it is empty or missing.
pub fn tail(path: &Path, lines: usize) -> String {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let mut last: VecDeque<&str> = VecDeque::new();
    for line in text.lines() {
        if last.len() == lines {
            last.pop_front();
        }
        last.push_back(line);
    }
    if last.is_empty() {
        return format!("    ({} is empty)", path.display());
    }
    last.iter()
        .map(|line| format!("    {line}\n"))
        .collect::<String>()
        + &format!("    ({})", path.display())
}
