//! PURE. Traffic to cluster IPs.

use super::names::{MARK_MASQ, SERVICES};
use super::rule::{Rule, Target};
use super::{Builder, PortContext};
use crate::model::tables::Table;

impl Builder<'_> {
    /// Dispatch to the policy chain, or a refusal; masquerade for clients that are not pods of this node.
    pub(super) fn cluster_ip(&mut self, context: &PortContext<'_>) {
        let to_cluster_ip = |target| {
            Rule::new(target)
                .to(context.cluster_ip)
                .port(context.name.protocol, context.port.port)
        };
        if !context.internal_served() {
            let (target, why) = context.refusal();
            self.push(Table::Filter, SERVICES, to_cluster_ip(target).comment(&why));
            return;
        }
        let chain = context.internal_chain();
        let comment = format!("{} cluster IP", context.label);
        self.push(
            Table::Nat,
            SERVICES,
            to_cluster_ip(Target::Jump(chain)).comment(&comment),
        );
        if let Some(pod_cidr) = self.inputs.pod_cidr {
            // Someone may route the Service range to any node; the answer has to come back through that node.
            let masquerade = to_cluster_ip(Target::Jump(MARK_MASQ)).not_from(pod_cidr);
            self.push(Table::Nat, chain, masquerade.comment(&comment));
        }
    }
}
