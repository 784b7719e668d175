//! Forgetting an item, or what a user liked: in pieces, each whole, until nothing is left.
//!
//! The first piece says that it is gone, and nothing new is taken from then on; should the process
//! die before the last, the workers find what is left. A user is forgotten on every shard, so that
//! one that is away makes it fail, to be tried again.

use std::time::Duration;

use data::DataError;
use tokio::time::{Instant, sleep};

use crate::Service;
use crate::model::Item;
use crate::shards::Shard;
use crate::store::Store;

/// So many likes of an erased user go with one transaction.
const LIKES: i64 = 500;
/// So often all shards are gone through, because slots moved from one to another meanwhile.
const ROUNDS: u32 = 20;
/// How long a like may be on its way to another shard.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

impl Service {
    /// Forgets an item with its likes.
    pub(crate) async fn withdraw_item(&self, item: Item) -> Result<(), DataError> {
        let now = self.clock.now();
        let withdraw = |shard: &Shard| {
            let store = shard.store().cloned();
            async move {
                let store = store?;
                let (writer, db) = (store.clone(), store.db().clone());
                let withdrawn: Result<_, DataError> = db
                    .write(move |tx| Box::pin(async move { writer.withdraw(tx, item, now).await }))
                    .await;
                withdrawn.map(|here| here.map(|()| store))
            }
        };
        let store = self.shards.at_home(item, withdraw).await?;
        self.counts.gone(item);
        self.rankings.changed();
        self.sweep_item(&store, item).await
    }

    /// Removes what is left of a withdrawn item.
    pub(crate) async fn sweep_item(&self, store: &Store, item: Item) -> Result<(), DataError> {
        loop {
            let (writer, now) = (store.clone(), self.clock.now());
            let more: Result<bool, DataError> = store
                .db()
                .write(move |tx| Box::pin(async move { writer.sweep(tx, item, now).await }))
                .await;
            if !more? {
                return Ok(());
            }
        }
    }

    /// Takes back all that a user liked, and takes nothing more from them.
    pub(crate) async fn erase_user(&self, user: i64) -> Result<(), DataError> {
        let stores = self.shards.every()?;
        for store in &stores {
            let (writer, now) = ((*store).clone(), self.clock.now());
            let erased: Result<(), DataError> = store
                .db()
                .write(move |tx| Box::pin(async move { writer.erase(tx, user, now).await }))
                .await;
            erased?;
        }
        for _ in 0..ROUNDS {
            let before = self.shards.epochs().await?;
            for store in &stores {
                self.take_back_all(store, user).await?;
            }
            // What moved meanwhile may have come to one that was through already.
            if self.shards.epochs().await? == before {
                self.shards.look_again().await;
                return match self.shards.placement().is_complete() {
                    true => Ok(()),
                    false => Err(DataError::Unavailable("a slot is on no shard known here".into())),
                };
            }
        }
        Err(DataError::Busy)
    }

    async fn take_back_all(&self, store: &Store, user: i64) -> Result<(), DataError> {
        let mut waiting = None;
        loop {
            let (writer, now) = (store.clone(), self.clock.now());
            let taken: Result<usize, DataError> = store
                .db()
                .write(move |tx| {
                    Box::pin(async move {
                        let taken = writer.take_back(tx, user, LIKES, now).await?;
                        if taken == 0 {
                            writer.sweep_user(tx, user).await?;
                        }
                        Ok(taken)
                    })
                })
                .await;
            self.rankings.changed();
            match taken {
                Ok(0) => return Ok(()),
                Ok(_) => waiting = None,
                Err(DataError::Busy)
                    if waiting.get_or_insert_with(Instant::now).elapsed() < PATIENCE =>
                {
                    sleep(PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }
}
