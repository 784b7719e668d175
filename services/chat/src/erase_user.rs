//! Forgetting a user whose account is deleted: they leave every room, and what they said stays,
//! under nobody's name. Repeating it changes nothing.

use contracts::ids::{RoomId, UserId};
use data::Tx;
use rest::Timestamp;

use crate::change_chat::close;
use crate::error::ChatError;
use crate::model::RoomKind;
use crate::store::{Store, advance, erase, leave, locked_room};

/// Rooms left in one transaction.
const BATCH: usize = 50;

/// Erases a user; a change that would bring them back finds that they are gone.
///
/// # Errors
/// When the database failed: it is to be called again.
pub(crate) async fn erase_user(store: &Store, user: UserId) -> Result<(), ChatError> {
    loop {
        let rooms = store.some_rooms_of(user, BATCH).await?;
        let done = rooms.len() < BATCH;
        let write = store.db().write(move |tx: &Tx| {
            Box::pin(async move {
                let first = advance(tx, 2 * rooms.len() + 1).await?;
                // First the name: whoever locks the head next finds it erased.
                erase(tx, user).await?;
                for (position, (kind, room)) in (first..).step_by(2).zip(rooms) {
                    leave_one(tx, kind, room, user, position).await?;
                }
                Ok::<_, ChatError>(())
            })
        });
        write.await?;
        if done && store.some_rooms_of(user, 1).await?.is_empty() {
            return Ok(());
        }
    }
}

async fn leave_one(
    tx: &Tx,
    kind: RoomKind,
    room: RoomId,
    user: UserId,
    position: i64,
) -> Result<(), ChatError> {
    let now = Timestamp::now().0;
    // It may have been deleted since it was listed, and its memberships with it.
    let Some(found) = locked_room(tx, kind, room, user).await? else { return Ok(()) };
    let left = leave(tx, room, user, user, position, now).await?;
    if left && kind == RoomKind::Chat && found.room.members == 1 {
        close(tx, &found, user, &[], position + 1, now).await?;
    }
    Ok(())
}
