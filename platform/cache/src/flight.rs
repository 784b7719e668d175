//! Single flight: who loads a key, who waits for it, and who may have what the other loaded.
//!
//! Invariant: a seat is never given what was read before it was taken and has changed since. It
//! gets what began to be loaded after it sat down; or what was loading then, if it is known, at
//! the end of the load, that nothing had changed until then.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

struct Turn<V> {
    lock: Arc<AsyncMutex<()>>,
    failed: AtomicBool,
    log: Mutex<Log<V>>,
}

/// What has happened in a turn; loads and landings are counted from 1.
struct Log<V> {
    begun: u64,
    /// Loads up to this one may have read what was there before a change.
    overtaken: u64,
    landings: u64,
    last: Option<Landed<V>>,
}

struct Landed<V> {
    load: u64,
    /// Nothing had changed until it landed.
    current: bool,
    value: V,
}

impl<V> Log<V> {
    fn overtake(&mut self) {
        self.overtaken = self.begun;
        self.last = None;
    }
}

impl<V> Default for Turn<V> {
    fn default() -> Self {
        let log = Log { begun: 0, overtaken: 0, landings: 0, last: None };
        Self { lock: Arc::default(), failed: AtomicBool::new(false), log: Mutex::new(log) }
    }
}

impl<V> Turn<V> {
    fn log(&self) -> MutexGuard<'_, Log<V>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Turns<K, V> = Mutex<HashMap<K, Arc<Turn<V>>>>;

/// The loads under way.
pub(crate) struct Flights<K, V>(Arc<Turns<K, V>>);

impl<K, V> Clone for Flights<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K, V> Default for Flights<K, V> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

/// A seat in a key's flight: the right to load, unless the flight has failed and everybody may.
pub(crate) struct Seat<'a, K: Hash + Eq, V> {
    flights: &'a Flights<K, V>,
    key: K,
    turn: Arc<Turn<V>>,
    guard: Option<OwnedMutexGuard<()>>,
    /// Loads begun, and landed, when it was taken.
    begun: u64,
    landings: u64,
}

impl<K: Hash + Eq + Clone, V: Clone> Flights<K, V> {
    /// Waits for the flight before this one, if there is one.
    pub(crate) async fn join(&self, key: &K) -> Seat<'_, K, V> {
        let turn = self.turns().entry(key.clone()).or_default().clone();
        let (begun, landings) = {
            let log = turn.log();
            (log.begun, log.landings)
        };
        let key = key.clone();
        let mut seat = Seat { flights: self, key, turn, guard: None, begun, landings };
        let guard = seat.turn.lock.clone().lock_owned().await;
        if !seat.turn.failed.load(Ordering::Acquire) {
            seat.guard = Some(guard);
        }
        seat
    }

    /// Says that what loads of `key` have read so far may be old, and does `then` before any of
    /// them lands.
    pub(crate) fn overtake(&self, key: &K, then: impl FnOnce()) {
        let turns = self.turns();
        // Held to the end: a turn is closed by whoever has the last reference to it.
        let mut log = turns.get(key).map(|turn| turn.log());
        if let Some(log) = &mut log {
            log.overtake();
        }
        then();
    }

    /// As [`Flights::overtake`], of all keys.
    pub(crate) fn overtake_all(&self, then: impl FnOnce()) {
        let turns = self.turns();
        let mut logs: Vec<_> = turns.values().map(|turn| turn.log()).collect();
        logs.iter_mut().for_each(|log| log.overtake());
        then();
    }
}

impl<K, V> Flights<K, V> {
    fn turns(&self) -> MutexGuard<'_, HashMap<K, Arc<Turn<V>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq, V: Clone> Seat<'_, K, V> {
    /// What the flight before this one brought, if this seat may have it.
    pub(crate) fn shared(&self) -> Option<V> {
        let log = self.turn.log();
        let landed = log.last.as_ref().filter(|_| log.landings > self.landings)?;
        (landed.current || landed.load > self.begun).then(|| landed.value.clone())
    }

    /// Begins a load, and numbers it.
    pub(crate) fn begin(&self) -> u64 {
        let mut log = self.turn.log();
        log.begun += 1;
        log.begun
    }

    /// A load landed, and nothing else: it is not known whether it is current.
    pub(crate) fn land(&self, load: u64, value: V, current: bool) {
        let mut log = self.turn.log();
        let current = current && load > log.overtaken;
        log.landings += 1;
        log.last = Some(Landed { load, current, value });
    }

    /// A load landed that has not been overtaken, or nothing happens: does `keep` with it.
    pub(crate) fn land_if_current(&self, load: u64, value: V, keep: impl FnOnce(V)) {
        let mut log = self.turn.log();
        if load > log.overtaken {
            log.landings += 1;
            log.last = Some(Landed { load, current: true, value: value.clone() });
            keep(value);
        }
    }

    /// Lets everybody who waits load for itself.
    pub(crate) fn failed(&self) {
        self.turn.failed.store(true, Ordering::Release);
    }
}

impl<K: Hash + Eq, V> Drop for Seat<'_, K, V> {
    fn drop(&mut self) {
        self.guard.take();
        let mut turns = self.flights.turns();
        // The last to leave closes the door: the map's own reference and this one.
        let last = turns
            .get(&self.key)
            .is_some_and(|turn| Arc::ptr_eq(turn, &self.turn) && Arc::strong_count(turn) <= 2);
        if last {
            turns.remove(&self.key);
        }
    }
}
