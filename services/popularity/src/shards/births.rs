//! Opening the databases, and telling each the first time which shard it is.
//!
//! Shard 0 decides where slots begin, once, in one transaction; the others ask it. Settings that
//! differ between instances, or that change later, move nothing.

use std::time::Duration;

use data::{DataError, Database, Sql};
use tasks::Tasks;
use tokio::time::timeout;

use super::{Shard, Shards};
use crate::model::slots::Slot;
use crate::store::Store;
use crate::store::slots::State;

/// How long the start waits for a shard that does not answer.
const AT_ONCE: Duration = Duration::from_secs(2);
/// Between two tries at one that did not answer.
const PAUSE: Duration = Duration::from_secs(1);

impl Shards {
    /// Takes the service's own database.
    pub(super) async fn open_own(&self, db: Database) -> Result<(), DataError> {
        let store = Store::new(db);
        let shards = self.clone();
        let teller = store.clone();
        let number: Result<usize, DataError> = store
            .db()
            .write(move |tx| {
                Box::pin(async move {
                    let sql = "SELECT COUNT(*) FROM (SELECT 1 AS one FROM items LIMIT 1) AS found";
                    let used = tx.row::<(i64,)>(sql, []).await?.is_some_and(|(n,)| n > 0);
                    let begin = &shards.0.begin;
                    let elsewhere = |slot: Slot| {
                        let other = begin.iter().position(|slots| slots.contains(slot));
                        other.filter(|_| !used).map(|place| place + 1)
                    };
                    teller.be_born(tx, 0, elsewhere).await
                })
            })
            .await;
        check(0, number?)?;
        self.all()[0].store.set(store).ok();
        Ok(())
    }

    /// Opens a shard if it answers soon.
    pub(super) async fn open_at_once(&self, shard: &Shard) {
        let outcome = timeout(AT_ONCE, self.open(shard)).await;
        let error = match outcome {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error,
            Err(_) => DataError::Unavailable("no answer".into()),
        };
        tracing::warn!(shard = shard.number, %error, "a shard cannot be opened yet");
    }

    /// Opens a shard, and tells it who it is if it is new.
    async fn open(&self, shard: &Shard) -> Result<(), DataError> {
        let (None, Some(settings)) = (shard.store.get(), &shard.settings) else { return Ok(()) };
        let store = Store::new(Database::open(settings, crate::MIGRATIONS).await?);
        let seen = store.look_closely(&store.db().read_primary()).await?;
        let number = match seen.number {
            Some(number) => number,
            None => self.tell(shard.number, &store).await?,
        };
        check(shard.number, number)?;
        shard.store.set(store).ok();
        Ok(())
    }

    async fn tell(&self, number: usize, store: &Store) -> Result<usize, DataError> {
        let own = self.all()[0].store()?;
        let told = own.look_closely(&own.db().read_primary()).await?;
        let teller = store.clone();
        let birth = store.db().write(move |tx| {
            Box::pin(async move {
                let elsewhere = |slot: Slot| {
                    let standing = told.of(slot);
                    let never_moved = standing.epoch == 0 && standing.state == State::Absent;
                    let here = never_moved && standing.peer == number;
                    (!here).then_some(standing.peer)
                };
                teller.be_born(tx, number, elsewhere).await
            })
        });
        birth.await
    }

    /// Calls `opened` for every shard, once it is open: now, or when it comes back.
    pub(crate) fn as_they_open(
        &self,
        tasks: &Tasks,
        opened: impl Fn(&Store) + Clone + Send + Sync + 'static,
    ) {
        for shard in self.all() {
            if let Ok(store) = shard.store() {
                opened(store);
                continue;
            }
            let (shards, number) = (self.clone(), shard.number);
            let (stopping, opened) = (tasks.stopping(), opened.clone());
            tasks.spawn_loop("popularity shard", move || {
                let (shards, opened, stopping) = (shards.clone(), opened.clone(), stopping.clone());
                async move {
                    let shard = &shards.all()[number];
                    while let Err(error) = shards.open(shard).await {
                        tracing::debug!(shard = number, %error, "a shard cannot be opened yet");
                        tokio::select! {
                            () = stopping.cancelled() => return,
                            () = tokio::time::sleep(PAUSE) => {}
                        }
                    }
                    if let Ok(store) = shard.store() {
                        opened(store);
                        shards.look_again().await;
                    }
                }
            });
        }
    }
}

fn check(number: usize, told: usize) -> Result<(), DataError> {
    if number == told {
        return Ok(());
    }
    Err(DataError::Startup(format!(
        "the database given as shard {number} of popularity is shard {told}; put the list of shards into its old order"
    )))
}
