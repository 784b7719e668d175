//! Messages: found again, edited, deleted, read.

use contracts::ids::{MessageId, RoomId, UserId};
use data::{DataError, Sql, Tx, values};

use super::log::{ENTRIES, NewEntry, append, entries};
use super::{STILL, Store};
use crate::model::{Entry, What};

/// Messages looked through at once in a search.
const LOOK_AT: u64 = 1_000;
/// Messages looked through for one page of a search; then the page ends, and the next goes on.
const MOST_LOOKED_AT: u64 = 20_000;

/// Which part of a room's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Around {
    /// The last ones.
    End,
    /// The last ones before a number.
    Before(i64),
    /// The first ones after a number, and before another.
    Between(i64, i64),
    /// As many before a number as after it, and the one that has it.
    Number(i64),
}

/// What a search has found, newest first, and where it goes on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Found {
    pub(crate) messages: Vec<Entry>,
    /// The position of the last message looked at, if older ones were not.
    pub(crate) next: Option<i64>,
}

/// One's own message, or why it is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Own {
    Yes,
    Foreign,
    Absent,
}

/// Whether a message of a room is a user's own.
pub(crate) async fn own_message(
    tx: &Tx,
    room: RoomId,
    message: MessageId,
    user: UserId,
) -> Result<Own, DataError> {
    let sql = "SELECT user_id FROM log WHERE id = $1 AND room_id = $2 AND kind = 'message' \
               AND deleted_at IS NULL";
    let row: Option<(i64,)> = tx.row(sql, values![message.get(), room.get()]).await?;
    Ok(match row {
        None => Own::Absent,
        Some((author,)) if author == user.get() => Own::Yes,
        Some(_) => Own::Foreign,
    })
}

/// Changes a message's text, and tells the room at `position`.
pub(crate) async fn edit_message(
    tx: &Tx,
    position: i64,
    (room, message, user): (RoomId, MessageId, UserId),
    text: &str,
    now: i64,
) -> Result<(), DataError> {
    let sql = "UPDATE log SET text = $1, edited_at = $2 WHERE id = $3";
    tx.run(sql, values![text, now, message.get()]).await?;
    append(tx, position, NewEntry::new(room, What::Edited, user, now).message(message)).await
}

/// Deletes a message: its number stays, and that there was something. Tells the room at `position`.
pub(crate) async fn delete_message(
    tx: &Tx,
    position: i64,
    (room, message, user): (RoomId, MessageId, UserId),
    now: i64,
) -> Result<(), DataError> {
    let sql = "UPDATE log SET text = '', deleted_at = $1 WHERE id = $2";
    tx.run(sql, values![now, message.get()]).await?;
    tx.run("DELETE FROM mentions WHERE message_id = $1", values![message.get()]).await?;
    tx.run("DELETE FROM reactions WHERE message_id = $1", values![message.get()]).await?;
    append(tx, position, NewEntry::new(room, What::Deleted, user, now).message(message)).await
}

/// Moves a member's read marker forward, and tells the room at `position` if it moved. Only the
/// last marker of each member stays in the log.
pub(crate) async fn set_read(
    tx: &Tx,
    position: i64,
    room: RoomId,
    user: UserId,
    seq: i64,
    now: i64,
) -> Result<bool, DataError> {
    let sql = "UPDATE memberships SET read_seq = $1 WHERE room_id = $2 AND user_id = $3 \
               AND to_position = $4 AND read_seq < $1";
    if tx.run(sql, values![seq, room.get(), user.get(), STILL]).await? == 0 {
        return Ok(false);
    }
    let sql = "DELETE FROM log WHERE room_id = $1 AND user_id = $2 AND kind = 'read'";
    tx.run(sql, values![room.get(), user.get()]).await?;
    append(tx, position, NewEntry::new(room, What::Read, user, now).seq(seq)).await?;
    Ok(true)
}

