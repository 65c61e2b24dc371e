//! Keyed workers: marks in, one handler call at a time per key.
//!
//! Level-triggered by construction. A mark says "this key may have changed", never what has changed. Marks that arrive
//! while the handler runs for the same key coalesce into exactly one more call. The handler answers when it wants to
//! be called again without a mark; `None` ends the key's task, so an idle key costs nothing.
//!
//! Invariants: the handler never runs twice at once for one key; after the last mark it runs at least once more; a
//! panicking handler harms only its key, which is tried again after [`PANIC_PAUSE`].

use futures::FutureExt;
use futures::future::BoxFuture;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::hash::Hash;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Rest of a key whose handler panicked.
pub const PANIC_PAUSE: Duration = Duration::from_secs(10);

type Handler<K> = Box<dyn Fn(K) -> BoxFuture<'static, Option<Instant>> + Send + Sync>;

/// A set of keyed workers. Clones share the workers.
pub struct Keyed<K>(Arc<Inner<K>>);

struct Inner<K> {
    handler: Handler<K>,
    /// Protects which keys have a task and whether that task must run its handler again.
    slots: Mutex<Slots<K>>,
    /// Told when the last task has ended.
    idle: Notify,
}

struct Slots<K> {
    by_key: HashMap<K, Arc<Slot>>,
    closed: bool,
}

#[derive(Default)]
struct Slot {
    /// Holds at most one permit: the coalesced marks.
    marked: Notify,
}

impl<K: Clone + Eq + Hash + fmt::Debug + Send + Sync + 'static> Keyed<K> {
    /// Workers that call `handler(key)`; it returns when to call it again at the latest.
    pub fn new<F, Fut>(handler: F) -> Self
    where
        F: Fn(K) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Option<Instant>> + Send + 'static,
    {
        Self(Arc::new(Inner {
            handler: Box::new(move |key| handler(key).boxed()),
            slots: Mutex::new(Slots {
                by_key: HashMap::new(),
                closed: false,
            }),
            idle: Notify::new(),
        }))
    }

    /// Runs the handler for `key` soon: now, or once more after the call under way. Must be called on a tokio runtime.
    /// Does nothing after [`Keyed::close`].
    pub fn mark(&self, key: K) {
        let mut slots = self.0.lock();
        if slots.closed {
            return;
        }
        match slots.by_key.entry(key) {
            Entry::Occupied(slot) => slot.get().marked.notify_one(),
            Entry::Vacant(vacant) => {
                let slot = Arc::new(Slot::default());
                slot.marked.notify_one();
                let key = vacant.key().clone();
                vacant.insert(slot.clone());
                tokio::spawn(self.0.clone().work(key, slot));
            }
        }
    }

    /// Keys that have a task: running, marked, or waiting for their time.
    pub fn active(&self) -> Vec<K> {
        self.0.lock().by_key.keys().cloned().collect()
    }

    /// No handler call starts any more. Calls under way run to their end; await that with [`Keyed::drained`].
    pub fn close(&self) {
        let mut slots = self.0.lock();
        slots.closed = true;
        for slot in slots.by_key.values() {
            slot.marked.notify_one();
        }
    }

    /// Returns when no key has a task.
    pub async fn drained(&self) {
        loop {
            let idle = self.0.idle.notified();
            tokio::pin!(idle);
            idle.as_mut().enable();
            if self.0.lock().by_key.is_empty() {
                return;
            }
            idle.await;
        }
    }
}

impl<K: Clone + Eq + Hash + fmt::Debug + Send + Sync + 'static> Inner<K> {
    fn lock(&self) -> MutexGuard<'_, Slots<K>> {
        self.slots.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    async fn work(self: Arc<Self>, key: K, slot: Arc<Slot>) {
        let mut wake = None;
        loop {
            if !self.marked_or_due(&key, &slot, wake).await {
                return;
            }
            // Building the future is inside too: a handler may panic before its first await.
            let call = AssertUnwindSafe(async { (self.handler)(key.clone()).await });
            wake = call.catch_unwind().await.unwrap_or_else(|panic| {
                tracing::error!(key = ?key, panic = panic_text(&*panic), "worker panicked, trying again later");
                Some(Instant::now() + PANIC_PAUSE)
            });
        }
    }

    /// Waits for the next reason to run. False when there is none: the slot is gone and the task must end.
    async fn marked_or_due(&self, key: &K, slot: &Slot, wake: Option<Instant>) -> bool {
        match wake {
            Some(at) => tokio::select! {
                () = slot.marked.notified() => {}
                () = tokio::time::sleep_until(at) => {}
            },
            // A mark may come at any moment until the slot is removed under the lock `mark` takes.
            None => {
                let mut slots = self.lock();
                if slot.marked.notified().now_or_never().is_none() {
                    self.remove_locked(&mut slots, key);
                    return false;
                }
            }
        }
        let mut slots = self.lock();
        if slots.closed {
            self.remove_locked(&mut slots, key);
        }
        !slots.closed
    }

    fn remove_locked(&self, slots: &mut Slots<K>, key: &K) {
        slots.by_key.remove(key);
        if slots.by_key.is_empty() {
            self.idle.notify_waiters();
        }
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

impl<K> Clone for Keyed<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K> fmt::Debug for Keyed<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slots = self
            .0
            .slots
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        f.debug_struct("Keyed")
            .field("active", &slots.by_key.len())
            .field("closed", &slots.closed)
            .finish()
    }
}

#[cfg(test)]
mod tests;
