//! Reading: whose history one may see, and how far somebody has read.

use contracts::ids::{RoomId, UserId};
use data::Tx;
use rest::Timestamp;

use crate::error::ChatError;
use crate::model::RoomKind;
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

/// Moves a member's read marker to a message, or to the last one there is; never back.
///
/// # Errors
/// As [`own_room`].
pub(crate) async fn mark_read(
    store: &Store,
    room: RoomId,
    user: UserId,
    seq: i64,
) -> Result<(), ChatError> {
    let kind = RoomKind::Chat;
    // Most markers say nothing new: no lock for those.
    let found = own_room(store, kind, room, user).await?;
    if found.seat.is_some_and(|seat| seat.read_seq >= seq.min(found.room.last_seq)) {
        return Ok(());
    }
    let write = store.db().write(move |tx: &Tx| {
        Box::pin(async move {
            let position = advance(tx, 1).await?;
            let found = seated(locked_room(tx, kind, room, user).await?, kind)?;
            let seq = seq.min(found.room.last_seq);
            set_read(tx, position, room, user, seq, Timestamp::now().0).await?;
            Ok(())
        })
    });
    write.await
}
