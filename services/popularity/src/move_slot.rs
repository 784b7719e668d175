//! Moving a slot from the shard that holds it to another, while likes go on.
//!
//! What is done next follows from what stands in the two databases and from nothing else, so it
//! does not matter who died where: whoever goes on, goes on from there.
//!
//! | giver | taker | next |
//! |---|---|---|
//! | here | | the taker says that it takes (clearing) |
//! | here | clearing | remove what may be left there, then arriving |
//! | here | arriving | leaving: from now on the giver notes what changes |
//! | leaving | arriving | copy all, then what changed meanwhile until little is left; fence |
//! | fenced | arriving | copy the rest; the taker has it: here |
//! | fenced | here | away |
//! | away | here | remove what is left at the giver; absent |
//!
//! A move to where the slot is calls off one that has not come to the fence.
//!
//! Writes wait only from the fence to the taker's `here`: two small transactions and what changed
//! during one round trip.
//!
//! Invariants:
//! - nothing is put into the taker by somebody who was overtaken: each transaction there looks for
//!   its mover's mark first;
//! - a change is forgotten only after the taker has the row as it was after that change;
//! - the fence is set only by one who copied everything while the giver noted changes.

mod rows;
mod stalled;

use std::time::Duration;

use data::{DataError, Tx};
use tokio::time::sleep;

use crate::model::slots::Slot;
use crate::shards::{Shard, Shards};
use crate::store::Store;
use crate::store::slots::{Standing, State};

pub(crate) use stalled::Stalled;

/// So often a lock is asked for that others hold.
const TRIES: u32 = 40;
const PAUSE: Duration = Duration::from_millis(50);

/// Why a slot was not moved, or not all the way; what was begun is gone on with by whoever tries
/// next.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// A number that no shard has.
    #[error("there is no shard {0}")]
    NoSuchShard(usize),
    /// Nobody who can be reached holds it.
    #[error("no shard that can be reached holds slot {0}")]
    Nowhere(Slot),
    /// It is on its way to another shard.
    #[error("slot {slot} is on its way to shard {to}; let that end first")]
    Underway {
        /// Which.
        slot: Slot,
        /// Where it goes.
        to: usize,
    },
    /// Another process moves it now.
    #[error("slot {0} is moved by another process now")]
    Overtaken(Slot),
    /// A database failed.
    #[error(transparent)]
    Database(#[from] DataError),
    /// A test ended it.
    #[error("ended by a test")]
    Ended,
}

/// What a move did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Rows put into the taker, those that changed meanwhile once more each time.
    pub rows: u64,
    /// How long writes to the slot waited.
    pub fenced: Duration,
}

