//! PURE. Choice of an endpoint (KUBE-SVC, KUBE-SVL), affinity, and the endpoints themselves (KUBE-SEP).

use super::names::{self, ChainName, MARK_MASQ};
use super::rule::{Match, Rule, Target};
use super::{Builder, PortContext};
use crate::model::tables::Table;
use crate::proxy::service_map::Endpoint;

impl Builder<'_> {
    /// The chains that lead to endpoints, as far as something jumps to them.
    pub(super) fn balance(&mut self, context: &PortContext<'_>) {
        let endpoints = &context.endpoints;
        if !endpoints.cluster.is_empty() {
            self.choose(context, context.svc, &endpoints.cluster);
        }
        if !endpoints.local.is_empty() {
            self.choose(context, context.svl, &endpoints.local);
        }
        for endpoint in &endpoints.reachable {
            self.endpoint(context, endpoint);
        }
    }

    /// Clients with affinity go where they were; for the others all endpoints are equally likely.
    fn choose(&mut self, context: &PortContext<'_>, chain: ChainName, endpoints: &[&Endpoint]) {
        let targets: Vec<(ChainName, String)> = endpoints
            .iter()
            .map(|endpoint| {
                let socket = endpoint.socket();
                let name = names::endpoint(&context.label, context.name.protocol, socket);
                (name, format!("{} -> {socket}", context.label))
            })
            .collect();
        if let Some(seconds) = context.port.affinity_seconds {
            for (target, comment) in &targets {
                let seen = Rule::new(Target::Jump(*target)).matching(Match::SeenWithin(*target, seconds));
                let seen = self.commented(seen, comment);
                self.push(Table::Nat, chain, seen);
            }
        }
        for (index, (target, comment)) in targets.iter().enumerate() {
            let mut pick = Rule::new(Target::Jump(*target));
            let left = targets.len() - index;
            if left > 1 {
                pick = pick.matching(Match::OneIn(left));
            }
            let pick = self.commented(pick, comment);
            self.push(Table::Nat, chain, pick);
        }
    }

    fn endpoint(&mut self, context: &PortContext<'_>, endpoint: &Endpoint) {
        let socket = endpoint.socket();
        let chain = names::endpoint(&context.label, context.name.protocol, socket);
        // A pod that reaches itself through its Service would answer itself directly (hairpin).
        let hairpin = Rule::new(Target::Jump(MARK_MASQ)).from(endpoint.ip.into());
        let mut dnat = Rule::new(Target::Dnat(socket)).protocol(context.name.protocol);
        if context.port.affinity_seconds.is_some() {
            dnat = dnat.matching(Match::Remember(chain));
        }
        for rule in [hairpin, dnat] {
            let rule = self.commented(rule, &context.label);
            self.push(Table::Nat, chain, rule);
        }
    }

    fn commented(&self, rule: Rule, comment: &str) -> Rule {
        if self.endpoint_comments {
            rule.comment(comment)
        } else {
            rule
        }
    }
}
