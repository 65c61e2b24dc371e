use super::*;

#[tokio::test(start_paused = true)]
async fn ready_when_the_last_part_is_done() {
    let ready = Ready::new();
    assert!(ready.is_ready());
    let pods = ready.wait_for("pods");
    let services = ready.wait_for("services");
    tokio::time::advance(Duration::from_secs(3)).await;
    assert_eq!(
        ready.pending(),
        [
            ("pods", Duration::from_secs(3)),
            ("services", Duration::from_secs(3))
        ]
    );
    pods.done();
    assert_eq!(ready.pending(), [("services", Duration::from_secs(3))]);
    let waiter = tokio::spawn({
        let ready = ready.clone();
        async move { ready.wait().await }
    });
    tokio::task::yield_now().await;
    assert!(!waiter.is_finished());
    services.done();
    waiter.await.unwrap();
    assert!(ready.is_ready());
}

#[tokio::test(start_paused = true)]
async fn a_part_that_dies_is_never_ready() {
    let ready = Ready::new();
    drop(ready.wait_for("pods"));
    assert!(!ready.is_ready());
}
