//! PURE. What could not be programmed, per object, told once.

use crate::model::{NamespacedName, PodUid};
use std::collections::BTreeMap;
use std::fmt;

/// Which kind of judgement a problem comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SubjectKind {
    /// A Service's own fields.
    Service,
    /// A Service whose ports do not fit its EndpointSlices.
    ServicePorts,
    /// An EndpointSlice's fields.
    EndpointSlice,
}

/// One thing about one object that rules cannot be made for. The rest of the object, and all others, are programmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Kind of the object.
    pub kind: SubjectKind,
    /// The object.
    pub object: NamespacedName,
    /// Its UID; empty when only its name is known.
    pub uid: PodUid,
    /// Path of the field, as `spec.ports[1].port`.
    pub field: Box<str>,
    /// What is wrong with it, and what happens instead.
    pub message: Box<str>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}: {}: {}",
            self.kind.object_kind(),
            self.object,
            self.field,
            self.message
        )
    }
}

impl SubjectKind {
    /// `v1` or `discovery.k8s.io/v1`.
    pub fn api_version(self) -> &'static str {
        match self {
            Self::Service | Self::ServicePorts => "v1",
            Self::EndpointSlice => "discovery.k8s.io/v1",
        }
    }

    /// `Service` or `EndpointSlice`.
    pub fn object_kind(self) -> &'static str {
        match self {
            Self::Service | Self::ServicePorts => "Service",
            Self::EndpointSlice => "EndpointSlice",
        }
    }
}

/// Field and words of a problem, before it is known which object it belongs to.
pub(super) type Finding = (String, String);

/// Current problems by object, and which of them nobody was told yet.
#[derive(Debug, Default)]
pub(super) struct Problems {
    current: BTreeMap<(SubjectKind, NamespacedName), Vec<Problem>>,
    fresh: Vec<Problem>,
}

impl Problems {
    /// Replaces the problems of an object; unchanged ones are not told again.
    pub(super) fn set(
        &mut self,
        kind: SubjectKind,
        object: &NamespacedName,
        uid: &PodUid,
        found: Vec<Finding>,
    ) {
        if found.is_empty() {
            self.clear(kind, object);
            return;
        }
        let problems: Vec<Problem> = found
            .into_iter()
            .map(|(field, message)| Problem {
                kind,
                object: object.clone(),
                uid: uid.clone(),
                field: field.into(),
                message: message.into(),
            })
            .collect();
        let slot = self.current.entry((kind, object.clone())).or_default();
        self.fresh
            .extend(problems.iter().filter(|problem| !slot.contains(problem)).cloned());
        *slot = problems;
    }

    /// The object is fine, or gone.
    pub(super) fn clear(&mut self, kind: SubjectKind, object: &NamespacedName) {
        if self.current.remove(&(kind, object.clone())).is_some() {
            self.fresh
                .retain(|problem| problem.kind != kind || problem.object != *object);
        }
    }

    /// Forgets objects of a kind that are gone.
    pub(super) fn retain(&mut self, kind: SubjectKind, keep: impl Fn(&NamespacedName) -> bool) {
        self.current
            .retain(|(held, object), _| *held != kind || keep(object));
    }

    /// How many there are now.
    pub(super) fn count(&self) -> usize {
        self.current.values().map(Vec::len).sum()
    }

    /// Problems nobody was told yet.
    pub(super) fn take(&mut self) -> Vec<Problem> {
        std::mem::take(&mut self.fresh)
    }
}
