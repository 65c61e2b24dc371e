//! The CNI plugin role: one call, one process, a few milliseconds.
//!
//! Owns the pods' side of the network: addresses ([`ipam`], [`store`]), the veth pair and the bridge ([`plan`],
//! [`apply`]), its host ports ([`ports`]). Starts no thread and no runtime, needs no agent, and is the only part of rustlet that writes to stdout
//! as a protocol. ADD may be repeated, DEL always succeeds when there is nothing left to delete.
//!
//! It also answers for the `loopback` plugin, which containerd asks for by default.

pub mod apply;
pub mod ipam;
mod loopback;
pub mod plan;
pub mod ports;
pub mod reconcile;
pub mod spec;
pub mod store;

pub use reconcile::{Reconciled, reconcile};
pub use spec::DATA_DIR;

use crate::sys::netns::{self, Netns};
use ipam::Store as _;
use serde_json::Value;
use spec::{Call, Code, Command, Environment, Error, Owner, Request, Version};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use store::DiskStore;

/// Longest network configuration we read, in bytes.
const MAX_STDIN: u64 = 4 << 20;

/// True when the process was started as a CNI plugin.
pub fn is_plugin_call() -> bool {
    std::env::var_os("CNI_COMMAND").is_some()
}

/// Runs one CNI call: environment and stdin in, result or error JSON on stdout.
pub fn main() -> ExitCode {
    let variable = |name| std::env::var(name).unwrap_or_default();
    let environment = Environment {
        command: variable("CNI_COMMAND"),
        container_id: variable("CNI_CONTAINERID"),
        netns: variable("CNI_NETNS"),
        ifname: variable("CNI_IFNAME"),
    };
    let mut stdin = Vec::new();
    let outcome = match std::io::stdin().take(MAX_STDIN).read_to_end(&mut stdin) {
        Ok(_) => answer(&environment, &stdin),
        Err(e) => Err((None, Error::new(Code::Io, "read stdin", e))),
    };
    let (output, code) = match outcome {
        Ok(output) => (output, ExitCode::SUCCESS),
        Err((version, error)) => (Some(error.to_json(version)), ExitCode::FAILURE),
    };
    match output.map(|json| writeln!(std::io::stdout(), "{json}")) {
        Some(Err(e)) => {
            eprintln!("rustlet: write stdout: {e}");
            ExitCode::FAILURE
        }
        _ => code,
    }
}

fn answer(environment: &Environment, stdin: &[u8]) -> Result<Option<Value>, (Option<Version>, Error)> {
    match spec::decode(environment, stdin)? {
        Request::Version(said) => Ok(Some(spec::version_json(&said))),
        Request::Call(call) => run(&call).map_err(|e| (Some(call.version), e)),
    }
}

fn run(call: &Call) -> Result<Option<Value>, Error> {
    if call.config.plugin == "loopback" {
        return loopback::run(call);
    }
    match call.command {
        Command::Add => add(call).map(Some),
        Command::Del => delete(call).map(|()| None),
        Command::Check => check(call).map(|()| None),
        Command::Status => status(call).map(|()| None),
        Command::Gc => collect(call).map(|()| None),
        Command::Version => Ok(None),
    }
}

/// Gives fresh addresses back unless told that all went well.
struct Lease<'a> {
    call: &'a Call,
    fresh: bool,
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if self.fresh
            && let Err(e) = release(self.call)
        {
            eprintln!("rustlet: undo: {e}");
        }
    }
}

fn add(call: &Call) -> Result<Value, Error> {
    let path = call.netns.as_deref().unwrap_or(Path::new(""));
    let netns = open_netns(path)?;
    let allocations = {
        let mut store = DiskStore::open(&call.config.ipam.data_dir, &call.config.name)?;
        let result = ipam::allocate(&mut store, &call.config.ipam.ranges, &call.owner);
        warn(&mut store);
        result?
    };
    let mut lease = Lease {
        call,
        fresh: allocations.iter().any(|a| a.fresh),
    };
    let plan = plan::link_plan(call, &allocations)?;
    let made = apply::add(&plan, &netns)?;
    map_ports(call, &plan)?;
    lease.fresh = false;
    Ok(plan::success(&plan, &made, &path.to_string_lossy()).to_json(call.version))
}

/// Maps the host ports of a pod whose link is up; without them there is to be no pod.
fn map_ports(call: &Call, plan: &plan::LinkPlan) -> Result<(), Error> {
    let config = &call.config;
    let place = (&*config.ipam.data_dir, &*config.name);
    let mapped = ports::add(place, &call.owner, &plan.addresses, &config.port_mappings);
    mapped.map_err(|e| {
        if let Err(undo) = ports::remove(place.0, place.1, &call.owner) {
            eprintln!("rustlet: undo: {undo}");
        }
        if let Err(undo) = apply::delete(&config.name, &call.owner, call.netns.as_deref()) {
            eprintln!("rustlet: undo: {undo}");
        }
        e.into()
    })
}

fn delete(call: &Call) -> Result<(), Error> {
    let config = &call.config;
    ports::remove(&config.ipam.data_dir, &config.name, &call.owner)?;
    // The link first: its address must not go to another pod while it still answers for it.
    apply::delete(&call.config.name, &call.owner, call.netns.as_deref())?;
    release(call)
}

