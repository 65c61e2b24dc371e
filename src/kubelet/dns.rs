//! PURE. What goes into a Pod's `/etc/resolv.conf`, from `dnsPolicy`, `dnsConfig`, the cluster's DNS and the node's own
//! file. The runtime writes the file from the CRI `DNSConfig`.

use crate::cri::v1;
use crate::model::pod::{DnsOption, DnsPolicy, Pod};
use std::net::IpAddr;

pub mod limits;
#[cfg(test)]
mod tests;

/// glibc reads no more name servers than this.
const MAX_SERVERS: usize = 3;
/// Most search domains of a Pod.
const MAX_SEARCHES: usize = 32;
/// How many of them are the cluster's.
const CLUSTER_SEARCHES: usize = 3;
/// Most characters of the search line.
const MAX_SEARCH_CHARS: usize = 2048;
/// Longest search domain: a longer one makes some resolvers abort.
const MAX_DOMAIN_CHARS: usize = 253;
/// Domains with fewer dots than this are tried with the search list first.
const CLUSTER_OPTION: &str = "ndots:5";

/// The node was given no cluster DNS; kubelet's words.
pub const NO_CLUSTER_DNS: &str = "kubelet does not have ClusterDNS IP configured and cannot create Pod using \
                                  \"ClusterFirst\" policy. Falling back to \"Default\" policy.";
/// Reason of the events about that, on the Pod and on the Node.
pub const MISSING: &str = "MissingClusterDNS";

/// The node's side of DNS.
#[derive(Clone, Copy, Debug)]
pub struct NodeDns<'a> {
    /// Cluster DNS addresses; empty when the node was given none.
    pub cluster_dns: &'a [IpAddr],
    /// Cluster domain, as `cluster.local`; empty for none.
    pub cluster_domain: &'a str,
    /// Text of the node's resolv.conf; `None` when it is configured away.
    pub resolv_conf: Option<&'a str>,
    /// The node's addresses.
    pub host_ips: &'a [IpAddr],
}

/// A warning for an Event on the Pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Event reason.
    pub reason: &'static str,
    /// Words for people.
    pub message: String,
}

/// DNS of one Pod.
#[derive(Clone, Debug, PartialEq)]
pub struct PodDns {
    /// For the sandbox.
    pub config: v1::DnsConfig,
    /// What had to be left out, or could not be done.
    pub warnings: Vec<Warning>,
}

/// DNS of a Pod.
pub fn for_pod(pod: &Pod, node: &NodeDns<'_>) -> PodDns {
    let mut warnings = Vec::new();
    let mut config = match policy(pod, node, &mut warnings) {
        DnsPolicy::None => v1::DnsConfig::default(),
        DnsPolicy::Default => node_config(node),
        DnsPolicy::ClusterFirst | DnsPolicy::ClusterFirstWithHostNet => cluster_config(pod, node),
    };
    if let Some(extra) = &pod.spec.dns_config {
        config
            .servers
            .extend(extra.nameservers.iter().map(ToString::to_string));
        config
            .searches
            .extend(extra.searches.iter().map(ToString::to_string));
        for option in &extra.options {
            set_option(&mut config.options, option_text(option));
        }
    }
    unique(&mut config.servers);
    unique(&mut config.searches);
    limit_servers(&mut config.servers, &mut warnings);
    limit_searches(&mut config.searches, &mut warnings);
    PodDns { config, warnings }
}

/// The policy that applies: cluster DNS is only for Pods on the pod network, and only when there is one.
fn policy(pod: &Pod, node: &NodeDns<'_>, warnings: &mut Vec<Warning>) -> DnsPolicy {
    let asked = match pod.spec.dns_policy {
        DnsPolicy::ClusterFirst if pod.spec.host_network => DnsPolicy::Default,
        other => other,
    };
    let cluster = matches!(
        asked,
        DnsPolicy::ClusterFirst | DnsPolicy::ClusterFirstWithHostNet
    );
    if !cluster || !node.cluster_dns.is_empty() {
        return asked;
    }
    let meta = &pod.metadata;
    warnings.push(Warning {
        reason: MISSING,
        message: format!(
            "pod: \"{}_{}({})\". {NO_CLUSTER_DNS}",
            meta.name, meta.namespace, meta.uid
        ),
    });
    DnsPolicy::Default
}

