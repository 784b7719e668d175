//! `[cache]` of the configuration. Times are milliseconds.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Where shared caches are, and how long anything about them may take.
#[derive(Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CacheSettings {
    /// `redis://[USER:PASSWORD@]HOST:PORT[/DATABASE][#NAME]` of each node of the ring; none of
    /// them: each process keeps its own. All instances are given the same nodes, in any order; while
    /// they are not, an invalidation may miss a copy, which then lives out its time. A node with a
    /// name keeps its place on the ring when it moves to another address. Give nodes a `maxmemory`
    /// and `maxmemory-policy allkeys-lru`.
    pub nodes: Vec<String>,
    /// What all keys begin with, so that several systems may share nodes.
    pub prefix: String,
    /// How long a node may take to answer. One that takes longer is left out until it does not.
    pub timeout_ms: u64,
    /// How long connecting may take; nobody waits for it.
    pub connect_timeout_ms: u64,
    /// How long a node is left alone after its first failure. Doubles with each further one.
    pub rest_ms: u64,
    /// The longest that a node is left alone.
    pub rest_max_ms: u64,
    /// How often instances look whether a node has missed deletions. A reader may see what
    /// another instance deleted for this long, at most four times, if only that instance cannot
    /// reach the node.
    pub sync_ms: u64,
    /// How long a load may take; what takes longer is not kept.
    pub lease_ms: u64,
    /// How long others wait for somebody's load before they load for themselves.
    pub wait_ms: u64,
    /// Values that take more bytes are not kept.
    pub largest_value: usize,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self {
            nodes: Vec::new(),
            prefix: "atelier".into(),
            timeout_ms: 200,
            connect_timeout_ms: 1_000,
            rest_ms: 100,
            rest_max_ms: 5_000,
            sync_ms: 500,
            lease_ms: 5_000,
            wait_ms: 1_000,
            largest_value: 1 << 20,
        }
    }
}

impl CacheSettings {
    /// A ring of these nodes.
    pub fn ring(nodes: impl IntoIterator<Item = String>) -> Self {
        Self { nodes: nodes.into_iter().collect(), ..Self::default() }
    }

    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms.max(1))
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms.max(1))
    }

    pub(crate) fn sync(&self) -> Duration {
        Duration::from_millis(self.sync_ms.max(10))
    }

    pub(crate) fn wait(&self) -> Duration {
        Duration::from_millis(self.wait_ms)
    }

    /// How long a node is left alone after so many failures in a row (1 or more).
    pub(crate) fn rest(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(20);
        let rest = self.rest_ms.max(1).saturating_mul(1 << doublings);
        Duration::from_millis(rest.min(self.rest_max_ms.max(1)))
    }
}

impl fmt::Debug for CacheSettings {
    /// Without what may hold passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheSettings")
            .field("nodes", &self.nodes.len())
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}
