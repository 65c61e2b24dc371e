//! iptables by whole transactions: `ip(6)tables-restore --noflush` in, `ip(6)tables-save` out.
//!
//! Owns the child processes and the reading of their output. Knows no chain of anybody: `proxy` and `network` bring
//! their own text. Never flushes a built-in chain. Works with both variants (`nf_tables`, `legacy`); where they
//! differ it is said below.

use super::exec;
use crate::model::net::IpFamily;
pub use crate::model::tables::{SavedTable, Table, parse_save};
use async_trait::async_trait;
use std::time::Duration;

/// Longest time one command may take. Restoring 10000 rules takes about 0.1 s; the rest is waiting for the lock.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What went wrong with iptables.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The binary does not exist.
    #[error("{binary} not found in PATH: install the iptables package (on Debian: apt install iptables)")]
    Missing {
        /// Which one.
        binary: &'static str,
    },
    /// The binary could not be run to its end.
    #[error(transparent)]
    Run(exec::Error),
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

/// Blocking form of [`Restore::restore`], for a process without a runtime.
pub fn restore_blocking(family: IpFamily, text: &str) -> Result<(), Error> {
    let args = ["-w", "5", "--noflush", "--counters"];
    run_blocking(restore_binary(family), &args, text).map(drop)
}

/// Blocking form of [`Restore::save`].
pub fn save_blocking(family: IpFamily, table: Table) -> Result<String, Error> {
    run_blocking(save_binary(family), &["-t", table.as_str()], "")
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
    let output = command(binary, args, input).run_async().await;
    outcome(binary, input, output)
}

/// As [`run`]. Who started us may have left no `PATH`, and the default one lacks the directories for administrators.
fn run_blocking(binary: &'static str, args: &[&str], input: &str) -> Result<String, Error> {
    let mut command = command(binary, args, input);
    if std::env::var_os("PATH").is_none() {
        command = command.env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        );
    }
    outcome(binary, input, command.run())
}

fn command(binary: &'static str, args: &[&str], input: &str) -> exec::Command {
    exec::Command::new(binary)
        .args(args)
        .env("LC_ALL", "C")
        .stdin(input)
        .timeout(TIMEOUT)
}

fn outcome(
    binary: &'static str,
    input: &str,
    output: Result<exec::Output, exec::Error>,
) -> Result<String, Error> {
    let output = output.map_err(|error| match error.is_not_installed() {
        true => Error::Missing { binary },
        false => Error::Run(error),
    })?;
    if output.status.success() {
        return Ok(output.text());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(failure(binary, input, &output.status.to_string(), &words))
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

#[cfg(test)]
mod tests;
