//! Events: what a service tells the others, told exactly when the change it tells of is kept.
//!
//! ```text
//! service's transaction ─ emit ─► outbox ─ relay ─► log ─┬─► Consumer: position, inbox and
//!      (one database)                 (a table, or a    │   effect in one transaction
//!                                      NATS stream)     └─► live: every instance, every event
//! ```
//!
//! Invariants:
//! - An event is in the log if and only if the transaction that emitted it was committed, and it
//!   is there once, whatever crashes in between. One that the log will not take, because it is too
//!   large, becomes a [`DeadLetter`] of `relay`; until then, those of its key wait behind it.
//! - Events whose transactions wait for each other (two changes of one row) keep their order;
//!   with SQLite all events of one service do.
//! - A [`Consumer`] applies the effect of an event exactly once to its own database, however
//!   many instances of it run. What it keeps refusing becomes a [`DeadLetter`].
//! - A [`Log::live`] stream skips nothing, however slowly it is read.
//! - A log that is away stops no write and no start: events wait in the outboxes, in order.
//!
//! The log keeps events for 7 days ([`LogSettings::keep_seconds`]); a consumer that was away for
//! longer has missed some, and says so (an error in its log, `events_gaps_total`). So does one that
//! finds another log than the one it has read: it reads that from its beginning.

mod consumer;
mod dead_letters;
mod handler;
mod log;
mod outbox;
mod refused;
mod relay;
mod rows;

pub use consumer::{Consumer, ConsumerSettings};
pub use dead_letters::{DeadLetter, dead_letters, discard, replay};
pub use handler::HandlerError;
pub use log::{Entry, From, Log, LogSettings, Recorded};
pub use outbox::{emit, emit_all};
pub use relay::relay;

use data::Migration;
use wall_clock::now;

/// Outbox, positions, inbox and dead letters: they go into the service's own database.
pub const MIGRATIONS: &[Migration] = data::migrations!["events_0001", "events_0002"];

#[cfg(test)]
mod tests;
