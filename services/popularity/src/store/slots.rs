//! Who holds which slot: the rows that decide it, in the databases themselves.
//!
//! A write looks at them in its own transaction, under a lock that everybody shares and that only a
//! slot changing hands takes alone (on SQLite the database has one writer anyway). So an instance
//! that remembers an older placement writes nothing to the old place: it is told so, looks again,
//! and goes on.
//!
//! A slot's states, on the shard that gives it: `Here` → `Leaving` (changes are noted) → `Fenced`
//! (nothing is written) → `Away` (its rows are removed) → `Absent`; on the one that takes it:
//! `Absent` → `Clearing` → `Arriving` → `Here`.
//!
//! Invariants:
//! - a slot is written to on at most one shard: the taker's `Here` follows the giver's `Fenced`,
//!   and neither goes back;
//! - rows of a slot are shown only where it is `Here`, `Leaving` or `Fenced`.

use std::sync::Arc;

use data::sea_orm::ConnectionTrait;
use data::{DataError, Engine, Sql, Tx, values};

use super::{Dialect, Store, json};
use crate::model::Item;
use crate::model::slots::{SLOTS, Slot};

/// Held together by those who write, alone by who lets a slot change hands, until the commit.
const SHARE: &str = "SELECT pg_advisory_xact_lock_shared(5071193044818239011)";
const ALONE: &str = "SELECT pg_advisory_xact_lock(5071193044818239011)";
/// Writers wait behind who waits to be alone: not for long.
const PATIENCE: &str = "SET LOCAL lock_timeout = '500ms'";

/// What a database has to do with a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Read and written here.
    Here,
    /// As [`Self::Here`], while it is copied elsewhere; what changes is noted.
    Leaving,
    /// Read here; not written, for the moment that the rest of the copying takes.
    Fenced,
    /// It has moved; its rows are being removed.
    Away,
    /// Nothing of it is here.
    Absent,
    /// What may have stayed from an earlier time is being removed, before it comes.
    Clearing,
    /// It is copied here, and nobody looks at it yet.
    Arriving,
}

impl State {
    const ALL: [Self; 7] = [
        Self::Here,
        Self::Leaving,
        Self::Fenced,
        Self::Away,
        Self::Absent,
        Self::Clearing,
        Self::Arriving,
    ];

    /// As it is kept: 1 for the first. Up to 3, rows of the slot are shown.
    const fn number(self) -> i32 {
        self as i32 + 1
    }

    fn from_number(number: i32) -> Result<Self, DataError> {
        Self::ALL
            .into_iter()
            .find(|state| state.number() == number)
            .ok_or_else(|| DataError::Other(format!("a slot is in an unknown state {number}")))
    }

    /// Whether the rows here are the ones to show.
    pub(crate) const fn is_read(self) -> bool {
        matches!(self, Self::Here | Self::Leaving | Self::Fenced)
    }

    /// Whether the rows here may change.
    pub(crate) const fn is_written(self) -> bool {
        matches!(self, Self::Here | Self::Leaving)
    }
}

/// What stands of one slot in one database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub state: State,
    /// The larger one is right.
    pub epoch: i64,
    /// The shard it comes from or went to.
    pub peer: usize,
    /// Who moves it; 0 for nobody.
    pub mover: i64,
    /// Grows while it is being moved.
    pub beat: i64,
}

const ABSENT: Standing = Standing { state: State::Absent, epoch: 0, peer: 0, mover: 0, beat: 0 };

/// What stands of all slots in one database.
#[derive(Clone, Debug)]
pub(crate) struct Standings {
    /// Which shard the database is; none before it was told.
    pub number: Option<usize>,
    /// Grows whenever one of the slots changes its state.
    pub epoch: i64,
    slots: Vec<Standing>,
}

impl Standings {
    /// Of a database that was told nothing yet.
    pub(crate) fn unborn() -> Self {
        Self { number: None, epoch: 0, slots: vec![ABSENT; SLOTS.into()] }
    }

    pub(crate) fn of(&self, slot: Slot) -> Standing {
        self.slots[slot.index()]
    }

    /// Whether every row here is to be shown.
    pub(crate) fn all_read(&self) -> bool {
        self.slots.iter().all(|standing| standing.state.is_read())
    }

    fn is_written(&self, item: Item) -> bool {
        self.of(Slot::of(item)).state.is_written()
    }

    fn is_leaving(&self, item: Item) -> bool {
        self.of(Slot::of(item)).state == State::Leaving
    }
}

