use super::*;

#[tokio::test(start_paused = true)]
async fn ready_when_the_last_guard_is_gone() {
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
    drop(services);
    waiter.await.unwrap();
    assert!(ready.is_ready());
}
