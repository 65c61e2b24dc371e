//! PURE. Which tracked UDP connections lead to endpoints that Services no longer have.
//!
//! An entry is stale when it was opened to an address of a UDP Service and is answered by something that is not one
//! of its serving endpoints (#48370, #125467). Policies and topology do not matter: a flow that works is left alone.

use super::service_map::{ServiceMap, ServicePort};
use crate::model::net::{Flow, IpFamily};
use crate::model::service::Protocol;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

/// Where UDP Services of one family are reached, and who may answer there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UdpServices {
    /// By cluster, external or load balancer IP and port.
    by_address: BTreeMap<SocketAddr, BTreeSet<SocketAddr>>,
    /// By node port.
    by_node_port: BTreeMap<u16, BTreeSet<SocketAddr>>,
}

impl UdpServices {
    /// Reads them out of the map.
    pub fn of(services: &ServiceMap, family: IpFamily) -> Self {
        let mut found = Self::default();
        for (_, port) in services.iter().filter(|(name, _)| name.protocol == Protocol::Udp) {
            let Some(cluster_ip) = port.cluster_ip(family) else {
                continue;
            };
            let serving = serving(port, family);
            let addresses = port
                .external_ips(family)
                .chain(port.vips(family))
                .chain([cluster_ip]);
            for ip in addresses {
                found
                    .by_address
                    .insert(SocketAddr::new(ip, port.port), serving.clone());
            }
            if let Some(node_port) = port.node_port {
                found.by_node_port.insert(node_port, serving);
            }
        }
        found
    }

    /// Nothing to look after.
    pub fn is_empty(&self) -> bool {
        self.by_address.is_empty() && self.by_node_port.is_empty()
    }

    /// What to hold entries against after a change from `before`: all Services of now, and with nobody to answer
    /// those that are gone.
    pub fn with_removed(&self, before: &Self) -> Self {
        let mut all = self.clone();
        for address in before.by_address.keys() {
            all.by_address.entry(*address).or_default();
        }
        for port in before.by_node_port.keys() {
            all.by_node_port.entry(*port).or_default();
        }
        all
    }

    /// Whether an entry must go. `node_ips` tell a node port from the same port of an unrelated host.
    pub fn is_stale(&self, flow: &Flow, node_ips: &[IpAddr]) -> bool {
        let translated = flow.reply_source != flow.destination;
        let wrong = |serving: &BTreeSet<SocketAddr>| {
            // Without endpoints only entries that lead to a former one are wrong.
            !serving.contains(&flow.reply_source) && (translated || !serving.is_empty())
        };
        if let Some(serving) = self.by_address.get(&flow.destination) {
            return wrong(serving);
        }
        let ours = translated || node_ips.contains(&flow.destination.ip());
        self.by_node_port
            .get(&flow.destination.port())
            .is_some_and(|serving| ours && wrong(serving))
    }
}

fn serving(port: &ServicePort, family: IpFamily) -> BTreeSet<SocketAddr> {
    port.endpoints(family)
        .filter(|endpoint| endpoint.serving)
        .map(|endpoint| endpoint.socket())
        .collect()
}

#[cfg(test)]
mod tests;