fn release(call: &Call) -> Result<(), Error> {
    if let Some(mut store) = DiskStore::open_existing(&call.config.ipam.data_dir, &call.config.name)? {
        ipam::release(&mut store, &call.owner)?;
        warn(&mut store);
    }
    Ok(())
}

fn check(call: &Call) -> Result<(), Error> {
    let netns = open_netns(call.netns.as_deref().unwrap_or(Path::new("")))?;
    let config = &call.config;
    let previous = config.previous.clone().unwrap_or_default();
    let mut store = DiskStore::open(&config.ipam.data_dir, &config.name)?;
    let taken = store.reservations()?;
    warn(&mut store);
    drop(store);
    let allocations = ipam::held_by(&taken, &config.ipam.ranges, &call.owner);
    if allocations.len() != config.ipam.ranges.len() {
        let why = format!("no address is reserved for container {}", call.owner.container_id);
        return Err(Error::new(Code::Internal, "check", why));
    }
    let plan = plan::link_plan(call, &allocations)?;
    apply::check(&plan, &previous, &netns)?;
    let place = (&config.ipam.data_dir, &config.name);
    Ok(ports::check(
        place.0,
        place.1,
        &call.owner,
        &config.port_mappings,
    )?)
}

fn status(call: &Call) -> Result<(), Error> {
    let config = &call.config;
    let unavailable = |why: String| Error::new(Code::NotAvailable, "not available", why);
    let mut store =
        DiskStore::open(&config.ipam.data_dir, &config.name).map_err(|e| unavailable(e.to_string()))?;
    let taken = store.reservations().map_err(|e| unavailable(e.to_string()))?;
    for ranges in &config.ipam.ranges {
        if ipam::free(&taken, ranges, 1) == 0 {
            let subnets: Vec<String> = ranges.iter().map(|r| r.subnet.to_string()).collect();
            return Err(unavailable(format!("no free address in {}", subnets.join(", "))));
        }
    }
    Ok(())
}

fn collect(call: &Call) -> Result<(), Error> {
    let config = &call.config;
    let valid = |owner: &Owner| {
        config.valid_attachments.iter().any(|a| {
            a.container_id == owner.container_id && (a.ifname == owner.ifname || owner.ifname.is_empty())
        })
    };
    let known = |id: &str| config.valid_attachments.iter().any(|a| a.container_id == id);
    ports::retain(&config.ipam.data_dir, &config.name, |_, id| known(id))?;
    let errors = apply::collect(&config.name, valid)?;
    if let Some(mut store) = DiskStore::open_existing(&config.ipam.data_dir, &config.name)? {
        let gone: Vec<_> = store.reservations()?.into_iter().collect();
        for (ip, owner) in gone {
            let orphan = owner.map_or_else(|| store.is_empty(ip), |owner| !valid(&owner));
            if orphan {
                store.release(ip)?;
            }
        }
        warn(&mut store);
    }
    match errors.is_empty() {
        true => Ok(()),
        false => {
            let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
            Err(Error::new(Code::Internal, "garbage collection", all.join("; ")))
        }
    }
}

fn open_netns(path: &Path) -> Result<Netns, Error> {
    Netns::open(path).map_err(|e| Error::new(Code::InvalidEnvironment, "CNI_NETNS", e))
}

fn warn(store: &mut DiskStore) {
    for warning in store.warnings() {
        eprintln!("rustlet: {warning}");
    }
}

impl From<store::Error> for Error {
    fn from(e: store::Error) -> Self {
        Self::new(Code::Io, "address reservations", e)
    }
}

impl From<ipam::Error<store::Error>> for Error {
    fn from(e: ipam::Error<store::Error>) -> Self {
        match e {
            ipam::Error::Store(e) => e.into(),
            ipam::Error::Exhausted { .. } => Self::new(Code::TryAgainLater, "no address", e),
        }
    }
}

impl From<ports::Error> for Error {
    fn from(e: ports::Error) -> Self {
        match e {
            ports::Error::Invalid(_) => Self::new(Code::InvalidConfig, "host ports", e),
            ports::Error::File { .. } => Self::new(Code::Io, "host ports", e),
            ports::Error::Differs(_) => Self::new(Code::Internal, "check", e),
            e => Self::new(Code::Internal, "host ports", e),
        }
    }
}

impl From<netns::Error> for Error {
    fn from(e: netns::Error) -> Self {
        Self::new(Code::Internal, "network namespace", e)
    }
}

impl From<apply::Error> for Error {
    fn from(e: apply::Error) -> Self {
        match e {
            apply::Error::OwnNetns(_) => Self::new(Code::InvalidEnvironment, "CNI_NETNS", e),
            apply::Error::NotABridge { .. } | apply::Error::ForeignAddress { .. } => {
                Self::new(Code::InvalidConfig, "bridge", e)
            }
            apply::Error::Differs(_) => Self::new(Code::Internal, "check", e),
            e => Self::new(Code::Internal, "pod network", e),
        }
    }
}
