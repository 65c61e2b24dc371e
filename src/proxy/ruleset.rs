//! PURE. [`ServiceMap`] to typed iptables rules, in kube-proxy's chains.
//!
//! ```text
//! nat:    PREROUTING, OUTPUT ─▶ KUBE-SERVICES ─▶ KUBE-SVC-…  (policy Cluster) ─▶ KUBE-SEP-… ─▶ DNAT
//!                                   │       └──▶ KUBE-SVL-…  (policy Local)   ─▶ KUBE-SEP-…
//!                                   ├──▶ KUBE-EXT-… (external, load balancer IPs) ─▶ KUBE-SVC-… | KUBE-SVL-…
//!                                   ├──▶ KUBE-FW-…  (source ranges) ─▶ KUBE-EXT-…
//!                                   └──▶ KUBE-NODEPORTS (last) ─▶ KUBE-EXT-…
//!         POSTROUTING ─▶ KUBE-POSTROUTING: masquerade what KUBE-MARK-MASQ marked
//! filter: INPUT, FORWARD, OUTPUT ─▶ KUBE-SERVICES, KUBE-EXTERNAL-SERVICES (REJECT, DROP without endpoints),
//!                                   KUBE-PROXY-FIREWALL, KUBE-NODEPORTS (health checks), KUBE-FORWARD
//! ```
//! One file per kind of chain. Everything is ordered, so the same input always gives the same rules.

mod balance;
mod base;
mod cluster_ip;
mod external;
mod names;
mod rule;

use super::endpoints::{Categories, categorize};
use super::service_map::{ServiceMap, ServicePort, ServicePortName};
use crate::model::net::IpFamily;
use crate::model::tables::Table;
pub use base::{JUMPS, Jump, MASQUERADE_MARK};
use ipnet::IpNet;
pub use names::{CANARY, ChainName, is_owned};
pub use rule::{Match, Negatable, Rule, Target};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Above this many endpoints rules lose the comments that repeat per endpoint, as in kube-proxy.
const LARGE_CLUSTER_ENDPOINTS: usize = 1000;

/// What the rules of one family depend on besides Services.
#[derive(Clone, Debug, PartialEq)]
pub struct Inputs {
    /// Family the rules are for.
    pub family: IpFamily,
    /// This node's pod CIDR: traffic from it is local. Unknown until the node has one.
    pub pod_cidr: Option<IpNet>,
    /// The node's own address.
    pub node_ip: Option<IpAddr>,
    /// Drop forwarded packets that conntrack calls INVALID (#74839); off when conntrack is set to be liberal.
    pub drop_invalid: bool,
}

/// The rules of one family: chains by table, each with its rules in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Ruleset {
    /// Family.
    pub family: IpFamily,
    /// Every chain we own. A chain that is absent must not exist.
    pub tables: BTreeMap<Table, BTreeMap<ChainName, Vec<Rule>>>,
}

impl Ruleset {
    /// Makes all rules of a family.
    pub fn build(services: &ServiceMap, inputs: &Inputs) -> Self {
        let endpoints: usize = services
            .values()
            .map(|port| port.endpoints(inputs.family).count())
            .sum();
        let mut builder = Builder {
            rules: Self {
                family: inputs.family,
                tables: BTreeMap::new(),
            },
            inputs,
            endpoint_comments: endpoints <= LARGE_CLUSTER_ENDPOINTS,
        };
        builder.base_chains();
        for (name, port) in services {
            if let Some(cluster_ip) = port.cluster_ip(inputs.family) {
                builder.service_port(name, port, cluster_ip);
            }
        }
        builder.node_port_dispatch();
        builder.rules
    }

    /// Rules per table, as the metrics count them.
    pub fn rule_count(&self, table: Table) -> usize {
        self.tables
            .get(&table)
            .map_or(0, |chains| chains.values().map(Vec::len).sum())
    }
}

/// Everything about one Service port that its chains are made from.
struct PortContext<'a> {
    name: &'a ServicePortName,
    /// `namespace/name:port`.
    label: String,
    port: &'a ServicePort,
    cluster_ip: IpAddr,
    endpoints: Categories<'a>,
    svc: ChainName,
    svl: ChainName,
    ext: ChainName,
    fw: ChainName,
}

impl PortContext<'_> {
    /// Chain for traffic to the cluster IP.
    fn internal_chain(&self) -> ChainName {
        if self.port.internal_policy_local {
            self.svl
        } else {
            self.svc
        }
    }

    /// Chain that balances external traffic in the end.
    fn external_chain(&self) -> ChainName {
        if self.port.external_policy_local {
            self.svl
        } else {
            self.svc
        }
    }

    /// Traffic to the cluster IP finds an endpoint here.
    fn internal_served(&self) -> bool {
        self.endpoints.any && !(self.port.internal_policy_local && self.endpoints.local.is_empty())
    }

    /// External traffic finds an endpoint here.
    fn external_served(&self) -> bool {
        self.endpoints.any && !(self.port.external_policy_local && self.endpoints.local.is_empty())
    }

    /// What the filter table does with traffic that finds no endpoint here, and the comment that says why.
    fn refusal(&self) -> (Target, String) {
        if self.endpoints.any {
            (Target::Drop, format!("{} has no local endpoints", self.label))
        } else {
            (Target::Reject, format!("{} has no endpoints", self.label))
        }
    }
}

/// Whether a line of the rendered rules comes from this Service port: it is in, or leads to, one of its chains, or
/// its comment names it.
pub fn is_about(line: &str, name: &ServicePortName, port: &ServicePort) -> bool {
    let label = name.to_string();
    let of_port = ["KUBE-SVC-", "KUBE-SVL-", "KUBE-EXT-", "KUBE-FW-"];
    let chains = of_port
        .iter()
        .map(|prefix| names::service(prefix, &label, name.protocol));
    let endpoints = port
        .endpoints
        .iter()
        .map(|e| names::endpoint(&label, name.protocol, e.socket()));
    let named = line
        .split('"')
        .nth(1)
        .is_some_and(|comment| comment.split(' ').any(|word| word == label));
    let protocol = format!(" -p {} ", names::protocol_name(name.protocol));
    (named && line.contains(&protocol)) || chains.chain(endpoints).any(|chain| line.contains(chain.as_str()))
}

struct Builder<'a> {
    rules: Ruleset,
    inputs: &'a Inputs,
    endpoint_comments: bool,
}

impl Builder<'_> {
    fn chain(&mut self, table: Table, chain: ChainName) -> &mut Vec<Rule> {
        self.rules
            .tables
            .entry(table)
            .or_default()
            .entry(chain)
            .or_default()
    }

    fn push(&mut self, table: Table, chain: ChainName, rule: Rule) {
        self.chain(table, chain).push(rule);
    }

    fn service_port(&mut self, name: &ServicePortName, port: &ServicePort, cluster_ip: IpAddr) {
        let label = name.to_string();
        let context = PortContext {
            svc: names::service("KUBE-SVC-", &label, name.protocol),
            svl: names::service("KUBE-SVL-", &label, name.protocol),
            ext: names::service("KUBE-EXT-", &label, name.protocol),
            fw: names::service("KUBE-FW-", &label, name.protocol),
            endpoints: categorize(port, self.inputs.family),
            name,
            label,
            port,
            cluster_ip,
        };
        self.cluster_ip(&context);
        self.external(&context);
        self.balance(&context);
    }
}
