//! Host ports of pods: records on disk, and the rules they stand for in the kernel.
//!
//! One record per sandbox in `<data dir>/<network>/ports/`. ADD, DEL and GC change the records and write the chains
//! anew from all of them, so that nothing has to be found again in the kernel; a lock keeps calls apart. A record is
//! there before its rules and goes after them: DEL sees from its absence that there is nothing to do, and runs nothing.

pub mod rules;

use super::spec::{Owner, PortMapping};
use crate::model::net::{Flow, IpFamily};
use crate::model::tables::{SavedTable, Table, parse_save};
use crate::sys::netlink::{self, Netlink};
use crate::sys::{conntrack, fs as sys_fs, iptables};
use ipnet::IpNet;
use rules::{Chains, Record};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Directory of the records within the network's.
pub const DIR: &str = "ports";
const LOCK: &str = ".lock";
const TEMPORARY: &str = ".tmp";

/// What kept host ports from being mapped, or from going.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What is asked for cannot be done.
    #[error("runtimeConfig.portMappings: {0}")]
    Invalid(#[from] rules::Invalid),
    /// A record or the lock.
    #[error("{path}: {cause}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The rules.
    #[error(transparent)]
    Iptables(#[from] iptables::Error),
    /// The node's own addresses.
    #[error(transparent)]
    Netlink(#[from] netlink::Error),
    /// CHECK found a difference.
    #[error("{0}")]
    Differs(String),
}

/// Result of a change.
pub type Result<T> = std::result::Result<T, Error>;

fn at(path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |cause| Error::File {
        path: path.to_owned(),
        cause,
    }
}

/// The locked records of one network.
#[derive(Debug)]
pub struct Ports {
    dir: PathBuf,
    chains: Chains,
    _lock: File,
}

impl Ports {
    /// Waits for the lock; makes the directory.
    fn open(data_dir: &Path, network: &str) -> Result<Self> {
        let dir = data_dir.join(network).join(DIR);
        fs::create_dir_all(&dir).map_err(at(&dir))?;
        let path = dir.join(LOCK);
        let lock = sys_fs::lock(&path, 0o600).map_err(at(&path))?;
        let chains = Chains::of(network);
        Ok(Self {
            dir,
            chains,
            _lock: lock,
        })
    }

    /// All records, the newest first: should an old one be left of a sandbox that is gone, the new pod gets the port.
    fn records(&self) -> Result<Vec<(SystemTime, Record)>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(at(&self.dir))? {
            let path = entry.map_err(at(&self.dir))?.path();
            if path
                .file_name()
                .is_none_or(|name| name.to_string_lossy().starts_with('.'))
            {
                continue;
            }
            let read = fs::read(&path).and_then(|text| Ok(serde_json::from_slice::<Record>(&text)?));
            match read {
                Ok(record) => {
                    let modified = fs::metadata(&path).and_then(|meta| meta.modified());
                    all.push((modified.unwrap_or(SystemTime::UNIX_EPOCH), record));
                }
                // One bad file must not cost the other pods their ports.
                Err(e) => eprintln!("rustlet: {}: {e}; ignored", path.display()),
            }
        }
        all.sort_by(|(a, x), (b, y)| b.cmp(a).then_with(|| x.container_id.cmp(&y.container_id)));
        Ok(all)
    }

    fn file(&self, container_id: &str) -> PathBuf {
        self.dir.join(container_id)
    }

    fn write(&self, record: &Record) -> Result<()> {
        let (temporary, path) = (self.dir.join(TEMPORARY), self.file(&record.container_id));
        let text = serde_json::to_vec(record).map_err(|e| at(&path)(e.into()))?;
        fs::write(&temporary, text).map_err(at(&temporary))?;
        fs::rename(&temporary, &path).map_err(at(&path))
    }

    fn forget(&self, container_id: &str) -> Result<()> {
        let path = self.file(container_id);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(at(&path)(e)),
            _ => Ok(()),
        }
    }

    /// Makes the chains of these families what `records` say. A family no pod has had ports of is left alone: the
    /// machine may lack its tools, or its kernel the table.
    fn program(&self, families: &BTreeSet<IpFamily>, records: &[Record]) -> Result<()> {
        for family in families.iter().copied() {
            let wanted = rules::chain(&self.chains, family, records);
            let saved = match nat(family) {
                Err(iptables::Error::Missing { .. }) if wanted.is_empty() => continue,
                other => other?,
            };
            if let Some(text) = rules::repair(&self.chains, &wanted, &saved) {
                iptables::restore_blocking(family, &text)?;
            }
        }
        Ok(())
    }

    /// Takes away what is not to be kept, rules first.
    fn retain(&self, keep: impl Fn(SystemTime, &Record) -> bool) -> Result<()> {
        let all = self.records()?;
        let families = families(all.iter().map(|(_, record)| record));
        let (kept, gone): (Vec<_>, Vec<_>) = all.into_iter().partition(|(at, r)| keep(*at, r));
        let kept: Vec<Record> = kept.into_iter().map(|(_, record)| record).collect();
        self.program(&families, &kept)?;
        for (_, record) in &gone {
            self.forget(&record.container_id)?;
            if record.has_udp() {
                let ended = record.clone();
                flush(record, move |flow| rules::ended(flow, &ended));
            }
        }
        Ok(())
    }
}

