//! PURE. Traffic to external IPs, load balancer VIPs and node ports; source ranges; health check ports.

use super::names::{ChainName, EXTERNAL_SERVICES, MARK_MASQ, NODE_PORTS, PROXY_FIREWALL, SERVICES};
use super::rule::{Match, Rule, Target};
use super::{Builder, PortContext};
use crate::model::service::Protocol;
use crate::model::tables::Table;
use std::net::IpAddr;

impl Builder<'_> {
    /// All rules for external traffic of one Service port.
    pub(super) fn external(&mut self, context: &PortContext<'_>) {
        let family = self.inputs.family;
        let has_vips = context.port.vips(family).next().is_some();
        let restricted =
            context.endpoints.any && has_vips && context.port.source_ranges(family).next().is_some();
        for ip in context.port.external_ips(family) {
            self.external_address(context, ip, "external IP", context.ext);
        }
        for ip in context.port.vips(family) {
            let chain = if restricted { context.fw } else { context.ext };
            self.external_address(context, ip, "loadbalancer IP", chain);
            if restricted {
                let comment = format!("{} traffic not accepted by {}", context.label, context.fw);
                let drop = Rule::new(Target::Drop)
                    .to(ip)
                    .port(context.name.protocol, context.port.port);
                self.push(Table::Filter, PROXY_FIREWALL, drop.comment(&comment));
            }
        }
        self.node_port(context);
        if context.endpoints.any && context.port.externally_accessible(family) {
            self.external_chain(context);
        }
        if restricted {
            self.firewall_chain(context);
        }
    }

    fn external_address(&mut self, context: &PortContext<'_>, ip: IpAddr, what: &str, chain: ChainName) {
        let to_ip = |target| {
            Rule::new(target)
                .to(ip)
                .port(context.name.protocol, context.port.port)
        };
        if context.endpoints.any {
            let comment = format!("{} {what}", context.label);
            self.push(Table::Nat, SERVICES, to_ip(Target::Jump(chain)).comment(&comment));
        }
        if !context.external_served() {
            let (target, why) = context.refusal();
            self.push(Table::Filter, EXTERNAL_SERVICES, to_ip(target).comment(&why));
        }
    }

    fn node_port(&mut self, context: &PortContext<'_>) {
        if let Some(node_port) = context.port.node_port {
            let to_port = |target| Rule::new(target).port(context.name.protocol, node_port);
            if context.endpoints.any {
                let dispatch = to_port(Target::Jump(context.ext)).comment(&context.label);
                self.push(Table::Nat, NODE_PORTS, dispatch);
            }
            if !context.external_served() {
                let (target, why) = context.refusal();
                let refuse = Rule::new(target)
                    .matching(Match::DestinationLocal)
                    .port(context.name.protocol, node_port);
                let refuse = refuse.comment(&why);
                self.push(Table::Filter, EXTERNAL_SERVICES, refuse);
            }
        }
        if let Some(port) = context.port.health_check_node_port {
            let comment = format!("{} health check node port", context.label);
            let accept = Rule::new(Target::Accept)
                .port(Protocol::Tcp, port)
                .comment(&comment);
            // All ports of a Service share one health check port.
            let chain = self.chain(Table::Filter, NODE_PORTS);
            if !chain.iter().any(|rule| rule.matches == accept.matches) {
                chain.push(accept);
            }
        }
    }

    /// KUBE-EXT: all external traffic of a Service port, on its way to the policy's chain.
    fn external_chain(&mut self, context: &PortContext<'_>) {
        let label = &context.label;
        if !context.port.external_policy_local {
            // The endpoint may be on another node, so the answer has to come back through this one.
            let comment = format!("masquerade traffic for {label} external destinations");
            self.push(
                Table::Nat,
                context.ext,
                Rule::new(Target::Jump(MARK_MASQ)).comment(&comment),
            );
        } else {
            // With policy Local the client's address is kept, except for clients on this node: they may use any
            // endpoint, as if they had gone out to the load balancer and come back.
            if let Some(pod_cidr) = self.inputs.pod_cidr {
                let comment = format!("pod traffic for {label} external destinations");
                let pods = Rule::new(Target::Jump(context.svc))
                    .from(pod_cidr)
                    .comment(&comment);
                self.push(Table::Nat, context.ext, pods);
            }
            for (what, chain) in [("masquerade", MARK_MASQ), ("route", context.svc)] {
                let comment = format!("{what} LOCAL traffic for {label} external destinations");
                let local = Rule::new(Target::Jump(chain))
                    .matching(Match::SourceLocal)
                    .comment(&comment);
                self.push(Table::Nat, context.ext, local);
            }
        }
        if context.external_served() {
            self.push(
                Table::Nat,
                context.ext,
                Rule::new(Target::Jump(context.external_chain())),
            );
        }
    }

    /// KUBE-FW: only clients in the source ranges go on; the others meet KUBE-PROXY-FIREWALL.
    fn firewall_chain(&mut self, context: &PortContext<'_>) {
        let family = self.inputs.family;
        let comment = format!("{} loadbalancer IP", context.label);
        let allow = |net| Rule::new(Target::Jump(context.ext)).from(net).comment(&comment);
        let mut from_node = false;
        for net in context.port.source_ranges(family) {
            from_node |= self.inputs.node_ip.is_some_and(|ip| net.contains(&ip));
            self.push(Table::Nat, context.fw, allow(net));
        }
        if from_node {
            // Where the VIP is also an address of this node, its own requests carry it as their source.
            for vip in context.port.vips(family) {
                self.push(Table::Nat, context.fw, allow(vip.into()));
            }
        }
    }
}
