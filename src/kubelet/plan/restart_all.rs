//! PURE. Starting all containers of a Pod over in its sandbox, because one of them has ended with an exit code whose rule
//! says so (KEP-5532): whatever runs is killed and everything is removed, init containers too, but for the logs. The
//! container that asked for it goes last, so that whoever looks in between sees why.

use super::memory::{alive, restarts_all};
use super::run::Pass;
use super::stop::stop_with;
use super::{Action, Input};
use crate::kubelet::observed::{ContainerState, RunState};
use crate::model::pod::Container;

/// Reason of a container that was removed to start all of them over.
pub(crate) const REMOVED: &str = "RestartingAllContainers";

impl Pass<'_> {
    /// The steps of starting over; true while there are any.
    pub(super) fn restart_all(&mut self) -> bool {
        if !self.plan.memory.restarting_all && !asked(self.input) {
            return false;
        }
        let input = self.input;
        let spec = |c: &ContainerState| specs(input).find(|spec| spec.name == c.name);
        let all: Vec<_> = input
            .observed
            .containers
            .iter()
            .filter(|c| spec(c).is_some())
            .collect();
        for spec in specs(input) {
            let mine = all.iter().filter(|c| c.name == spec.name);
            let next = mine.map(|c| c.attempt + 1).max().unwrap_or(0);
            let known = self.plan.memory.over_again.entry(spec.name.clone()).or_default();
            *known = next.max(*known);
        }
        self.plan.memory.restarting_all = !all.is_empty();
        self.plan.memory.waiting.clear();
        let running = all.iter().filter(|c| alive(c));
        self.plan.actions = running.map(|c| stop_with(c, 0, "killing".into())).collect();
        if !all.is_empty() && self.plan.actions.is_empty() {
            let source = |c: &ContainerState| spec(c).is_some_and(|spec| is_source(spec, c));
            let (last, first): (Vec<_>, Vec<_>) = all.iter().partition(|c| source(c));
            let remove = |c: &&ContainerState| Action::RemoveContainer {
                id: c.id.clone(),
                keep_log: true,
            };
            self.plan.actions = first.into_iter().chain(last).map(remove).collect();
        }
        !all.is_empty()
    }
}

/// The newest instance of a container has ended in a way that starts all over.
fn asked(input: &Input<'_>) -> bool {
    let newest = |c: &Container| input.observed.latest(&c.name).is_some_and(|i| is_source(c, i));
    specs(input).any(newest)
}

/// All containers but ephemeral ones, which are left alone.
fn specs<'a>(input: &Input<'a>) -> impl Iterator<Item = &'a Container> + use<'a> {
    let spec = &input.pod.spec;
    spec.init_containers.iter().chain(&spec.containers)
}

fn is_source(spec: &Container, instance: &ContainerState) -> bool {
    instance.state == RunState::Exited && restarts_all(spec, instance.exit_code)
}
