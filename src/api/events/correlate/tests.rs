use super::*;
use crate::model::NamespacedName;

fn event(pod: &str, container: &str, message: &str, second: i64) -> Event {
    Event {
        object: ObjectRef {
            kind: "Pod".into(),
            key: NamespacedName::new("shop", pod),
            field_path: container.into(),
            ..ObjectRef::default()
        },
        kind: EventType::Normal,
        reason: "Pulled".into(),
        message: message.into(),
        at: Timestamp::from_second(second).unwrap(),
    }
}

#[test]
fn the_same_event_is_counted_and_another_is_not() {
    let mut correlator = Correlator::new();
    let Step::Create(first) = correlator.next(&event("a", "", "m", 10)) else {
        panic!("new")
    };
    assert_eq!(
        first,
        Series {
            name: "a.2540be400".into(),
            count: 1,
            first: Timestamp::from_second(10).unwrap()
        }
    );
    assert_eq!(
        correlator.next(&event("a", "", "m", 11)),
        Step::Count(Series {
            count: 2,
            ..first.clone()
        })
    );
    assert_eq!(
        correlator.next(&event("a", "", "m", 12)),
        Step::Count(Series { count: 3, ..first })
    );
    for other in [
        event("b", "", "m", 13),
        event("a", "", "n", 14),
        event("a", "spec.containers{c}", "m", 15),
    ] {
        assert!(
            matches!(correlator.next(&other), Step::Create(Series { count: 1, .. })),
            "{other:?}"
        );
    }
}

#[test]
fn what_could_not_be_posted_starts_anew() {
    let mut correlator = Correlator::new();
    correlator.next(&event("a", "", "m", 10));
    correlator.forget(&event("a", "", "m", 10));
    assert!(matches!(
        correlator.next(&event("a", "", "m", 11)),
        Step::Create(_)
    ));
}

#[test]
fn an_object_that_talks_too_much_is_cut_short_and_others_are_not() {
    let mut correlator = Correlator::new();
    let told = (0..100)
        .filter(|n| correlator.next(&event("a", &n.to_string(), "m", 10)) != Step::Suppress)
        .count();
    assert_eq!(told, 25);
    assert_ne!(correlator.next(&event("b", "", "m", 10)), Step::Suppress);
    assert_eq!(correlator.next(&event("a", "", "m", 309)), Step::Suppress);
    assert_ne!(correlator.next(&event("a", "", "m", 310)), Step::Suppress);
    assert_eq!(correlator.next(&event("a", "", "m", 311)), Step::Suppress);
}

#[test]
fn a_clock_that_jumps_back_does_no_harm() {
    let mut correlator = Correlator::new();
    correlator.next(&event("a", "", "m", 1000));
    assert!(matches!(
        correlator.next(&event("a", "", "m", 5)),
        Step::Count(Series { count: 2, .. })
    ));
}

#[test]
fn memory_is_bounded() {
    let mut correlator = Correlator::new();
    for n in 0..20_000 {
        correlator.next(&event(&n.to_string(), "", "m", n));
    }
    assert!(correlator.series.len() <= REMEMBERED && correlator.budgets.len() <= REMEMBERED);
    assert!(
        matches!(correlator.next(&event("19999", "", "m", 20_000)), Step::Count(_)),
        "the newest is remembered"
    );
}
