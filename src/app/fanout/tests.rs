use super::*;
use crate::model::net::Node;
use std::sync::Arc;

#[tokio::test]
async fn every_reader_gets_the_same_object_and_one_that_leaves_holds_up_nobody() {
    let (source, changes) = mpsc::channel(1);
    let [mut a, mut b] = fan_out::<Node, 2>(changes);
    let node = Arc::new(Node::default());
    source.send(Change::Applied(node.clone())).await.unwrap();
    for reader in [&mut a, &mut b] {
        let Some(Change::Applied(got)) = reader.recv().await else {
            panic!("applied")
        };
        assert!(Arc::ptr_eq(&got, &node));
    }
    drop(a);
    for _ in 0..3 * QUEUE {
        source.send(Change::Deleted(node.clone())).await.unwrap();
        assert!(matches!(b.recv().await, Some(Change::Deleted(_))));
    }
    drop(b);
    let _ = source.send(Change::Deleted(node)).await;
    source.closed().await;
}