fn families<'a>(records: impl Iterator<Item = &'a Record>) -> BTreeSet<IpFamily> {
    let addresses = records.flat_map(|record| &record.addresses);
    addresses.map(|net| IpFamily::of(net.addr())).collect()
}

fn nat(family: IpFamily) -> std::result::Result<SavedTable, iptables::Error> {
    let saved = iptables::save_blocking(family, Table::Nat)?;
    Ok(parse_save(&saved).remove(&Table::Nat).unwrap_or_default())
}

/// Deletes UDP entries of the families of a record: a client that goes on talking would never get to the new rules.
/// Failing that is no reason to refuse a pod.
fn flush(record: &Record, stale: impl Fn(&Flow) -> bool + Clone + Send + 'static) {
    for family in families(std::iter::once(record)) {
        let stale: conntrack::Stale = Box::new(stale.clone());
        if let Err(e) = conntrack::delete_udp_blocking(family, &stale) {
            eprintln!("rustlet: UDP connections of host ports: {e}");
        }
    }
}

/// ADD: maps the ports of a pod; nothing is run when it has none. A failure leaves no rule behind.
pub fn add(
    (data_dir, network): (&Path, &str),
    owner: &Owner,
    addresses: &[IpNet],
    asked: &[PortMapping],
) -> Result<()> {
    let mappings = rules::mappings(asked)?;
    if mappings.is_empty() {
        return Ok(());
    }
    let record = Record {
        container_id: owner.container_id.clone(),
        addresses: addresses.to_vec(),
        mappings,
    };
    let ports = Ports::open(data_dir, network)?;
    // The addresses are ours now: a record with one of them is left of a pod that is gone.
    let stale = |other: &Record| {
        other.container_id == record.container_id
            || other.addresses.iter().any(|net| record.addresses.contains(net))
    };
    let mut all: Vec<Record> = ports.records()?.into_iter().map(|(_, r)| r).collect();
    let families = families(all.iter().chain([&record]));
    for other in all.iter().filter(|other| stale(other)) {
        ports.forget(&other.container_id)?;
    }
    all.retain(|other| !stale(other));
    ports.write(&record)?;
    all.insert(0, record.clone());
    if let Err(e) = ports.program(&families, &all) {
        all.remove(0);
        if let Err(undo) = ports
            .program(&families, &all)
            .and_then(|()| ports.forget(&record.container_id))
        {
            eprintln!("rustlet: undo: {undo}");
        }
        return Err(e);
    }
    if record.has_udp() {
        let own: Vec<IpAddr> = Netlink::open()?
            .addresses(None)?
            .into_iter()
            .map(|(_, net)| net.addr())
            .collect();
        let of = record.clone();
        flush(&record, move |flow| rules::superseded(flow, &of, &own));
    }
    Ok(())
}

/// DEL: idempotent; runs nothing for a pod without host ports.
pub fn remove(data_dir: &Path, network: &str, owner: &Owner) -> Result<()> {
    if !data_dir
        .join(network)
        .join(DIR)
        .join(&owner.container_id)
        .exists()
    {
        return Ok(());
    }
    Ports::open(data_dir, network)?.retain(|_, record| record.container_id != owner.container_id)
}

/// GC and the agent's start: takes away what `keep` does not know, and puts back rules somebody else took away.
pub fn retain(data_dir: &Path, network: &str, keep: impl Fn(SystemTime, &str) -> bool) -> Result<()> {
    if !data_dir.join(network).join(DIR).exists() {
        return Ok(());
    }
    Ports::open(data_dir, network)?.retain(|at, record| keep(at, &record.container_id))
}

/// CHECK: the rules of a pod are there.
pub fn check(data_dir: &Path, network: &str, owner: &Owner, asked: &[PortMapping]) -> Result<()> {
    if rules::mappings(asked)?.is_empty() {
        return Ok(());
    }
    let ports = Ports::open(data_dir, network)?;
    let all = ports.records()?.into_iter().map(|(_, record)| record);
    let Some(record) = all.into_iter().find(|r| r.container_id == owner.container_id) else {
        let why = format!("no host ports are recorded for container {}", owner.container_id);
        return Err(Error::Differs(why));
    };
    for family in IpFamily::ALL {
        let wanted = rules::chain(&ports.chains, family, std::slice::from_ref(&record));
        if wanted.is_empty() {
            continue;
        }
        if let Some(missing) = rules::missing(&ports.chains, &wanted, &nat(family)?) {
            return Err(Error::Differs(format!("host port rule is gone: {missing}")));
        }
    }
    Ok(())
}

/// Removes all rules and records of a network.
pub fn clean(data_dir: &Path, network: &str) -> Result<()> {
    let chains = Chains::of(network);
    for family in IpFamily::ALL {
        let saved = match nat(family) {
            Err(iptables::Error::Missing { .. }) => continue,
            other => other?,
        };
        if let Some(text) = rules::repair(&chains, &[], &saved) {
            iptables::restore_blocking(family, &text)?;
        }
    }
    let dir = data_dir.join(network).join(DIR);
    match fs::remove_dir_all(&dir) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(at(&dir)(e)),
        _ => Ok(()),
    }
}
