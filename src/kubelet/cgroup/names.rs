//! PURE. What the cgroups of Pods are called: paths with the cgroupfs driver, nested slices with systemd's.

use crate::kubelet::qos::Qos;
use crate::model::PodUid;

#[cfg(test)]
mod tests;

/// What the cgroup of a Pod begins with; its UID follows.
const POD: &str = "pod";

/// Where the cgroups of Pods are, and who makes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// `cgroupRoot`: `/` for the whole node.
    pub root: Box<str>,
    /// systemd makes them.
    pub systemd: bool,
}

impl Names {
    /// The cgroup of all Pods, which is that of guaranteed ones; or that of one of the other two classes.
    pub fn class(&self, class: Qos) -> String {
        self.path(class, None)
    }

    /// The cgroup of a Pod.
    pub fn pod(&self, class: Qos, uid: &PodUid) -> String {
        self.path(class, Some(uid))
    }

    /// A configured cgroup, as `kubeReservedCgroup`; of a slice only the last name counts, it has all others inside.
    pub fn given(&self, path: &str) -> String {
        if self.systemd {
            let last = path.rsplit('/').next().unwrap_or_default();
            let last = last.trim_end_matches(".slice");
            slices(last.split('-').map(str::to_owned))
        } else {
            format!("/{}", path.trim_matches('/'))
        }
    }

    /// The Pod a cgroup directly below that of a class belongs to, by its last name; `None` for one that is no Pod's.
    pub fn owner(&self, name: &str) -> Option<PodUid> {
        let uid = if self.systemd {
            let last = name.strip_suffix(".slice")?.rsplit('-').next()?;
            last.strip_prefix(POD)?.replace('_', "-")
        } else {
            name.strip_prefix(POD)?.to_owned()
        };
        (!uid.is_empty()).then(|| uid.as_str().into())
    }

    fn path(&self, class: Qos, pod: Option<&PodUid>) -> String {
        let mut parts: Vec<String> = self.root.split('/').map(Into::into).collect();
        parts.push("kubepods".into());
        match class {
            Qos::Guaranteed => {}
            Qos::Burstable => parts.push("burstable".into()),
            Qos::BestEffort => parts.push("besteffort".into()),
        }
        parts.extend(pod.map(|uid| format!("{POD}{uid}")));
        if self.systemd {
            return slices(parts.into_iter());
        }
        parts.retain(|part| !part.is_empty());
        format!("/{}", parts.join("/"))
    }
}

/// `/a.slice/a-b.slice` from `a`, `b`. A dash in a slice's name means nesting, so the names themselves must have none.
fn slices(parts: impl Iterator<Item = String>) -> String {
    let (mut path, mut name) = (String::new(), String::new());
    for part in parts.filter(|part| !part.is_empty()) {
        let part = part.trim_end_matches(".slice").replace('-', "_");
        name = if name.is_empty() {
            part
        } else {
            format!("{name}-{part}")
        };
        path = format!("{path}/{name}.slice");
    }
    path
}
