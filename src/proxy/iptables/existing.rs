//! PURE. What the kernel already holds of ours, read from `iptables-save`, and whether it is what we committed.

use super::render::Committed;
use crate::model::tables::{SavedTable, Table};
use crate::proxy::ruleset::{ChainName, JUMPS, Jump, is_owned};
use std::collections::{BTreeMap, BTreeSet};

/// Our share of the kernel's tables.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Existing {
    /// Chains with our names, by table, with their number of rules.
    pub chains: BTreeMap<Table, BTreeMap<ChainName, usize>>,
    /// Rules of built-in chains that jump to one of these: table, built-in chain, and the rule without `-A CHAIN`.
    pub jumps: Vec<(Table, Box<str>, Box<str>)>,
}

impl Existing {
    /// Picks what is ours out of saved tables.
    pub fn read(saved: &BTreeMap<Table, SavedTable>) -> Self {
        let mut existing = Self::default();
        for (table, saved) in saved {
            let chains = existing.chains.entry(*table).or_default();
            for name in saved.chains.iter().filter(|name| is_owned(*table, name)) {
                let rules = saved.rules.get(name).map_or(0, Vec::len);
                chains.extend(ChainName::new(name).map(|name| (name, rules)));
            }
            for (chain, rules) in saved.rules.iter().filter(|(chain, _)| is_built_in(chain)) {
                for rule in rules {
                    let spec = rule
                        .strip_prefix("-A ")
                        .and_then(|r| r.strip_prefix(&**chain))
                        .unwrap_or_default();
                    if target(spec).is_some_and(|target| is_owned(*table, target)) {
                        existing.jumps.push((*table, chain.clone(), spec.trim().into()));
                    }
                }
            }
        }
        existing
    }

    /// Nothing of ours is in the kernel.
    pub fn is_empty(&self) -> bool {
        self.jumps.is_empty() && self.chains.values().all(BTreeMap::is_empty)
    }

    /// How the kernel differs from what we committed, in words; empty when it does not.
    ///
    /// Compares the number of rules per chain rather than their text, which differs between iptables versions.
    pub fn differences(&self, committed: &Committed) -> Vec<String> {
        let mut found = Vec::new();
        for ((table, chain), digest) in &committed.chains {
            match self.chains.get(table).and_then(|chains| chains.get(chain)) {
                None => found.push(format!("chain {chain} of table {table} is gone")),
                Some(rules) if *rules != digest.rules => {
                    found.push(format!(
                        "chain {chain} of table {table} has {rules} rules instead of {}",
                        digest.rules
                    ));
                }
                Some(_) => {}
            }
        }
        for (table, chains) in &self.chains {
            for chain in chains
                .keys()
                .filter(|chain| !committed.chains.contains_key(&(*table, **chain)))
            {
                found.push(format!("chain {chain} of table {table} is not ours"));
            }
        }
        for jump in self.missing_jumps() {
            found.push(format!(
                "chain {} of table {} does not jump to {}",
                jump.from, jump.table, jump.to
            ));
        }
        found
    }

    /// The jumps that are not there, in the order to insert them.
    pub fn missing_jumps(&self) -> impl Iterator<Item = &'static Jump> + '_ {
        JUMPS.iter().filter(|jump| {
            !self
                .jumps
                .iter()
                .any(|(table, from, spec)| is_jump(jump, *table, from, spec))
        })
    }

    /// Jumps to our chains that should not be there: doubles, and those of other versions.
    pub fn surplus_jumps(&self) -> impl Iterator<Item = &(Table, Box<str>, Box<str>)> + '_ {
        let mut seen = BTreeSet::new();
        self.jumps.iter().filter(move |(table, from, spec)| {
            let wanted = JUMPS.iter().any(|jump| is_jump(jump, *table, from, spec));
            !wanted || !seen.insert((*table, from.clone(), spec.clone()))
        })
    }
}

fn is_jump(jump: &Jump, table: Table, from: &str, spec: &str) -> bool {
    jump.table == table && jump.from == from && super::render::jump_spec(jump) == spec
}

fn is_built_in(chain: &str) -> bool {
    matches!(
        chain,
        "PREROUTING" | "INPUT" | "FORWARD" | "OUTPUT" | "POSTROUTING"
    )
}

/// Target of a rule. Comments are quoted, so a word that follows ` -j ` outside quotes is it.
fn target(spec: &str) -> Option<&str> {
    let mut quoted = false;
    let mut words = spec.split(' ').filter(|word| {
        let outside = !quoted;
        quoted ^= word.matches('"').count() % 2 == 1;
        outside
    });
    words.find(|word| matches!(*word, "-j" | "-g"))?;
    words.next()
}
