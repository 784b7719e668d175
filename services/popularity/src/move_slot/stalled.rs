//! Going on with moves whose mover died.
//!
//! A mover leaves a sign of life with every page it moves. One that leaves none for a while, by the
//! clock of who looks and not by the time of day, is taken for dead; should it be alive after all,
//! it notices that it was overtaken.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use data::DataError;
use tokio::time::Instant;

use super::{MoveError, move_slot};
use crate::model::slots::Slot;
use crate::shards::Shards;
use crate::store::slots::{Standing, State};

/// The moves that one process sees.
pub(crate) struct Stalled {
    shards: Shards,
    patience: Duration,
    /// What was last seen of a slot on a shard, and since when.
    seen: Mutex<HashMap<(usize, Slot), (Standing, Instant)>>,
}

impl Stalled {
    /// Sees none yet; a move is dead after so long without a sign of life.
    pub(crate) fn new(shards: Shards, patience: Duration) -> Self {
        Self { shards, patience, seen: Mutex::default() }
    }

    /// Goes on with the moves that stand still.
    ///
    /// # Errors
    /// When a database does not answer.
    pub(crate) async fn go_on(&self) -> Result<(), DataError> {
        for (slot, to) in self.dead().await {
            tracing::warn!(slot = slot.number(), to, "going on with a move whose mover is gone");
            match move_slot(&self.shards, slot, to, &|_| false).await {
                // Another process was faster, or the shard is away.
                Ok(_) | Err(MoveError::Overtaken(_) | MoveError::Nowhere(_)) => {}
                Err(MoveError::Database(error)) => return Err(error),
                Err(error) => tracing::warn!(slot = slot.number(), %error, "a move stands still"),
            }
        }
        Ok(())
    }

    /// Where a slot that is on its way to `shard` is to be: not there if its move was called off.
    fn taker(&self, slot: Slot, shard: usize, epoch: i64) -> Option<usize> {
        let placement = self.shards.placement();
        let holder = placement.holder(slot)?;
        let called_off = placement.said(holder)?.of(slot).epoch > epoch;
        Some(if called_off { holder } else { shard })
    }

    async fn dead(&self) -> Vec<(Slot, usize)> {
        let mut moving: HashMap<(usize, Slot), Standing> = HashMap::new();
        for shard in self.shards.all().iter().filter(|shard| !shard.is_away()) {
            let placement = self.shards.placement();
            let Some(said) = placement.said(shard.number) else { continue };
            // Most of the time nothing moves, and then nothing is asked.
            if Slot::all().all(|slot| rests(said.of(slot).state)) {
                continue;
            }
            let Ok(store) = shard.store() else { continue };
            let Ok(now) = store.look_closely(&store.db().read_primary()).await else { continue };
            for slot in Slot::all().filter(|slot| !rests(now.of(*slot).state)) {
                moving.insert((shard.number, slot), now.of(slot));
            }
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|key, _| moving.contains_key(key));
        let mut dead: Vec<(Slot, usize)> = Vec::new();
        for ((shard, slot), standing) in moving {
            let (last, since) = seen.entry((shard, slot)).or_insert((standing, Instant::now()));
            if *last != standing {
                (*last, *since) = (standing, Instant::now());
            } else if since.elapsed() >= self.patience {
                let to = match standing.state {
                    State::Clearing | State::Arriving => self.taker(slot, shard, standing.epoch),
                    _ => Some(standing.peer),
                };
                dead.extend(to.map(|to| (slot, to)));
            }
        }
        // The giver and the taker tell of the same move; the giver lives while the taker does.
        let alive = |slot: Slot| {
            let mut of_slot = seen.iter().filter(|((_, of), _)| *of == slot);
            of_slot.any(|(_, (_, since))| since.elapsed() < self.patience)
        };
        dead.retain(|(slot, _)| !alive(*slot));
        dead.sort_unstable();
        dead.dedup();
        dead
    }
}

fn rests(state: State) -> bool {
    matches!(state, State::Here | State::Absent)
}
