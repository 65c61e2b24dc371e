//! A model of the kernel's iptables: takes `iptables-restore` text, checks its structure, and walks packets through.
//!
//! Knows exactly the matches and targets that our rules use and refuses everything else, so that a rule nobody
//! thought through cannot pass a test by being ignored. Random choices are followed both ways with their
//! probability, so a trace gives every possible outcome and how likely it is.

mod parse;

use ipnet::IpNet;
use parse::parse_rule;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

/// Tables by name, chains by name, rules in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kernel {
    /// Rules of every chain, built-in ones included once they have rules.
    pub tables: BTreeMap<String, BTreeMap<String, Vec<ParsedRule>>>,
}

/// One rule: its text and its meaning.
#[derive(Clone, Debug, PartialEq)]
pub struct ParsedRule {
    /// Without `-A CHAIN`.
    pub text: String,
    matches: Vec<Test>,
    target: Action,
}

#[derive(Clone, Debug, PartialEq)]
enum Test {
    Source { net: IpNet, negated: bool },
    Destination { net: IpNet, negated: bool },
    Protocol(String),
    DestinationPort(u16),
    SourceLocal,
    DestinationLocal,
    Mark { bits: u32, mask: u32, negated: bool },
    State(Vec<String>),
    Chance(f64),
    Seen(String),
    Remember(String),
}

#[derive(Clone, Debug, PartialEq)]
enum Action {
    Jump(String),
    Return,
    Accept,
    Drop,
    Reject,
    Dnat(SocketAddr),
    Masquerade,
    SetXmark { value: u32, mask: u32 },
}

/// Built-in chains per table we know.
const BUILT_IN: [&str; 5] = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"];

impl Kernel {
    /// Applies `text` like `iptables-restore --noflush`.
    pub fn restore(&mut self, text: &str) -> Result<(), String> {
        let mut next = self.clone();
        let mut table = None;
        for (number, line) in text.lines().enumerate() {
            next.line(&mut table, line)
                .map_err(|problem| format!("line {}: {line}: {problem}", number + 1))?;
        }
        if table.is_some() {
            return Err("no COMMIT at the end".to_owned());
        }
        next.dangling()?;
        *self = next;
        Ok(())
    }

    fn line(&mut self, table: &mut Option<String>, line: &str) -> Result<(), String> {
        if let Some(name) = line.strip_prefix('*') {
            if table.replace(name.to_owned()).is_some() {
                return Err("the table before has no COMMIT".to_owned());
            }
            self.tables.entry(name.to_owned()).or_default();
            return Ok(());
        }
        if line == "COMMIT" {
            return table
                .take()
                .map(drop)
                .ok_or_else(|| "outside of a table".to_owned());
        }
        let name = table.as_ref().ok_or("outside of a table")?;
        let chains = self.tables.entry(name.clone()).or_default();
        if let Some(declared) = line.strip_prefix(':') {
            let chain = declared
                .strip_suffix(" - [0:0]")
                .ok_or("not a chain of ours with zero counters")?;
            if BUILT_IN.contains(&chain) {
                return Err("flushes a built-in chain".to_owned());
            }
            chains.insert(chain.to_owned(), Vec::new());
            return Ok(());
        }
        let (verb, rest) = line.split_once(' ').ok_or("not a command")?;
        let (chain, spec) = rest.split_once(' ').unwrap_or((rest, ""));
        match verb {
            "-A" => {
                if BUILT_IN.contains(&chain) {
                    return Err("appends to a built-in chain".to_owned());
                }
                let rule = parse_rule(spec)?;
                chains.get_mut(chain).ok_or("chain does not exist")?.push(rule);
            }
            "-I" => {
                let spec = spec
                    .strip_prefix("1 ")
                    .ok_or("inserts elsewhere than at the top")?;
                chains
                    .entry(chain.to_owned())
                    .or_default()
                    .insert(0, parse_rule(spec)?);
            }
            "-D" => {
                let rules = chains.get_mut(chain).ok_or("chain does not exist")?;
                let at = rules
                    .iter()
                    .position(|rule| rule.text == spec)
                    .ok_or("rule does not exist")?;
                rules.remove(at);
            }
            "-X" => {
                let rules = chains.get(chain).ok_or("chain does not exist")?;
                let used = chains
                    .iter()
                    .any(|(_, rules)| rules.iter().any(|r| r.jumps_to() == Some(chain)));
                if !rules.is_empty() || used {
                    return Err("chain is not empty or still used".to_owned());
                }
                chains.remove(chain);
            }
            _ => return Err("unknown command".to_owned()),
        }
        Ok(())
    }

