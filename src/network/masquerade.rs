//! PURE. Pods leave the cluster with the node's address; between pods, nodes and Services addresses stay as they are.
//!
//! Two chains of our own: `RUSTLET-MASQ` in `nat`, jumped to at the end of `POSTROUTING`, and `RUSTLET-FORWARD` in
//! `filter`, jumped to at the end of `FORWARD` for machines whose policy there is DROP. At the end, because whatever
//! the Service proxy or a firewall decided before must hold. Service traffic is translated before it gets here, so its
//! destination is a pod or a node already.
//!
//! Rules are written the way `iptables-save` prints them: comparing text finds every change.

use ipnet::IpNet;
use std::fmt::Write as _;

/// Our chain in `nat`.
pub const MASQ: &str = "RUSTLET-MASQ";
/// Our chain in `filter`.
pub const FORWARD: &str = "RUSTLET-FORWARD";
/// The jump to [`MASQ`].
pub const MASQ_JUMP: &str =
    r#"-A POSTROUTING -m comment --comment "rustlet: pods to outside" -j RUSTLET-MASQ"#;
/// The jump to [`FORWARD`].
pub const FORWARD_JUMP: &str =
    r#"-A FORWARD -m comment --comment "rustlet: pods may be reached" -j RUSTLET-FORWARD"#;

/// Rules of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Of [`MASQ`], in order.
    pub masq: Vec<String>,
    /// Of [`FORWARD`], in order.
    pub forward: Vec<String>,
}

/// Rules for one family's pod CIDR. `spared` are pod CIDRs and node addresses, all of the same family.
pub fn rules(own: IpNet, spared: impl Iterator<Item = IpNet>) -> Rules {
    let mut spared: Vec<IpNet> = spared.collect();
    spared.sort_unstable();
    spared.dedup();
    let multicast = if own.addr().is_ipv4() {
        "224.0.0.0/4"
    } else {
        "ff00::/8"
    };
    let mut masq = vec![
        format!("-A {MASQ} ! -s {own} -j RETURN"),
        format!("-A {MASQ} -d {multicast} -j RETURN"),
    ];
    masq.extend(spared.iter().map(|net| format!("-A {MASQ} -d {net} -j RETURN")));
    masq.push(format!("-A {MASQ} -j MASQUERADE --random-fully"));
    let forward = vec![
        format!("-A {FORWARD} -s {own} -j ACCEPT"),
        format!("-A {FORWARD} -d {own} -j ACCEPT"),
    ];
    Rules { masq, forward }
}

/// What one table has of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found<'a> {
    /// Our chain exists.
    pub chain: bool,
    /// Rules of our chain.
    pub rules: Vec<&'a str>,
    /// Rules of the built-in chain that mention ours.
    pub jumps: Vec<&'a str>,
}

/// Input for `iptables-restore --noflush` that makes things right; `None` when they are.
pub fn repair(wanted: &Rules, nat: &Found<'_>, filter: &Found<'_>) -> Option<String> {
    let nat = table("nat", (MASQ, MASQ_JUMP), &wanted.masq, nat);
    let filter = table("filter", (FORWARD, FORWARD_JUMP), &wanted.forward, filter);
    let text = nat.unwrap_or_default() + &filter.unwrap_or_default();
    (!text.is_empty()).then_some(text)
}

fn table(name: &str, (chain, jump): (&str, &str), rules: &[String], found: &Found<'_>) -> Option<String> {
    let same_rules = found.chain && found.rules == *rules;
    let same_jump = found.jumps == [jump];
    if same_rules && same_jump {
        return None;
    }
    let mut text = format!("*{name}\n");
    if !same_rules {
        line(&mut text, &format!(":{chain} - [0:0]"));
        rules.iter().for_each(|rule| line(&mut text, rule));
    }
    if !same_jump {
        remove_jumps(&mut text, found);
        line(&mut text, jump);
    }
    text.push_str("COMMIT\n");
    Some(text)
}

/// Input for `iptables-restore --noflush` that removes everything of ours; `None` when nothing is there.
pub fn clean(nat: &Found<'_>, filter: &Found<'_>) -> Option<String> {
    let mut text = String::new();
    for (name, chain, found) in [("nat", MASQ, nat), ("filter", FORWARD, filter)] {
        if found.chain || !found.jumps.is_empty() {
            line(&mut text, &format!("*{name}"));
            if found.chain {
                line(&mut text, &format!(":{chain} - [0:0]"));
            }
            remove_jumps(&mut text, found);
            if found.chain {
                line(&mut text, &format!("-X {chain}"));
            }
            line(&mut text, "COMMIT");
        }
    }
    (!text.is_empty()).then_some(text)
}

fn remove_jumps(text: &mut String, found: &Found<'_>) {
    for jump in &found.jumps {
        line(text, &jump.replacen("-A ", "-D ", 1));
    }
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("writing to a String cannot fail");
}

#[cfg(test)]
mod tests;