/// A write to a slot that is not here, or not just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Elsewhere;

/// A row that changed while its slot was being copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Changed {
    /// The item, or its tombstone.
    Item(Item),
    /// A user's like.
    Like(Item, i64),
    /// The activity of an hour.
    Hour(Item, i64),
}

impl Changed {
    pub(crate) const fn item(self) -> Item {
        match self {
            Self::Item(item) | Self::Like(item, _) | Self::Hour(item, _) => item,
        }
    }

    /// As it is kept: `what` and `key`.
    const fn parts(self) -> (i32, i64) {
        match self {
            Self::Item(_) => (1, 0),
            Self::Like(_, user) => (2, user),
            Self::Hour(_, hour) => (3, hour),
        }
    }

    pub(crate) fn from_parts(item: Item, what: i32, key: i64) -> Result<Self, DataError> {
        match what {
            1 => Ok(Self::Item(item)),
            2 => Ok(Self::Like(item, key)),
            3 => Ok(Self::Hour(item, key)),
            _ => Err(DataError::Other(format!("an unknown kind of change {what}"))),
        }
    }
}

/// The shard's number and epoch, and a row of `slots`.
type SlotRow = (i32, i64, i32, i32, i64, i32, i64, i64);

pub(super) struct Texts {
    note: String,
    births: String,
}

impl Texts {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self {
            note: dialect.text(
                "INSERT INTO slot_changes (slot, kind, item_id, what, key)
                 SELECT CAST(r.value->>0 AS INTEGER), CAST(r.value->>1 AS INTEGER),
                        CAST(r.value->>2 AS BIGINT), CAST(r.value->>3 AS INTEGER),
                        CAST(r.value->>4 AS BIGINT)
                 FROM {{rows:1}}",
            ),
            births: dialect.text(
                "INSERT INTO slots (slot, state, epoch, peer)
                 SELECT CAST(r.value->>0 AS INTEGER), CAST(r.value->>1 AS INTEGER),
                        CAST(r.value->>2 AS BIGINT), CAST(r.value->>3 AS INTEGER)
                 FROM {{rows:1}}",
            ),
        }
    }
}

impl Store {
    /// What stands here, for the length of this transaction: its first statement.
    pub(crate) async fn hold(&self, tx: &Tx) -> Result<Arc<Standings>, DataError> {
        if self.db.engine() == Engine::Postgres {
            // A statement of its own: the next one sees what was committed while this one waited.
            tx.run(SHARE, []).await?;
        }
        self.look(tx).await
    }

    /// What stands here now.
    pub(crate) async fn look(
        &self,
        on: &impl ConnectionTrait,
    ) -> Result<Arc<Standings>, DataError> {
        let row: Option<(i64,)> = on.row("SELECT epoch FROM shard", []).await?;
        let epoch = row.map_or(0, |(epoch,)| epoch);
        let known = self.known.load_full();
        if known.epoch == epoch {
            return Ok(known);
        }
        let read = Arc::new(self.look_closely(on).await?);
        self.known.store(read.clone());
        Ok(read)
    }

    /// As [`Self::look`], with movers and their signs of life.
    pub(crate) async fn look_closely(
        &self,
        on: &impl ConnectionTrait,
    ) -> Result<Standings, DataError> {
        let sql = "SELECT h.number, h.epoch, s.slot, s.state, s.epoch AS slot_epoch, s.peer,
                          s.mover, s.beat
                   FROM shard h CROSS JOIN slots s";
        let rows: Vec<SlotRow> = on.rows(sql, []).await?;
        let mut found = Standings::unborn();
        for (number, epoch, slot, state, slot_epoch, peer, mover, beat) in rows {
            (found.number, found.epoch) = (usize::try_from(number).ok(), epoch);
            let place = usize::try_from(slot).ok().and_then(|slot| found.slots.get_mut(slot));
            let place =
                place.ok_or_else(|| DataError::Other(format!("there is no slot {slot}")))?;
            let peer = usize::try_from(peer).unwrap_or_default();
            let state = State::from_number(state)?;
            *place = Standing { state, epoch: slot_epoch, peer, mover, beat };
        }
        Ok(found)
    }

