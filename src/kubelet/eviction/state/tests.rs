use super::*;
use crate::config::Level;
use crate::kubelet::eviction::signals::{Layout, effective};
use crate::testing::builders::at;

const MINUTE: Duration = Duration::from_secs(60);

fn quantity(value: i64) -> Level {
    Level::Quantity {
        value,
        text: value.to_string().into(),
    }
}

fn threshold(signal: Signal, level: i64, grace: u64, reclaim: i64) -> Threshold {
    Threshold {
        signal,
        level: quantity(level),
        grace: Duration::from_secs(grace),
        reclaim: (reclaim > 0).then(|| quantity(reclaim)),
    }
}

fn seen(second: i64, all: &[(Signal, i64)]) -> Observations {
    let at = (second + 1) * 1_000_000_000;
    let one = |available| Observation {
        available,
        capacity: 1000,
        at,
    };
    all.iter()
        .map(|(signal, available)| (*signal, one(*available)))
        .collect()
}

/// Looks at these times and amounts of free memory; tells whether there is pressure and what has to be acted upon.
fn looks(thresholds: &[Threshold], steps: &[(i64, i64)]) -> Vec<(bool, Vec<usize>)> {
    let mut state = State::default();
    let look = |(second, available): &(i64, i64)| {
        let seen = seen(*second, &[(Signal::MemoryAvailable, *available)]);
        let verdict = state.look(thresholds, MINUTE, seen, at(*second));
        (!verdict.pressures.is_empty(), verdict.starved)
    };
    steps.iter().map(look).collect()
}

#[test]
fn a_hard_threshold_acts_at_once_and_its_condition_stays_for_the_transition_period() {
    let hard = [threshold(Signal::MemoryAvailable, 100, 0, 0)];
    let steps = [(0, 100), (10, 99), (20, 101), (69, 500), (70, 500), (80, 99)];
    let (calm, acting, after) = ((false, vec![]), (true, vec![0]), (true, vec![]));
    assert_eq!(
        looks(&hard, &steps),
        [calm.clone(), acting.clone(), after.clone(), after, calm, acting]
    );
}

#[test]
fn a_soft_threshold_acts_when_its_grace_is_over_but_shows_at_once() {
    let soft = [threshold(Signal::MemoryAvailable, 100, 30, 0)];
    let steps = [
        (0, 99),
        (20, 99),
        (30, 99),
        (40, 101),
        (50, 99),
        (79, 99),
        (80, 99),
    ];
    let acts: Vec<bool> = looks(&soft, &steps)
        .into_iter()
        .map(|(_, starved)| !starved.is_empty())
        .collect();
    assert_eq!(acts, [false, false, true, false, false, false, true]);
    assert!(looks(&soft, &steps).iter().all(|(pressure, _)| *pressure));
}

#[test]
fn a_shortage_that_was_acted_upon_lasts_until_enough_is_reclaimed() {
    let hard = [threshold(Signal::MemoryAvailable, 100, 0, 50)];
    let acts: Vec<bool> = looks(&hard, &[(0, 149), (10, 99), (20, 149), (30, 150), (40, 149)])
        .into_iter()
        .map(|(_, starved)| !starved.is_empty())
        .collect();
    assert_eq!(acts, [false, true, true, false, false]);
}

#[test]
fn old_numbers_are_not_acted_upon_twice() {
    let hard = [threshold(Signal::ImageFsAvailable, 100, 0, 0)];
    let mut state = State::default();
    let mut look = |now: i64, taken: i64| {
        let seen = seen(taken, &[(Signal::ImageFsAvailable, 1)]);
        state.look(&hard, MINUTE, seen, at(now))
    };
    assert_eq!(look(0, 0).starved, [0]);
    let again = look(10, 0);
    assert_eq!(
        (again.pressures, again.starved),
        (Pressures::from([Pressure::Disk]), vec![])
    );
    assert_eq!(look(20, 15).starved, [0]);
}

