//! Address reservations against the runtime's sandboxes: what no sandbox owns any more is given back.
//!
//! A reboot, or a runtime that lost its state, leaves reservations nobody will ever DEL. The agent calls this at its
//! start with the sandboxes the runtime lists.

use super::apply;
use super::ipam::Store as _;
use super::ports;
use super::spec::Owner;
use super::store::{self, DiskStore};
use crate::model::SandboxId;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// What a reconciliation found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Addresses given back.
    pub released: Vec<IpAddr>,
    /// Files that are not reservations, and what else the administrator should know.
    pub warnings: Vec<String>,
}

/// Gives back the addresses of network `network` below `data_dir` whose sandbox is not in `live`, and removes their
/// links. Reservations younger than `min_age` are kept: their sandbox may be on its way and not listed yet.
///
/// Blocks; the store's lock is shared with plugin processes.
pub fn reconcile(
    data_dir: &Path,
    network: &str,
    live: &[SandboxId],
    min_age: Duration,
) -> Result<Reconciled, store::Error> {
    let Some(mut store) = DiskStore::open_existing(data_dir, network)? else {
        return Ok(Reconciled::default());
    };
    let live: BTreeSet<&str> = live.iter().map(SandboxId::as_str).collect();
    let mut done = Reconciled::default();
    let mut orphans: BTreeSet<Owner> = BTreeSet::new();
    for (ip, owner) in store.reservations()? {
        let orphan = match &owner {
            Some(owner) => !live.contains(owner.container_id.as_str()),
            None => store.is_empty(ip),
        };
        if orphan && old_enough(store.reserved_at(ip), min_age) {
            orphans.extend(owner);
            done.released.push(ip);
        }
    }
    // Ports and links first, so that no address is given away while its old link still answers for it.
    let keep = |made, id: &str| live.contains(id) || !old_enough(Some(made), min_age);
    if let Err(e) = ports::retain(data_dir, network, keep) {
        done.warnings.push(e.to_string());
    }
    match apply::collect(network, |owner| !orphans.contains(owner)) {
        Ok(errors) => done.warnings.extend(errors.iter().map(ToString::to_string)),
        Err(e) => done.warnings.push(e.to_string()),
    }
    for ip in &done.released {
        store.release(*ip)?;
    }
    done.warnings.extend(store.warnings());
    Ok(done)
}

/// A file from the future (the clock was set back) counts as old: it was not written just now.
fn old_enough(reserved_at: Option<SystemTime>, min_age: Duration) -> bool {
    reserved_at
        .and_then(|at| at.elapsed().ok())
        .is_none_or(|age| age >= min_age)
}