    /// Adds a rule that is not ours, as an administrator would.
    pub fn add_foreign(&mut self, table: &str, chain: &str, spec: &str) -> Result<(), String> {
        let rule = parse_rule(spec)?;
        self.tables
            .entry(table.to_owned())
            .or_default()
            .entry(chain.to_owned())
            .or_default()
            .push(rule);
        Ok(())
    }

    /// The whole state in the form of `iptables-save`.
    pub fn save(&self) -> String {
        let mut text = String::new();
        for (table, chains) in &self.tables {
            text += &format!("*{table}\n");
            for chain in chains.keys() {
                let policy = if BUILT_IN.contains(&chain.as_str()) {
                    "ACCEPT"
                } else {
                    "-"
                };
                text += &format!(":{chain} {policy} [0:0]\n");
            }
            for (chain, rules) in chains {
                for rule in rules {
                    text += &format!("-A {chain} {}\n", rule.text);
                }
            }
            text += "COMMIT\n";
        }
        text
    }

    /// Every jump must lead somewhere.
    fn dangling(&self) -> Result<(), String> {
        for (table, chains) in &self.tables {
            for (chain, rules) in chains {
                for rule in rules {
                    if let Some(to) = rule.jumps_to().filter(|to| !chains.contains_key(*to)) {
                        return Err(format!("{table}: {chain} jumps to {to}, which does not exist"));
                    }
                }
            }
        }
        Ok(())
    }

    /// Structural lint: no dangling jump, no chain that nothing reaches, no empty chain; `standing` ones may
    /// be both.
    pub fn lint(&self, standing: &[&str]) -> Vec<String> {
        let mut found: Vec<String> = self.dangling().err().into_iter().collect();
        for (table, chains) in &self.tables {
            let mut reached: BTreeSet<&str> = BUILT_IN.into_iter().collect();
            let mut todo: Vec<&str> = BUILT_IN.to_vec();
            while let Some(chain) = todo.pop() {
                for to in chains
                    .get(chain)
                    .into_iter()
                    .flatten()
                    .filter_map(ParsedRule::jumps_to)
                {
                    if reached.insert(to) {
                        todo.push(to);
                    }
                }
            }
            for (chain, rules) in chains {
                let excused = standing.contains(&chain.as_str());
                if !reached.contains(chain.as_str()) && !excused {
                    found.push(format!("{table}: nothing jumps to {chain}"));
                }
                if rules.is_empty() && !excused {
                    found.push(format!("{table}: {chain} is empty"));
                }
            }
        }
        found
    }
}

impl ParsedRule {
    fn jumps_to(&self) -> Option<&str> {
        match &self.target {
            Action::Jump(chain) => Some(chain),
            _ => None,
        }
    }
}

/// A packet that opens a connection.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Source address; an address of the node means that the node itself sends it.
    pub source: IpAddr,
    /// Destination.
    pub destination: SocketAddr,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: &'static str,
}

/// What became of a packet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Sent to an endpoint.
    Endpoint {
        /// Which.
        to: SocketAddr,
        /// With the node's address as source.
        masquerade: bool,
    },
    /// Refused with an ICMP answer.
    Reject,
    /// Discarded.
    Drop,
    /// Not touched.
    Pass,
}

/// Walks packets through a [`Kernel`] as seen from one node.
#[derive(Clone, Debug)]
pub struct Tracer<'a> {
    /// The rules.
    pub kernel: &'a Kernel,
    /// The node's own addresses.
    pub node_ips: Vec<IpAddr>,
    /// Affinity lists the client is in.
    pub seen: BTreeSet<String>,
}

/// One possible way of a packet through a table.
#[derive(Clone, Debug)]
struct Walk {
    chance: f64,
    mark: u32,
    to: SocketAddr,
    dnat: bool,
    masquerade: bool,
    end: Option<End>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Return,
    Accept,
    Drop,
    Reject,
}

