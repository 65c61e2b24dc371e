//! The Pods wanted on this node, as the API server's watch and manifests tell, their mirrors, and what we last found out
//! about them.

use crate::api::Change;
use crate::kubelet::manifest::{Manifest, mirror};
use crate::kubelet::{eviction, status};
use crate::model::pod::{self, Pod};
use crate::model::{NamespacedName, PodUid};
use k8s_openapi::api::core::v1::PodStatus;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Pods by UID, from the API server and from manifests. Empty and not listed until the first full list.
#[derive(Debug, Default)]
pub struct Source {
    /// Protects the maps only.
    state: Mutex<State>,
    /// Counts statuses that differ from the one before.
    told: watch::Sender<u64>,
    /// Counts changes of manifests, mirrors, and which static Pods work.
    mirrors: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    pods: HashMap<PodUid, Arc<Pod>>,
    /// Static Pods, all of which are in `pods`, with every field.
    manifests: HashMap<PodUid, Arc<Value>>,
    /// Static Pods that are there or once were.
    ever_static: HashSet<PodUid>,
    /// Mirrors at the API server, by their own UIDs. They never run.
    mirrors: HashMap<PodUid, Arc<Pod>>,
    /// Of Pods in `pods` only.
    statuses: HashMap<PodUid, Arc<PodStatus>>,
    listed: bool,
    read: bool,
}

impl State {
    /// The API server has something else than what we have found out last.
    fn denies(&self, pod: &Pod) -> bool {
        let told = self.statuses.get(&pod.metadata.uid);
        !pod.is_static() && told.is_some_and(|told| status::contradicts(told, &pod.status))
    }
}

