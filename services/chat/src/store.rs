//! The tables of chat, and every query on them.
//!
//! Invariants:
//! - who changes a room, its members or its log has locked `head` before ([`advance`]): so entries
//!   become visible in the order of their positions, and two changes never wait for each other in
//!   a circle;
//! - a room numbers its messages from 1 without gaps, and `rooms.last_seq` is the last of them;
//! - a room with members has exactly one owner, and `rooms.members` is their number;
//! - what decides over access is read from the primary.

mod log;
mod members;
mod messages;
mod people;
mod reactions;
mod rooms;
mod send;

use std::sync::Arc;

use data::{DataError, Database, Dialect};

pub(crate) use log::{NewEntry, advance, append};
pub(crate) use members::{Seat, Seated, add_member, leave, members_of, remove_members};
pub(crate) use messages::{Around, Own, delete_message, edit_message, own_message, set_read};
pub(crate) use people::{erase, erased, learn};
pub(crate) use reactions::{Reaction, react};
pub(crate) use rooms::{
    Listed, NewRoom, discard, hide, insert_room, locked_room, made_by, publish, remove_litter,
    rename,
};
pub(crate) use send::{Draft, Sent};

/// A membership that has not ended ends here.
pub(crate) const STILL: i64 = i64::MAX;

/// The tables; cheap to clone.
#[derive(Clone)]
pub(crate) struct Store {
    db: Database,
    texts: Arc<Texts>,
}

/// The statements that take a batch, in the words of the engine.
struct Texts {
    send: send::Texts,
    of_rooms: String,
    reactions: String,
}

impl Store {
    /// On an open database that has this crate's migrations.
    pub(crate) fn new(db: Database) -> Self {
        let dialect = Dialect::of(db.engine());
        let texts = Texts {
            send: send::Texts::new(dialect),
            of_rooms: dialect.text(members::OF_ROOMS),
            reactions: dialect.text(reactions::OF_MESSAGES),
        };
        Self { db, texts: Arc::new(texts) }
    }

    /// The database itself.
    pub(crate) const fn db(&self) -> &Database {
        &self.db
    }
}

/// A row that has to be there.
fn there<T>(row: Option<T>) -> Result<T, DataError> {
    row.ok_or_else(|| DataError::other("a statement gave no row"))
}
