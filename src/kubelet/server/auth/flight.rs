//! Questions that are asked at the same time are asked once, and only so many at a time.

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;

/// Questions to the API server at once; the others wait for their turn.
const AT_ONCE: usize = 16;

type Answer<V> = Shared<BoxFuture<'static, V>>;

/// Questions on their way.
pub(super) struct Flight<K, V> {
    /// Held for a look or a change, never while waiting.
    going: Arc<Mutex<HashMap<K, Answer<V>>>>,
    turns: Arc<Semaphore>,
}

impl<K, V> Default for Flight<K, V> {
    fn default() -> Self {
        Self {
            going: Arc::default(),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }
}

impl<K, V> Flight<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// The answer of `ask`, or that of an earlier `ask` of the same key which is still on its way. An `ask` that has
    /// begun is brought to its end even when its caller goes away: others may wait for it, and its answer is kept.
    pub(super) fn join(&self, key: K, ask: impl Future<Output = V> + Send + 'static) -> Answer<V> {
        let mut going = self.going.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = going.get(&key) {
            return answer.clone();
        }
        let turns = self.turns.clone();
        let landed = Landed {
            key: key.clone(),
            going: self.going.clone(),
        };
        let task = tokio::spawn(async move {
            let _landed = landed;
            // Nobody closes the semaphore.
            let _turn = turns.acquire_owned().await;
            ask.await
        });
        let answer = async move { task.await.expect("asking does not panic and is not aborted") };
        let answer = answer.boxed().shared();
        going.insert(key, answer.clone());
        answer
    }
}

/// Forgets a question when it has its answer.
struct Landed<K: Eq + Hash, V> {
    key: K,
    going: Arc<Mutex<HashMap<K, Answer<V>>>>,
}

impl<K: Eq + Hash, V> Drop for Landed<K, V> {
    fn drop(&mut self) {
        let mut going = self.going.lock().unwrap_or_else(PoisonError::into_inner);
        going.remove(&self.key);
    }
}
