//! The Pods the API server wants on this node, as the watch tells, and what we last found out about them.

use crate::api::Change;
use crate::kubelet::{eviction, status};
use crate::model::PodUid;
use crate::model::pod::Pod;
use k8s_openapi::api::core::v1::PodStatus;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Pods by UID. Empty and not listed until the first full list.
#[derive(Debug, Default)]
pub struct Source {
    /// Protects the maps only.
    state: Mutex<State>,
    /// Counts statuses that differ from the one before.
    told: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    pods: HashMap<PodUid, Arc<Pod>>,
    /// Of Pods in `pods` only.
    statuses: HashMap<PodUid, Arc<PodStatus>>,
    listed: bool,
}

impl State {
    /// The API server has something else than what we have found out last.
    fn denies(&self, pod: &Pod) -> bool {
        let told = self.statuses.get(&pod.metadata.uid);
        told.is_some_and(|told| status::contradicts(told, &pod.status))
    }
}

impl Source {
    /// Takes over a change; returns the Pods whose workers must look again. A Pod that a full list lacks is gone, and a
    /// change of nothing but the status, which is mostly our own, concerns nobody unless it denies what we say.
    pub fn apply(&self, change: Change<Pod>) -> Vec<PodUid> {
        let mut state = self.lock();
        match change {
            Change::Replaced(list) => {
                state.listed = true;
                let new: HashMap<PodUid, Arc<Pod>> = list
                    .into_iter()
                    .map(|pod| (pod.metadata.uid.clone(), pod))
                    .collect();
                let gone = state.pods.keys().filter(|uid| !new.contains_key(*uid)).cloned();
                let other = new.iter().filter(|(uid, pod)| {
                    let old = state.pods.get(*uid);
                    old.is_none_or(|old| concerns(old, pod)) || state.denies(pod)
                });
                let dirty = gone.chain(other.map(|(uid, _)| uid.clone())).collect();
                state.statuses.retain(|uid, _| new.contains_key(uid));
                state.pods = new;
                dirty
            }
            Change::Applied(pod) => {
                let uid = pod.metadata.uid.clone();
                let old = state.pods.insert(uid.clone(), pod.clone());
                if old.is_none_or(|old| concerns(&old, &pod)) || state.denies(&pod) {
                    vec![uid]
                } else {
                    Vec::new()
                }
            }
            Change::Deleted(pod) => {
                let uid = &pod.metadata.uid;
                state.statuses.remove(uid);
                state
                    .pods
                    .remove(uid)
                    .map(|_| vec![uid.clone()])
                    .unwrap_or_default()
            }
        }
    }

    /// The Pod of this UID.
    pub fn get(&self, uid: &PodUid) -> Option<Arc<Pod>> {
        self.lock().pods.get(uid).cloned()
    }

    /// The Pod of this name; of several (one is on its way out) the youngest.
    pub fn named(&self, namespace: &str, name: &str) -> Option<Arc<Pod>> {
        let state = self.lock();
        let named = state
            .pods
            .values()
            .filter(|pod| &*pod.metadata.namespace == namespace && &*pod.metadata.name == name);
        named.max_by_key(|pod| pod.metadata.creation_timestamp).cloned()
    }