    /// Tells a database which shard it is and, for each slot, whether it begins here (`None`) or
    /// on another shard. Answers what was told first, if it was told before.
    pub(crate) async fn be_born(
        &self,
        tx: &Tx,
        number: usize,
        elsewhere: impl Fn(Slot) -> Option<usize> + Send,
    ) -> Result<usize, DataError> {
        self.alone(tx).await?;
        let row: Option<(i32,)> = tx.row("SELECT number FROM shard", []).await?;
        if let Some((told,)) = row {
            return usize::try_from(told).map_err(DataError::other);
        }
        let birth = |slot: Slot| match elsewhere(slot) {
            None => (slot.number(), State::Here.number(), 1, number),
            Some(peer) => (slot.number(), State::Absent.number(), 0, peer),
        };
        tx.run(&self.texts.slots.births, values![json(Slot::all().map(birth))?]).await?;
        let sql = "INSERT INTO shard (id, number, epoch) VALUES (1, $1, 1)";
        tx.run(sql, values![shard_number(number)?]).await?;
        Ok(number)
    }

    async fn alone(&self, tx: &Tx) -> Result<(), DataError> {
        if self.db.engine() == Engine::Postgres {
            tx.run(PATIENCE, []).await?;
            tx.run(ALONE, []).await?;
        }
        Ok(())
    }

    /// Lets a slot change hands, if it still stands as it was seen. From the commit on everybody
    /// notices.
    pub(crate) async fn change_hands(
        &self,
        tx: &Tx,
        slot: Slot,
        seen: Standing,
        next: Standing,
    ) -> Result<bool, DataError> {
        self.alone(tx).await?;
        let sql = "UPDATE slots SET state = $1, epoch = $2, peer = $3, mover = $4, beat = beat + 1
                   WHERE slot = $5 AND state = $6 AND epoch = $7 AND mover = $8";
        let values = values![
            next.state.number(),
            next.epoch,
            shard_number(next.peer)?,
            next.mover,
            i32::from(slot.number()),
            seen.state.number(),
            seen.epoch,
            seen.mover,
        ];
        if tx.run(sql, values).await? == 0 {
            return Ok(false);
        }
        // By a random step: a database that forgot its last moments in a failover does not come to
        // the same number with other slots.
        let step = i64::from(rand::random::<u16>()) + 1;
        tx.run("UPDATE shard SET epoch = epoch + $1", values![step]).await?;
        Ok(true)
    }

    /// Makes `mover` the one who moves a slot, if it still stands as it was seen.
    pub(crate) async fn take_over(
        &self,
        tx: &Tx,
        slot: Slot,
        seen: Standing,
        mover: i64,
    ) -> Result<bool, DataError> {
        let sql = "UPDATE slots SET mover = $1, beat = beat + 1
                   WHERE slot = $2 AND state = $3 AND epoch = $4 AND mover = $5";
        let slot = i32::from(slot.number());
        let values = values![mover, slot, seen.state.number(), seen.epoch, seen.mover];
        Ok(tx.run(sql, values).await? == 1)
    }

    /// A sign of life of who moves a slot; false if it is not theirs any more. Until the commit
    /// nobody takes it over.
    pub(crate) async fn beat(
        &self,
        tx: &Tx,
        slot: Slot,
        state: State,
        mover: i64,
    ) -> Result<bool, DataError> {
        let sql = "UPDATE slots SET beat = beat + 1 WHERE slot = $1 AND state = $2 AND mover = $3";
        let values = values![i32::from(slot.number()), state.number(), mover];
        Ok(tx.run(sql, values).await? == 1)
    }

    /// Notes which rows changed, of those whose slot is being copied.
    pub(crate) async fn note(
        &self,
        tx: &Tx,
        standings: &Standings,
        changed: impl Iterator<Item = Changed> + Send,
    ) -> Result<(), DataError> {
        let row = |changed: Changed| {
            let (item, (what, key)) = (changed.item(), changed.parts());
            (Slot::of(item).number(), item.kind.number(), item.id, what, key)
        };
        let rows: Vec<_> =
            changed.filter(|changed| standings.is_leaving(changed.item())).map(row).collect();
        if rows.is_empty() {
            return Ok(());
        }
        tx.run(&self.texts.slots.note, values![json(rows)?]).await.map(drop)
    }
}

/// Refuses what is not to be written here.
pub(super) fn written_here(standings: &Standings, item: Item) -> Result<(), Elsewhere> {
    if standings.is_written(item) { Ok(()) } else { Err(Elsewhere) }
}

fn shard_number(number: usize) -> Result<i32, DataError> {
    i32::try_from(number).map_err(DataError::other)
}
