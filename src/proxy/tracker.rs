//! PURE. Changes of Services and EndpointSlices in, the merged [`ServiceMap`] out.
//!
//! Holds only what rules need (about 24 bytes an endpoint), never the API objects. Every event only marks Services
//! dirty; [`Tracker::update`] merges the dirty ones. The result does not depend on the order of events. What cannot
//! be programmed is left out and reported as a [`Problem`] of that one object.

mod convert;
mod problem;

use super::service_map::{Endpoint, ServiceMap, ServicePort, ServicePortName};
use crate::api::Change;
use crate::model::service::{EndpointSlice, Protocol, Service};
use crate::model::{NamespacedName, Object};
use jiff::Timestamp;
use problem::Problems;
pub use problem::{Problem, SubjectKind};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

/// A Service's ports before endpoints are merged in.
type ServicePorts = BTreeMap<ServicePortName, ServicePort>;

/// What one EndpointSlice contributes.
#[derive(Clone, Debug, PartialEq)]
struct Slice {
    service: NamespacedName,
    ports: Box<[(Arc<str>, Protocol, u16)]>,
    backends: Box<[Backend]>,
}

/// An endpoint before it meets its ports.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Backend {
    ip: IpAddr,
    local: bool,
    ready: bool,
    serving: bool,
    terminating: bool,
}

/// What [`Tracker::update`] merged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Update {
    /// Services whose ports or endpoints may differ from before.
    pub changed: BTreeSet<NamespacedName>,
    /// When the API server learned of the endpoint changes in this update, for the programming latency.
    pub triggers: Vec<Timestamp>,
    /// Problems that are new or different since the last update.
    pub problems: Vec<Problem>,
}

/// Merges the two watches.
#[derive(Debug)]
pub struct Tracker {
    node_name: Box<str>,
    services_listed: bool,
    slices_listed: bool,
    services: HashMap<NamespacedName, ServicePorts>,
    /// By slice.
    slices: HashMap<NamespacedName, Slice>,
    /// Slice names by Service.
    slices_of: HashMap<NamespacedName, BTreeSet<Arc<str>>>,
    dirty: BTreeSet<NamespacedName>,
    triggers: Vec<Timestamp>,
    problems: Problems,
    map: ServiceMap,
}

impl Tracker {
    /// `node_name` decides which endpoints are local.
    pub fn new(node_name: &str) -> Self {
        Self {
            node_name: node_name.into(),
            services_listed: false,
            slices_listed: false,
            services: HashMap::new(),
            slices: HashMap::new(),
            slices_of: HashMap::new(),
            dirty: BTreeSet::new(),
            triggers: Vec::new(),
            problems: Problems::default(),
            map: ServiceMap::new(),
        }
    }

    /// Both watches have listed once. Before that the map is incomplete and must not be programmed.
    pub fn is_complete(&self) -> bool {
        self.services_listed && self.slices_listed
    }

    /// Something changed since the last [`Self::update`].
    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// The merged view as of the last [`Self::update`].
    pub fn map(&self) -> &ServiceMap {
        &self.map
    }

    /// Parts of objects that are left out now.
    pub fn problem_count(&self) -> usize {
        self.problems.count()
    }

    /// Takes a change of Services.
    pub fn service_changed(&mut self, change: Change<Service>) {
        match change {
            Change::Replaced(all) => {
                let listed: BTreeSet<_> = all.iter().map(|s| s.meta().key()).collect();
                for service in &all {
                    self.apply_service(service);
                }
                let gone: Vec<_> = self
                    .services
                    .keys()
                    .filter(|key| !listed.contains(key))
                    .cloned()
                    .collect();
                for key in gone {
                    self.remove_service(&key);
                }
                self.problems
                    .retain(SubjectKind::Service, |key| listed.contains(key));
                self.services_listed = true;
            }
            Change::Applied(service) => self.apply_service(&service),
            Change::Deleted(service) => {
                let key = service.meta().key();
                self.remove_service(&key);
                self.problems.clear(SubjectKind::Service, &key);
            }
        }
    }

    /// Takes a change of EndpointSlices.
    pub fn slice_changed(&mut self, change: Change<EndpointSlice>) {
        match change {
            Change::Replaced(all) => {
                let listed: BTreeSet<_> = all.iter().map(|s| s.meta().key()).collect();
                for slice in &all {
                    self.apply_slice(slice);
                }
                let gone: Vec<_> = self
                    .slices
                    .keys()
                    .filter(|key| !listed.contains(key))
                    .cloned()
                    .collect();
                for key in gone {
                    self.remove_slice(&key);
                }
                self.problems
                    .retain(SubjectKind::EndpointSlice, |key| listed.contains(key));
                self.slices_listed = true;
                // How old a change is that came with a list says nothing about us.
                self.triggers.clear();
            }
            Change::Applied(slice) => self.apply_slice(&slice),
            Change::Deleted(slice) => {
                let key = slice.meta().key();
                self.remove_slice(&key);
                self.problems.clear(SubjectKind::EndpointSlice, &key);
            }
        }
    }

