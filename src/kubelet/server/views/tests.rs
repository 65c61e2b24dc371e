use crate::config::{Cli, Config, KubeletConfig, ServerConfig, Source};
use clap::Parser;
use std::path::{Path, PathBuf};
use std::sync::Arc;

struct NoMachine;

impl Source for NoMachine {
    fn hostname(&self) -> std::io::Result<String> {
        panic!("the name is given")
    }
    fn env(&self, _: &str) -> Option<String> {
        None
    }
    fn read(&self, file: &Path) -> std::io::Result<String> {
        panic!("{} is not asked for", file.display())
    }
    fn files(&self, dir: &Path) -> std::io::Result<Vec<PathBuf>> {
        panic!("{} is not asked for", dir.display())
    }
}

/// Settings of the pod side for tests of the node's API.
pub(in crate::kubelet::server) fn settings() -> Arc<KubeletConfig> {
    Arc::new(config().kubelet.clone())
}

pub(super) fn server() -> ServerConfig {
    config().server.clone()
}

fn config() -> Arc<Config> {
    let cli = Cli::try_parse_from(["rustlet", "--node=w1", "--cluster-dns=10.96.0.10"]).unwrap();
    Config::new(&cli.flags, &NoMachine).unwrap()
}
