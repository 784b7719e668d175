//! Background loops: views to disk, epochs of rankings, what has to be forgotten, moves whose mover
//! died.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use data::DataError;
use tasks::Tasks;
use telemetry::Context;
use tokio::time::{MissedTickBehavior, interval};

use crate::model::{HOUR_MS, RETENTION_HOURS};
use crate::move_slot::Stalled;
use crate::store::Store;
use crate::{Service, rank};

/// What was left behind by a process that died is found within this time.
const TIDY_EVERY: Duration = Duration::from_secs(60);
/// How often moves are looked at for a sign of life.
const LOOK_FOR_STALLED: Duration = Duration::from_secs(1);
/// For so long after a user was erased, likes of theirs that were under way are looked for.
const ERASED_FOR_MS: i64 = 24 * HOUR_MS;

/// Starts the loops; each ends when `tasks` stop.
pub(crate) fn start(
    service: &Service,
    flush_every: Duration,
    take_over_after: Duration,
    tasks: &Tasks,
) {
    let flusher = service.clone();
    every(tasks, "popularity views", flush_every, move || {
        let service = flusher.clone();
        async move { service.counts.flush().await }
    });
    let tidier = service.clone();
    every(tasks, "popularity tidy", TIDY_EVERY, move || {
        let service = tidier.clone();
        async move { service.tidy().await }
    });
    let stalled = Arc::new(Stalled::new(service.shards.clone(), take_over_after));
    every(tasks, "popularity moves", LOOK_FOR_STALLED, move || {
        let stalled = stalled.clone();
        async move { stalled.go_on().await }
    });
    let rankings = service.rankings.clone();
    every(tasks, "popularity epochs", rank::TICK, move || {
        rankings.tick();
        async { Ok(()) }
    });
    // The views of the last second: after the loops were told to stop, before the process ends.
    let (last, stopping) = (service.clone(), tasks.stopping());
    tasks.spawn("popularity last views", async move {
        stopping.cancelled().await;
        if let Err(error) = last.counts.flush().await {
            tracing::warn!(%error, "the last views are lost");
        }
    });
}

/// Does `work` again and again, the first time at once; what fails is tried again the next time.
fn every<F, Fut>(tasks: &Tasks, name: &'static str, period: Duration, work: F)
where
    F: Fn() -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Result<(), DataError>> + Send,
{
    let stopping = tasks.stopping();
    tasks.spawn_loop(name, move || {
        let (work, stopping) = (work.clone(), stopping.clone());
        // From the primary: a replica may not have what is to be tidied up.
        let context = Context { fresh: true, ..Context::background() };
        context.scope(async move {
            let mut ticks = interval(period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    () = stopping.cancelled() => return,
                    _ = ticks.tick() => {}
                }
                if let Err(error) = work().await {
                    tracing::warn!(task = name, %error, "failed, trying again");
                }
            }
        })
    });
}

impl Service {
    /// Finishes what was begun, and forgets what is old. A shard that is away waits its turn.
    pub(crate) async fn tidy(&self) -> Result<(), DataError> {
        let mut failed = None;
        for shard in self.shards.all() {
            let tidied = match shard.store() {
                Ok(store) => self.tidy_shard(store).await,
                Err(error) => Err(error),
            };
            if let Err(error) = tidied {
                failed = Some(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn tidy_shard(&self, store: &Store) -> Result<(), DataError> {
        let now = self.clock.now();
        for item in store.unswept().await? {
            self.sweep_item(store, item).await?;
        }
        for user in store.erased_since(now - ERASED_FOR_MS).await? {
            self.erase_user(user).await?;
        }
        let mut more = true;
        while more {
            let writer = store.clone();
            let pruned: Result<bool, DataError> = store
                .db()
                .write(move |tx| Box::pin(async move { writer.prune_activity(tx, now).await }))
                .await;
            more = pruned?;
        }
        let (writer, before) = (store.clone(), now - RETENTION_HOURS * HOUR_MS);
        store
            .db()
            .write(move |tx| Box::pin(async move { writer.prune_withdrawn(tx, before).await }))
            .await
    }
}
