//! Who is in which room.

use contracts::DELETED_USER;
use contracts::ids::{RoomId, UserId};
use data::{DataError, Sql, Tx, json_rows, values};

use super::log::{NewEntry, append};
use super::{STILL, Store};
use crate::model::{Role, Room, RoomKind, What};

pub(super) const OF_ROOMS: &str = "\
SELECT m.room_id, m.user_id FROM {{rows:1}} CROSS JOIN memberships m \
WHERE m.room_id = CAST(r.value->>0 AS BIGINT) AND m.to_position = $2 \
ORDER BY m.room_id, m.from_position, m.user_id";

/// A user's seat in a room.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seat {
    pub(crate) role: Role,
    pub(crate) read_seq: i64,
}

/// A room, and the seat of whoever asks, if they have one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seated {
    pub(crate) room: Room,
    pub(crate) seat: Option<Seat>,
}

/// Who is in a room, those who came first first.
pub(crate) async fn members_of(db: &impl Sql, room: RoomId) -> Result<Vec<UserId>, DataError> {
    let sql = "SELECT user_id FROM memberships WHERE room_id = $1 AND to_position = $2 \
               ORDER BY from_position, user_id";
    let rows: Vec<(i64,)> = db.rows(sql, values![room.get(), STILL]).await?;
    Ok(rows.into_iter().map(|(user,)| UserId::new(user)).collect())
}

/// Gives a user a seat from `position` on; false if they have one.
pub(crate) async fn add_member(
    tx: &Tx,
    room: RoomId,
    user: UserId,
    role: Role,
    position: i64,
) -> Result<bool, DataError> {
    let sql = "INSERT INTO memberships (room_id, user_id, from_position, to_position, role, \
               read_seq) SELECT id, $2, $3, $4, $5, last_seq FROM rooms WHERE id = $1 AND NOT \
               EXISTS (SELECT 1 FROM memberships WHERE room_id = $1 AND user_id = $2 AND \
               to_position = $4)";
    let values = values![room.get(), user.get(), position, STILL, role.name()];
    let added = tx.run(sql, values).await? == 1;
    if added {
        let sql = "UPDATE rooms SET members = members + 1 WHERE id = $1";
        tx.run(sql, values![room.get()]).await?;
    }
    Ok(added)
}

/// Takes a user's seat at `position`, and hands the room on if it was theirs: to whoever has been
/// in it longest. False if they had none.
async fn remove_member(
    tx: &Tx,
    room: RoomId,
    user: UserId,
    position: i64,
) -> Result<bool, DataError> {
    let sql = "UPDATE memberships SET to_position = $1 \
               WHERE room_id = $2 AND user_id = $3 AND to_position = $4 RETURNING role";
    let role: Option<(String,)> =
        tx.row(sql, values![position, room.get(), user.get(), STILL]).await?;
    let Some((role,)) = role else { return Ok(false) };
    tx.run("UPDATE rooms SET members = members - 1 WHERE id = $1", values![room.get()]).await?;
    if Role::parse(&role) == Role::Owner {
        let sql = "UPDATE memberships SET role = 'owner' WHERE room_id = $1 AND to_position = $2 \
                   AND user_id = (SELECT user_id FROM memberships WHERE room_id = $1 \
                   AND to_position = $2 ORDER BY from_position, user_id LIMIT 1)";
        tx.run(sql, values![room.get(), STILL]).await?;
    }
    Ok(true)
}

/// Takes all seats of a room at `position`.
pub(crate) async fn remove_members(tx: &Tx, room: RoomId, position: i64) -> Result<(), DataError> {
    let sql = "UPDATE memberships SET to_position = $1 WHERE room_id = $2 AND to_position = $3";
    tx.run(sql, values![position, room.get(), STILL]).await?;
    tx.run("UPDATE rooms SET members = 0 WHERE id = $1", values![room.get()]).await.map(drop)
}

/// Takes a user's seat and tells the room; false if they had none.
pub(crate) async fn leave(
    tx: &Tx,
    room: RoomId,
    user: UserId,
    by: UserId,
    position: i64,
    now: i64,
) -> Result<bool, DataError> {
    let left = remove_member(tx, room, user, position).await?;
    if left {
        append(tx, position, NewEntry::new(room, What::Left, by, now).member(user)).await?;
    }
    Ok(left)
}

impl Store {
    /// A room of this kind that can be seen, with the user's seat in it.
    pub(crate) async fn seated(
        &self,
        kind: RoomKind,
        room: RoomId,
        user: UserId,
    ) -> Result<Option<Seated>, DataError> {
        super::rooms::seated(&self.db.read_primary(), kind, room, user).await
    }

    /// The chats that a user is in.
    pub(crate) async fn chats_of(&self, user: UserId) -> Result<Vec<RoomId>, DataError> {
        let sql = "SELECT m.room_id FROM memberships m JOIN rooms r ON r.id = m.room_id \
                   WHERE m.user_id = $1 AND m.to_position = $2 AND r.kind = 'chat'";
        let rows: Vec<(i64,)> =
            self.db.read_primary().rows(sql, values![user.get(), STILL]).await?;
        Ok(rows.into_iter().map(|(room,)| RoomId::new(room)).collect())
    }

    /// Up to `limit` of the rooms that a user is in.
    pub(crate) async fn some_rooms_of(
        &self,
        user: UserId,
        limit: usize,
    ) -> Result<Vec<(RoomKind, RoomId)>, DataError> {
        let sql = "SELECT r.kind, r.id FROM memberships m JOIN rooms r ON r.id = m.room_id \
                   WHERE m.user_id = $1 AND m.to_position = $2 ORDER BY r.id LIMIT $3";
        let rows: Vec<(String, i64)> =
            self.db.read_primary().rows(sql, values![user.get(), STILL, limit as u64]).await?;
        let room = |(kind, id): (String, i64)| Ok((RoomKind::parse(&kind)?, RoomId::new(id)));
        rows.into_iter().map(room).collect()
    }

    /// Who is in each of these rooms, as (room, user), each room's those who came first first.
    pub(crate) async fn members_of_rooms(
        &self,
        rooms: impl Iterator<Item = RoomId>,
    ) -> Result<Vec<(RoomId, UserId)>, DataError> {
        let rooms = json_rows(rooms.map(|room| [room.get()]))?;
        let rows: Vec<(i64, i64)> =
            self.db.read_primary().rows(&self.texts.of_rooms, values![rooms, STILL]).await?;
        Ok(rows.into_iter().map(|(room, user)| (RoomId::new(room), UserId::new(user))).collect())
    }

    /// A page of a room's members by id, with their names.
    pub(crate) async fn named_members(
        &self,
        room: RoomId,
        after: i64,
        limit: u64,
    ) -> Result<Vec<(UserId, String)>, DataError> {
        let sql = "SELECT m.user_id, p.username FROM memberships m \
                   LEFT JOIN people p ON p.user_id = m.user_id \
                   WHERE m.room_id = $1 AND m.to_position = $2 AND m.user_id > $3 \
                   ORDER BY m.user_id LIMIT $4";
        let rows: Vec<(i64, Option<String>)> =
            self.db.read_primary().rows(sql, values![room.get(), STILL, after, limit]).await?;
        let named = |(user, name): (i64, Option<String>)| {
            (UserId::new(user), name.unwrap_or_else(|| DELETED_USER.to_owned()))
        };
        Ok(rows.into_iter().map(named).collect())
    }
}