impl Store {
    /// One message of a room.
    pub(crate) async fn message(
        &self,
        room: RoomId,
        message: MessageId,
    ) -> Result<Option<Entry>, DataError> {
        let sql = format!("{ENTRIES} WHERE l.id = $1 AND l.room_id = $2 AND l.kind = 'message'");
        let rows = self.db.read_primary().all(&sql, values![message.get(), room.get()]).await?;
        Ok(entries(rows)?.pop())
    }

    /// Part of a room's history, in ascending order, at most `limit` messages.
    pub(crate) async fn history(
        &self,
        room: RoomId,
        around: Around,
        limit: u64,
    ) -> Result<Vec<Entry>, DataError> {
        match around {
            Around::End => self.messages_before(room, i64::MAX, limit).await,
            Around::Before(seq) => self.messages_before(room, seq, limit).await,
            Around::Between(after, before) => {
                self.messages_between(room, (after, before), i64::MAX, limit).await
            }
            Around::Number(seq) => {
                let half = limit / 2;
                let mut found = self.messages_before(room, seq, half).await?;
                let rest = (seq.saturating_sub(1), i64::MAX);
                found.extend(self.messages_between(room, rest, i64::MAX, limit - half).await?);
                Ok(found)
            }
        }
    }

    async fn messages_before(
        &self,
        room: RoomId,
        seq: i64,
        limit: u64,
    ) -> Result<Vec<Entry>, DataError> {
        let sql = format!(
            "{ENTRIES} WHERE l.room_id = $1 AND l.kind = 'message' AND l.seq < $2 \
             ORDER BY l.seq DESC LIMIT $3"
        );
        let rows = self.db.read_primary().all(&sql, values![room.get(), seq, limit]).await?;
        let mut found = entries(rows)?;
        found.reverse();
        Ok(found)
    }

    /// Messages with `text` in them, whatever its case, newest first: those of one room whose numbers
    /// are between two others, or of all the chats that `user` is in. They are looked through, so that
    /// it is right in every language.
    pub(crate) async fn search(
        &self,
        user: UserId,
        room: Option<(RoomId, i64, i64)>,
        text: &str,
        before: i64,
        limit: u64,
    ) -> Result<Found, DataError> {
        let wanted = text.to_lowercase();
        let (after_seq, before_seq) =
            room.map_or((0, i64::MAX), |(_, after, before)| (after, before));
        let fits = |entry: &Entry| {
            let seq = entry.seq.unwrap_or_default();
            after_seq < seq && seq < before_seq && entry.text.to_lowercase().contains(&wanted)
        };
        let room = room.map(|(room, ..)| room);
        let mut found = Found { messages: Vec::new(), next: Some(before) };
        let mut left = MOST_LOOKED_AT;
        while let Some(before) = found.next.filter(|_| left > 0) {
            let page = self.messages_to_search(user, room, before).await?;
            left = left.saturating_sub(LOOK_AT);
            found.next = page.last().filter(|_| page.len() as u64 == LOOK_AT).map(|e| e.position);
            for entry in page.into_iter().filter(fits) {
                let position = entry.position;
                found.messages.push(entry);
                if found.messages.len() as u64 == limit {
                    found.next = Some(position);
                    return Ok(found);
                }
            }
        }
        Ok(found)
    }

    async fn messages_to_search(
        &self,
        user: UserId,
        room: Option<RoomId>,
        before: i64,
    ) -> Result<Vec<Entry>, DataError> {
        let mut values = values![before, LOOK_AT];
        let which = match room {
            Some(room) => {
                values.push(room.get().into());
                "l.room_id = $3"
            }
            None => {
                values.extend(values![user.get(), STILL]);
                "r.kind = 'chat' AND r.deleted_at IS NULL AND l.room_id IN (SELECT m.room_id \
                 FROM memberships m WHERE m.user_id = $3 AND m.to_position = $4)"
            }
        };
        let sql = format!(
            "{ENTRIES} WHERE l.kind = 'message' AND l.deleted_at IS NULL AND l.id < $1 \
             AND {which} ORDER BY l.id DESC LIMIT $2"
        );
        entries(self.db.read_primary().all(&sql, values).await?)
    }
}
