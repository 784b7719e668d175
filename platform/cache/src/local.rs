//! A cache in this process.

use std::hash::Hash;
use std::time::Duration;

use metrics::Counter;

use crate::flight::Flights;

/// A cache of values by key in this process. Clones share it.
#[derive(Clone)]
pub struct Cache<K, V> {
    values: moka::sync::Cache<K, V>,
    flights: Flights<K, V>,
    hits: Counter,
    misses: Counter,
}

impl<K, V> Cache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// A cache of at most `capacity` values, each kept for `ttl`; `name` stands in its metrics.
    #[must_use]
    pub fn new(name: &'static str, capacity: u64, ttl: Duration) -> Self {
        Self {
            values: moka::sync::Cache::builder().max_capacity(capacity).time_to_live(ttl).build(),
            flights: Flights::default(),
            hits: metrics::counter!("cache_hits_total", "cache" => name),
            misses: metrics::counter!("cache_misses_total", "cache" => name),
        }
    }

    /// What is there for `key`.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<V> {
        let found = self.values.get(key);
        if found.is_some() {
            self.hits.increment(1)
        } else {
            self.misses.increment(1)
        }
        found
    }

    /// What is there for `key`, or what `load` gives, which is kept. Of all who ask at once, one
    /// loads and the others wait; if its load fails, each of them loads for itself.
    ///
    /// # Errors
    /// Those of `load`; they are not kept.
    pub async fn get_with<E>(
        &self,
        key: K,
        load: impl Future<Output = Result<V, E>>,
    ) -> Result<V, E> {
        if let Some(found) = self.get(&key) {
            return Ok(found);
        }
        let seat = self.flights.join(&key).await;
        if let Some(found) = self.values.get(&key) {
            return Ok(found);
        }
        let number = seat.begin();
        let loaded = load.await;
        match &loaded {
            Ok(value) => seat.land_if_current(number, value.clone(), |value| {
                self.values.insert(key, value);
            }),
            Err(_) => seat.failed(),
        }
        loaded
    }

    /// Keeps a value, in place of the one that was there.
    pub fn insert(&self, key: K, value: V) {
        self.values.insert(key, value);
    }

    /// Forgets what is there for `key`, and what loads under way will bring: they may have read
    /// what was before. Call it after the change.
    pub fn invalidate(&self, key: &K) {
        self.flights.overtake(key, || self.values.invalidate(key));
    }

    /// Forgets everything, as [`Cache::invalidate`] does.
    pub fn clear(&self) {
        self.flights.overtake_all(|| self.values.invalidate_all());
    }
}
