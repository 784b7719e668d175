//! The latest value of each key, where not every value is worth sending.
//!
//! Invariant: a value set is flushed within the interval unless a newer one of its key is; the
//! last value of a key is always flushed. Flushes follow one another, so a key never goes back.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::hash::Hash;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

/// Keys that may wait; one more ends the interval.
const MOST_KEYS: usize = 64 << 10;

/// Gathers values by key and flushes them together: the first at once, then at most one flush
/// an interval. Clones share it.
pub struct Coalescer<K, V> {
    inner: Arc<Inner<K, V>>,
}

type Flush<K, V> = dyn Fn(Vec<(K, V)>) + Send + Sync;

struct Inner<K, V> {
    every: Duration,
    flush: Box<Flush<K, V>>,
    state: Mutex<State<K, V>>,
    full: Notify,
}

struct State<K, V> {
    /// In the order in which the keys were first set.
    values: Vec<(K, V)>,
    places: HashMap<K, usize>,
    running: bool,
}

impl<K, V> Coalescer<K, V>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Send + 'static,
{
    /// `flush` gets each key once, in the order in which the keys were set; it must not block.
    pub fn new(every: Duration, flush: impl Fn(Vec<(K, V)>) + Send + Sync + 'static) -> Self {
        Self {
            inner: Arc::new(Inner {
                every,
                flush: Box::new(flush),
                state: Mutex::new(State {
                    values: Vec::new(),
                    places: HashMap::new(),
                    running: false,
                }),
                full: Notify::new(),
            }),
        }
    }

    /// The newest value of a key. Called inside a tokio runtime; never waits.
    pub fn set(&self, key: K, value: V) {
        let mut state = self.inner.state();
        let next = state.values.len();
        match state.places.entry(key) {
            Entry::Occupied(entry) => {
                let place = *entry.get();
                state.values[place].1 = value;
            }
            Entry::Vacant(entry) => {
                let key = entry.key().clone();
                entry.insert(next);
                state.values.push((key, value));
            }
        }
        if state.values.len() >= MOST_KEYS {
            self.inner.full.notify_one();
        }
        if !mem::replace(&mut state.running, true) {
            drop(state);
            tokio::spawn(Arc::clone(&self.inner).run());
        }
    }
}

impl<K: Hash + Eq, V> Inner<K, V> {
    fn state(&self) -> MutexGuard<'_, State<K, V>> {
        // Nothing panics while it is held but a key's own `Hash` or `Eq`; a value may be lost then.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Flushes as long as values come.
    async fn run(self: Arc<Self>) {
        while let Some(values) = self.take() {
            if catch_unwind(AssertUnwindSafe(|| (self.flush)(values))).is_err() {
                tracing::error!("flushing coalesced values panicked");
            }
            // Full is only a hint to end the pause early.
            let _ = tokio::time::timeout(self.every, self.full.notified()).await;
        }
    }

    /// What has gathered; with nothing there, the next value starts anew.
    fn take(&self) -> Option<Vec<(K, V)>> {
        let mut state = self.state();
        state.places.clear();
        let values = mem::take(&mut state.values);
        state.running = !values.is_empty();
        state.running.then_some(values)
    }
}

impl<K, V> Clone for Coalescer<K, V> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<K, V> fmt::Debug for Coalescer<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Coalescer").field("every", &self.inner.every).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;
    use tokio::time::{Instant, advance};

    const EVERY: Duration = Duration::from_millis(100);

    type Values = Vec<(&'static str, u32)>;

    fn coalescer() -> (Coalescer<&'static str, u32>, mpsc::Receiver<Values>) {
        let (sender, receiver) = mpsc::channel(100);
        let coalescer = Coalescer::new(EVERY, move |values| sender.try_send(values).unwrap());
        (coalescer, receiver)
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_comes_at_once_and_the_last_always() {
        let (coalescer, mut flushes) = coalescer();
        let began = Instant::now();
        coalescer.set("a", 1);
        assert_eq!(flushes.recv().await.unwrap(), [("a", 1)]);
        assert_eq!(began.elapsed(), Duration::ZERO);
        for value in 2..=50 {
            coalescer.set("a", value);
            coalescer.set("b", value);
        }
        assert_eq!(flushes.recv().await.unwrap(), [("a", 50), ("b", 50)]);
        assert_eq!(began.elapsed(), EVERY);
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_quiet_time_the_next_comes_at_once_again() {
        let (coalescer, mut flushes) = coalescer();
        coalescer.set("a", 1);
        assert!(flushes.recv().await.is_some());
        advance(EVERY * 5).await;
        tokio::task::yield_now().await;
        let began = Instant::now();
        coalescer.set("a", 2);
        assert_eq!(flushes.recv().await.unwrap(), [("a", 2)]);
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn never_more_than_one_flush_an_interval() {
        let (coalescer, mut flushes) = coalescer();
        for value in 0..1000 {
            coalescer.set("a", value);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        drop(coalescer);
        let mut seen = Vec::new();
        while let Some(values) = flushes.recv().await {
            seen.push(values[0].1);
        }
        assert!(seen.len() <= 11, "{seen:?}");
        assert_eq!(seen.last(), Some(&999));
        assert!(seen.is_sorted());
    }
}
