//! Keeps a Service port whose rules the kernel refuses from blocking all others (#139515).
//!
//! A transaction is taken or refused as a whole. When iptables says which line it refused, the Service port that line
//! belongs to is left out until it changes, and the rest goes through.

use super::ruleset;
use super::service_map::{ServiceMap, ServicePort, ServicePortName};
use crate::sys::iptables;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Refused Service ports, with what they were when they were refused.
#[derive(Debug, Default)]
pub(super) struct Quarantine {
    refused: BTreeMap<ServicePortName, ServicePort>,
}

impl Quarantine {
    /// Gives everyone a new chance.
    pub(super) fn clear(&mut self) {
        self.refused.clear();
    }

    /// Gives those that changed a new chance, and forgets those that are gone.
    pub(super) fn release_changed(&mut self, services: &ServiceMap) {
        self.refused.retain(|name, port| services.get(name) == Some(port));
    }

    /// Calls `build` with the Services that are not refused.
    pub(super) fn without_refused<T>(
        &self,
        services: &ServiceMap,
        build: impl FnOnce(&ServiceMap) -> T,
    ) -> T {
        let allowed = if self.refused.is_empty() {
            Cow::Borrowed(services)
        } else {
            let mut allowed = services.clone();
            allowed.retain(|name, _| !self.refused.contains_key(name));
            Cow::Owned(allowed)
        };
        build(&allowed)
    }

    /// Leaves out the Service port that a refusal is about. `None` when the refusal is about something else.
    pub(super) fn refuse(
        &mut self,
        services: &ServiceMap,
        error: &iptables::Error,
    ) -> Option<(ServicePortName, String)> {
        let iptables::Error::Rejected { rule, .. } = error else {
            return None;
        };
        let (name, port) = services
            .iter()
            .filter(|(name, _)| !self.refused.contains_key(name))
            .find(|(name, port)| ruleset::is_about(rule, name, port))?;
        self.refused.insert(name.clone(), port.clone());
        Some((name.clone(), error.to_string()))
    }
}
