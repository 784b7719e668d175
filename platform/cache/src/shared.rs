//! A cache that all instances of a service share.

use std::hash::Hash;

use serde::Serialize;

use crate::local::Cache;
use crate::remote::Remote;

/// A cache that all instances share if there is a ring, and otherwise each keeps for itself; see
/// [`Store`](crate::Store). Clones share it.
///
/// There is no `insert`: a value comes from a load, which an invalidation can overtake. Nothing
/// here fails: where a node does not answer, what it keeps is loaded.
pub struct Shared<K, V>(Place<K, V>);

enum Place<K, V> {
    Here(Cache<K, V>),
    Ring(Remote<V>),
}

impl<K, V> Clone for Shared<K, V>
where
    Cache<K, V>: Clone,
{
    fn clone(&self) -> Self {
        Self(match &self.0 {
            Place::Here(cache) => Place::Here(cache.clone()),
            Place::Ring(remote) => Place::Ring(remote.clone()),
        })
    }
}

impl<K, V> Shared<K, V>
where
    K: Serialize + Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(crate) fn here(cache: Cache<K, V>) -> Self {
        Self(Place::Here(cache))
    }

    pub(crate) fn on_ring(remote: Remote<V>) -> Self {
        Self(Place::Ring(remote))
    }

    /// What is there for `key`.
    pub async fn get(&self, key: &K) -> Option<V> {
        match &self.0 {
            Place::Here(cache) => cache.get(key),
            Place::Ring(remote) => remote.get(&text(key)?).await,
        }
    }

    /// What is there for `key`, or what `load` gives, which is kept. Of all who ask at once, in all
    /// instances, one loads and the others wait, for a time that is bounded.
    ///
    /// # Errors
    /// Those of `load`; they are not kept.
    pub async fn get_with<E>(
        &self,
        key: K,
        load: impl Future<Output = Result<V, E>>,
    ) -> Result<V, E> {
        match &self.0 {
            Place::Here(cache) => cache.get_with(key, load).await,
            Place::Ring(remote) => match text(&key) {
                Some(key) => remote.get_with(&key, load).await,
                None => load.await,
            },
        }
    }

    /// Forgets what is there for `key`; call it after the change. Once it returns, nobody is given
    /// what was there before, nor does a load that began earlier bring it back. Three exceptions: an
    /// instance that reaches a node of the ring which this one does not may read it there for about
    /// [`CacheSettings::sync_ms`](crate::CacheSettings::sync_ms), four times that at most; if no node
    /// can be reached from here, until one can or the time to live is over; and where two parts of a
    /// network each reach other nodes, those of the other part for the time to live.
    ///
    /// It goes on if the caller is dropped.
    pub async fn invalidate(&self, key: &K) {
        match &self.0 {
            Place::Here(cache) => cache.invalidate(key),
            Place::Ring(remote) => {
                if let Some(key) = text(key) {
                    remote.invalidate(&key).await;
                }
            }
        }
    }
}

/// Keys are told apart by their JSON.
fn text<K: Serialize>(key: &K) -> Option<String> {
    serde_json::to_string(key)
        .inspect_err(|error| tracing::error!(%error, "a key of a cache cannot be written"))
        .ok()
}
