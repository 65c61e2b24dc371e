//! PURE. What the API server is told about one Pod: `(spec, observed, probes, memory, history) -> PodStatus`, and the
//! smallest patch from what it was told before.
//!
//! The runtime says what is; history (the last status, ours or the API server's) says what the runtime has forgotten:
//! restart counts, exit codes of removed containers, times of transitions. A terminal phase is never left, a restart
//! count never shrinks, and a phase becomes terminal only when nothing runs any more.

mod conditions;
mod containers;
mod gone;
mod history;
mod news;
mod patch;
mod phase;
mod resources;
#[cfg(test)]
mod tests;

pub use news::is_news;
pub use patch::patch;

use super::observed::{ContainerState, Observed, RunState};
use super::plan::{Intent, Memory, ProbeView};
use super::qos;
use crate::model::ContainerId;
use crate::model::pod::{Condition, Pod, PodStatus as History};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{HostIP, PodIP, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Everything a status is computed from.
#[derive(Clone, Copy, Debug)]
pub struct StatusInput<'a> {
    /// The Pod as the API server has it; its `status` is the history when `previous` is not known.
    pub pod: &'a Pod,
    /// What the Pod should become.
    pub intent: &'a Intent,
    /// What the runtime says.
    pub observed: &'a Observed,
    /// Probe results by container id.
    pub probes: &'a BTreeMap<ContainerId, ProbeView>,
    /// What the worker remembers (`Plan::memory`).
    pub memory: &'a Memory,
    /// The status this worker computed last; `None` on its first pass.
    pub previous: Option<&'a PodStatus>,
    /// The node's addresses, the primary one first.
    pub host_ips: &'a [IpAddr],
    /// Runtime name for container ids, as `containerd`.
    pub runtime: &'a str,
    /// Now.
    pub now: Timestamp,
}

impl StatusInput<'_> {
    /// The container runs, or may run.
    fn alive(container: &ContainerState) -> bool {
        matches!(
            container.state,
            RunState::Starting | RunState::Running | RunState::Unknown
        )
    }
    /// Nothing runs any more and nothing will be started.
    fn over(&self) -> bool {
        let ending = self.memory.ended || matches!(self.intent, Intent::Terminate { .. });
        ending && !self.observed.containers.iter().any(Self::alive)
    }
    /// All containers are being started over, or are gone for that.
    fn restarting_all(&self, history: &History) -> bool {
        let told = |c: &Condition| &*c.kind == conditions::RESTARTING && &*c.status == "True";
        self.memory.restarting_all || history.conditions.iter().any(told)
    }
    fn id(&self, container: &ContainerState) -> String {
        format!("{}://{}", self.runtime, container.id)
    }
}

/// The status of a Pod. Call it after every pass, also between stopping and removing containers: exit codes come from
/// the runtime and are kept by way of `previous` once the containers are gone.
pub fn status(input: StatusInput<'_>) -> PodStatus {
    let history = history::of(&input);
    let mut init = containers::init_statuses(&input, &history);
    let mut main = containers::main_statuses(&input, &history);
    let mut ephemeral = containers::ephemeral_statuses(&input, &history);
    if input.over() {
        gone::end_all(input.pod, &mut init, &mut main);
    }
    gone::shorten([&mut init, &mut main, &mut ephemeral]);
    let (phase, reason, message) = phase::phase(&input, &history, &init, &main);
    let pod_ips = pod_ips(&input, &history);
    let generation = input.pod.metadata.generation;
    let start_time = Some(time(history.start_time.unwrap_or(input.now)));
    if input.memory.rejected {
        return PodStatus {
            observed_generation: generation,
            start_time,
            qos_class: Some(qos::class(input.pod).as_str().into()),
            phase: Some(phase.into()),
            reason: reason.map(Into::into),
            message: message.map(Into::into),
            ..PodStatus::default()
        };
    }
    let conditions = conditions::Conditions {
        input: &input,
        history: &history,
        phase: &phase,
    };
    PodStatus {
        allocated_resources: resources::allocated(&input),
        resources: Some(resources::given(&input, &history)),
        conditions: Some(conditions.all(&init, &main)),
        observed_generation: generation,
        host_ip: input.host_ips.first().map(ToString::to_string),
        host_ips: (!input.host_ips.is_empty()).then(|| {
            input
                .host_ips
                .iter()
                .take(2)
                .map(|ip| HostIP { ip: ip.to_string() })
                .collect()
        }),
        pod_ip: pod_ips.first().map(ToString::to_string),
        pod_ips: (!pod_ips.is_empty())
            .then(|| pod_ips.iter().map(|ip| PodIP { ip: ip.to_string() }).collect()),
        start_time,
        qos_class: Some(qos::class(input.pod).as_str().into()),
        container_statuses: Some(main),
        init_container_statuses: (!init.is_empty()).then_some(init),
        ephemeral_container_statuses: (!ephemeral.is_empty()).then_some(ephemeral),
        phase: Some(phase.into()),
        reason: reason.map(Into::into),
        message: message.map(Into::into),
        ..PodStatus::default()
    }
}

/// Somebody else has changed what this node says of the Pod: the node controller calls Pods of a node it has not heard from
/// not ready, and leaves it to the node to take that back.
pub fn contradicts(told: &PodStatus, has: &History) -> bool {
    let ours = told.conditions.iter().flatten();
    let mut ours = ours.filter(|c| conditions::OURS.contains(&&*c.type_));
    ours.any(|c| {
        has.conditions
            .iter()
            .any(|h| *h.kind == *c.type_ && *h.status != *c.status)
    })
}

/// Addresses of the Pod, at most one of each family, the family of the node's primary address first. A Pod whose
/// sandbox has ended keeps the addresses it had.
fn pod_ips(input: &StatusInput<'_>, history: &History) -> Vec<IpAddr> {
    let ready = input.observed.newest_sandbox().filter(|s| s.ready);
    let known = || history.pod_ips.iter().filter_map(|p| p.ip).collect::<Vec<_>>();
    let ips = match ready {
        Some(_) if input.pod.spec.host_network => match known() {
            old if old.is_empty() => input.host_ips.to_vec(),
            old => old,
        },
        Some(sandbox) => sandbox.ips.clone(),
        None => known(),
    };
    let six_first = input.host_ips.first().is_some_and(IpAddr::is_ipv6);
    let pick = |six: bool| ips.iter().find(|ip| ip.is_ipv6() == six).copied();
    [pick(six_first), pick(!six_first)]
        .into_iter()
        .flatten()
        .collect()
}

/// An API time: whole seconds, as it will be read back.
fn time(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}
