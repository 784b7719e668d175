//! Where the shared caches of a process come from.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tasks::Tasks;

use crate::format::Format;
use crate::local::Cache;
use crate::nodes::Nodes;
use crate::remote::Remote;
use crate::settings::CacheSettings;
use crate::shared::Shared;

/// The settings cannot be used; one line that says why.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadSettings(pub(crate) String);

/// Gives out caches that all instances share: on the ring that the settings name, or, if they name
/// none, in this process. Clones share everything.
#[derive(Clone, Default)]
pub struct Store {
    nodes: Option<Arc<Nodes>>,
}

impl Store {
    /// A store whose caches are in this process.
    #[must_use]
    pub fn embedded() -> Self {
        Self::default()
    }

    /// The store of these settings. Nodes that do not answer are no error: they are left out until
    /// they do, and all that takes is a load.
    ///
    /// # Errors
    /// [`BadSettings`] when an address is none, or is there twice.
    pub async fn open(settings: &CacheSettings, tasks: &Tasks) -> Result<Self, BadSettings> {
        if settings.nodes.is_empty() {
            return Ok(Self::embedded());
        }
        let nodes = Arc::new(Nodes::new(settings)?);
        nodes.start(tasks).await;
        Ok(Self { nodes: Some(nodes) })
    }

    /// A cache of values that are kept as JSON. `name` tells its keys from those of others and
    /// stands in its metrics: change it when old JSON no longer fits `V`. `capacity` bounds how many
    /// are kept in this process; on the ring, the nodes' `maxmemory` does. To be called once for each
    /// name: what is kept in this process is kept by the cache, and not by its name.
    #[must_use]
    pub fn cache<K, V>(&self, name: &'static str, capacity: u64, ttl: Duration) -> Shared<K, V>
    where
        K: Serialize + Hash + Eq + Clone + Send + Sync + 'static,
        V: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
    {
        self.of(name, capacity, ttl, Format::json())
    }

    /// As [`Store::cache`], of bytes that are kept as they are: pictures, for example.
    #[must_use]
    pub fn bytes<K>(&self, name: &'static str, capacity: u64, ttl: Duration) -> Shared<K, Bytes>
    where
        K: Serialize + Hash + Eq + Clone + Send + Sync + 'static,
    {
        self.of(name, capacity, ttl, Format::bytes())
    }

    fn of<K, V>(
        &self,
        name: &'static str,
        capacity: u64,
        ttl: Duration,
        format: Format<V>,
    ) -> Shared<K, V>
    where
        K: Serialize + Hash + Eq + Clone + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
    {
        match &self.nodes {
            None => Shared::here(Cache::new(name, capacity, ttl)),
            Some(nodes) => Shared::on_ring(Remote::new(Arc::clone(nodes), name, ttl, format)),
        }
    }

    /// Whether all instances have the same caches. Otherwise each has its own, and hears of what
    /// others invalidate only if they tell it.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.nodes.is_some()
    }

    /// How many nodes of the ring answer, of how many; `None` if there is no ring.
    #[must_use]
    pub fn answering(&self) -> Option<(usize, usize)> {
        self.nodes.as_ref().map(|nodes| nodes.answering())
    }
}
