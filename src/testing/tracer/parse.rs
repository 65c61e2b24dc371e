//! One line of `iptables-restore` to its meaning; whatever is not understood is an error.

use super::{Action, ParsedRule, Test};
use std::net::IpAddr;

/// Splits like a shell: words, with double quotes around some.
fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (word, tail) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').ok_or("open quote")?,
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        words.push(word.to_owned());
        rest = tail.trim_start();
    }
    Ok(words)
}

pub(super) fn parse_rule(spec: &str) -> Result<ParsedRule, String> {
    let words = words(spec)?;
    let mut at = words.iter().map(String::as_str);
    let mut matches = Vec::new();
    let mut target = None;
    let mut negated = false;
    while let Some(word) = at.next() {
        let not = std::mem::take(&mut negated);
        match word {
            "!" => negated = true,
            "-s" => matches.push(Test::Source {
                net: next_parsed(&mut at)?,
                negated: not,
            }),
            "-d" => matches.push(Test::Destination {
                net: next_parsed(&mut at)?,
                negated: not,
            }),
            "-p" if !not => matches.push(Test::Protocol(next_parsed(&mut at)?)),
            "-m" if !not => parse_match(&mut at, &mut matches)?,
            "-j" if !not => target = Some(parse_target(&mut at)?),
            other => return Err(format!("does not understand {other:?}")),
        }
    }
    Ok(ParsedRule {
        text: spec.to_owned(),
        matches,
        target: target.ok_or("no target")?,
    })
}

fn next_parsed<'a, T: std::str::FromStr>(at: &mut impl Iterator<Item = &'a str>) -> Result<T, String> {
    let word = at.next().ok_or("ends early")?;
    word.parse()
        .map_err(|_| format!("does not understand value {word:?}"))
}

fn expect<'a>(at: &mut impl Iterator<Item = &'a str>, words: &[&str]) -> Result<(), String> {
    for wanted in words {
        let found = at.next().unwrap_or("(end)");
        if found != *wanted {
            return Err(format!("expected {wanted:?}, found {found:?}"));
        }
    }
    Ok(())
}

fn hex(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text.trim_start_matches("0x"), 16)
        .map_err(|_| format!("not a hexadecimal number: {text}"))
}

fn value_and_mask(text: &str) -> Result<(u32, u32), String> {
    let (value, mask) = text.split_once('/').ok_or("no mask")?;
    Ok((hex(value)?, hex(mask)?))
}

fn parse_match<'a>(at: &mut impl Iterator<Item = &'a str>, out: &mut Vec<Test>) -> Result<(), String> {
    match at.next().ok_or("-m at the end")? {
        "comment" => {
            expect(at, &["--comment"])?;
            at.next().ok_or("no comment").map(drop)?;
        }
        protocol @ ("tcp" | "udp" | "sctp") => {
            if !out.contains(&Test::Protocol(protocol.to_owned())) {
                return Err(format!("-m {protocol} without -p {protocol}"));
            }
            expect(at, &["--dport"])?;
            out.push(Test::DestinationPort(next_parsed(at)?));
        }
        "addrtype" => out.push(match at.next() {
            Some("--src-type") => expect(at, &["LOCAL"]).map(|()| Test::SourceLocal)?,
            Some("--dst-type") => expect(at, &["LOCAL"]).map(|()| Test::DestinationLocal)?,
            other => return Err(format!("does not understand addrtype {other:?}")),
        }),
        "mark" => {
            let first = at.next().ok_or("mark without value")?;
            let negated = first == "!";
            if negated {
                expect(at, &["--mark"])?;
            } else if first != "--mark" {
                return Err(format!("does not understand mark {first:?}"));
            }
            let (bits, mask) = value_and_mask(at.next().ok_or("no mark")?)?;
            out.push(Test::Mark { bits, mask, negated });
        }
        "conntrack" => {
            expect(at, &["--ctstate"])?;
            let states = at.next().ok_or("no state")?;
            out.push(Test::State(states.split(',').map(str::to_owned).collect()));
        }
        "statistic" => {
            expect(at, &["--mode", "random", "--probability"])?;
            out.push(Test::Chance(next_parsed(at)?));
        }
        "recent" => out.push(parse_recent(at)?),
        other => return Err(format!("does not understand -m {other}")),
    }
    Ok(())
}

fn parse_recent<'a>(at: &mut impl Iterator<Item = &'a str>) -> Result<Test, String> {
    let check = match at.next() {
        Some("--rcheck") => {
            expect(at, &["--seconds"])?;
            let _seconds: u32 = next_parsed(at)?;
            expect(at, &["--reap"])?;
            true
        }
        Some("--set") => false,
        other => return Err(format!("does not understand recent {other:?}")),
    };
    expect(at, &["--name"])?;
    let list = at.next().ok_or("no list")?.to_owned();
    expect(at, &["--mask"])?;
    let _mask: IpAddr = next_parsed(at)?;
    expect(at, &["--rsource"])?;
    Ok(if check {
        Test::Seen(list)
    } else {
        Test::Remember(list)
    })
}

fn parse_target<'a>(at: &mut impl Iterator<Item = &'a str>) -> Result<Action, String> {
    Ok(match at.next().ok_or("-j at the end")? {
        "RETURN" => Action::Return,
        "ACCEPT" => Action::Accept,
        "DROP" => Action::Drop,
        "REJECT" => {
            expect(at, &["--reject-with"])?;
            match at.next() {
                Some("icmp-port-unreachable" | "icmp6-port-unreachable") => Action::Reject,
                other => return Err(format!("does not understand REJECT with {other:?}")),
            }
        }
        "DNAT" => expect(at, &["--to-destination"])
            .and_then(|()| next_parsed(at))
            .map(Action::Dnat)?,
        "MASQUERADE" => expect(at, &["--random-fully"]).map(|()| Action::Masquerade)?,
        "MARK" => {
            expect(at, &["--set-xmark"])?;
            let (value, mask) = value_and_mask(at.next().ok_or("no mark")?)?;
            Action::SetXmark { value, mask }
        }
        chain if chain.starts_with("KUBE-") => Action::Jump(chain.to_owned()),
        other => return Err(format!("does not understand -j {other}")),
    })
}
