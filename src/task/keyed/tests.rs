use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{Semaphore, mpsc};

const SECOND: Duration = Duration::from_secs(1);

/// Lets every task that can run do so.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

/// Workers that report their key and then wait for a permit of the gate.
fn gated() -> (Keyed<u32>, mpsc::UnboundedReceiver<u32>, Arc<Semaphore>) {
    let (calls, seen) = mpsc::unbounded_channel();
    let gate = Arc::new(Semaphore::new(0));
    let inner = gate.clone();
    let keyed = Keyed::new(move |key| {
        calls.send(key).unwrap();
        let gate = inner.clone();
        async move {
            gate.acquire().await.unwrap().forget();
            None
        }
    });
    (keyed, seen, gate)
}

#[tokio::test(start_paused = true)]
async fn marks_while_running_become_one_more_run() {
    let (keyed, mut seen, gate) = gated();
    keyed.mark(7);
    settle().await;
    assert_eq!(seen.try_recv(), Ok(7));
    for _ in 0..5 {
        keyed.mark(7);
    }
    settle().await;
    assert!(seen.try_recv().is_err(), "the same key ran twice at once");
    gate.add_permits(10);
    keyed.drained().await;
    assert_eq!(seen.try_recv(), Ok(7));
    assert!(seen.try_recv().is_err(), "five marks made more than one run");
    assert_eq!(gate.available_permits(), 8);
}

#[tokio::test(start_paused = true)]
async fn keys_run_side_by_side_and_idle_ones_are_gone() {
    let (keyed, mut seen, gate) = gated();
    keyed.mark(1);
    keyed.mark(2);
    settle().await;
    assert_eq!((seen.try_recv(), seen.try_recv()), (Ok(1), Ok(2)));
    assert_eq!(keyed.active().len(), 2);
    gate.add_permits(2);
    keyed.drained().await;
    assert!(keyed.active().is_empty());
    keyed.mark(1);
    settle().await;
    assert_eq!(seen.try_recv(), Ok(1), "an idle key can be marked again");
}

#[tokio::test(start_paused = true)]
async fn wakes_at_the_time_the_handler_asked_for() {
    let start = Instant::now();
    let (calls, mut seen) = mpsc::unbounded_channel();
    let keyed = Keyed::new(move |_: u32| {
        let calls = calls.clone();
        async move {
            let elapsed = start.elapsed();
            calls.send(elapsed).unwrap();
            (elapsed < 6 * SECOND).then(|| Instant::now() + 5 * SECOND)
        }
    });
    keyed.mark(1);
    assert_eq!(seen.recv().await, Some(Duration::ZERO));
    tokio::time::advance(2 * SECOND).await;
    keyed.mark(1);
    assert_eq!(
        seen.recv().await,
        Some(2 * SECOND),
        "a mark comes before the timer"
    );
    keyed.drained().await;
    assert_eq!(
        seen.recv().await,
        Some(7 * SECOND),
        "the old timer at 5 s is forgotten"
    );
    assert!(seen.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_panic_harms_only_its_key_and_is_tried_again() {
    let runs = Arc::new(AtomicUsize::new(0));
    let counter = runs.clone();
    let keyed = Keyed::new(move |key: u32| {
        let run = counter.fetch_add(1, Ordering::SeqCst);
        assert!(key != 13 || run > 0, "unlucky");
        async { None }
    });
    keyed.mark(13);
    settle().await;
    keyed.mark(1);
    settle().await;
    assert_eq!(runs.load(Ordering::SeqCst), 2);
    assert_eq!(keyed.active(), [13]);
    let before = Instant::now();
    keyed.drained().await;
    assert_eq!(before.elapsed(), PANIC_PAUSE);
    assert_eq!(runs.load(Ordering::SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn close_lets_calls_finish_and_starts_none() {
    let (keyed, mut seen, gate) = gated();
    keyed.mark(1);
    settle().await;
    keyed.mark(1);
    keyed.close();
    keyed.mark(2);
    settle().await;
    assert_eq!(keyed.active(), [1], "the call under way is not cut off");
    gate.add_permits(10);
    keyed.drained().await;
    assert_eq!(seen.try_recv(), Ok(1));
    assert!(seen.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn close_ends_keys_that_wait_for_their_time() {
    let keyed = Keyed::new(|_: u32| async { Some(Instant::now() + 3600 * SECOND) });
    keyed.mark(1);
    settle().await;
    let before = Instant::now();
    keyed.close();
    keyed.drained().await;
    assert_eq!(before.elapsed(), Duration::ZERO);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn under_contention_no_key_runs_twice_at_once_and_no_mark_is_lost() {
    let busy: Arc<Vec<AtomicUsize>> = Arc::new((0..4).map(|_| AtomicUsize::new(0)).collect());
    let wanted: Arc<Vec<AtomicUsize>> = Arc::new((0..4).map(|_| AtomicUsize::new(0)).collect());
    let reached: Arc<Vec<AtomicUsize>> = Arc::new((0..4).map(|_| AtomicUsize::new(0)).collect());
    let (b, w, r) = (busy.clone(), wanted.clone(), reached.clone());
    let keyed = Keyed::new(move |key: usize| {
        let (b, w, r) = (b.clone(), w.clone(), r.clone());
        async move {
            assert_eq!(b[key].fetch_add(1, Ordering::SeqCst), 0);
            let want = w[key].load(Ordering::SeqCst);
            tokio::task::yield_now().await;
            r[key].store(want, Ordering::SeqCst);
            b[key].fetch_sub(1, Ordering::SeqCst);
            None
        }
    });
    let markers = (0..8).map(|n: usize| {
        let (keyed, wanted) = (keyed.clone(), wanted.clone());
        tokio::spawn(async move {
            for i in 0..500 {
                let key = (n + i) % 4;
                wanted[key].fetch_add(1, Ordering::SeqCst);
                keyed.mark(key);
                if i % 7 == 0 {
                    tokio::task::yield_now().await;
                }
            }
        })
    });
    for marker in markers.collect::<Vec<_>>() {
        marker.await.unwrap();
    }
    keyed.drained().await;
    for key in 0..4 {
        assert_eq!(
            reached[key].load(Ordering::SeqCst),
            wanted[key].load(Ordering::SeqCst)
        );
    }
}
