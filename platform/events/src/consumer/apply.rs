//! The transactions of a consumer: position, inbox and effect together.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use data::{DataError, Database, Sql, Tx, values};
use futures::FutureExt;

use super::Work;
use crate::dead_letters::{self, DeadLetter};
use crate::handler::HandlerError;
use crate::log::{Mark, Recorded};

/// Longer than any log is kept, so that no event outlives the memory of its handling.
const KEEP_INBOX_MS: i64 = 30 * 24 * 3600 * 1000;
const PRUNE_BATCH: u64 = 5000;

impl Work {
    /// The stored position; the beginning when this consumer is new here.
    pub(crate) async fn position(&self) -> Result<Mark, DataError> {
        let name = self.name.clone();
        let sql = "SELECT position, event_id FROM events_positions WHERE consumer = $1";
        let found: Option<(i64, String)> = self.db.read().row(sql, values![&*name]).await?;
        if let Some((seq, id)) = found {
            return Ok(Mark { seq, id: id.into() });
        }
        let insert = "INSERT INTO events_positions (consumer, position, event_id) \
                      VALUES ($1, 0, '') ON CONFLICT (consumer) DO NOTHING";
        let made: Result<u64, DataError> = self
            .db
            .write(move |tx: &Tx| Box::pin(async move { tx.run(insert, values![&*name]).await }))
            .await;
        made?;
        Ok(Mark::start())
    }

    /// Moves the position past events that have no handler here. False: another instance has
    /// moved it.
    pub(super) async fn pass_over(&self, from: &Mark, to: &Mark) -> Result<bool, DataError> {
        let (name, from, to) = (self.name.clone(), from.clone(), to.clone());
        self.db
            .write(move |tx: &Tx| Box::pin(async move { move_on(tx, &name, &from, &to).await }))
            .await
    }

    /// Handles `events` in one transaction, moving the position from `from` to the last of them.
    /// False: another instance has moved it, and nothing was done.
    pub(crate) async fn apply(
        &self,
        from: &Mark,
        events: Vec<Arc<Recorded>>,
    ) -> Result<bool, HandlerError> {
        let (work, from) = (self.clone(), from.clone());
        self.db
            .write(move |tx: &Tx| {
                Box::pin(async move {
                    let to = events.last().map_or(from.clone(), |event| Mark::of(event));
                    if !move_on(tx, &work.name, &from, &to).await? {
                        return Ok(false);
                    }
                    for event in &events {
                        work.effect(tx, event).await?;
                    }
                    Ok(true)
                })
            })
            .await
    }

    /// Gives an event up: it becomes a dead letter and the position moves past it.
    pub(super) async fn give_up(
        &self,
        from: &Mark,
        event: Arc<Recorded>,
        error: String,
        attempts: u32,
    ) -> Result<bool, DataError> {
        let (name, from) = (self.name.clone(), from.clone());
        self.db
            .write(move |tx: &Tx| {
                Box::pin(async move {
                    if !move_on(tx, &name, &from, &Mark::of(&event)).await? {
                        return Ok(false);
                    }
                    dead_letters::bury(tx, &name, &event, &error, i64::from(attempts)).await?;
                    Ok(true)
                })
            })
            .await
    }

    /// Tries a dead letter again: gone with its effect, or kept with the new reason.
    pub(super) async fn try_again(&self, letter: DeadLetter) -> Result<(), DataError> {
        let (work, id) = (self.clone(), letter.id);
        let done: Result<(), HandlerError> = self
            .db
            .write(move |tx: &Tx| {
                Box::pin(async move {
                    let sql = "DELETE FROM events_dead_letters WHERE id = $1 AND replay = 1";
                    // Otherwise another instance was faster.
                    if tx.run(sql, values![letter.id]).await? == 1 {
                        work.effect(tx, &letter.event).await?;
                    }
                    Ok(())
                })
            })
            .await;
        match done {
            Ok(()) => Ok(()),
            Err(HandlerError::Unavailable(_)) => Ok(()),
            Err(error) => {
                let error = error.to_string();
                tracing::warn!(consumer = &*self.name, id, error, "dead letter failed again");
                dead_letters::keep(&self.db, id, error).await
            }
        }
    }

    /// The handler's effect, unless the inbox knows the event.
    async fn effect(&self, tx: &Tx, event: &Recorded) -> Result<(), HandlerError> {
        let Some(handler) = self.handlers.get(&event.name) else {
            return Ok(());
        };
        let new = tx
            .run(
                "INSERT INTO events_inbox (consumer, event_id, handled_at) VALUES ($1, $2, $3) \
                 ON CONFLICT (consumer, event_id) DO NOTHING",
                values![&*self.name, event.id.as_str(), crate::now()],
            )
            .await?;
        if new == 0 {
            return Ok(());
        }
        AssertUnwindSafe(handler(tx, event))
            .catch_unwind()
            .await
            .unwrap_or_else(|_| Err(HandlerError::retry("the handler panicked")))
    }
}

/// The compare-and-set that makes one of several instances win.
async fn move_on(tx: &Tx, consumer: &str, from: &Mark, to: &Mark) -> Result<bool, DataError> {
    let sql = "UPDATE events_positions SET position = $1, event_id = $2 \
               WHERE consumer = $3 AND position = $4 AND event_id = $5";
    let moved = tx.run(sql, values![to.seq, &*to.id, consumer, from.seq, &*from.id]).await?;
    Ok(moved == 1)
}

/// Forgets what was handled long ago.
pub(super) async fn prune_inbox(db: &Database) -> Result<(), DataError> {
    let before = crate::now() - KEEP_INBOX_MS;
    let sql = "DELETE FROM events_inbox WHERE (consumer, event_id) IN \
               (SELECT consumer, event_id FROM events_inbox WHERE handled_at < $1 LIMIT $2)";
    loop {
        let pruned: Result<u64, DataError> = db
            .write(move |tx: &Tx| {
                Box::pin(async move { tx.run(sql, values![before, PRUNE_BATCH as i64]).await })
            })
            .await;
        if pruned? < PRUNE_BATCH {
            return Ok(());
        }
    }
}