impl Source {
    /// Takes over a change; returns the Pods whose workers must look again. A Pod that a full list lacks is gone, and a
    /// change of nothing but the status, which is mostly our own, concerns nobody unless it denies what we say.
    pub fn apply(&self, change: Change<Pod>) -> Vec<PodUid> {
        let mut state = self.lock();
        match change {
            Change::Replaced(list) => {
                let (mirrors, pods): (Vec<_>, Vec<_>) = list.into_iter().partition(|pod| pod.is_mirror());
                let mirrors = mirrors
                    .into_iter()
                    .map(|pod| (pod.metadata.uid.clone(), pod))
                    .collect();
                let mut dirty = state.change_mirrors(|all| *all = mirrors);
                dirty.extend(state.replace(pods.into_iter().map(ours).collect()));
                state.listed = true;
                self.wake_mirrors();
                dirty
            }
            Change::Applied(pod) if pod.is_mirror() => {
                self.wake_mirrors();
                state.change_mirrors(|all| drop(all.insert(pod.metadata.uid.clone(), pod)))
            }
            Change::Deleted(pod) if state.mirrors.contains_key(&pod.metadata.uid) => {
                self.wake_mirrors();
                state.change_mirrors(|all| drop(all.remove(&pod.metadata.uid)))
            }
            Change::Applied(pod) => {
                let (uid, pod) = (pod.metadata.uid.clone(), ours(pod));
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

    /// Takes over what all manifests say now; returns the Pods whose workers must look again.
    pub fn set_manifests(&self, manifests: Vec<Manifest>) -> Vec<PodUid> {
        let mut state = self.lock();
        let new: HashMap<PodUid, Manifest> = manifests
            .into_iter()
            .map(|manifest| (manifest.pod.metadata.uid.clone(), manifest))
            .collect();
        let gone = state
            .manifests
            .keys()
            .filter(|uid| !new.contains_key(*uid))
            .cloned();
        let mut dirty: Vec<PodUid> = gone.collect();
        for uid in &dirty {
            state.pods.remove(uid);
            state.manifests.remove(uid);
            state.statuses.remove(uid);
        }
        for (uid, manifest) in new {
            let pod = state.with_history(&manifest.pod);
            let old = state.pods.insert(uid.clone(), pod.clone());
            if old.is_none_or(|old| concerns(&old, &pod)) {
                dirty.push(uid.clone());
            }
            state.manifests.insert(uid.clone(), manifest.object);
            state.ever_static.insert(uid);
        }
        state.read = true;
        self.wake_mirrors();
        dirty
    }

    /// True once the manifests are known: from then on a static Pod of the runtime that none describes must go.
    pub fn manifests_read(&self) -> bool {
        self.lock().read
    }

    /// The runtime has this Pod from a manifest of an earlier time.
    pub fn was_static(&self, uid: PodUid) {
        self.lock().ever_static.insert(uid);
    }

    /// Whether enough is known to say what should become of this Pod: a static Pod does not wait for the API server.
    pub fn decided(&self, uid: &PodUid) -> bool {
        let state = self.lock();
        state.read && (state.listed || state.ever_static.contains(uid))
    }

    /// All static Pods.
    pub fn manifests(&self) -> Vec<Manifest> {
        let state = self.lock();
        let all = state.manifests.iter().filter_map(|(uid, object)| {
            let (pod, object) = (state.pods.get(uid)?.clone(), object.clone());
            Some(Manifest { pod, object })
        });
        all.collect()
    }

    /// All mirrors.
    pub fn mirrors(&self) -> Vec<Arc<Pod>> {
        self.lock().mirrors.values().cloned().collect()
    }

    /// UID of the mirror that shows this static Pod now.
    pub fn mirror_of(&self, pod: &Pod) -> Option<PodUid> {
        self.lock()
            .mirror_of(pod)
            .map(|mirror| mirror.metadata.uid.clone())
    }

    /// The static Pod a mirror's UID stands for; any other UID stands for itself.
    pub fn translate(&self, uid: &PodUid) -> PodUid {
        let state = self.lock();
        let key = state.mirrors.get(uid).map(|mirror| mirror.metadata.key());
        let shown = key.and_then(|key| state.statics_named(&key).next());
        shown.map_or_else(|| uid.clone(), |pod| pod.metadata.uid.clone())
    }

    /// The static Pods of a name: at most one.
    pub fn statics_named(&self, key: &NamespacedName) -> Vec<PodUid> {
        let state = self.lock();
        state
            .statics_named(key)
            .map(|pod| pod.metadata.uid.clone())
            .collect()
    }

    /// Changes with everything that mirrors depend on.
    pub fn mirrors_changed(&self) -> watch::Receiver<u64> {
        self.mirrors.subscribe()
    }

    /// Something that mirrors depend on has changed.
    pub fn wake_mirrors(&self) {
        self.mirrors.send_modify(|count| *count = count.wrapping_add(1));
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

impl State {
    /// Takes over a full list of what is no mirror; static Pods are in none.
    fn replace(&mut self, list: Vec<Arc<Pod>>) -> Vec<PodUid> {
        let mut new: HashMap<PodUid, Arc<Pod>> = list
            .into_iter()
            .map(|pod| (pod.metadata.uid.clone(), pod))
            .collect();
        for uid in self.manifests.keys() {
            new.extend(self.pods.get(uid).map(|pod| (uid.clone(), pod.clone())));
        }
        let gone = self.pods.keys().filter(|uid| !new.contains_key(*uid)).cloned();
        let other = new.iter().filter(|(uid, pod)| {
            let old = self.pods.get(*uid);
            old.is_none_or(|old| concerns(old, pod)) || self.denies(pod)
        });
        let dirty = gone.chain(other.map(|(uid, _)| uid.clone())).collect();
        self.statuses.retain(|uid, _| new.contains_key(uid));
        self.pods = new;
        dirty
    }

    /// Changes mirrors; returns the static Pods that are shown by another one now, or by none.
    fn change_mirrors(&mut self, change: impl FnOnce(&mut HashMap<PodUid, Arc<Pod>>)) -> Vec<PodUid> {
        let shown = |state: &Self, uid: &PodUid| {
            let pod = state.pods.get(uid)?;
            Some(state.mirror_of(pod)?.metadata.uid.clone())
        };
        let statics: Vec<PodUid> = self.manifests.keys().cloned().collect();
        let before: Vec<_> = statics.iter().map(|uid| shown(self, uid)).collect();
        change(&mut self.mirrors);
        for uid in &statics {
            if let Some(pod) = self.pods.get(uid).cloned() {
                self.pods.insert(uid.clone(), self.with_history(&pod));
            }
        }
        let after = statics.iter().map(|uid| shown(self, uid));
        let changed = before
            .into_iter()
            .zip(after)
            .map(|(before, after)| before != after);
        let changed: Vec<bool> = changed.collect();
        let dirty = statics.into_iter().zip(changed).filter(|(_, changed)| *changed);
        dirty.map(|(uid, _)| uid).collect()
    }

    fn mirror_of(&self, pod: &Pod) -> Option<&Arc<Pod>> {
        self.mirrors.values().find(|mirror| mirror::shows(mirror, pod))
    }

    fn statics_named(&self, key: &NamespacedName) -> impl Iterator<Item = &Arc<Pod>> {
        let statics = self.manifests.keys().filter_map(|uid| self.pods.get(uid));
        statics.filter(move |pod| pod.metadata.key() == *key)
    }

    /// A static Pod with what its mirror was told of it, as a Pod of the API server comes. That it had ended is not
    /// taken over: a manifest asks for a Pod that runs, and the runtime knows whether it has.
    fn with_history(&self, pod: &Arc<Pod>) -> Arc<Pod> {
        let told = self.mirror_of(pod).map(|mirror| &mirror.status);
        let told =
            told.filter(|told| told.start_time.is_some() && !matches!(&*told.phase, "Succeeded" | "Failed"));
        match told {
            Some(told) if pod.status != *told => {
                let mut pod = Pod::clone(pod);
                pod.status = told.clone();
                Arc::new(pod)
            }
            _ => pod.clone(),
        }
    }
}

/// A Pod of the API server that says it comes from elsewhere does not.
fn ours(mut pod: Arc<Pod>) -> Arc<Pod> {
    if pod.is_static() {
        let annotations = &mut Arc::make_mut(&mut pod).metadata.annotations;
        annotations.insert(pod::CONFIG_SOURCE.into(), "api".into());
    }
    pod
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
    fn nobody_becomes_static_by_saying_so() {
        let source = Source::default();
        let mut liar = pod("a");
        liar.metadata
            .annotations
            .insert(pod::CONFIG_SOURCE.into(), "file".into());
        source.apply(Change::Applied(Arc::new(liar)));
        let known = source.get(&"a".into()).unwrap();
        assert!(!known.is_static() && !known.is_critical());
    }

    #[test]
    fn mirrors_are_no_pods_and_stand_for_static_ones() {
        let source = Source::default();
        let named = |uid: &str, annotation: &str| {
            let mut pod = pod(uid);
            pod.metadata.name = "web".into();
            pod.metadata.annotations.insert(annotation.into(), "h".into());
            pod
        };
        let mut fixed = named("h", pod::CONFIG_HASH);
        fixed
            .metadata
            .annotations
            .insert(pod::CONFIG_SOURCE.into(), "file".into());
        let manifest = Manifest {
            pod: Arc::new(fixed.clone()),
            object: Arc::default(),
        };
        assert!(!source.decided(&"h".into()));
        assert_eq!(sorted(source.set_manifests(vec![manifest.clone()])), ["h"]);
        assert!(source.decided(&"h".into()) && !source.decided(&"other".into()));
        let mut mirror = named("m", pod::CONFIG_MIRROR);
        mirror.status.start_time = Some(Timestamp::UNIX_EPOCH);
        let mirror = Arc::new(mirror);
        assert_eq!(
            sorted(source.apply(Change::Replaced(vec![mirror.clone()]))),
            ["h"]
        );
        assert_eq!(sorted(source.uids()), ["h"]);
        assert_eq!(source.mirror_of(&fixed), Some("m".into()));
        assert_eq!(source.translate(&"m".into()), "h".into());
        assert_eq!(source.translate(&"x".into()), "x".into());
        let known = source.get(&"h".into()).unwrap();
        assert!(known.status.start_time.is_some(), "it has the mirror's history");
        assert!(source.set_manifests(vec![manifest]).is_empty());
        assert!(source.apply(Change::Applied(mirror.clone())).is_empty());
        assert_eq!(sorted(source.apply(Change::Deleted(mirror))), ["h"]);
        assert_eq!(source.mirror_of(&fixed), None);
        assert_eq!(sorted(source.set_manifests(Vec::new())), ["h"]);
        assert!(source.uids().is_empty() && source.decided(&"h".into()));
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
