//! PURE. What was reported before: the worker's own last status, else the one the API server has.

use super::StatusInput;
use crate::model::pod;
use k8s_openapi::api::core::v1 as k8s;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The history a status builds on. A terminal phase that only the API server knows counts too.
pub(super) fn of<'a>(input: &StatusInput<'a>) -> Cow<'a, pod::PodStatus> {
    let reported = &input.pod.status;
    let Some(previous) = input.previous else {
        return Cow::Borrowed(reported);
    };
    let mut history = slim(previous);
    if matches!(&*reported.phase, "Succeeded" | "Failed") && history.phase != reported.phase {
        history.phase = reported.phase.clone();
        history.reason = reported.reason.clone();
        history.message = reported.message.clone();
    }
    Cow::Owned(history)
}

/// The slim form of a full status.
fn slim(full: &k8s::PodStatus) -> pod::PodStatus {
    let containers =
        |list: &Option<Vec<k8s::ContainerStatus>>| list.iter().flatten().map(container).collect();
    let ip = |p: &k8s::PodIP| pod::PodIp {
        ip: p.ip.parse().ok(),
    };
    pod::PodStatus {
        phase: full.phase.as_deref().unwrap_or_default().into(),
        reason: boxed(&full.reason),
        message: boxed(&full.message),
        start_time: full.start_time.as_ref().map(|t| t.0),
        pod_ips: full.pod_ips.iter().flatten().map(ip).collect(),
        conditions: full.conditions.iter().flatten().map(condition).collect(),
        container_statuses: containers(&full.container_statuses),
        init_container_statuses: containers(&full.init_container_statuses),
        ephemeral_container_statuses: containers(&full.ephemeral_container_statuses),
        // Said anew each time, of what was granted and given.
        allocated_resources: BTreeMap::new(),
        resources: None,
    }
}

fn boxed(text: &Option<String>) -> Option<Box<str>> {
    text.as_deref().map(Into::into)
}

fn condition(full: &k8s::PodCondition) -> pod::Condition {
    pod::Condition {
        kind: full.type_.as_str().into(),
        status: full.status.as_str().into(),
        reason: boxed(&full.reason),
        message: boxed(&full.message),
        last_transition_time: full.last_transition_time.as_ref().map(|t| t.0),
    }
}

fn container(full: &k8s::ContainerStatus) -> pod::ContainerStatus {
    pod::ContainerStatus {
        name: full.name.as_str().into(),
        restart_count: full.restart_count,
        ready: full.ready,
        started: full.started,
        container_id: full.container_id.as_deref().unwrap_or_default().into(),
        image: full.image.as_str().into(),
        image_id: full.image_id.as_str().into(),
        allocated_resources: full.allocated_resources.as_ref().map(amounts).unwrap_or_default(),
        resources: full.resources.as_ref().map(|r| pod::Resources {
            limits: r.limits.as_ref().map(amounts).unwrap_or_default(),
            requests: r.requests.as_ref().map(amounts).unwrap_or_default(),
        }),
        state: full.state.as_ref().map(state).unwrap_or_default(),
        last_state: full.last_state.as_ref().map(state).unwrap_or_default(),
    }
}

fn amounts(list: &BTreeMap<String, Quantity>) -> BTreeMap<Box<str>, pod::Quantity> {
    let amount = |q: &Quantity| pod::Quantity(q.0.as_str().into());
    list.iter()
        .map(|(name, q)| (name.as_str().into(), amount(q)))
        .collect()
}

fn state(full: &k8s::ContainerState) -> pod::ContainerState {
    pod::ContainerState {
        waiting: full.waiting.as_ref().map(|w| pod::StateWaiting {
            reason: boxed(&w.reason),
            message: boxed(&w.message),
        }),
        running: full.running.as_ref().map(|r| pod::StateRunning {
            started_at: r.started_at.as_ref().map(|t| t.0),
        }),
        terminated: full.terminated.as_ref().map(|t| pod::StateTerminated {
            exit_code: t.exit_code,
            reason: boxed(&t.reason),
            message: boxed(&t.message),
            started_at: t.started_at.as_ref().map(|t| t.0),
            finished_at: t.finished_at.as_ref().map(|t| t.0),
            container_id: boxed(&t.container_id),
        }),
    }
}
