//! Running other programs: with a time limit, captured output, and errors that say what was run.
//!
//! [`Command::run`] blocks the calling thread (CNI role, probes of the machine); [`Command::run_async`] is for tokio
//! tasks. Neither goes through a shell.

#![expect(clippy::disallowed_methods, reason = "this is the wrapper the lint points to")]

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

/// How long output is awaited after the exit, when a grandchild keeps the pipes open.
const LINGER: Duration = Duration::from_millis(200);

/// A program that could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be started, fed or waited for.
    #[error("run {program}: {source}")]
    Io {
        /// Program name.
        program: String,
        /// Cause; `NotFound` when the program is not installed.
        source: io::Error,
    },
    /// It took too long and was killed.
    #[error("run {command}: no answer after {} s, killed", after.as_secs_f32())]
    Timeout {
        /// Program and arguments.
        command: String,
        /// The limit.
        after: Duration,
    },
    /// It ended with an error, from [`Output::checked`].
    #[error("{command}: {status}: {stderr}")]
    Failed {
        /// Program and arguments.
        command: String,
        /// Exit code or signal.
        status: ExitStatus,
        /// The end of its standard error.
        stderr: String,
    },
}

impl Error {
    /// The program is not installed.
    pub fn is_not_installed(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// What a program left behind.
#[derive(Clone, Debug)]
pub struct Output {
    /// Exit code or signal.
    pub status: ExitStatus,
    /// Standard output, up to the command's limit.
    pub stdout: Vec<u8>,
    /// Standard error, up to the command's limit.
    pub stderr: Vec<u8>,
    command: String,
}

impl Output {
    /// Exit code; `None` when a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }
    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
    /// Turns any exit but zero into [`Error::Failed`].
    pub fn checked(self) -> Result<Self, Error> {
        if self.status.success() {
            return Ok(self);
        }
        let tail = self.stderr.len().saturating_sub(2048);
        let stderr = String::from_utf8_lossy(&self.stderr[tail..]).trim().to_owned();
        Err(Error::Failed {
            command: self.command,
            status: self.status,
            stderr,
        })
    }
}

/// A program to run.
#[derive(Clone, Debug)]
pub struct Command {
    program: OsString,
    args: Vec<OsString>,
    envs: Vec<(OsString, OsString)>,
    stdin: Vec<u8>,
    timeout: Duration,
    limit: usize,
}

impl Command {
    /// A program by name or path; 30 s limit, no input, output captured up to 64 MiB.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            envs: Vec::new(),
            stdin: Vec::new(),
            timeout: Duration::from_secs(30),
            limit: 64 << 20,
        }
    }
    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }
    /// Adds arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }
    /// Sets an environment variable on top of our own environment.
    #[must_use]
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.envs
            .push((key.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }
    /// What it reads from standard input.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }
    /// It is killed after this.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
    /// Bytes kept of each output; the rest is read and thrown away.
    #[must_use]
    pub fn output_limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// Runs it and waits, blocking this thread. Any exit status is `Ok`; see [`Output::checked`].
    pub fn run(self) -> Result<Output, Error> {
        let mut child = self.prepare().spawn().map_err(|e| self.io(e))?;
        let (ended, readers_ended) = channel();
        feed(child.stdin.take(), self.stdin.clone());
        let stdout = collect(child.stdout.take(), self.limit, ended.clone());
        let stderr = collect(child.stderr.take(), self.limit, ended);
        let status = match wait(&mut child, &readers_ended, self.timeout) {
            Ok(Some(status)) => status,
            Ok(None) => {
                kill(&mut child);
                return Err(Error::Timeout {
                    command: self.line(),
                    after: self.timeout,
                });
            }
            Err(e) => {
                kill(&mut child);
                return Err(self.io(e));
            }
        };
        Ok(Output {
            status,
            stdout: take(&stdout),
            stderr: take(&stderr),
            command: self.line(),
        })
    }

    /// Runs it without blocking. Dropping the future kills it. Any exit status is `Ok`; see [`Output::checked`].
    pub async fn run_async(self) -> Result<Output, Error> {
        let mut child = tokio::process::Command::from(self.prepare())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| self.io(e))?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let waited = {
            let pipes = async {
                let input = feed_async(stdin, &self.stdin);
                let reads = (
                    read_async(stdout, &mut out, self.limit),
                    read_async(stderr, &mut err, self.limit),
                );
                tokio::try_join!(input, reads.0, reads.1).map(drop)
            };
            tokio::time::timeout(self.timeout, wait_async(&mut child, pipes)).await
        };
        match waited {
            Ok(Ok(status)) => Ok(Output {
                status,
                stdout: out,
                stderr: err,
                command: self.line(),
            }),
            Ok(Err(e)) => Err(self.io(e)),
            Err(_) => Err(Error::Timeout {
                command: self.line(),
                after: self.timeout,
            }),
        }
    }

    fn prepare(&self) -> std::process::Command {
        let mut command = std::process::Command::new(&self.program);
        command
            .args(&self.args)
            .envs(self.envs.iter().map(|(k, v)| (k, v)));
        command.stdin(if self.stdin.is_empty() {
            Stdio::null()
        } else {
            Stdio::piped()
        });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn io(&self, source: io::Error) -> Error {
        Error::Io {
            program: self.program.to_string_lossy().into_owned(),
            source,
        }
    }

    fn line(&self) -> String {
        let words = std::iter::once(&self.program).chain(&self.args);
        words.map(|w| w.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }
}

/// A program may end, or close its input, before it has read everything; that is its right.
fn ignore_closed(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

async fn feed_async(pipe: Option<tokio::process::ChildStdin>, bytes: &[u8]) -> io::Result<()> {
    match pipe {
        Some(mut pipe) => ignore_closed(pipe.write_all(bytes).await),
        None => Ok(()),
    }
}

async fn read_async(
    pipe: Option<impl AsyncRead + Unpin>,
    kept: &mut Vec<u8>,
    limit: usize,
) -> io::Result<()> {
    if let Some(mut pipe) = pipe {
        (&mut pipe).take(limit as u64).read_to_end(kept).await?;
        tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await?;
    }
    Ok(())
}

/// As [`wait`], for tokio.
async fn wait_async(
    child: &mut tokio::process::Child,
    pipes: impl Future<Output = io::Result<()>>,
) -> io::Result<ExitStatus> {
    tokio::pin!(pipes);
    tokio::select! {
        done = &mut pipes => { done?; child.wait().await }
        status = child.wait() => {
            if let Ok(done) = tokio::time::timeout(LINGER, pipes).await {
                done?;
            }
            status
        }
    }
}

fn feed(pipe: Option<impl Write + Send + 'static>, bytes: Vec<u8>) {
    if let Some(mut pipe) = pipe {
        // A write error means that the program stopped reading; its exit status tells the story.
        std::thread::spawn(move || drop(pipe.write_all(&bytes)));
    }
}

/// Reads a pipe to its end on a thread of its own and then reports on `ended`.
fn collect(pipe: Option<impl Read + Send + 'static>, limit: usize, ended: Sender<()>) -> Arc<Mutex<Vec<u8>>> {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let Some(mut pipe) = pipe else { return kept };
    let shared = kept.clone();
    std::thread::spawn(move || {
        let mut buffer = [0; 16 << 10];
        while let Ok(n @ 1..) = pipe.read(&mut buffer) {
            let mut kept = shared.lock().unwrap_or_else(|e| e.into_inner());
            let room = limit.saturating_sub(kept.len()).min(n);
            kept.extend_from_slice(&buffer[..room]);
        }
        // The receiver may have given up waiting.
        let _ = ended.send(());
    });
    kept
}

fn take(kept: &Mutex<Vec<u8>>) -> Vec<u8> {
    std::mem::take(&mut *kept.lock().unwrap_or_else(|e| e.into_inner()))
}

/// Waits for both readers and the exit, for readers at most [`LINGER`] longer than for the exit. `None` when the time is over.
fn wait(child: &mut Child, readers: &Receiver<()>, timeout: Duration) -> io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + timeout;
    let mut reading = 2;
    let mut pause = Duration::from_millis(1);
    let mut exited = None;
    loop {
        if exited.is_none() {
            exited = child.try_wait()?.map(|status| (status, Instant::now()));
        }
        let now = Instant::now();
        match exited {
            Some((status, at)) if reading == 0 || now >= at + LINGER => return Ok(Some(status)),
            None if now >= deadline => return Ok(None),
            _ => {}
        }
        match readers.recv_timeout(pause) {
            Ok(()) => reading -= 1,
            Err(RecvTimeoutError::Timeout) => pause = (pause * 2).min(Duration::from_millis(20)),
            // Both readers are gone: nothing to wait on but the exit, which follows at once or by the deadline.
            Err(RecvTimeoutError::Disconnected) => {
                reading = 0;
                std::thread::park_timeout(pause);
            }
        }
    }
}

fn kill(child: &mut Child) {
    // It may have ended meanwhile; waiting reaps it in both cases.
    drop(child.kill());
    drop(child.wait());
}

/// The signal that ended a program, if one did.
pub fn signal(status: ExitStatus) -> Option<i32> {
    status.signal()
}

#[cfg(test)]
mod tests;
