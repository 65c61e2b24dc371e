//! `rustlet clean`: every component removes what it made. Pods and their volumes stay.
//!
//! Only what this configuration makes is removed: with `--proxy-mode none` the `KUBE-*` chains are kube-proxy's, and
//! with `--network none` the CNI configuration is someone else's.

use crate::cni;
use crate::config::{Config, NetworkMode, ProxyMode};
use crate::network::{Network, conflist};
use crate::proxy::Proxy;
use crate::sys::iptables;
use anyhow::bail;
use std::path::Path;
use std::sync::Arc;

/// Cleans after an agent that does not run any more. Goes on after a failure; fails when anything was left.
pub fn main(config: Arc<Config>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let left = runtime.block_on(clean(&config));
    for problem in &left {
        tracing::error!("{problem}");
    }
    if !left.is_empty() {
        bail!("{} things could not be removed", left.len());
    }
    tracing::info!("clean");
    Ok(())
}

async fn clean(config: &Config) -> Vec<String> {
    let mut left = Vec::new();
    if config.network.mode == NetworkMode::Bridge {
        let ports = || cni::ports::clean(Path::new(cni::DATA_DIR), conflist::NETWORK);
        match tokio::task::spawn_blocking(ports).await {
            Ok(done) => left.extend(
                done.err()
                    .map(|error| format!("host ports: {:#}", anyhow::Error::from(error))),
            ),
            Err(panic) => left.push(format!("host ports: {panic}")),
        }
        let errors = Network::clean(&config.network, &iptables::Process).await;
        left.extend(
            errors
                .into_iter()
                .map(|error| format!("network: {:#}", anyhow::Error::from(error))),
        );
    }
    if config.proxy.mode == ProxyMode::Iptables
        && let Err(error) = Proxy::clean().await
    {
        left.push(format!("proxy: {:#}", anyhow::Error::from(error)));
    }
    left
}
