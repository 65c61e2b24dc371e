//! iptables by whole transactions: `ip(6)tables-restore --noflush` in, `ip(6)tables-save` out.
//!
//! Owns the child processes and the reading of their output. Knows no chain of anybody: `proxy` and `network` bring
//! their own text. Never flushes a built-in chain. Works with both variants (`nf_tables`, `legacy`); where they
//! differ it is said below.

use crate::model::net::IpFamily;
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

/// Longest time one command may take. Restoring 10000 rules takes about 0.1 s; the rest is waiting for the lock.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A table we program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Marks and header changes.
    Mangle,
    /// Accept, drop, reject.
    Filter,
    /// Address translation.
    Nat,
}

impl Table {
    /// The table's name as iptables writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mangle => "mangle",
            Self::Filter => "filter",
            Self::Nat => "nat",
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What went wrong with iptables.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The binary does not exist.
    #[error("{binary} not found in PATH: install the iptables package (on Debian: apt install iptables)")]
    Missing {
        /// Which one.
        binary: &'static str,
    },
    /// The binary could not be run.
    #[error("run {binary}")]
    Run {
        /// Which one.
        binary: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The kernel or iptables refused the transaction; nothing of the refused table was changed.
    #[error("{binary} refused the rules{}: {message}", at_line(*.line, .rule))]
    Rejected {
        /// Which one.
        binary: &'static str,
        /// Line of the input, from 1, when iptables said which.
        line: Option<usize>,
        /// Text of that line.
        rule: Box<str>,
        /// iptables' own words.
        message: Box<str>,
    },
    /// The command failed in another way.
    #[error("{binary} ended with {status}: {message}")]
    Failed {
        /// Which one.
        binary: &'static str,
        /// Exit status.
        status: Box<str>,
        /// iptables' own words.
        message: Box<str>,
    },
    /// No end within the limit.
    #[error("{binary} took longer than {} s; is another program holding the xtables lock?", TIMEOUT.as_secs())]
    Timeout {
        /// Which one.
        binary: &'static str,
    },
}

fn at_line(line: Option<usize>, rule: &str) -> String {
    match line {
        Some(line) if !rule.is_empty() => format!(" (line {line}: {rule})"),
        Some(line) => format!(" (line {line})"),
        None => String::new(),
    }
}

/// Programs and reads the kernel's tables of one network namespace.
#[async_trait]
pub trait Restore: Send + Sync {
    /// Applies `text` with `--noflush --counters`: chains declared as `:NAME - [0:0]` are created or flushed, every
    /// other chain is left alone. All or nothing per `*table … COMMIT`.
    async fn restore(&self, family: IpFamily, text: &str) -> Result<(), Error>;

    /// What `iptables-save` prints, for one table or for all.
    async fn save(&self, family: IpFamily, table: Option<Table>) -> Result<String, Error>;
}

/// The real thing: child processes in the caller's network namespace.
#[derive(Clone, Copy, Debug, Default)]
pub struct Process;

impl Process {
    /// Checks that the binaries for this family run, and returns what `iptables-restore --version` says.
    pub async fn probe(&self, family: IpFamily) -> Result<String, Error> {
        let version = run(restore_binary(family), &["--version"], "").await?;
        run(save_binary(family), &["--version"], "").await?;
        Ok(version.trim().to_owned())
    }
}

#[async_trait]
impl Restore for Process {
    async fn restore(&self, family: IpFamily, text: &str) -> Result<(), Error> {
        tracing::trace!(%family, text, "iptables-restore");
        run(
            restore_binary(family),
            &["-w", "5", "--noflush", "--counters"],
            text,
        )
        .await
        .map(drop)
    }

    async fn save(&self, family: IpFamily, table: Option<Table>) -> Result<String, Error> {
        match table {
            Some(table) => run(save_binary(family), &["-t", table.as_str()], "").await,
            None => run(save_binary(family), &[], "").await,
        }
    }
}

fn restore_binary(family: IpFamily) -> &'static str {
    match family {
        IpFamily::V4 => "iptables-restore",
        IpFamily::V6 => "ip6tables-restore",
    }
}

