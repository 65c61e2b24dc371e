use super::*;

fn probe(success: u32, failure: u32) -> Probe {
    Probe {
        success_threshold: success,
        failure_threshold: failure,
        ..Probe::default()
    }
}

/// Steps through `S` and `F`; gives the verdict after each.
fn verdicts(probe: &Probe, results: &str) -> Vec<Option<bool>> {
    let mut state = State::default();
    results
        .chars()
        .map(|c| {
            state.step(c == 'S', probe);
            state.verdict
        })
        .collect()
}

#[test]
fn thresholds_count_results_in_a_row() {
    let (y, n) = (Some(true), Some(false));
    assert_eq!(verdicts(&probe(1, 3), "SFFSFFF"), [y, y, y, y, y, y, n]);
    assert_eq!(verdicts(&probe(2, 1), "SFSS"), [None, n, n, y]);
    assert_eq!(verdicts(&probe(1, 3), "FF"), [None, None]);
    assert_eq!(verdicts(&probe(0, 0), "F"), [n], "a threshold of zero means one");
}

#[test]
fn only_a_new_verdict_is_a_change() {
    let mut state = State::default();
    assert!(state.step(true, &probe(1, 1)));
    assert!(!state.step(true, &probe(1, 1)));
    assert!(state.step(false, &probe(1, 1)));
}

#[test]
fn startup_ends_with_a_verdict_and_liveness_with_a_failure() {
    assert!(
        done(Kind::Startup, Some(true)) && done(Kind::Startup, Some(false)) && !done(Kind::Startup, None)
    );
    assert!(done(Kind::Liveness, Some(false)) && !done(Kind::Liveness, Some(true)));
    assert!(!done(Kind::Readiness, Some(false)));
}

fn ticks(schedule: &Schedule, count: usize) -> Vec<(u64, bool)> {
    let mut tick = schedule.first();
    let mut seen = Vec::new();
    for _ in 0..count {
        seen.push((u64::try_from(tick.at.as_millis()).unwrap(), tick.early));
        tick = schedule.next(tick, tick.at);
    }
    seen
}

#[test]
fn readiness_is_tried_early_and_then_every_period() {
    let probe = Probe {
        period_seconds: 1,
        ..Probe::default()
    };
    let seen = ticks(&Schedule::fresh(Kind::Readiness, &probe), 6);
    assert_eq!(
        seen,
        [
            (0, true),
            (100, true),
            (300, true),
            (700, true),
            (1000, false),
            (2000, false)
        ]
    );
}

#[test]
fn liveness_starts_after_one_period_or_at_its_initial_delay() {
    let mut probe = Probe::default();
    assert_eq!(
        ticks(&Schedule::fresh(Kind::Liveness, &probe), 2),
        [(10_000, false), (20_000, false)]
    );
    probe.initial_delay_seconds = 5;
    assert_eq!(
        ticks(&Schedule::fresh(Kind::Liveness, &probe), 2),
        [(0, false), (10_000, false)]
    );
}

#[test]
fn a_resumed_probe_starts_somewhere_in_its_period() {
    let probe = Probe::default();
    assert_eq!(
        ticks(&Schedule::resumed(&probe, 23_456), 2),
        [(3456, false), (13_456, false)]
    );
}

#[test]
fn the_next_agent_counts_on() {
    let probe = Probe {
        failure_threshold: 3,
        success_threshold: 2,
        ..Probe::default()
    };
    let (good, bad) = (true, false);
    // Results, and how many more of the last one make a verdict; none when it is made, and told.
    for (kind, results, told, more) in [
        (Kind::Readiness, &[good, good, bad][..], Some(good), Some(2)),
        (Kind::Readiness, &[good, good, bad, bad], Some(good), Some(1)),
        (Kind::Readiness, &[good], Some(bad), Some(1)),
        (Kind::Readiness, &[good, good], Some(good), None),
        (Kind::Liveness, &[good, bad, bad], None, Some(1)),
        (Kind::Startup, &[bad], None, Some(2)),
    ] {
        let mut state = State::default();
        results.iter().for_each(|r| _ = state.step(*r, &probe));
        let mut next = State::recall(kind, told, state.unsaid(kind, &probe), &probe);
        let last = *results.last().unwrap();
        let steps = (1..=9).find(|_| next.step(last, &probe));
        assert_eq!(steps, more, "{kind:?} {results:?}");
    }
    // A condemned container stays condemned.
    let mut state = State::default();
    (0..5).for_each(|_| _ = state.step(bad, &probe));
    let count = state.unsaid(Kind::Liveness, &probe);
    assert_eq!(count, Some(Count { success: bad, run: 3 }));
    let next = State::recall(Kind::Liveness, None, count, &probe);
    assert!(done(Kind::Liveness, next.verdict));
    assert_eq!(State::recall(Kind::Startup, None, None, &probe), State::default());
}

#[test]
fn missed_runs_are_skipped_not_repeated() {
    let probe = Probe::default();
    let schedule = Schedule::resumed(&probe, 0);
    let next = schedule.next(
        Tick {
            at: Duration::ZERO,
            early: false,
        },
        Duration::from_secs(25),
    );
    assert_eq!(next.at, Duration::from_secs(30));
}
