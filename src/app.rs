//! The composition root: the only place where components meet.
//!
//! [`agent`] is the node agent's life, from the first log line to the drain; [`build`] makes its components;
//! [`credentials`] keeps what they show to others; [`bridge`] translates between them; [`fanout`] gives one watch to
//! several readers; [`supervise`] decides what the end of one part means for the others; [`addresses`] holds address
//! reservations against the runtime; [`clean`] undoes what components made.

pub mod addresses;
pub mod agent;
pub mod bridge;
pub mod build;
pub mod clean;
pub mod credentials;
pub mod fanout;
pub mod supervise;

use crate::config::{Cli, Command, Config, Flags, Source};
use crate::kubelet::node::status::KUBELET_VERSION;
use clap::Parser;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Longest configuration file, bytes.
const MAX_CONFIG: u64 = 1 << 20;
/// A flag was wrong; the same code clap uses.
const EXIT_USAGE: u8 = 2;

/// Runs the agent or a tool. Wrong flags end the process with code 2, a failed agent with code 1.
pub fn main() -> ExitCode {
    if is_kubelets_version(std::env::args_os()) {
        println!("Kubernetes {KUBELET_VERSION}");
        return ExitCode::SUCCESS;
    }
    let cli = Cli::parse();
    match cli.command {
        None => with_config(&cli.flags, agent::main),
        Some(Command::Clean(flags)) => with_config(&flags, clean::main),
        Some(Command::Version) => {
            println!("rustlet {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
    }
}

/// Whether we were started as `kubelet --version`, as kubeadm does to see what it deals with.
fn is_kubelets_version(mut args: impl Iterator<Item = OsString>) -> bool {
    let name = args.next().unwrap_or_default();
    Path::new(&name).file_name() == Some("kubelet".as_ref()) && args.eq(["--version"])
}

fn with_config(flags: &Flags, run: impl FnOnce(Arc<Config>) -> anyhow::Result<()>) -> ExitCode {
    let config = match Config::new(flags, &Machine) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    let json = config.telemetry.format == crate::config::LogFormat::Json;
    crate::telemetry::init_logs(config.telemetry.levels.clone(), json);
    match run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The machine we run on.
struct Machine;

impl Source for Machine {
    fn hostname(&self) -> io::Result<String> {
        std::fs::read_to_string("/proc/sys/kernel/hostname")
    }
    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
    fn read(&self, file: &Path) -> io::Result<String> {
        let mut text = String::new();
        File::open(file)?.take(MAX_CONFIG + 1).read_to_string(&mut text)?;
        if text.len() as u64 > MAX_CONFIG {
            return Err(io::Error::other(format!("more than {MAX_CONFIG} bytes")));
        }
        Ok(text)
    }
    fn files(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let mut entries = std::fs::read_dir(dir)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        let mut files = Vec::new();
        for entry in entries {
            // Of a link it says that it is one, so this ends.
            if entry.file_type()?.is_dir() {
                files.extend(self.files(&entry.path())?);
            } else {
                files.push(entry.path());
            }
        }
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubeadm_asks_a_kubelet_for_its_version() {
        let is = |line: &str| is_kubelets_version(line.split(' ').map(OsString::from));
        assert!(is("/usr/bin/kubelet --version") && is("kubelet --version"));
        assert!(!is("rustlet --version") && !is("kubelet") && !is("kubelet --version --v=2"));
    }
}
