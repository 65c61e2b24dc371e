//! PURE. Which instance of a container is meant: its status → a container id, or upstream's words why there is no log.

use crate::model::pod;
use k8s_openapi::api::core::v1::{ContainerStatus, PodStatus};

/// No instance has a log to show. The texts are upstream's.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    #[error("container {container:?} in pod {pod:?} is not available")]
    NotAvailable { container: Box<str>, pod: Box<str> },
    #[error("previous terminated container {container:?} in pod {pod:?} not found")]
    NoPrevious { container: Box<str>, pod: Box<str> },
    #[error("container {container:?} in pod {pod:?} is terminated")]
    Terminated { container: Box<str>, pod: Box<str> },
    #[error("container {container:?} in pod {pod:?} is waiting to start: {why}")]
    Waiting {
        container: Box<str>,
        pod: Box<str>,
        why: Box<str>,
    },
    #[error("container {container:?} in pod {pod:?} is waiting to start - no logs yet")]
    NoState { container: Box<str>, pod: Box<str> },
}

/// What a container's status says about its instances. Ids are as in `containerd://…`; an empty one is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts<'a> {
    current: &'a str,
    running: bool,
    /// Why it waits.
    waiting: Option<&'a str>,
    /// Which instance has ended.
    terminated: Option<&'a str>,
    /// Which instance ended before.
    last: Option<&'a str>,
}

fn all(status: &PodStatus) -> impl Iterator<Item = &ContainerStatus> {
    let lists = [
        &status.container_statuses,
        &status.init_container_statuses,
        &status.ephemeral_container_statuses,
    ];
    lists.into_iter().flatten().flatten()
}

/// Whether a status says that this instance runs.
pub(super) fn runs(status: &PodStatus, id: &str) -> bool {
    all(status).any(|container| {
        let running = container
            .state
            .as_ref()
            .is_some_and(|state| state.running.is_some());
        running && container.container_id.as_deref() == Some(id)
    })
}

impl<'a> Facts<'a> {
    /// From the status of the whole Pod.
    pub(super) fn of_status(status: &'a PodStatus, container: &str) -> Option<Self> {
        let found = all(status).find(|c| c.name == container)?;
        let (state, last) = (found.state.as_ref(), found.last_state.as_ref());
        let ended = |state: &'a k8s_openapi::api::core::v1::ContainerState| {
            let end = state.terminated.as_ref()?;
            Some(end.container_id.as_deref().unwrap_or_default())
        };
        let waiting = state.and_then(|s| s.waiting.as_ref());
        Some(Self {
            current: found.container_id.as_deref().unwrap_or_default(),
            running: state.is_some_and(|s| s.running.is_some()),
            waiting: waiting.map(|w| w.reason.as_deref().unwrap_or_default()),
            terminated: state.and_then(ended),
            last: last.and_then(ended),
        })
    }

    /// From what the API server was told.
    pub(super) fn of_history(status: &'a pod::ContainerStatus) -> Self {
        let ended = |state: &'a pod::ContainerState| {
            let end = state.terminated.as_ref()?;
            Some(end.container_id.as_deref().unwrap_or_default())
        };
        let waiting = status.state.waiting.as_ref();
        Self {
            current: &status.container_id,
            running: status.state.running.is_some(),
            waiting: waiting.map(|w| w.reason.as_deref().unwrap_or_default()),
            terminated: ended(&status.state),
            last: ended(&status.last_state),
        }
    }
}

/// The instance whose log is meant, as `containerd://…`: the one that runs or ran last, or the one before.
pub(super) fn choose(
    facts: Option<Facts<'_>>,
    (pod, container): (&str, &str),
    previous: bool,
) -> Result<Box<str>, Error> {
    let (pod, container): (Box<str>, Box<str>) = (pod.into(), container.into());
    let Some(facts) = facts else {
        return Err(Error::NotAvailable { container, pod });
    };
    let known = |id: &str| (!id.is_empty()).then(|| Box::<str>::from(id));
    let last = facts.last.and_then(known);
    if previous {
        return last.ok_or(Error::NoPrevious { container, pod });
    }
    if facts.running {
        return known(facts.current).ok_or(Error::NoState { container, pod });
    }
    if let Some(ended) = facts.terminated {
        let id = known(ended).or(last);
        return id.ok_or(Error::Terminated { container, pod });
    }
    if facts.last.is_some() {
        return last.ok_or(Error::Terminated { container, pod });
    }
    let Some(reason) = facts.waiting else {
        return Err(Error::NoState { container, pod });
    };
    let why = match reason {
        "ErrImagePull" => "image can't be pulled",
        "ImagePullBackOff" => "trying and failing to pull image",
        other => other,
    };
    Err(Error::Waiting {
        container,
        pod,
        why: why.into(),
    })
}

/// The runtime's id in `containerd://…`.
pub(super) fn bare(id: &str) -> &str {
    id.split_once("://").map_or(id, |(_, bare)| bare)
}

#[cfg(test)]
mod tests;
