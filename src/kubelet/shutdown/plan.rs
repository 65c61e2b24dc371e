//! PURE. Who ends when the machine goes down, in what order, and with how much time.

use crate::config::ShutdownPeriod;
use crate::model::pod::Pod;
use std::sync::Arc;
use std::time::Duration;

/// Pods that end together.
#[derive(Clone, Debug)]
pub struct Group {
    /// The period they belong to, by its priority.
    pub priority: i32,
    /// The next group's turn comes after so much time, or once these have ended.
    pub wait: Duration,
    /// The Pods.
    pub pods: Vec<Ending>,
}

/// A Pod that has to end.
#[derive(Clone, Debug)]
pub struct Ending {
    /// Which one.
    pub pod: Arc<Pod>,
    /// Seconds of grace: its own, or its group's time if that is less.
    pub grace_seconds: i64,
}

/// A group for each period, in the order of their priorities; some may be empty. A Pod belongs to the last period whose
/// priority is not above its own; one below all of them to the first. `periods` are sorted.
pub fn groups(periods: &[ShutdownPeriod], pods: &[Arc<Pod>]) -> Vec<Group> {
    let mut groups: Vec<Group> = periods
        .iter()
        .map(|period| Group {
            priority: period.priority,
            wait: Duration::from_secs(period.seconds.into()),
            pods: Vec::new(),
        })
        .collect();
    for pod in pods {
        let priority = pod.spec.priority.unwrap_or(0);
        let at = periods.iter().rposition(|period| period.priority <= priority);
        let at = at.unwrap_or(0);
        let (Some(period), Some(group)) = (periods.get(at), groups.get_mut(at)) else {
            continue;
        };
        group.pods.push(Ending {
            pod: pod.clone(),
            grace_seconds: pod
                .spec
                .termination_grace_period_seconds
                .min(period.seconds.into()),
        });
    }
    groups
}

#[cfg(test)]
mod tests;