#[test]
fn memory_is_most_urgent_and_what_was_not_seen_is_no_shortage() {
    use Signal::*;
    let all = [
        threshold(PidAvailable, 100, 0, 0),
        threshold(NodeFsAvailable, 100, 0, 0),
        threshold(AllocatableMemoryAvailable, 100, 0, 0),
        threshold(ImageFsInodesFree, 100, 0, 0),
    ];
    let short = |signals: &[Signal]| {
        let seen = seen(0, &signals.iter().map(|signal| (*signal, 1)).collect::<Vec<_>>());
        State::default().look(&all, MINUTE, seen, at(0))
    };
    let verdict = short(&[PidAvailable, NodeFsAvailable, AllocatableMemoryAvailable]);
    assert_eq!(verdict.starved, [2, 0, 1]);
    assert_eq!(
        verdict.pressures,
        Pressures::from([Pressure::Memory, Pressure::Disk, Pressure::Pid])
    );
    assert_eq!(
        short(&[ImageFsInodesFree]).pressures,
        Pressures::from([Pressure::Disk])
    );
    assert_eq!(short(&[]), Verdict::default());
}

#[test]
fn layers_have_the_thresholds_of_the_disk_they_are_on() {
    use Signal::*;
    let given = [
        threshold(NodeFsAvailable, 1, 0, 0),
        threshold(ImageFsAvailable, 2, 0, 0),
        threshold(ContainerFsAvailable, 3, 0, 0),
        threshold(NodeFsInodesFree, 4, 30, 0),
        threshold(ImageFsInodesFree, 5, 0, 0),
    ];
    for (layout, bytes, inodes) in [
        (Layout::OneDisk, 0, 3),
        (Layout::SplitDisks, 0, 3),
        (Layout::ImageDisk, 1, 4),
    ] {
        let all = effective(&given, layout);
        assert_eq!(all.len(), 6, "{layout:?}");
        for (signal, from) in [(ContainerFsAvailable, bytes), (ContainerFsInodesFree, inodes)] {
            let wanted = Threshold {
                signal,
                ..given[from].clone()
            };
            assert!(all.contains(&wanted), "{layout:?} {signal:?}");
        }
    }
}

/// Whatever is seen: nothing is acted upon that does not show, hard thresholds that are crossed by newer numbers always
/// are, and calm numbers end everything after the transition period.
#[test]
fn conditions_and_actions_belong_together() {
    let all = [
        threshold(Signal::MemoryAvailable, 100, 0, 20),
        threshold(Signal::MemoryAvailable, 200, 25, 0),
        threshold(Signal::NodeFsAvailable, 50, 0, 0),
    ];
    let mut random = 7_u64;
    let mut next = |most: i64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        i64::try_from(random >> 40).unwrap_or(0) % most
    };
    let mut state = State::default();
    let mut now = 0;
    for _ in 0..2000 {
        now += 1 + next(20);
        let (memory, disk) = (next(300), next(100));
        let seen = seen(
            now,
            &[(Signal::MemoryAvailable, memory), (Signal::NodeFsAvailable, disk)],
        );
        let verdict = state.look(&all, MINUTE, seen, at(now));
        for index in &verdict.starved {
            assert!(verdict.pressures.contains(&pressure(all[*index].signal)));
        }
        assert_eq!(verdict.starved.contains(&2), disk < 50);
        assert!(memory >= 100 || verdict.starved.first() == Some(&0));
    }
    let calm = |now| {
        seen(
            now,
            &[(Signal::MemoryAvailable, 999), (Signal::NodeFsAvailable, 999)],
        )
    };
    assert!(
        !state
            .look(&all, MINUTE, calm(now + 1), at(now + 1))
            .pressures
            .is_empty()
    );
    assert_eq!(
        state.look(&all, MINUTE, calm(now + 99), at(now + 99)),
        Verdict::default()
    );
}
