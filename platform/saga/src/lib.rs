//! Sagas: one operation across several services that ends done or undone, whatever crashes; and
//! among them [two-phase commits](two_phase), which nobody sees half done.
//!
//! A saga is a row in the database of the service that drives it. Its steps are **local** (their
//! effect, what they emit and the saga's record are one transaction) or **remote** (called with
//! a [`StepKey`], recorded afterwards). Whoever holds the row's lease drives it; when the lease
//! runs out, the recovery worker of any instance takes over.
//!
//! ```text
//! running ──step──► running … ──last step──► done
//!    │ refused, or given up before the pivot
//!    └► undoing ──undo, last step first──► undone
//! ```
//!
//! Invariants:
//! - Every saga ends done or undone: what fails before the pivot is retried for
//!   [`Settings::give_up_after`] and then undone; after the pivot, and in undoing, it is retried
//!   until it succeeds.
//! - A local step or undo is committed exactly once: its transaction also moves the record from
//!   the place where this driver found it, so the second of two drivers is rolled back.
//! - A remote step is called at least once before the next step begins, always with one key, and
//!   never once its undo has begun. Its undo is called also when it is not known whether the
//!   step happened; both must stand being repeated, and the undo a step that never was.
//! - One id, one answer: a repeat waits for the first one's end and is told the same for
//!   [`Settings::keep`]. Only an operation that was undone because a service was away begins
//!   anew, with new keys.
//!
//! A step runs without its caller's identity and deadline, since it may run after a crash: what
//! it needs of them is part of the state. The state is kept as JSON; put no secrets in it.

mod definition;
mod drive;
mod engine;
pub mod faults;
mod kind;
mod local;
mod recovery;
mod settings;
mod step;
mod store;
pub mod two_phase;
mod wait;

pub use definition::Definition;
pub use engine::Engine;
pub use settings::{Clock, Settings};
pub use step::{StepError, StepKey};

use data::Migration;

/// The table of sagas: it goes into the database of the service that drives them.
pub const MIGRATIONS: &[Migration] = data::migrations!["saga_0001"];

#[cfg(test)]
mod tests;
