//! kubectl against the lab's API server.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// kubectl with the lab's credentials.
#[derive(Debug, Clone)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
}

impl Kubectl {
    pub(crate) fn new(program: &Path, kubeconfig: &Path) -> Self {
        Self {
            program: program.to_owned(),
            kubeconfig: kubeconfig.to_owned(),
        }
    }

    /// The kubeconfig it uses.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The program itself.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// A command to add to, for whoever needs the process (`logs -f`, `port-forward`).
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--kubeconfig").arg(&self.kubeconfig).args(args);
        command
    }

    /// Runs it and returns its standard output; an exit code other than 0 is an error that quotes what it said.
    pub fn run(&self, args: &[&str]) -> Result<String> {
        self.run_with(args, "")
    }

    /// As [`Kubectl::run`], with standard input: `run_with(&["apply", "-f", "-"], yaml)`.
    pub fn run_with(&self, args: &[&str], input: &str) -> Result<String> {
        let mut command = self.command(args);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .with_context(|| format!("start {}", self.program.display()))?;
        let mut stdin = child.stdin.take().context("kubectl has no standard input")?;
        // From a thread: kubectl may print before it has read everything. One that stops reading says why itself.
        let output = std::thread::scope(|scope| {
            scope.spawn(move || stdin.write_all(input.as_bytes()));
            child.wait_with_output()
        })?;
        if !output.status.success() {
            bail!(
                "kubectl {}: {}",
                args.join(" "),
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs it with `-o json` and parses what it prints.
    pub fn json(&self, args: &[&str]) -> Result<serde_json::Value> {
        let args = [args, &["-o", "json"]].concat();
        serde_json::from_str(&self.run(&args)?)
            .with_context(|| format!("kubectl {}: not JSON", args.join(" ")))
    }
}

/// Asks until `check` has an answer. An error counts as "not yet"; when time is up the last one is part of the error.
pub fn wait<T>(what: &str, limit: Duration, mut check: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    let mut pause = Duration::from_millis(50);
    loop {
        let answer = check();
        if let Ok(Some(value)) = answer {
            return Ok(value);
        }
        if start.elapsed() > limit {
            let why = answer
                .err()
                .map_or_else(String::new, |error| format!(": {error:#}"));
            bail!("{what}: not within {} s{why}", limit.as_secs());
        }
        std::thread::sleep(pause);
        pause = (pause * 3 / 2).min(Duration::from_millis(300));
    }
}
