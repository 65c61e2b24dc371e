//! Resizing Pods: the room there is on the node, and what is told of it.

use super::Workers;
use super::state::Resize;
use crate::api::EventType;
use crate::kubelet::quantity::{self, Amount};
use crate::kubelet::resize::{self, Room};
use crate::model::PodUid;
use crate::model::pod::Pod;
use k8s_openapi::api::core::v1::{PodCondition, PodStatus};

impl Workers {
    /// What the node has for this Pod, besides all others.
    pub(super) fn room(&self, uid: &PodUid) -> Room {
        let mut others = [Amount::ZERO; 2];
        for pod in self.source.uids().iter().filter_map(|uid| self.source.get(uid)) {
            let over = matches!(&*pod.status.phase, "Succeeded" | "Failed");
            if over || pod.metadata.uid == *uid {
                continue;
            }
            for (sum, amount) in others.iter_mut().zip(resize::requests(&pod)) {
                *sum = sum.plus(amount);
            }
        }
        Room {
            allocatable: ["cpu", "memory"].map(|r| quantity::of(&self.context.allocatable, r)),
            others,
        }
    }

    pub(super) fn tell_resize(&self, pod: &Pod, what: &Resize) {
        match what {
            Resize::Started => {
                let text = resize::words("started", pod, "");
                self.context.tell(pod, EventType::Normal, "ResizeStarted", text);
            }
            Resize::Pending(asked, pending) => {
                let text = resize::words(pending.reason, asked, &pending.message);
                let reason = match pending.reason {
                    "Infeasible" => "ResizeInfeasible",
                    _ => "ResizeDeferred",
                };
                self.context.tell(asked, EventType::Warning, reason, text);
            }
        }
    }

    /// Tells of a resize that has come to its end, or has failed.
    pub(super) fn tell_resized(&self, pod: &Pod, old: Option<&PodStatus>, new: &PodStatus) {
        let progress = |status: &PodStatus| -> Option<PodCondition> {
            let mut all = status.conditions.iter().flatten();
            all.find(|c| c.type_ == "PodResizeInProgress").cloned()
        };
        let (before, now) = (old.and_then(progress), progress(new));
        let error = |c: &Option<PodCondition>| c.as_ref().and_then(|c| c.message.clone());
        if before.is_some() && now.is_none() && new.phase.as_deref() == Some("Running") {
            let text = resize::words("completed", pod, "");
            self.context.tell(pod, EventType::Normal, "ResizeCompleted", text);
        }
        if let Some(why) = error(&now).filter(|why| error(&before).as_ref() != Some(why)) {
            let text = resize::words("error", pod, &why);
            self.context.tell(pod, EventType::Warning, "ResizeError", text);
        }
    }
}
