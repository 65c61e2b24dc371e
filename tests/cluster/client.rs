//! kubectl as a client of streams: its input and output as bytes, its exit code, both protocols, an end by force.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustlet_lab::kube::{Seen, eventually};

use crate::support::{Case, LIMIT};

/// What carries the streams between kubectl and the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// kubectl's own choice since 1.31.
    WebSocket,
    Spdy,
}

pub(crate) const BOTH: [Protocol; 2] = [Protocol::WebSocket, Protocol::Spdy];

/// How a kubectl ended.
#[derive(Debug)]
pub(crate) struct Done {
    /// -1 when a signal ended it.
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Done {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Its output, when it ended well.
    pub(crate) fn ok(self) -> Result<Vec<u8>> {
        ensure!(self.code == 0, "exit code {}: {}", self.code, self.stderr);
        Ok(self.stdout)
    }
}

/// A kubectl that runs.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    stdout: Arc<Mutex<Vec<u8>>>,
    stderr: Arc<Mutex<Vec<u8>>>,
    readers: Vec<JoinHandle<()>>,
}

/// kubectl in the case's namespace.
pub(crate) fn command(case: &Case<'_>, protocol: Protocol, args: &[&str]) -> Command {
    let mut command = case.lab.cluster().client().command(&["-n", &case.ns]);
    command.args(args);
    set_protocol(&mut command, protocol);
    command
}

pub(crate) fn set_protocol(command: &mut Command, protocol: Protocol) {
    let websockets = if protocol == Protocol::Spdy {
        "false"
    } else {
        "true"
    };
    command.env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", websockets);
    command.env("KUBECTL_PORT_FORWARD_WEBSOCKETS", websockets);
}

/// Runs kubectl to its end; its input is these bytes and then the end of file.
pub(crate) fn run(case: &Case<'_>, protocol: Protocol, args: &[&str], input: &[u8]) -> Result<Done> {
    let mut command = command(case, protocol, args);
    let mut running = Running::start(command.stdin(Stdio::piped()))?;
    let mut stdin = running.child.stdin.take().context("no standard input")?;
    std::thread::scope(|scope| {
        // A client that ends early says why itself.
        scope.spawn(move || stdin.write_all(input));
        running.end(LIMIT)
    })
    .with_context(|| format!("{protocol:?}: kubectl {}", args.join(" ")))
}

impl Running {
    /// Standard input is the command's own.
    pub(crate) fn start(command: &mut Command) -> Result<Running> {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("start kubectl")?;
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let (stdout, reader) = collect(out.context("no standard output")?);
        let (stderr, other) = collect(err.context("no standard error")?);
        Ok(Running {
            child,
            stdout,
            stderr,
            readers: vec![reader, other],
        })
    }

    /// Starts it with an input that stays open until [`Running::close`].
    pub(crate) fn open(case: &Case<'_>, protocol: Protocol, args: &[&str]) -> Result<Running> {
        Running::start(command(case, protocol, args).stdin(Stdio::piped()))
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let stdin = self.child.stdin.as_mut().context("the input is closed")?;
        stdin.write_all(bytes)?;
        Ok(stdin.flush()?)
    }

    pub(crate) fn close(&mut self) {
        self.child.stdin = None;
    }

    /// What it has printed so far.
    pub(crate) fn said(&self) -> String {
        let (out, err) = (lock(&self.stdout), lock(&self.stderr));
        String::from_utf8_lossy(&out).into_owned() + &String::from_utf8_lossy(&err)
    }

    /// Waits until its output has this text.
    pub(crate) fn until(&self, text: &str) -> Result<String> {
        eventually(&format!("kubectl says {text:?}"), LIMIT, || {
            let said = self.said();
            Ok(if said.contains(text) {
                Seen::Yes(said)
            } else {
                Seen::No(said)
            })
        })
    }

    /// Waits for its end; one that does not end in time is killed.
    pub(crate) fn end(&mut self, limit: Duration) -> Result<Done> {
        let ended = eventually("kubectl ends", limit, || {
            Ok(match self.child.try_wait()? {
                Some(status) => Seen::Yes(status),
                None => Seen::No("it runs".to_owned()),
            })
        });
        let Ok(status) = ended else {
            self.kill();
            bail!(
                "it has not ended within {} s; it said: {}",
                limit.as_secs(),
                self.said()
            );
        };
        // A process that inherited its output may hold it for longer; what counts has been written.
        for reader in self.readers.drain(..) {
            drop(reader.join());
        }
        Ok(Done {
            code: status.code().unwrap_or(-1),
            stdout: std::mem::take(&mut lock(&self.stdout)),
            stderr: String::from_utf8_lossy(&lock(&self.stderr)).into_owned(),
        })
    }

    /// SIGKILL; returns when it is gone.
    pub(crate) fn kill(&mut self) {
        // It has ended already, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

fn collect(from: impl Read + Send + 'static) -> (Arc<Mutex<Vec<u8>>>, JoinHandle<()>) {
    let all = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&all);
    let mut from = BufReader::with_capacity(64 << 10, from);
    let reader = std::thread::spawn(move || {
        while let Ok(bytes) = from.fill_buf() {
            let count = bytes.len();
            if count == 0 {
                return;
            }
            lock(&into).extend_from_slice(bytes);
            from.consume(count);
        }
    });
    (all, reader)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
