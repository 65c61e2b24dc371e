use super::*;

#[test]
fn doubles_up_to_the_cap_and_starts_over_after_reset() {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
    let steps: Vec<u128> = (0..6).map(|_| backoff.fail_with(1.0).as_millis()).collect();
    assert_eq!(steps, [100, 200, 400, 800, 1000, 1000]);
    assert_eq!(backoff.failures(), 6);
    backoff.reset();
    assert_eq!(backoff.fail_with(1.0), Duration::from_millis(100));
}

#[test]
fn jitter_takes_away_at_most_half() {
    let mut backoff = Backoff::new(Duration::from_secs(2), Duration::from_secs(2));
    assert_eq!(backoff.fail_with(0.0), Duration::from_secs(1));
    assert_eq!(backoff.fail_with(0.5), Duration::from_millis(1500));
    assert_eq!(backoff.fail_with(7.0), Duration::from_secs(2));
}

#[test]
fn never_overflows() {
    let mut backoff = Backoff::new(Duration::from_secs(3600), Duration::from_secs(7200));
    for _ in 0..100 {
        assert!(backoff.fail_with(1.0) <= Duration::from_secs(7200));
    }
}

#[test]
fn random_jitter_stays_in_range_and_varies() {
    let values: Vec<f64> = (0..64).map(|_| jitter()).collect();
    assert!(values.iter().all(|v| (0.0..1.0).contains(v)), "{values:?}");
    assert!(values.iter().any(|v| *v != values[0]));
}
