//! PURE. Starting all containers of a Pod over in its sandbox, because one of them has ended with an exit code whose rule
//! says so (KEP-5532): whatever runs is killed and everything is removed, init containers too, but for the logs. The
//! container that asked for it goes last, so that whoever looks in between sees why.

use super::memory::{alive, restarts_all};
use super::run::Pass;
use super::stop::stop_with;
use super::{Action, Input};
use crate::kubelet::observed::{ContainerState, RunState};
use crate::model::pod::Container;

impl Pass<'_> {
    /// The steps of starting over; true while there are any.
    pub(super) fn restart_all(&mut self) -> bool {
        if !self.plan.memory.restarting_all && !asked(self.input) {
            return false;
        }
        let spec = |c: &ContainerState| of_spec(self.input, &c.name);
        let all: Vec<_> = self
            .input
            .observed
            .containers
            .iter()
            .filter(|c| spec(c).is_some())
            .collect();
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
    let spec = &input.pod.spec;
    let newest = |c: &Container| input.observed.latest(&c.name).is_some_and(|i| is_source(c, i));
    spec.init_containers.iter().chain(&spec.containers).any(newest)
}

fn is_source(spec: &Container, instance: &ContainerState) -> bool {
    instance.state == RunState::Exited && restarts_all(spec, instance.exit_code)
}

/// Ephemeral containers are left alone.
fn of_spec<'a>(input: &Input<'a>, name: &str) -> Option<&'a Container> {
    let spec = &input.pod.spec;
    spec.init_containers
        .iter()
        .chain(&spec.containers)
        .find(|c| *c.name == *name)
}
