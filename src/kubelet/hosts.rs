//! PURE. A Pod's host name, its domain, and the text of its `/etc/hosts`.

use crate::model::pod::{HostAlias, Pod};
use std::fmt::Write;
use std::net::IpAddr;

#[cfg(test)]
mod tests;

/// Longest host name.
const MAX_LABEL: usize = 63;
/// Longest name of several labels.
const MAX_SUBDOMAIN: usize = 253;
/// Longest name the kernel keeps.
const MAX_KERNEL: usize = 64;

/// Entries every Pod on the pod network has.
const FIXED: &str = "\
# Kubernetes-managed hosts file.
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
";

/// What a Pod calls itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Host name.
    pub hostname: String,
    /// Domain; empty without `spec.subdomain`.
    pub domain: String,
}

/// A host name that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not the kind of name it should be.
    #[error("{field}: {value:?} is no valid DNS {kind}")]
    Invalid {
        /// Pod field.
        field: &'static str,
        /// Its value.
        value: String,
        /// `label` or `subdomain`.
        kind: &'static str,
    },
    /// The full name is longer than the kernel keeps.
    #[error(
        "failed to construct FQDN from pod hostname and cluster domain, FQDN {0} is too long ({MAX_KERNEL} characters \
         is the max, {length} characters requested)", length = .0.len()
    )]
    TooLong(String),
}

/// Host name and domain of a Pod. A name that is too long is cut. `hostnameOverride` (KEP-4762) is all there is then.
pub fn names(pod: &Pod, cluster_domain: &str) -> Result<Names, Error> {
    let set = |text: &Option<Box<str>>| text.clone().filter(|t| !t.is_empty());
    if let Some(name) = &pod.spec.hostname_override {
        return Ok(Names {
            hostname: cut(subdomain("spec.hostnameOverride", name)?),
            domain: String::new(),
        });
    }
    let hostname = match set(&pod.spec.hostname) {
        Some(name) => label("spec.hostname", &name)?,
        None => pod.metadata.name.to_string(),
    };
    let domain = match set(&pod.spec.subdomain) {
        Some(name) => {
            format!(
                "{}.{}.svc.{cluster_domain}",
                label("spec.subdomain", &name)?,
                pod.metadata.namespace
            )
        }
        None => String::new(),
    };
    let hostname = cut(hostname);
    Ok(Names { hostname, domain })
}

fn cut(hostname: String) -> String {
    match hostname.char_indices().nth(MAX_LABEL) {
        Some((at, _)) => hostname[..at].trim_end_matches(['-', '.']).into(),
        None => hostname,
    }
}

/// The name the kernel shows in the Pod: the host name, or with `setHostnameAsFQDN` the full one.
pub fn kernel_name(pod: &Pod, names: &Names) -> Result<String, Error> {
    if names.domain.is_empty() || pod.spec.set_hostname_as_fqdn != Some(true) {
        return Ok(names.hostname.clone());
    }
    let full = format!("{}.{}", names.hostname, names.domain);
    if full.len() > MAX_KERNEL {
        return Err(Error::TooLong(full));
    }
    Ok(full)
}

fn label(field: &'static str, value: &str) -> Result<String, Error> {
    if value.len() <= MAX_LABEL && is_label(value) {
        return Ok(value.into());
    }
    let (value, kind) = (value.into(), "label");
    Err(Error::Invalid { field, value, kind })
}

fn subdomain(field: &'static str, value: &str) -> Result<String, Error> {
    if value.len() <= MAX_SUBDOMAIN && value.split('.').all(is_label) {
        return Ok(value.into());
    }
    let (value, kind) = (value.into(), "subdomain");
    Err(Error::Invalid { field, value, kind })
}

fn is_label(value: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    value.chars().all(|c| plain(c) || c == '-') && value.starts_with(plain) && value.ends_with(plain)
}

/// `/etc/hosts` of a Pod on the pod network.
pub fn pod_file(ips: &[IpAddr], names: &Names, aliases: &[HostAlias]) -> String {
    let mut text = FIXED.to_owned();
    for ip in ips {
        let name = &names.hostname;
        let full = if names.domain.is_empty() {
            String::new()
        } else {
            format!("{name}.{}\t", names.domain)
        };
        writeln!(text, "{ip}\t{full}{name}").expect("writing to a String cannot fail");
    }
    add_aliases(&mut text, aliases);
    text
}

/// `/etc/hosts` of a Pod on the node's network: the node's own, with the Pod's aliases.
pub fn host_network_file(node_file: &str, aliases: &[HostAlias]) -> String {
    let mut text = format!("# Kubernetes-managed hosts file (host network).\n{node_file}");
    add_aliases(&mut text, aliases);
    text
}

fn add_aliases(text: &mut String, aliases: &[HostAlias]) {
    if aliases.is_empty() {
        return;
    }
    text.push_str("\n# Entries added by HostAliases.\n");
    for alias in aliases {
        writeln!(text, "{}\t{}", alias.ip, alias.hostnames.join("\t"))
            .expect("writing to a String cannot fail");
    }
}
