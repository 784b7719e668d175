//! What an operator does with shards, beside a running system: look at them, move slots.

use data::Database;

use crate::model::slots::{Slot, SlotSet};
use crate::move_slot::{self, MoveError, Moved};
use crate::settings::{BuildError, Settings};
use crate::shards::Shards;
use crate::store::slots::State;

/// The databases of popularity, opened for an operator.
pub struct Operator {
    shards: Shards,
}

/// What a shard says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardStatus {
    /// Which.
    pub number: usize,
    /// What it has; none if it cannot be reached.
    pub slots: Option<ShardSlots>,
}

/// What a shard has to do with slots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardSlots {
    /// Those it holds, also while they leave.
    pub held: SlotSet,
    /// Those that leave it.
    pub leaving: SlotSet,
    /// Those that come to it.
    pub arriving: SlotSet,
    /// Those that have left and whose rows are being removed.
    pub left: SlotSet,
}

impl Operator {
    /// On the service's own database, which has this crate's migrations, and the shards of the
    /// settings.
    ///
    /// # Errors
    /// When the settings cannot be used, or the own database does not answer.
    pub async fn open(db: Database, settings: &Settings) -> Result<Self, BuildError> {
        settings.check()?;
        Ok(Self { shards: Shards::new(db, settings).await? })
    }

    /// Every shard and what it has.
    pub async fn status(&self) -> Vec<ShardStatus> {
        self.shards.look_again().await;
        let placement = self.shards.placement();
        let status = |shard: &crate::shards::Shard| {
            let number = shard.number;
            let said = placement.said(number).filter(|_| !shard.is_away());
            let slots = said.map(|said| {
                let of = |is: &dyn Fn(State) -> bool| -> SlotSet {
                    Slot::all().filter(|slot| is(said.of(*slot).state)).collect()
                };
                ShardSlots {
                    held: of(&State::is_read),
                    leaving: of(&|state| matches!(state, State::Leaving | State::Fenced)),
                    arriving: of(&|state| matches!(state, State::Clearing | State::Arriving)),
                    left: of(&|state| state == State::Away),
                }
            });
            ShardStatus { number, slots }
        };
        self.shards.all().iter().map(status).collect()
    }

    /// Moves a slot to a shard, while likes go on. If it ends before its end, it can be called
    /// again; should nobody do so, an instance of the service goes on with it.
    ///
    /// # Errors
    /// [`MoveError`]; nothing is lost then.
    pub async fn move_slot(&self, slot: Slot, to: usize) -> Result<Moved, MoveError> {
        move_slot::move_slot(&self.shards, slot, to, &|_| false).await
    }

    /// As [`Self::move_slot`], for tests: ends as by a crash where `crash` says so.
    ///
    /// # Errors
    /// [`MoveError::Ended`] at that point.
    #[doc(hidden)]
    pub async fn move_slot_until(
        &self,
        slot: Slot,
        to: usize,
        crash: &(dyn Fn(&'static str) -> bool + Send + Sync),
    ) -> Result<Moved, MoveError> {
        move_slot::move_slot(&self.shards, slot, to, crash).await
    }
}
