//! PURE. What is there whatever the Services are: jumps from built-in chains, masquerade, forwarding.

use super::Builder;
use super::names::{
    ChainName, EXTERNAL_SERVICES, FORWARD, MARK_MASQ, NODE_PORTS, POSTROUTING, PROXY_FIREWALL, SERVICES,
    fixed_chains,
};
use super::rule::{Match, Rule, Target};
use crate::model::net::IpFamily;
use crate::model::tables::Table;
use ipnet::IpNet;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Mark of packets that leave with the node's address (kube-proxy's default bit 14).
pub const MASQUERADE_MARK: u32 = 0x4000;

/// A jump from a built-in chain into one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jump {
    /// Table.
    pub table: Table,
    /// Built-in chain.
    pub from: &'static str,
    /// Our chain.
    pub to: ChainName,
    /// Only for packets that open a connection.
    pub new_only: bool,
    /// Words for people.
    pub comment: &'static str,
}

const PORTALS: &str = "kubernetes service portals";
const EXTERNAL: &str = "kubernetes externally-visible service portals";
const FIREWALL: &str = "kubernetes load balancer firewall";

const fn jump(
    table: Table,
    from: &'static str,
    to: ChainName,
    new_only: bool,
    comment: &'static str,
) -> Jump {
    Jump {
        table,
        from,
        to,
        new_only,
        comment,
    }
}

/// All jumps, in kube-proxy's order. Each is put at the top of its chain, so a later one comes first.
pub const JUMPS: [Jump; 12] = [
    jump(Table::Filter, "INPUT", EXTERNAL_SERVICES, true, EXTERNAL),
    jump(Table::Filter, "FORWARD", EXTERNAL_SERVICES, true, EXTERNAL),
    jump(
        Table::Filter,
        "INPUT",
        NODE_PORTS,
        false,
        "kubernetes health check service ports",
    ),
    jump(Table::Filter, "FORWARD", SERVICES, true, PORTALS),
    jump(Table::Filter, "OUTPUT", SERVICES, true, PORTALS),
    jump(
        Table::Filter,
        "FORWARD",
        FORWARD,
        false,
        "kubernetes forwarding rules",
    ),
    jump(Table::Filter, "INPUT", PROXY_FIREWALL, true, FIREWALL),
    jump(Table::Filter, "OUTPUT", PROXY_FIREWALL, true, FIREWALL),
    jump(Table::Filter, "FORWARD", PROXY_FIREWALL, true, FIREWALL),
    jump(Table::Nat, "OUTPUT", SERVICES, false, PORTALS),
    jump(Table::Nat, "PREROUTING", SERVICES, false, PORTALS),
    jump(
        Table::Nat,
        "POSTROUTING",
        POSTROUTING,
        false,
        "kubernetes postrouting rules",
    ),
];

impl Builder<'_> {
    /// Declares the chains of fixed name and fills those that do not depend on Services.
    pub(super) fn base_chains(&mut self) {
        for table in Table::ALL {
            for chain in fixed_chains(table) {
                self.chain(table, *chain);
            }
        }
        self.push(Table::Nat, MARK_MASQ, Rule::new(Target::SetMark(MASQUERADE_MARK)));
        *self.chain(Table::Nat, POSTROUTING) = vec![
            Rule::new(Target::Return).matching(Match::NotMark(MASQUERADE_MARK)),
            // A packet that passes the stack again must not be masqueraded again.
            Rule::new(Target::ClearMark(MASQUERADE_MARK)),
            Rule::new(Target::Masquerade).comment("kubernetes service traffic requiring SNAT"),
        ];
        if self.inputs.drop_invalid {
            self.push(
                Table::Filter,
                FORWARD,
                Rule::new(Target::Drop).matching(Match::State("INVALID")),
            );
        }
        // Also where the FORWARD policy is DROP, Service traffic passes: first packets by mark, the rest by state.
        let marked = Rule::new(Target::Accept).matching(Match::Mark(MASQUERADE_MARK));
        self.push(
            Table::Filter,
            FORWARD,
            marked.comment("kubernetes forwarding rules"),
        );
        let known = Rule::new(Target::Accept).matching(Match::State("RELATED,ESTABLISHED"));
        self.push(
            Table::Filter,
            FORWARD,
            known.comment("kubernetes forwarding conntrack rule"),
        );
    }

    /// The last rule of KUBE-SERVICES. Node ports do not exist on loopback addresses: that would need
    /// `route_localnet`, which opens the node's local services to its neighbours (CVE-2020-8558).
    pub(super) fn node_port_dispatch(&mut self) {
        let loopback: IpNet = match self.inputs.family {
            IpFamily::V4 => IpNet::new_assert(Ipv4Addr::new(127, 0, 0, 0).into(), 8),
            IpFamily::V6 => IpNet::new_assert(Ipv6Addr::LOCALHOST.into(), 128),
        };
        let rule = Rule::new(Target::Jump(NODE_PORTS))
            .comment("kubernetes service nodeports; NOTE: this must be the last rule in this chain")
            .not_to(loopback)
            .matching(Match::DestinationLocal);
        self.push(Table::Nat, SERVICES, rule);
    }
}