    /// Merges everything that changed since the last call.
    pub fn update(&mut self) -> Update {
        let changed = std::mem::take(&mut self.dirty);
        for service in &changed {
            self.merge(service);
        }
        Update {
            changed,
            triggers: std::mem::take(&mut self.triggers),
            problems: self.problems.take(),
        }
    }

    fn apply_service(&mut self, service: &Service) {
        let key = service.meta().key();
        let (ports, problems) = convert::service(service);
        self.problems
            .set(SubjectKind::Service, &key, &service.metadata.uid, problems);
        if ports.is_empty() {
            self.remove_service(&key);
        } else if self.services.get(&key) != Some(&ports) {
            self.services.insert(key.clone(), ports);
            self.dirty.insert(key);
        }
    }

    fn remove_service(&mut self, key: &NamespacedName) {
        if self.services.remove(key).is_some() {
            self.dirty.insert(key.clone());
        }
    }

    fn apply_slice(&mut self, slice: &EndpointSlice) {
        let key = slice.meta().key();
        let (converted, problems) = convert::slice(slice, &self.node_name);
        self.problems
            .set(SubjectKind::EndpointSlice, &key, &slice.metadata.uid, problems);
        let Some(converted) = converted else {
            self.remove_slice(&key);
            return;
        };
        if self.slices.get(&key) == Some(&converted) {
            return;
        }
        // The label may have moved the slice to another Service.
        self.remove_slice(&key);
        self.slices_of
            .entry(converted.service.clone())
            .or_default()
            .insert(key.name.clone());
        self.dirty.insert(converted.service.clone());
        self.slices.insert(key, converted);
        self.triggers.extend(convert::trigger_time(slice));
    }

    fn remove_slice(&mut self, key: &NamespacedName) {
        let Some(slice) = self.slices.remove(key) else {
            return;
        };
        if let Some(names) = self.slices_of.get_mut(&slice.service) {
            names.remove(&key.name);
            if names.is_empty() {
                self.slices_of.remove(&slice.service);
            }
        }
        self.dirty.insert(slice.service);
    }

    /// Rebuilds all ports of one Service in the map.
    fn merge(&mut self, service: &NamespacedName) {
        let first = ServicePortName {
            service: service.clone(),
            port: "".into(),
            protocol: Protocol::Tcp,
        };
        let old: Vec<_> = self
            .map
            .range(first..)
            .map(|(name, _)| name)
            .take_while(|n| n.service == *service)
            .cloned()
            .collect();
        for name in old {
            self.map.remove(&name);
        }
        let Some(ports) = self.services.get(service) else {
            self.problems.clear(SubjectKind::ServicePorts, service);
            return;
        };
        let slices: Vec<&Slice> = self
            .slices_of
            .get(service)
            .into_iter()
            .flatten()
            .filter_map(|name| {
                self.slices
                    .get(&NamespacedName::new(service.namespace.clone(), name.clone()))
            })
            .collect();
        let has_backends = slices.iter().any(|slice| !slice.backends.is_empty());
        let mut unserved = Vec::new();
        for (name, port) in ports {
            let (endpoints, offered) = merge_endpoints(name, &slices);
            if has_backends && !offered {
                unserved.push(convert::unserved_port(name));
            }
            self.map.insert(
                name.clone(),
                ServicePort {
                    endpoints,
                    ..port.clone()
                },
            );
        }
        self.problems
            .set(SubjectKind::ServicePorts, service, &Default::default(), unserved);
    }
}

/// The problem of a Service port whose rules the kernel does not take.
pub fn refused(name: &ServicePortName, words: &str) -> Problem {
    Problem {
        kind: SubjectKind::Service,
        object: name.service.clone(),
        uid: Default::default(),
        field: format!("spec.ports[name={}]", name.port).into(),
        message: format!("{words}; this port is left out until it changes").into(),
    }
}

/// Endpoints of one port over all slices of its Service, and whether any slice has that port.
///
/// The same address can appear twice: while an endpoint moves between slices, or when a new Pod got the address of
/// one that still terminates. The one in the better state wins, which is also independent of order.
fn merge_endpoints(name: &ServicePortName, slices: &[&Slice]) -> (Arc<[Endpoint]>, bool) {
    let mut best: BTreeMap<(IpAddr, u16), Backend> = BTreeMap::new();
    let mut offered = false;
    for slice in slices {
        for (_, _, port) in slice
            .ports
            .iter()
            .filter(|(port, protocol, _)| *port == name.port && *protocol == name.protocol)
        {
            offered = true;
            for backend in &slice.backends {
                let held = best.entry((backend.ip, *port)).or_insert(*backend);
                if rank(backend) > rank(held) {
                    *held = *backend;
                }
            }
        }
    }
    let merged = best.into_iter().map(|((ip, port), backend)| {
        let Backend {
            local,
            ready,
            serving,
            terminating,
            ..
        } = backend;
        Endpoint {
            ip,
            port,
            local,
            ready,
            serving,
            terminating,
        }
    });
    (merged.collect(), offered)
}

fn rank(backend: &Backend) -> (bool, bool, bool, bool) {
    (
        !backend.terminating,
        backend.ready,
        backend.serving,
        backend.local,
    )
}

#[cfg(test)]
mod tests;
