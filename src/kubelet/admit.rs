//! PURE. Whether a Pod may start on this node at all, in upstream's order and with its words.
//!
//! The scheduler looks at most of this, too; a Pod that was given its node by name has not met it. Asked once, before
//! anything of the Pod is started: a Pod that runs is never turned away.

mod affinity;
mod confined;
mod fit;
mod ports;
pub mod preempt;
pub mod pressure;

use super::quantity;
use super::resources::List;
use crate::model::net::Node;
use crate::model::pod::{Pod, Quantity};
use crate::model::sysctl::Pattern;
use std::collections::BTreeMap;

#[cfg(test)]
mod tests;

/// The label that says what system a node runs.
const OS_LABEL: &str = "kubernetes.io/os";
/// The system this is.
const OS: &str = "linux";

/// Why a Pod is turned away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// `status.reason` and the event's.
    pub reason: Box<str>,
    /// The event's message; `status.message` says before it that the Pod was rejected.
    pub message: Box<str>,
}

impl Rejection {
    pub(super) fn new(reason: impl Into<Box<str>>, message: impl Into<Box<str>>) -> Self {
        Self {
            reason: reason.into(),
            message: message.into(),
        }
    }

    /// The reason as a metric's label: those a Pod's owner cannot make up.
    pub fn label(&self) -> &'static str {
        let known = LABELS.iter().find(|label| ***label == *self.reason);
        match known {
            Some(label) => label,
            None if self.reason.starts_with("OutOf") => "OutOfExtendedResources",
            None => "Other",
        }
    }
}

/// Reasons that are counted by name.
const LABELS: [&str; 13] = [
    "AppArmor",
    "Evicted",
    "NodeShutdown",
    "OutOfcpu",
    "OutOfephemeral-storage",
    "OutOfmemory",
    "OutOfpods",
    "PodFeatureUnsupported",
    "PodOSNotSupported",
    "PodOSSelectorNodeLabelDoesNotMatch",
    "SupplementalGroupsPolicyNotSupported",
    "SysctlForbidden",
    "UnexpectedAdmissionError",
];

/// The node, as a Pod meets it.
#[derive(Clone, Copy, Debug)]
pub struct Ground<'a> {
    /// Our Node: labels, taints.
    pub node: &'a Node,
    /// From [`allocatable`].
    pub allocatable: &'a List,
    /// Kernel parameters the operator lets Pods set, beside the safe ones.
    pub unsafe_sysctls: &'a [Pattern],
    /// The runtime follows `supplementalGroupsPolicy`.
    pub supplemental_groups_policy: bool,
    /// The kernel has AppArmor.
    pub apparmor: bool,
}

/// What becomes of a Pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may start.
    Admitted,
    /// It may start once some of the others are gone: it is critical.
    Preempts {
        /// Their indices.
        victims: Vec<usize>,
        /// The first resource there is not enough of.
        lacks: Box<str>,
    },
    /// It fails.
    Rejected(Rejection),
    /// It does not match the Node's labels, and nothing else is wrong: they may be older than those it was bound by.
    Mismatched(Rejection),
}

/// Judges a Pod that wants to run beside `others`, the Pods of this node that have been admitted and have not ended.
pub fn judge(pod: &Pod, others: &[&Pod], ground: &Ground<'_>) -> Verdict {
    let before = confined::sysctls(pod, ground.unsafe_sysctls)
        .or_else(|| system(pod))
        .or_else(|| confined::supplemental_groups(pod, ground.supplemental_groups_policy));
    if let Some(rejection) = before {
        return Verdict::Rejected(rejection);
    }
    let found = general(pod, others, ground);
    if !found.is_empty() && found.iter().all(|f| *f == Finding::Predicate(affinity::MISMATCH)) {
        return Verdict::Mismatched(found[0].rejection());
    }
    let verdict = match recover(pod, others, found) {
        Recovery::Fits => Verdict::Admitted,
        Recovery::Preempts(victims, lacks) => Verdict::Preempts { victims, lacks },
        Recovery::Hopeless(rejection) => return Verdict::Rejected(rejection),
    };
    match confined::apparmor(pod, ground.apparmor).or_else(|| features(pod)) {
        // Upstream has preempted by now; nobody has to go for a Pod that does not start.
        Some(rejection) => Verdict::Rejected(rejection),
        None => verdict,
    }
}

