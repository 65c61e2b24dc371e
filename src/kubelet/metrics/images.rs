//! What containers' wishes for images led to.

use super::{Counters, KubeletMetrics, Labels, one};
use crate::model::pod::PullPolicy;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Default)]
pub(super) struct Images {
    wished: Counters,
    checked: Counters,
    begun: Gauge,
    recorded: Gauge,
}

/// What became of a wish for an image, as far as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    policy: PullPolicy,
    /// It was there; `None`: nobody looked.
    pub present: Option<bool>,
    /// It had to be pulled.
    pub pull: Option<bool>,
}

impl Wish {
    /// Nothing is known yet.
    pub fn new(policy: PullPolicy) -> Self {
        Self {
            policy,
            present: None,
            pull: None,
        }
    }

    fn labels(self) -> Labels {
        let text = |known: Option<bool>| match known {
            None => "unknown",
            Some(false) => "false",
            Some(true) => "true",
        };
        let policy = match self.policy {
            PullPolicy::Always => "always",
            PullPolicy::IfNotPresent => "ifnotpresent",
            PullPolicy::Never => "never",
        };
        vec![
            ("present_locally", text(self.present).into()),
            ("pull_policy", policy.into()),
            ("pull_required", text(self.pull).into()),
        ]
    }
}

/// Why a Pod may use an image that is there, or may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// All may, says the configuration.
    Allowed,
    /// It has pulled it before, or somebody with its credentials has.
    Recorded,
    /// It has to show the registry its credentials.
    MustPull,
    /// The records cannot be read.
    Failed,
}

impl Images {
    #[rustfmt::skip]
    pub(super) fn register(&self, all: &mut Registry) {
        all.register("kubelet_image_manager_ensure_image_requests", "[ALPHA] Number of ensure-image requests processed by the kubelet.", self.wished.clone());
        all.register("kubelet_imagemanager_image_mustpull_checks", "[ALPHA] Counter for how many times kubelet checked whether credentials need to be re-verified to access an image", self.checked.clone());
        all.register("kubelet_imagemanager_ondisk_pulledrecords", "[ALPHA] Number of ImagePulledRecords stored on disk.", self.recorded.clone());
        all.register("kubelet_imagemanager_ondisk_pullintents", "[ALPHA] Number of ImagePullIntents stored on disk.", self.begun.clone());
    }
}

impl KubeletMetrics {
    /// A container has asked for an image.
    pub fn image_wished(&self, wish: Wish) {
        self.0.images.wished.get_or_create(&wish.labels()).inc();
    }

    /// Whether a Pod may use an image that is there was looked at.
    pub fn image_checked(&self, check: Check) {
        let result = match check {
            Check::Allowed => "credentialPolicyAllowed",
            Check::Recorded => "credentialRecordFound",
            Check::MustPull => "mustAuthenticate",
            Check::Failed => "error",
        };
        let labels = one("result", result);
        self.0.images.checked.get_or_create(&labels).inc();
    }

    /// So many pulls that have begun, and so many that are done, have a file.
    pub fn image_records(&self, begun: usize, done: usize) {
        let set = |gauge: &Gauge, count: usize| gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        set(&self.0.images.begun, begun);
        set(&self.0.images.recorded, done);
    }
}
