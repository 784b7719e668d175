//! Who connects to a node, again and again, and keeps the generations together.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tasks::Tasks;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::node::Line;
use super::{Node, Nodes, script};

/// A node that was used for so long before it failed again is not one that flaps.
const STEADY: Duration = Duration::from_secs(10);

impl Nodes {
    /// Connects to all that answer soon, and keeps at it.
    pub(crate) async fn start(self: &Arc<Self>, tasks: &Tasks) {
        join_all(self.nodes.iter().map(|node| self.connect(node))).await;
        for node in &self.nodes {
            node.lacks_nothing();
            let (nodes, node, stopping) = (Arc::clone(self), Arc::clone(node), tasks.stopping());
            tasks.spawn_loop("cache node", move || {
                keep(Arc::clone(&nodes), Arc::clone(&node), stopping.clone())
            });
        }
    }

    /// Connects, and lets others use it once it has told, in time, what it knows.
    async fn connect(&self, node: &Node) -> bool {
        let Some(line) = node.connect().await else { return false };
        // What it missed while it was away, others know.
        join_all(self.nodes.iter().map(|other| self.sync(other))).await;
        let known = self.known();
        let Some(merged) = node.ask_first::<Vec<i64>>(&line, &script::SYNC, &known).await else {
            return false;
        };
        self.merge(&merged);
        if !self.pay(node, Some(&line)).await {
            return false;
        }
        node.synced();
        node.join(line);
        true
    }

    /// Tells a node what it could not be told while nobody was reached. Whether nothing is left.
    async fn pay(&self, at: &Node, unused: Option<&Line>) -> bool {
        for node in self.nodes.iter().filter(|node| at.settle(node)) {
            let raised = match unused {
                Some(line) => {
                    let known = [(node.name.as_str(), node.generation())];
                    at.ask_first(line, &script::NEXT, &known).await
                }
                None => at.next_generation(node).await,
            };
            match raised {
                Some(generation) => node.raise(generation),
                None => {
                    at.owe(node);
                    return false;
                }
            }
        }
        true
    }

    /// Merges what is known here with what a node knows.
    pub(super) async fn sync(&self, node: &Node) {
        let known = self.known();
        if let Some(merged) = node.ask_register::<Vec<i64>>(&script::SYNC, &known).await {
            self.merge(&merged);
            node.synced();
        }
    }

    fn known(&self) -> Vec<(&str, i64)> {
        self.nodes.iter().map(|node| (node.name.as_str(), node.generation())).collect()
    }

    fn merge(&self, generations: &[i64]) {
        for (node, generation) in self.nodes.iter().zip(generations) {
            node.raise(*generation);
        }
    }
}

async fn keep(nodes: Arc<Nodes>, node: Arc<Node>, stopping: CancellationToken) {
    let (mut failures, mut since) = (0, Instant::now());
    loop {
        let pause = if node.is_up() {
            nodes.settings.sync()
        } else {
            // Just lost, or not to be had: longer each time, unless it was fine for long.
            if since.elapsed() > STEADY {
                failures = 0;
            }
            failures += 1;
            nodes.settings.rest(failures)
        };
        tokio::select! {
            () = stopping.cancelled() => return,
            () = node.lost.notified(), if node.is_up() => continue,
            () = sleep(pause.mul_f64(rand::random_range(0.8..=1.2))) => {}
        }
        if node.is_up() {
            // Owed since just before it was in use.
            nodes.pay(&node, None).await;
            nodes.sync(&node).await;
        } else {
            nodes.connect(&node).await;
            since = Instant::now();
        }
    }
}
