//! The rows of a move: copying them, catching up with what changed, removing them.

use data::DataError;

use super::{MoveError, Work};
use crate::store::Store;
use crate::store::copy::{CopiedItem, FROM_2, FROM_3, PAGE, Rows};
use crate::store::slots::State;

/// With so few changes in a round, the rest is copied behind the fence.
pub(super) const LITTLE: usize = 50;
/// Should changes come faster than they can be copied, the fence ends that.
const ROUNDS: u32 = 1_000;

fn is_last(rows: usize) -> bool {
    rows < usize::try_from(PAGE).unwrap_or(usize::MAX)
}

impl Work<'_> {
    /// Copies everything that the giver has of the slot.
    pub(super) async fn copy_all(&self, giver: &Store, taker: &Store) -> Result<u64, MoveError> {
        let mut copied = 0;
        let mut user = i64::MIN;
        loop {
            let erased = giver.erased_after(user).await?;
            let last = is_last(erased.len());
            user = erased.last().map_or(user, |(user, _)| *user);
            copied += self.put(taker, Rows { erased, ..Rows::default() }).await?;
            if last {
                break;
            }
        }
        let mut after = FROM_2;
        loop {
            let tombstones = giver.tombstones_of(self.slot, after).await?;
            let last = is_last(tombstones.len());
            after = tombstones.last().map_or(after, |(kind, id, _)| (*kind, *id));
            copied += self.put(taker, Rows { tombstones, ..Rows::default() }).await?;
            if last {
                break;
            }
        }
        let mut after = FROM_2;
        loop {
            let items = giver.items_of(self.slot, after).await?;
            let last = is_last(items.len());
            after = items.last().map_or(after, CopiedItem::key);
            copied += self.put(taker, Rows { items: items.clone(), ..Rows::default() }).await?;
            self.point("half copied")?;
            copied += self.copy_likes(giver, taker, &items).await?;
            if last {
                break;
            }
        }
        let mut after = FROM_3;
        loop {
            let hours = giver.hours_of(self.slot, after).await?;
            let last = is_last(hours.len());
            after = hours.last().map_or(after, |(kind, hour, id, ..)| (*kind, *hour, *id));
            copied += self.put(taker, Rows { hours, ..Rows::default() }).await?;
            if last {
                return Ok(copied);
            }
        }
    }

    async fn copy_likes(
        &self,
        giver: &Store,
        taker: &Store,
        items: &[CopiedItem],
    ) -> Result<u64, MoveError> {
        let mut copied = 0;
        let mut after = FROM_3;
        while !items.is_empty() {
            let likes = giver.likes_of(items, after).await?;
            let last = is_last(likes.len());
            after = likes.last().map_or(after, |(kind, id, user, _)| (*kind, *id, *user));
            copied += self.put(taker, Rows { likes, ..Rows::default() }).await?;
            if last {
                break;
            }
        }
        Ok(copied)
    }

    /// Copies what changed, until no more than `little` changed in a round.
    pub(super) async fn catch_up(
        &self,
        giver: &Store,
        taker: &Store,
        little: usize,
    ) -> Result<u64, MoveError> {
        let mut copied = 0;
        for round in 0.. {
            let (numbers, rows) = giver.changes_of(self.slot).await?;
            if numbers.is_empty() {
                break;
            }
            copied += self.put(taker, rows).await?;
            self.point("changes copied")?;
            let few = numbers.len() <= little;
            let writer = giver.clone();
            let forgotten: Result<(), DataError> = giver
                .db()
                .write(move |tx| Box::pin(async move { writer.forget_changes(tx, &numbers).await }))
                .await;
            forgotten?;
            if few || little > 0 && round > ROUNDS {
                break;
            }
        }
        Ok(copied)
    }

    /// Puts rows into the taker, if the move is still this process' own.
    async fn put(&self, taker: &Store, rows: Rows) -> Result<u64, MoveError> {
        let Rows { items, tombstones, likes, hours, erased, changed } = &rows;
        let count = items.len() + tombstones.len() + likes.len() + hours.len() + erased.len();
        let count = count.max(changed.len()) as u64;
        if count == 0 {
            return Ok(0);
        }
        let (slot, mover, writer) = (self.slot, self.mover, taker.clone());
        self.own(taker, move |tx| {
            let (store, rows) = (writer.clone(), rows.clone());
            Box::pin(async move {
                let own = store.beat(tx, slot, State::Arriving, mover).await?;
                if own {
                    store.put(tx, &rows).await?;
                }
                Ok(own)
            })
        })
        .await?;
        Ok(count)
    }

    /// Removes what a shard has of the slot and nobody looks at. Tombstones stay.
    pub(super) async fn clear(&self, store: &Store, state: State) -> Result<(), MoveError> {
        let (slot, mover) = (self.slot, self.mover);
        loop {
            // Always from the start: what was found is gone the next time.
            let items = store.items_of(slot, FROM_2).await?;
            let hours = store.hours_of(slot, FROM_3).await?;
            if items.is_empty() && hours.is_empty() {
                return Ok(());
            }
            let more = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
            while more.load(std::sync::atomic::Ordering::SeqCst) {
                let (writer, items, hours) = (store.clone(), items.clone(), hours.clone());
                let more = more.clone();
                self.own(store, move |tx| {
                    let (store, items, hours) = (writer.clone(), items.clone(), hours.clone());
                    let more = more.clone();
                    Box::pin(async move {
                        if !store.beat(tx, slot, state, mover).await? {
                            return Ok(false);
                        }
                        let likes = store.drop_likes(tx, &items).await?;
                        let left = likes == PAGE.unsigned_abs();
                        if !left {
                            store.drop_items(tx, &items).await?;
                            store.drop_hours(tx, &hours).await?;
                        }
                        more.store(left, std::sync::atomic::Ordering::SeqCst);
                        Ok(true)
                    })
                })
                .await?;
            }
            self.point("half cleared")?;
        }
    }
}
