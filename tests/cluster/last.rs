//! After everything: nothing left.

use anyhow::Result;
use rustlet_lab::demo::stage::COREDNS;
use rustlet_lab::inside::Residue;
use rustlet_lab::kube::{Seen, eventually};

use crate::support::{LIMIT, Lab};

/// Everything is deleted, and the nodes look as they did before the first pod: no namespace, link, address, rule,
/// mount, directory, cgroup, container.
pub(crate) fn nothing_left(lab: &Lab) -> Result<()> {
    lab.delete_namespaces()?;
    lab.kube.delete_manifest("kube-system", COREDNS)?;
    for (node, before) in lab.nodes().iter().zip(&lab.before) {
        eventually(&format!("{}: nothing left", node.name()), LIMIT, || {
            let left = of_interest(lab, node.residue()?.since(before));
            Ok(if left.is_empty() {
                Seen::Yes(())
            } else {
                Seen::No(left.join(", "))
            })
        })?;
        anyhow::ensure!(
            *before == baseline(before),
            "{} was not empty at first: {before:?}",
            node.name()
        );
    }
    Ok(())
}

/// kube-proxy deletes unused chains at some later sync; rustlet at once.
fn of_interest(lab: &Lab, mut left: Vec<String>) -> Vec<String> {
    left.retain(|item| !(lab.upstream && item.starts_with("chain ")));
    left
}

/// What a node without pods may have: the chains of the Service kubernetes.
fn baseline(before: &Residue) -> Residue {
    let mut only_chains = before.clone();
    only_chains.0.retain(|kind, _| kind == "chain");
    only_chains
}