impl Tracer<'_> {
    /// Every outcome, with its probability.
    pub fn trace(&self, packet: &Packet) -> Result<BTreeMap<Outcome, f64>, String> {
        let start = Walk {
            chance: 1.0,
            mark: 0,
            to: packet.destination,
            dnat: false,
            masquerade: false,
            end: None,
        };
        let own = self.node_ips.contains(&packet.source);
        let mut outcomes = BTreeMap::new();
        for walk in self.hook("nat", if own { "OUTPUT" } else { "PREROUTING" }, packet, start)? {
            let local = self.node_ips.contains(&walk.to.ip());
            let hook = if own {
                "OUTPUT"
            } else if local {
                "INPUT"
            } else {
                "FORWARD"
            };
            for walk in self.hook("filter", hook, packet, Walk { end: None, ..walk })? {
                match walk.end {
                    Some(End::Drop) => *outcomes.entry(Outcome::Drop).or_insert(0.0) += walk.chance,
                    Some(End::Reject) => *outcomes.entry(Outcome::Reject).or_insert(0.0) += walk.chance,
                    _ => {
                        for walk in self.hook("nat", "POSTROUTING", packet, Walk { end: None, ..walk })? {
                            let outcome = match walk.dnat {
                                true => Outcome::Endpoint {
                                    to: walk.to,
                                    masquerade: walk.masquerade,
                                },
                                false => Outcome::Pass,
                            };
                            *outcomes.entry(outcome).or_insert(0.0) += walk.chance;
                        }
                    }
                }
            }
        }
        Ok(outcomes)
    }

    fn hook(&self, table: &str, chain: &str, packet: &Packet, walk: Walk) -> Result<Vec<Walk>, String> {
        let chains = self
            .kernel
            .tables
            .get(table)
            .ok_or_else(|| format!("no table {table}"))?;
        self.chain(chains, chain, packet, walk, 0)
    }

    fn chain(
        &self,
        chains: &BTreeMap<String, Vec<ParsedRule>>,
        chain: &str,
        packet: &Packet,
        walk: Walk,
        depth: usize,
    ) -> Result<Vec<Walk>, String> {
        if depth > 16 {
            return Err(format!("{chain}: jumps in a circle"));
        }
        let mut ended = Vec::new();
        let mut going = vec![walk];
        for rule in chains.get(chain).into_iter().flatten() {
            let mut next = Vec::new();
            for walk in going {
                let (hit, miss) = self.split(rule, packet, walk)?;
                next.extend(miss);
                let Some(hit) = hit else { continue };
                let results = match &rule.target {
                    Action::Jump(to) => self.chain(chains, to, packet, hit, depth + 1)?,
                    action => vec![act(action, hit)],
                };
                for result in results {
                    match result.end {
                        None => next.push(result),
                        Some(_) => ended.push(result),
                    }
                }
            }
            going = next;
        }
        // RETURN ends this chain only.
        let back = ended.into_iter().map(|w| {
            if w.end == Some(End::Return) {
                Walk { end: None, ..w }
            } else {
                w
            }
        });
        Ok(going.into_iter().chain(back).collect())
    }

    /// The part of the walk that matches, and the part that does not.
    fn split(
        &self,
        rule: &ParsedRule,
        packet: &Packet,
        walk: Walk,
    ) -> Result<(Option<Walk>, Option<Walk>), String> {
        let mut chance = 1.0;
        for test in &rule.matches {
            let holds = match test {
                Test::Source { net, negated } => net.contains(&packet.source) != *negated,
                Test::Destination { net, negated } => net.contains(&walk.to.ip()) != *negated,
                Test::Protocol(name) => name == packet.protocol,
                Test::DestinationPort(port) => *port == walk.to.port(),
                Test::SourceLocal => self.node_ips.contains(&packet.source),
                Test::DestinationLocal => self.node_ips.contains(&walk.to.ip()),
                Test::Mark { bits, mask, negated } => (walk.mark & mask == *bits) != *negated,
                Test::State(states) => states.iter().any(|state| state == "NEW"),
                Test::Seen(list) => self.seen.contains(list),
                Test::Remember(_) => true,
                Test::Chance(part) => {
                    chance *= part;
                    true
                }
            };
            if !holds {
                return Ok((None, Some(walk)));
            }
        }
        let hit = Walk {
            chance: walk.chance * chance,
            ..walk.clone()
        };
        let miss = (chance < 1.0).then_some(Walk {
            chance: walk.chance * (1.0 - chance),
            ..walk
        });
        Ok((Some(hit), miss))
    }
}

fn act(action: &Action, mut walk: Walk) -> Walk {
    match action {
        Action::Return => walk.end = Some(End::Return),
        Action::Accept => walk.end = Some(End::Accept),
        Action::Drop => walk.end = Some(End::Drop),
        Action::Reject => walk.end = Some(End::Reject),
        Action::Dnat(to) => {
            walk.to = *to;
            walk.dnat = true;
            walk.end = Some(End::Accept);
        }
        Action::Masquerade => {
            walk.masquerade = true;
            walk.end = Some(End::Accept);
        }
        Action::SetXmark { value, mask } => walk.mark = (walk.mark & !mask) ^ value,
        // Jumps are followed by the caller.
        Action::Jump(_) => {}
    }
    walk
}
