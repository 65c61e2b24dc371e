//! How much of the node its API may take, and connections counted against that.
//!
//! A connection is *fresh* until one of its requests was allowed. Whoever only connects (half-open handshakes, slow
//! headers, guesses at credentials) competes with other strangers of its own address alone: when there are too many,
//! its oldest fresh connection makes room for the new one, so that nobody can shut out a caller with credentials.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

/// Connections at once. Each exec, attach and port-forward is one.
pub(super) const MOST_CONNECTIONS: usize = 2048;
/// Connections of one address at once; an API server makes all streams of its clients from one.
pub(super) const MOST_PER_PEER: usize = 1024;
/// Fresh connections of one address at once.
pub(super) const MOST_FRESH_PER_PEER: usize = 64;
/// Fresh connections at once.
pub(super) const MOST_FRESH: usize = 512;
/// Requests of a fresh connection whose credentials are judged at once; the others wait. A token may be a question to
/// the API server, and those of callers with good ones wait in the same queue.
pub(super) const MOST_JUDGED: usize = 4;
/// Requests of one HTTP/2 connection at once, and so `logs --follow` streams.
pub(super) const MOST_STREAMS: u32 = 250;
/// For the TLS handshake.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(10);
/// For a request's headers, from the first moment a request could come (HTTP/1.1): also how long a connection may wait
/// for its next request. Go's clients keep theirs for 90 s.
pub(super) const HEADERS: Duration = Duration::from_secs(90);
/// As [`HEADERS`], for a connection that has not had an allowed request yet.
pub(super) const FRESH: Duration = Duration::from_secs(30);
/// Without a request (HTTP/2).
pub(super) const IDLE: Duration = Duration::from_secs(90);
/// For requests under way when the connection or the node ends.
pub(super) const GRACE: Duration = Duration::from_secs(3);
/// Bytes of request line and headers; 431 beyond (a URL alone: 64 KiB, 414 beyond).
pub(super) const HEAD_BYTES: usize = 128 << 10;
/// Number of headers; 431 beyond.
pub(super) const MOST_HEADERS: usize = 100;
/// Bytes of a request's body; 413 beyond. No endpoint needs more than a few; streams have none before their upgrade.
pub(super) const MOST_BODY: u64 = 1 << 20;
/// Silence after which an HTTP/2 peer is asked whether it lives, and the time it has to say so.
pub(super) const PING: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(15));

/// Connections now.
#[derive(Debug, Default)]
pub(super) struct Limits {
    /// Held for counting.
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    fresh: usize,
    peers: HashMap<IpAddr, Peer>,
    next: u64,
}

#[derive(Debug, Default)]
struct Peer {
    all: usize,
    /// Oldest first.
    fresh: BTreeMap<u64, CancellationToken>,
}

/// One connection's place; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    limits: Arc<Limits>,
    peer: IpAddr,
    number: u64,
    trusted: AtomicBool,
    evicted: CancellationToken,
    turns: Semaphore,
}

impl Limits {
    /// A place for a connection of this address; `None` when there is none to be had.
    pub(super) fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<Slot> {
        let mut counts = self.lock();
        let counts = &mut *counts;
        let of_peer = counts.peers.get(&peer);
        if counts.all >= MOST_CONNECTIONS || of_peer.is_some_and(|peer| peer.all >= MOST_PER_PEER) {
            return None;
        }
        let full = of_peer.is_some_and(|peer| peer.fresh.len() >= MOST_FRESH_PER_PEER);
        if full || counts.fresh >= MOST_FRESH {
            counts.evict(if full { Some(peer) } else { None });
        }
        let number = counts.next;
        let evicted = CancellationToken::new();
        counts.next += 1;
        counts.all += 1;
        counts.fresh += 1;
        let of_peer = counts.peers.entry(peer).or_default();
        of_peer.all += 1;
        of_peer.fresh.insert(number, evicted.clone());
        Some(Slot {
            limits: self.clone(),
            peer,
            number,
            trusted: AtomicBool::new(false),
            evicted,
            turns: Semaphore::new(MOST_JUDGED),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    /// Ends the oldest fresh connection of this address; without one, of the address that has most.
    fn evict(&mut self, peer: Option<IpAddr>) {
        let peer = match peer {
            Some(peer) => self.peers.get_mut(&peer),
            None => self.peers.values_mut().max_by_key(|peer| peer.fresh.len()),
        };
        if let Some((_, oldest)) = peer.and_then(|peer| peer.fresh.pop_first()) {
            self.fresh -= 1;
            oldest.cancel();
        }
    }

    /// Takes a connection out of the fresh ones, when it is one.
    fn settle(&mut self, peer: IpAddr, number: u64) {
        if let Some(peer) = self.peers.get_mut(&peer)
            && peer.fresh.remove(&number).is_some()
        {
            self.fresh -= 1;
        }
    }
}

impl Slot {
    /// A request of this connection was allowed: it is not fresh any more.
    pub(super) fn trust(&self) {
        if !self.trusted.swap(true, Ordering::Relaxed) {
            self.limits.lock().settle(self.peer, self.number);
        }
    }

    /// Whether a request was allowed.
    pub(super) fn trusted(&self) -> bool {
        self.trusted.load(Ordering::Relaxed)
    }

    /// Waits until one more request may have its credentials judged; not at all once a request was allowed.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        if self.trusted() {
            return None;
        }
        // Nobody closes the semaphore.
        self.turns.acquire().await.ok()
    }

    /// Waits until this connection must make room.
    pub(super) async fn evicted(&self) {
        self.evicted.cancelled().await;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut counts = self.limits.lock();
        counts.settle(self.peer, self.number);
        counts.all -= 1;
        if let Some(peer) = counts.peers.get_mut(&self.peer) {
            peer.all -= 1;
            if peer.all == 0 {
                counts.peers.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests;
