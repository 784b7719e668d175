//! Forgetting an item, or what a user liked: in pieces, each whole, until nothing is left.
//!
//! The first piece says that it is gone, and nothing new is taken from then on; should the process
//! die before the last, the workers find what is left.

use data::DataError;

use crate::Service;
use crate::model::Item;

/// So many likes of an erased user go with one transaction.
const LIKES: i64 = 500;

impl Service {
    /// Forgets an item with its likes.
    pub(crate) async fn withdraw_item(&self, item: Item) -> Result<(), DataError> {
        let (store, now) = (self.store.clone(), self.clock.now());
        let withdrawn: Result<(), DataError> = self
            .store
            .db()
            .write(move |tx| Box::pin(async move { store.withdraw(tx, item, now).await }))
            .await;
        withdrawn?;
        self.counts.gone(item);
        self.rankings.changed();
        self.sweep_item(item).await
    }

    /// Removes what is left of a withdrawn item.
    pub(crate) async fn sweep_item(&self, item: Item) -> Result<(), DataError> {
        loop {
            let (store, now) = (self.store.clone(), self.clock.now());
            let more: Result<bool, DataError> = self
                .store
                .db()
                .write(move |tx| Box::pin(async move { store.sweep(tx, item, now).await }))
                .await;
            if !more? {
                return Ok(());
            }
        }
    }

    /// Takes back all that a user liked, and takes nothing more from them.
    pub(crate) async fn erase_user(&self, user: i64) -> Result<(), DataError> {
        let (store, now) = (self.store.clone(), self.clock.now());
        let erased: Result<(), DataError> = self
            .store
            .db()
            .write(move |tx| Box::pin(async move { store.erase(tx, user, now).await }))
            .await;
        erased?;
        loop {
            let (store, now) = (self.store.clone(), self.clock.now());
            let taken: Result<usize, DataError> = self
                .store
                .db()
                .write(move |tx| {
                    Box::pin(async move {
                        let taken = store.take_back(tx, user, LIKES, now).await?;
                        if taken == 0 {
                            store.sweep_user(tx, user).await?;
                        }
                        Ok(taken)
                    })
                })
                .await;
            self.rankings.changed();
            if taken? == 0 {
                return Ok(());
            }
        }
    }
}
