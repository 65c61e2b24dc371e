//! PURE. iptables' tables, and what `iptables-save` prints of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A table we program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Marks and header changes.
    Mangle,
    /// Accept, drop, reject.
    Filter,
    /// Address translation.
    Nat,
}

impl Table {
    /// All of them, in the order in which we write them.
    pub const ALL: [Self; 3] = [Self::Mangle, Self::Filter, Self::Nat];

    /// The table's name as iptables writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mangle => "mangle",
            Self::Filter => "filter",
            Self::Nat => "nat",
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a table holds, as `iptables-save` printed it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SavedTable {
    /// All chains, built-in ones included.
    pub chains: BTreeSet<Box<str>>,
    /// Rules by chain in their order, each as a whole line (`-A CHAIN …`).
    pub rules: BTreeMap<Box<str>, Vec<Box<str>>>,
}

/// Reads the output of `iptables-save`. Tables we never program and lines we do not know are skipped.
pub fn parse_save(text: &str) -> BTreeMap<Table, SavedTable> {
    let mut tables: BTreeMap<Table, SavedTable> = BTreeMap::new();
    let mut current = None;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('*') {
            current = [Table::Mangle, Table::Filter, Table::Nat]
                .into_iter()
                .find(|t| t.as_str() == name.trim());
            continue;
        }
        let Some(table) = current else { continue };
        let saved = tables.entry(table).or_default();
        if let Some(chain) = line.strip_prefix(':') {
            saved.chains.extend(chain.split(' ').next().map(Into::into));
        } else if let Some(rule) = line.strip_prefix("-A ") {
            let chain = rule.split(' ').next().unwrap_or_default();
            saved
                .rules
                .entry(chain.into())
                .or_default()
                .push(line.trim_end().into());
        }
    }
    tables
}

#[cfg(test)]
mod tests;
