use super::*;

#[tokio::test(start_paused = true)]
async fn a_thousand_failures_in_two_minutes_are_said_three_times() {
    let mut say = SayOnce::new(Duration::from_secs(60));
    let mut heard = Vec::new();
    for _ in 0..1001 {
        heard.extend(say.say("connection refused", Instant::now()));
        tokio::time::advance(Duration::from_millis(120)).await;
    }
    assert_eq!(heard, [0, 499, 499]);
}

#[tokio::test(start_paused = true)]
async fn another_text_is_said_at_once_and_reset_starts_over() {
    let mut say = SayOnce::new(Duration::from_secs(60));
    let now = Instant::now();
    assert!(!say.reset());
    assert_eq!(say.say("a", now), Some(0));
    assert_eq!(say.say("b", now), Some(0));
    assert_eq!(say.say("a", now), None);
    assert!(say.reset());
    assert_eq!(say.say("a", now), Some(0));
}

#[tokio::test(start_paused = true)]
async fn remembers_a_bounded_number_of_texts() {
    let mut say = SayOnce::new(Duration::from_secs(60));
    for n in 0..1000 {
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(say.say(&n.to_string(), Instant::now()), Some(0));
    }
    assert_eq!(say.said.len(), MAX_TEXTS);
    assert_eq!(say.say("999", Instant::now()), None, "the newest is kept");
    assert_eq!(say.say("0", Instant::now()), Some(0), "the oldest was forgotten");
}