fn cluster_config(pod: &Pod, node: &NodeDns<'_>) -> v1::DnsConfig {
    let domain = node.cluster_domain;
    let mut searches = Vec::new();
    if !domain.is_empty() {
        let namespace = &pod.metadata.namespace;
        searches = vec![
            format!("{namespace}.svc.{domain}"),
            format!("svc.{domain}"),
            domain.to_owned(),
        ];
    }
    searches.extend(parse(node.resolv_conf.unwrap_or_default()).searches);
    v1::DnsConfig {
        servers: node.cluster_dns.iter().map(ToString::to_string).collect(),
        searches,
        options: vec![CLUSTER_OPTION.into()],
    }
}

fn node_config(node: &NodeDns<'_>) -> v1::DnsConfig {
    if let Some(text) = node.resolv_conf {
        return parse(text);
    }
    // No file means no DNS: an empty config would make the runtime copy the node's.
    let local = |ip: &IpAddr| if ip.is_ipv6() { "::1" } else { "127.0.0.1" };
    let mut servers: Vec<_> = node.host_ips.iter().map(|ip| local(ip).to_owned()).collect();
    if servers.is_empty() {
        servers.push("127.0.0.1".into());
    }
    v1::DnsConfig {
        servers,
        searches: vec![".".into()],
        options: Vec::new(),
    }
}

/// Reads a resolv.conf: name servers add up, the last search line wins, options replace those of the same name.
fn parse(text: &str) -> v1::DnsConfig {
    let mut config = v1::DnsConfig::default();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => config.servers.extend(words.next().map(Into::into)),
            Some("search") => {
                let domains = words.filter(|w| *w != ".");
                config.searches = domains
                    .map(|w| w.strip_suffix('.').unwrap_or(w).to_owned())
                    .collect();
            }
            Some("options") => words.for_each(|w| set_option(&mut config.options, w.to_owned())),
            _ => {}
        }
    }
    config
}

fn option_text(option: &DnsOption) -> String {
    match option.value.as_deref() {
        None | Some("") => option.name.to_string(),
        Some(value) => format!("{}:{value}", option.name),
    }
}

fn set_option(options: &mut Vec<String>, option: String) {
    let name = |o: &str| o.split(':').next().unwrap_or_default().to_owned();
    match options.iter_mut().find(|o| name(o) == name(&option)) {
        Some(old) => *old = option,
        None => options.push(option),
    }
}

fn unique(list: &mut Vec<String>) {
    let mut seen = std::collections::BTreeSet::new();
    list.retain(|item| seen.insert(item.clone()));
}

/// What of the node's own file does not fit into Pods' files beside the cluster's domains: the message of kubelet's
/// `CheckLimitsForResolvConf`.
pub fn exceeded(path: &str, text: &str, cluster_domain: &str) -> Option<String> {
    let searches = parse(text).searches;
    let most = MAX_SEARCHES
        - if cluster_domain.is_empty() {
            0
        } else {
            CLUSTER_SEARCHES
        };
    if searches.len() > most {
        return Some(format!(
            "Resolv.conf file '{path}' contains search line consisting of more than {most} domains!"
        ));
    }
    if searches.iter().any(|domain| domain.len() > MAX_DOMAIN_CHARS) {
        return Some(format!(
            "Resolv.conf file {path:?} contains a search path which length is more than allowed {MAX_DOMAIN_CHARS} \
             chars!"
        ));
    }
    (searches.join(" ").len() > MAX_SEARCH_CHARS).then(|| {
        format!(
            "Resolv.conf file '{path}' contains search line which length is more than allowed {MAX_SEARCH_CHARS} chars!"
        )
    })
}

fn limit_servers(servers: &mut Vec<String>, warnings: &mut Vec<Warning>) {
    if servers.len() <= MAX_SERVERS {
        return;
    }
    servers.truncate(MAX_SERVERS);
    let kept = servers.join(" ");
    warnings.push(forming(format!(
        "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: {kept}"
    )));
}

fn limit_searches(searches: &mut Vec<String>, warnings: &mut Vec<Warning>) {
    let before = searches.len();
    searches.truncate(MAX_SEARCHES);
    searches.retain(|domain| domain.len() <= MAX_DOMAIN_CHARS);
    while searches.join(" ").len() > MAX_SEARCH_CHARS {
        searches.pop();
    }
    if searches.len() < before {
        let kept = searches.join(" ");
        warnings.push(forming(format!(
            "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: {kept}"
        )));
    }
}

fn forming(message: String) -> Warning {
    Warning {
        reason: "DNSConfigForming",
        message,
    }
}
