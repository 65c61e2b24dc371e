//! What a node's iptables rules do with a Service, read from `iptables-save`.

use std::net::Ipv4Addr;

/// One Service port in a node's nat table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRules {
    /// Its chain, `KUBE-SVC-…`.
    pub chain: String,
    /// The rule that leads to the chain, as printed.
    pub entry: String,
    /// The rules of the chain that lead to endpoints, as printed.
    pub balance: Vec<String>,
    /// Where traffic may end: `address:port`, sorted.
    pub endpoints: Vec<String>,
}

/// Finds the Service at `address:port` in the rules of the nat table (lines that begin with `-A`).
pub fn service(rules: &[String], protocol: &str, address: Ipv4Addr, port: u16) -> Option<ServiceRules> {
    let (wanted, port) = (format!("{address}/32"), port.to_string());
    let entry = rules.iter().find(|rule| {
        value(rule, "-A") == Some("KUBE-SERVICES")
            && value(rule, "-d") == Some(&wanted)
            && value(rule, "-p") == Some(protocol)
            && value(rule, "--dport") == Some(&port)
            && value(rule, "-j").is_some_and(|target| target.starts_with("KUBE-SVC-"))
    })?;
    let chain = value(entry, "-j")?.to_owned();
    let of_chain = |name: &str| {
        rules
            .iter()
            .filter(move |rule| value(rule, "-A") == Some(name))
            .collect::<Vec<_>>()
    };
    let leads_to_endpoint =
        |rule: &&String| value(rule, "-j").is_some_and(|target| target.starts_with("KUBE-SEP-"));
    let balance: Vec<String> = of_chain(&chain)
        .into_iter()
        .filter(leads_to_endpoint)
        .cloned()
        .collect();
    let mut endpoints: Vec<String> = balance
        .iter()
        .filter_map(|rule| value(rule, "-j"))
        .flat_map(of_chain)
        .filter_map(|rule| value(rule, "--to-destination").map(str::to_owned))
        .collect();
    endpoints.sort();
    endpoints.dedup();
    Some(ServiceRules {
        chain,
        entry: entry.clone(),
        balance,
        endpoints,
    })
}

/// A rule without its comment and without what only repeats the rest, to be read by people.
pub fn brief(rule: &str) -> String {
    let (mut kept, mut quoted) = (Vec::new(), false);
    let mut words = rule.split(' ');
    while let Some(word) = words.next() {
        match word {
            "--comment" => {
                let first = words.next().unwrap_or_default();
                quoted = first.starts_with('"') && !(first.len() > 1 && first.ends_with('"'));
            }
            text if quoted => quoted = !text.ends_with('"'),
            "-m" | "--mode" => drop(words.next()),
            text => kept.push(shorter(text)),
        }
    }
    kept.join(" ")
}

/// `0.50000000000` as `0.5`; anything else as it is.
fn shorter(word: &str) -> &str {
    if word.starts_with("0.") {
        word.trim_end_matches('0')
    } else {
        word
    }
}

/// The word after a flag.
fn value<'a>(rule: &'a str, flag: &str) -> Option<&'a str> {
    let mut words = rule.split(' ');
    words.find(|word| *word == flag)?;
    words.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAVED: &str = r#"-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A KUBE-SEP-A -s 10.244.0.2/32 -m comment --comment "default/web" -j KUBE-MARK-MASQ
-A KUBE-SEP-A -p tcp -m comment --comment "default/web" -m tcp -j DNAT --to-destination 10.244.0.2:8000
-A KUBE-SEP-B -p tcp -m comment --comment "default/web" -m tcp -j DNAT --to-destination 10.244.1.3:8000
-A KUBE-SERVICES -d 10.96.7.7/32 -p tcp -m comment --comment "default/web cluster IP" -m tcp --dport 80 -j KUBE-SVC-X
-A KUBE-SERVICES -d 10.96.0.10/32 -p udp -m comment --comment "kube-system/kube-dns:dns" -m udp --dport 53 -j KUBE-SVC-D
-A KUBE-SVC-X ! -s 10.244.0.0/16 -d 10.96.7.7/32 -p tcp -m tcp --dport 80 -j KUBE-MARK-MASQ
-A KUBE-SVC-X -m comment --comment "default/web -> 10.244.0.2:8000" -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-A
-A KUBE-SVC-X -m comment --comment "default/web -> 10.244.1.3:8000" -j KUBE-SEP-B"#;

    #[test]
    fn rules_are_shown_without_ballast() {
        let shown: Vec<String> = SAVED.lines().skip(5).map(brief).collect();
        assert_eq!(
            shown,
            [
                "-A KUBE-SERVICES -d 10.96.0.10/32 -p udp --dport 53 -j KUBE-SVC-D",
                "-A KUBE-SVC-X ! -s 10.244.0.0/16 -d 10.96.7.7/32 -p tcp --dport 80 -j KUBE-MARK-MASQ",
                "-A KUBE-SVC-X --probability 0.5 -j KUBE-SEP-A",
                "-A KUBE-SVC-X -j KUBE-SEP-B",
            ]
        );
    }

    #[test]
    fn a_service_is_followed_to_its_endpoints() {
        let rules: Vec<String> = SAVED.lines().map(str::to_owned).collect();
        let found = service(&rules, "tcp", Ipv4Addr::new(10, 96, 7, 7), 80).unwrap();
        assert_eq!(found.chain, "KUBE-SVC-X");
        assert_eq!(found.endpoints, ["10.244.0.2:8000", "10.244.1.3:8000"]);
        assert_eq!(found.balance.len(), 2);
        assert!(service(&rules, "tcp", Ipv4Addr::new(10, 96, 7, 7), 81).is_none());
        assert!(
            service(&rules, "tcp", Ipv4Addr::new(10, 96, 0, 10), 53).is_none(),
            "it is UDP"
        );
    }
}
