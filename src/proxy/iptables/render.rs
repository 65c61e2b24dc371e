//! PURE. Typed rules to the text of `iptables-restore --noflush`.
//!
//! Rules are written as `iptables-save` prints them, so the kernel's view and ours can be compared by eye. Every
//! chain we declare is flushed by that and written anew; chains that are not mentioned are not touched. All changes of
//! a table are one `*table … COMMIT`, which the kernel takes or refuses as a whole.

use super::existing::Existing;
use crate::model::net::IpFamily;
use crate::model::service::Protocol;
use crate::model::tables::Table;
use crate::proxy::ruleset::{ChainName, Jump, Match, Negatable, Rule, Ruleset, Target};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};

/// What the kernel holds of one chain after a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainDigest {
    /// Hash of the rules' text.
    pub hash: u64,
    /// Number of rules.
    pub rules: usize,
}

/// What the kernel holds of ours after a transaction: enough to tell what the next one must change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// Digest per chain.
    pub chains: BTreeMap<(Table, ChainName), ChainDigest>,
}

/// One call of `iptables-restore`, and what holds after it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// The input; empty when there is nothing to do.
    pub text: String,
    /// State after success.
    pub committed: Committed,
}

/// Everything: all chains, missing jumps; surplus jumps and chains of ours that are no longer wanted are removed.
pub fn full(ruleset: &Ruleset, existing: &Existing) -> Transaction {
    let mut sections: BTreeMap<Table, Section> = BTreeMap::new();
    let committed = write_chains(ruleset, &Committed::default(), &mut sections);
    for (table, chains) in &existing.chains {
        for chain in chains
            .keys()
            .filter(|chain| !committed.chains.contains_key(&(*table, **chain)))
        {
            sections.entry(*table).or_default().delete(*chain);
        }
    }
    for (table, from, spec) in existing.surplus_jumps() {
        writeln!(sections.entry(*table).or_default().unlink, "-D {from} {spec}").expect("a String takes all");
    }
    for jump in existing.missing_jumps() {
        let link = &mut sections.entry(jump.table).or_default().link;
        writeln!(link, "-I {} 1 {}", jump.from, jump_spec(jump)).expect("a String takes all");
    }
    Transaction {
        text: join(sections),
        committed,
    }
}

/// Only the chains that differ from what was committed; those that are gone are deleted.
pub fn diff(ruleset: &Ruleset, before: &Committed) -> Transaction {
    let mut sections: BTreeMap<Table, Section> = BTreeMap::new();
    let committed = write_chains(ruleset, before, &mut sections);
    for (table, chain) in before
        .chains
        .keys()
        .filter(|key| !committed.chains.contains_key(key))
    {
        sections.entry(*table).or_default().delete(*chain);
    }
    Transaction {
        text: join(sections),
        committed,
    }
}

/// Removes everything of ours, and nothing else.
pub fn clean(existing: &Existing) -> String {
    let mut sections: BTreeMap<Table, Section> = BTreeMap::new();
    for (table, from, spec) in &existing.jumps {
        writeln!(sections.entry(*table).or_default().unlink, "-D {from} {spec}").expect("a String takes all");
    }
    for (table, chains) in &existing.chains {
        for chain in chains.keys() {
            sections.entry(*table).or_default().delete(*chain);
        }
    }
    join(sections)
}

/// A jump as `iptables-save` prints it, without `-A CHAIN`.
pub fn jump_spec(jump: &Jump) -> String {
    let state = if jump.new_only {
        "-m conntrack --ctstate NEW "
    } else {
        ""
    };
    format!("{state}-m comment --comment \"{}\" -j {}", jump.comment, jump.to)
}

/// Lines of one table, in the order they must have.
#[derive(Default)]
struct Section {
    /// Creates or flushes chains. All of them come first, so that rules may refer to any.
    declare: String,
    unlink: String,
    rules: String,
    link: String,
    /// By then nothing refers to these chains any more.
    delete: String,
}

impl Section {
    fn declare(&mut self, chain: ChainName) {
        writeln!(self.declare, ":{chain} - [0:0]").expect("a String takes all");
    }

    fn delete(&mut self, chain: ChainName) {
        self.declare(chain);
        writeln!(self.delete, "-X {chain}").expect("a String takes all");
    }
}

/// Writes the chains that are not in `before` as they are, and returns the digests of all.
fn write_chains(ruleset: &Ruleset, before: &Committed, sections: &mut BTreeMap<Table, Section>) -> Committed {
    let mut committed = Committed::default();
    let mut text = String::new();
    for (table, chains) in &ruleset.tables {
        for (chain, rules) in chains {
            text.clear();
            for rule in rules {
                write_rule(&mut text, *chain, rule, ruleset.family);
            }
            let mut hasher = DefaultHasher::new();
            text.hash(&mut hasher);
            let digest = ChainDigest {
                hash: hasher.finish(),
                rules: rules.len(),
            };
            if before.chains.get(&(*table, *chain)) != Some(&digest) {
                let section = sections.entry(*table).or_default();
                section.declare(*chain);
                section.rules.push_str(&text);
            }
            committed.chains.insert((*table, *chain), digest);
        }
    }
    committed
}

