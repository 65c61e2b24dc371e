use super::*;
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn a_panic_of_one_component_is_the_end_and_named() {
    let all = Supervisor::new(Drain::new());
    let signal = all.signal();
    all.component("proxy", async move { signal.wait().await });
    all.component("network", async { panic!("on purpose") });
    assert_eq!(all.wait().await.as_deref(), Some("network panicked"));
    assert_eq!(
        all.into_drain().finish(Duration::from_secs(1)).await,
        Vec::<&str>::new()
    );
}

#[tokio::test(start_paused = true)]
async fn a_component_that_ends_by_itself_is_a_failure_too() {
    let all = Supervisor::new(Drain::new());
    all.component("kubelet", async {});
    assert_eq!(all.wait().await.as_deref(), Some("kubelet ended by itself"));
}

#[tokio::test(start_paused = true)]
async fn the_end_that_was_asked_for_is_none() {
    let drain = Drain::new();
    let signal = drain.signal();
    let all = Supervisor::new(drain);
    let own = signal.clone();
    all.component("kubelet", async move { own.wait().await });
    tokio::spawn(async move { signal.wait().await });
    all.drain.start();
    assert_eq!(all.wait().await, None);
}