/// What Pods may use of the node: what we say ourselves, and what others have added to our Node.
pub fn allocatable(own: &BTreeMap<Box<str>, Quantity>, node: &Node) -> List {
    let all = node.status.allocatable.iter().chain(own);
    all.filter_map(|(name, amount)| Some((name.clone(), quantity::parse(amount).ok()?)))
        .collect()
}

/// Why a Pod does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Finding {
    /// Something is not left.
    Short(fit::Short),
    /// One of the scheduler's rules, and what it says.
    Predicate((&'static str, &'static str)),
}

impl Finding {
    fn rejection(&self) -> Rejection {
        match self {
            Self::Short(short) => short.rejection(),
            Self::Predicate((name, why)) => Rejection::new(*name, format!("Predicate {name} failed: {why}")),
        }
    }
}

/// Why every Pod is turned away while the machine goes down.
pub fn shutting_down() -> Rejection {
    Rejection::new("NodeShutdown", "Pod was rejected as the node is shutting down.")
}

/// The system the Pod is made for.
fn system(pod: &Pod) -> Option<Rejection> {
    // By the Pod's label, as upstream has it.
    if pod.metadata.labels.get(OS_LABEL).is_some_and(|os| &**os != OS) {
        return Some(Rejection::new(
            "PodOSSelectorNodeLabelDoesNotMatch",
            "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label",
        ));
    }
    let other = pod.spec.os.as_ref().is_some_and(|os| &*os.name != OS);
    other.then(|| {
        Rejection::new(
            "PodOSNotSupported",
            "Failed to admit pod as the OS field doesn't match node OS",
        )
    })
}

/// The scheduler's rules, all of them.
fn general(pod: &Pod, others: &[&Pod], ground: &Ground<'_>) -> Vec<Finding> {
    let mut found: Vec<Finding> = fit::shortages(pod, others, ground.allocatable)
        .into_iter()
        .map(Finding::Short)
        .collect();
    let mut predicate = |holds: bool, what| {
        if !holds {
            found.push(Finding::Predicate(what));
        }
    };
    predicate(affinity::matches(pod, ground.node), affinity::MISMATCH);
    predicate(ports::free(pod, others), ports::TAKEN);
    predicate(affinity::tolerates(pod, ground.node), affinity::UNTOLERATED);
    found
}

/// What can be done about what was found.
enum Recovery {
    Fits,
    Preempts(Vec<usize>, Box<str>),
    Hopeless(Rejection),
}

/// A critical Pod that is only short of resources takes them from others.
fn recover(pod: &Pod, others: &[&Pod], found: Vec<Finding>) -> Recovery {
    let Some(first) = found.first() else {
        return Recovery::Fits;
    };
    if !pod.is_critical() {
        return Recovery::Hopeless(first.rejection());
    }
    let other = found.iter().find(|f| matches!(f, Finding::Predicate(_)));
    if let Some(other) = other {
        return Recovery::Hopeless(other.rejection());
    }
    let shorts = found.iter().filter_map(|f| match f {
        Finding::Short(short) => Some(short),
        Finding::Predicate(_) => None,
    });
    let wanted: preempt::Wanted = shorts
        .map(|short| (short.resource.clone(), short.missing()))
        .collect();
    let lacks = wanted.first().map(|(resource, _)| resource.clone());
    match preempt::victims(pod, others, wanted) {
        Ok(victims) => Recovery::Preempts(victims, lacks.unwrap_or_default()),
        Err(why) => Recovery::Hopeless(Rejection::new(
            "UnexpectedAdmissionError",
            format!(
                "Unexpected error while attempting to recover from admission failure: preemption: error finding a set \
                 of pods to preempt: {why}"
            ),
        )),
    }
}

/// What a Pod asks of the node that this one has not declared (KEP-5328).
fn features(pod: &Pod) -> Option<Rejection> {
    let host_network = pod.spec.host_network && pod.spec.host_users == Some(false);
    host_network.then(|| {
        Rejection::new(
            "PodFeatureUnsupported",
            "Pod requires node features that are not available: UserNamespacesHostNetworkSupport",
        )
    })
}
