//! PURE. The network configuration list for the container runtime, and who else has one.
//!
//! The template is `cni-conf/10-rustlet.conflist`, a valid configuration by itself; only the subnets and the MTU are
//! put in. Its `cniVersion` is 1.0.0, which containerd takes from 1.6 on.

use ipnet::IpNet;
use serde_json::{Value, json};

/// File name in the runtime's configuration directory.
pub const FILE: &str = "10-rustlet.conflist";
/// Name of the network; its addresses are reserved in a directory of this name.
pub const NETWORK: &str = "rustlet";
/// The bridge pods are connected to.
pub const BRIDGE: &str = "cni0";
/// Plugin type, and the name of the plugin's file.
pub const PLUGIN: &str = "rustlet";

const TEMPLATE: &str = include_str!("../../cni-conf/10-rustlet.conflist");

/// The configuration for a node with these pod CIDRs. An `mtu` of 0 leaves the choice to the kernel.
pub fn render(pod_cidrs: &[IpNet], mtu: u32) -> String {
    let mut list: Value = serde_json::from_str(TEMPLATE).expect("the template is JSON");
    let ranges: Vec<Value> = pod_cidrs
        .iter()
        .map(|cidr| json!([{ "subnet": cidr.trunc() }]))
        .collect();
    let plugin = &mut list["plugins"][0];
    plugin["mtu"] = json!(mtu);
    plugin["ipam"]["ranges"] = json!(ranges);
    let mut text = serde_json::to_string_pretty(&list).expect("a JSON value can be written");
    text.push('\n');
    text
}

/// A file of the runtime's configuration directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfFile {
    /// File name.
    pub name: String,
    /// Content; empty when it cannot be read.
    pub content: String,
}

/// The file that keeps us from installing ours: one the runtime prefers because it sorts before ours, or one of our
/// name that is somebody else's.
pub fn conflict(files: &[ConfFile]) -> Option<&ConfFile> {
    let is_read = |name: &str| {
        [".conf", ".conflist", ".json"]
            .iter()
            .any(|end| name.ends_with(end))
    };
    let in_the_way = |file: &&ConfFile| match file.name.as_str().cmp(FILE) {
        std::cmp::Ordering::Less => is_read(&file.name),
        std::cmp::Ordering::Equal => !file.content.is_empty() && !is_ours(&file.content),
        std::cmp::Ordering::Greater => false,
    };
    files.iter().filter(in_the_way).min_by(|a, b| a.name.cmp(&b.name))
}

/// A configuration list of our plugin. One that is cut off counts as ours too if it mentions us: nothing can use it.
pub fn is_ours(content: &str) -> bool {
    match serde_json::from_str::<Value>(content) {
        Ok(list) => list.pointer("/plugins/0/type").is_some_and(|kind| kind == PLUGIN),
        Err(_) => content.contains("\"rustlet\""),
    }
}

#[cfg(test)]
mod tests;