fn save_binary(family: IpFamily) -> &'static str {
    match family {
        IpFamily::V4 => "iptables-save",
        IpFamily::V6 => "ip6tables-save",
    }
}

/// Runs one command to its end; the child is killed when the caller goes away or the time is over.
async fn run(binary: &'static str, args: &[&str], input: &str) -> Result<String, Error> {
    match tokio::time::timeout(TIMEOUT, run_unbounded(binary, args, input)).await {
        Ok(result) => result,
        Err(_) => Err(Error::Timeout { binary }),
    }
}

async fn run_unbounded(binary: &'static str, args: &[&str], input: &str) -> Result<String, Error> {
    #[expect(
        clippy::disallowed_methods,
        reason = "sys: rules can be megabytes and go through stdin while stderr is read"
    )]
    let spawned = tokio::process::Command::new(binary)
        .args(args)
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = spawned.map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => Error::Missing { binary },
        _ => Error::Run { binary, source },
    })?;
    let mut stdin = child.stdin.take().expect("stdin was piped");
    // A child that refuses an early line closes its end; what counts then is its exit status and words.
    let feed = async move {
        let _closed_early = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
    };
    let ((), output) = tokio::join!(feed, child.wait_with_output());
    let output = output.map_err(|source| Error::Run { binary, source })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(failure(
        binary,
        input,
        &output.status.to_string(),
        &String::from_utf8_lossy(&output.stderr),
    ))
}

/// Turns the words of a failed command into an error that shows the line it is about.
fn failure(binary: &'static str, input: &str, status: &str, stderr: &str) -> Error {
    let mut words: Vec<&str> = Vec::new();
    for line in stderr.lines().map(str::trim) {
        if !line.is_empty() && !line.starts_with("Try `") && !line.starts_with("Error occurred at line") {
            words.push(line);
        }
    }
    let message = words.join("; ").into_boxed_str();
    if input.is_empty() {
        return Error::Failed {
            binary,
            status: status.into(),
            message,
        };
    }
    let line = failing_line(stderr);
    let rule = line
        .and_then(|n| input.lines().nth(n.checked_sub(1)?))
        .unwrap_or_default();
    Error::Rejected {
        binary,
        line,
        rule: rule.into(),
        message,
    }
}

/// The first number after the word `line` (`line 3 failed`, `Error occurred at line: 3`, `line 2: RULE_INSERT …`).
fn failing_line(stderr: &str) -> Option<usize> {
    stderr.match_indices("line").find_map(|(at, word)| {
        let rest = stderr[at + word.len()..].trim_start_matches([':', ' ']);
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..digits].parse().ok()
    })
}

/// What a table holds, as `iptables-save` printed it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SavedTable {
    /// All chains, built-in ones included.
    pub chains: BTreeSet<Box<str>>,
    /// Rules by chain in their order, each as a whole line (`-A CHAIN …`).
    pub rules: BTreeMap<Box<str>, Vec<Box<str>>>,
}

/// Reads the output of `iptables-save`. Tables we never program and lines we do not know are skipped.
pub fn parse_save(text: &str) -> BTreeMap<Table, SavedTable> {
    let mut tables: BTreeMap<Table, SavedTable> = BTreeMap::new();
    let mut current = None;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('*') {
            current = [Table::Mangle, Table::Filter, Table::Nat]
                .into_iter()
                .find(|t| t.as_str() == name.trim());
            continue;
        }
        let Some(table) = current else { continue };
        let saved = tables.entry(table).or_default();
        if let Some(chain) = line.strip_prefix(':') {
            saved.chains.extend(chain.split(' ').next().map(Into::into));
        } else if let Some(rule) = line.strip_prefix("-A ") {
            let chain = rule.split(' ').next().unwrap_or_default();
            saved
                .rules
                .entry(chain.into())
                .or_default()
                .push(line.trim_end().into());
        }
    }
    tables
}

#[cfg(test)]
mod tests;