    /// Takes over what a worker has found out about its Pod. The API server is told later.
    pub fn tell(&self, uid: &PodUid, status: &PodStatus) {
        let mut state = self.lock();
        let known = state.statuses.get(uid);
        if !state.pods.contains_key(uid) || known.is_some_and(|known| **known == *status) {
            return;
        }
        state.statuses.insert(uid.clone(), Arc::new(status.clone()));
        drop(state);
        self.told.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// The status a worker has found out last: newer than what the API server has. None before the first look.
    pub fn status(&self, uid: &PodUid) -> Option<Arc<PodStatus>> {
        self.lock().statuses.get(uid).cloned()
    }

    /// Changes with every status that differs from the one before.
    pub fn statuses_changed(&self) -> watch::Receiver<u64> {
        self.told.subscribe()
    }

    /// All UIDs.
    pub fn uids(&self) -> Vec<PodUid> {
        self.lock().pods.keys().cloned().collect()
    }

    /// True after the first full list: from then on a missing Pod is one that must go.
    pub fn listed(&self) -> bool {
        self.lock().listed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// PURE. Whether the difference between two versions of a Pod is a reason to look at it.
fn concerns(old: &Pod, new: &Pod) -> bool {
    let (a, b) = (&old.metadata, &new.metadata);
    let gates = !new.spec.readiness_gates.is_empty() && old.status.conditions != new.status.conditions;
    // Once an eviction is known, its containers may go.
    let over = old.status.phase != new.status.phase && new.status.reason.as_deref() == Some(eviction::REASON);
    gates
        || over
        || old.spec != new.spec
        || a.generation != b.generation
        || a.labels != b.labels
        || a.annotations != b.annotations
        || a.deletion_timestamp != b.deletion_timestamp
        || a.deletion_grace_period_seconds != b.deletion_grace_period_seconds
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn pod(uid: &str) -> Pod {
        let mut pod = Pod::default();
        pod.metadata.uid = uid.into();
        pod
    }

    fn sorted(mut uids: Vec<PodUid>) -> Vec<String> {
        uids.sort();
        uids.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_full_list_tells_of_new_and_of_missing_pods() {
        let source = Source::default();
        assert!(!source.listed());
        let list = |uids: &[&str]| Change::Replaced(uids.iter().map(|uid| Arc::new(pod(uid))).collect());
        assert_eq!(sorted(source.apply(list(&["a", "b"]))), ["a", "b"]);
        assert!(source.listed());
        assert_eq!(sorted(source.apply(list(&["b", "c"]))), ["a", "c"]);
        assert!(source.get(&"a".into()).is_none());
        assert_eq!(sorted(source.uids()), ["b", "c"]);
    }

    #[test]
    fn an_ephemeral_container_concerns_the_pod() {
        let source = Source::default();
        source.apply(Change::Applied(Arc::new(pod("a"))));
        let mut debugged = pod("a");
        debugged.spec.ephemeral_containers = vec![crate::testing::builders::container("e")];
        assert_eq!(source.apply(Change::Applied(Arc::new(debugged.clone()))).len(), 1);
        assert!(source.apply(Change::Applied(Arc::new(debugged))).is_empty());
    }

    #[test]
    fn of_two_pods_of_a_name_the_youngest_is_meant() {
        let source = Source::default();
        for (uid, namespace, created) in [("old", "a", 1), ("new", "a", 2), ("other", "b", 3)] {
            let mut pod = pod(uid);
            pod.metadata.name = "web".into();
            pod.metadata.namespace = namespace.into();
            pod.metadata.creation_timestamp = Timestamp::from_second(created).ok();
            source.apply(Change::Applied(Arc::new(pod)));
        }
        let found =
            |namespace: &str, name: &str| source.named(namespace, name).map(|p| p.metadata.uid.to_string());
        assert_eq!(found("a", "web").as_deref(), Some("new"));
        assert_eq!(found("b", "web").as_deref(), Some("other"));
        assert_eq!(found("a", "db"), None);
    }

    #[test]
    fn statuses_are_known_as_long_as_their_pods() {
        let source = Source::default();
        let mut changed = source.statuses_changed();
        let (uid, gone) = ("a".into(), "b".into());
        let status = |phase: &str| PodStatus {
            phase: Some(phase.into()),
            ..PodStatus::default()
        };
        source.apply(Change::Applied(Arc::new(pod("a"))));
        source.tell(&gone, &status("Running"));
        assert!(source.status(&gone).is_none() && !changed.has_changed().unwrap());
        source.tell(&uid, &status("Running"));
        assert_eq!(source.status(&uid).as_deref(), Some(&status("Running")));
        assert!(changed.has_changed().unwrap());
        changed.mark_unchanged();
        source.tell(&uid, &status("Running"));
        assert!(!changed.has_changed().unwrap());
        source.apply(Change::Replaced(vec![Arc::new(pod("a"))]));
        assert!(source.status(&uid).is_some());
        source.apply(Change::Deleted(Arc::new(pod("a"))));
        assert!(source.status(&uid).is_none());
        source.apply(Change::Applied(Arc::new(pod("a"))));
        source.tell(&uid, &status("Running"));
        source.apply(Change::Replaced(Vec::new()));
        assert!(source.status(&uid).is_none());
    }

    #[test]
    fn our_own_status_writes_wake_nobody() {
        let source = Source::default();
        assert_eq!(source.apply(Change::Applied(Arc::new(pod("a")))).len(), 1);
        let mut told = pod("a");
        told.status.phase = "Running".into();
        told.metadata.resource_version = "2".into();
        assert!(source.apply(Change::Applied(Arc::new(told.clone()))).is_empty());
        assert_eq!(&*source.get(&"a".into()).unwrap().status.phase, "Running");
        told.metadata.deletion_timestamp = Some(Timestamp::UNIX_EPOCH);
        assert_eq!(source.apply(Change::Applied(Arc::new(told.clone()))).len(), 1);
        assert_eq!(source.apply(Change::Deleted(Arc::new(told.clone()))).len(), 1);
        assert!(source.apply(Change::Deleted(Arc::new(told))).is_empty());
    }
}
