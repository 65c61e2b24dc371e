//! The cgroups of Pods: made, given what they may use, and removed. `names` and `plan` decide; this writes.
//!
//! With the systemd driver every cgroup is a slice. What a slice may use is systemd's to write: it puts its own values
//! over those of anybody else, so it is told over D-Bus, and then the files are written as with the other driver. Where
//! systemd does not do it, the log says so and Pods start nevertheless: systemd makes slices by itself when the runtime
//! asks for a scope inside, and containers are held to their limits by the runtime.

pub(super) mod keeper;
pub mod names;
pub mod plan;

use crate::kubelet::qos::{self, Qos};
use crate::model::cgroup::CgroupSettings;
use crate::model::pod::Pod;
use crate::model::{ContainerId, PodUid};
use crate::sys::cgroup::{self, Cgroups, Version};
use crate::sys::systemd::{self, Systemd};
use crate::task::SayOnce;
use names::Names;
use plan::Rules;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Where a Pod's cgroup may be.
const CLASSES: [Qos; 3] = [Qos::Guaranteed, Qos::Burstable, Qos::BestEffort];

/// The cgroups of Pods.
#[derive(Debug)]
pub struct PodCgroups {
    /// `None` leaves them to the runtime.
    kernel: Option<Arc<Cgroups>>,
    /// `None`: Pods have none of their own (`cgroupsPerQOS: false`).
    names: Option<Names>,
    rules: Rules,
    /// Makes slices, with the systemd driver.
    systemd: Option<Systemd>,
    /// What systemd has refused.
    said: Mutex<SayOnce>,
    /// Pods have come, gone or changed.
    changed: Notify,
}

impl PodCgroups {
    /// Those of a machine.
    pub fn new(kernel: Option<Arc<Cgroups>>, names: Option<Names>, rules: Rules) -> Self {
        Self {
            kernel,
            names,
            rules,
            systemd: None,
            said: Mutex::new(SayOnce::new(Duration::from_secs(600))),
            changed: Notify::new(),
        }
    }

    /// The same, with slices made by systemd.
    #[must_use]
    pub fn with_systemd(self, systemd: Systemd) -> Self {
        Self {
            systemd: Some(systemd),
            ..self
        }
    }

    /// The rules they follow.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The machine has the unified hierarchy.
    pub fn v2(&self) -> bool {
        let kernel = self.kernel.as_ref();
        kernel.is_some_and(|kernel| kernel.version() == Version::V2)
    }

    /// The cgroup that holds a Pod's containers, as the runtime is told; empty where it may choose.
    pub fn parent(&self, pod: &Pod) -> String {
        let names = self.names.as_ref();
        names.map_or_else(String::new, |names| names.pod(qos::class(pod), &pod.metadata.uid))
    }

    /// The kernel's side of things, where there is something for us to write.
    fn ours(&self) -> Option<(&Arc<Cgroups>, &Names)> {
        let names = self
            .names
            .as_ref()
            .filter(|names| !names.systemd || self.systemd.is_some());
        self.kernel.as_ref().zip(names)
    }

    /// Makes a Pod's cgroup, with what the Pod may use.
    pub async fn create(&self, pod: &Pod) -> Result<(), String> {
        self.give(pod, self.rules.pod(pod)).await
    }

    /// Gives a Pod's cgroup something else.
    pub async fn give(&self, pod: &Pod, settings: CgroupSettings) -> Result<(), String> {
        self.changed.notify_one();
        self.write(self.parent(pod), settings).await
    }

    /// Memory a Pod, or one of its containers, uses now, bytes; `None` where that cannot be seen.
    pub fn memory(&self, pod: &Pod, container: Option<&ContainerId>) -> Option<u64> {
        let kernel = self.kernel.as_ref().filter(|_| self.names.is_some())?;
        let mut path = self.parent(pod);
        if let Some(id) = container {
            // The name is the id, or has it inside: `cri-containerd-<id>.scope`.
            let below = kernel.below(&path);
            let name = below.iter().find(|name| name.contains(id.as_str()))?;
            path = format!("{path}/{name}");
        }
        kernel.usage(&path)?.memory.usage
    }

    /// Removes a Pod's cgroup, wherever it is, and ends what is still in it. What is not there is a success.
    pub async fn remove(&self, uid: &PodUid) -> Result<(), String> {
        self.changed.notify_one();
        let Some((kernel, names)) = self.ours() else {
            return Ok(());
        };
        // The class of a Pod nobody has the spec of is not known.
        for class in CLASSES {
            let name = names.pod(class, uid);
            if kernel.exists(&name) {
                let left = kernel.kill(&name).map_err(|error| error.to_string())?;
                if left > 0 {
                    tracing::warn!(pod.uid = %uid, cgroup = %name, processes = left, "processes outlived their containers: killed");
                }
                if let Some(systemd) = &self.systemd {
                    self.note(systemd.stop(&name).await);
                }
            }
            kernel.remove(&name).await.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// True when systemd has done it; says now and then when it has not.
    fn note(&self, done: systemd::Result<()>) -> bool {
        let Err(error) = done else { return true };
        let text = error.to_string();
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.say(&text, Instant::now()).is_some() {
            tracing::warn!(error = %text, "systemd does not keep the slice: only containers are held to their limits");
        }
        false
    }

    /// Pods that have a cgroup.
    pub fn pods(&self) -> Vec<PodUid> {
        let Some((kernel, names)) = self.ours() else {
            return Vec::new();
        };
        let children = CLASSES.iter().map(|class| kernel.children(&names.class(*class)));
        children
            .filter_map(Result::ok)
            .flatten()
            .filter_map(|name| names.owner(&name))
            .collect()
    }

    /// Makes a cgroup, unless it is there, with these settings.
    async fn write(&self, name: String, settings: CgroupSettings) -> Result<(), String> {
        let Some((kernel, _)) = self.ours() else {
            return Ok(());
        };
        let kernel = kernel.clone();
        let settings = match &self.systemd {
            Some(systemd) => {
                let v2 = kernel.version() == Version::V2;
                if !self.note(systemd.give(&name, &settings, v2).await) {
                    return Ok(());
                }
                systemd::unit::rounded(&settings)
            }
            None => settings,
        };
        let work = move || -> cgroup::Result<()> {
            kernel.ensure(&name)?;
            kernel.apply(&name, &settings)
        };
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|panic| panic.to_string())?
            .map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests;
