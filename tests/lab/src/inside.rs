//! What is inside a node: its pods' logs, commands in its containers, and everything pods and Services leave there.
//!
//! The node's own API (logs, exec) is not needed: logs are read where the runtime writes them, and commands enter
//! containers by way of the runtime.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::kube;
use crate::node::Node;

impl Node {
    /// What a container of a pod has printed since its last start, standard output and error together.
    pub fn pod_logs(&self, pod: &Value, container: &str) -> Result<String> {
        let meta = |key: &str| pod["metadata"][key].as_str().unwrap_or_default();
        let dir = format!(
            "/var/log/pods/{}_{}_{}/{container}",
            meta("namespace"),
            meta("name"),
            meta("uid")
        );
        let seen = self.machine().path(&dir);
        let entries = fs::read_dir(&seen).with_context(|| format!("{}: read {dir}", self.name()))?;
        let number = |name: &str| {
            name.strip_suffix(".log")
                .and_then(|number| number.parse::<u32>().ok())
        };
        let newest = entries
            .filter_map(|entry| number(&entry.ok()?.file_name().to_string_lossy()))
            .max();
        let file = format!(
            "{}.log",
            newest.with_context(|| format!("{}: no log in {dir}", self.name()))?
        );
        Ok(plain_log(&fs::read_to_string(seen.join(file))?))
    }

    /// Runs a command in a running container of a pod and returns its standard output. A command that ends with
    /// anything but 0 is an error that quotes what it printed.
    pub fn pod_exec(&self, pod: &Value, container: &str, argv: &[&str]) -> Result<String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let id = container_id(pod, container)
            .with_context(|| format!("{}/{container} has no container id", kube::name(pod)))?;
        let exec_id = format!(
            "lab-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        self.ctr(&[&["tasks", "exec", "--exec-id", &exec_id, id], argv].concat())
    }

    /// Everything that pods and Services have on this node at the moment, by kind.
    pub fn residue(&self) -> Result<Residue> {
        let mut text = self
            .machine()
            .sh(RESIDUE, &[self.cgroup_root().trim_matches('/')])?;
        for (kind, args) in [
            ("container", &["containers", "ls", "-q"]),
            ("task", &["tasks", "ls", "-q"]),
        ] {
            self.ctr(args)?
                .lines()
                .for_each(|id| text += &format!("{kind}\t{id}\n"));
        }
        let mut residue = Residue::default();
        for line in text.lines() {
            let Some((kind, item)) = line.split_once('\t') else {
                bail!("{}: odd residue line {line:?}", self.name())
            };
            residue
                .0
                .entry(kind.to_owned())
                .or_default()
                .insert(item.to_owned());
        }
        Ok(residue)
    }

    /// The rules of the nat table, as `iptables-save` prints them.
    pub fn nat_rules(&self) -> Result<Vec<String>> {
        let text = self.exec(&["iptables-save", "-t", "nat"])?;
        Ok(text
            .lines()
            .filter(|line| line.starts_with("-A "))
            .map(str::to_owned)
            .collect())
    }
}

/// The id of a container of a pod in the runtime, without the runtime's name.
pub fn container_id<'a>(pod: &'a Value, container: &str) -> Option<&'a str> {
    let lists = ["containerStatuses", "initContainerStatuses"];
    let mut statuses = lists
        .iter()
        .filter_map(|list| pod["status"][list].as_array())
        .flatten();
    let status = statuses.find(|status| status["name"] == container)?;
    status["containerID"]
        .as_str()?
        .split_once("://")
        .map(|(_, id)| id)
}

/// Prints `kind<TAB>item` for what pods and Services have on a node. `$1` is its cgroup parent.
const RESIDUE: &str = r#"
note() { sed "s|^|$1\t|"; }
ls /run/netns 2>/dev/null | note netns
ip -o link show type veth | sed -n 's/^[0-9]*: \(veth[^:@]*\).*/\1/p' | note veth
find /var/lib/cni/networks -mindepth 2 -type f -name '[0-9a-f]*[.:]*' 2>/dev/null | note address
iptables-save | sed -n 's/^:\(KUBE-\(SVC\|SVL\|EXT\|FW\|SEP\)-[^ ]*\).*/\1/p' | note chain
sed -n 's|^[^ ]* [^ ]* [^ ]* [^ ]* \(/var/lib/kubelet/pods/[^ ]*\) .*|\1|p' /proc/self/mountinfo | note mount
ls /var/lib/kubelet/pods 2>/dev/null | note directory
ls /var/log/pods 2>/dev/null | note log
ls /var/log/containers 2>/dev/null | note log-link
find /sys/fs/cgroup -type d -path "*/$1/*" -name '*pod*-*' | note cgroup
"#;

/// What pods and Services have on a node, by kind: namespaces, links, addresses, chains, mounts, files, containers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Residue(pub BTreeMap<String, BTreeSet<String>>);

impl Residue {
    /// What is here and was not there `before`, one line an item; empty when nothing is left.
    pub fn since(&self, before: &Residue) -> Vec<String> {
        let none = BTreeSet::new();
        let mut lines = Vec::new();
        for (kind, items) in &self.0 {
            let old = before.0.get(kind).unwrap_or(&none);
            lines.extend(items.difference(old).map(|item| format!("{kind} {item}")));
        }
        lines
    }

    /// How many items of a kind there are.
    pub fn count(&self, kind: &str) -> usize {
        self.0.get(kind).map_or(0, BTreeSet::len)
    }
}

/// Takes the runtime's log format (`time stream F|P text`) off; partial lines are joined.
fn plain_log(text: &str) -> String {
    let mut plain = String::new();
    for line in text.lines() {
        let mut parts = line.splitn(4, ' ');
        let (tag, said) = (parts.nth(2).unwrap_or("F"), parts.next().unwrap_or(""));
        plain += said;
        if tag.starts_with('F') {
            plain.push('\n');
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn logs_lose_the_runtimes_format() {
        let text = "2026-01-01T00:00:00.1Z stdout F hello world\n2026-01-01T00:00:00.2Z stderr P a\n\
                    2026-01-01T00:00:00.3Z stderr F b\n2026-01-01T00:00:00.4Z stdout F \n";
        assert_eq!(plain_log(text), "hello world\nab\n\n");
    }

    #[test]
    fn container_ids_lose_the_runtimes_name() {
        let pod = json!({"status": {"containerStatuses": [
            {"name": "other", "containerID": "containerd://111"}, {"name": "web", "containerID": "containerd://222"}],
            "initContainerStatuses": [{"name": "side", "containerID": "containerd://333"}]}});
        assert_eq!(container_id(&pod, "web"), Some("222"));
        assert_eq!(container_id(&pod, "side"), Some("333"));
        assert_eq!(container_id(&pod, "none"), None);
    }

    #[test]
    fn residue_is_what_was_not_there_before() {
        let make = |items: &[(&str, &str)]| {
            let mut residue = Residue::default();
            for (kind, item) in items {
                residue
                    .0
                    .entry((*kind).to_owned())
                    .or_default()
                    .insert((*item).to_owned());
            }
            residue
        };
        let before = make(&[("veth", "veth1")]);
        let after = make(&[("veth", "veth1"), ("veth", "veth2"), ("chain", "KUBE-SVC-X")]);
        assert_eq!(after.since(&before), ["chain KUBE-SVC-X", "veth veth2"]);
        assert!(before.since(&after).is_empty());
        assert_eq!(after.count("veth"), 2);
    }
}
