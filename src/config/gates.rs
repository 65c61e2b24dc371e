//! PURE. Feature gates: what those few say that have an effect here, and what cannot be set together. A name that
//! kubelet does not know is a mistake.

mod table;

use serde_json::{Map, Value};
use table::{GROUPS, Group, NEEDS};

/// exec, attach and port-forward over WebSockets straight to the node (KEP-4006).
const WEBSOCKETS: &str = "ExtendWebSocketsToKubelet";
/// The Node says what it can do (KEP-5328).
const DECLARED: &str = "NodeDeclaredFeatures";
/// An image that one Pod's credentials have pulled is not there for others (KEP-2535).
pub(super) const ENSURE_PULLED: &str = "KubeletEnsureSecretPulledImages";
/// An exit code may start all containers of a Pod over (KEP-5532).
const RESTART_ALL: &str = "RestartAllContainersOnContainerExits";
/// The requests and limits of a whole Pod can be changed while it runs (KEP-5419).
const RESIZE_WHOLE: &str = "InPlacePodLevelResourcesVerticalScaling";
/// So can those of an init container that ends.
const RESIZE_INIT: &str = "InPlacePodVerticalScalingInitContainers";
/// The machine waits for its Pods when it goes down (KEP-2000).
const SHUTDOWN: &str = "GracefulNodeShutdown";
/// In the order of their priorities (KEP-2712).
const BY_PRIORITY: &str = "GracefulNodeShutdownBasedOnPodPriority";
/// Features of kubelet 1.36 that the Node declares, sorted: those it really has. Each has a gate of its name, beta and on.
const FEATURES: &[&str] = &[WEBSOCKETS, RESIZE_WHOLE, RESIZE_INIT, RESTART_ALL];

/// Switch all alpha or all beta features for which nothing else is said.
const ALL: [&str; 2] = ["AllAlpha", "AllBeta"];

fn group(name: &str) -> Option<&'static Group> {
    GROUPS.iter().find(|group| group.names.contains(&name))
}

/// What is wrong with setting a gate, if something is.
pub(super) fn check(name: &str, on: bool) -> Result<(), String> {
    match group(name) {
        None if !ALL.contains(&name) => Err(format!("unrecognized feature gate: {name}")),
        Some(group) if group.locked && group.on != on => Err(format!(
            "cannot set feature gate {name} to {on}, feature is locked to {}",
            group.on
        )),
        _ => Ok(()),
    }
}

/// Gates that were set.
pub(super) struct Set<'a>(pub(super) &'a Value);

impl<'a> Set<'a> {
    /// Whether a feature is on.
    pub(super) fn is_on(&self, gate: &str) -> bool {
        let given = |name: &str| self.0[name].as_bool();
        let group = group(gate);
        let default = group.is_some_and(|group| group.on);
        let all = group
            .and_then(|group| given(group.all))
            .filter(|_| !group.is_some_and(|g| g.locked));
        given(gate).or(all).unwrap_or(default)
    }

    /// What is wrong with the gates as a whole: features that are on without others they need.
    pub(super) fn check(&self) -> Result<(), String> {
        let without = NEEDS
            .iter()
            .filter(|(name, _)| self.is_on(name))
            .filter_map(|(name, needs)| {
                let off: Vec<&str> = needs.iter().copied().filter(|need| !self.is_on(need)).collect();
                let words = || {
                    format!(
                        "{name} is enabled, but depends on features that are disabled: [{}]",
                        off.join(" ")
                    )
                };
                (!off.is_empty()).then(words)
            });
        let all: Vec<String> = without.collect();
        match &*all {
            [] => Ok(()),
            [one] => Err(one.clone()),
            all => Err(format!("[{}]", all.join(", "))),
        }
    }

    /// Whether WebSockets are served beyond what the runtime can do itself.
    pub(super) fn websockets(&self) -> bool {
        self.is_on(WEBSOCKETS)
    }

    /// Whether Pods must show credentials for images that others have pulled.
    pub(super) fn ensure_pulled(&self) -> bool {
        self.is_on(ENSURE_PULLED)
    }

    /// Whether a shutdown of the machine waits for Pods.
    pub(super) fn graceful_shutdown(&self) -> bool {
        self.is_on(SHUTDOWN)
    }

    /// Whether each priority may have a time of its own.
    pub(super) fn shutdown_by_priority(&self) -> bool {
        self.is_on(BY_PRIORITY)
    }

    /// The features the Node declares, sorted.
    pub(super) fn declared(&self) -> Vec<&'static str> {
        let all = FEATURES.iter().copied().filter(|name| self.is_on(name));
        all.filter(|_| self.is_on(DECLARED)).collect()
    }

    /// Those without an effect.
    pub(super) fn in_vain(&self) -> Vec<&'a str> {
        let names = self.0.as_object().into_iter().flat_map(Map::keys);
        let act = [DECLARED, ENSURE_PULLED, SHUTDOWN, BY_PRIORITY];
        names
            .map(|name| &**name)
            .filter(|name| !act.contains(name) && !FEATURES.contains(name))
            .collect()
    }
}

/// Gates of a flag over those of a file; each counts for itself.
pub(super) fn over(file: Option<&Value>, flag: Value) -> Value {
    let mut all = file.and_then(Value::as_object).cloned().unwrap_or_default();
    if let Value::Object(gates) = flag {
        all.extend(gates);
    }
    all.into()
}

#[cfg(test)]
mod tests;
