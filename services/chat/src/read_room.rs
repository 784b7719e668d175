//! Reading: whose history one may see, and how far somebody has read.

use std::collections::BTreeMap;

use contracts::ids::{RoomId, UserId};
use data::{DataError, GroupCommit, Tx};
use rest::Timestamp;

use crate::error::ChatError;
use crate::model::RoomKind;
use crate::settings::Settings;
use crate::store::{Seated, Store, advance, locked_room, set_read};

/// A room that the user is in.
///
/// # Errors
/// [`ChatError::NoRoom`], also for somebody else's private room; [`ChatError::NotJoined`] for a
/// public lobby.
pub(crate) async fn own_room(
    store: &Store,
    kind: RoomKind,
    room: RoomId,
    user: UserId,
) -> Result<Seated, ChatError> {
    seated(store.seated(kind, room, user).await?, kind)
}

/// As [`own_room`], of what was found.
pub(crate) fn seated(found: Option<Seated>, kind: RoomKind) -> Result<Seated, ChatError> {
    let seated = found.ok_or(ChatError::NoRoom(kind))?;
    match (&seated.seat, seated.room.private) {
        (Some(_), _) => Ok(seated),
        (None, false) => Err(ChatError::NotJoined),
        (None, true) => Err(ChatError::NoRoom(kind)),
    }
}

/// Where read markers are moved: those of many readers share a transaction.
pub(crate) struct Marks {
    store: Store,
    group: GroupCommit<Mark, ()>,
}

/// How far somebody has read in a chat.
#[derive(Clone, Copy, Debug)]
struct Mark {
    room: RoomId,
    user: UserId,
    seq: i64,
}

impl Marks {
    pub(crate) fn new(store: &Store, settings: &Settings) -> Self {
        let group = GroupCommit::new(store.db().clone(), settings.batches(), |tx, marks| {
            Box::pin(move_marks(tx, marks))
        });
        Self { store: store.clone(), group }
    }

    /// Moves a member's read marker to a message, or to the last one there is; never back.
    ///
    /// # Errors
    /// As [`own_room`].
    pub(crate) async fn set(&self, room: RoomId, user: UserId, seq: i64) -> Result<(), ChatError> {
        // Most markers say nothing new: no lock for those.
        let found = own_room(&self.store, RoomKind::Chat, room, user).await?;
        if found.seat.is_some_and(|seat| seat.read_seq >= seq.min(found.room.last_seq)) {
            return Ok(());
        }
        Ok(self.group.submit(Mark { room, user, seq }).await?)
    }
}

/// Whoever has left in the meantime has no marker any more, and nothing happens.
async fn move_marks(tx: &Tx, marks: Vec<Mark>) -> Result<Vec<()>, DataError> {
    let (first, now) = (advance(tx, marks.len()).await?, Timestamp::now().0);
    let done = vec![(); marks.len()];
    let mut furthest: BTreeMap<(RoomId, UserId), i64> = BTreeMap::new();
    for Mark { room, user, seq } in marks {
        let known = furthest.entry((room, user)).or_insert(seq);
        *known = seq.max(*known);
    }
    for (position, ((room, user), seq)) in (first..).zip(furthest) {
        if let Some(found) = locked_room(tx, RoomKind::Chat, room, user).await? {
            set_read(tx, position, room, user, seq.min(found.room.last_seq), now).await?;
        }
    }
    Ok(done)
}
