//! PURE. Which endpoints a Service port uses on this node, by traffic policy and by their state.
//!
//! Ready endpoints come first; when a policy has none, endpoints that still serve while they terminate are better
//! than nothing (KEP-1669). Topology hints are not read yet.

use super::service_map::{Endpoint, ServicePort};
use crate::model::net::IpFamily;

/// Endpoints of one Service port and family by traffic policy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Categories<'a> {
    /// For policy Cluster; empty when the port never uses it.
    pub cluster: Vec<&'a Endpoint>,
    /// For policy Local; empty when the port never uses it.
    pub local: Vec<&'a Endpoint>,
    /// Everything in `cluster` or `local`, sorted, each once.
    pub reachable: Vec<&'a Endpoint>,
    /// The port has a usable endpoint on some node, even if policy Local keeps this node from using it.
    pub any: bool,
}

/// Sorts the endpoints of a Service port into [`Categories`].
pub fn categorize(port: &ServicePort, family: IpFamily) -> Categories<'_> {
    let all: Vec<&Endpoint> = port.endpoints(family).collect();
    let mut result = Categories {
        any: all.iter().any(|e| usable(e)),
        ..Categories::default()
    };
    if port.uses_cluster_endpoints(family) {
        result.cluster = best(all.iter().copied());
    }
    if port.uses_local_endpoints(family) {
        result.local = best(all.iter().copied().filter(|e| e.local));
    }
    result.reachable = [&*result.cluster, &*result.local].concat();
    result.reachable.sort_unstable();
    result.reachable.dedup();
    result
}

fn usable(endpoint: &Endpoint) -> bool {
    endpoint.ready || (endpoint.serving && endpoint.terminating)
}

/// The ready ones, else those that serve while terminating.
fn best<'a>(endpoints: impl Iterator<Item = &'a Endpoint> + Clone) -> Vec<&'a Endpoint> {
    let ready: Vec<_> = endpoints.clone().filter(|e| e.ready).collect();
    if ready.is_empty() {
        endpoints.filter(|e| usable(e)).collect()
    } else {
        ready
    }
}

#[cfg(test)]
mod tests;