fn join(sections: BTreeMap<Table, Section>) -> String {
    let mut text = String::new();
    for (table, section) in sections {
        let Section {
            declare,
            unlink,
            rules,
            link,
            delete,
        } = section;
        write!(text, "*{table}\n{declare}{unlink}{rules}{link}{delete}COMMIT\n").expect("a String takes all");
    }
    text
}

/// One line: `-A CHAIN -s … -d … -p … -m … -j …`.
pub fn write_rule(out: &mut String, chain: ChainName, rule: &Rule, family: IpFamily) {
    try_write_rule(out, chain, rule, family).expect("a String takes all");
}

fn try_write_rule(out: &mut String, chain: ChainName, rule: &Rule, family: IpFamily) -> std::fmt::Result {
    write!(out, "-A {chain}")?;
    for (flag, address) in [("-s", rule.source), ("-d", rule.destination)] {
        if let Some(Negatable { net, negated }) = address {
            let not = if negated { "! " } else { "" };
            write!(out, " {not}{flag} {net}")?;
        }
    }
    if let Some(protocol) = rule.protocol {
        write!(out, " -p {}", protocol_name(protocol))?;
    }
    if let Some(comment) = &rule.comment {
        write!(out, " -m comment --comment \"{comment}\"")?;
    }
    for one in &rule.matches {
        write_match(out, *one, rule.protocol, family)?;
    }
    write_target(out, rule.target, family)?;
    out.push('\n');
    Ok(())
}

fn write_match(
    out: &mut String,
    one: Match,
    protocol: Option<Protocol>,
    family: IpFamily,
) -> std::fmt::Result {
    let mask = match family {
        IpFamily::V4 => "255.255.255.255",
        IpFamily::V6 => "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    };
    match one {
        Match::Port(port) => {
            write!(
                out,
                " -m {} --dport {port}",
                protocol_name(protocol.unwrap_or_default())
            )
        }
        Match::SourceLocal => write!(out, " -m addrtype --src-type LOCAL"),
        Match::DestinationLocal => write!(out, " -m addrtype --dst-type LOCAL"),
        Match::Mark(bits) => write!(out, " -m mark --mark {bits:#x}/{bits:#x}"),
        Match::NotMark(bits) => write!(out, " -m mark ! --mark {bits:#x}/{bits:#x}"),
        Match::State(state) => write!(out, " -m conntrack --ctstate {state}"),
        Match::OneIn(count) => write!(
            out,
            " -m statistic --mode random --probability {}",
            probability(count)
        ),
        Match::SeenWithin(list, seconds) => {
            write!(
                out,
                " -m recent --rcheck --seconds {seconds} --reap --name {list} --mask {mask} --rsource"
            )
        }
        Match::Remember(list) => write!(out, " -m recent --set --name {list} --mask {mask} --rsource"),
    }
}

fn write_target(out: &mut String, target: Target, family: IpFamily) -> std::fmt::Result {
    let reject = match family {
        IpFamily::V4 => "icmp-port-unreachable",
        IpFamily::V6 => "icmp6-port-unreachable",
    };
    match target {
        Target::Jump(chain) => write!(out, " -j {chain}"),
        Target::Return => write!(out, " -j RETURN"),
        Target::Accept => write!(out, " -j ACCEPT"),
        Target::Drop => write!(out, " -j DROP"),
        Target::Reject => write!(out, " -j REJECT --reject-with {reject}"),
        Target::Dnat(socket) => write!(out, " -j DNAT --to-destination {socket}"),
        Target::Masquerade => write!(out, " -j MASQUERADE --random-fully"),
        Target::SetMark(bits) => write!(out, " -j MARK --set-xmark {bits:#x}/{bits:#x}"),
        Target::ClearMark(bits) => write!(out, " -j MARK --set-xmark {bits:#x}/0x0"),
    }
}

fn protocol_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
    }
}

/// 1/count as the kernel stores it (a share of 2^31) and `iptables-save` prints it (11 digits), in integers.
fn probability(count: usize) -> String {
    const ONE: u64 = 1 << 31;
    const DIGITS: u64 = 100_000_000_000;
    let count = u64::try_from(count).unwrap_or(u64::MAX).max(1);
    let share = (ONE + count / 2) / count;
    // Below 2^31 * 10^11 < 2^68: do it in 128 bits.
    let scaled = (u128::from(share) * u128::from(DIGITS) + u128::from(ONE / 2)) / u128::from(ONE);
    format!(
        "{}.{:011}",
        scaled / u128::from(DIGITS),
        scaled % u128::from(DIGITS)
    )
}

#[cfg(test)]
mod tests;
