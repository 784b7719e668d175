//! Single flight: who loads a key, and who waits for it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

#[derive(Default)]
struct Turn {
    lock: Arc<AsyncMutex<()>>,
    failed: AtomicBool,
}

/// The loads under way.
pub(crate) struct Flights<K>(Arc<Mutex<HashMap<K, Arc<Turn>>>>);

impl<K> Clone for Flights<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K> Default for Flights<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

/// A seat in a key's flight: the right to load, unless the flight has failed and everybody may.
pub(crate) struct Flight<'a, K: Hash + Eq> {
    flights: &'a Flights<K>,
    key: K,
    turn: Arc<Turn>,
    guard: Option<OwnedMutexGuard<()>>,
}

impl<K: Hash + Eq + Clone> Flights<K> {
    /// Waits for the flight before this one, if there is one.
    pub(crate) async fn join(&self, key: &K) -> Flight<'_, K> {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            turns.entry(key.clone()).or_default().clone()
        };
        let mut seat = Flight { flights: self, key: key.clone(), turn, guard: None };
        let guard = seat.turn.lock.clone().lock_owned().await;
        if !seat.turn.failed.load(Ordering::Acquire) {
            seat.guard = Some(guard);
        }
        seat
    }
}

impl<K: Hash + Eq> Flight<'_, K> {
    /// Lets everybody who waits load for itself.
    pub(crate) fn failed(&self) {
        self.turn.failed.store(true, Ordering::Release);
    }
}

impl<K: Hash + Eq> Drop for Flight<'_, K> {
    fn drop(&mut self) {
        self.guard.take();
        let mut turns = self.flights.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The last to leave closes the door: the map's own reference and this one.
        let last = turns
            .get(&self.key)
            .is_some_and(|turn| Arc::ptr_eq(turn, &self.turn) && Arc::strong_count(turn) <= 2);
        if last {
            turns.remove(&self.key);
        }
    }
}
