use super::*;
use std::sync::atomic::{AtomicBool, Ordering};

#[tokio::test(start_paused = true)]
async fn tasks_finish_what_they_do_before_the_end() {
    let drain = Drain::new();
    let done = Arc::new(AtomicBool::new(false));
    let (signal, mark) = (drain.signal(), done.clone());
    drain.spawn("writer", async move {
        signal.wait().await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        mark.store(true, Ordering::SeqCst);
    });
    assert_eq!(drain.finish(Duration::from_secs(5)).await, Vec::<&str>::new());
    assert!(done.load(Ordering::SeqCst));
}

#[tokio::test(start_paused = true)]
async fn what_does_not_end_is_forced_and_named() {
    let drain = Drain::new();
    for name in ["stuck", "deaf", "stuck"] {
        drain.spawn(name, std::future::pending::<()>());
    }
    let signal = drain.signal();
    drain.spawn("good", async move { signal.wait().await });
    let begin = tokio::time::Instant::now();
    assert_eq!(drain.finish(Duration::from_secs(5)).await, ["deaf", "stuck"]);
    assert_eq!(begin.elapsed(), Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_one_task_does_not_hold_up_the_end() {
    let drain = Drain::new();
    let broken = drain.spawn("broken", async { panic!("on purpose") });
    assert!(broken.await.is_err());
    assert_eq!(drain.finish(Duration::from_secs(5)).await, Vec::<&str>::new());
}

#[tokio::test(start_paused = true)]
async fn a_signal_interrupts_work() {
    let drain = Drain::new();
    let signal = drain.signal();
    assert_eq!(signal.unless_draining(async { 7 }).await, Some(7));
    drain.start();
    assert!(signal.is_draining());
    assert_eq!(signal.unless_draining(std::future::pending::<u8>()).await, None);
}
