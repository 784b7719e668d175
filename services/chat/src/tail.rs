//! Following the log: what any instance has written reaches the sockets of this one, in order.
//!
//! The log itself is what is followed, so that nothing depends on being told: whoever writes tells
//! the others that there is more ([`crate::peers`]), and each looks now and then all the same.
//!
//! Invariant: every entry is handed on once, in the order of positions. Since whoever writes holds
//! the head until the commit, nothing appears behind a position that can be seen.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use data::DataError;
use tasks::Tasks;
use telemetry::Context;
use tokio::sync::watch;

use crate::live::Live;
use crate::peers::Peers;
use crate::store::Store;

/// Entries read at once.
const PAGE: u64 = 1_000;

/// Follows the log from its present head, until `tasks` stop; then the sockets are told to connect
/// again. To be called before the first socket comes.
///
/// # Errors
/// When the head cannot be read.
pub(crate) async fn follow(
    store: Store,
    live: Live,
    peers: Peers,
    look_every: Duration,
    tasks: &Tasks,
) -> Result<(), DataError> {
    let stopping = tasks.stopping();
    let at = Arc::new(AtomicI64::new(store.head().await?));
    let told = peers.told();
    let tail = Tail { store, live, peers, told, look_every, at };
    tasks.spawn_loop("chat tail", move || {
        let (mut tail, stopping) = (tail.clone(), stopping.clone());
        let context = Context { fresh: true, ..Context::background() };
        context.scope(async move {
            tokio::select! {
                () = stopping.cancelled() => tail.live.drain().await,
                () = tail.run() => {}
            }
        })
    });
    Ok(())
}

#[derive(Clone)]
struct Tail {
    store: Store,
    live: Live,
    peers: Peers,
    told: watch::Receiver<i64>,
    look_every: Duration,
    /// How far it was handed on; kept over a panic, so that nothing is left out.
    at: Arc<AtomicI64>,
}

impl Tail {
    async fn run(&mut self) {
        let mut committed = self.store.db().committed();
        let mut look = tokio::time::interval(self.look_every);
        loop {
            // Before reading: what comes afterwards is another reason to read.
            committed.borrow_and_update();
            self.told.borrow_and_update();
            let advanced = self.advance().await;
            // Either may have no sender any more, when the process ends.
            let looked = tokio::select! {
                Ok(()) = committed.changed(), if advanced.is_ok() => Ok(()),
                Ok(()) = self.told.changed(), if advanced.is_ok() => Ok(()),
                _ = look.tick() => self.look_at_head().await,
            };
            if let Err(error) = advanced.and(looked) {
                tracing::warn!(%error, "the log of chat cannot be read; trying again");
            }
        }
    }

    /// Hands on what there is.
    async fn advance(&self) -> Result<(), DataError> {
        loop {
            let entries = self.store.after(self.at.load(Relaxed), PAGE).await?;
            for entry in &entries {
                self.live.tell(entry);
                self.at.store(entry.position, Relaxed);
            }
            self.peers.reached(self.at.load(Relaxed));
            if (entries.len() as u64) < PAGE {
                return Ok(());
            }
        }
    }

    /// After a failover to a server that lacks the last moments of the old one, positions are given
    /// anew: whoever has heard of the old ones starts over.
    async fn look_at_head(&self) -> Result<(), DataError> {
        let (head, at) = (self.store.head().await?, self.at.load(Relaxed));
        if head < at {
            tracing::error!(at, head, "the log of chat has become shorter: sockets start over");
            self.live.start_over();
            self.at.store(head, Relaxed);
        }
        Ok(())
    }
}