/// Where a test may end a move, as a crash would: `true` ends it.
pub(crate) type Crash<'a> = &'a (dyn Fn(&'static str) -> bool + Send + Sync);

/// Moves a slot to a shard. If it is there already it stays, even if it was about to leave, and what
/// earlier moves left elsewhere is tidied up.
pub(crate) async fn move_slot(
    shards: &Shards,
    slot: Slot,
    to: usize,
    crash: Crash<'_>,
) -> Result<Moved, MoveError> {
    let taker = shards.all().get(to).ok_or(MoveError::NoSuchShard(to))?;
    shards.look_again().await;
    let holder = shards.holder(slot).map_err(|_| MoveError::Nowhere(slot))?;
    let mover = loop {
        let mover: i64 = rand::random();
        if mover != 0 {
            break mover;
        }
    };
    let parties = match holder.number == to {
        false => vec![(holder, taker)],
        // Others may still have to let go of it.
        true => shards.all().iter().filter(|s| s.number != to).map(|s| (s, taker)).collect(),
    };
    if holder.number == to {
        let stays = Work { slot, giver: holder, taker: holder, mover, crash };
        let placement = shards.placement();
        let others = shards.all().iter().filter(|shard| shard.number != to);
        let epochs = others.filter_map(|other| Some(placement.said(other.number)?.of(slot).epoch));
        stays.stay(epochs.max().unwrap_or_default()).await?;
    }
    let mut moved = Moved::default();
    for (giver, taker) in parties {
        let finished_only = holder.number == to;
        let work = Work { slot, giver, taker, mover, crash };
        let one = work.run(finished_only).await;
        match one {
            Ok(one) => {
                moved = Moved { rows: moved.rows + one.rows, fenced: moved.fenced + one.fenced }
            }
            // A shard that is away can let go of it later.
            Err(MoveError::Database(_)) if finished_only => {}
            Err(error) => return Err(error),
        }
    }
    shards.look_again().await;
    Ok(moved)
}

/// One move.
struct Work<'a> {
    slot: Slot,
    giver: &'a Shard,
    taker: &'a Shard,
    mover: i64,
    crash: Crash<'a>,
}

impl Work<'_> {
    async fn run(&self, finished_only: bool) -> Result<Moved, MoveError> {
        let (giver, taker) = (self.giver.store()?, self.taker.store()?);
        let mut moved = Moved::default();
        let mut fenced_at = None;
        loop {
            let at_giver = self.look(giver).await?;
            let at_taker = self.look(taker).await?;
            if at_taker.state == State::Here && at_giver.epoch < at_taker.epoch {
                match at_giver.state {
                    State::Fenced | State::Here | State::Leaving => {
                        // Even a giver that woke up with an older state lets go.
                        let at_giver = self.claim(giver, at_giver).await?;
                        self.step(giver, at_giver, State::Away, at_giver.epoch).await?;
                        fenced_at = stop(&mut moved, fenced_at);
                        self.point("let go")?;
                    }
                    State::Away => {
                        let at_giver = self.claim(giver, at_giver).await?;
                        self.clear(giver, State::Away).await?;
                        self.point("cleaned up")?;
                        self.step(giver, at_giver, State::Absent, at_giver.epoch).await?;
                    }
                    // It was to go there, and then stayed.
                    State::Arriving => {
                        let at_giver = self.claim(giver, at_giver).await?;
                        self.step(giver, at_giver, State::Clearing, at_giver.epoch).await?;
                    }
                    State::Clearing => {
                        let at_giver = self.claim(giver, at_giver).await?;
                        self.clear(giver, State::Clearing).await?;
                        self.step(giver, at_giver, State::Absent, at_giver.epoch).await?;
                    }
                    State::Absent => return Ok(moved),
                }
                continue;
            }
            if finished_only {
                return Ok(moved);
            }
            let next = at_giver.epoch + 1;
            match (at_giver.state, at_taker.state) {
                (State::Here | State::Leaving | State::Fenced, _)
                    if at_giver.state != State::Here && at_giver.peer != self.taker.number =>
                {
                    return Err(MoveError::Underway { slot: self.slot, to: at_giver.peer });
                }
                (State::Here, State::Arriving) if at_taker.epoch == next => {
                    self.claim(taker, at_taker).await?;
                    let at_giver = self.claim(giver, at_giver).await?;
                    self.step(giver, at_giver, State::Leaving, at_giver.epoch).await?;
                    self.point("leaving")?;
                }
                (State::Here, State::Clearing) if at_taker.epoch == next => {
                    let at_taker = self.claim(taker, at_taker).await?;
                    self.clear(taker, State::Clearing).await?;
                    self.point("cleared")?;
                    self.step(taker, at_taker, State::Arriving, next).await?;
                    self.point("arriving")?;
                }
                (State::Here, State::Absent | State::Away | State::Clearing | State::Arriving) => {
                    let at_taker = self.claim(taker, at_taker).await?;
                    self.step(taker, at_taker, State::Clearing, next).await?;
                    self.point("clearing")?;
                }
                (State::Leaving, State::Arriving) => {
                    self.claim(taker, at_taker).await?;
                    let at_giver = self.claim(giver, at_giver).await?;
                    moved.rows += self.copy_all(giver, taker).await?;
                    self.point("copied")?;
                    moved.rows += self.catch_up(giver, taker, rows::LITTLE).await?;
                    self.point("caught up")?;
                    self.step(giver, at_giver, State::Fenced, at_giver.epoch).await?;
                    fenced_at = Some(std::time::Instant::now());
                    self.point("fenced")?;
                }
                (State::Fenced, State::Arriving) => {
                    let at_taker = self.claim(taker, at_taker).await?;
                    self.claim(giver, at_giver).await?;
                    moved.rows += self.catch_up(giver, taker, 0).await?;
                    self.point("complete")?;
                    self.step(taker, at_taker, State::Here, at_taker.epoch).await?;
                    fenced_at = stop(&mut moved, fenced_at);
                    self.point("taken")?;
                }
                _ => return Err(MoveError::Overtaken(self.slot)),
            }
        }
    }

    /// Calls a move off that has not come to the fence. The epoch passes over that of every other
    /// shard, so that a taker knows that it is not to go on.
    async fn stay(&self, others: i64) -> Result<(), MoveError> {
        let store = self.giver.store()?;
        let seen = self.look(store).await?;
        match seen.state {
            State::Here if others < seen.epoch => Ok(()),
            State::Here | State::Leaving => {
                let seen = self.claim(store, seen).await?;
                // That of a taker who cannot be reached is one more.
                self.step(store, seen, State::Here, others.max(seen.epoch + 1) + 1).await
            }
            _ => Err(MoveError::Underway { slot: self.slot, to: seen.peer }),
        }
    }

    fn point(&self, name: &'static str) -> Result<(), MoveError> {
        if (self.crash)(name) { Err(MoveError::Ended) } else { Ok(()) }
    }

    async fn look(&self, store: &Store) -> Result<Standing, MoveError> {
        Ok(store.look_closely(&store.db().read_primary()).await?.of(self.slot))
    }

    /// Makes the move this process' own.
    async fn claim(&self, store: &Store, seen: Standing) -> Result<Standing, MoveError> {
        if seen.mover == self.mover {
            return Ok(seen);
        }
        let (slot, mover) = (self.slot, self.mover);
        let writer = store.clone();
        self.own(store, move |tx| {
            let store = writer.clone();
            Box::pin(async move { store.take_over(tx, slot, seen, mover).await })
        })
        .await?;
        Ok(Standing { mover, ..seen })
    }

    /// Lets the slot change its state, and everybody notice.
    async fn step(
        &self,
        store: &Store,
        seen: Standing,
        state: State,
        epoch: i64,
    ) -> Result<(), MoveError> {
        let (slot, giver, taker) = (self.slot, self.giver.number, self.taker.number);
        let at_giver = std::ptr::eq(store, self.giver.store()?);
        let rests = matches!(state, State::Here | State::Absent);
        let mover = if rests { 0 } else { self.mover };
        let peer = if at_giver { taker } else { giver };
        let next = Standing { state, epoch, peer, mover, beat: 0 };
        let writer = store.clone();
        self.own(store, move |tx| {
            let store = writer.clone();
            Box::pin(async move {
                let changed = store.change_hands(tx, slot, seen, next).await?;
                if changed && matches!(state, State::Leaving | State::Away | State::Here) {
                    store.forget_all_changes(tx, slot).await?;
                }
                Ok(changed)
            })
        })
        .await
    }

    /// A transaction that answers whether the move is still this process' own. What is in its way
    /// is waited for.
    async fn own<F>(&self, store: &Store, work: F) -> Result<(), MoveError>
    where
        F: for<'t> Fn(&'t Tx) -> data::BoxFuture<'t, Result<bool, DataError>>
            + Clone
            + Send
            + 'static,
    {
        let mut tries = 1;
        loop {
            let work = work.clone();
            match store.db().write(move |tx| work(tx)).await {
                Ok(true) => return Ok(()),
                Ok(false) => return Err(MoveError::Overtaken(self.slot)),
                Err(DataError::Busy) if tries < TRIES => {
                    tries += 1;
                    sleep(PAUSE).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn stop(moved: &mut Moved, at: Option<std::time::Instant>) -> Option<std::time::Instant> {
    if let Some(at) = at {
        moved.fenced += at.elapsed();
    }
    None
}
