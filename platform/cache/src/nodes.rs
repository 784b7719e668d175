//! The nodes of a ring as one instance sees them.
//!
//! **Generations.** A node that was away may return with values that were invalidated meanwhile,
//! and one that this instance cannot reach may be in use by others. So each node has a generation,
//! a number that is part of its keys. Whoever cannot invalidate a key there raises it, wherever it
//! can: what the node holds is then under keys that nobody asks for, and runs out. Each node keeps
//! the generations of all; instances merge them at every [`CacheSettings::sync_ms`] (the higher
//! counts), and a node refuses whoever asks it under an older one than it knows of itself. While an
//! instance has not been able to merge for [`UNSYNCED`] times that, it uses no node at all.
//!
//! An instance that reached nobody owes it to every node, and raises the generation there before it
//! uses it again. To merge would not do: others may have come as far by themselves, and read on.
//!
//! **Invalidation** takes the lease of a key at both nodes, whoever has it; while it is held there,
//! nothing can be written: neither by a load nor by the repair of one copy from the other. Only
//! then, when no old value is left anywhere, are both leases given back.

mod keeper;
mod node;
mod script;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::join_all;
use redis::IntoConnectionInfo;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use uuid::Uuid;

use crate::ring::Ring;
use crate::settings::CacheSettings;
use crate::store::BadSettings;

pub(crate) use node::{Found, Node};

/// Rounds of merging that may be missed.
const UNSYNCED: u32 = 4;
/// An invalidation holds a key for no longer, should it die in the middle.
const SEIZED: Duration = Duration::from_secs(2);
/// Copies that are repaired at once, in the background.
const REPAIRS: usize = 16;

/// The nodes of a ring.
pub(crate) struct Nodes {
    pub(crate) settings: CacheSettings,
    pub(crate) nodes: Vec<Arc<Node>>,
    ring: Ring,
    instance: Uuid,
    tokens: AtomicU64,
    pub(crate) repairs: Arc<Semaphore>,
}

impl Nodes {
    pub(crate) fn new(settings: &CacheSettings) -> Result<Self, BadSettings> {
        let began = Instant::now();
        let mut nodes: Vec<Arc<Node>> = Vec::new();
        for url in &settings.nodes {
            let bad = |what: &dyn std::fmt::Display| {
                // Without what comes before the host, which may be a password.
                let shown = url.rsplit('@').next().unwrap_or_default();
                BadSettings(format!("`{shown}` is no node of a cache: {what}"))
            };
            let (address, name) = url.split_once('#').unwrap_or((url, ""));
            let info = address.into_connection_info().map_err(|error| bad(&error))?;
            let node = Node::new(info, name, settings, began).map_err(|error| bad(&error))?;
            if nodes.iter().any(|other| other.name == node.name) {
                return Err(bad(&"it is there twice"));
            }
            nodes.push(Arc::new(node));
        }
        let names: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
        Ok(Self {
            ring: Ring::new(&names),
            settings: settings.clone(),
            nodes,
            instance: Uuid::new_v4(),
            tokens: AtomicU64::new(0),
            repairs: Arc::new(Semaphore::new(REPAIRS)),
        })
    }

    /// Where a key is kept: the first copy, then the second. Nowhere while it is not known what
    /// the nodes have missed.
    pub(crate) fn copies(&self, key: &str) -> [Option<&Arc<Node>>; 2] {
        let bound = self.settings.sync() * UNSYNCED;
        let known = self.nodes.iter().all(|node| !node.is_up() || node.is_synced(bound));
        if known { self.owners(key) } else { [None, None] }
    }

    fn owners(&self, key: &str) -> [Option<&Arc<Node>>; 2] {
        self.ring.copies(key.as_bytes()).map(|node| self.nodes.get(node?))
    }

    /// A lease's name, never given twice.
    pub(crate) fn token(&self) -> String {
        format!("L{}.{}", self.instance, self.tokens.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn answering(&self) -> (usize, usize) {
        (self.nodes.iter().filter(|node| node.is_up()).count(), self.nodes.len())
    }

    /// Deletes both copies of a key, so that nothing brings them back that was read before.
    pub(crate) async fn invalidate(&self, key: &str) {
        let owners: Vec<_> = self.owners(key).into_iter().flatten().collect();
        let token = self.token();
        let began = Instant::now();
        let seize = |node: &Arc<Node>| {
            let (node, token) = (Arc::clone(node), token.clone());
            async move { node.seize(key, &token, SEIZED).await }
        };
        let mut seized = join_all(owners.iter().map(|node| seize(node))).await;
        if began.elapsed() > SEIZED / 2 {
            // The process stood still: what was seized first may be free again.
            seized.fill(false);
        }
        for (node, _) in owners.iter().zip(&seized).filter(|(_, seized)| !**seized) {
            self.distrust(node).await;
        }
        let held = owners.iter().zip(&seized).filter(|(_, seized)| **seized);
        join_all(held.map(|(node, _)| node.release(key, &token))).await;
    }

    /// Makes everybody look past what `node` keeps now.
    async fn distrust(&self, node: &Node) {
        let known = node.generation();
        let raised = join_all(self.nodes.iter().map(|at| at.next_generation(node))).await;
        let newest = raised.iter().flatten().copied().max().unwrap_or(known + 1);
        node.raise(newest);
        if raised.iter().all(Option::is_none) {
            self.nodes.iter().for_each(|at| at.owe(node));
            tracing::debug!(node = node.name, "nobody can be told that a node is out of date");
        }
        // Those that had counted less far.
        let behind = self.nodes.iter().zip(&raised);
        let behind = behind.filter(|(_, at)| at.is_some_and(|at| at < newest));
        join_all(behind.map(|(at, _)| self.sync(at))).await;
        metrics::counter!("cache_node_distrusted_total", "node" => node.name.clone()).increment(1);
    }
}
