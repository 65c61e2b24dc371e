use super::*;
use crate::testing::fake_cri::FakeCri;

fn collector(fake: &FakeCri) -> Arc<Collector> {
    let dir = std::path::Path::new("/nowhere");
    let dirs = Dirs {
        root: dir.into(),
        pod_logs: dir.into(),
    };
    let cri = (Arc::new(fake.clone()) as _, Arc::new(fake.clone()) as _);
    Arc::new(Collector::new(
        cri,
        Arc::default(),
        ("w1".into(), "/".into()),
        (dirs, Duration::from_secs(60)),
    ))
}

pub(super) fn idle() -> Arc<Collector> {
    collector(&FakeCri::new())
}

async fn passes(collector: &Collector) -> u64 {
    collector.last.lock().await.passes
}

#[tokio::test]
async fn ten_at_once_are_one_pass() {
    let collector = collector(&FakeCri::new());
    let asked = (0..10).map(|_| collector.snapshot(FRESH));
    for answer in futures::future::join_all(asked).await {
        answer.unwrap();
    }
    assert_eq!(passes(&collector).await, 1);
    collector.snapshot(Duration::ZERO).await.unwrap();
    assert_eq!(passes(&collector).await, 2, "too old is made again");
}

#[tokio::test(start_paused = true)]
async fn nobody_asks_nothing_is_collected() {
    let fake = FakeCri::new();
    let collector = collector(&fake);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(passes(&collector).await, 0);
    assert!(fake.take_calls().is_empty());
}

#[tokio::test]
async fn a_runtime_that_fails_is_asked_again_next_time() {
    let fake = FakeCri::new();
    let collector = collector(&fake);
    fake.fail("ListContainers", tonic::Code::Unavailable, "gone");
    assert!(collector.snapshot(FRESH).await.is_err());
    fake.heal("ListContainers");
    assert!(collector.snapshot(FRESH).await.is_ok());
}
