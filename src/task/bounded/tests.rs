use super::*;

const BOUNDS: Bounds = Bounds {
    min_interval: Duration::from_secs(1),
    max_interval: Duration::from_secs(60),
    max_backoff: Duration::from_secs(8),
};

/// Waits until a run is due, does it, and returns how long that took.
async fn run(runner: &mut BoundedRunner, success: bool) -> Duration {
    let before = Instant::now();
    runner.due().await;
    runner.start();
    runner.done(success);
    before.elapsed()
}

#[tokio::test(start_paused = true)]
async fn the_first_request_is_due_at_once_and_the_next_waits() {
    let mut runner = BoundedRunner::new(BOUNDS);
    runner.request();
    runner.request();
    assert_eq!(run(&mut runner, true).await, Duration::ZERO);
    runner.request();
    assert_eq!(run(&mut runner, true).await, Duration::from_secs(1));
    tokio::time::advance(Duration::from_secs(10)).await;
    runner.request();
    assert_eq!(run(&mut runner, true).await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn without_requests_it_runs_at_the_longest_interval() {
    let mut runner = BoundedRunner::new(BOUNDS);
    assert_eq!(run(&mut runner, true).await, Duration::from_secs(60));
    assert_eq!(run(&mut runner, true).await, Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn a_run_knows_why_it_starts() {
    let mut runner = BoundedRunner::new(BOUNDS);
    assert_eq!(runner.start(), Reason::Interval);
    runner.done(false);
    assert_eq!(runner.start(), Reason::Retry);
    runner.request();
    assert_eq!(runner.start(), Reason::Request);
}

#[tokio::test(start_paused = true)]
async fn failures_are_retried_ever_later_and_success_ends_that() {
    let mut runner = BoundedRunner::new(BOUNDS);
    runner.request();
    run(&mut runner, false).await;
    for step in [1, 2, 4, 8, 8] {
        let waited = run(&mut runner, false).await;
        // Jitter takes away up to a half, the shortest interval always stays.
        let (low, high) = (
            Duration::from_millis(500 * step).max(BOUNDS.min_interval),
            Duration::from_secs(step),
        );
        assert!(
            low <= waited && waited <= high + Duration::from_millis(2),
            "{waited:?} is not in {low:?}..{high:?}"
        );
    }
    // A new request does not wait for the backoff.
    runner.request();
    assert_eq!(run(&mut runner, true).await, Duration::from_secs(1));
    assert_eq!(run(&mut runner, true).await, Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn a_request_during_the_run_counts_for_the_next() {
    let mut runner = BoundedRunner::new(BOUNDS);
    runner.request();
    runner.due().await;
    runner.start();
    runner.request();
    runner.done(true);
    assert_eq!(run(&mut runner, true).await, Duration::from_secs(1));
    assert_eq!(run(&mut runner, true).await, Duration::from_secs(60));
}
