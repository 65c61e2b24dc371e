//! From a bootstrap kubeconfig to the node's own, in steps that can each be the last before a crash.
//!
//! The key is written before it is used, so that the next start takes up the same request; it goes away once it is part
//! of a stored pair. A pair without a kubeconfig is adopted at the next start ([`super::plan::Decision::Adopt`]).

use super::disk::{Disk, Store};
use super::obtain::obtain;
use super::request::Wanted;
use super::{CLIENT, Error};
use crate::api::SigningRequests;
use crate::api::kubeconfig::ClientConfig;
use crate::config::IdentityConfig;
use jiff::Zoned;
use rcgen::KeyPair;
use std::path::PathBuf;

/// Where the key of a request that is under way is kept, as upstream's kubelet does.
pub(super) fn pending_key(config: &IdentityConfig) -> PathBuf {
    config.cert_dir.join("kubelet-client.key.tmp")
}

pub(super) fn store<'a>(disk: &'a dyn Disk, config: &'a IdentityConfig) -> Store<'a> {
    Store {
        disk,
        dir: &config.cert_dir,
        prefix: CLIENT,
    }
}

/// Gets the node's first certificate, and writes pair and kubeconfig. `cluster` is the bootstrap kubeconfig.
pub async fn bootstrap(
    disk: &dyn Disk,
    api: &dyn SigningRequests,
    config: &IdentityConfig,
    cluster: &ClientConfig,
) -> Result<(), Error> {
    let wanted = Wanted::client(&config.node);
    let key = key(disk, config)?;
    let name = wanted.digested_name(&key);
    let certificates = match obtain(api, &wanted, &key, Some(&name)).await {
        Err(error) if error.is_final() => {
            // The name of the next request is made from its key, so that it needs another one.
            disk.remove(&pending_key(config))?;
            return Err(error);
        }
        other => other?,
    };
    store(disk, config).update(&certificates, &key.serialize_pem(), &Zoned::now())?;
    write_kubeconfig(disk, config, cluster)
}

/// Writes the node's kubeconfig: the bootstrap's cluster, the stored pair, which has the key now.
pub(super) fn write_kubeconfig(
    disk: &dyn Disk,
    config: &IdentityConfig,
    cluster: &ClientConfig,
) -> Result<(), Error> {
    disk.remove(&pending_key(config))?;
    let text = cluster.with_client_pair(&store(disk, config).current_path());
    if let Some(dir) = config.kubeconfig.parent() {
        disk.make_dir(dir)?;
    }
    disk.write(&config.kubeconfig, text.as_bytes())?;
    tracing::info!(file = %config.kubeconfig.display(), "wrote the node's kubeconfig");
    Ok(())
}

/// The key of the request that is under way, or a new one.
fn key(disk: &dyn Disk, config: &IdentityConfig) -> Result<KeyPair, Error> {
    let path = pending_key(config);
    if let Some(pem) = disk.read(&path)? {
        let key = std::str::from_utf8(&pem)
            .ok()
            .and_then(|pem| KeyPair::from_pem(pem).ok());
        match key {
            Some(key) => return Ok(key),
            None => tracing::warn!(
                "{}: is no private key of ours; a new one takes its place",
                path.display()
            ),
        }
    }
    let key = KeyPair::generate().map_err(|e| Error::Key(e.to_string()))?;
    disk.make_dir(&config.cert_dir)?;
    disk.write(&path, key.serialize_pem().as_bytes())?;
    Ok(key)
}

#[cfg(test)]
mod tests;
