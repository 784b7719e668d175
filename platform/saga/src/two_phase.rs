//! Two-phase commit: one operation that all databases see or none does.
//!
//! The coordinator is a saga of three steps, which [`Definition::two_phase`] adds: *prepare* at
//! every participant, *decide* (the pivot), *commit* at every participant; *abort* is the undo of
//! the first. So the row of the saga is the coordinator's log, and its lease, recovery and
//! answers are those of every saga.
//!
//! ```text
//! coordinator   begins ──prepare──► votes ──decided──────commit──► done
//!                (row)    │           │ a no, or none    (row)  │
//!                         │           └► undoing ──abort──► undone
//! participant   ──prepared─────────────in doubt?──► committed or aborted
//!                  (row and effect)    asks the coordinator
//! ```
//!
//! Invariants:
//! - The decision is one transaction of the coordinator: its own effect, and the record that the
//!   pivot is passed. Nobody is told before. It never changes.
//! - Presumed abort: what the coordinator does not know, or has begun to undo, is aborted.
//! - A participant that voted yes can do either until it is told, whatever crashes; a vote and
//!   what it holds for it are one transaction. What it is told twice happens once, and what comes
//!   after an abort, also an abort of what never came, is refused.
//! - Nothing stays prepared: a coordinator's row ends as every saga does, and a participant that
//!   is told nothing asks, with pauses that grow to [`Settings::longest_pause`].
//!
//! [`Definition::two_phase`]: crate::Definition::two_phase
//! [`Settings::longest_pause`]: crate::Settings::longest_pause

mod coordinator;
mod in_doubt;
mod participation;
mod store;

use std::fmt;
use std::future::Future;
use std::str::FromStr;

use data::Migration;
use rest::Problem;
use uuid::Uuid;

pub use coordinator::Participants;
pub use participation::{Participation, Resource};

use crate::step::{StepError, StepKey};

/// The table of a participant: it goes into the database of the service that takes part.
pub const MIGRATIONS: &[Migration] = data::migrations!["prepared_0001"];

/// Names a transaction: the saga that coordinates it, and its round. Travels as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TxId {
    id: Uuid,
    round: i64,
}

impl TxId {
    /// The id of the coordinating saga.
    #[must_use]
    pub fn saga(&self) -> Uuid {
        self.id
    }

    /// The transaction as one id, the same at every attempt (UUID v5 of its text).
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        Uuid::new_v5(&self.id, self.to_string().as_bytes())
    }
}

impl From<StepKey> for TxId {
    fn from(key: StepKey) -> Self {
        Self { id: key.saga(), round: key.round() }
    }
}

impl fmt::Display for TxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.id, self.round)
    }
}

/// The text is no [`TxId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not the id of a transaction")]
pub struct NoTxId;

impl FromStr for TxId {
    type Err = NoTxId;

    fn from_str(text: &str) -> Result<Self, NoTxId> {
        let (id, round) = text.split_once('.').ok_or(NoTxId)?;
        let id = id.parse().map_err(|_| NoTxId)?;
        let round = round.parse().ok().filter(|round| *round >= 0).ok_or(NoTxId)?;
        Ok(Self { id, round })
    }
}

/// What a participant says to `prepare`.
#[derive(Clone, Debug, PartialEq)]
pub enum Vote {
    /// It can commit, and abort, whenever it is told to.
    Yes,
    /// It cannot, and holds nothing: the caller of the operation is told this.
    No(Problem),
}

/// How a transaction stands with its coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Ask later.
    Undecided,
    /// It is committed and stays so.
    Committed,
    /// It is aborted and stays so; or the coordinator does not know it, which is the same.
    Aborted,
}

/// Who takes part, as the coordinator calls it: usually a client of another service. Calls are
/// repeated and overtake each other; [`Participation`] stands that.
pub trait Participant<P>: Send + Sync + 'static {
    /// Asks for a vote.
    ///
    /// # Errors
    /// [`StepError::Retry`] when it is not known whether it voted; [`StepError::Undo`] counts as a
    /// no.
    fn prepare(&self, tx: TxId, payload: P)
    -> impl Future<Output = Result<Vote, StepError>> + Send;

    /// Tells that it is committed.
    ///
    /// # Errors
    /// Any, when it is not known that it did: it will be told again.
    fn commit(&self, tx: TxId) -> impl Future<Output = Result<(), StepError>> + Send;

    /// Tells that it is aborted.
    ///
    /// # Errors
    /// Any, when it is not known that it did: it will be told again.
    fn abort(&self, tx: TxId) -> impl Future<Output = Result<(), StepError>> + Send;
}

/// The coordinator, as a participant in doubt calls it: the [`Engine`](crate::Engine) itself, or a
/// client of its service.
pub trait Coordinator: Send + Sync + 'static {
    /// How `tx` stands. It must be answered from the coordinator's primary.
    ///
    /// # Errors
    /// Any, when that is not known now.
    fn outcome(&self, tx: TxId) -> impl Future<Output = Result<Outcome, StepError>> + Send;
}

#[cfg(test)]
mod tests;
