//! PURE. When a probe runs next, and what its results mean.

use crate::model::pod::Probe;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Which of a container's probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Restarts the container when it fails.
    Liveness,
    /// Takes the Pod out of endpoints while it fails.
    Readiness,
    /// Holds the others back until it succeeds once; restarts the container when it fails.
    Startup,
}

impl Kind {
    /// First word of the event's message.
    pub fn word(self) -> &'static str {
        match self {
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
            Self::Startup => "Startup",
        }
    }
}

/// What one run of a probe saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Healthy.
    Success,
    /// Healthy, but something should be looked at.
    Warning(String),
    /// Not healthy, and why.
    Failure(String),
    /// The probe itself could not be made; says nothing about the container.
    Error(String),
}

/// Results in a row that have not (yet) come to a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// The result.
    pub success: bool,
    /// How many of it; no more than its threshold.
    pub run: u32,
}

/// Counts results in a row against the thresholds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The result that holds, once a threshold was reached.
    pub verdict: Option<bool>,
    last: Option<bool>,
    run: u32,
}

impl State {
    /// Takes one counted result; true when the verdict is new or changed.
    pub fn step(&mut self, success: bool, probe: &Probe) -> bool {
        self.run = if self.last == Some(success) {
            self.run.saturating_add(1)
        } else {
            1
        };
        self.last = Some(success);
        if self.run < threshold(probe, success) || self.verdict == Some(success) {
            return false;
        }
        self.verdict = Some(success);
        true
    }

    /// Where an earlier agent has left off: `told` is what the API server was told of a readiness probe.
    pub fn recall(kind: Kind, told: Option<bool>, noted: Option<Count>, probe: &Probe) -> Self {
        let mut state = Self {
            verdict: told,
            last: told,
            run: u32::from(told.is_some()),
        };
        if let Some(Count { success, run }) = noted {
            (state.last, state.run) = (Some(success), run);
            if kind != Kind::Readiness && run >= threshold(probe, success) {
                state.verdict = Some(success);
            }
        }
        state
    }

    /// What the next agent cannot know from the Pod's status.
    pub fn unsaid(&self, kind: Kind, probe: &Probe) -> Option<Count> {
        let success = self.last?;
        let said = match kind {
            Kind::Readiness => self.verdict == Some(success),
            Kind::Liveness | Kind::Startup => success,
        };
        let run = self.run.min(threshold(probe, success));
        (!said).then_some(Count { success, run })
    }
}

fn threshold(probe: &Probe, success: bool) -> u32 {
    let threshold = if success {
        probe.success_threshold
    } else {
        probe.failure_threshold
    };
    threshold.max(1)
}

/// Nothing is left to probe until there is another container: a startup probe that has its verdict, a liveness probe
/// that has failed.
pub fn done(kind: Kind, verdict: Option<bool>) -> bool {
    match kind {
        Kind::Startup => verdict.is_some(),
        Kind::Liveness => verdict == Some(false),
        Kind::Readiness => false,
    }
}

/// One planned run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    /// When, counted from the schedule's start.
    pub at: Duration,
    /// An early try between the regular ones: only its success counts, and its failure is no event. The API allows
    /// them while a container is not ready, to make it ready sooner.
    pub early: bool,
}

/// The times one probe of one container instance runs at.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    period: Duration,
    /// First step between early tries; zero for none.
    early_step: Duration,
    first_regular: Duration,
}

impl Schedule {
    /// A container we saw start; counted from its start plus `initialDelaySeconds`.
    pub fn fresh(kind: Kind, probe: &Probe) -> Self {
        let period = period(probe);
        // A command in the container costs more than a connection.
        let early_step = Duration::from_millis(if probe.exec.is_some() { 500 } else { 100 });
        match kind {
            Kind::Liveness if probe.initial_delay_seconds > 0 => Self {
                period,
                early_step: Duration::ZERO,
                first_regular: Duration::ZERO,
            },
            // Nothing listens in the first milliseconds of a process: leave it one period.
            Kind::Liveness => Self {
                period,
                early_step: Duration::ZERO,
                first_regular: period,
            },
            Kind::Readiness | Kind::Startup => Self {
                period,
                early_step,
                first_regular: period,
            },
        }
    }

    /// A container that ran before this agent did: regular probes only, spread over the period by `seed` so that
    /// the probes of a hundred pods do not start together.
    pub fn resumed(probe: &Probe, seed: u64) -> Self {
        let period = period(probe);
        let spread = period.as_millis().max(1);
        let offset = u64::try_from(u128::from(seed) % spread).unwrap_or(0);
        Self {
            period,
            early_step: Duration::ZERO,
            first_regular: Duration::from_millis(offset),
        }
    }

    /// The first run.
    pub fn first(&self) -> Tick {
        if self.early_step.is_zero() {
            Tick {
                at: self.first_regular,
                early: false,
            }
        } else {
            Tick {
                at: Duration::ZERO,
                early: true,
            }
        }
    }

    /// The run after `tick`, which ended at `now` on the same clock. Runs that were missed are not made up for.
    pub fn next(&self, tick: Tick, now: Duration) -> Tick {
        if tick.early {
            // 0, 1, 3, 7, … steps after the start.
            let at = (tick.at * 2 + self.early_step).max(now);
            if at < self.first_regular {
                return Tick { at, early: true };
            }
            return Tick {
                at: self.first_regular.max(now),
                early: false,
            };
        }
        let mut at = tick.at + self.period;
        if at < now {
            let missed = (now - at).as_nanos() / self.period.as_nanos().max(1) + 1;
            at += self.period * u32::try_from(missed).unwrap_or(u32::MAX);
        }
        Tick { at, early: false }
    }

    /// The container is healthy after an early try: the next run is a regular one, a period later.
    pub fn settle(&self, now: Duration) -> Tick {
        Tick {
            at: now + self.period,
            early: false,
        }
    }
}

fn period(probe: &Probe) -> Duration {
    Duration::from_secs(u64::from(probe.period_seconds.max(1)))
}

#[cfg(test)]
mod tests;
